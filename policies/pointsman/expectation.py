"""Expected outcomes of requests, taken to be true: what an assignment costs, and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.objective import LATE_SHARE
from pointsman.spec import RelativeRate, RoutingSpec

__all__ = ["Expectation", "Limits", "Means"]

CHUNK = 16_384
"""Requests weighed at a time."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Limits:
    """What must hold on average; None where nothing must.

    Attributes
    ----------
    useful_rate : float or None
        At least, 0..1.
    late_share : float or None
        At most, 0..1.
    cost_usd : float or None
        Mean cost of a request, at most.
    """

    useful_rate: float | None = None
    late_share: float | None = None
    cost_usd: float | None = None

    @classmethod
    def of(cls, spec: RoutingSpec, before_useful: float) -> Limits:
        """Read the limits from a spec; `before_useful` is the baseline's mean usefulness, 0..1."""
        want, month = spec.constraints, spec.requests_per_month
        rate = want.useful_rate
        rate = before_useful - rate.margin if isinstance(rate, RelativeRate) else rate
        late = None if want.p95_latency_ms is None else LATE_SHARE
        daily = want.budget_usd_per_day
        return cls(rate, late, None if daily is None or month is None else daily / (month / 30))


@dataclass(frozen=True)
class Means:
    """Expected means over requests of one assignment: USD, 0..1, 0..1."""

    cost_usd: float
    useful_rate: float
    late_share: float

    def cost_per_useful(self, useless_usd: float) -> float:
        """Return the objective, USD; infinite where nothing is useful."""
        cost = self.cost_usd + useless_usd * (1 - self.useful_rate)
        return cost / self.useful_rate if self.useful_rate > 0 else float("inf")

    def violation(self, limits: Limits) -> Floats:
        """Return by how much each limit is missed: usefulness, lateness, cost; negative where it is kept."""
        return np.array(
            [
                -np.inf if limits.useful_rate is None else limits.useful_rate - self.useful_rate,
                -np.inf if limits.late_share is None else self.late_share - limits.late_share,
                -np.inf if limits.cost_usd is None else self.cost_usd - limits.cost_usd,
            ]
        )


class Expectation:
    """Expected outcomes of n requests at m candidates, taken to be true.

    Parameters
    ----------
    useful, cost_usd, late : (m, n) float array
        P(useful), expected cost in USD, P(later than the limit). Outcomes as they were (0 and 1) give the bound that
        an oracle with the same constraints cannot go below.
    eligible : (m, n) bool array
        At least one candidate a request.
    """

    def __init__(self, useful: Any, cost_usd: Any, late: Any, eligible: NDArray[np.bool_]) -> None:
        self.useful, self.cost_usd, self.late = useful, cost_usd, late
        self.eligible = eligible
        self.m, self.n = eligible.shape

    def cheapest(self, cost_price: float, useful_price: float, late_price: float) -> NDArray[np.intp]:
        """Return the candidate of least ``cost · price − useful · price + late · price``, (n,)."""
        chosen = np.empty(self.n, dtype=np.intp)
        for start in range(0, self.n, CHUNK):
            at = slice(start, start + CHUNK)
            chosen[at] = self.score(at, cost_price, useful_price, late_price).argmin(axis=0)
        return chosen

    def score(self, at: slice, cost_price: float, useful_price: float, late_price: float) -> Floats:
        """Return what each candidate counts, (m, n); infinite where it is not eligible."""
        score: Floats = np.multiply(self.cost_usd[:, at], cost_price, dtype=np.float64)
        score -= np.multiply(self.useful[:, at], useful_price, dtype=np.float64)
        if late_price:
            score += np.multiply(self.late[:, at], late_price, dtype=np.float64)
        score[~self.eligible[:, at]] = np.inf
        return score

    def means(self, chosen: NDArray[np.intp]) -> Means:
        """Return an assignment's expected means."""
        at = chosen * self.n + np.arange(self.n)
        parts = (self.cost_usd, self.useful, self.late)
        return Means(*(float(np.take(part, at).mean(dtype=np.float64)) for part in parts))
