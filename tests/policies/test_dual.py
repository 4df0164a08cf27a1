"""What the dual bound promises: nothing goes below it, and it is the linear relaxation's value."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.sparse import csr_array

from pointsman.decide import decide
from pointsman.dual import dual_bound, gap_to_dual
from pointsman.expectation import Expectation, Limits, Means
from pointsman.objective import Objective
from pointsman.replay import Served
from pointsman.rules import LadderRule, ValueRule

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.decide import Beliefs
    from pointsman.outcomes import Outcomes
    from pointsman.spec import RoutingSpec


def draw(seed: int, m: int, n: int) -> Expectation:
    """Draw candidates of which dearer ones are better and slower, by and large; some cannot take some requests."""
    generator = np.random.default_rng(seed)
    hard = generator.random(n)
    skill = np.linspace(0.3, 0.95, m)[:, None]
    useful = np.clip(skill + 0.3 * (generator.random((m, n)) - hard), 0, 1)
    cost = np.geomspace(1e-4, 1e-2, m)[:, None] * generator.uniform(0.5, 2, (m, n))
    late = np.clip(generator.normal(np.linspace(0, 0.12, m)[:, None], 0.05, (m, n)), 0, 1)
    eligible = generator.random((m, n)) < 0.8
    eligible[generator.integers(0, m, n), np.arange(n)] = True
    return Expectation(useful.astype(np.float32), cost.astype(np.float32), late.astype(np.float32), eligible)


def relaxation(expectation: Expectation, limits: Limits, useless_usd: float) -> float:
    """Solve the linear relaxation in the variables of Charnes and Cooper (1962): x·t and t, with usefulness 1."""
    m, n = expectation.m, expectation.n
    useful, cost, late = (
        np.asarray(part, dtype=np.float64).ravel() / n
        for part in (expectation.useful, expectation.cost_usd, expectation.late)
    )
    above = [(late, limits.late_share), (cost, limits.cost_usd)]
    rows = [[*values, -limit] for values, limit in above if limit is not None]
    if limits.useful_rate is not None:
        rows.append([*-useful, limits.useful_rate])
    each = csr_array((np.ones(m * n), (np.tile(np.arange(n), m), np.arange(m * n))), shape=(n, m * n + 1)).tolil()
    each[:, -1] = -1.0
    found: Any = linprog(
        [*(cost - useless_usd * useful), useless_usd],
        A_ub=rows or None,
        b_ub=np.zeros(len(rows)) if rows else None,
        A_eq=np.vstack([each.toarray(), [*useful, 0.0]]),
        b_eq=[0.0] * n + [1.0],
        bounds=[(0, None if able else 0) for able in expectation.eligible.ravel()] + [(0, None)],
        method="highs",
    )
    return float(found.fun) if found.status == 0 else float("inf")


limits_drawn = st.builds(
    Limits,
    useful_rate=st.none() | st.floats(0.3, 0.95),
    late_share=st.none() | st.floats(0.01, 0.1),
    cost_usd=st.none() | st.floats(5e-4, 5e-3),
)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 9999), m=st.integers(1, 3), limits=limits_drawn, useless=st.sampled_from([0.0, 0.003]))
def test_nothing_goes_below_the_bound(seed: int, m: int, limits: Limits, useless: float) -> None:
    expectation = draw(seed, m, 5)
    bound = dual_bound(expectation, limits, useless)
    every = [
        expectation.means(np.array(one))
        for one in itertools.product(range(m), repeat=5)
        if expectation.eligible[list(one), range(5)].all()
    ]
    kept = [one.cost_per_useful(useless) for one in every if one.violation(limits).max() <= 0]
    assert min(kept, default=float("inf")) >= bound.cost_per_useful * (1 - 1e-6)
    if bound.means is not None:
        assert bound.means.violation(limits).max() <= 1e-9
        assert bound.means.cost_per_useful(useless) >= min(kept) * (1 - 1e-9)


@pytest.mark.parametrize("useless", [0.0, 0.004])
@pytest.mark.parametrize(
    "limits",
    [
        Limits(),
        Limits(useful_rate=0.8),
        Limits(late_share=0.04),
        Limits(useful_rate=0.75, late_share=0.05),
        Limits(useful_rate=0.75, late_share=0.06, cost_usd=0.004),
        Limits(useful_rate=0.7, cost_usd=0.002),
        Limits(useful_rate=0.99),
        Limits(useful_rate=0.8, cost_usd=0.0005),
    ],
)
def test_the_bound_is_the_linear_relaxation(limits: Limits, useless: float) -> None:
    expectation = draw(1, 4, 150)
    bound = dual_bound(expectation, limits, useless)
    assert bound.cost_per_useful == pytest.approx(relaxation(expectation, limits, useless), rel=1e-6)
    if np.isfinite(bound.cost_per_useful) and None in vars(limits).values():
        assert bound.means is not None
        assert 0 <= bound.means.cost_per_useful(useless) / bound.cost_per_useful - 1 < 0.02


def test_many_requests_leave_no_gap() -> None:
    expectation, limits = draw(2, 6, 20_000), Limits(useful_rate=0.7, late_share=0.06)
    bound = dual_bound(expectation, limits, 0.0)
    assert bound.means is not None
    assert bound.means.cost_per_useful(0.0) / bound.cost_per_useful - 1 < 1e-4


def test_requests_that_are_all_alike_are_split() -> None:
    """One group, 1 and 10 USD, useful in 50 and 100 %; 75 % are wanted: half of them go to the dear one."""
    shape = (2, 100)
    expectation = Expectation(
        np.broadcast_to([[0.5], [1.0]], shape),
        np.broadcast_to([[1.0], [10.0]], shape),
        np.zeros(shape),
        np.ones(shape, dtype=bool),
    )
    bound = dual_bound(expectation, Limits(useful_rate=0.75))
    assert bound.cost_per_useful == pytest.approx(5.5 / 0.75)
    assert bound.means == Means(5.5, 0.75, 0.0)
    assert bound.useful_value_usd == pytest.approx(18.0)


# --- the gap of a rule


@pytest.fixture
def week(
    make_outcomes: Callable[..., Outcomes], make_beliefs: Callable[..., Beliefs], make_spec: Callable[..., RoutingSpec]
) -> tuple[Beliefs, Objective]:
    """Draw 5,000 requests whose outcomes follow the beliefs."""
    expectation = draw(3, 4, 5000)
    generator = np.random.default_rng(0)
    outcomes = make_outcomes(
        (generator.random((5000, 4)) < expectation.useful.T).astype(float),
        expectation.cost_usd.T,
        np.where(generator.random((5000, 4)) < expectation.late.T, 500.0, 100.0),
    )
    flat: Any = expectation.useful.mean(axis=1, keepdims=True)
    beliefs = make_beliefs(np.zeros(5000), expectation.useful, flat, expectation.cost_usd, expectation.late)
    rate = {"margin": 0.05, "relative_to": "baseline"}
    spec = make_spec(outcomes.models, constraints={"useful_rate": rate, "p95_latency_ms": 220.0})
    return beliefs, Objective(outcomes, Served.by(outcomes, np.full(5000, 2)), spec)


def test_the_best_value_rule_is_within_a_percent(week: tuple[Beliefs, Objective]) -> None:
    beliefs, objective = week
    found = gap_to_dual(beliefs, ValueRule(1.0, 0.01, 0.001), objective, baseline=2)
    assert 0 <= found.family_gap < 0.01
    assert 0 <= found.assignment_gap < 0.01
    own = gap_to_dual(beliefs, ValueRule(1.0, found.bound.useful_value_usd, found.bound.late_cost_usd), objective, 2)
    assert abs(own.gap) < 0.01
    assert 0 <= own.own_gap < 1e-3


def test_the_gap_is_measured_on_what_the_rule_believes(week: tuple[Beliefs, Objective]) -> None:
    beliefs, objective = week
    wasteful = LadderRule(1.0, {"a": 2.0, "b": 2.0, "c": 0.0, "d": 0.0})
    found = gap_to_dual(beliefs, wasteful, objective, baseline=2)
    chosen, n = decide(beliefs, wasteful), np.arange(5000)
    assert found.believed.cost_usd == pytest.approx(beliefs.cost_usd[chosen, n].mean())
    assert found.believed.useful_rate == pytest.approx(beliefs.query_useful[chosen, n].mean())
    assert found.gap > 0.1
    assert found.own_gap > 0.1
    blind = gap_to_dual(beliefs, LadderRule(0.0, dict(wasteful.min_p_useful)), objective, baseline=2)
    assert blind.bound.cost_per_useful > found.bound.cost_per_useful


def test_what_cannot_hold_has_no_finite_bound(week: tuple[Beliefs, Objective]) -> None:
    beliefs, objective = week
    beliefs.late[:] = 1.0
    found = gap_to_dual(beliefs, ValueRule(1.0, 0.01), objective, baseline=2)
    assert found.bound.cost_per_useful == float("inf")
    assert found.to_dict()["dual_bound"] is None
    assert found.to_dict()["gap_to_dual"] is None
