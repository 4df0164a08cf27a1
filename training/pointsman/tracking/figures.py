"""From a fit to the metrics and parameters of its run, each under its name in `pointsman.tracking.names`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pointsman.tracking.names import METRICS, PARAMS, flat, named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pointsman.fit import FitResult
    from pointsman.spec import RoutingSpec
    from pointsman.study import TrialRecord
    from pointsman.tracking.recipe import Recipe

__all__ = ["fit_metrics", "fit_params", "report_metrics", "rule_params", "trial_counts"]

RIVALS = ("best_per_intent", "random_same_cost", "oracle")
_PLAIN = ("trials", "seed", "sampler", "pick", "storage")


def fit_metrics(result: FitResult) -> dict[str, float]:
    """Return the figures of a fit by name; what is not known, or no number, is left out."""
    document = {
        "certificate": _certificate(result),
        "classifier": _classifier(result.evaluation),
        "search": {**result.dual, "useful_value_usd": result.report.get("useful_value_usd")},
        "data": result.data,
    }
    return {**report_metrics(result.report), **_told(document)}


def report_metrics(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of a replay by name: those of the report page."""
    document = {
        "after": _summary(report["after"]),
        "before": _summary(report["before"]),
        "change": {name: _change(entry) for name, entry in report["change"].items()},
        "rival": {name: report["baselines"].get(name) or {} for name in RIVALS},
        "constraint": {one["name"]: one for one in report["constraints"]},
        "moved": {"share": report["moved"]["share"], **_losses(report)},
        "errors": report["errors"],
    }
    return _told(document)


def _losses(report: Mapping[str, Any]) -> dict[str, float]:
    """Return how many useful answers are lost and gained; nothing where outcomes are estimated."""
    sums = {name: [one[name] for one in report["intents"]] for name in ("lost", "gained")}
    return {name: sum(values) for name, values in sums.items() if None not in values}


def _told(document: Mapping[str, Any]) -> dict[str, float]:
    values = {name: _number(value) for name, value in flat(document)}
    return named({name: value for name, value in values.items() if value is not None}, METRICS)


def trial_counts(trials: Sequence[TrialRecord]) -> dict[str, float]:
    """Return how many trials finished, and how many of them keep every constraint."""
    feasible = sum(all(slack <= 0 for slack in one.constraints.values()) for one in trials)
    return {"search/trials": float(len(trials)), "search/feasible": float(feasible)}


def fit_params(spec: RoutingSpec, recipe: Recipe) -> dict[str, str]:
    """Return what a fit was given, as parameters."""
    said = spec.model_dump(mode="json", include={"constraints", "objective"}, exclude_none=True)
    constraints = {name: _limit(value) for name, value in said["constraints"].items()}
    options = recipe.options
    values = {
        "encoder": f"{options['kind']}, of {recipe.encoder['name']}",
        **{name: options[name] for name in _PLAIN if options.get(name) is not None},
        **{f"option/{name}": value for name, value in options.items() if name not in _PLAIN and value is not None},
        "baseline": spec.baseline,
        "safe_model": spec.safe_model,
        "candidates": ", ".join(spec.candidates),
        **dict(flat({"constraints": constraints, "objective": said["objective"]})),
    }
    return {name: str(value) for name, value in named(values, PARAMS).items()}


def rule_params(rule: Mapping[str, Any]) -> dict[str, str]:
    """Return the exported rule's thresholds, as parameters; groups of intents stand in the policy."""
    return {name: _short(value) for name, value in named(dict(flat({"rule": rule})), PARAMS).items()}


def _summary(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Add the cost of a thousand useful responses: MLflow's page of comparisons shows three decimals."""
    each = summary.get("cost_per_useful")
    return {**summary, "cost_per_1000_useful": None if each is None else 1000 * each}


def _change(entry: Any) -> Any:
    """Name the ends of an interval of a ratio like those of a difference."""
    if isinstance(entry, dict) and "ratio" in entry:
        return {"ratio": entry["ratio"], "low": entry["ratio_low"], "high": entry["ratio_high"]}
    return entry


def _certificate(result: FitResult) -> dict[str, Any]:
    found = result.certificate
    if found is None:
        return {}
    parts = ("value", "bound", "next_bound", "limit")
    promises = {one.name: {part: getattr(one, part) for part in parts} for one in found.promises}
    return {**promises, "requests": found.requests, "certified": int(found.certified)}


def _classifier(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _spelled(value) for name, value in evaluation.items() if isinstance(value, dict)}


def _spelled(values: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``name: [value, low, high]`` out as name, name_low, name_high."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            out[name] = _spelled(value)
        elif isinstance(value, list) and len(value) == 3:
            out |= dict(zip((name, f"{name}_low", f"{name}_high"), value, strict=True))
        else:
            out[name] = value
    return out


def _limit(value: Any) -> str:
    """Return a limit as a person would say it."""
    if isinstance(value, dict) and "margin" in value:
        return f"{value.get('relative_to', 'baseline')} - {value['margin']:g}"
    return _short(value)


def _short(value: Any) -> str:
    """Return a number with six digits: enough to tell runs apart; the policy has them all."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
