"""Sign tests: exact where requests are few, and honest where there are many tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from pointsman.comparison.signs import FLIPS, holm, sign_flip


def test_zeros_and_ones_are_mcnemars_exact_test() -> None:
    difference = np.array([-1.0] * 9 + [1.0] * 2 + [0.0] * 500)
    assert sign_flip(difference) == pytest.approx(binomtest(2, 11).pvalue)


def test_a_handful_of_losses_proves_nothing() -> None:
    assert sign_flip(np.array([-1.0, -1.0, -1.0])) == pytest.approx(0.25)
    assert sign_flip(np.zeros(100)) == 1.0


def test_all_ways_to_turn_unequal_differences_are_drawn() -> None:
    """Of the 2**4 ways to turn 1, 2, 4 and 8, just two reach their sum."""
    assert sign_flip(np.array([1.0, 2.0, 4.0, 8.0])) == pytest.approx(2 / 16, abs=0.01)


def test_many_unequal_differences_are_normal() -> None:
    generator = np.random.default_rng(0)
    few = generator.normal(0.1, 1.0, 500)
    drawn, normal = sign_flip(few), sign_flip(np.append(few, 1e-6))
    assert drawn == pytest.approx(normal, abs=0.01)


def test_a_cluster_turns_whole() -> None:
    """Ten users of a hundred requests each are ten witnesses, not a thousand."""
    difference, cluster = np.full(1000, 1.0), np.repeat(np.arange(10), 100)
    assert sign_flip(difference) < 1e-100
    assert sign_flip(difference, cluster) == pytest.approx(2**-9)


def test_the_test_is_as_rarely_wrong_as_it_says() -> None:
    generator = np.random.default_rng(1)
    skewed = [sign_flip(generator.choice([-1.0, -0.5, 0, 0.5, 1.0], 40)) <= 0.05 for _ in range(400)]
    assert np.mean(skewed) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert sign_flip(np.linspace(0.5, 1, 100)) == pytest.approx(1 / (FLIPS + 1))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []
