"""The model card: what a bundle is, what it was made of, what it proved, and what it cannot do. No prompt text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointsman.tables import constraint_lines, markdown, metric_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointsman.policy import Policy

__all__ = ["model_card"]


def model_card(
    policy: Policy, report: Mapping[str, Any], evaluation: Mapping[str, Any], provenance: Mapping[str, Any]
) -> str:
    """Return the card as Markdown."""
    data, change = provenance["data"], report["change"]
    needed = evaluation["needed_compute"]
    useful = "\n".join(
        f"| {model} | {_share(needed, model)} | {' | '.join(_cell(scores[name]) for name in _SCORES)} |"
        for model, scores in evaluation["useful"].items()
    )
    none = f"; {needed['none']:.1%} got none" if needed else " (unknown: no request has every candidate's outcome)"
    intent = evaluation["intent"]
    intents = (
        "One intent only: nothing to tell apart."
        if intent is None
        else f"Accuracy {_cell(intent['accuracy'])} over {intent['intents']} intents (always the most frequent: "
        f"{intent['majority']:.3f}); calibration error {intent['calibration_error']:.3f}."
    )
    modelled = ", ".join(report["modelled"]) or "nothing, says the spec"
    return f"""# Model card

{report["verdict"]}

## What it is
A routing bundle for {len(policy.candidates)} candidates: {", ".join(policy.models)}. Encoder:
{provenance.get("encoder_how", provenance["encoder"])}.
It reads a prompt, its modality and the number of context tokens, and names a model, fallbacks and a timeout.
The kill-switch sends everything to {policy.safe_model}.

## Thresholds
{_thresholds(policy)}

## Before and after
Baseline: {report["baseline"]}. {report["requests"]:,} requests, later than every request used to train, calibrate or
tune, which the certificate was tested on too; differences with paired {change["confidence"]:.0%} intervals.
Modelled, not measured: {modelled}.

{metric_table(report)}

{constraint_lines(report)}

## Certificate
{_certificate(report)}

## Search
{_search(policy)}
{_logs(report)}
## The classifier on the same requests
{intents}

| candidate | needed by | AUC | Brier | calibration error |
|---|---:|---:|---:|---:|
{useful}

«Needed by»: share of the requests whose cheapest useful answer was the candidate's{none}.
{_learned(evaluation)}

## Data
{data["requests"]:,} requests from {data["first"]} to {data["last"]} UTC ({data["rows_in"]:,} rows read,
{data["rows_put_aside"]:,} put aside); {data["learn"]:,} to learn, {data["calibrate"]:,} to calibrate,
{data["certify"]:,} to certify. Fingerprint `{data["fingerprint"]}`.
The bundle holds no prompt of theirs: the conformance prompts are pointsman's own, requests are kept as 64-bit hashes.

## Limits
It knows the intents, languages and candidates of its traces and no others; a new model or kind of request needs a new
fit. Probabilities are averages over traces like these; an adversary can write a prompt that reads as another intent.
Intervals say nothing about traffic unlike that of the
certify slice.
"""


def _learned(evaluation: Mapping[str, Any]) -> str:
    """Return what was merged, left out, repeated or found off, a sentence each; nothing where there is nothing."""
    lines, learned = [], evaluation.get("learned") or {}
    merged = learned.get("merged") or {}
    if merged:
        named = ", ".join(f"{name} ({count})" for name, count in list(merged.items())[:CELLS])
        lines.append(f"Intents with fewer than ten examples count as «other»: {named}{' …' * (len(merged) > CELLS)}.")
    if learned.get("labels_not_learned"):
        count = learned["labels_not_learned"]
        lines.append(f"{count:,} labels were not learned from: other intents are much more probable out of fold.")
    repeated = evaluation.get("repeated") or {"requests": 0}
    if repeated["requests"]:
        told = "are judged, too" if repeated["judged"] else "are left out of this section"
        lines.append(f"{repeated['requests']:,} of these requests repeat a prompt that was learned from; they {told}.")
    off = [one for one in evaluation.get("by_intent") or [] if one["off"]]
    if off:
        named = ", ".join(
            f"{one['intent']} (stated {one['stated']:.2f}, was {one['observed']:.2f})" for one in off[:CELLS]
        )
        lines.append(f"P(useful) is off by more than chance among: {named} (at most 5 % false alarms).")
    scope = evaluation.get("out_of_scope")
    if scope:
        told = f"AUROC {_cell(scope['auroc'])}, recall at 5 % false alarms {_cell(scope['recall_at_5_percent'])}"
        lines.append(f"Out of scope ({scope['requests']:,} labelled requests; {learned.get('scope_score')}): {told}.")
    for model, scores in (evaluation.get("hallucination") or {}).items():
        if scores["auc"] is not None:
            lines.append(f"P(hallucinated | {model}): AUC {_cell(scores['auc'])}, Brier {_cell(scores['brier'])}.")
    return "\n".join(("", *lines)) if lines else ""


def _search(policy: Policy) -> str:
    """Return how far the rules are from the best that any rule could do with the same probabilities."""
    dual = policy.evidence.get("dual")
    if not dual or dual["dual_bound"] is None:
        return "No dual bound: the limits cannot be kept in expectation, or the search was not measured against it."
    best, own = ("unknown" if dual[key] is None else f"{dual[key]:.2%}" for key in _GAPS)
    return f"""Were the probabilities true, no rule of any kind could go below {dual["dual_bound"]:.3g} USD per useful
