"""Two policies on the same requests, with paired intervals: overall, intent by intent, and who moves where."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.comparison.changes import policy_changes, set_back
from pointsman.comparison.intents import by_intent
from pointsman.comparison.moves import moves
from pointsman.comparison.words import reasons_against, standing, verdict
from pointsman.decide import Beliefs, Facts, Reading, believe, decide
from pointsman.errors import TraceError
from pointsman.estimated import as_logged, estimated_outcomes, production
from pointsman.evidence import paired_change
from pointsman.intervals import difference, interval
from pointsman.objective import checks
from pointsman.offpolicy import estimate
from pointsman.offpolicy_report import evaluate_policy
from pointsman.replay import Served, baseline_columns, facts_of, with_fallbacks
from pointsman.report import as_estimated
from pointsman.resample import units_of
from pointsman.spec import AS_LOGGED, BEST_SINGLE, RoutingSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pointsman.outcomes import Outcomes
    from pointsman.policy import Policy
    from pointsman.propensity import Propensities

__all__ = ["Side", "compare_policies"]


@dataclass(frozen=True, eq=False)
class Side:
    """A policy that is compared.

    Attributes
    ----------
    name : str
        For people.
    policy : Policy
    reading : Reading
        Of the n prompts, by the policy's own graph.
    """

    name: str
    policy: Policy
    reading: Reading


def compare_policies(
    outcomes: Outcomes,
    before: Side,
    after: Side,
    spec: RoutingSpec,
    seed: int = 0,
    *,
    logs: bool = False,
    gone: Sequence[str] = (),
) -> dict[str, Any]:
    """Compare two policies on n requests that neither has seen.

    Each side decides by what its own classifier reads, and has its own fallbacks behind it. Candidates and intents may
    differ. Outcomes estimated from logs are the same scores for both, whose outcome models are what the two believe
    together.

    Parameters
    ----------
    outcomes : Outcomes
        Of n requests at every candidate of either side.
    before, after : Side
        Usually the policy in production, and the one that may take its place.
    spec : RoutingSpec
        Its confidence, its traffic a month, and where it names any, the constraints that `after` must keep.
    seed : int
        Of the bootstrap.
    logs : bool
        Estimate what is not known from what production served (see `pointsman.estimated`).
    gone : sequence of str
        Candidates that answer nothing any more: estimates from logs expect nothing of them.

    Returns
    -------
    dict
        Plain JSON values. ``verdict``: one line in words. ``stands``: ``same, ahead, behind`` or ``level`` in net
        value (in usefulness and cost, where no price of a useful response is known). ``against``: reasons not to
        change, in words; empty where there is none. ``requests, confidence, useful_value_usd, names``; ``before`` and
        ``after`` (see `Served.summary`), ``today`` (the spec's baseline, or None). ``change`` (see
        `pointsman.evidence.paired_change`). ``intents`` (see `by_intent`), ``moved`` (see `moves`). ``constraints`` of
        the spec, kept by ``after`` or not. ``policy_changes`` (see `pointsman.comparison.changes`); those of the
        rule with ``moved``, the requests that go elsewhere by that change alone. ``modelled, off_policy``.

    Raises
    ------
    TraceError
        Where there are no requests, or the logs say nothing.
    """
    if len(outcomes) == 0:
        raise TraceError("no request with the outcome of every candidate is left to compare on")
    models = tuple(dict.fromkeys((*before.policy.models, *after.policy.models)))
    outcomes, facts = outcomes.reorder(models), facts_of(outcomes)
    sides = [_Decided.of(side, facts, models) for side in (before, after)]
    limit, confidence = spec.constraints.p95_latency_ms, spec.constraints.confidence
    chances = None
    if logs:
        both = Reading(np.hstack([before.reading.intent_probs, after.reading.intent_probs]), after.reading.useful_probs)
        chances = production(outcomes, both)
        scores, kept = estimated_outcomes(outcomes, _together(sides, models, gone), chances, limit)
        if not kept.any():
            raise TraceError("no request says what served it and with which probability: nothing can be estimated")
        outcomes, chances, sides = outcomes.take(kept), chances.take(kept), [side.take(kept) for side in sides]
        served = [Served.by(scores, side.column) for side in sides]
    else:
        facts_now = facts_of(outcomes)
        served = [Served.by(with_fallbacks(outcomes, s.beliefs, facts_now, s.side.policy), s.own) for s in sides]
    was, now = served
    worth = _worth(spec, before.policy, after.policy)
    cluster, month = outcomes.cluster, spec.requests_per_month
    change = paired_change(was, now, confidence, seed, useful_value_usd=worth, cluster=cluster)
    off_policy = None
    if chances is not None:
        off_policy = _estimated_change(change, outcomes, sides, chances, spec, worth, _together(sides, models, gone))
    labels = np.where(outcomes.intent != "", outcomes.intent, sides[1].intents)
    first, second = (side.column for side in sides)
    today = _today(outcomes, spec, after.policy, chances)
    kept_by_after = [] if today is None else [check.to_dict() for check in checks(now, today, spec)]
    report: dict[str, Any] = {
        "requests": len(outcomes),
        "confidence": confidence,
        "useful_value_usd": worth,
        "names": {"before": before.name, "after": after.name},
        "before": was.summary(month),
        "after": now.summary(month),
        "today": None if today is None else today.summary(month),
        "change": change,
        "intents": by_intent(was, now, labels, first != second, confidence, cluster, seed),
        "moved": moves(first, second, models, was, now, labels),
        "constraints": kept_by_after,
        "policy_changes": _changes(sides),
        "modelled": list(spec.modelled),
        "off_policy": off_policy,
    }
    report["stands"] = standing(report)
    report["against"] = reasons_against(report)
    return {"verdict": verdict(report), **report}


@dataclass(frozen=True, eq=False)
class _Decided:
    """A side's beliefs and choices: `own` are columns of its policy, `column` of all the models."""

    side: Side
    beliefs: Beliefs
    own: NDArray[np.intp]
    column: NDArray[np.intp]

    @classmethod
    def of(cls, side: Side, facts: Facts, models: tuple[str, ...]) -> _Decided:
        beliefs = believe(side.reading, facts, side.policy)
        own = decide(beliefs, side.policy.rule)
        return cls(side, beliefs, own, np.array([models.index(name) for name in side.policy.models])[own])

    @property
    def intents(self) -> NDArray[np.object_]:
        """(n,): the most probable intent."""
        return np.array(self.beliefs.intents, dtype=object)[self.beliefs.intent]

    def take(self, at: NDArray[np.bool_]) -> _Decided:
        return replace(self, beliefs=self.beliefs.take(at), own=self.own[at], column=self.column[at])


