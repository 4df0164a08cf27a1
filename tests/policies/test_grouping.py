"""Groups of intents have thresholds of their own where there are requests enough and something to gain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pointsman.grouping import intent_groups, with_groups
from pointsman.objective import Objective
from pointsman.replay import Served
from pointsman.rules import LadderRule, ValueRule
from pointsman.tried import Bench

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.decide import Beliefs
    from pointsman.outcomes import Outcomes
    from pointsman.spec import RoutingSpec

INTENTS = ("chat", "code", "poem", "sum")
COSTS = np.array([0.001, 0.02])
GROUPS = {"intent 0": ("intent 0",), "intent 1": ("intent 1",)}


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([500, 200, 199, 0], {"chat": ("chat",), "code": ("code",)}),
        ([200, 900, 300, 250], {"code": ("code",), "poem": ("poem",), "sum": ("sum",)}),
        ([5000, 0, 0, 0], {}),
        ([10, 20, 30, 40], {}),
    ],
)
def test_only_frequent_intents_have_a_group_of_their_own(counts: list[int], expected: dict[str, Any]) -> None:
    found = intent_groups(counts, INTENTS, at_most=3)
    assert found == expected
    assert list(found) == list(expected)


@pytest.fixture
def make_bench(
    make_outcomes: Callable[..., Outcomes], make_beliefs: Callable[..., Beliefs], make_spec: Callable[..., RoutingSpec]
) -> Callable[[float], Bench]:
    """Return a maker of benches on which the dear candidate is as much better as believed, but for one intent."""

    def make(gap: float) -> Bench:
        rng = np.random.default_rng(0)
        intent = np.arange(2_000) % 2
        believed = np.stack([rng.uniform(0.2, 0.9, 2_000), np.full(2_000, 0.9)])
        true = believed.copy()
        true[1] = np.where(intent == 1, believed[0] + gap * (believed[1] - believed[0]), believed[1])
        useful = rng.random(true.shape) < true
        outcomes = make_outcomes(useful.T.astype(float), np.tile(COSTS, (2_000, 1)))
        beliefs = make_beliefs(intent, believed, believed, COSTS[:, None])
        spec = make_spec(constraints={"useful_rate": {"margin": 0.05}}, baseline="b")
        return Bench(beliefs, Objective(outcomes, Served.by(outcomes, np.ones(2_000, dtype=np.intp)), spec))

    return make


def cost(bench: Bench, rule: Any) -> float:
    evaluation = bench(rule).evaluation
    assert evaluation.feasible
    return evaluation.cost_per_useful


def best_shared(bench: Bench, rules: list[Any]) -> Any:
    return bench.best(rules).rule


@pytest.mark.parametrize("family", ["value", "ladder"])
def test_where_beliefs_are_wrong_in_one_intent_its_group_corrects_them(
    make_bench: Callable[[float], Bench], family: str
) -> None:
    bench = make_bench(0.0)
    if family == "value":
        shared = best_shared(bench, [ValueRule(1.0, value) for value in np.geomspace(0.01, 1, 40).tolist()])
    else:
        shared = best_shared(bench, [LadderRule(1.0, {"a": p, "b": 0.0}) for p in np.linspace(0.2, 0.9, 40).tolist()])
    found: Any = with_groups(shared, GROUPS, bench)
    assert cost(bench, found) < 0.9 * cost(bench, shared)
    changes = found.factor if family == "value" else found.shift
    assert changes["intent 1"] < changes["intent 0"], "less is paid where the dear one is no better"


def test_where_beliefs_are_right_little_is_gained(make_bench: Callable[[float], Bench]) -> None:
    bench = make_bench(1.0)
    shared = best_shared(bench, [ValueRule(1.0, value) for value in np.geomspace(0.01, 1, 400).tolist()])
    found = with_groups(shared, GROUPS, bench)
    assert 0.95 * cost(bench, shared) < cost(bench, found) <= cost(bench, shared)


def test_without_groups_the_rule_stays(make_bench: Callable[[float], Bench]) -> None:
    rule = ValueRule(1.0, 0.1)
    assert with_groups(rule, {}, make_bench(1.0)) is rule
