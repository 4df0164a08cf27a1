"""A candidate with few answers stands where the others and its answers put it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from pointsman.borrowing import FEW, borrow, place, poorly_known
from pointsman.classifier import Features, RequestClassifier
from pointsman.lexical import Lexicon

D, M, K = 6, 5, 2


def world(n: int = 1500, seed: int = 0) -> tuple[Features, Any, Any, Any]:
    """Return prompts whose difficulty all candidates share; a second trait moves them apart."""
    generator = np.random.default_rng(seed)
    rows = generator.normal(0, 1 / 2, (n, D)).astype(np.float32)
    levels = np.linspace(-1, 2, M)
    logits = levels - 3 * rows[:, :1] + np.outer(rows[:, 1], np.linspace(2, -2, M))
    useful = (generator.random((n, M)) < expit(logits)).astype(float)
    intent = (rows[:, 2] > 0).astype(np.intp)
    return Features(rows, Lexicon(np.zeros(2, dtype=np.float32)).transform([[]] * n)), intent, useful, expit(logits)


def brier(heads: Any, features: Features, truth: Any, column: int) -> float:
    probs = heads(features.embeddings, features.pieces).useful_probs
    return float(np.square(probs[:, column] - truth[:, column]).mean())


@pytest.mark.parametrize("column", [1, 3])
def test_a_new_candidate_is_told_better_than_by_its_own_answers(column: int) -> None:
    features, intent, useful, _ = world()
    unseen, _, _, truth = world(seed=1)
    useful[25:, column] = np.nan
    lexicon = Lexicon(np.zeros(2, dtype=np.float32))
    heads = RequestClassifier(K, deviation=3.0).fit(lexicon, features, intent, useful).heads_
    borrowed = borrow(heads, features, useful)
    assert brier(borrowed, unseen, truth, column) < 0.8 * brier(heads, unseen, truth, column)
    others = [index for index in range(M) if index != column]
    np.testing.assert_array_equal(borrowed.useful_weight[:, others], heads.useful_weight[:, others])
    np.testing.assert_array_equal(borrowed.table[:, others], heads.table[:, others])


def test_the_place_is_a_weighted_sum_of_the_known_and_answers_move_it() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(4000, 3)) @ generator.normal(size=(3, 4))
    twin = (generator.random(4000) < expit(logits[:, 2] - 0.5)).astype(float)
    found = place(logits, twin)
    np.testing.assert_allclose(logits @ found.shares + found.offset, logits[:, 2] - 0.5, atol=0.5)
    nobody = place(logits, np.full(4000, np.nan))
    np.testing.assert_allclose(nobody.shares, 0.25, atol=1e-6)
    assert nobody.offset == pytest.approx(0, abs=1e-9)


def test_the_price_says_where_a_candidate_without_answers_may_stand() -> None:
    logits = np.outer(np.random.default_rng(1).normal(size=500), [-1.0, -0.3, 0.3, 1.0])
    dear, cheap = (place(logits, np.full(500, np.nan), (np.arange(4.0), at)).shares for at in (3.0, 0.0))
    assert dear[3] > dear[0] + 0.1
    assert cheap[0] > cheap[3] + 0.1


def test_who_borrows() -> None:
    useful = np.ones((2000, 4))
    assert [len(part) for part in poorly_known(useful)] == [0, 0]
    useful[50:, 1] = np.nan
    assert [part.tolist() for part in poorly_known(useful)] == [[1], [0, 2, 3]]
    useful[FEW - 1 :, 1:] = np.nan
    assert [len(part) for part in poorly_known(useful)] == [0, 0], "one known candidate spans nothing"
