"""What probabilities are worth where they choose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.decision_area import bought, decision_area, most_careful


def area(probs: Any, expected_usd: Any, useful: Any, cost_usd: Any) -> float:
    return decision_area(bought(probs, expected_usd, useful, cost_usd), useful)


USEFUL = np.array([[1.0, 1.0], [0.0, 1.0]])
COST = np.array([[1.0, 3.0], [1.0, 3.0]])
"""The cheap candidate serves the first request only, the dear one both."""


def test_who_knows_buys_everything_at_half_the_way() -> None:
    """Spendings from 1 to 3: half of the usefulness below 2, all of it from there on, against 1."""
    assert area(USEFUL * 0.8 + 0.1, COST, USEFUL, COST) == pytest.approx(-0.25)


def test_who_knows_nothing_has_the_single_candidates_only() -> None:
    """All spendings but the last of 60 buy the cheap one's usefulness."""
    blind = np.tile([0.5, 0.9], (2, 1))
    assert area(blind, COST, USEFUL, COST) == pytest.approx(-0.5 * 59 / 60)


def test_who_is_wrong_is_not_worse_than_the_single_candidates() -> None:
    wrong = np.array([[0.1, 0.9], [0.9, 0.9]])
    assert area(wrong, COST, USEFUL, COST) == pytest.approx(-0.5 * 59 / 60)


def test_what_all_candidates_share_does_not_matter() -> None:
    believed = np.array([[0.5, 0.5], [0.1, 0.9]])
    easier = np.array([[0.8, 0.8], [0.1, 0.9]])
    assert area(easier, COST, USEFUL, COST) == area(believed, COST, USEFUL, COST)


def test_expected_costs_choose_and_true_ones_count() -> None:
    """Who expects the dear one to cost the same takes it for both, and pays for it."""
    alike = np.tile(COST[:, :1], 2)
    probs = np.array([[0.89, 0.9], [0.1, 0.9]])
    assert area(probs, alike, USEFUL, COST) == pytest.approx(-0.5 * 59 / 60)
    assert area(probs, COST, USEFUL, COST) == pytest.approx(-0.25)


def test_where_the_cheapest_is_the_most_useful_more_may_be_spent() -> None:
    """Known, the dear one serves the second request: all for 2 on average; 40 of 60 spendings of 1 to 4 allow it."""
    useful, cost = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), np.tile([1.0, 4.0], (3, 1))
    assert area(useful, cost, useful, cost) == pytest.approx(40 / 60 / 3)


def test_costs_of_nothing_are_no_error() -> None:
    assert area(USEFUL, 0 * COST, USEFUL, 0 * COST) == 0


@given(st.integers(0, 1000), st.integers(1, 40), st.integers(1, 5), st.sampled_from([2.0**-20, 1.0, 2.0**10]))
def test_it_stays_between_the_cheapest_candidate_and_the_oracle_in_any_currency(
    seed: int, n: int, m: int, rate: float
) -> None:
    generator = np.random.default_rng(seed)
    probs, cost = generator.random((n, m)), generator.exponential(size=(n, m))
    useful = (generator.random((n, m)) < 0.5).astype(float)
    found = area(probs, cost, useful, cost)
    levels = useful.mean(axis=0)
    assert levels[cost.mean(axis=0).argmin()] - 1e-9 <= found + levels.max() <= useful.max(axis=1).mean() + 1e-9
    assert area(probs, rate * cost, useful, rate * cost) == pytest.approx(found, abs=1e-9)


def test_what_each_request_gets_is_told() -> None:
    """The first is served at every spending; the second from half of the way on."""
    np.testing.assert_allclose(bought(USEFUL, COST, USEFUL, COST), [1.0, 0.5])


def test_the_largest_penalty_within_one_standard_error_of_the_best_is_chosen() -> None:
    """Ahead in 60 of 100 requests, behind in 40: by 0.2 on average, 0.098 of error. In 54 and 46: by 0.08, 0.1."""

    def ahead(wins: int) -> Any:
        return np.where(np.arange(100) < wins, 1.0, -1.0)

    assert most_careful({0.1: ahead(60), 30.0: np.zeros(100)}) == 0.1
    assert most_careful({0.1: ahead(54), 30.0: np.zeros(100)}) == 30.0
    assert most_careful({0.1: ahead(54), 10.0: np.zeros(100), 30.0: np.full(100, -0.5)}) == 10.0


def test_penalties_that_buy_alike_but_for_rounding_leave_the_most_careful() -> None:
    assert most_careful({3.0: np.full(9, 0.1), 30.0: np.full(9, 0.1) - 1e-16, 0.3: np.full(9, 0.1)}) == 30.0
