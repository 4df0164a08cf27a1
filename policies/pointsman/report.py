"""The before/after report: a policy replayed on requests with known outcomes, beside the baselines, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.comparison.intents import by_intent
from pointsman.comparison.moves import moves
from pointsman.decide import Beliefs, Reading, believe, decide
from pointsman.errors import TraceError
from pointsman.estimated import as_logged, estimated_outcomes, production
from pointsman.evidence import compare, paired_change
from pointsman.objective import checks
from pointsman.offpolicy_report import evaluate_policy
from pointsman.reliability import reliability
from pointsman.replay import Served, baseline_columns, baselines, facts_of, with_fallbacks
from pointsman.spec import AS_LOGGED, BEST_SINGLE, RoutingSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from pointsman.outcomes import Outcomes
    from pointsman.policy import Policy
    from pointsman.propensity import Propensities

__all__ = ["as_estimated", "before_after", "percent", "points", "verdict"]

RIVALS = ("best_per_intent", "random_same_cost")
"""The content-blind baselines that a router must beat to have learned anything."""


def before_after(
    outcomes: Outcomes, reading: Reading, policy: Policy, spec: RoutingSpec, seed: int = 0, *, logs: bool = False
) -> dict[str, Any]:
    """Replay a policy on n requests whose outcomes at every candidate are known, or estimated from logs.

    Parameters
    ----------
    outcomes : Outcomes
        n requests.
    reading : Reading
        Of the n prompts, by the bundle's own graph.
    policy : Policy
    spec : RoutingSpec
        Names the baseline and the constraints.
    seed : int
        Of the bootstrap.
    logs : bool
        Estimate what is not known from what production served (see `pointsman.estimated`).

    Returns
    -------
    dict
        Plain JSON values: ``verdict``, ``requests``, ``baseline``, ``before``, ``after``, ``baselines``, ``change``
        (after minus before), ``useful_value_usd`` (the price that the search paid for its last useful response),
        ``against`` (after minus each rival with the same fallbacks behind it, with the net value at that price),
        ``constraints``, ``routed`` (requests by believed intent and chosen model), ``intents`` (see
        `pointsman.comparison.intents.by_intent`), ``moved`` (from the baseline's model to the chosen one, see
        `pointsman.comparison.moves.moves`), ``errors`` (share of the requests whose last answer failed, before and
        after, and its change), ``reliability`` (see `pointsman.reliability`), ``requests_per_month``, ``span`` (first
        and last request), ``modelled``, ``load`` (the runs under load where the spec's latency is ``under_load``:
        before and after are theirs then, see `pointsman.load.before_after`), ``certificate`` (see
        `pointsman.certificate`; null where there is none), ``off_policy`` (what the logs say, and whether they can
        tell; null where every outcome is known).

    Raises
    ------
    TraceError
        Where there are no requests, or the baseline is not known for each.
    """
    if len(outcomes) == 0:
        raise TraceError("no request with the outcome of every candidate is left to replay")
    outcomes = outcomes.reorder(policy.models)
    facts = facts_of(outcomes)
    beliefs = believe(reading, facts, policy)
    believed = reliability(outcomes.useful, reading.useful_probs, policy.models, spec.constraints.confidence)
    baseline = str(policy.evidence["baseline"]) if spec.baseline == BEST_SINGLE else spec.baseline
    limit, off_policy = spec.constraints.p95_latency_ms, None
    if logs:
        chances = production(outcomes, reading)
        chained, kept = estimated_outcomes(outcomes, beliefs, chances, limit)
        if not kept.any():
            raise TraceError("no request says what served it and with which probability: nothing can be estimated")
        outcomes, beliefs = outcomes.take(kept), beliefs.take(kept)
        facts, chances = facts.take(kept), chances.take(kept)
        off_policy = _off_policy(outcomes, beliefs, decide(beliefs, policy.rule), chances, baseline, spec)
        known = chained
    else:
        chained, known = with_fallbacks(outcomes, beliefs, facts, policy), outcomes
    chosen = decide(beliefs, policy.rule)
    after = Served.by(chained, chosen)
    columns = baseline_columns(outcomes, baseline)
    measured = logs and baseline == AS_LOGGED
    before = as_logged(outcomes, chances, limit) if measured else Served.by(known, columns)
    serve: Callable[[Outcomes, NDArray[np.intp]], Served] = Served.by
    load: dict[str, Any] | None = None
    if spec.constraints.latency == "under_load":  # the queues are compiled: not imported without need
        before, after, load, serve = _under_load(outcomes, reading, policy, spec, seed, logs=logs)
    default = policy.models[int(np.bincount(columns, minlength=len(policy.models)).argmax())]
    blind = after, outcomes.intent, policy.evidence.get("best_per_intent", {}), default
    plain = baselines(known, *blind, serve)
    # Fallbacks help whoever has them: what was learned shows against rivals that have the same.
    rivals = baselines(chained, *blind, serve)
    names = np.array(beliefs.intents, dtype=object)[beliefs.intent]
    labels = np.where(outcomes.intent != "", outcomes.intent, names)
    moved = np.asarray(columns != chosen)
    confidence = spec.constraints.confidence
    worth = float(policy.evidence["useful_value_usd"])
    month = spec.requests_per_month
    report: dict[str, Any] = {
        "requests": len(outcomes),
        "baseline": baseline,
        "before": before.summary(month),
        "after": after.summary(month),
        "baselines": {name: None if served is None else served.summary(month) for name, served in plain.items()},
        "change": paired_change(before, after, confidence, seed, cluster=outcomes.cluster),
        "useful_value_usd": worth,
        "against": {
            name: paired_change(rival, after, confidence, seed, useful_value_usd=worth, cluster=outcomes.cluster)
            for name in RIVALS
            if (rival := rivals[name]) is not None
        },
        "constraints": [check.to_dict() for check in checks(after, before, spec)],
        "routed": _routed(beliefs, chosen, policy),
        "intents": by_intent(before, after, labels, moved, confidence, outcomes.cluster, seed),
        "moved": moves(columns, chosen, policy.models, before, after, labels),
        "errors": _errors(known, columns, chained if not logs else None, chosen, confidence, outcomes.cluster),
        "reliability": believed,
        "requests_per_month": month,
        "span": {"first": str(outcomes.timestamp.min()), "last": str(outcomes.timestamp.max())},
        "modelled": list(spec.modelled),
        "load": load,
        "certificate": policy.evidence.get("certificate"),
        "off_policy": off_policy,
    }
    if off_policy is not None:
        as_estimated(report["change"], off_policy["change"], len(outcomes))
    for change in report["against"].values():
        change["stands"] = compare(change)
    return {"verdict": verdict(report), **report}


def verdict(report: Mapping[str, Any]) -> str:
    """Return the report's first line: whether the constraints held, whether anything was learned, what changed."""
    change = report["change"]
    states = {state: [one["name"] for one in report["constraints"] if one["verdict"] == state] for state in _STATES}
    parts = [f"useful {points(change['useful_rate'])}", f"cost {percent(change['cost_usd'])}"]
    if change["p95_ms"] is not None:
        parts.append(f"P95 {percent(change['p95_ms'])}")
    if change["few_clusters"]:
        parts.append(f"(of {change['clusters']} users or conversations: intervals may be too narrow)")
    text = f"{_learned(report['against'])} {', '.join(parts)} on {report['requests']:,} unseen requests"
    certificate = report.get("certificate")
    if certificate is None and states["held"]:
        text += f"; {', '.join(states['held'])} held, but too few requests to prove it"
    if certificate is not None and certificate["certified"] and certificate["promises"]:
        text += f"; certified with {100 * certificate['confidence']:g} % on {certificate['requests']:,} requests"
    off_policy = report.get("off_policy")
    if off_policy is not None:
        text += ", estimated from logs"
    words = [] if certificate is None or certificate["certified"] else ["NOT CERTIFIED."]
    if off_policy is not None and not off_policy["tellable"]:
        words.append(f"CANNOT TELL from these logs: {off_policy['reasons'][0]}.")
    if states["broken"]:
        words.append(f"DOES NOT HOLD ({', '.join(states['broken'])}).")
    if states["missed"]:
        words.append(f"MISSED, by no more than chance explains ({', '.join(states['missed'])}).")
    return " ".join([*words, f"{text}."])


