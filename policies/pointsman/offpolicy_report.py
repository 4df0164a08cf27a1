"""The off-policy report: what logged data say of a policy, with intervals, or «cannot tell» and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pointsman.errors import TraceError
from pointsman.exploration import ExplorationPlan, plan_exploration
from pointsman.intervals import Estimate, difference, interval, ratio, ratio_interval
from pointsman.offpolicy import (
    ESTIMATORS,
    FLOOR,
    estimate,
    late_table,
    logged_mean,
    out_of_fold_means,
    weighted_quantile,
)
from pointsman.propensity import hash_folds
from pointsman.resample import units_of
from pointsman.support import Support, support_of, tellable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointsman.outcomes import Outcomes
    from pointsman.propensity import Propensities

__all__ = ["OffPolicyReport", "evaluate_policy"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class OffPolicyReport:
    """What logged data say of a policy and of its change against another.

    Attributes
    ----------
    before : str
        What the policy is compared with: ``as_logged`` or a name.
    confidence : float
    source : str
        Where the propensities come from.
    after : dict
        By outcome, by estimator: ``value, low, high, tellable`` (false where a handful of requests carry the spread, as
        very dear answers do: the interval is then no promise); None where unknown.
    change : dict
        By outcome, by estimator: ``difference, low, high, tellable`` and for costs ``ratio, ratio_low, ratio_high``.
    support : tuple of Support
        Of the policy, and of the policy it is compared with where that is not ``as_logged``.
    plan : ExplorationPlan or None
        What would make it tellable; None where it is.
    """

    before: str
    confidence: float
    source: str
    after: dict[str, dict[str, dict[str, float] | None]]
    change: dict[str, dict[str, dict[str, float] | None]]
    support: tuple[Support, ...]
    plan: ExplorationPlan | None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the data cannot tell; empty where they can."""
        found = [f"{why}" for why in self.support[0].reasons]
        found += [f"{self.before}: {why}" for other in self.support[1:] for why in other.reasons]
        return tuple(found)

    @property
    def tellable(self) -> bool:
        """The data support a claim."""
        return not self.reasons

    @property
    def verdict(self) -> str:
        """One line in plain words."""
        support = self.support[0]
        if not self.tellable:
            plan = f"; {self.plan.sentence}" if self.plan is not None else ""
            return f"cannot tell: {'; '.join(self.reasons)}{plan}."
        parts = []
        useful = self.change.get("useful", {}).get("dr")
        if useful is not None:
            low, high = 100 * useful["low"], 100 * useful["high"]
            proof = "" if useful["tellable"] else " (a handful of requests carry it: cannot tell)"
            parts.append(f"useful {100 * useful['difference']:+.1f} points [{low:+.1f}, {high:+.1f}]{proof}")
        cost = self.change.get("cost_usd", {}).get("dr")
        if cost is not None and "ratio" in cost:
            low, high = 100 * (cost["ratio_low"] - 1), 100 * (cost["ratio_high"] - 1)
            proof = "" if cost["tellable"] else " (a handful of requests carry it: cannot tell)"
            parts.append(f"cost {100 * (cost['ratio'] - 1):+.0f} % [{low:+.0f}, {high:+.0f}]{proof}")
        return (
            f"against {self.before}: {', '.join(parts)}; estimated from {support.requests - support.unusable:,} "
            f"requests ({support.complete:,} with every outcome known, effective sample {support.effective:,.0f})."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {
            "verdict": self.verdict,
            "tellable": self.tellable,
            "reasons": list(self.reasons),
            **vars(self),
            "after": {**self.after, "p95_ms": {name: _finite(entry) for name, entry in self.after["p95_ms"].items()}},
            "support": [support.to_dict() for support in self.support],
            "plan": None if self.plan is None else self.plan.to_dict(),
        }


BOUNDED = {"useful": True, "cost_usd": False, "late": True, "hallucinated": True}


def evaluate_policy(
    outcomes: Outcomes,
    chosen: NDArray[np.intp],
    propensities: Propensities,
    models: Mapping[str, Floats] | None = None,
    *,
    before: NDArray[np.intp] | None = None,
    before_name: str = "as_logged",
    intents: NDArray[np.object_] | None = None,
    late_limit_ms: float | None = None,
    confidence: float = 0.95,
    floor: float = FLOOR,
    half_width: float = 0.02,
    estimators: tuple[str, ...] = ESTIMATORS,
) -> OffPolicyReport:
    """Say from logged data what a policy is worth, or that they cannot tell.

    Requests of one cluster (`outcomes.cluster`) are one draw of every interval.

    Parameters
    ----------
    outcomes : Outcomes
        n requests, NaN where unknown: logged, with every outcome known, or a mix.
    chosen : (n,) intp array
        What the policy would choose. It must not have been learned from these very requests.
    propensities : Propensities
        Of the same requests.
    models : mapping of str to (n, m) float array, optional
        Out-of-fold predictions of ``useful``, ``cost_usd``, ``late``, ``hallucinated``; what is missing is predicted by
        averages over intent and candidate, out of fold by a hash of the request.
    before : (n,) intp array, optional
        What to compare with; what production served where it is not given.
    before_name : str
    intents : (n,) object array, optional
        What averages and overlap are taken over; `outcomes.intent` where it is not given.
    late_limit_ms : float, optional
        Adds ``late``, the share of requests later than that.
    confidence : float
    floor : float
        Smallest propensity.
    half_width : float
        That the exploration plan aims for, on an outcome between 0 and 1.
    estimators : tuple of str

    Raises
    ------
    TraceError
        Where no request says what served it with a propensity, nor has every outcome known.
    """
    intents = outcomes.intent if intents is None else intents
    tables = {name: getattr(outcomes, name) for name in ("useful", "cost_usd", "hallucinated")}
    if late_limit_ms is not None:
        tables["late"] = late_table(outcomes, late_limit_ms)
    cluster = units_of(outcomes.cluster, len(outcomes))[0]
    support = [support_of(outcomes, chosen, propensities, intents, floor)]
    if support[0].unusable == len(outcomes):
        raise TraceError(
            "off-policy: no request has the outcome of every candidate, or says what served it with which propensity; "
            "give the propensity column, or features to estimate it from"
        )
    if before is not None:
        support.append(support_of(outcomes, before, propensities, intents, floor))
    names, codes = np.unique(intents.astype(np.str_), return_inverse=True)
    folds = hash_folds(outcomes)
    same = before is not None and np.array_equal(chosen, before)
    after: dict[str, dict[str, dict[str, float] | None]] = {}
    change: dict[str, dict[str, dict[str, float] | None]] = {}
    for estimator in estimators:
        now: dict[str, Estimate | None] = {}
        was: dict[str, Estimate | None] = {}
        for name, values in tables.items():
            model = (models or {}).get(name)
            if model is None:
                model = out_of_fold_means(values, codes.astype(np.intp), folds, len(names))
            now[name] = _estimate(estimator, values, chosen, propensities, model, name, floor)
            was[name] = (
                _logged(values, propensities, name)
                if before is None
                else _estimate(estimator, values, before, propensities, model, name, floor)
            )
        for name in tables:
            entry, old = now[name], was[name]
            after.setdefault(name, {})[estimator] = _entry(entry, confidence, cluster)
            change.setdefault(name, {})[estimator] = _change(
                entry, old, confidence, cluster, ratios=name == "cost_usd", same=same
            )
        after.setdefault("cost_per_useful", {})[estimator] = _per_useful(now, confidence, cluster)
        change.setdefault("cost_per_useful", {})[estimator] = _change(
            _per(now), _per(was), confidence, cluster, ratios=True, same=same
        )
    p95 = weighted_quantile(outcomes.latency_ms, chosen, propensities, 0.95, confidence, cluster, floor)
    after["p95_ms"] = {"snips": None if p95 is None else dict(zip(("value", "low", "high"), p95, strict=True))}
    plan = None
    if any(not each.tellable for each in support):
        plan = plan_exploration(next(each for each in support if not each.tellable).cells, half_width, confidence)
    return OffPolicyReport(before_name, confidence, propensities.source, after, change, tuple(support), plan)


def _estimate(
    estimator: str,
    values: Floats,
    chosen: NDArray[np.intp],
    propensities: Propensities,
    model: Floats,
    name: str,
    floor: float,
) -> Estimate | None:
    try:
        found = estimate(estimator, values, chosen, propensities, model, bounded=BOUNDED[name], floor=floor)
    except TraceError:  # nothing is known of this outcome
        return None
    return found if np.isfinite(found.value) else None


def _logged(values: Floats, propensities: Propensities, name: str) -> Estimate | None:
    try:
        return logged_mean(values, propensities.logged, bounded=BOUNDED[name])
    except TraceError:
        return None


def _finite(entry: dict[str, float] | None) -> dict[str, float | None] | None:
    """Return an entry as JSON can hold it: an end beyond everything seen is unknown."""
    if entry is None:
        return None
    return {name: value if np.isfinite(value) else None for name, value in entry.items()}


def _per(found: dict[str, Estimate | None]) -> Estimate | None:
    cost, useful = found["cost_usd"], found["useful"]
    return ratio(cost, useful) if cost is not None and useful is not None and useful.value > 0 else None


def _per_useful(
    found: dict[str, Estimate | None], confidence: float, cluster: NDArray[np.intp] | None
) -> dict[str, float] | None:
    cost, useful = found["cost_usd"], found["useful"]
    if cost is None or useful is None or useful.value <= 0:
        return None
    ends = ratio_interval(cost, useful, confidence, cluster)
    if ends is None:
        return None
    per = ratio(cost, useful)
    return {"value": per.value, "low": ends[0], "high": ends[1], "tellable": tellable(per)}


def _entry(found: Estimate | None, confidence: float, cluster: NDArray[np.intp] | None) -> dict[str, float] | None:
    if found is None:
        return None
    low, high = interval(found, confidence, cluster)
    low, high = (max(low, 0.0), min(high, 1.0) if found.bounded else high)
    return {"value": found.value, "low": low, "high": high, "tellable": tellable(found)}


def _change(
    now: Estimate | None,
    was: Estimate | None,
    confidence: float,
    cluster: NDArray[np.intp] | None,
    *,
    ratios: bool,
    same: bool,
) -> dict[str, float] | None:
    """Return after minus before; nothing can change, whatever is known of it, where the choices are the `same`."""
    if now is None or was is None:
        return None
    found = difference(now, was)
    low, high = (0.0, 0.0) if same else interval(found, confidence, cluster, change=True)
    entry = {"difference": found.value, "low": low, "high": high, "tellable": tellable(found)}
    if ratios and was.value > 0:
        ends = (1.0, 1.0) if same else ratio_interval(now, was, confidence, cluster)
        if ends is not None:
            entry |= {"ratio": now.value / was.value, "ratio_low": ends[0], "ratio_high": ends[1]}
    return entry
