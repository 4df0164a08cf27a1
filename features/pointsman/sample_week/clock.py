"""Arrivals of the sample week: when requests come, and how loaded the service is at that moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: A Wednesday, so that the weekend lies inside the week and a time-ordered split ends on working days.
FIRST_DAY = np.datetime64("2026-03-04T00:00:00.000", "ms")
DAYS = 7
_MINUTES = DAYS * 24 * 60
_WEEKEND = (3, 4)  # Saturday and Sunday, counted from the Wednesday
_BURSTS = 9


@dataclass(frozen=True)
class Arrivals:
    """Sorted arrival times and the load each request met.

    Parameters
    ----------
    timestamps
        ``(n,) datetime64[ms]``, UTC, ascending.
    load
        ``(n,) float64``: traffic relative to an ordinary daily peak (about 0.2 at night, 1 at the peak, up to 2 in a
        burst).
    """

    timestamps: NDArray[np.datetime64]
    load: NDArray[np.float64]


def traffic(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the expected traffic per minute of the week, 1 at an ordinary daily peak."""
    minute = np.arange(_MINUTES)
    hour = (minute / 60.0) % 24
    day = minute // (24 * 60)
    morning = np.exp(-(((hour - 10.5) / 3.2) ** 2))
    evening = 0.75 * np.exp(-(((hour - 19.0) / 2.6) ** 2))
    rate = 0.18 + 0.82 * np.clip(morning + evening, 0.0, 1.0)
    rate = rate * np.where(np.isin(day, _WEEKEND), 0.6, 1.0)
    for start in rng.choice(np.arange(7 * 60, 22 * 60), size=_BURSTS) + 24 * 60 * rng.integers(0, DAYS, size=_BURSTS):
        length = int(rng.integers(12, 30))
        rate[start : start + length] *= rng.uniform(1.8, 3.0)
    return np.asarray(rate, dtype=np.float64)


def arrivals(rng: np.random.Generator, count: int) -> Arrivals:
    """Draw arrival times over the week.

    Parameters
    ----------
    rng
        Random generator.
    count
        Number of requests.
    """
    rate = traffic(rng)
    minute = rng.choice(_MINUTES, size=count, p=rate / rate.sum())
    offset = np.sort(minute * 60_000 + rng.integers(0, 60_000, size=count))
    return Arrivals(
        timestamps=FIRST_DAY + offset.astype("timedelta64[ms]"),
        load=np.minimum(rate[offset // 60_000], 2.0),
    )
