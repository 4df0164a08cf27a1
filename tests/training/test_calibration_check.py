"""Bins say what happened; an intent is called off where chance does not explain its gap, and seldom elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from pointsman.calibration_check import by_intent, reliability_bins
from pointsman.reliability_picture import reliability_picture

if TYPE_CHECKING:
    from pathlib import Path


def test_bins_are_of_equal_size_and_hold_what_happened() -> None:
    generator = np.random.default_rng(0)
    probs = generator.random(1000)
    happened = (generator.random(1000) < probs**2).astype(float)
    bins = reliability_bins(probs, happened)
    assert [one.count for one in bins] == [100] * 10
    assert sum(one.observed * one.count for one in bins) == pytest.approx(happened.sum())
    assert all(one.low <= one.observed <= one.high for one in bins)
    assert [one.stated for one in bins] == sorted(one.stated for one in bins)
    assert sum(one.low <= one.stated <= one.high for one in bins) < 6, "squared probabilities are seen to be off"
    assert reliability_bins(probs[:0], happened[:0]) == []
    assert len(reliability_bins(probs[:3], happened[:3])) == 3


def test_the_intent_that_is_off_is_called_and_others_seldom() -> None:
    generator = np.random.default_rng(1)
    alarms = 0
    for _ in range(40):
        intent = generator.integers(0, 12, 2400)
        probs = generator.uniform(0.2, 0.9, (2400, 2))
        truth = np.where(intent[:, None] == 4, probs - 0.15, probs)
        happened = (generator.random(2400)[:, None] < truth).astype(float)  # both answers are alike
        found = by_intent(probs, happened, intent.astype(np.intp), tuple("abcdefghijkl"))
        assert found[0].intent == "e"
        assert found[0].off
        alarms += sum(one.off for one in found[1:])
    assert alarms <= 12, "5 % of the calls may be false"


def test_intents_with_few_probabilities_are_not_judged() -> None:
    probs, happened = np.full((30, 1), 0.5), np.zeros((30, 1))
    intent = np.array([0] * 25 + [1] * 3 + [-1] * 2, dtype=np.intp)
    assert [one.intent for one in by_intent(probs, happened, intent, ("a", "b"))] == ["a"]
    assert by_intent(probs, np.full((30, 1), np.nan), intent, ("a", "b")) == []


def test_the_picture_is_the_same_again(tmp_path: Path) -> None:
    bins = [{"stated": 0.2, "observed": 0.3, "low": 0.1, "high": 0.5, "count": 9}]
    evaluation = {"reliability": [{"of": f"useful: model-{index}", "bins": bins} for index in range(5)]}
    one, two = (reliability_picture(evaluation, tmp_path / name) for name in ("a.png", "b.png"))
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes().startswith(b"\x89PNG")
