"""What out of scope says, and that its scale keeps the false alarms that it states."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from pointsman.scope_head import RawScope, ScopeHead, distances


def test_energy_and_distance_are_what_they_are_called() -> None:
    generator = np.random.default_rng(0)
    points, logits, centres = (
        generator.normal(size=(20, 4)),
        generator.normal(size=(20, 3)),
        generator.normal(size=(3, 4)),
    )
    nothing = RawScope(energy=1.0)(points, logits)
    np.testing.assert_allclose(nothing, -logsumexp(logits, axis=1))
    whitened = RawScope(distance=2.0, whitening=np.eye(4, dtype=np.float32), centres=centres.astype(np.float32))
    np.testing.assert_allclose(
        whitened(points, logits), 2 * cdist(points, centres, "sqeuclidean").min(axis=1), rtol=1e-5
    )
    assert distances(points, points).min() >= 0
    learned = RawScope(bias=1.0, direction=np.array([1, 0, 0, 0], dtype=np.float32))(points, logits)
    np.testing.assert_allclose(learned, 1 + points[:, 0])


@given(st.integers(20, 400), st.integers(0, 2**32 - 1), st.sampled_from([0.8, 0.9, 0.95]))
def test_levels_are_shares_of_the_requests_in_scope(n: int, seed: int, threshold: float) -> None:
    """Above the threshold there are no more of them than stated, and about as many."""
    scores = np.random.default_rng(seed).normal(400, 30, n)
    head = ScopeHead.calibrated(RawScope(), scores)
    share = (head.level(scores.astype(np.float32)) > threshold + 1e-6).mean()
    assert abs(share - (1 - threshold)) <= 0.006 + 2 / n


def test_the_farther_the_higher_even_beyond_all_that_was_seen() -> None:
    head = ScopeHead.calibrated(RawScope(), np.random.default_rng(1).normal(size=300))
    levels = head.level(np.linspace(-6, 12, 400))
    assert (np.diff(levels) >= 0).all()
    assert (np.diff(head.level(np.linspace(3.5, 9, 40))) > 0).all()
    assert levels[0] == 0
    assert 0.999 < levels[-1] <= 1


@pytest.mark.parametrize("scores", [[1.0], [2.0] * 30, [0.0, 0.0, 5.0]])
def test_few_or_equal_scores_make_a_scale_too(scores: list[float]) -> None:
    head = ScopeHead.calibrated(RawScope(), np.array(scores))
    assert (np.diff(head.knots) > 0).all()
    low, same, high = head.level(np.array([min(scores) - 100, max(scores), max(scores) + 100]))
    assert low == 0
    assert same < high <= 1
