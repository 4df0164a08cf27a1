"""Two policies on the same requests: what is proven of the later one, for whom, and what is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pointsman.comparison.compare import Side, compare_policies
from pointsman.decide import Reading
from pointsman.errors import TraceError
from pointsman.outcomes import Outcomes
from pointsman.policy import Fallback, Policy
from pointsman.rules import LadderRule, ValueRule
from pointsman.spec import RoutingSpec

MakeOutcomes = Callable[..., Outcomes]
MakePolicy = Callable[..., Policy]
MakeSpec = Callable[..., RoutingSpec]

N = 600
INTENTS = ("chat", "code")
HARD = np.arange(N) % 4 == 0
INTENT = np.where(np.arange(N) % 3 == 0, "code", "chat").astype(object)
USEFUL = np.stack([~HARD, np.ones(N)], axis=1).astype(float)


class World:
    """Candidates a (1 USD) and b (10 USD); a fails each fourth request. A useful response is worth 20 USD."""

    def __init__(self, make_outcomes: MakeOutcomes, make_policy: MakePolicy, make_spec: MakeSpec) -> None:
        self.make_outcomes, self.make_policy, self.make_spec = make_outcomes, make_policy, make_spec

    def outcomes(self, **columns: Any) -> Outcomes:
        useful = columns.pop("useful", USEFUL)
        facts = {"cost_usd": [[1.0, 10.0]] * N, "latency_ms": [[100.0, 300.0]] * N, "intent": INTENT}
        return self.make_outcomes(useful, **{**facts, **columns})

    def side(self, name: str, to_b: Any, models: tuple[str, ...] = ("a", "b"), **policy: Any) -> Side:
        """Return a policy that sends the marked requests to its second candidate, the others to its first."""
        marked = np.broadcast_to(np.asarray(to_b, dtype=bool), (N,))
        useful = np.stack([~marked, marked], axis=1).astype(np.float32)
        read = np.stack([name == INTENT for name in INTENTS], axis=1).astype(np.float32)
        rule = policy.pop("rule", ValueRule(1.0, 1.0))
        evidence = {"useful_value_usd": 20.0, "baseline": "b"}
        made = self.make_policy(models, INTENTS, rule=rule, evidence=evidence, cost_usd=0.01, **policy)
        return Side(name, made, Reading(read, useful))

    def compare(self, before: Side, after: Side, spec: Any = None, **columns: Any) -> dict[str, Any]:
        models = tuple(dict.fromkeys((*before.policy.models, *after.policy.models)))
        made = self.make_spec(models, **(spec or {}))
        report = compare_policies(self.outcomes(**columns), before, after, made)
        assert json.loads(json.dumps(report, allow_nan=False)) == report
        return report


@pytest.fixture
def world(make_outcomes: MakeOutcomes, make_policy: MakePolicy, make_spec: MakeSpec) -> World:
    return World(make_outcomes, make_policy, make_spec)


def test_the_same_policy_changes_nothing(world: World) -> None:
    report = world.compare(world.side("old", HARD), world.side("new", HARD))
    assert report["stands"] == "same"
    assert report["against"] == []
    assert report["moved"]["requests"] == 0
    assert report["verdict"] == "new decides all 600 requests as old does: nothing changes."


def test_a_cheaper_one_that_serves_as_well_is_ahead(world: World) -> None:
    report = world.compare(world.side("old", np.ones(N)), world.side("new", HARD))
    assert report["stands"] == "ahead"
    assert report["against"] == []
    assert report["change"]["useful_rate"]["difference"] == 0
    assert report["change"]["cost_usd"]["ratio"] == pytest.approx((0.25 * 10 + 0.75) / 10)
    assert report["moved"]["matrix"] == [[0, 0], [450, 150]]
    (flow,) = report["moved"]["flows"]
    assert (flow["from"], flow["to"], flow["requests"]) == ("b", "a", 450)
    assert flow["cost_usd"] == [10.0, 1.0]
    assert (flow["lost"], flow["gained"]) == (0.0, 0.0)
    assert flow["intents"] == {"chat": 300, "code": 150}
    assert report["verdict"].startswith("new is better than old: useful +0.0 points [+0.0, +0.0], cost -68 %")


def test_one_that_loses_useful_answers_is_behind_and_says_where(world: World) -> None:
    """Hard requests of code go to a, where they fail; those of chat stay."""
    report = world.compare(world.side("old", HARD), world.side("new", HARD & (INTENT == "chat")))
    assert report["stands"] == "behind"
    code = next(one for one in report["intents"] if one["intent"] == "code")
    chat = next(one for one in report["intents"] if one["intent"] == "chat")
    assert (code["stands"], chat["stands"]) == ("less useful", "level")
    assert (code["requests"], code["moved"], code["lost"], code["gained"]) == (200, 50, 50.0, 0.0)
    assert code["change"]["useful_rate"]["difference"] == pytest.approx(-0.25)
    assert "its net value is lower" in report["against"]
    assert any("code (-25.0 points" in reason for reason in report["against"])
    assert "AGAINST IT" in report["verdict"]


def test_an_intent_that_pays_for_the_others_is_named_although_the_whole_is_ahead(world: World) -> None:
    """All of chat is saved at no loss; code loses, which the sum hides."""
    to_b = (INTENT == "code") | HARD
    report = world.compare(world.side("old", np.ones(N)), world.side("new", to_b & ~(HARD & (INTENT == "code"))))
    assert report["stands"] == "ahead"
    assert [reason for reason in report["against"] if "less useful in code" in reason]


def test_a_handful_of_losses_in_a_small_intent_is_no_proof(world: World) -> None:
    intent = INTENT.copy()
    intent[:4] = "rare"
    useful = USEFUL.copy()
    useful[:4] = [0.0, 1.0]
    report = world.compare(
        world.side("old", HARD | (intent == "rare")),
        world.side("new", HARD & (intent != "rare")),
        useful=useful,
        intent=intent,
    )
    rare = next(one for one in report["intents"] if one["intent"] == "rare")
    assert rare["change"]["useful_rate"]["difference"] == -1.0
    assert rare["stands"] == "level"


def test_the_earlier_price_decides_and_the_spec_overrules_it(world: World) -> None:
    before, after = world.side("old", HARD), world.side("new", np.zeros(N))
    dear = replace(after, policy=replace(after.policy, evidence={"useful_value_usd": 0.001}))
    assert world.compare(before, dear)["useful_value_usd"] == 20.0
    cheap = world.compare(before, dear, spec={"objective": {"useless_response_usd": 0.001}})
    assert cheap["useful_value_usd"] == 0.001
    assert cheap["stands"] == "ahead"


def test_without_any_price_usefulness_and_cost_stand_side_by_side(world: World) -> None:
    before, after = (
        replace(world.side(name, to), policy=replace(world.side(name, to).policy, evidence={}))
        for name, to in (("old", np.ones(N)), ("new", HARD))
    )
    assert world.compare(before, after)["stands"] == "ahead"
    assert world.compare(after, before)["stands"] == "behind"
    less = replace(world.side("new", np.zeros(N)), policy=before.policy)
    assert world.compare(before, less)["stands"] == "level"


def test_a_broken_constraint_of_the_spec_speaks_against_it(world: World) -> None:
    spec = {"baseline": "b", "constraints": {"useful_rate": {"relative_to": "baseline", "margin": 0.01}}}
    report = world.compare(world.side("old", HARD), world.side("new", np.zeros(N)), spec=spec)
    assert report["today"]["useful_rate"] == 1.0
    assert "useful_rate does not hold" in report["against"]


def test_candidates_may_come_and_go(world: World) -> None:
    """The new policy has c in the place of a: as cheap, and never wrong."""
    useful = np.column_stack([USEFUL, np.ones(N)])
    report = world.compare(
        world.side("old", HARD),
        world.side("new", HARD, models=("c", "b")),
        useful=useful,
        cost_usd=[[1.0, 10.0, 1.0]] * N,
        latency_ms=100.0,
        models=("a", "b", "c"),
    )
    assert report["moved"]["models"] == ["a", "b", "c"]
    assert report["moved"]["matrix"][0] == [0, 0, 450]
    texts = [change["text"] for change in report["policy_changes"]]
    assert "New candidate c." in texts
    assert "Candidate a is gone." in texts


def test_each_side_has_its_own_fallbacks(world: World) -> None:
    """Where a fails, b takes over in the new policy only: no first choice moves, and yet it is better."""
    failure = np.where(np.stack([HARD, np.zeros(N, bool)], axis=1), "error", "")
    report = world.compare(
        world.side("old", np.zeros(N)), world.side("new", np.zeros(N), fallbacks=(Fallback("b"),)), failure=failure
    )
    assert report["moved"]["requests"] == 0
    assert report["stands"] == "ahead"
    assert report["after"]["useful_rate"] == 1.0


def test_a_threshold_says_how_many_requests_it_moves_alone(world: World) -> None:
    def ladder(least: float) -> LadderRule:
        return LadderRule(1.0, {"a": least, "b": 0.0}, 1.0)

    before, after = (world.side(name, HARD, rule=ladder(least)) for name, least in (("old", 0.5), ("new", 2.0)))
    (change,) = world.compare(before, after)["policy_changes"]
    assert change["path"] == "rule.min_p_useful.a"
    assert change["text"] == "Least P(useful) asked of a: 0.5 → 2 (+300 %)."
    assert change["moved"] == int((~HARD).sum())


def test_requests_of_a_user_count_together(world: World) -> None:
    before, after = world.side("old", HARD), world.side("new", np.zeros(N))
    spec = world.make_spec(("a", "b"))
    users = replace(world.outcomes(), cluster=np.array([f"user:{at // 100}" for at in range(N)], dtype=object))
    report = compare_policies(users, before, after, spec)
    assert report["change"]["clusters"] == 6
    assert all(one["stands"] == "level" for one in report["intents"]), "six users prove nothing in either intent"


def test_logs_tell_what_full_information_tells(world: World) -> None:
    """Of each request only what production served, by the throw of a coin, is known: the truth is inside."""
    before, after = world.side("old", np.ones(N)), world.side("new", HARD)
    generator = np.random.default_rng(0)
    served = generator.integers(0, 2, N)
    hidden = np.arange(2)[None, :] != served[:, None]
    full = world.outcomes(logged=served)
    seen: dict[str, Any] = {
        name: np.where(hidden, np.nan, getattr(full, name)) for name in ("useful", "cost_usd", "latency_ms")
    }
    logged = replace(full, **seen, propensity=np.full(N, 0.5))
    spec = world.make_spec(("a", "b"), constraints={"p95_latency_ms": 250})
    truth = compare_policies(full, before, after, spec)
    told = compare_policies(logged, before, after, spec, logs=True)
    assert told["off_policy"]["tellable"]
    assert told["against"] == []
    assert told["stands"] == truth["stands"] == "ahead"
    for name in ("useful_rate", "cost_usd", "net_value_usd"):
        assert told["change"][name]["low"] <= truth["change"][name]["difference"] <= told["change"][name]["high"], name
    assert told["intents"][0]["lost"] is None
    assert told["verdict"].endswith("estimated from logs.")


def test_logs_that_cannot_tell_speak_against_a_change(world: World) -> None:
    before, after = world.side("old", np.ones(N)), world.side("new", HARD)
    full = world.outcomes(logged=1)
    seen: dict[str, Any] = {name: getattr(full, name) * [np.nan, 1.0] for name in ("useful", "cost_usd", "latency_ms")}
    logged = replace(full, **seen, propensity=np.full(N, 0.99))
    told = compare_policies(logged, before, after, world.make_spec(("a", "b")), logs=True)
    assert not told["off_policy"]["tellable"]
    assert told["against"][0].startswith("the logs cannot tell")


def test_nothing_to_compare_on_is_said(world: World) -> None:
    before = world.side("old", HARD)
    with pytest.raises(TraceError, match="no request"):
        compare_policies(world.outcomes().take(slice(0)), before, before, world.make_spec(("a", "b")))
