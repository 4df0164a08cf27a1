"""Quantiles of a stream by group, in fixed memory: counts in bins that grow by a constant factor."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LogQuantiles"]


class LogQuantiles:
    """Quantiles of positive values, each within a relative error (the bins of DDSketch, Masson, Rim and Lee 2019).

    Values below `low` or above `high` are known by their order only: their quantiles lie between the lowest or highest
    value of the group and that end.

    Parameters
    ----------
    groups : int
        Streams side by side.
    low, high : float
        Range in which the relative error holds; `low` is above 0.
    relative_error : float
        Of a quantile against the value of that rank, 0 to 1.

    Attributes
    ----------
    lowest, highest : (groups,) float64 array
        Exact; inf and -inf where the group has no value.
    """

    def __init__(self, groups: int, low: float, high: float, relative_error: float) -> None:
        self.low = low
        self.relative_error = relative_error
        self._log_factor = math.log((1 + relative_error) / (1 - relative_error))
        # One bin more for values of at most `low`, zero among them.
        self._bins = 1 + math.ceil(math.log(high / low) / self._log_factor)
        self._counts = np.zeros((groups, self._bins), dtype=np.int64)
        self.lowest, self.highest = np.full(groups, np.inf), np.full(groups, -np.inf)

    def add(self, groups: NDArray[np.intp], values: NDArray[np.float64]) -> None:
        """Count values, (n,), in their groups, (n,); NaN is not counted."""
        known = ~np.isnan(values)
        if not known.all():
            groups, values = groups[known], values[known]
        if not len(values):
            return
        np.minimum.at(self.lowest, groups, values)
        np.maximum.at(self.highest, groups, values)
        # The upper end of a bin belongs to it, so that `low` itself stays in the first.
        bins = np.ceil(np.log(np.maximum(values, self.low) / self.low) / self._log_factor)
        cells = groups * self._bins + np.minimum(bins, self._bins - 1).astype(np.intp)
        self._counts += np.bincount(cells, minlength=self._counts.size).reshape(self._counts.shape)

    def quantile(self, group: int, share: float) -> float | None:
        """Return the value below which `share` of a group's values lie; None where the group has none."""
        counts = self._counts[group]
        total = int(counts.sum())
        if not total:
            return None
        rank = min(max(math.ceil(share * total), 1), total)
        at = int(np.searchsorted(np.cumsum(counts), rank))
        # The middle of a bin, in the sense that both its ends are equally wrong.
        middle = self.low * math.exp(at * self._log_factor) * (1 - self.relative_error) if at else self.low
        return float(min(max(middle, self.lowest[group]), self.highest[group]))
