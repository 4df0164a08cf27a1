"""Bounds of means of doubly robust scores: a few heavily weighted requests prove less than their spread says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pointsman.intervals import mean_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Sample", "sample_of", "score_bounds", "score_error"]


@dataclass(frozen=True)
class Sample:
    """How much a weighted sample tells.

    Attributes
    ----------
    effective : float
        Effective sample size (Kish 1965); 0 where production never chose alike.
    heaviness : float
        Requests that the mean weighted request stands for, at least 1.
    """

    effective: float
    heaviness: float

    def __or__(self, other: Sample) -> Sample:
        """Return what a difference of the means of two samples has to go by: the worse of both."""
        return Sample(min(self.effective, other.effective), max(self.heaviness, other.heaviness))


def sample_of(importance: NDArray[np.float64]) -> Sample:
    """Return how much requests with these importance weights, (n,), tell."""
    total, squares = float(importance.sum()), float(importance @ importance)
    if squares <= 0:
        return Sample(0.0, float(max(len(importance), 1)))
    return Sample(total**2 / squares, max(squares / total, 1.0))


def score_error(values: NDArray[np.float64], sample: Sample, ends: tuple[float, float] | None) -> float:
    """Return the standard error of the mean of scores, with an imagined effective request at either end."""
    parts = np.concatenate([values - values.mean(), _imagined(float(values.mean()), sample, ends)])
    return float(np.sqrt(parts @ parts) / len(values))


def score_bounds(
    values: NDArray[np.float64],
    sample: Sample,
    confidence: float,
    ends: tuple[float, float] | None = None,
    groups: NDArray[np.intp] | None = None,
) -> tuple[float, float]:
    """Return what the mean's truth is not below, and not above, each with the confidence.

    By the normal law with the corrections of `pointsman.intervals.interval`: Student's t with the effective sample,
    Hall's (1992) transformation against skewness, and on a scale with ends one imagined effective request at either
    (Agresti and Caffo 2000).

    Parameters
    ----------
    values : (n,) float array
        Scores.
    sample : Sample
    confidence : float
        One-sided.
    ends : tuple of float, optional
        Least and largest value of what is estimated, where it is bounded.
    groups : (n,) int array, optional
        Requests of a group are drawn together.
    """
    value = float(values.mean())
    if sample.effective <= 0 and ends is not None:
        return ends
    imagined = _imagined(value, sample, ends)
    pair = (float(imagined[0]), float(imagined[1])) if ends else None
    low, high = mean_interval(values - value, value, 2 * confidence - 1, sample.effective - 1, groups, pair)
    if ends is not None:
        low, high = max(low, min(ends[0], value)), min(high, max(ends[1], value))
    return float(low), float(high)


def _imagined(value: float, sample: Sample, ends: Sequence[float] | None) -> NDArray[np.float64]:
    if ends is None:
        return np.empty(0)
    least, most = ends
    return np.array([min(least - value, 0.0), max(most - value, 0.0)]) * sample.heaviness
