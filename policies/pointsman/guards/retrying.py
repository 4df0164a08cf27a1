"""Retries: the delays before them (exponential backoff, full jitter) and the budget that bounds them.

Standard library only. Full jitter after Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.guards.chance import uniform

if TYPE_CHECKING:
    from pointsman.guards.settings import Retry
    from pointsman.guards.windows import RollingSums

__all__ = ["RetryBudget", "delays_ms"]


def delays_ms(settings: Retry, request_id: str) -> tuple[float, ...]:
    """Return the delay before each retry of a request, ms; drawn by its id, so that every replay draws the same."""
    delays, ceiling = [], settings.base_ms
    for turn in range(settings.max_retries):
        delays.append(round(uniform(request_id, f"retry {turn}") * min(settings.cap_ms, ceiling), 3))
        ceiling *= 2
    return tuple(delays)


class RetryBudget:
    """Bounds retries to a share of the requests of a window, plus a floor; not locked.

    Parameters
    ----------
    settings : Retry
    window : RollingSums
        Of ``settings.window_s``.
    """

    def __init__(self, settings: Retry, window: RollingSums) -> None:
        self._settings = settings
        self._window = window

    def count_request(self, now: float) -> None:
        """Count a request at a wall time, s."""
        self._window.add("requests", 1, now)

    def left(self, now: float) -> bool:
        """Whether one retry more is allowed."""
        requests, retries = self._window.total("requests", now), self._window.total("retries", now)
        return retries < self._settings.budget_floor + self._settings.budget_share * requests

    def take(self, now: float) -> bool:
        """Count a retry where one is left; return whether one was."""
        if not self.left(now):
            return False
        self._window.add("retries", 1, now)
        return True
