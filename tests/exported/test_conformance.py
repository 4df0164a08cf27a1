"""The vectors come from training, pass in the router, and fail where anything differs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pointsman.bundle import load_bundle, write_bundle
from pointsman.classifier import probabilities
from pointsman.conformance import PROMPTS, check_conformance, conformance_vectors
from pointsman.errors import BundleError
from pointsman.router import Router
from pointsman.rules import ValueRule

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pointsman.encoders import TransformerEncoder
    from pointsman.heads import Heads
    from pointsman.policy import Policy


@pytest.fixture
def rewrite(tiny_bundle: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write the tiny bundle with other vectors."""

    def rewrite(vectors: list[Any]) -> Path:
        bundle = load_bundle(tiny_bundle)
        return write_bundle(
            tmp_path / "b",
            graph=bundle.read("model.onnx"),
            tokenizer_json=bundle.read("tokenizer.json").decode(),
            policy=bundle.policy,
            conformance=vectors,
            model_card="",
            model_io=bundle.io,
            provenance={},
            seen=[],
        )

    return rewrite


def vectors_of(bundle: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (bundle / "conformance.jsonl").read_text().splitlines()]


def test_the_router_conforms(tiny_bundle: Path) -> None:
    assert check_conformance(tiny_bundle) == []
    assert check_conformance(Router.load(tiny_bundle)) == []
    vectors = vectors_of(tiny_bundle)
    assert len(vectors) >= 40
    assert {vector["model"] for vector in vectors} == {"small", "medium", "large"}
    assert any("clipped" in vector for vector in vectors)
    assert any(vector["fallbacks"] for vector in vectors)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("input_ids", [1, 2, 3], r"input_ids is .*; training has \[1, 2, 3\]"),
        ("intent_probs", [0.2, 0.2, 0.6], "intent_probs is off by .*; at most 0.0001"),
        ("useful_probs", [0.2, 0.2, 0.6], "useful_probs is off by"),
        ("intent", "poetry", "intent is .*poetry"),
        ("model", "gigantic", "model is .*gigantic"),
        ("fallbacks", ["gigantic"], "fallbacks is"),
        ("timeout_ms", 1.0, "timeout_ms is"),
    ],
)
def test_a_difference_is_named(
    tiny_bundle: Path, rewrite: Callable[..., Path], key: str, value: Any, message: str
) -> None:
    vectors = vectors_of(tiny_bundle)
    vectors[2][key] = value
    found = check_conformance(rewrite(vectors))
    assert len(found) == 1
    assert "conformance.jsonl:3: " in found[0]
    assert re.search(message, found[0])


@pytest.mark.parametrize("vectors", [[{}], [{"prompt": 5}], [{"prompt": "x", "modality": "text", "context_tokens": 0}]])
def test_what_are_no_vectors(rewrite: Callable[..., Path], vectors: list[Any]) -> None:
    with pytest.raises(BundleError, match="not conformance vectors"):
        check_conformance(rewrite(vectors))


def test_other_languages_can_read_it(tiny_bundle: Path) -> None:
    data = (tiny_bundle / "conformance.jsonl").read_bytes()
    assert data.isascii()
    for line in data.split(b"\n")[:-1]:

        def fail(name: str) -> None:
            raise AssertionError(name)

        vector = json.loads(line, parse_constant=fail)
        vector["prompt"].encode("utf-8")  # no lone surrogates


def test_prompts_are_varied() -> None:
    assert len(PROMPTS) >= 48
    assert len({prompt for prompt, _, _ in PROMPTS}) == len(PROMPTS)
    assert {modality for _, modality, _ in PROMPTS} == {"text", "image", "audio"}
    assert max(len(prompt) for prompt, _, _ in PROMPTS) >= 5_000
    assert sum(not prompt.isascii() for prompt, _, _ in PROMPTS) >= 12


def test_what_hangs_by_a_hair_is_left_out(
    tiny_encoder: TransformerEncoder, tiny_heads: Heads, tiny_policy: Policy
) -> None:
    """With a free choice between equal candidates no decision is steady, so no port is asked for one."""
    expected = replace(tiny_policy.expected, cost_usd=np.zeros((3, 3)))
    tossed = replace(tiny_policy, rule=ValueRule(1.0, 1.0), expected=expected)
    nothing: dict[str, Any] = {
        "useful_weight": 0 * tiny_heads.useful_weight,
        "useful_pieces": 0 * tiny_heads.useful_pieces,
    }
    equal = replace(tiny_heads, table=np.full((3, 3), 0.5, np.float32), useful_bias=np.zeros(3, np.float32), **nothing)
    tokenizer = tiny_encoder.tokenizer_json()
    vectors = conformance_vectors(partial(probabilities, tiny_encoder, equal), tossed, tokenizer)
    assert {vector["modality"] for vector in vectors} <= {"audio"}, "where one model alone is eligible it stays"
    assert len(conformance_vectors(partial(probabilities, tiny_encoder, tiny_heads), tiny_policy, tokenizer)) > 40
