"""What is measured of the classifier on requests it never saw."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from pointsman.evaluation import evaluate
from pointsman.labels import IntentLabels
from pointsman.outcomes import Outcomes

LABELS = IntentLabels(("chat", "code"), np.empty(0, dtype=np.intp), {})


def outcomes_of(useful: Any, intent: Any = "") -> Outcomes:
    """Write outcomes down as a table of usefulness."""
    table = np.asarray(useful, dtype=np.float64)
    n, m = table.shape
    words = np.full(n, "word", dtype=object)
    return Outcomes(
        request_id=words,
        prompt=words,
        intent=np.broadcast_to(np.asarray(intent, dtype=object), (n,)),
        modality=np.full(n, "text", dtype=object),
        timestamp=np.zeros(n, dtype="datetime64[us]"),
        context_tokens=np.zeros(n, dtype=np.int64),
        models=tuple("abcd"[:m]),
        useful=table,
        cost_usd=np.ones((n, m)),
        latency_ms=np.ones((n, m)),
        hallucinated=np.full((n, m), np.nan),
        output_tokens=np.full((n, m), np.nan),
        failure=np.full((n, m), "", dtype=object),
        logged=np.zeros(n, dtype=np.intp),
    )


def useful_scores(useful: Any, probs: Any) -> dict[str, Any]:
    """Evaluate candidate a alone."""
    table = np.asarray(useful, dtype=np.float64)[:, None]
    found = evaluate(outcomes_of(table), np.ones((len(table), 2)), np.asarray(probs, dtype=float)[:, None], LABELS)
    assert list(found["useful"]) == ["a"]
    scores: dict[str, Any] = found["useful"]["a"]
    return scores


def test_scores_by_hand() -> None:
    """Of the pairs (useful, useless) 3 of 4 are ranked right; errors 0.1, 0.4, 0.6, 0.3 squared."""
    scores = useful_scores([1, 1, 0, 0], [0.9, 0.6, 0.6 + 1e-9, 0.3])
    assert scores["auc"][0] == 0.75
    assert scores["brier"][0] == pytest.approx((0.01 + 0.16 + 0.36 + 0.09) / 4)
    assert scores["calibration_error"][0] == pytest.approx((0.1 + 0.4 + 0.6 + 0.3) / 4)


@pytest.mark.parametrize("useful", [[1, 1, 1], [0, 0, 0], [0.2, 0.4, 0.1]])
def test_where_all_outcomes_are_alike_there_is_no_ranking(useful: list[float]) -> None:
    scores = useful_scores(useful, [0.5, 0.6, 0.7])
    assert scores["auc"] is None
    assert scores["brier"] is not None


def test_a_candidate_is_judged_where_it_is_known() -> None:
    generator = np.random.default_rng(0)
    useful, probs = generator.random(50).round(), generator.random(50)
    gaps = np.concatenate([useful, np.full(30, np.nan)])
    scores = useful_scores(gaps, np.concatenate([probs, generator.random(30)]))
    assert scores == useful_scores(useful, probs)
    assert useful_scores([np.nan] * 3, [0.5] * 3) == {"auc": None, "brier": None, "calibration_error": None}


@pytest.mark.parametrize("n", [2, 20, 500])
def test_intervals_hold_the_value_and_narrow_with_more_requests(n: int) -> None:
    generator = np.random.default_rng(n)
    probs = generator.random(n)
    useful = generator.random(n) < probs
    useful[:2] = [False, True]
    for value, low, high in useful_scores(useful, probs).values():
        assert 0 <= low <= value <= high <= 1
        if n == 500:
            assert high - low < 0.15


def test_an_interval_holds_the_value_though_every_resample_is_further_from_calibrated() -> None:
    """Of ten that are said to be useful with 30 %, exactly three are; a resample seldom holds just as many of each."""
    said = np.repeat(np.arange(1, 10) / 10, 10)
    value, low, high = useful_scores(np.tile(np.arange(10) / 10, 9) < said - 1e-9, said)["calibration_error"]
    assert value == pytest.approx(0)
    assert low == value
    assert high > 0.01


def test_intent_accuracy_has_its_wilson_interval() -> None:
    intent = np.array(["chat"] * 6 + ["code"] * 3 + [""], dtype=object)
    probs = np.tile([0.8, 0.2], (10, 1))
    found = evaluate(outcomes_of(np.ones((10, 1)), intent), probs, np.ones((10, 1)), LABELS)["intent"]
    interval = binomtest(6, 9).proportion_ci(0.95, method="wilson")
    assert found["accuracy"] == pytest.approx([6 / 9, interval.low, interval.high])
    assert found["majority"] == pytest.approx(6 / 9)
    assert found["calibration_error"] == pytest.approx(0.8 - 6 / 9)
    assert found["intents"] == 2


def test_intents_are_not_judged_where_there_is_one_or_none_is_known() -> None:
    outcomes, ones = outcomes_of(np.ones((4, 1)), "chat"), np.ones((4, 1))
    single = IntentLabels(("any",), np.empty(0, dtype=np.intp), {})
    assert evaluate(outcomes, ones, ones, single)["intent"] is None
    assert evaluate(outcomes_of(ones), np.ones((4, 2)), ones, LABELS)["intent"] is None


def test_the_same_seed_gives_the_same_plain_json() -> None:
    generator = np.random.default_rng(1)
    outcomes = outcomes_of(generator.random((60, 2)).round(), generator.choice(["chat", "code"], 60))
    probs = generator.dirichlet([1, 1], 60).astype(np.float32), generator.random((60, 2)).astype(np.float32)
    found = evaluate(outcomes, *probs, LABELS, seed=1)
    assert json.loads(json.dumps(found, allow_nan=False)) == found == evaluate(outcomes, *probs, LABELS, seed=1)
    assert found["requests"] == 60
    assert found != evaluate(outcomes, *probs, LABELS, seed=2)


def test_needed_compute_is_the_cheapest_useful_candidate() -> None:
    outcomes = outcomes_of([[1, 1], [0, 1], [0, 0], [np.nan, 1]])
    found = evaluate(outcomes, np.ones((4, 2)), np.full((4, 2), 0.5), LABELS)
    assert found["needed_compute"] == pytest.approx({"a": 1 / 3, "b": 1 / 3, "none": 1 / 3})  # of the three complete
