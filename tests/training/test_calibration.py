"""What a temperature recovers, and what a calibration error measures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, log_softmax, softmax

from pointsman.calibration import expected_calibration_error, sigmoid_temperature, softmax_temperature


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_of_a_softmax_is_recovered(temperature: float) -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (8000, 4))
    labels = (softmax(logits, axis=1).cumsum(axis=1) < generator.random((8000, 1))).sum(axis=1)
    assert softmax_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.06)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_of_a_sigmoid_is_recovered_where_targets_are_known(temperature: float) -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 2, (4000, 3))
    targets = (generator.random(logits.shape) < expit(logits)).astype(float)
    targets[generator.random(logits.shape) < 0.3] = np.nan
    assert sigmoid_temperature(logits * temperature, targets) == pytest.approx(temperature, rel=0.06)


def test_soft_targets_count_by_what_they_are() -> None:
    logits = np.random.default_rng(2).normal(0, 2, (500, 2))
    assert sigmoid_temperature(2.5 * logits, expit(logits)) == pytest.approx(2.5, rel=1e-3)


def test_where_nothing_is_known_the_temperature_stays_1() -> None:
    assert sigmoid_temperature(np.ones((4, 2)), np.full((4, 2), np.nan)) == 1
    # Nor is there anything to learn where no logit differs from another.
    assert softmax_temperature(np.zeros((4, 2)), np.array([0, 1, 0, 0])) == 1
    assert sigmoid_temperature(np.zeros((4, 1)), np.ones((4, 1))) == 1


def test_temperatures_stay_in_their_range() -> None:
    always_right, always_wrong = np.array([0] * 50), np.array([1] * 50)
    logits = np.tile([1.0, 0.0], (50, 1))
    assert softmax_temperature(logits, always_right) == pytest.approx(0.05, rel=0.01)
    assert softmax_temperature(logits, always_wrong) == pytest.approx(20, rel=0.01)


@given(st.integers(0, 9999), st.floats(0.1, 10))
def test_a_temperature_never_makes_the_loss_worse(seed: int, scale: float) -> None:
    generator = np.random.default_rng(seed)
    logits, labels = generator.normal(0, scale, (20, 3)), generator.integers(0, 3, 20)

    def loss(temperature: float) -> float:
        return -float(np.mean(log_softmax(logits / temperature, axis=1)[np.arange(20), labels]))

    assert loss(softmax_temperature(logits, labels)) <= loss(1.0)


# --- calibration error


def test_a_constant_overconfident_prediction_errs_by_its_gap() -> None:
    """It says 0.9; 6 of 10 come true, in whatever order."""
    targets = np.array([1.0] * 6 + [0.0] * 4)
    assert expected_calibration_error(np.full(10, 0.9), targets) == pytest.approx(0.3)
    assert expected_calibration_error(np.full(10, 0.9, dtype=np.float32), targets[::-1]) == pytest.approx(0.3)


def test_the_error_of_two_bins_by_hand() -> None:
    """Says 0.2 four times and is right once (0.05 off); says 0.8 four times and is right always (0.2 off)."""
    probs, targets = np.array([0.2, 0.8] * 4), np.array([1, 1, 0, 1, 0, 1, 0, 1])
    assert expected_calibration_error(probs, targets) == pytest.approx((0.05 + 0.2) / 2)
    assert expected_calibration_error(probs, targets, bins=1) == pytest.approx(abs(0.5 - 5 / 8))


def test_a_calibrated_prediction_hardly_errs() -> None:
    generator = np.random.default_rng(3)
    probs = generator.random(100_000)
    targets = (generator.random(100_000) < probs).astype(float)
    assert expected_calibration_error(probs, targets) < 0.01
    assert expected_calibration_error(probs**2, targets) > 0.1
    assert expected_calibration_error(probs, probs) == 0


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=40), st.integers(1, 12))
def test_an_error_is_a_share_and_does_not_hang_on_the_order(rows: list[tuple[float, float]], bins: int) -> None:
    probs, targets = np.array(rows, dtype=float).reshape(-1, 2).T
    error = expected_calibration_error(probs, targets, bins)
    assert 0 <= error <= 1
    order = np.random.default_rng(len(rows)).permutation(len(rows))
    assert expected_calibration_error(probs[order], targets[order], bins) == pytest.approx(error)
