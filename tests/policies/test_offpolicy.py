"""What off-policy estimates must be: exact with full information, unbiased over all logs, honest about their spread."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pointsman.errors import TraceError
from pointsman.intervals import (
    Estimate,
    difference,
    interval,
    mean_interval,
    ratio,
    ratio_interval,
    standard_error,
)
from pointsman.offpolicy import (
    ESTIMATORS,
    doubly_robust_table,
    effective_sample_size,
    estimate,
    importance_weights,
    late_table,
    logged_mean,
    out_of_fold_means,
    pseudo_outcomes,
    weighted_quantile,
)
from pointsman.outcomes import Outcomes
from pointsman.propensity import Propensities
from pointsman.resample import units_of

Floats = NDArray[np.float64]
MakeOutcomes = Callable[..., Outcomes]


def log_of(values: Floats, logged: NDArray[np.intp], chances: Floats) -> tuple[Floats, Propensities]:
    """Hide all but the logged outcome."""
    n, m = values.shape
    hidden = np.where(np.arange(m) == logged[:, None], values, np.nan)
    return hidden, Propensities(logged, chances[np.arange(n), logged], np.zeros(n, dtype=np.bool_))


def random_log(seed: int, n: int, m: int = 3) -> tuple[Floats, Floats, Propensities, NDArray[np.intp]]:
    generator = np.random.default_rng(seed)
    values = (generator.random((n, m)) < np.linspace(0.5, 0.9, m)).astype(np.float64)
    chances = generator.dirichlet(np.full(m, 2.0), n) * 0.8 + 0.2 / m
    logged = (generator.random(n)[:, None] > chances.cumsum(axis=1)).sum(axis=1).clip(max=m - 1).astype(np.intp)
    hidden, known = log_of(values, logged, chances)
    return values, hidden, known, generator.integers(0, m, n)


@given(seed=st.integers(0, 10_000), n=st.integers(2, 40), name=st.sampled_from(ESTIMATORS))
def test_with_full_information_every_estimate_is_the_plain_mean(seed: int, n: int, name: str) -> None:
    values, _, known, chosen = random_log(seed, n)
    found = estimate(name, values, chosen, known, np.full(values.shape, 0.3))
    own = values[np.arange(n), chosen]
    assert found.value == pytest.approx(own.mean(), abs=1e-12)
    assert found.influence == pytest.approx(own - own.mean(), abs=1e-12)
    assert found.df == pytest.approx(n - 1)


@pytest.mark.parametrize("name", ["dr", "ips"])
def test_the_mean_over_every_possible_log_is_the_truth(name: str) -> None:
    """3 requests, 3 candidates: 27 logs, each with its probability; the model is wrong and it does not matter."""
    values = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 1.0], [0.3, 0.9, 0.0]])
    chances = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.25, 0.5, 0.25]])
    model, chosen = np.array([[0.9, 0.4, 0.2]] * 3), np.array([1, 2, 0])
    mean = 0.0
    for actions in itertools.product(range(3), repeat=3):
        logged = np.array(actions, dtype=np.intp)
        hidden, known = log_of(values, logged, chances)
        mean += known.probability.prod() * estimate(name, hidden, chosen, known, model).value
    assert mean == pytest.approx(values[np.arange(3), chosen].mean(), abs=1e-12)


@given(seed=st.integers(0, 10_000), shift=st.floats(-5, 5))
def test_self_normalised_weights_move_with_the_outcome_and_plain_ones_do_not(seed: int, shift: float) -> None:
    _, hidden, known, chosen = random_log(seed, 30)
    if not (known.logged == chosen).any():
        return
    model = np.zeros(hidden.shape)
    was, now = (estimate("snips", v, chosen, known, model, bounded=False) for v in (hidden, hidden + shift))
    assert now.value == pytest.approx(was.value + shift, abs=1e-9)
    assert now.influence == pytest.approx(was.influence, abs=1e-8)


@given(seed=st.integers(0, 10_000), name=st.sampled_from(ESTIMATORS))
def test_the_order_of_the_requests_changes_nothing(seed: int, name: str) -> None:
    _, hidden, known, chosen = random_log(seed, 25)
    order = np.random.default_rng(seed).permutation(25)
    if not (known.logged == chosen).any():
        return
    model = np.tile([0.5, 0.6, 0.7], (25, 1))
    first = estimate(name, hidden, chosen, known, model)
    second = estimate(name, hidden[order], chosen[order], known.take(order), model)
    assert second.value == pytest.approx(first.value, abs=1e-12)
    assert interval(second) == pytest.approx(interval(first), abs=1e-9)


@given(seed=st.integers(0, 10_000))
def test_the_scores_gathered_along_a_choice_are_the_doubly_robust_estimate(seed: int) -> None:
    """A third of the requests have full information."""
    values, hidden, known, chosen = random_log(seed, 30)
    hidden[:10] = values[:10]
    model = np.tile([0.5, 0.6, 0.7], (30, 1))
    scores = pseudo_outcomes(hidden, known.logged, known.probability, model)
    assert np.array_equal(scores[:10], values[:10])
    found = estimate("dr", hidden, chosen, known, model)
    assert scores[np.arange(30), chosen].mean() == pytest.approx(found.value, abs=1e-12)


def test_a_request_that_says_nothing_is_left_out() -> None:
    _, hidden, known, chosen = random_log(3, 40)
    blind = replace(known, probability=np.where(np.arange(40) < 5, np.nan, known.probability))
    model = np.full(hidden.shape, 0.5)
    kept = np.arange(40) >= 5
    found = estimate("dr", hidden, chosen, blind, model)
    alone = estimate("dr", hidden[kept], chosen[kept], known.take(kept), model[kept])
    assert found.value == pytest.approx(alone.value)
    assert standard_error(found.influence) == pytest.approx(standard_error(alone.influence), rel=0.01)
    assert np.isnan(pseudo_outcomes(hidden, blind.logged, blind.probability, model)[:5]).all()


def test_a_partly_replayed_request_counts_by_what_was_served() -> None:
    """Whether another answer was replayed may hang on what was served."""
    values = np.array([[1.0, 0.0, np.nan]])
    scores = pseudo_outcomes(values, np.array([0]), np.array([0.5]), np.array([[0.2, 0.3, 0.4]]))
    assert scores.tolist() == [[pytest.approx(1.8), 0.3, 0.4]]


def test_a_floor_cuts_weights_and_bounds_the_bias_it_adds() -> None:
    logged, chosen = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])
    values = np.array([[1.0, np.nan], [0.0, np.nan], [np.nan, 1.0], [np.nan, 1.0]])
    known = Propensities(logged, np.array([0.01, 0.5, 0.5, 0.5]), np.zeros(4, dtype=np.bool_))
    weights = importance_weights(values, chosen, known, floor=0.1)
    assert weights.weight.tolist() == [10.0, 2.0, 0.0, 2.0]
    assert weights.clipped_share == pytest.approx(1 / 3)
    found = estimate("ips", values, chosen, known, np.zeros((4, 2)), floor=0.1)
    full = estimate("ips", values, chosen, known, np.zeros((4, 2)), floor=0.001)
    assert found.bias == pytest.approx(90 / 4)
    assert full.bias == 0.0
    assert full.value - found.value == pytest.approx(90 / 4)
    low, high = interval(found)
    plain = interval(replace(found, bias=0.0))
    assert (low, high) == pytest.approx((plain[0] - 22.5, plain[1] + 22.5))


def test_averages_are_out_of_fold_and_shrink_to_the_candidate() -> None:
    values = np.array([[1.0, np.nan], [0.0, np.nan], [1.0, 0.0], [np.nan, 1.0]])
    codes, folds = np.array([0, 0, 0, -1]), np.array([0, 1, 1, 1])
    found = out_of_fold_means(values, codes, folds, k=1, strength=1.0)
    # The first request is predicted from the last three: candidate 0 has 0 and 1, candidate 1 has 0 and 1.
    assert found[0].tolist() == pytest.approx([(1 + 0.5) / 3, (0 + 0.5) / 2])
    # The others from the first alone: no answer of candidate 1, which starts from what anyone got.
    assert found[3].tolist() == pytest.approx([1.0, 1.0])
    changed = values.copy()
    changed[0] = 0.0
    assert np.array_equal(out_of_fold_means(changed, codes, folds, k=1, strength=1.0)[0], found[0])


def test_a_paired_difference_knows_the_covariance() -> None:
    """A policy that differs on one request in ten is compared far more sharply than two unrelated ones."""
    _, hidden, known, chosen = random_log(5, 2000)
    other = np.where(np.arange(2000) % 10 == 0, (chosen + 1) % 3, chosen)
    model = np.full(hidden.shape, 0.7)
    now, was = (estimate("dr", hidden, at, known, model) for at in (other, chosen))
    change = difference(now, was)
    assert change.value == pytest.approx(now.value - was.value)
    apart = np.hypot(standard_error(now.influence), standard_error(was.influence))
    assert standard_error(change.influence) < 0.5 * apart
    assert interval(difference(now, now), change=True) == pytest.approx((0.0, 0.0), abs=0.01)


def test_the_logged_mean_is_the_plain_one() -> None:
    values, hidden, known, _ = random_log(6, 100)
    found = logged_mean(hidden, known.logged)
    assert found.value == pytest.approx(values[np.arange(100), known.logged].mean())
    with pytest.raises(TraceError, match="served"):
        logged_mean(hidden, np.full(100, -1))


def test_fieller_agrees_with_the_delta_method_where_the_divisor_is_sharp() -> None:
    generator = np.random.default_rng(7)
    cost, useful = generator.gamma(2, 1.0, 5000), generator.random(5000) < 0.8
    above, below = (Estimate(v.mean(), v - v.mean(), 4999.0) for v in (cost, useful.astype(np.float64)))
    low, high = ratio_interval(above, below) or (0.0, 0.0)
    assert (low, high) == pytest.approx(interval(ratio(above, below)), rel=2e-3)
    assert ratio_interval(above, Estimate(0.01, generator.normal(0, 1, 5000), 4999.0)) is None


def test_equal_outcomes_prove_no_certainty() -> None:
    """100 requests, none late: the exact bound is 3.6 % (Clopper and Pearson)."""
    found = Estimate(0.0, np.zeros(100), 99.0, bounded=True)
    assert 0.036 < interval(found)[1] < 0.09
    assert interval(replace(found, heaviness=5.0))[1] == pytest.approx(5 * interval(found)[1])
    assert interval(replace(found, bounded=False)) == (0.0, 0.0)


def test_a_skewed_mean_has_a_longer_arm_on_its_long_side() -> None:
    skewed = np.random.default_rng(8).lognormal(0, 1, 200)
    low, high = mean_interval(skewed - skewed.mean(), skewed.mean(), 0.95, 199)
    assert high - skewed.mean() > 1.2 * (skewed.mean() - low)
    low, high = mean_interval(skewed.mean() - skewed, 0.0, 0.95, 199)
    assert -low > 1.2 * high


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_a_cluster_is_one_draw(seed: int) -> None:
    """Requests copied four times over, in clusters, say as much as the requests alone."""
    values = np.random.default_rng(seed).normal(size=30)
    values -= values.mean()
    alone = mean_interval(values, 0.0, 0.95, 29)
    copied = mean_interval(np.repeat(values, 4), 0.0, 0.95, 29, np.repeat(np.arange(30), 4))
    assert copied == pytest.approx(alone, abs=1e-12)


def test_a_request_without_a_cluster_is_its_own() -> None:
    codes, count = units_of(np.array(["u", "", "v", "u", ""], dtype=object), 5)
    assert codes is not None
    assert codes[0] == codes[3]
    assert len(set(codes.tolist())) == count == 4
    assert units_of(np.array(["", ""], dtype=object), 2) == (None, 2)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """400 logs of 400 requests with propensities from 0.07: 95 % ± 3.5 Monte Carlo errors."""
    generator = np.random.default_rng(9)
    covered = dict.fromkeys(("dr", "snips", "ips"), 0)
    model = np.tile([0.5, 0.7, 0.9], (400, 1))
    for _ in range(400):
        _, hidden, known, _ = random_log(int(generator.integers(1 << 30)), 400)
        chosen = np.full(400, 1)
        for name in covered:
            low, high = interval(estimate(name, hidden, chosen, known, model))
            covered[name] += low <= 0.7 <= high
    for name, count in covered.items():
        assert 0.912 <= count / 400 <= 0.988, name


def test_the_effective_sample_counts_equal_weights_once() -> None:
    assert effective_sample_size(np.array([2.0, 2.0, 0.0, np.nan])) == pytest.approx(2.0)
    assert effective_sample_size(np.zeros(3)) == 0.0


def test_a_weighted_quantile_is_the_plain_one_with_full_information() -> None:
    values = np.random.default_rng(10).gamma(2, 100, (1000, 2))
    known = Propensities(np.full(1000, -1), np.full(1000, np.nan), np.zeros(1000, dtype=np.bool_))
    value, low, high = weighted_quantile(values, np.zeros(1000, dtype=np.intp), known) or (0.0, 0.0, 0.0)
    assert value == np.sort(values[:, 0])[949]
    ranks = np.searchsorted(np.sort(values[:, 0]), [low, high])
    assert 930 <= ranks[0] <= 942
    assert 958 <= ranks[1] <= 970


def test_tables_hold_the_scores_of_each_outcome(make_outcomes: MakeOutcomes) -> None:
    outcomes = make_outcomes(
        [[1.0, np.nan], [0.0, 1.0]], [[0.1, np.nan], [0.1, 0.5]], [[50.0, np.nan], [50.0, 300.0]], logged=[0, -1]
    )
    known = Propensities(outcomes.logged, np.array([0.5, np.nan]), np.zeros(2, dtype=np.bool_))
    models = {name: np.zeros((2, 2)) for name in ("useful", "cost_usd", "late")}
    tables = doubly_robust_table(outcomes, known, models, late_limit_ms=200)
    assert tables["useful"].tolist() == [[2.0, 0.0], [0.0, 1.0]]
    assert tables["cost_usd"].tolist() == [[0.2, 0.0], [0.1, 0.5]]
    assert tables["late"].tolist() == [[0.0, 0.0], [0.0, 1.0]]
    assert np.isnan(late_table(outcomes, 200)[0, 1])
    with pytest.raises(TraceError, match="limit"):
        doubly_robust_table(outcomes, known, models)


def test_errors_say_what_is_missing() -> None:
    nothing = Propensities(np.full(3, -1), np.full(3, np.nan), np.zeros(3, dtype=np.bool_))
    values = np.full((3, 2), np.nan)
    with pytest.raises(TraceError, match="nothing can be estimated"):
        estimate("dr", values, np.zeros(3, dtype=np.intp), nothing, values)
    with pytest.raises(TraceError, match="'magic' is unknown; allowed: dr"):
        estimate("magic", values, np.zeros(3, dtype=np.intp), nothing, values)
