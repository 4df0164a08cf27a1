"""What a replay counts: quantiles, sums, chains of fallbacks, and the baselines beside it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.decide import Reading, believe
from pointsman.errors import TraceError
from pointsman.outcomes import Outcomes
from pointsman.policy import Fallback, Policy
from pointsman.replay import (
    COLUMNS,
    Served,
    assigned_columns,
    baseline_columns,
    baselines,
    facts_of,
    quantile,
    with_fallbacks,
)

MakeOutcomes = Callable[..., Outcomes]
MakeServed = Callable[..., Served]
MakePolicy = Callable[..., Policy]

few_values = st.lists(st.integers(0, 9).map(float), min_size=1, max_size=60)
shares = st.sampled_from([0.01, 0.05, 0.5, 0.9, 0.95, 0.99, 1.0])


# --- quantile


@given(few_values, shares)
def test_a_quantile_is_the_smallest_value_with_its_share_at_or_below(values: list[float], share: float) -> None:
    enough = [v for v in values if sum(w <= v for w in values) >= share * len(values) - 1e-6]
    assert quantile(np.array(values), share) == min(enough)


@given(few_values, st.integers(0, 9))
def test_p95_keeps_a_limit_if_and_only_if_at_most_one_in_twenty_is_later(values: list[float], limit: int) -> None:
    at_most_5_percent = 20 * sum(v > limit for v in values) <= len(values)
    assert (quantile(np.array(values), 0.95) <= limit) == at_most_5_percent


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), min_size=1, max_size=30), shares)
def test_a_weight_is_the_same_as_repeated_rows(rows: list[tuple[int, int]], share: float) -> None:
    values, times = np.array(rows).T
    weighted = quantile(values.astype(float), share, times.astype(float))
    assert weighted == quantile(np.repeat(values, times).astype(float), share)


@given(few_values, shares, st.sampled_from([1e-6, 0.1, 1 / 3, 0.7, 1e6]))
def test_only_the_proportions_of_weights_count(values: list[float], share: float, weight: float) -> None:
    assert quantile(np.array(values), share, np.full(len(values), weight)) == quantile(np.array(values), share)


def test_quantiles_by_hand() -> None:
    assert quantile(np.array([7.0]), 0.95) == 7
    assert quantile(np.array([3.0, 3.0, 3.0, 9.0]), 0.75) == 3
    assert quantile(np.arange(1.0, 21.0), 0.95) == 19
    assert quantile(np.array([1.0, 2.0]), 0.5, np.array([0.2, 0.8])) == 2


# --- summary


def test_a_summary_has_the_metrics_of_the_report(make_served: MakeServed) -> None:
    served = make_served([1, 0, 1, 1], [0.1, 0.2, 0.3, 0.6], [10, 20, 30, 40], [0, 1, np.nan, 0])
    assert served.summary(requests_per_month=1000) == pytest.approx(
        {
            "requests": 4,
            "useful_rate": 0.75,
            "cost_usd": 1.2,
            "cost_per_useful": 0.4,
            "p50_ms": 20,
            "p95_ms": 40,
            "hallucination_rate": 1 / 3,
            "cost_usd_per_month": 300,
        }
    )


def test_what_is_unknown_is_null(make_served: MakeServed) -> None:
    summary = make_served([0, 0]).summary()
    assert summary["cost_per_useful"] is None
    assert summary["hallucination_rate"] is None
    assert summary["cost_usd_per_month"] is None


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 9), st.integers(1, 4)), min_size=1, max_size=20))
def test_a_mixture_counts_its_rows_by_weight(rows: list[tuple[float, float, int]]) -> None:
    useful, cost, times = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    late, unknown = 1000 * cost, np.full(len(rows), np.nan)
    repeated = [np.repeat(column, times.astype(int)) for column in (useful, cost, late, unknown)]
    weighted, plain = Served(useful, cost, late, unknown, times).summary(), Served(*repeated).summary()
    assert weighted.keys() == plain.keys()
    for name, value in plain.items():
        assert weighted[name] == (value if value is None else pytest.approx(value))


# --- fallbacks


def chain(outcomes: Outcomes, policy: Policy) -> Outcomes:
    """Fold the fallbacks in, with beliefs that send every request to the first intent."""
    facts = facts_of(outcomes)
    probs = np.eye(len(policy.intents))[np.zeros(len(outcomes), dtype=int)]
    beliefs = believe(Reading(probs, np.full((len(outcomes), len(policy.models)), 0.5)), facts, policy)
    return with_fallbacks(outcomes, beliefs, facts, policy)


def test_a_chain_costs_and_lasts_all_its_attempts_and_is_as_useful_as_the_last(
    make_outcomes: MakeOutcomes, make_policy: MakePolicy
) -> None:
    outcomes = make_outcomes(
        useful=[[0, 0, 0.7]],
        cost_usd=[[1, 2, 4]],
        latency_ms=[[10, 20, 40]],
        hallucinated=[[np.nan, np.nan, 1]],
        failure=[["timeout", "error", ""]],
    )
    policy = make_policy(("a", "b", "c"), fallbacks=(Fallback("a"), Fallback("b"), Fallback("c")))
    chained = chain(outcomes, policy)
    # From a: a, b, c. From b: b, then a (first in the list), then c.
    np.testing.assert_array_equal(chained.cost_usd, [[7, 7, 4]])
    np.testing.assert_array_equal(chained.latency_ms, [[70, 70, 40]])
    np.testing.assert_array_equal(chained.useful, [[0.7, 0.7, 0.7]])
    np.testing.assert_array_equal(chained.hallucinated, [[1, 1, 1]])
    np.testing.assert_array_equal(chained.failure, [["", "", ""]])


def test_a_chain_stops_at_the_first_answer(make_outcomes: MakeOutcomes, make_policy: MakePolicy) -> None:
    outcomes = make_outcomes([[0, 0.2, 1]], cost_usd=[[1, 2, 4]], failure=[["error", "", ""]])
    chained = chain(outcomes, make_policy(("a", "b", "c"), fallbacks=(Fallback("b"), Fallback("c"))))
    np.testing.assert_array_equal(chained.cost_usd, [[3, 2, 4]])
    np.testing.assert_array_equal(chained.useful, [[0.2, 0.2, 1]])


@pytest.mark.parametrize(("when", "helped"), [((), True), (("timeout",), True), (("error",), False)])
def test_a_fallback_serves_its_kinds_of_failure(
    when: tuple[str, ...], helped: bool, make_outcomes: MakeOutcomes, make_policy: MakePolicy
) -> None:
    outcomes = make_outcomes([[0, 1]], failure=[["timeout", ""]])
    chained = chain(outcomes, make_policy(fallbacks=(Fallback("b", when),)))
    assert chained.useful[0, 0] == helped


@pytest.mark.parametrize(("threshold", "helped"), [(99.0, False), (100.0, False), (101.0, True), (None, True)])
def test_a_fallback_is_tried_only_while_the_request_is_under_way_for_less_than_its_threshold(
    threshold: float | None, helped: bool, make_outcomes: MakeOutcomes, make_policy: MakePolicy
) -> None:
    outcomes = make_outcomes([[0, 1]], latency_ms=[[100, 1]], failure=[["error", ""]])
    chained = chain(outcomes, make_policy(fallbacks=(Fallback("b", (), threshold),)))
    assert chained.useful[0, 0] == helped


def test_no_model_is_tried_twice(make_outcomes: MakeOutcomes, make_policy: MakePolicy) -> None:
    outcomes = make_outcomes([[0, 0]], cost_usd=[[1, 2]], failure="error")
    chained = chain(outcomes, make_policy(fallbacks=(Fallback("b"), Fallback("a"), Fallback("b"))))
    np.testing.assert_array_equal(chained.cost_usd, [[3, 3]])


def test_a_model_may_stand_in_the_list_for_several_reasons(
    make_outcomes: MakeOutcomes, make_policy: MakePolicy
) -> None:
    """The first entry does not serve this failure, so the second may."""
    outcomes = make_outcomes([[0, 1], [0, 1]], failure=[["timeout", ""], ["error", ""]])
    policy = make_policy(fallbacks=(Fallback("b", ("error",)), Fallback("b", ("timeout",), 200.0)))
    np.testing.assert_array_equal(chain(outcomes, policy).useful[:, 0], [1, 1])


def test_a_fallback_is_kept_to_its_intents(make_outcomes: MakeOutcomes, make_policy: MakePolicy) -> None:
    outcomes = make_outcomes([[0, 1]], failure=[["error", ""]])
    for intent, helped in (("chat", 1), ("code", 0)):
        policy = make_policy(intents=("chat", "code"), fallbacks=(Fallback("b", (intent,)),))
        assert chain(outcomes, policy).useful[0, 0] == helped


@pytest.mark.parametrize("column", ["useful", "cost_usd", "latency_ms"])
def test_a_fallback_with_an_unknown_outcome_is_passed_over(
    column: str, make_outcomes: MakeOutcomes, make_policy: MakePolicy
) -> None:
    known = {"useful": [[0.0, 1, 1]], "cost_usd": [[1.0, 2, 4]], "latency_ms": [[1.0, 2, 4]]}
    known[column][0][1] = np.nan
    outcomes = make_outcomes(**known, failure=[["error", "", ""]])
    chained = chain(outcomes, make_policy(("a", "b", "c"), fallbacks=(Fallback("b"), Fallback("c"))))
    assert chained.cost_usd[0, 0] == known["cost_usd"][0][0] + known["cost_usd"][0][2]


@given(data=st.data())
def test_requests_without_failure_are_left_alone(
    data: st.DataObject, make_outcomes: MakeOutcomes, make_policy: MakePolicy
) -> None:
    generator = np.random.default_rng(data.draw(st.integers(0, 999)))
    failure = generator.choice(["", "timeout", "error"], (6, 3), p=[0.6, 0.2, 0.2]).astype(object)
    useful = np.where(failure == "", generator.random((6, 3)), 0.0)
    cost, latency = generator.integers(1, 9, (2, 6, 3))
    outcomes = make_outcomes(useful, cost, latency, failure=failure)
    words: Any = st.sampled_from([(), ("timeout",), ("error",), ("chat",), ("image",)])
    entries = st.builds(Fallback, st.sampled_from("abc"), words, st.none() | st.sampled_from([5.0, 12.0]))
    policy = make_policy(("c", "a", "b"), fallbacks=tuple(data.draw(st.lists(entries, max_size=4))))
    single, chained = outcomes.reorder(policy.models), chain(outcomes, policy)
    answered = single.failure == ""
    for name in (*COLUMNS, "failure"):
        np.testing.assert_array_equal(getattr(chained, name)[answered], getattr(single, name)[answered])
    # And no chain is cheaper, faster or less useful than its first attempt, for a failed attempt served nobody.
    assert (chained.cost_usd >= single.cost_usd).all()
    assert (chained.latency_ms >= single.latency_ms).all()
    assert (chained.useful >= single.useful).all()


# --- baselines


def test_a_baseline_is_a_model_or_what_was_logged(make_outcomes: MakeOutcomes) -> None:
    outcomes = make_outcomes([[1, 0], [0, 1]], logged=[1, 0])
    np.testing.assert_array_equal(baseline_columns(outcomes, "b"), [1, 1])
    np.testing.assert_array_equal(baseline_columns(outcomes, "as_logged"), [1, 0])
    with pytest.raises(TraceError, match="1 of 2 requests"):
        baseline_columns(make_outcomes([[1, 0], [0, 1]], logged=[1, -1]), "as_logged")


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Any, Any, Any]:
    """Draw usefulness and cost of up to four candidates, and a choice among them."""
    n, m = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    generator = np.random.default_rng(draw(st.integers(0, 9999)))
    useful, cost = generator.choice([0.0, 0.5, 1.0], (n, m)), generator.integers(1, 9, (n, m)) * np.arange(1, m + 1)
    return useful, cost, generator.integers(0, m, n)


@given(world=worlds())
def test_every_candidate_stands_alone(world: tuple[Any, Any, Any], make_outcomes: MakeOutcomes) -> None:
    outcomes = make_outcomes(*world[:2])
    after = Served.by(outcomes, world[2])
    found = baselines(outcomes, after, outcomes.intent, {}, "a")
    for column, model in enumerate(outcomes.models):
        always = found[f"always:{model}"]
        assert always is not None
        np.testing.assert_array_equal(always.cost_usd, outcomes.cost_usd[:, column])
        np.testing.assert_array_equal(always.useful, outcomes.useful[:, column])


@given(world=worlds())
def test_random_spends_as_much_and_is_the_best_mixture_of_two(
    world: tuple[Any, Any, Any], make_outcomes: MakeOutcomes
) -> None:
    outcomes = make_outcomes(*world[:2])
    after = Served.by(outcomes, world[2])
    found = baselines(outcomes, after, outcomes.intent, {}, "a")["random_same_cost"]
    assert found is not None
    assert found.requests == len(outcomes)
    rows = len(outcomes)
    weight = np.ones(rows) if found.weight is None else found.weight
    cost, useful = float(weight @ found.cost_usd) / rows, float(weight @ found.useful) / rows
    costs, rates = outcomes.cost_usd.mean(axis=0), outcomes.useful.mean(axis=0)
    spent = float(after.cost_usd.mean())
    if not costs.min() <= spent <= costs.max():  # out of any mixture's reach: the nearest thing that makes sense
        assert (cost, useful) == pytest.approx(
            (costs.min(), rates[costs.argmin()]) if spent < costs.min() else (cost, rates.max())
        )
        return
    assert cost == pytest.approx(spent)
    for low, high in itertools.permutations(range(len(costs)), 2):
        if costs[low] < spent < costs[high]:
            share = (costs[high] - spent) / (costs[high] - costs[low])
            assert useful >= share * rates[low] + (1 - share) * rates[high] - 1e-9
    assert useful <= rates.max() + 1e-9


def test_random_by_hand(make_outcomes: MakeOutcomes, make_served: MakeServed) -> None:
    """Costs 1, 2, 4 and rates 0, 0.9, 1: 3 USD is half b and half c; a and c would make 0.67 only."""
    outcomes = make_outcomes([[0, 0.9, 1]] * 3, cost_usd=[[1, 2, 4]] * 3)
    found = baselines(outcomes, make_served([1] * 3, 3.0), outcomes.intent, {}, "a")["random_same_cost"]
    assert found is not None
    summary = found.summary()
    assert summary["requests"] == 3
    assert summary["cost_usd"] == pytest.approx(9)
    assert summary["useful_rate"] == pytest.approx(0.95)


@pytest.mark.parametrize(
    ("spent", "model"), [(1.0, "a"), (0.5, "a"), (4.0, "c"), (1 - 1e-16, "a"), (4.000000000000001, "c")]
)
def test_random_at_the_ends_is_one_candidate(
    spent: float, model: str, make_outcomes: MakeOutcomes, make_served: MakeServed
) -> None:
    """Also where the mean differs from a candidate's by its rounding."""
    outcomes = make_outcomes([[0, 1, 0.5]], cost_usd=[[1, 2, 4]], hallucinated=[[0, 1, np.nan]])
    found = baselines(outcomes, make_served([1], spent), outcomes.intent, {}, "a")
    random, always = found["random_same_cost"], found[f"always:{model}"]
    assert random is not None
    assert always is not None
    assert random.summary() == always.summary()


