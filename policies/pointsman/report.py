"""The before/after report: a policy replayed on requests with known outcomes, beside the baselines, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pointsman.decide import Beliefs, believe, decide
from pointsman.errors import TraceError
from pointsman.evidence import compare, paired_change
from pointsman.objective import checks
from pointsman.replay import Served, baseline_columns, baselines, facts_of, with_fallbacks
from pointsman.spec import BEST_SINGLE, RoutingSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointsman.outcomes import Outcomes
    from pointsman.policy import Policy

__all__ = ["before_after", "verdict"]

Floats = NDArray[np.floating[Any]]

RIVALS = ("best_per_intent", "random_same_cost")
"""The content-blind baselines that a router must beat to have learned anything."""


def before_after(
    outcomes: Outcomes, intent_probs: Floats, useful_probs: Floats, policy: Policy, spec: RoutingSpec, seed: int = 0
) -> dict[str, Any]:
    """Replay a policy on n requests whose outcomes at every candidate are known.

    Parameters
    ----------
    outcomes : Outcomes
        n requests.
    intent_probs, useful_probs : (n, k), (n, m) float array
        From the bundle's own graph.
    policy : Policy
    spec : RoutingSpec
        Names the baseline and the constraints.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        Plain JSON values: ``verdict``, ``requests``, ``baseline``, ``before``, ``after``, ``baselines``, ``change``
        (after minus before), ``useful_value_usd`` (the price that the search paid for its last useful response),
        ``against`` (after minus each rival with the same fallbacks behind it, with the net value at that price),
        ``constraints``, ``routed`` (requests by believed intent and chosen model), ``modelled``.

    Raises
    ------
    TraceError
        Where there are no requests, or the baseline is not known for each.
    """
    if len(outcomes) == 0:
        raise TraceError("no request with the outcome of every candidate is left to replay")
    outcomes = outcomes.reorder(policy.models)
    facts = facts_of(outcomes)
    beliefs = believe(intent_probs, useful_probs, facts, policy)
    chosen = decide(beliefs, policy.rule)
    chained = with_fallbacks(outcomes, beliefs, facts, policy)
    after = Served.by(chained, chosen)
    baseline = str(policy.evidence["baseline"]) if spec.baseline == BEST_SINGLE else spec.baseline
    columns = baseline_columns(outcomes, baseline)
    before = Served.by(outcomes, columns)
    default = policy.models[int(np.bincount(columns, minlength=len(policy.models)).argmax())]
    blind = after, outcomes.intent, policy.evidence.get("best_per_intent", {}), default
    plain = baselines(outcomes, *blind)
    # Fallbacks help whoever has them: what was learned shows against rivals that have the same.
    rivals = baselines(chained, *blind)
    confidence = spec.constraints.confidence
    worth = float(policy.evidence["useful_value_usd"])
    month = spec.requests_per_month
    report: dict[str, Any] = {
        "requests": len(outcomes),
        "baseline": baseline,
        "before": before.summary(month),
        "after": after.summary(month),
        "baselines": {name: None if served is None else served.summary(month) for name, served in plain.items()},
        "change": paired_change(before, after, confidence, seed),
        "useful_value_usd": worth,
        "against": {
            name: paired_change(rival, after, confidence, seed, useful_value_usd=worth)
            for name in RIVALS
            if (rival := rivals[name]) is not None
        },
        "constraints": [check.to_dict() for check in checks(after, before, spec)],
        "routed": _routed(beliefs, chosen, policy),
        "modelled": list(spec.modelled),
    }
    for change in report["against"].values():
        change["stands"] = compare(change)
    return {"verdict": verdict(report), **report}


def verdict(report: Mapping[str, Any]) -> str:
    """Return the report's first line: whether the constraints held, whether anything was learned, what changed."""
    change = report["change"]
    broken, unproven = (
        [entry["name"] for entry in report["constraints"] if entry["verdict"] == state] for state in ("broken", "held")
    )
    parts = [f"useful {_points(change['useful_rate'])}", f"cost {_percent(change['cost_usd'])}"]
    if change["p95_ms"] is not None:
        parts.append(f"P95 {_percent(change['p95_ms'])}")
    text = f"{_learned(report['against'])} {', '.join(parts)} on {report['requests']:,} unseen requests"
    if unproven:
        text += f"; {', '.join(unproven)} held, but too few requests to prove it"
    return f"DOES NOT HOLD ({', '.join(broken)}). {text}." if broken else f"{text}."


def _learned(against: Mapping[str, Any]) -> str:
    standing = {name: change["stands"] for name, change in against.items()}
    behind = [name for name in RIVALS if standing.get(name) in {"behind", "level"}]
    if not behind:
        return f"Ahead of {' and '.join(standing)}:"
    words = ", ".join(f"level with {name}" if standing[name] == "level" else f"behind {name}" for name in behind)
    return f"Not proven to have learned more than the content-blind baselines ({words}):"


def _points(entry: Mapping[str, float]) -> str:
    return f"{100 * entry['difference']:+.1f} points [{100 * entry['low']:+.1f}, {100 * entry['high']:+.1f}]"


def _percent(entry: Mapping[str, float]) -> str:
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
