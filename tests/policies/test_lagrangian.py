"""The Lagrangian's rules reach the optimum of their family: the grid alone does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pointsman.dual import gap_to_dual
from pointsman.lagrangian import TRUSTS, lagrangian_rules
from pointsman.objective import Objective
from pointsman.replay import Served
from pointsman.space import Space
from pointsman.tried import Bench, rank

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.decide import Beliefs
    from pointsman.outcomes import Outcomes
    from pointsman.spec import RoutingSpec

N, M = 4000, 4


@pytest.fixture
def known(
    make_outcomes: Callable[..., Outcomes], make_beliefs: Callable[..., Beliefs], make_spec: Callable[..., RoutingSpec]
) -> Callable[..., tuple[Space, Bench]]:
    """Draw requests whose outcomes are known beforehand: beliefs are what will happen, usefulness a share."""
    generator = np.random.default_rng(0)
    useful = np.clip(np.linspace(0.4, 0.95, M)[:, None] + 0.4 * (generator.random((M, N)) - generator.random(N)), 0, 1)
    cost = np.geomspace(1e-4, 1e-2, M)[:, None] * generator.uniform(0.5, 2, (M, N))
    late = (generator.random((M, N)) < np.linspace(0, 0.12, M)[:, None]).astype(float)
    outcomes = make_outcomes(useful.T, cost.T, np.where(late.T > 0, 500.0, 100.0))
    beliefs = make_beliefs(np.zeros(N), useful, useful.mean(axis=1, keepdims=True), cost, late)
    before = Served.by(outcomes, np.full(N, M - 2))

    def make(useless_usd: float = 0.0, **constraints: Any) -> tuple[Space, Bench]:
        priced = {"objective": {"useless_response_usd": useless_usd}}
        spec = make_spec(outcomes.models, {**constraints, "confidence": 0.5}, **priced)
        objective = Objective(outcomes, before, spec)
        return Space.of(beliefs, objective, outcomes.models), Bench(beliefs, objective)

    return make


MARGIN = {"margin": 0.03, "relative_to": "baseline"}


@pytest.mark.parametrize(
    "constraints",
    [
        {"useful_rate": 0.75},
        {"useful_rate": MARGIN},
        {"useful_rate": MARGIN, "p95_latency_ms": 220.0},
        {"p95_latency_ms": 220.0, "useless_usd": 0.01},
    ],
)
def test_the_best_rule_is_near_the_dual_bound(constraints: Any, known: Callable[..., tuple[Space, Bench]]) -> None:
    space, bench = known(**constraints)
    best = lagrangian_rules(space, bench)[0]
    grid = bench.best(rule for trust in TRUSTS for rule in space.grid(trust))
    found = bench(best).evaluation
    assert found.feasible
    assert rank(found) <= rank(grid.evaluation)
    bound = gap_to_dual(bench.beliefs, type(best)(1.0, best.useful_value_usd), bench.objective).bound
    # What the bounds of the constraints keep in reserve at a confidence of one half is next to nothing.
    assert -1e-6 <= found.cost_per_useful / bound.cost_per_useful - 1 < 0.01


def test_without_a_constraint_the_ratio_finds_its_own_price(known: Callable[..., tuple[Space, Bench]]) -> None:
    """At the optimum the price of a useful response is what one costs, a useless one's price included."""
    space, bench = known(useless_usd=0.004)
    best = lagrangian_rules(space, bench)[0]
    ratio = bench(best).evaluation.cost_per_useful
    bound = gap_to_dual(bench.beliefs, best, bench.objective).bound
    assert ratio == pytest.approx(bound.cost_per_useful, rel=1e-6)
    assert bound.useful_value_usd == pytest.approx(0.004 + ratio, rel=1e-5)


def test_the_best_of_each_trust_comes_back_the_best_first(known: Callable[..., tuple[Space, Bench]]) -> None:
    space, bench = known(useful_rate=0.75)
    found = lagrangian_rules(space, bench)
    assert len(found) == len(TRUSTS)
    ranks = [rank(bench(rule).evaluation) for rule in found]
    assert ranks == sorted(ranks)
    assert {rule.trust for rule in found[1:]} <= set(TRUSTS)


def test_a_chunk_at_a_time_decides_alike(known: Callable[..., tuple[Space, Bench]], monkeypatch: Any) -> None:
    space, bench = known(useful_rate=0.75)
    rule = space.along(0.5, 0.01, 0.0)
    whole = bench.choose(rule)
    monkeypatch.setattr("pointsman.tried.CHUNK", 17)
    np.testing.assert_array_equal(Bench(bench.beliefs, bench.objective).choose(rule), whole)