def test_random_dearer_than_any_candidate_is_the_most_useful_one(
    make_outcomes: MakeOutcomes, make_served: MakeServed
) -> None:
    outcomes = make_outcomes([[0, 1, 0.5]], cost_usd=[[1, 2, 4]])
    found = baselines(outcomes, make_served([1], 5.0), outcomes.intent, {}, "a")["random_same_cost"]
    assert found is not None
    assert found.summary()["useful_rate"] == 1


@given(world=worlds())
def test_the_oracle_is_the_cheapest_of_the_most_useful(
    world: tuple[Any, Any, Any], make_outcomes: MakeOutcomes
) -> None:
    outcomes = make_outcomes(*world[:2])
    after = Served.by(outcomes, world[2])
    oracle = baselines(outcomes, after, outcomes.intent, {}, "a")["oracle"]
    assert oracle is not None
    for row in range(len(outcomes)):
        best = max(outcomes.useful[row])
        assert oracle.useful[row] == best
        assert oracle.cost_usd[row] == min(outcomes.cost_usd[row][outcomes.useful[row] == best])


def test_best_per_intent_goes_by_the_labels(make_outcomes: MakeOutcomes, make_served: MakeServed) -> None:
    outcomes = make_outcomes([[1, 0], [0, 1], [0.3, 0.4]], intent=["chat", "code", ""])
    after = make_served([1, 1, 1])
    found = baselines(outcomes, after, outcomes.intent, {"chat": "a", "code": "b"}, "b")["best_per_intent"]
    assert found is not None
    np.testing.assert_array_equal(found.useful, [1, 1, 0.4])


def test_best_per_intent_is_unknown_without_labels_or_assignment(
    make_outcomes: MakeOutcomes, make_served: MakeServed
) -> None:
    outcomes, after = make_outcomes([[1, 0], [0, 1]]), make_served([1, 1])
    assert baselines(outcomes, after, outcomes.intent, {"chat": "a"}, "b")["best_per_intent"] is None
    labelled = make_outcomes([[1, 0], [0, 1]], intent="chat")
    assert baselines(labelled, after, labelled.intent, {}, "b")["best_per_intent"] is None
    assert baselines(labelled, after, labelled.intent, {"any": "a"}, "b")["best_per_intent"] is None


def test_an_intent_too_rare_to_be_learned_goes_where_other_goes(make_outcomes: MakeOutcomes) -> None:
    outcomes = make_outcomes([[1, 0, 0]] * 3, intent=["chat", "rare", ""])
    with_other = assigned_columns(outcomes, outcomes.intent, {"chat": "a", "other": "b"}, "c")
    np.testing.assert_array_equal(with_other, [0, 1, 2])
    without = assigned_columns(outcomes, outcomes.intent, {"chat": "a"}, "c")
    np.testing.assert_array_equal(without, [0, 2, 2])
