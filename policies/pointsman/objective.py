"""The objective and its constraints: cost per useful response, and what must hold with which confidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

from pointsman.bounds import share_upper
from pointsman.replay import COLUMNS, ESTIMATED, ROUNDING, Served
from pointsman.scores import Sample, sample_of, score_bounds, score_error
from pointsman.spec import RelativeRate, RoutingSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pointsman.outcomes import Outcomes

__all__ = ["LATE_SHARE", "Check", "Evaluation", "Measure", "Objective", "checks", "measures"]

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
    error : float
        Standard error of the value.
    low : float
        The value at the spec's confidence, one-sided, on the favourable side.
    scale : float
        The constraint's own scale.
    """

    name: str
    value: float
    bound: float
    limit: float
    slack: float
    held: bool
    unit: str
    error: float
    low: float
    scale: float = 1.0

    def excess(self, distance: float) -> float:
        """Return how far the value, plus so many standard errors, is beyond the limit, on the constraint's scale."""
        return (self.value + distance * self.error - self.limit) / self.scale

    @property
    def certified(self) -> bool:
        """The bound keeps the limit: it holds with the spec's confidence."""
        return self.slack <= 0

    @property
    def verdict(self) -> str:
        """Say what these requests prove.

        ``certified``: the bound keeps the limit. ``held``: the measured value does. ``missed``: it does not, by no more
        than chance explains. ``broken``: by more than that.
        """
        if self.certified:
            return "certified"
        return "held" if self.held else "missed" if self.low <= self.limit else "broken"

    def to_dict(self) -> dict[str, Any]:
        """Return the check as plain JSON values."""
        return {**vars(self), "verdict": self.verdict}


@dataclass(frozen=True, eq=False)
class Measure:
    """What a constraint is measured by: a mean over requests that must not pass a limit.

    Attributes
    ----------
    name, unit : str
        See `Check`.
    values : (n,) float array
        Of the requests of which it is known.
    limit : float
    ends : tuple of float or None
        Least and largest value that there can be; None where it is not known.
    is_share : bool
        Every value is 0 or 1.
    scale : float
        What counts as 1 when constraints are weighed against each other.
    untouched : bool
        No request can have lost anything, by design.
    known : (requests,) bool array or None
        Which requests the values are of; None for all.
    sample : Sample or None
        Where values are scores, estimated from logs: how much they tell. None where they are measured.
    """

    name: str
    unit: str
    values: NDArray[np.float64]
    limit: float
    ends: tuple[float, float] | None
    is_share: bool = False
    scale: float = 1.0
    untouched: bool = False
    known: NDArray[np.bool_] | None = None
    sample: Sample | None = None


def measures(served: Served, before: Served, spec: RoutingSpec) -> Iterator[Measure]:
    """Give what each constraint of the spec is measured by, on n requests; `before` is the baseline's."""
    want, one, sample = spec.constraints, (0.0, 1.0), _sample(served)
    if want.p95_latency_ms is not None:
        unit = "share later than the limit"
        if served.late is None:
            late = (served.latency_ms > want.p95_latency_ms).astype(np.float64)
            yield Measure("p95_latency_ms", unit, late, LATE_SHARE, one, is_share=True)
        else:
            yield Measure("p95_latency_ms", unit, served.late, LATE_SHARE, one, sample=sample)
    if isinstance(want.useful_rate, RelativeRate):
        loss, limit = before.useful - served.useful, want.useful_rate.margin
        untouched, was = _untouched(served, before, loss), _sample(before)
        both = sample | was if sample is not None and was is not None else sample
        unit = "loss of usefulness"
        yield Measure("useful_rate", unit, loss, limit, (-1.0, 1.0), untouched=untouched, sample=both)
    elif want.useful_rate is not None:
        useless, limit = 1 - served.useful, 1 - want.useful_rate
        yield Measure("useful_rate", "share useless", useless, limit, one, sample=sample)
    if want.hallucination_rate is not None:
        known = np.isfinite(served.hallucinated)
        values, unit, limit = served.hallucinated[known], "share hallucinated", want.hallucination_rate
        some = None if served.importance is None else sample_of(served.importance[known])
        yield Measure("hallucination_rate", unit, values, limit, one, is_share=some is None, known=known, sample=some)
    if want.budget_usd_per_day is not None and spec.requests_per_month is not None:
        limit = want.budget_usd_per_day
        daily = served.cost_usd * (spec.requests_per_month / 30)
        yield Measure("budget_usd_per_day", "USD a day", daily, limit, None, scale=limit, sample=sample)


