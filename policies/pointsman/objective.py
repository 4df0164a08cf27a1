"""The objective and its constraints: cost per useful response, and what must hold with which confidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, norm

from pointsman.outcomes import Outcomes
from pointsman.replay import Served
from pointsman.spec import RelativeRate, RoutingSpec

__all__ = ["LATE_SHARE", "Check", "Evaluation", "Objective", "checks"]

LATE_SHARE = 0.05
"""``P95 ≤ L`` is the same as «at most 5 % of the requests are later than L»; the share adds up over requests."""


@dataclass(frozen=True)
class Check:
    """One constraint, measured.

    Attributes
    ----------
    name : str
        As in the spec.
    value : float
        What was measured.
    bound : float
        The same at the spec's confidence, one-sided, on the unfavourable side.
    limit : float
        What it must not pass.
    slack : float
        How far the bound is beyond the limit, relative to the constraint's own scale: feasible when ≤ 0.
    held : bool
        The measured value keeps the limit; whether that is proven is `certified`.
    unit : str
        For people.
    """

    name: str
    value: float
    bound: float
    limit: float
    slack: float
    held: bool
    unit: str

    @property
    def certified(self) -> bool:
        """The bound keeps the limit: it holds with the spec's confidence."""
        return self.slack <= 0

    @property
    def verdict(self) -> str:
        """``certified``, ``held`` (measured, not proven) or ``broken``."""
        return "certified" if self.certified else "held" if self.held else "broken"

    def to_dict(self) -> dict[str, Any]:
        """Return the check as plain JSON values."""
        return {**vars(self), "verdict": self.verdict}


def checks(served: Served, before: Served, spec: RoutingSpec) -> tuple[Check, ...]:
    """Measure every constraint of the spec on n requests.

    Bounds: Clopper-Pearson for shares of requests (late, hallucinated); normal with the sample's own variance for
    usefulness (paired with the baseline where it is relative) and for the budget.
    """
    want, found = spec.constraints, []
    confidence = want.confidence
    if want.p95_latency_ms is not None:
        late = served.latency_ms > want.p95_latency_ms
        found.append(_share("p95_latency_ms", int(late.sum()), len(late), LATE_SHARE, confidence, "share later than the limit"))
    if isinstance(want.useful_rate, RelativeRate):
        found.append(_mean("useful_rate", before.useful - served.useful, want.useful_rate.margin, confidence, "loss of usefulness"))
    elif want.useful_rate is not None:
        found.append(_mean("useful_rate", 1 - served.useful, 1 - want.useful_rate, confidence, "share useless"))
    if want.hallucination_rate is not None:
        known = served.hallucinated[np.isfinite(served.hallucinated)]
        found.append(_share("hallucination_rate", int(known.sum()), len(known), want.hallucination_rate, confidence, "share hallucinated"))
    if want.budget_usd_per_day is not None and spec.requests_per_month is not None:
        daily = spec.requests_per_month / 30
        found.append(_mean("budget_usd_per_day", served.cost_usd * daily, want.budget_usd_per_day, confidence, "USD a day"))
    return tuple(found)


def _share(name: str, count: int, n: int, limit: float, confidence: float, unit: str) -> Check:
    """Bound a share from above by Clopper and Pearson (1934)."""
    bound = 1.0 if count >= n else float(beta.ppf(confidence, count + 1, n - count))
    value = count / n if n else 1.0
    return Check(name, value, bound, limit, bound - limit, value <= limit, unit)


def _mean(name: str, values: NDArray[np.float64], limit: float, confidence: float, unit: str) -> Check:
    """Bound a mean from above by the normal law with the sample's own variance."""
    value = float(values.mean())
    bound = value + float(norm.ppf(confidence)) * float(values.std()) / np.sqrt(len(values))
    scale = max(abs(limit), 1e-12) if unit == "USD a day" else 1.0
    return Check(name, value, bound, limit, (bound - limit) / scale, value <= limit, unit)


@dataclass(frozen=True)
class Evaluation:
    """One policy on the tuning requests.

    Attributes
    ----------
    cost_per_useful : float
        USD, useless responses priced as the spec says; infinite where nothing was useful.
    useful_rate, late_share : float
        0..1; `late_share` is 0 where there is no latency limit.
    mean_cost_usd : float
    checks : tuple of Check
    """

    cost_per_useful: float
    useful_rate: float
    late_share: float
    mean_cost_usd: float
    checks: tuple[Check, ...]

    @property
    def feasible(self) -> bool:
        """Every constraint is certified on these requests."""
        return all(check.certified for check in self.checks)

    @property
    def violation(self) -> float:
        """Sum of what the constraints are missed by; 0 where feasible."""
        return sum(max(check.slack, 0.0) for check in self.checks)


class Objective:
    """Evaluates choices on the same n requests, fast: outcomes are laid out (m, n) once and gathered by flat index.

    Parameters
    ----------
    outcomes : Outcomes
        With fallbacks folded in, columns in the policy's order.
    before : Served
        What the baseline got on the same requests.
    spec : RoutingSpec
    """

    def __init__(self, outcomes: Outcomes, before: Served, spec: RoutingSpec) -> None:
        self.before = before
        self.spec = spec
        self._columns = {name: np.ascontiguousarray(getattr(outcomes, name).T).ravel() for name in _FIELDS}
        self._rows = np.arange(len(outcomes))

    def served(self, chosen: NDArray[np.intp]) -> Served:
        """Return what the n requests got from their chosen candidates."""
        at = chosen * len(self._rows) + self._rows
        return Served(**{name: np.take(column, at) for name, column in self._columns.items()})

    def __call__(self, chosen: NDArray[np.intp]) -> Evaluation:
        """Evaluate a choice of candidates, (n,)."""
        served = self.served(chosen)
        cost, useful = float(served.cost_usd.mean()), float(served.useful.mean())
        useless = self.spec.objective.useless_response_usd * (1 - useful)
        found = checks(served, self.before, self.spec)
        late = next((check.value for check in found if check.name == "p95_latency_ms"), 0.0)
        return Evaluation((cost + useless) / useful if useful > 0 else float("inf"), useful, late, cost, found)


_FIELDS = ("useful", "cost_usd", "latency_ms", "hallucinated")