response within the limits (Lagrangian dual bound). The best value rule is {best} above that, this policy {own}: what
certainty costs (below 0 where it is believed to miss a limit). The oracle's row is what knowing every outcome gives."""


_GAPS = ("family_gap_to_dual", "gap_to_dual")


def _share(needed: Mapping[str, float], model: str) -> str:
    return f"{needed[model]:.1%}" if needed else "–"


def _certificate(report: Mapping[str, Any]) -> str:
    """Return what was proven, and the price paid for it."""
    certificate = report["certificate"]
    if certificate is None:
        return "None was asked for: the constraints are promised by nothing but the search."
    cells = [["constraint", "measured", "truth at most", "next requests at most", "allowed", "how"]]
    cells += [
        [one["name"], *(f"{one[key]:.4g}" for key in ("value", "bound", "next_bound", "limit")), one["method"]]
        for one in certificate["promises"]
    ]
    return f"""{certificate["sentence"]}.

{markdown(cells)}

«Next requests»: the measured share or mean of the {certificate["coming"]:,} requests to come, drawn as these were."""


def _logs(report: Mapping[str, Any]) -> str:
    """Return what the logs could tell, and where; nothing where every outcome is known."""
    found = report.get("off_policy")
    if found is None:
        return ""
    support = found["support"][0]
    cells = [["policy's traffic", "share", "requests", "production chose alike", "replayed in full"]]
    cells += [
        [
            f"{cell['intent'] or 'no intent'} → {cell['candidate']}",
            f"{cell['share']:.1%}",
            *(f"{cell[key]:,}" for key in ("requests", "matches", "known")),
        ]
        for cell in support["cells"][:CELLS]
    ]
    more, told = len(support["cells"]) - CELLS, found["verdict"]
    rest = f"\n\n{more:,} smaller ones are left out." if more > 0 else ""
    return f"""
## Logged data
Only the outcome of the served candidate is known of most requests: figures above are doubly robust estimates.
Propensities: {found["source"]}. {told[:1].upper() + told[1:]}

{markdown(cells)}{rest}
"""


CELLS = 12
"""Rows of a table of the policy's traffic."""


def _thresholds(policy: Policy) -> str:
    """Return each threshold with what it moved, where that was measured, and how to overrule it."""
    entries = policy.evidence.get("thresholds")
    if not entries:
        return "\n".join(f"- `{key}`: {value}" for key, value in policy.rule.to_dict().items())
    cells = [["in policy.json", "value", "moved", "to overrule it"]]
    cells += [
        [
            f"`{entry['where']}`",
            entry["value"] if isinstance(entry["value"], str) else f"{entry['value']:.4g} {entry['unit']}",
            f"{entry['moved']:,}",
            entry["overrule"],
        ]
        for entry in entries
    ]
    return f"""{policy.rule.kind.capitalize()} rule; «moved»: of {entries[0]["of"]:,} tuning requests, how many are \
decided otherwise while only this threshold is switched off.

{markdown(cells)}

`pointsman policy --bundle BUNDLE --set PATH=VALUE` changes one, signs the bundle again and writes down who did it; the
figures and certificates below do not hold of a policy changed by hand."""


_SCORES = ("auc", "brier", "calibration_error")


def _cell(value: list[float] | None) -> str:
    return "–" if value is None else f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"