def checks(served: Served, before: Served, spec: RoutingSpec) -> tuple[Check, ...]:
    """Measure every constraint of the spec on n requests.

    Bounds: Clopper-Pearson (1934) for shares of requests (late, hallucinated; where nothing is known of hallucination,
    the worst is assumed). Normal with the sample's own variance for usefulness, paired with the baseline where it is
    relative, and for the budget. Usefulness counts one imagined request more at either end of its scale (Agresti and
    Caffo 2000; Bonett and Price 2012 for pairs): a few requests that all went alike prove little. What is estimated
    from logs is bounded as `pointsman.scores` says.
    """
    confidence = spec.constraints.confidence
    return tuple(
        _share(measure, confidence) if measure.is_share else _mean(measure, confidence)
        for measure in measures(served, before, spec)
    )


def _sample(served: Served) -> Sample | None:
    return None if served.importance is None else sample_of(served.importance)


def _untouched(served: Served, before: Served, loss: NDArray[np.float64]) -> bool:
    """Return whether every request that was useful before is served as before: then nothing can be lost, by design."""
    if (loss > 0).any():
        return False
    same = (served.cost_usd == before.cost_usd) & (served.latency_ms == before.latency_ms) & (loss == 0)
    return bool((same | (before.useful == 0)).all())


def _share(measure: Measure, confidence: float) -> Check:
    """Bound a share from above by Clopper and Pearson."""
    count, n = int(measure.values.sum()), len(measure.values)
    bound, value = share_upper(count, n, confidence), count / n if n else 1.0
    error = float(np.sqrt((count + 1) * (n - count + 1) / (n + 2) ** 3))  # Agresti and Caffo: never 0
    return _check(measure, value, bound, error, confidence)


def _mean(measure: Measure, confidence: float) -> Check:
    """Bound a mean by the normal law, with one more imagined value at each of the ends, where it has ends."""
    if measure.sample is not None:
        return _score(measure, measure.sample, confidence)
    values, ends = measure.values, measure.ends or ()
    value, n = float(values.mean()), len(values) + len(ends)
    centre = (value * len(values) + sum(ends)) / n
    apart = values - centre
    squares = float(apart @ apart) + sum((end - centre) ** 2 for end in ends)
    # One value alone tells nothing of the spread: it is taken to be as large as the value.
    spread = np.sqrt(squares / (n - 1)) if n > 1 else abs(value)
    error = 0.0 if measure.untouched else float(spread / np.sqrt(n))
    most = 0.0 if measure.untouched else ends[1] if ends else float("inf")
    bound = min(float(centre + ndtri(confidence) * spread / np.sqrt(n)), most)
    return _check(measure, value, bound, error, confidence)


def _score(measure: Measure, sample: Sample, confidence: float) -> Check:
    """Bound a mean that is estimated from logs (see `pointsman.scores`); nothing known is the worst."""
    values, ends = measure.values, measure.ends
    most = ends[1] if ends else float("inf")
    if len(values) == 0:
        return _check(measure, most, most, most, confidence)
    if measure.untouched:
        return _check(measure, 0.0, 0.0, 0.0, confidence)
    bound, error = score_bounds(values, sample, confidence, ends)[1], score_error(values, sample, ends)
    return _check(measure, float(values.mean()), bound, error, confidence)


def _check(measure: Measure, value: float, bound: float, error: float, confidence: float) -> Check:
    limit, scale = measure.limit, measure.scale
    held, low = value <= limit + ROUNDING * scale, value - float(ndtri(confidence)) * error
    return Check(measure.name, value, bound, limit, (bound - limit) / scale, held, measure.unit, error, low, scale)


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
        names = COLUMNS if outcomes.late is None else (*COLUMNS, *ESTIMATED)
        self._columns = {name: np.ascontiguousarray(getattr(outcomes, name).T).ravel() for name in names}
        self._rows = np.arange(len(outcomes))
        self._load = None
        if spec.constraints.latency == "under_load":  # the queues are compiled: not imported without need
            from pointsman.load.constraint import under_load

            self._load = under_load(spec, outcomes.models, len(outcomes))

    def served(self, chosen: NDArray[np.intp]) -> Served:
        """Return what the n requests got from their chosen candidates."""
        at = chosen * len(self._rows) + self._rows
        served = Served(**{name: np.take(column, at) for name, column in self._columns.items()})
        return served if self._load is None else self._load.served(served, chosen)

    def __call__(self, chosen: NDArray[np.intp]) -> Evaluation:
        """Evaluate a choice of candidates, (n,)."""
        served = self.served(chosen)
        cost, useful = float(served.cost_usd.mean()), float(served.useful.mean())
        useless = self.spec.objective.useless_response_usd * (1 - useful)
        found = checks(served, self.before, self.spec)
        late = next((check.value for check in found if check.name == "p95_latency_ms"), 0.0)
        return Evaluation((cost + useless) / useful if useful > 0 else float("inf"), useful, late, cost, found)
