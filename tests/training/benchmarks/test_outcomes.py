"""APGR is what RouteLLM calls so, and the benchmark sees through repeats."""

from __future__ import annotations

import numpy as np
import pytest

from pointsman.benchmarks.outcomes import apgr
from pointsman.errors import TraceError


def test_apgr_by_hand() -> None:
    """Of four requests one gains: sent first, second, third or last, the recovered share jumps there."""
    gains = np.array([1.0, 0.0, 0.0, 0.0])
    for place, area in enumerate((0.875, 0.625, 0.375, 0.125)):
        score = np.where(np.arange(4) == 0, 3.5 - place, 4.0 - np.arange(4))
        assert apgr(score, gains) == pytest.approx(area)


def test_equal_scores_are_chance_and_losses_count() -> None:
    generator = np.random.default_rng(0)
    advantage = generator.choice([-1.0, 0.0, 1.0], 500, p=[0.1, 0.6, 0.3])
    assert apgr(np.zeros(500), advantage) == pytest.approx(0.5)
    assert apgr(advantage, advantage) > 1, "whoever avoids the losses recovers more than the gap"
    assert apgr(advantage, advantage) + apgr(-advantage, advantage) == pytest.approx(1)


def test_without_a_gap_there_is_nothing_to_recover() -> None:
    with pytest.raises(TraceError, match="not more useful"):
        apgr(np.zeros(2), np.array([1.0, -1.0]))
