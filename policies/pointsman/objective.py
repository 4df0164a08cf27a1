"""The objective and its constraints: cost per useful response, and what must hold with which confidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import beta, norm

from pointsman.replay import COLUMNS, ROUNDING, Served
from pointsman.spec import RelativeRate, RoutingSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pointsman.outcomes import Outcomes

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

    Bounds: Clopper-Pearson (1934) for shares of requests (late, hallucinated; where nothing is known of hallucination,
    the worst is assumed). Normal with the sample's own variance for usefulness, paired with the baseline where it is
    relative, and for the budget. Usefulness counts one imagined request more at either end of its scale (Agresti and
    Caffo 2000; Bonett and Price 2012 for pairs): a few requests that all went alike prove little.
    """
    want, found = spec.constraints, []
    confidence = want.confidence
    if want.p95_latency_ms is not None:
        late = served.latency_ms > want.p95_latency_ms
        unit = "share later than the limit"
        found.append(_share("p95_latency_ms", int(late.sum()), len(late), LATE_SHARE, confidence, unit))
    if isinstance(want.useful_rate, RelativeRate):
        loss, limit, unit = before.useful - served.useful, want.useful_rate.margin, "loss of usefulness"
        most = 0.0 if _untouched(served, before, loss) else 1.0
        found.append(_mean("useful_rate", loss, limit, confidence, unit, ends=(-1.0, 1.0), most=most))
    elif want.useful_rate is not None:
        useless, limit = 1 - served.useful, 1 - want.useful_rate
        found.append(_mean("useful_rate", useless, limit, confidence, "share useless", ends=(0.0, 1.0), most=1.0))
    if want.hallucination_rate is not None:
        known = served.hallucinated[np.isfinite(served.hallucinated)]
        limit, unit = want.hallucination_rate, "share hallucinated"
        found.append(_share("hallucination_rate", int(known.sum()), len(known), limit, confidence, unit))
    if want.budget_usd_per_day is not None and spec.requests_per_month is not None:
        daily = served.cost_usd * (spec.requests_per_month / 30)
        limit = want.budget_usd_per_day
        found.append(_mean("budget_usd_per_day", daily, limit, confidence, "USD a day", scale=limit))
    return tuple(found)


def _untouched(served: Served, before: Served, loss: NDArray[np.float64]) -> bool:
    """Return whether every request that was useful before is served as before: then nothing can be lost, by design."""
    if (loss > 0).any():
        return False
    same = (served.cost_usd == before.cost_usd) & (served.latency_ms == before.latency_ms) & (loss == 0)
    return bool((same | (before.useful == 0)).all())


def _share(name: str, count: int, n: int, limit: float, confidence: float, unit: str) -> Check:
    """Bound a share from above by Clopper and Pearson."""
    bound = 1.0 if count >= n else float(beta.ppf(confidence, count + 1, n - count))
    value = count / n if n else 1.0
    return Check(name, value, bound, limit, bound - limit, value <= limit + ROUNDING, unit)


def _mean(
    name: str,
    values: NDArray[np.float64],
    limit: float,
    confidence: float,
    unit: str,
    ends: tuple[float, ...] = (),
    most: float = float("inf"),
    scale: float = 1.0,
) -> Check:
    """Bound a mean, known to be `most` at most, by the normal law, with one more imagined value at each of the ends."""
    value, n = float(values.mean()), len(values) + len(ends)
    centre = (value * len(values) + sum(ends)) / n
    apart = values - centre
    squares = float(apart @ apart) + sum((end - centre) ** 2 for end in ends)
    # One value alone tells nothing of the spread: it is taken to be as large as the value.
    spread = np.sqrt(squares / (n - 1)) if n > 1 else abs(value)
    bound = min(float(centre + norm.ppf(confidence) * spread / np.sqrt(n)), most)
    return Check(name, value, bound, limit, (bound - limit) / scale, value <= limit + ROUNDING * scale, unit)


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
        self._columns = {name: np.ascontiguousarray(getattr(outcomes, name).T).ravel() for name in COLUMNS}
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
