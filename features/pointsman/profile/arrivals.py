"""When requests arrived: the span, the rhythm and the gaps of a table that is read in order of time."""

from __future__ import annotations

import heapq
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Arrivals"]

_HOUR_US, _DAY_US = 3_600_000_000, 86_400_000_000
_GAPS = 10
_UNITS = (("hour", "h", 8), ("day", "D", 186), ("week", "W", 7 * 186))
"""Each with the most days that it shows, so that no picture has more than 200 bars."""


class Arrivals:
    """Counts requests by hour, and remembers the longest gaps."""

    def __init__(self) -> None:
        self._hours: Counter[int] = Counter()
        self._gaps: list[tuple[int, int]] = []
        self._long = 0
        self._first: int | None = None
        self._last = 0

    def add(self, times: NDArray[np.int64], heads: NDArray[np.intp]) -> None:
        """Take the next rows.

        Parameters
        ----------
        times : (n,) int64 array
            Microseconds since 1970, rising.
        heads : (k,) intp array
            The rows that are a request's first.

        Raises
        ------
        ValueError
            Where a row is earlier than the one before it.
        """
        before = np.diff(times, prepend=times[0] if self._first is None else self._last)
        if (before < 0).any():
            raise ValueError("rows must come in order of time")
        if self._first is None:
            self._first = int(times[0])
        hours, counts = np.unique(times[heads] // _HOUR_US, return_counts=True)
        self._hours.update(dict(zip(hours.tolist(), counts.tolist(), strict=True)))
        long = np.flatnonzero(before > _DAY_US)
        self._long += len(long)
        found = zip(before[long].tolist(), times[long].tolist(), strict=True)
        self._gaps = heapq.nlargest(_GAPS, [*self._gaps, *found])
        self._last = int(times[-1])

    def report(self) -> dict[str, Any]:
        """Return what `pointsman.profile.DataProfile.report` has under ``time``."""
        days = 0.0 if self._first is None else (self._last - self._first) / _DAY_US
        unit, frequency = next(((unit, code) for unit, code, most in _UNITS if days <= most), ("month", "M"))
        return {
            "first": None if self._first is None else _iso(self._first),
            "last": None if self._first is None else _iso(self._last),
            "days": days,
            "unit": unit,
            "counts": self._counts(frequency),
            "gaps": [{"start": _iso(end - gap), "end": _iso(end), "hours": gap / _HOUR_US} for gap, end in self._gaps],
            "gaps_total": self._long,
        }

    def _counts(self, frequency: str) -> list[int]:
        if not self._hours:
            return []
        hours = sorted(self._hours)
        periods = pd.to_datetime(np.array(hours) * 3600, unit="s").to_period(frequency)
        counts = pd.Series([self._hours[hour] for hour in hours]).groupby(periods).sum()
        every = pd.period_range(periods[0], periods[-1], freq=frequency)
        return [int(count) for count in counts.reindex(every, fill_value=0)]


def _iso(time_us: int) -> str:
    return pd.Timestamp(time_us, unit="us", tz="UTC").isoformat(timespec="seconds")
