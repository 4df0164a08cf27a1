"""What the before/after report says, and what its first line admits."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pointsman.decide import Reading
from pointsman.errors import TraceError
from pointsman.outcomes import Outcomes
from pointsman.policy import Fallback, Policy
from pointsman.report import before_after, verdict
from pointsman.rules import ValueRule
from pointsman.spec import RoutingSpec

MakeOutcomes = Callable[..., Outcomes]
MakePolicy = Callable[..., Policy]
MakeSpec = Callable[..., RoutingSpec]
Report = dict[str, Any]

N = 600
AHEAD = "Ahead of best_per_intent and random_same_cost"
NOTHING = "Not proven to have learned more than the content-blind baselines"
METRICS = ("useful_rate", "cost_usd", "cost_per_useful", "p50_ms", "p95_ms", "hallucination_rate")


class World:
    """Candidates a (1 USD) and b (10 USD); a can do every request but each fourth, and the prompt tells which."""

    def __init__(self, make_outcomes: MakeOutcomes, make_policy: MakePolicy, make_spec: MakeSpec) -> None:
        index = np.arange(N)
        self.hard = index % 4 == 0
        self.intent = np.where(index % 3 == 0, "code", "chat").astype(object)
        self.useful = np.stack([~self.hard, np.ones(N)], axis=1).astype(float)
        self.latency = np.stack([np.full(N, 100.0), 200.0 + index % 7], axis=1)
        self.make_outcomes, self.make_policy, self.make_spec = make_outcomes, make_policy, make_spec

    def report(
        self,
        believed: Any = None,
        assignment: dict[str, str] | None = None,
        fallbacks: tuple[Fallback, ...] = (),
        worth: float = 20.0,
        spec: dict[str, Any] | None = None,
        **outcomes: Any,
    ) -> Report:
        """Replay a policy that routes by what it believes of each request (n, 2), the truth by default."""
        columns: dict[str, Any] = {"cost_usd": [[1.0, 10.0]] * N, "latency_ms": self.latency, "intent": self.intent}
        facts = self.make_outcomes(self.useful, **{**columns, **outcomes})
        evidence = {
            "baseline": "b",
            "useful_value_usd": worth,
            "best_per_intent": {"chat": "a", "code": "a"} if assignment is None else assignment,
        }
        policy = self.make_policy(
            intents=("chat", "code"),
            fallbacks=fallbacks,
            evidence=evidence,
            rule=ValueRule(1.0, 20.0),
            cost_usd=[[1.0, 10.0]] * 2,
        )
        probs = np.stack([self.intent == "chat", self.intent == "code"], axis=1).astype(float)
        reading = Reading(probs, self.useful if believed is None else believed)
        return before_after(facts, reading, policy, self.make_spec(**(spec or {})))


@pytest.fixture
def world(make_outcomes: MakeOutcomes, make_policy: MakePolicy, make_spec: MakeSpec) -> World:
    return World(make_outcomes, make_policy, make_spec)


def test_before_and_after_by_hand(world: World) -> None:
    """A quarter to b, the rest to a, all useful: 600 · (1 + 10 / 4 - 1 / 4) USD instead of 6,000."""
    report = world.report(spec={"requests_per_month": 6000})
    assert (report["requests"], report["baseline"]) == (N, "b")
    assert report["before"]["cost_usd"] == 6000
    assert report["after"]["cost_usd"] == 450 + 1500
    assert report["after"]["cost_usd_per_month"] == pytest.approx(19500)
    assert report["after"]["useful_rate"] == 1
    assert report["after"]["p50_ms"] == 100
    assert set(report["baselines"]) == {"always:a", "always:b", "random_same_cost", "best_per_intent", "oracle"}
    assert report["baselines"]["always:b"] == report["before"]
    assert report["baselines"]["best_per_intent"]["useful_rate"] == 0.75
    assert report["baselines"]["random_same_cost"]["cost_usd"] == pytest.approx(1950)
    assert report["baselines"]["oracle"]["cost_usd"] == 1950


@pytest.mark.parametrize("hallucinated", [np.nan, 0.0])
def test_the_report_is_json(hallucinated: float, world: World) -> None:
    constraints = {"p95_latency_ms": 250, "useful_rate": {"margin": 0.01}, "hallucination_rate": 0.1}
    spec = {"constraints": constraints, "modelled": ["latency_ms"], "requests_per_month": 10}
    report = world.report(hallucinated=hallucinated, spec=spec)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["modelled"] == ["latency_ms"]
    assert (report["change"]["hallucination_rate"] is None) == bool(np.isnan(hallucinated))
    assert [entry["name"] for entry in report["constraints"]] == list(constraints)


def test_also_where_nothing_is_useful_free_or_at_once(world: World) -> None:
    world.useful = np.zeros((N, 2))
    report = world.report(cost_usd=0.0, latency_ms=0.0)
    json.dumps(report, allow_nan=False)
    assert report["after"]["cost_per_useful"] is None
    assert report["change"]["cost_per_useful"] is None


def test_also_of_a_single_request(world: World) -> None:
    policy = world.make_policy(evidence={"baseline": "b", "useful_value_usd": 1.0})
    facts = world.make_outcomes([[1.0, 0.0]])
    report = before_after(facts, Reading(np.ones((1, 1)), np.array([[0.9, 0.1]])), policy, world.make_spec())
    json.dumps(report, allow_nan=False)
    assert report["routed"] == {"chat": {"a": 1}}


def test_change_is_after_minus_before(world: World) -> None:
    report = world.report(hallucinated=np.stack([np.arange(N) % 5 == 0, np.arange(N) % 9 == 0], axis=1))
    for name in METRICS:
        difference = report["after"][name] - report["before"][name]
        assert report["change"][name]["difference"] == pytest.approx(difference)
    for rival, change in report["against"].items():
        difference = report["after"]["useful_rate"] - report["baselines"][rival]["useful_rate"]
        assert change["useful_rate"]["difference"] == pytest.approx(difference)


def test_the_net_value_is_at_the_price_of_the_search(world: World) -> None:
    """Against a for all: a quarter more is useful, worth 20 USD each, and 2.25 USD more are spent on each request."""
    report = world.report(worth=20.0)
    assert report["useful_value_usd"] == 20
    assert report["against"]["best_per_intent"]["net_value_usd"]["difference"] == pytest.approx(20 / 4 - 2.25)


def test_routed_counts_every_request_once(world: World) -> None:
    routed = world.report()["routed"]
    assert sum(count for row in routed.values() for count in row.values()) == N
    assert sum(routed["code"].values()) == (world.intent == "code").sum()
    assert routed["chat"]["b"] == ((world.intent == "chat") & world.hard).sum()


def test_without_labels_there_is_no_best_per_intent(world: World) -> None:
    report = world.report(intent="")
    assert report["baselines"]["best_per_intent"] is None
    assert list(report["against"]) == ["random_same_cost"]
    assert report["verdict"].startswith("Ahead of random_same_cost: ")


def test_the_baseline_may_be_a_model_what_was_logged_or_the_best_on_the_tuning_slice(world: World) -> None:
    assert world.report()["baseline"] == "b"
    assert world.report(spec={"baseline": "a"})["before"]["cost_usd"] == N
    logged = world.report(spec={"baseline": "as_logged"}, logged=np.arange(N) % 2)
    assert logged["before"]["cost_usd"] == N / 2 * 11
    with pytest.raises(TraceError, match="as_logged"):
        world.report(spec={"baseline": "as_logged"})


def test_columns_are_put_into_the_order_of_the_policy(world: World) -> None:
    evidence = {"baseline": "b", "useful_value_usd": 1.0, "best_per_intent": {"chat": "a"}}
    policy = world.make_policy(("b", "a"), evidence=evidence)
    facts = world.make_outcomes(world.useful, cost_usd=[[1.0, 10.0]] * N, intent=["chat", ""] * (N // 2))
    report = before_after(facts, Reading(np.ones((N, 1)), np.tile([0.9, 0.1], (N, 1))), policy, world.make_spec())
    assert report["before"]["cost_usd"] == report["after"]["cost_usd"] == 10 * N
    # What has no label goes where production sends most.
    assert report["baselines"]["best_per_intent"]["cost_usd"] == N / 2 * 11


def test_no_request_is_an_error(world: World) -> None:
    policy = world.make_policy(evidence={"baseline": "b", "useful_value_usd": 1.0})
    outcomes, nothing = world.make_outcomes(np.empty((0, 2))), Reading(np.empty((0, 1)), np.empty((0, 2)))
    with pytest.raises(TraceError, match="no request"):
        before_after(outcomes, nothing, policy, world.make_spec())


# --- the first line


def test_a_router_that_learned_is_ahead(world: World) -> None:
    text = world.report()["verdict"]
    assert text.startswith(f"{AHEAD}: useful +0.0 points [+0.0, +0.0], cost -68 % [")
    assert text.endswith(" on 600 unseen requests.")
    assert "P95 " in text


def test_a_router_that_does_as_its_rival_is_level(world: World) -> None:
    believed = np.tile([0.9, 0.1], (N, 1))
    report = world.report(believed)
    assert [change["stands"] for change in report["against"].values()] == ["level", "level"]
    assert report["verdict"].startswith(f"{NOTHING} (level with best_per_intent, level with random_same_cost): ")


def test_a_router_that_learned_the_wrong_thing_is_behind(world: World) -> None:
    """It takes the hard requests for the easy ones."""
    spec = {"constraints": {"useful_rate": {"margin": 0.25}}}
    report = world.report(np.stack([world.hard, np.ones(N)], axis=1), spec=spec)
    assert report["constraints"][0]["value"] == 0.25
    assert report["constraints"][0]["verdict"] == "held"
    assert report["verdict"].startswith(f"{NOTHING} (behind best_per_intent, behind random_same_cost): ")


def test_a_broken_constraint_comes_first(world: World) -> None:
    constraints = {"p95_latency_ms": 150, "useful_rate": 0.5}
    report = world.report(spec={"constraints": constraints})
    assert [entry["verdict"] for entry in report["constraints"]] == ["broken", "certified"]
    assert report["verdict"].startswith(f"DOES NOT HOLD (p95_latency_ms). {AHEAD}: ")


def test_a_constraint_that_is_not_proven_is_named(world: World) -> None:
    report = world.report(spec={"constraints": {"useful_rate": 1.0}})
    assert report["verdict"].endswith("; useful_rate held, but too few requests to prove it.")
    assert report["verdict"] == verdict(report)


def test_fallbacks_alone_are_nothing_learned(world: World) -> None:
    """a fails at each fourth request, and b steps in. All to a: that is what its rival does, too."""
    failure = np.where(np.stack([world.hard, np.zeros(N, dtype=bool)], axis=1), "error", "").astype(object)
    report = world.report(np.tile([0.9, 0.1], (N, 1)), fallbacks=(Fallback("b"),), failure=failure)
    assert report["after"]["useful_rate"] == 1
    assert report["baselines"]["best_per_intent"]["useful_rate"] == 0.75
    assert report["against"]["best_per_intent"]["net_value_usd"]["difference"] == 0
    assert report["against"]["best_per_intent"]["stands"] == "level"
