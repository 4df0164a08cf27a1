"""P95 under load as the constraint: of the search's trials, of the report, and in the spec's words."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pointsman.decide import Reading
from pointsman.errors import SpecError, TraceError
from pointsman.load.constraint import under_load
from pointsman.objective import Objective
from pointsman.replay import Served
from pointsman.report import before_after
from pointsman.spec import parse_spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.outcomes import Outcomes
    from pointsman.policy import Policy
    from pointsman.spec import RoutingSpec


def loaded_spec(rate: float = 15.0, **keys: Any) -> RoutingSpec:
    """Write a spec of a small model with two places and a large one with twenty."""
    return parse_spec(
        {
            "candidates": {"a": {"concurrency": 2}, "b": {"concurrency": 20}},
            "safe_model": "a",
            "baseline": "b",
            "constraints": {"p95_latency_ms": 150, "latency": "under_load", "useful_rate": 0.1},
            "load": {"rate_per_s": rate},
            **keys,
        }
    )


@pytest.fixture
def outcomes(make_outcomes: Callable[..., Outcomes]) -> Outcomes:
    n = 2000
    return make_outcomes(np.ones((n, 2)), cost_usd=np.tile([1.0, 5.0], (n, 1)), latency_ms=np.full((n, 2), 100.0))


def test_a_model_that_is_fast_alone_is_late_when_everything_goes_there(outcomes: Outcomes) -> None:
    small, large = np.zeros(2000, dtype=np.intp), np.ones(2000, dtype=np.intp)
    before = Served.by(outcomes, large)
    alone = parse_spec({**_plain(), "constraints": {"p95_latency_ms": 150}})
    assert Objective(outcomes, before, alone)(small).feasible
    loaded = Objective(outcomes, before, loaded_spec())
    assert not loaded(small).feasible  # 15 a second on two places of 100 ms: three quarters full
    assert loaded(large).feasible
    mixed = (np.arange(2000) % 4 == 0).astype(np.intp)
    assert loaded(mixed).late_share < loaded(small).late_share  # what is taken off it helps the rest
    quiet = Objective(outcomes, before, loaded_spec(rate=0.5))
    assert quiet(small).feasible


def _plain() -> dict[str, Any]:
    return {"candidates": {"a": {}, "b": {}}, "safe_model": "a", "baseline": "b"}


def test_waits_are_those_of_erlang(outcomes: Outcomes) -> None:
    queues = under_load(loaded_spec(), ("a", "b"), 2000)
    assert queues is not None
    latency = queues.latency_ms(np.full(2000, 100.0), np.zeros(2000, dtype=np.intp))
    again = queues.latency_ms(np.full(2000, 100.0), np.zeros(2000, dtype=np.intp))
    np.testing.assert_array_equal(latency, again)
    assert latency.min() >= 100.0 - 1e-9
    assert under_load(parse_spec(_plain()), ("a", "b"), 2000) is None


def test_estimates_from_logs_have_no_queues(outcomes: Outcomes) -> None:
    scores = replace(outcomes, late=np.zeros((2000, 2)), importance=np.ones((2000, 2)))
    objective = Objective(scores, Served.by(scores, np.ones(2000, dtype=np.intp)), loaded_spec())
    with pytest.raises(TraceError, match=r"under_load, and these are logs.*allowed here: alone"):
        objective(np.zeros(2000, dtype=np.intp))


def test_the_report_replays_with_guards(outcomes: Outcomes, make_policy: Callable[..., Policy]) -> None:
    n = len(outcomes)
    policy = make_policy(evidence={"baseline": "b", "best_per_intent": {}, "useful_value_usd": 0.0})
    seats = (2, 20)
    candidates = tuple(replace(one, concurrency=seat) for one, seat in zip(policy.candidates, seats, strict=True))
    policy = replace(policy, candidates=candidates)
    reading = Reading(np.ones((n, 1), dtype=np.float32), np.tile([0.9, 0.1], (n, 1)).astype(np.float32))
    report = before_after(outcomes, reading, policy, loaded_spec())
    assert report["load"]["rate_per_s"] == 15.0
    assert report["load"]["places"] == {"a": 2, "b": 20}
    # The gateway sends nothing to a model that is full: who would wait goes to the dear one instead.
    assert report["load"]["after"]["spilled"] > 0.2
    assert report["after"]["p95_ms"] < 150
    assert report["after"]["cost_usd"] > n * 1.2
    always = report["baselines"]["always:a"]
    assert always["p95_ms"] > 150
    assert report["baselines"]["always:b"]["p95_ms"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"constraints": {"latency": "loaded"}}, "constraints.latency is 'loaded'; allowed: alone, under_load"),
        ({"constraints": {"latency": "under_load"}}, "no limit to keep: give constraints.p95_latency_ms"),
        ({"load": {}}, "nothing says how many requests come: give load.rate_per_s"),
        ({"load": {"rate": 3}}, "load.rate is an unknown key; allowed: rate_per_s, arrivals, concurrency, latency"),
        ({"load": {"rate_per_s": 0}}, "load.rate_per_s is 0; allowed: a number above 0"),
        ({"load": {"rate_per_s": 3, "concurrency": {"c": 2}}}, "load.concurrency.c is 'c', which is no candidate"),
        ({"load": {"rate_per_s": 3, "arrivals": "own"}}, "load.arrivals is own, which constraints.latency under_load"),
        ({"candidates": {"a": {}, "b": {}}}, "nothing ever waits: give load.concurrency"),
        ({"load": {"rate_per_s": 3, "latency": {"a": {}}}}, "load.latency.a.base_ms is missing"),
    ],
)
def test_wrong_keys_are_named_with_what_is_allowed(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        loaded_spec(**changes)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
