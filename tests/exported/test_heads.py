"""The heads: probabilities for every embedding, and temperature changes confidence, not order."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.isotonic import isotonic_regression

from pointsman.heads import pooled

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


def test_a_family_does_not_fall_and_stays_as_near_as_it_can() -> None:
    """The reference is scikit-learn's isotonic regression, request by request."""
    probs = np.random.default_rng(5).random((40, 5))
    got = pooled(probs, ((4, 0, 2, 1),))
    for row, was in zip(got, probs, strict=True):
        np.testing.assert_allclose(row[[4, 0, 2, 1]], isotonic_regression(was[[4, 0, 2, 1]]), rtol=1e-6)
    assert (got[:, 3] == probs[:, 3]).all()
    assert pooled(probs, ()) is probs


def test_with_several_intents_probabilities_are_shares(make_heads: Callable[..., Heads]) -> None:
    heads = replace(make_heads(16, 5, 4), several=True)
    embeddings = np.random.default_rng(3).normal(size=(20, 16)).astype(np.float32)
    reading = heads(embeddings, bags(20))
    assert reading.intent_labels is not None
    held = reading.intent_labels + 1e-6
    np.testing.assert_allclose(reading.intent_probs, held / held.sum(axis=1, keepdims=True), rtol=1e-6)
    np.testing.assert_allclose(reading.confidence, reading.intent_labels.max(axis=1))
    np.testing.assert_allclose(heads.intent_probs(embeddings, bags(20)), reading.intent_probs)
