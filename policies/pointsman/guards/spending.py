"""The budget: what was spent in each of its windows, and which dear candidates a request may no longer have.

Standard library only. What is under way counts as expected until its real cost is reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.guards.chance import uniform

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.guards.settings import Budget
    from pointsman.guards.windows import RollingSums

__all__ = ["Spending", "throttled"]

_SPENT = "spent"


class Spending:
    """What is spent, over the spans that have a limit; not locked.

    Parameters
    ----------
    settings : Budget
    window : callable
        Gives the shared window of a span in s and a number of buckets.
    """

    def __init__(self, settings: Budget, window: Callable[[float, int], RollingSums]) -> None:
        self._soft = settings.soft_share
        self._limits = [(name, window(span, buckets), limit) for name, span, buckets, limit in settings.limits]

    def add(self, usd: float, now: float) -> None:
        """Count money at a wall time, s; negative to correct what was expected."""
        for _, window, _ in self._limits:
            window.add(_SPENT, usd, now)

    def spent(self, now: float) -> dict[str, float]:
        """Return what was spent, USD, by the name of the span: minute, hour, day."""
        return {name: max(window.total(_SPENT, now), 0.0) for name, window, _ in self._limits}

    def squeeze(self, now: float) -> tuple[float, str]:
        """Return x, from 0 at the soft share to 1 at the limit, of the budget that is nearest to it, and its words."""
        most, words = 0.0, ""
        for name, window, limit in self._limits:
            share = max(window.total(_SPENT, now), 0.0) / limit
            x = 1.0 if share >= 1 else (share - self._soft) / (1 - self._soft) if share > self._soft else 0.0
            if x > most:
                most, words = x, f"{share:.0%} of the {limit:g} USD per {name} are spent"
        return most, words


def throttled(request_id: str, x: float, candidates: int) -> range:
    """Return the columns of the candidates (cheap to dear) that the budget denies a request.

    With one draw u of the request's id the dearest is denied where u < x, the next where u < x², and so on: the share
    of denied requests rises from 0 to 1 without a step, the dearest first, and column 0 is never denied.
    """
    draw, first, power = uniform(request_id, "throttle"), candidates, x
    while first > 1 and draw < power:
        first -= 1
        power *= x
    return range(first, candidates)
