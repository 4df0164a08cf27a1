"""The heads: probabilities for every embedding, and temperature changes confidence, not order."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pointsman.heads import Heads


def bags(n: int) -> NDArray[np.float32]:
    """Return the piece features of n prompts, (n, 50)."""
    return np.random.default_rng(n).random((n, 50), dtype=np.float32)


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_probabilities_whatever_the_logits(make_heads: Callable[..., Heads], scale: float) -> None:
    embeddings = (scale * np.random.default_rng(1).normal(size=(50, 16))).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reading = make_heads(16, 5, 4)(embeddings, bags(50))
    np.testing.assert_allclose(reading.intent_probs.sum(axis=1), 1, rtol=1e-5)
    for probs in (reading.intent_probs, reading.useful_probs):
        assert probs.dtype == np.float32
        assert probs.min() >= 0
        assert probs.max() <= 1


def test_no_evidence_is_the_intents_average(make_heads: Callable[..., Heads]) -> None:
    heads = make_heads(16, 5, 4)
    names = ("useful_weight", "useful_bias", "useful_pieces")
    blind = replace(heads, useful_temperature=1.0, **{name: 0 * getattr(heads, name) for name in names})
    embeddings = np.random.default_rng(2).normal(size=(20, 16)).astype(np.float32)
    reading = blind(embeddings, bags(20))
    np.testing.assert_allclose(reading.useful_probs, np.clip(reading.intent_probs @ heads.table, 0.02, 0.98), rtol=1e-5)


def test_temperature_changes_confidence_not_order(make_heads: Callable[..., Heads]) -> None:
    heads = make_heads(16, 5, 4)
    embeddings = np.random.default_rng(3).normal(size=(20, 16)).astype(np.float32)
    sharp, flat = (
        heads.intent_probs(embeddings, bags(20)),
        replace(heads, intent_temperature=9.0).intent_probs(embeddings, bags(20)),
    )
    assert (sharp.argmax(axis=1) == flat.argmax(axis=1)).all()
    assert (flat.max(axis=1) <= sharp.max(axis=1)).all()