def _together(sides: list[_Decided], models: tuple[str, ...], gone: Sequence[str]) -> Beliefs:
    """Return what the sides believe of each candidate together: the mean of those who know it."""

    def mean(name: str) -> NDArray[np.float32]:
        rows = []
        for model in models:
            knowing = [side.beliefs for side in sides if model in side.beliefs.models]
            rows.append(np.mean([getattr(one, name)[one.models.index(model)] for one in knowing], axis=0))
        return np.stack(rows).astype(np.float32)

    useful, cost, late = mean("query_useful"), mean("cost_usd"), mean("late")
    useful[[name in gone for name in models]] = 0.0
    eligible = np.ones(late.shape, dtype=np.bool_)
    parts = {"query_useful": useful, "intent_useful": useful, "cost_usd": cost, "late": late}
    return Beliefs(**{**vars(sides[-1].beliefs), **parts, "eligible": eligible, "models": models})


def _changes(sides: list[_Decided]) -> list[dict[str, Any]]:
    """Return what was changed in the policy, and how many requests each part of the rule moves by itself."""
    before, after = sides
    policies = before.side.policy, after.side.policy
    found = policy_changes(*policies)
    for change in found:
        rule = None if change["path"] is None else set_back(policies[1], policies[0], change["path"])
        other = after.own if rule is None else decide(after.beliefs, rule)
        change["moved"] = None if rule is None else int(np.count_nonzero(other != after.own))
    return found


def _worth(spec: RoutingSpec, before: Policy, after: Policy) -> float | None:
    """Return what a useful response is worth, USD: by the spec, else the price that the earlier policy's search paid.

    Not the later one's: what may take a place does not choose what it is measured by.
    """
    if spec.objective.useless_response_usd > 0:
        return spec.objective.useless_response_usd
    for policy in (before, after):
        if policy.evidence.get("useful_value_usd") is not None:
            return float(policy.evidence["useful_value_usd"])
    return None


def _today(outcomes: Outcomes, spec: RoutingSpec, policy: Policy, chances: Propensities | None) -> Served | None:
    """Return what production does today by the spec; None where it is not known of each request."""
    baseline = policy.evidence.get("baseline") if spec.baseline == BEST_SINGLE else spec.baseline
    if baseline == AS_LOGGED and chances is not None:
        return as_logged(outcomes, chances, spec.constraints.p95_latency_ms)
    known = baseline == AS_LOGGED or baseline in outcomes.models
    if chances is not None or not known or (baseline == AS_LOGGED and (outcomes.logged < 0).any()):
        return None
    return Served.by(outcomes, baseline_columns(outcomes, str(baseline)))


def _estimated_change(
    change: dict[str, Any],
    outcomes: Outcomes,
    sides: list[_Decided],
    chances: Propensities,
    spec: RoutingSpec,
    worth: float | None,
    together: Beliefs,
) -> dict[str, Any]:
    """Give the change doubly robust intervals, and return what the logs say of it."""
    limit = spec.constraints.p95_latency_ms
    tables = {
        "useful": together.query_useful.T.astype(np.float64),
        "cost_usd": together.cost_usd.T.astype(np.float64),
    }
    if limit is not None:
        tables["late"] = together.late.T.astype(np.float64)
    first, second = (side.column for side in sides)
    confidence = spec.constraints.confidence
    found = evaluate_policy(
        outcomes,
        second,
        chances,
        tables,
        before=first,
        before_name=sides[0].side.name,
        intents=sides[1].intents,
        late_limit_ms=limit,
        confidence=confidence,
    ).to_dict()
    as_estimated(change, found["change"], len(outcomes))
    if worth is not None:
        values = worth * outcomes.useful - outcomes.cost_usd
        believed = worth * tables["useful"] - tables["cost_usd"]
        now, was = (estimate("dr", values, at, chances, believed, bounded=False) for at in (second, first))
        gap = difference(now, was)
        low, high = interval(gap, confidence, units_of(outcomes.cluster, len(outcomes))[0], change=True)
        change["net_value_usd"] = {"difference": gap.value, "low": low, "high": high}
        change["method"]["net_value_usd"] = "doubly_robust"
    return found
