"""Bounds: they err no oftener than they say, and are about as tight as can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, norm

from pointsman.bounds import (
    STEPS,
    betting_rejects,
    betting_upper,
    mean_upper,
    next_share_upper,
    requests_needed,
    share_upper,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOSS = (-1.0, 1.0)


def changes(generator: np.random.Generator, n: int, lost: float, won: float) -> NDArray[np.float64]:
    """Draw losses of usefulness: 1 lost, −1 won, 0 as before."""
    return generator.choice([1.0, -1.0, 0.0], n, p=[lost, won, 1 - lost - won])


@given(n=st.integers(1, 300), data=st.data(), confidence=st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_a_share_is_bounded_by_clopper_and_pearson(n: int, data: st.DataObject, confidence: float) -> None:
    count = data.draw(st.integers(0, n))
    reference = binomtest(count, n, alternative="less").proportion_ci(confidence, method="exact").high
    assert share_upper(count, n, confidence) == pytest.approx(reference)


@pytest.mark.parametrize(("n", "lost", "won"), [(150, 0.1, 0.08), (300, 0.03, 0.01), (400, 0.3, 0.28)])
def test_betting_on_a_true_limit_wins_as_rarely_as_it_says(n: int, lost: float, won: float) -> None:
    """The mean is exactly the limit: no more than 5 % of 250 samples may reject it."""
    generator, limit = np.random.default_rng(n), np.array([lost - won])
    won_bets = sum(
        bool(betting_rejects(changes(generator, n, lost, won), limit, LOSS, 0.95, seed)[0]) for seed in range(250)
    )
    assert binomtest(won_bets, 250, 0.05, alternative="greater").pvalue > 0.01


def test_betting_holds_for_values_of_any_kind_between_the_ends() -> None:
    """Skewed, rare and large: where the normal law errs far oftener than it says."""
    generator, n, mean = np.random.default_rng(1), 120, 0.02
    betting = normal = 0
    for seed in range(300):
        values = np.where(generator.random(n) < mean, 1.0, 0.0)
        betting += bool(betting_rejects(values, np.array([mean]), (0.0, 1.0), 0.95, seed)[0])
        normal += mean_upper(values, 0.95, float(values.std(ddof=1))) < mean
    assert betting <= 24
    assert normal > 24


def test_betting_is_nearly_as_sharp_as_the_normal_law() -> None:
    """On average the bound is at most a quarter further from the mean."""
    generator, wider = np.random.default_rng(0), []
    for seed in range(16):
        values = changes(generator, 1000, 0.05, 0.05)
        normal = mean_upper(values, 0.95, float(values.std(ddof=1))) - values.mean()
        wider.append((betting_upper(values, LOSS, 0.95, seed) - values.mean()) / normal)
    assert 0.95 < np.mean(wider) < 1.25


def test_the_betting_bound_is_where_rejection_begins() -> None:
    values = changes(np.random.default_rng(3), 800, 0.06, 0.05)
    bound = betting_upper(values, LOSS, 0.95, seed=3)
    inside, outside = betting_rejects(values, np.array([bound + 1e-3, bound - 1e-3]), LOSS, 0.95, seed=3)
    assert inside
    assert not outside


def test_nothing_is_bounded_by_the_end_of_the_scale() -> None:
    assert betting_upper(np.array([]), LOSS, 0.95) == 1
    assert betting_upper(np.ones(50), LOSS, 0.95) == 1
    assert share_upper(5, 5, 0.95) == 1
    assert next_share_upper(0, 0, 10, 0.95) == 1


def test_clusters_count_as_one_draw_each() -> None:
    """Every request ten times over, in clusters of ten: what is proven is what the single requests prove."""
    values = changes(np.random.default_rng(4), 400, 0.05, 0.05)
    single = betting_upper(values, LOSS, 0.95, seed=1)
    clustered = betting_upper(10 * values, LOSS, 0.95, seed=1, sizes=np.full(400, 10))
    naive = betting_upper(np.repeat(values, 10), LOSS, 0.95, seed=1)
    assert clustered == pytest.approx(single, abs=1e-3)
    assert naive < single


def test_many_values_are_bet_on_in_blocks() -> None:
    """More values than steps: still no oftener wrong, still sharp."""
    generator, n = np.random.default_rng(5), 4 * STEPS + 7
    wrong = sum(
        bool(betting_rejects(changes(generator, n, 0.05, 0.04), np.array([0.01]), LOSS, 0.95, seed)[0])
        for seed in range(20)
    )
    assert wrong <= 4
    values = changes(generator, n, 0.05, 0.05)
    normal = mean_upper(values, 0.95, float(values.std(ddof=1)))
    assert betting_upper(values, LOSS, 0.95) - values.mean() < 1.3 * (normal - values.mean())


@pytest.mark.parametrize(("n", "coming", "share"), [(200, 100, 0.05), (400, 400, 0.03), (300, 3000, 0.1)])
def test_the_next_share_is_bounded_exactly(n: int, coming: int, share: float) -> None:
    """Summed over every past and future count: the future passes the bound with probability 5 % at most."""
    past = np.arange(n + 1)
    weights = binom.pmf(past, n, share)
    bounds = [
        next_share_upper(int(k), n, coming, 0.95) if w > 1e-9 else 1.0 for k, w in zip(past, weights, strict=True)
    ]
    missed = sum(w * binom.sf(round(b * coming), coming, share) for w, b in zip(weights, bounds, strict=True))
    assert 0.005 < missed <= 0.05


def test_the_more_requests_come_the_nearer_is_their_share_to_the_truth() -> None:
    few, many = (next_share_upper(30, 1000, coming, 0.95) for coming in (200, 50_000))
    assert few > many
    assert many == pytest.approx(share_upper(30, 1000, 0.95), abs=1e-3)


def test_the_normal_bound_by_hand() -> None:
    values = np.array([0.0, 1.0, 0.0, 1.0])
    z = float(norm.ppf(0.95))
    assert mean_upper(values, 0.95, 0.5) == pytest.approx(0.5 + z * 0.25)
    assert mean_upper(values, 0.95, 0.5, coming=4) == pytest.approx(0.5 + z * 0.25 * np.sqrt(2))


def test_as_many_requests_as_needed_prove_it_four_times_in_five() -> None:
    generator = np.random.default_rng(6)
    n = requests_needed(0.0, float(norm.ppf(0.95)) * np.sqrt(0.08 / 500), 0.02, 500, 0.95)
    assert n is not None
    proven = 0
    for _ in range(400):
        values = changes(generator, n, 0.04, 0.04)
        proven += mean_upper(values, 0.95, float(values.std(ddof=1))) <= 0.02
    assert binomtest(proven, 400, 0.8).pvalue > 0.001
    assert requests_needed(0.02, 0.03, 0.02, 500, 0.95) is None
