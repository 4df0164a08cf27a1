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
from pointsman.classifier import read
from pointsman.conformance import PROMPTS, check_conformance, conformance_vectors
from pointsman.errors import BundleError
from pointsman.expected import Lengths
from pointsman.graph import export_graph
from pointsman.router import Router
from pointsman.rules import ValueRule

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pointsman.encoders import TransformerEncoder
    from pointsman.heads import Heads
    from pointsman.policy import Policy


DEAR_ANSWERS = Lengths(
    tokens_in=np.full(3, 100.0),
    output_tokens=np.full((3, 3), 100.0),
    usd_per_token_in=np.zeros(3),
    usd_per_token_out=np.array([0.0, 2e-4, 4e-4]),
    late_bias=np.zeros(3),
    late_per_log_in=np.zeros(3),
    late_per_log_out=np.zeros(3),
)


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
        ("output_tokens", [1.0, 1.0, 1.0], "output_tokens is off by"),
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


@pytest.mark.parametrize("known", [True, False])
def test_lengths_of_answers_are_part_of_it_where_they_are_known(
    tiny_encoder: TransformerEncoder, tiny_heads: Heads, tiny_policy: Policy, tmp_path: Path, known: bool
) -> None:
    heads = tiny_heads if known else replace(tiny_heads, lengths=None)
    info = export_graph(tiny_encoder, heads, tmp_path / "m.onnx")
    tokenizer = tiny_encoder.tokenizer_json()
    policy = replace(tiny_policy, expected=replace(tiny_policy.expected, lengths=DEAR_ANSWERS if known else None))
    vectors = conformance_vectors(partial(read, tiny_encoder, heads), policy, tokenizer)
    assert all(("output_tokens" in vector) == known for vector in vectors)
    parts: dict[str, Any] = {"conformance": vectors, "model_card": "", "provenance": {}, "seen": []}
    parts |= {"graph": tmp_path / "m.onnx", "tokenizer_json": tokenizer, "model_io": info.io()}
    path = write_bundle(tmp_path / "b", policy=policy, **parts)
    assert check_conformance(path) == []
    if known:  # the length decides: without it the same vectors do not hold
        blind = write_bundle(tmp_path / "blind", policy=tiny_policy, **parts)
        assert any("model is" in line for line in check_conformance(blind))


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
    vectors = conformance_vectors(partial(read, tiny_encoder, equal), tossed, tokenizer)
    assert {vector["modality"] for vector in vectors} <= {"audio"}, "where one model alone is eligible it stays"
    assert len(conformance_vectors(partial(read, tiny_encoder, tiny_heads), tiny_policy, tokenizer)) > 40


def test_a_limit_of_concurrency_does_not_speak_in_a_check(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = load_bundle(tiny_bundle)
    narrow = tuple(replace(one, concurrency=1) for one in bundle.policy.candidates)
    path = write_bundle(
        tmp_path / "narrow",
        graph=bundle.read("model.onnx"),
        tokenizer_json=bundle.read("tokenizer.json").decode(),
        policy=replace(bundle.policy, candidates=narrow),
        conformance=vectors_of(tiny_bundle),
        model_card="",
        model_io=bundle.io,
        provenance={},
        seen=[],
    )
    assert check_conformance(path) == []
    vectors = vectors_of(path)
    routed = Router.load(path).route_batch([vector["prompt"] for vector in vectors])
    assert any(decision.barred for decision in routed), "the limit does speak where requests are routed"
