"""Outcomes estimated from logs: right on average, honest about few and heavy requests, the same where all is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pointsman.certificate import fixed_sequence
from pointsman.decide import Beliefs
from pointsman.estimated import as_logged, doubts, estimated_outcomes, from_logs, surely_best, usable
from pointsman.objective import checks
from pointsman.outcomes import Outcomes
from pointsman.propensity import Propensities
from pointsman.replay import Served
from pointsman.scores import Sample, sample_of, score_bounds
from pointsman.spec import RoutingSpec

MakeOutcomes = Callable[..., Outcomes]
MakeBeliefs = Callable[..., Beliefs]
MakeSpec = Callable[..., RoutingSpec]

NAN = float("nan")


class Log:
    """Two candidates, useful to 60 and 90 %; production serves the first with a known probability."""

    def __init__(self, n: int, first: float, make: tuple[MakeOutcomes, MakeBeliefs], seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        self.useful = (generator.random((n, 2)) < [0.6, 0.9]).astype(float)
        logged = (generator.random(n) >= first).astype(np.intp)
        seen = np.arange(2) == logged[:, None]
        self.outcomes = make[0](
            np.where(seen, self.useful, NAN),
            np.where(seen, [1.0, 4.0], NAN),
            np.where(seen, [100.0, 300.0], NAN),
            logged=logged,
        )
        self.beliefs = make[1](np.zeros(n, int), [[0.5] * n, [0.5] * n], [[0.5], [0.5]], [[1.0], [4.0]])
        chance = np.where(logged == 0, first, 1 - first)
        self.chances = Propensities(logged, chance, np.zeros(n, dtype=np.bool_))

    def scores(self, limit_ms: float | None = 200.0) -> Outcomes:
        return estimated_outcomes(self.outcomes, self.beliefs, self.chances, limit_ms)[0]


@pytest.fixture
def make(make_outcomes: MakeOutcomes, make_beliefs: MakeBeliefs) -> Any:
    return make_outcomes, make_beliefs


def test_scores_have_the_mean_that_was_never_seen(make: Any) -> None:
    log = Log(4000, 0.2, make)
    scores = log.scores()
    assert scores.useful.mean(axis=0) == pytest.approx(log.useful.mean(axis=0), abs=0.05)
    assert scores.cost_usd.mean(axis=0) == pytest.approx([1.0, 4.0], abs=0.2)
    assert scores.late is not None
    assert scores.late.mean(axis=0) == pytest.approx([0.0, 1.0], abs=0.06)


def test_what_is_replayed_in_full_is_no_estimate(make: Any) -> None:
    log = Log(50, 0.5, make)
    useful, cost, latency = log.useful, np.tile([1.0, 4.0], (50, 1)), np.full((50, 2), 100.0)
    full = replace(log.outcomes, useful=useful, cost_usd=cost, latency_ms=latency)
    scores = estimated_outcomes(full, log.beliefs, log.chances, None)[0]
    np.testing.assert_array_equal(scores.useful, useful)
    np.testing.assert_array_equal(scores.importance, 1.0)


def test_a_request_says_something_by_every_outcome_or_by_the_served_one(make_outcomes: MakeOutcomes) -> None:
    table = make_outcomes([[1, 1], [1, NAN], [NAN, 1], [NAN, NAN]], 1.0, 1.0, logged=[-1, 0, 0, -1])
    known = np.isfinite(table.useful)
    table = replace(table, cost_usd=np.where(known, 1.0, NAN), latency_ms=np.where(known, 1.0, NAN))
    assert usable(table).tolist() == [True, True, False, False]
    assert not from_logs(table)
    assert from_logs(table.take([0, 1, 1]))


def test_one_answer_without_a_mark_is_what_was_served(make_outcomes: MakeOutcomes) -> None:
    table = make_outcomes([[1, NAN], [NAN, 0]], 1.0, np.array([[5.0, NAN], [NAN, 5.0]]))
    assert usable(table).all()


def test_the_latency_is_weighted_and_unknown_where_few_say_it(make: Any) -> None:
    many, few = Log(400, 0.5, make).scores(), Log(400, 0.02, make).scores()
    first = Served.by(many, np.zeros(400, dtype=np.intp)).summary()
    assert first["p95_ms"] == 100.0
    assert Served.by(few, np.zeros(400, dtype=np.intp)).summary()["p95_ms"] is None


def test_what_nobody_saw_proves_nothing(make: Any, make_spec: MakeSpec) -> None:
    """A model that says «never late» of a candidate that production never served is no evidence."""
    log = Log(400, 0.0, make)
    scores = log.scores()
    spec = make_spec(("a", "b"), constraints={"p95_latency_ms": 200.0, "confidence": 0.95})
    first = Served.by(scores, np.zeros(400, dtype=np.intp))
    (check,) = checks(first, first, spec)
    assert check.value == 0.0
    assert check.bound == 1.0
    assert not fixed_sequence([first], first, spec, "split", [0.0]).certified


def test_few_heavy_requests_prove_less_than_as_many_plain_ones() -> None:
    values = np.zeros(400)
    plain = score_bounds(values, Sample(400.0, 1.0), 0.95, (0.0, 1.0))[1]
    heavy = score_bounds(values, Sample(10.0, 40.0), 0.95, (0.0, 1.0))[1]
    assert plain < 0.01
    assert heavy > 0.1
    assert sample_of(np.array([40.0] * 10 + [0.0] * 390)) == Sample(10.0, 40.0)


def test_the_best_single_model_is_the_one_that_is_surely_good(make_outcomes: MakeOutcomes) -> None:
    generator = np.random.default_rng(0)
    steady = 0.84 + 0.01 * generator.normal(size=300)
    wild = np.where(np.arange(300) % 50 == 0, 20.0, 0.55)
    table = make_outcomes(np.column_stack([steady, wild]))
    importance = np.column_stack([np.ones(300), np.where(np.arange(300) % 50 == 0, 50.0, 0.0)])
    assert wild.mean() > steady.mean()
    assert surely_best(replace(table, late=np.zeros((300, 2)), importance=importance), 0.95) == "a"
    assert surely_best(table, 0.95) == "b", "known outcomes have no such doubt"


def test_doubts_do_not_look_at_outcomes(make: Any) -> None:
    log = Log(600, 0.02, make)
    choices = [np.zeros(600, dtype=np.intp), np.ones(600, dtype=np.intp)]
    found = doubts(log.outcomes, log.beliefs, log.chances, choices, None, "as_logged")
    turned = replace(log.outcomes, useful=1 - log.outcomes.useful)
    assert doubts(turned, log.beliefs, log.chances, choices, None, "as_logged") == found
    assert found[0] is not None
    assert "effective sample" in found[0]
    assert found[1] is None
    against = doubts(log.outcomes, log.beliefs, log.chances, choices[1:], choices[0], "a")
    assert against[0] is not None
    assert against[0].startswith("a: ")


def test_a_rule_that_cannot_be_told_is_passed_over(make: Any, make_spec: MakeSpec) -> None:
    scores = Log(2000, 0.5, make).scores()
    spec = make_spec(("a", "b"), constraints={"useful_rate": 0.8, "confidence": 0.95})
    served = Served.by(scores, np.ones(2000, dtype=np.intp))
    found = fixed_sequence([served, served, served], served, spec, "split", [2.0, 1.0, 0.0], doubts=[None, "why", None])
    assert [one.passed for one in found.sequence] == [True, None, True]
    assert found.chosen == 2
    nothing = fixed_sequence([served], served, spec, "split", [0.0], doubts=["nobody went there"])
    assert not nothing.certified
    assert "the logs cannot tell, for nobody went there" in nothing.sentence()


def test_production_itself_is_measured(make: Any) -> None:
    log = Log(300, 0.5, make)
    served = as_logged(log.outcomes, log.chances, 200.0)
    np.testing.assert_array_equal(served.late, log.chances.logged)
    np.testing.assert_array_equal(served.importance, 1.0)
