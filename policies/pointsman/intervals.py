"""Intervals of means, differences and ratios from influence values: for skewed, weighted and clustered requests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

__all__ = [
    "Estimate",
    "difference",
    "interval",
    "mean_interval",
    "ratio",
    "ratio_interval",
    "standard_error",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A mean with what each request moves it by.

    Attributes
    ----------
    value : float
    influence : (n,) float64 array
        First-order effect of each request, times n; 0 where the request says nothing. Estimates on the same requests
        are subtracted or divided by their influence: their covariance is right by construction.
    df : float
        Effective requests less one.
    heaviness : float
        Requests that the mean weighted request stands for, at least 1.
    bias : float
        Bound of the bias that clipping adds, for outcomes no further from their prediction than those seen.
    bounded : bool
        The outcome lies between 0 and 1.
    """

    value: float
    influence: Floats
    df: float
    heaviness: float = 1.0
    bias: float = 0.0
    bounded: bool = False

    @property
    def carriers(self) -> float:
        """How many requests carry the spread, (Σ s²)² / Σ s⁴; n / 3 for a normal law, infinite without spread.

        Where it is a handful, whether the next sample has such a request decides the mean: no interval knows.
        """
        fourth = float((self.influence**4).sum())
        return float((self.influence**2).sum()) ** 2 / fourth if fourth > 0 else float("inf")


def difference(after: Estimate, before: Estimate) -> Estimate:
    """Return after minus before, on the same requests."""
    return Estimate(
        after.value - before.value,
        after.influence - before.influence,
        min(after.df, before.df),
        max(after.heaviness, before.heaviness),
        after.bias + before.bias,
        after.bounded and before.bounded,
    )


def ratio(above: Estimate, below: Estimate) -> Estimate:
    """Return above divided by below, on the same requests, by the delta method; NaN where below is not above 0."""
    value = above.value / below.value if below.value > 0 else float("nan")
    influence = (above.influence - value * below.influence) / below.value if below.value > 0 else above.influence * 0
    heaviness = max(above.heaviness, below.heaviness)
    bias = (above.bias + abs(value) * below.bias) / below.value if below.value > 0 else 0.0
    return Estimate(value, influence, min(above.df, below.df), heaviness, bias)


def interval(
    found: Estimate, confidence: float = 0.95, cluster: NDArray[np.intp] | None = None, *, change: bool = False
) -> tuple[float, float]:
    """Return the interval of an estimate, widened by the bound of its bias.

    Parameters
    ----------
    found : Estimate
    confidence : float
    cluster : (n,) intp array, optional
    change : bool
        The estimate is a difference: its scale ends at -1 and 1.
    """
    ends = None
    if found.bounded:
        least = -1.0 if change else 0.0
        # Where one weighted request stands for many, so does the imagined one.
        ends = ((least - found.value) * found.heaviness, (1.0 - found.value) * found.heaviness)
        if not change:
            ends = (min(ends[0], 0.0), max(ends[1], 0.0))
    low, high = mean_interval(found.influence, found.value, confidence, found.df, cluster, ends)
    return low - found.bias, high + found.bias


def ratio_interval(
    above: Estimate, below: Estimate, confidence: float = 0.95, cluster: NDArray[np.intp] | None = None
) -> tuple[float, float] | None:
    """Return Fieller's (1954) interval of above / below; None where it has no end, as below may be 0.

    Every ratio r is inside for which the mean of above − r · below is not refuted to be 0.
    """
    x, y = above.value, below.value
    variance_x = standard_error(above.influence, cluster) ** 2
    variance_y = standard_error(below.influence, cluster) ** 2
    both = standard_error(above.influence + below.influence, cluster) ** 2
    covariance = (both - variance_x - variance_y) / 2
    square = float(t.ppf((1 + confidence) / 2, max(min(above.df, below.df), 1.0))) ** 2
    a, b, c = y * y - square * variance_y, x * y - square * covariance, x * x - square * variance_x
    inside = b * b - a * c
    if y <= 0 or a <= 0 or inside < 0:
        return None
    bias = ratio(above, below).bias
    return float((b - np.sqrt(inside)) / a) - bias, float((b + np.sqrt(inside)) / a) + bias


def mean_interval(
    influence: Floats,
    value: float,
    confidence: float,
    df: float,
    cluster: NDArray[np.intp] | None = None,
    ends: tuple[float, float] | None = None,
) -> tuple[float, float]:
    """Return a two-sided interval of a mean, corrected for skewness.

    The studentised mean of skewed values is skewed itself, as inverse propensities make it. Hall's monotone cubic ("On
    the removal of skewness by transformation", 1992) takes the first-order part of that away.

    Parameters
    ----------
    influence : (n,) float array
        What each request moves the estimate by, times n; their mean is 0.
    value : float
        The estimate.
    confidence : float
    df : float
        Degrees of freedom of Student's t: effective requests less one.
    cluster : (n,) intp array, optional
        Requests of one cluster are one draw.
    ends : pair of float, optional
        Influence of one imagined effective request at either end of a bounded scale (Agresti and Caffo 2000): so few
        or so equal values prove less than their spread says.

    Returns
    -------
    low, high : float
    """
    parts, n = _parts(influence, cluster), len(influence)
    df = min(df, len(parts) - 1)
    if ends is not None:
        parts = np.concatenate([parts, ends])
    squares = float(parts @ parts)
    if squares <= 0:
        return value, value
    error = np.sqrt(squares) / n
    skew = float((parts**3).sum() / squares**1.5)
    reach = float(t.ppf((1 + confidence) / 2, max(df, 1.0)))
    return value - error * _unskewed(reach, skew), value - error * _unskewed(-reach, skew)


def standard_error(influence: Floats, cluster: NDArray[np.intp] | None = None) -> float:
    """Return the standard error of a mean from its influence values, (n,), summed by cluster."""
    parts = _parts(influence, cluster)
    return float(np.sqrt(parts @ parts) / len(influence)) if len(influence) else float("nan")


def _parts(influence: Floats, cluster: NDArray[np.intp] | None) -> Floats:
    """Return the independent parts of the sum, scaled for the one degree of freedom that the mean took."""
    parts = influence
    if cluster is not None:
        _, codes = np.unique(cluster, return_inverse=True)
        parts = np.bincount(codes, weights=influence).astype(np.float64)
    count = len(parts)
    return np.asarray(parts * np.sqrt(count / (count - 1))) if count > 1 else parts


MOST_SKEW = 0.5
"""Skewness of the mean up to which the expansion behind the correction is used."""


def _unskewed(x: float, skew: float) -> float:
    """Invert Hall's transformation; `skew` is the skewness of the sum."""
    skew = float(np.clip(skew, -MOST_SKEW, MOST_SKEW))
    if abs(skew) < 1e-6:
        return x
    return float(3 / skew * (np.cbrt(1 + skew * (x - skew / 6)) - 1))
