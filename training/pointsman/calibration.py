"""Temperature scaling (Guo et al. 2017, "On Calibration of Modern Neural Networks") and how far from calibrated we are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

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
    """Return the mean gap between stated and observed frequency over bins of equal count, 0..1.

    Parameters
    ----------
    probs, targets : (n,) float array
        Targets in 0..1, none missing.
    """
    order = np.argsort(probs, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, max(len(order), 1))) if len(part)]
    gaps = [len(part) * abs(float(probs[part].mean() - targets[part].mean())) for part in parts]
    return sum(gaps) / max(len(order), 1)


def _best(loss: Callable[[float], float]) -> float:
    found = minimize_scalar(lambda log_t: loss(float(np.exp(log_t))), bounds=np.log(_RANGE), method="bounded")
    return float(np.exp(found.x))
