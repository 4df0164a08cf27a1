"""Temperature scaling (Guo et al. 2017, "On Calibration of Modern Neural Networks") and how much it leaves to wish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["expected_calibration_error", "sigmoid_temperature", "softmax_temperature"]

Floats = NDArray[np.floating[Any]]

_RANGE = (0.05, 20.0)


def softmax_temperature(logits: Floats, labels: NDArray[np.intp]) -> float:
    """Return the temperature that minimises the log-loss of ``softmax(logits / T)``, within 0.05..20.

    Parameters
    ----------
    logits : (n, k) float array
    labels : (n,) int array
    """
    rows = np.arange(len(labels))
    return _best(lambda temperature: -float(np.mean(log_softmax(logits / temperature, axis=1)[rows, labels])))


def sigmoid_temperature(logits: Floats, targets: Floats) -> float:
    """Return the temperature that minimises the log-loss of ``sigmoid(logits / T)`` on soft targets, within 0.05..20.

    Parameters
    ----------
    logits, targets : (n, m) float array
        Targets in 0..1, NaN where unknown.
    """
    known = np.isfinite(targets)
    if not known.any():
        return 1.0
    scores, wanted = logits[known], targets[known]
    # log(1 + exp(z)) − y·z is the cross-entropy of a sigmoid.
    return _best(lambda t: float(np.mean(np.logaddexp(0.0, scores / t) - wanted * scores / t)))


def expected_calibration_error(probs: Floats, targets: Floats, bins: int = 10) -> float:
    """Return the mean gap between stated and observed frequency over bins of equal count, 0..1; 0 without any rows.

    Equal probabilities share a bin: what was stated alike is judged together.

    Parameters
    ----------
    probs, targets : (n,) float array
        Targets in 0..1, none missing.
    """
    if len(probs) == 0:
        return 0.0
    smaller = np.searchsorted(np.sort(probs), probs, side="left")
    gaps = np.bincount(smaller * bins // len(probs), weights=np.asarray(probs, dtype=np.float64) - targets)
    return float(np.abs(gaps).sum() / len(probs))


def _best(loss: Callable[[float], float]) -> float:
    """Search the range on a log scale; where no temperature is better than 1, it is 1."""
    bounds = float(np.log(_RANGE[0])), float(np.log(_RANGE[1]))
    found = float(np.exp(minimize_scalar(lambda log_t: loss(float(np.exp(log_t))), bounds=bounds, method="bounded").x))
    return found if loss(found) < loss(1.0) else 1.0
