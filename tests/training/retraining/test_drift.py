"""Drift tests: quiet where nothing moved, loud where something did, honest about how many there are."""

from __future__ import annotations

import numpy as np
import pytest

from pointsman.retraining.drift import (
    DriftTest,
    adjusted,
    classifier_test,
    intents_test,
    latency_test,
    mmd_test,
    shift_test,
)


def embeddings(seed: int, shift: float = 0.0, n: int = 300) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(n, 8))
    drawn[:, 0] += shift
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), dtype=np.float32)


def prompts(name: str, n: int = 300) -> list[str]:
    return [f"{name} {number}" for number in range(n)]


def test_a_moved_sample_is_found_by_both_tests() -> None:
    old, fresh = embeddings(0), embeddings(1, shift=1.0)
    found = adjusted([classifier_test(old, fresh, (prompts("a"), prompts("b"))), mmd_test(old, fresh)])
    assert all(one.drifted for one in found)


def test_false_alarms_are_as_rare_as_said() -> None:
    """40 pairs of samples of one distribution: p below 0.1 in about 4 of them, by each test."""
    p = []
    for seed in range(40):
        old, fresh = embeddings(seed, n=80), embeddings(seed + 100, n=80)
        told = classifier_test(old, fresh, (prompts("a", 80), prompts("b", 80)))
        p.append((told.p, mmd_test(old, fresh, seed).p))
    assert (np.mean(np.array(p) < 0.1, axis=0) < 0.3).all()


def test_prompts_that_both_weeks_have_give_nothing_away() -> None:
    """Equal prompts stand in one half: a classifier that knew them by heart would see drift where there is none."""
    same = embeddings(0)
    assert classifier_test(same, same, (prompts("a"), prompts("a"))).p > 0.05


def test_many_tests_are_adjusted_together() -> None:
    one = DriftTest("x", 1.0, 0.1, "", 0.02, (9,))
    assert adjusted([one])[0].drifted
    assert not any(found.drifted for found in adjusted([one] * 10))


def test_what_is_proven_and_small_is_no_drift() -> None:
    assert not adjusted([DriftTest("x", 0.01, 0.1, "", 1e-9, (9,))])[0].drifted


def test_intents_and_latency_and_usefulness() -> None:
    old = np.array(["code"] * 100 + ["chat"] * 100, dtype=object)
    fresh = np.array(["code"] * 180 + ["chat"] * 20, dtype=object)
    mixed = intents_test(old, fresh)
    assert mixed is not None
    assert mixed.p < 1e-6
    assert mixed.effect > 0.3
    assert intents_test(old[:100], old[:100]) is None
    draw = np.random.default_rng(0)
    slow = latency_test("m", draw.lognormal(5, 0.3, 200), draw.lognormal(5.5, 0.3, 200))
    assert slow is not None
    assert slow.effect == pytest.approx(np.exp(0.5) - 1, abs=0.15)
    assert slow.p < 1e-6
    worse = shift_test("usefulness of m", draw.normal(-0.2, 0.5, 400), 0.03, "")
    assert worse is not None
    assert worse.p < 1e-6
    assert worse.effect < -0.1
    assert shift_test("usefulness of m", np.full(50, np.nan), 0.03, "") is None
