"""Confidence intervals of one figure, from its bootstrap replicates or its influence values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

__all__ = ["Interval", "bca", "delta", "endless", "percentile", "standard_error", "studentised"]

Floats = NDArray[np.float64]

Interval = tuple[float, float]


def percentile(drawn: Floats, confidence: float) -> Interval | None:
    """Return the percentile interval of b replicates (Efron 1979).

    None where more replicates than a tail holds have no finite value.
    """
    tail = (1 - confidence) / 2
    return _quantiles(drawn, tail, 1 - tail, tail)


def bca(drawn: Floats, point: float, influence: Floats, confidence: float) -> Interval | None:
    """Return the bias-corrected and accelerated interval of b replicates (Efron 1987).

    The acceleration is that of the u influence values, the infinitesimal jackknife: it needs no u further estimates.
    None where more replicates than a tail holds have no finite value.
    """
    tail, finite = (1 - confidence) / 2, drawn[np.isfinite(drawn)]
    if not len(finite):
        return None
    # A replicate that equals the estimate is half below it. Beyond the ends of b replicates nothing is known.
    below = float(np.mean(finite < point) + np.mean(finite == point) / 2)
    bias = float(ndtri(np.clip(below, 1 / len(finite), 1 - 1 / len(finite))))
    spread = float((influence**2).sum()) ** 1.5
    acceleration = float((influence**3).sum()) / (6 * spread) if spread > 0 else 0.0
    ends = []
    for end in (tail, 1 - tail):
        z = bias + float(ndtri(end))
        room = 1 - acceleration * z
        # Past the pole of the transformation the end is the outermost replicate.
        ends.append(float(ndtr(bias + z / room)) if room > 0 else float(z > 0))
    return _quantiles(drawn, ends[0], ends[1], tail)


def studentised(drawn: Floats, errors: Floats, point: float, error: float, confidence: float) -> Interval | None:
    """Return the studentised (bootstrap-t) interval of b replicates (Efron 1979; Hall 1988).

    Parameters
    ----------
    drawn, errors : (b,) float64 array
        Replicates and the standard error of each.
    point, error : float
        The estimate and its standard error.
    confidence : float
        Two-sided.

    Returns
    -------
    tuple of float or None
        None where a tail's replicates have no finite distance from the estimate.
    """
    tail = (1 - confidence) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = (drawn - point) / errors
    distance[drawn == point] = 0.0
    distance = distance[~np.isnan(distance)]
    if len(distance) < (1 - tail) * len(drawn):
        return None
    # Never between a finite and an infinite distance.
    low = np.quantile(distance, tail, method="lower")
    high = np.quantile(distance, 1 - tail, method="higher")
    if not (np.isfinite(low) and np.isfinite(high)):
        return None
    return float(point - high * error), float(point - low * error)


def delta(point: float, influence: Floats, confidence: float) -> Interval:
    """Return the interval of the delta method, with Student's t of one degree of freedom less than influence values.

    Of clusters, the influence values are sums over each: the variance is cluster-robust (Liang and Zeger 1986).
    """
    error = standard_error(influence)
    reach = float(stdtrit(len(influence) - 1, (1 + confidence) / 2)) * error if error > 0 else 0.0
    return point - reach, point + reach


def standard_error(influence: Floats) -> float:
    """Return the standard error of an estimate from its u influence values, which sum to 0; that of one is 0."""
    units = len(influence)
    return float(np.sqrt((influence**2).sum() * units / max(units - 1, 1)))


def endless(parts: Floats, confidence: float) -> bool:
    """Tell whether a ratio has no interval (Fieller 1954): its denominator, the sum of u parts, may well be 0."""
    low, _ = delta(float(parts.sum()), parts - parts.mean(), confidence)
    return low <= 0


def _quantiles(drawn: Floats, low: float, high: float, tail: float) -> Interval | None:
    finite = drawn[np.isfinite(drawn)]
    if len(finite) < (1 - tail) * len(drawn) or not len(finite):
        return None
    ends = np.quantile(finite, [low, high])
    return float(ends[0]), float(ends[1])