def _under_load(
    outcomes: Outcomes, reading: Reading, policy: Policy, spec: RoutingSpec, seed: int, *, logs: bool
) -> tuple[Served, Served, dict[str, Any], Callable[[Outcomes, NDArray[np.intp]], Served]]:
    """Return before and after with queues and guards, the figures of the runs, and how baselines are served."""
    from pointsman.load.before_after import before_after_load
    from pointsman.load.constraint import under_load

    queues = under_load(spec, policy.models, len(outcomes))
    if logs or queues is None:
        raise TraceError("constraints.latency under_load needs requests that were replayed against every candidate")

    def serve(found: Outcomes, columns: NDArray[np.intp]) -> Served:
        return queues.served(Served.by(found, columns), columns)

    before, after, figures = before_after_load(outcomes, reading, policy, spec, seed)
    return before, after, figures, serve


_STATES = ("certified", "held", "missed", "broken")


def _errors(
    known: Outcomes,
    columns: NDArray[np.intp],
    chained: Outcomes | None,
    chosen: NDArray[np.intp],
    confidence: float,
    cluster: NDArray[np.object_],
) -> dict[str, Any]:
    """Return how many requests end in a failure; None after where that is estimated: logs do not tell of it."""
    rows = np.arange(len(known))
    if chained is None:
        return {"before": None, "after": None, "change": None}
    zero = np.zeros(len(known))
    failed = [(table.failure[rows, at] != "").astype(np.float64) for table, at in ((known, columns), (chained, chosen))]
    before, after = (Served(one, zero, zero, np.full(len(known), np.nan)) for one in failed)
    change = paired_change(before, after, confidence, cluster=cluster, method="delta")["useful_rate"]
    return {"before": float(failed[0].mean()), "after": float(failed[1].mean()), "change": change}


