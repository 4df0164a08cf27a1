"""What a constraint needs to hold, and to be proven; what the search minimises."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from pointsman.objective import Check, Objective, checks
from pointsman.outcomes import Outcomes
from pointsman.replay import Served
from pointsman.spec import RoutingSpec

MakeOutcomes = Callable[..., Outcomes]
MakeServed = Callable[..., Served]
MakeSpec = Callable[..., RoutingSpec]

ONE_SIDED_95 = 1.6448536269514722


def only(served: Served, before: Served, spec: RoutingSpec) -> Check:
    (check,) = checks(served, before, spec)
    return check


# --- shares of requests


@given(n=st.integers(1, 200), data=st.data(), confidence=st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_late_requests_are_bounded_by_clopper_and_pearson(
    n: int, data: st.DataObject, confidence: float, make_served: MakeServed, make_spec: MakeSpec
) -> None:
    late = data.draw(st.integers(0, n))
    served = make_served([1] * n, latency_ms=[221.0] * late + [220.0] * (n - late))
    check = only(served, served, make_spec(constraints={"p95_latency_ms": 220, "confidence": confidence}))
    reference = binomtest(late, n, alternative="less").proportion_ci(confidence, method="exact").high
    assert (check.name, check.limit) == ("p95_latency_ms", 0.05)
    assert check.value == late / n
    assert check.bound == pytest.approx(reference)
    assert check.held == (20 * late <= n)
    assert check.certified == (reference <= 0.05)


def test_hallucination_counts_where_it_is_known(make_served: MakeServed, make_spec: MakeSpec) -> None:
    served = make_served([1] * 100, hallucinated=[1] * 2 + [0] * 38 + [np.nan] * 60)
    check = only(served, served, make_spec(constraints={"hallucination_rate": 0.1}))
    assert check.value == 2 / 40
    assert check.bound == pytest.approx(binomtest(2, 40, alternative="less").proportion_ci(0.95).high)
    assert check.verdict == "held"


def test_unknown_hallucination_proves_nothing(make_served: MakeServed, make_spec: MakeSpec) -> None:
    served = make_served([1] * 100)
    check = only(served, served, make_spec(constraints={"hallucination_rate": 0.1}))
    assert (check.value, check.bound, check.verdict) == (1, 1, "broken")


# --- usefulness


def test_usefulness_against_an_absolute_rate(make_served: MakeServed, make_spec: MakeSpec) -> None:
    """10 of 98 useless, and by Agresti and Caffo one more of either kind: 11 of 100."""
    served = make_served([0] * 10 + [1] * 88)
    check = only(served, served, make_spec(constraints={"useful_rate": 0.8}))
    deviation = math.sqrt((11 * 0.89**2 + 89 * 0.11**2) / 99)
    assert check.value == pytest.approx(10 / 98)
    assert check.bound == pytest.approx(0.11 + ONE_SIDED_95 * deviation / 10)
    assert check.limit == pytest.approx(0.2)
    assert check.verdict == "certified"


def test_usefulness_relative_to_the_baseline_is_paired(make_served: MakeServed, make_spec: MakeSpec) -> None:
    """Of 98 requests 3 lost and 1 won: with one more of either, 4 and 2 of 100."""
    before = make_served([1] * 3 + [0] + [1] * 94)
    served = make_served([0] * 3 + [1] + [1] * 94)
    check = only(served, before, make_spec(constraints={"useful_rate": {"relative_to": "baseline", "margin": 0.1}}))
    deviation = math.sqrt((4 * 0.98**2 + 2 * 1.02**2 + 94 * 0.02**2) / 99)
    assert check.value == pytest.approx(2 / 98)
    assert check.bound == pytest.approx(0.02 + ONE_SIDED_95 * deviation / 10)
    assert check.verdict == "certified"


def test_a_bound_errs_as_often_as_it_says(make_served: MakeServed, make_spec: MakeSpec) -> None:
    """True loss 2 points; 400 samples of 300 requests: about 5 % of the bounds lie below it."""
    generator = np.random.default_rng(0)
    spec = make_spec(constraints={"useful_rate": {"margin": 0.01}})
    missed = 0
    for _ in range(400):
        change = generator.choice([-1, 0, 1], 300, p=[0.06, 0.9, 0.04])
        before, served = make_served(change < 0), make_served(change > 0, 2.0)
        missed += only(served, before, spec).bound < 0.02
    assert binomtest(missed, 400, 0.05).pvalue > 0.001


@pytest.mark.parametrize("useful", [0.9, {"margin": 0.05}])
def test_few_requests_that_all_went_well_prove_little(
    useful: Any, make_served: MakeServed, make_spec: MakeSpec
) -> None:
    spec = make_spec(constraints={"useful_rate": useful})
    verdicts = [only(make_served([1] * n, 2.0), make_served([1] * n, 1.0), spec).verdict for n in (1, 10, 1000)]
    assert verdicts == ["held", "held", "certified"]


def test_what_is_served_as_before_loses_nothing(make_served: MakeServed, make_spec: MakeSpec) -> None:
    spec = make_spec(constraints={"useful_rate": {"margin": 0.0, "relative_to": "baseline"}})
    before = make_served([1, 0, 1, 0.5], [1, 2, 3, 4])
    assert only(before, before, spec).bound == 0
    assert only(before, before, spec).certified
    # A fallback rescues a request that served nobody: still nothing is lost, however few requests there are.
    rescued = make_served([1, 1, 1, 0.5], [1, 9, 3, 4])
    assert only(rescued, before, spec).certified
    # Another model was just as useful to a request: luck, perhaps.
    elsewhere = make_served([1, 0, 1, 0.5], [1, 2, 3, 1])
    assert only(elsewhere, before, spec).verdict == "held"


def test_a_negative_margin_asks_for_more_than_today(make_served: MakeServed, make_spec: MakeSpec) -> None:
    spec = make_spec(constraints={"useful_rate": {"margin": -0.1, "relative_to": "baseline"}})
    before = make_served([0.5] * 500)
    assert only(before, before, spec).verdict == "broken"
    assert only(make_served([1] * 500), before, spec).verdict == "certified"


@pytest.mark.parametrize(("rate", "useful"), [(0.9, 9), (0.7, 7), (0.3, 3)])
def test_exactly_the_rate_is_held(rate: float, useful: int, make_served: MakeServed, make_spec: MakeSpec) -> None:
    served = make_served([1] * useful + [0] * (10 - useful))
    assert only(served, served, make_spec(constraints={"useful_rate": rate})).verdict == "held"


# --- budget


def test_the_budget_is_for_a_day_of_the_traffic(make_served: MakeServed, make_spec: MakeSpec) -> None:
    """3,000 requests a month are 100 a day; costs 1, 2, 3 make 200 USD a day, their deviation 100."""
    served = make_served([1, 1, 1], [1, 2, 3])

    def budget(limit: float) -> Check:
        constraints = {"budget_usd_per_day": limit}
        return only(served, served, make_spec(constraints=constraints, requests_per_month=3000))

    check = budget(250)
    assert check.value == pytest.approx(200)
    assert check.bound == pytest.approx(200 + ONE_SIDED_95 * 100 / math.sqrt(3))
    assert check.slack == pytest.approx(check.bound / 250 - 1)
    assert [budget(limit).verdict for limit in (99, 199, 200, 250, 300)] == [
        "broken",
        "missed",
        "held",
        "held",
        "certified",
    ]


def test_one_request_proves_no_budget(make_served: MakeServed, make_spec: MakeSpec) -> None:
    spec = make_spec(constraints={"budget_usd_per_day": 110}, requests_per_month=3000)
    assert only(make_served([1], 1.0), make_served([1]), spec).verdict == "held"


# --- all together


def test_checks_are_plain_json(make_served: MakeServed, make_spec: MakeSpec) -> None:
    everything = {
        "p95_latency_ms": 220,
        "useful_rate": {"margin": 0.01},
        "hallucination_rate": 0.1,
        "budget_usd_per_day": 5,
    }
    served = make_served([1, 0, 1])
    found = checks(served, served, make_spec(constraints=everything, requests_per_month=10))
    assert [check.name for check in found] == list(everything)
    for check in found:
        document = json.loads(json.dumps(check.to_dict(), allow_nan=False))
        assert document["verdict"] in {"certified", "held", "missed", "broken"}
        assert set(document) == {
            "name",
            "value",
            "bound",
            "limit",
            "slack",
            "held",
            "unit",
            "verdict",
            "error",
            "low",
            "scale",
        }
    assert checks(served, served, make_spec()) == ()


def test_the_objective_gathers_what_was_chosen(make_outcomes: MakeOutcomes, make_spec: MakeSpec) -> None:
    generator = np.random.default_rng(0)
    outcomes = make_outcomes(*generator.random((4, 7, 3)))
    chosen = generator.integers(0, 3, 7)
    served, plain = (
        Objective(outcomes, Served.by(outcomes, chosen), make_spec()).served(chosen),
        Served.by(outcomes, chosen),
    )
    for name, values in vars(plain).items():
        np.testing.assert_array_equal(getattr(served, name), values)


def test_the_objective_is_cost_per_useful_response_with_a_price_for_failure(
    make_outcomes: MakeOutcomes, make_spec: MakeSpec
) -> None:
    """Column a: 3 useful of 4, 8 USD in all; column b serves nobody."""
    outcomes = make_outcomes(
        [[1, 0], [1, 0], [1, 0], [0, 0]], [[1, 1], [2, 1], [2, 1], [3, 1]], [[9, 1], [1, 1], [1, 1], [1, 1]]
    )
    before = Served.by(outcomes, np.zeros(4, dtype=np.intp))
    free = Objective(outcomes, before, make_spec())(np.zeros(4, dtype=np.intp))
    assert free.cost_per_useful == pytest.approx(8 / 3)
    assert (free.useful_rate, free.mean_cost_usd, free.late_share) == (0.75, 2.0, 0.0)
    assert free.feasible
    priced = make_spec(objective={"useless_response_usd": 5}, constraints={"p95_latency_ms": 8, "useful_rate": 0.9})
    found = Objective(outcomes, before, priced)(np.zeros(4, dtype=np.intp))
    assert found.cost_per_useful == pytest.approx((8 + 5) / 3)
    assert found.late_share == 0.25
    assert not found.feasible
    assert found.violation == pytest.approx(sum(check.bound - check.limit for check in found.checks))
    assert Objective(outcomes, before, priced)(np.ones(4, dtype=np.intp)).cost_per_useful == float("inf")
