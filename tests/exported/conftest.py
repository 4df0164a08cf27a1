"""A second bundle beside the tiny one, for what swaps bundles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pointsman.bundle import load_bundle, write_bundle
from pointsman.rules import ValueRule

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def other(tiny_bundle: Path, tmp_path: Path) -> Path:
    """The tiny bundle with a rule that sends everything to large."""
    bundle = load_bundle(tiny_bundle)
    policy = replace(bundle.policy, rule=ValueRule(trust=0.0, useful_value_usd=1e6))
    return write_bundle(
        tmp_path / "other",
        graph=bundle.read("model.onnx"),
        tokenizer_json=bundle.read("tokenizer.json").decode(),
        policy=policy,
        conformance=[],
        model_card="",
        model_io=bundle.io,
        provenance={},
        seen=[],
    )