def _off_policy(
    outcomes: Outcomes,
    beliefs: Beliefs,
    chosen: NDArray[np.intp],
    chances: Propensities,
    baseline: str,
    spec: RoutingSpec,
) -> dict[str, Any]:
    """Return what every estimator says of the policy, and whether the logs can tell."""
    models = {"useful": beliefs.query_useful, "cost_usd": beliefs.cost_usd}
    limit = spec.constraints.p95_latency_ms
    if limit is not None:
        models["late"] = beliefs.late
    found = evaluate_policy(
        outcomes,
        chosen,
        chances,
        {name: values.T.astype(np.float64) for name, values in models.items()},
        before=None if baseline == AS_LOGGED else baseline_columns(outcomes, baseline),
        before_name=baseline,
        intents=np.array([beliefs.intents[code] for code in beliefs.intent], dtype=object),
        late_limit_ms=limit,
        confidence=spec.constraints.confidence,
    )
    return found.to_dict()


def as_estimated(change: dict[str, Any], found: Mapping[str, Any], n: int) -> None:
    """Give the change the doubly robust intervals: resampling scores knows nothing of heavy weights."""
    for name, key in (("useful_rate", "useful"), ("cost_usd", "cost_usd"), ("cost_per_useful", "cost_per_useful")):
        entry = found[key]["dr"]
        if entry is None:
            change[name] = None
            continue
        scale = n if name == "cost_usd" else 1
        ratios = {at: value for at, value in entry.items() if at.startswith("ratio")}
        change[name] = {at: scale * entry[at] for at in ("difference", "low", "high")} | ratios
        change["method"][name] = "doubly_robust"


def _learned(against: Mapping[str, Any]) -> str:
    standing = {name: change["stands"] for name, change in against.items()}
    behind = [name for name in RIVALS if standing.get(name) in {"behind", "level"}]
    if not behind:
        return f"Ahead of {' and '.join(standing)}:"
    words = ", ".join(f"level with {name}" if standing[name] == "level" else f"behind {name}" for name in behind)
    return f"Not proven to have learned more than the content-blind baselines ({words}):"


def points(entry: Mapping[str, float] | None) -> str:
    """Return a change of a share in percentage points, with its interval."""
    if entry is None:
        return "by what cannot be told"
    return f"{100 * entry['difference']:+.1f} points [{100 * entry['low']:+.1f}, {100 * entry['high']:+.1f}]"


def percent(entry: Mapping[str, float] | None) -> str:
    """Return a change in per cent of what was before, with its interval; in its own unit where it was 0."""
    if entry is None:
        return "by what cannot be told"
    if "ratio" not in entry:
        return f"{entry['difference']:+.4g} [{entry['low']:+.4g}, {entry['high']:+.4g}]"
    low, high = 100 * (entry["ratio_low"] - 1), 100 * (entry["ratio_high"] - 1)
    return f"{100 * (entry['ratio'] - 1):+.0f} % [{low:+.0f}, {high:+.0f}]"


def _routed(beliefs: Beliefs, chosen: NDArray[np.intp], policy: Policy) -> dict[str, dict[str, int]]:
    """Count requests by believed intent and chosen model."""
    table: dict[str, dict[str, int]] = {}
    for index, intent in enumerate(policy.intents):
        counts = np.bincount(chosen[beliefs.intent == index], minlength=len(policy.models))
        if counts.any():
            table[intent] = {name: int(count) for name, count in zip(policy.models, counts, strict=True) if count}
    return table
