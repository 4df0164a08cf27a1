"""What was reported of each model since the router was loaded: plain counts and sums, safe between threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass

__all__ = ["Tallies", "Tally"]


@dataclass(frozen=True, slots=True)
class Tally:
    """What was reported of one model since the router was loaded.

    Attributes
    ----------
    requests, failures : int
    timed, latency_ms, slowest_ms : int, float, float
        How many reports carried a latency; its sum and its largest value, ms.
    priced, cost_usd : int, float
        How many reports carried a cost; its sum, USD.
    """

    requests: int = 0
    failures: int = 0
    timed: int = 0
    latency_ms: float = 0.0
    slowest_ms: float = 0.0
    priced: int = 0
    cost_usd: float = 0.0


class Tallies:
    """A tally per model."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_model: dict[str, Tally] = {}

    def add(self, model: str, *, ok: bool, latency_ms: float | None, cost_usd: float | None) -> None:
        """Count one report."""
        with self._lock:
            old = self._by_model.get(model, Tally())
            self._by_model[model] = Tally(
                requests=old.requests + 1,
                failures=old.failures + (not ok),
                timed=old.timed + (latency_ms is not None),
                latency_ms=old.latency_ms + (latency_ms or 0.0),
                slowest_ms=max(old.slowest_ms, latency_ms or 0.0),
                priced=old.priced + (cost_usd is not None),
                cost_usd=old.cost_usd + (cost_usd or 0.0),
            )

    def copy(self) -> dict[str, Tally]:
        """Return the tallies as they stand."""
        with self._lock:
            return dict(self._by_model)
