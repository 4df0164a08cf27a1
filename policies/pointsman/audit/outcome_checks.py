"""A bundle against outcomes that it has not seen: calibration per intent, slices that lose, groups of users."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from pointsman.audit.check import Check
from pointsman.audit.finding import Measure, Place
from pointsman.audit.languages import languages
from pointsman.audit.multiplicity import benjamini_hochberg, holm

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from pointsman.audit.finding import Finding
    from pointsman.audit.routed import Routed
    from pointsman.outcomes import Outcomes

__all__ = ["OUTCOME_CHECKS", "calibration_findings", "fairness_findings", "slice_findings", "slices_of"]

GAP, DROP, LEVEL = 0.05, 0.02, 0.05
_CELL, _SLICE, _MOST = 50, 50, 0.9

CALIBRATION = Check(
    "miscalibrated-intent",
    "bundle",
    "Usefulness is believed wrongly for an intent",
    "Thresholds compare beliefs: where they are too high for one model, its intent goes there and stays.",
    "Per intent (believed) and candidate, on unseen requests: mean P(useful) less the share that was useful, z-test, "
    "Holm over all cells.",
    f"confirmed at 5 %, and at least {100 * GAP:g} points",
    "Fit again with more answers of that intent, or trust per-query evidence less (rule.trust).",
    "Guo et al. 2017, On Calibration of Modern Neural Networks (ICML); Hebert-Johnson et al. 2018, Multicalibration "
    "(ICML)",
)
SLICE = Check(
    "losing-slice",
    "bundle",
    "Some kind of request is worse off than today",
    "An average that holds hides those who pay for it.",
    "Slices of unseen requests by intent, modality, language, length and context; paired difference of usefulness, the "
    "bundle's choice less the baseline's; one-sided test that it is not below 0; Benjamini-Hochberg over all slices.",
    f"confirmed (false discovery rate 5 %), and at least {100 * DROP:g} points lost",
    "Pin the slice's intent to the model that serves it (rules.intents), or demand more for it (rule.groups).",
    "Benjamini, Hochberg 1995, JRSS B 57:289-300; Chung et al. 2019, Slice Finder (ICDE)",
)
FAIRNESS = Check(
    "unfair-to-a-group",
    "bundle",
    "A group of users is worse off than the others",
    "Savings that one group of users pays for are found out, mostly by that group.",
    "Where a column of groups is named (--group): change of usefulness against the baseline in the group less that of "
    "all others, two-sided test within intents, Holm over groups; and the shares sent to the cheapest candidate.",
    f"confirmed at 5 %, and at least {100 * DROP:g} points less than the others",
    "See which intents of the group moved; pin them, or add the group's answers to the traces.",
    "Hardt, Price, Srebro 2016, Equality of Opportunity in Supervised Learning (NeurIPS)",
)
OUTCOME_CHECKS = (CALIBRATION, SLICE, FAIRNESS)


def calibration_findings(outcomes: Outcomes, routed: Routed, source: str) -> Iterator[Finding]:
    """Yield the intents and candidates for which belief and outcome differ; n outcomes in the policy's order."""
    cells, p_values = [], []
    for code, intent in enumerate(routed.policy.intents):
        for column, model in enumerate(routed.policy.models):
            at = (routed.beliefs.intent == code) & np.isfinite(outcomes.useful[:, column])
            if at.sum() < _CELL:
                continue
            believed = np.asarray(routed.useful[column, at], dtype=np.float64)
            gaps = believed - outcomes.useful[at, column]
            gap, error = float(gaps.mean()), max(float(gaps.std(ddof=1)) / np.sqrt(len(gaps)), 1 / len(gaps))
            cells.append((intent, model, float(believed.mean()), gap, error, len(gaps)))
            p_values.append(2 * float(norm.sf(abs(gap) / error)))
    for (intent, model, mean, gap, error, count), p in zip(cells, holm(p_values).tolist(), strict=True):
        if p <= LEVEL and abs(gap) >= GAP:
            yield CALIBRATION.found(
                "medium",
                f"{model} is believed {'too' if gap > 0 else 'not'} useful{' enough' if gap < 0 else ''} for {intent}: "
                f"{100 * mean:.0f} % believed, {100 * (mean - gap):.0f} % are",
                Place(source, None, f"{intent}, {model}"),
                [
                    Measure("believed less observed", gap, gap - 1.96 * error, gap + 1.96 * error, "points"),
                    Measure("answers", count),
                    Measure("p", p, unit="p"),
                ],
            )


def slices_of(outcomes: Outcomes) -> dict[str, NDArray[np.bool_]]:
    """Return slices of n requests as masks: by intent, modality, language, length of prompt, context."""
    found: dict[str, NDArray[np.bool_]] = {}
    chars = np.array([len(prompt) for prompt in outcomes.prompt], dtype=float)
    kinds: Mapping[str, NDArray[np.object_]] = {
        "intent": outcomes.intent,
        "modality": outcomes.modality,
        "language": np.array(languages(list(outcomes.prompt)), dtype=object),
    }
    for what, values in kinds.items():
        names = [name for name in dict.fromkeys(values.tolist()) if name]
        if len(names) > 1:
            found.update({f"{what} {name}": np.asarray(values == name) for name in names})
    edges = np.quantile(chars, [0.25, 0.75])
    found["short prompts"], found["long prompts"] = chars <= edges[0], chars > edges[1]
    if (outcomes.context_tokens > 0).any():
        limit = np.quantile(outcomes.context_tokens, 0.9)
        found["long context"] = outcomes.context_tokens > limit
    return {name: at for name, at in found.items() if _SLICE <= at.sum() <= _MOST * len(at)}


def slice_findings(
    slices: Mapping[str, NDArray[np.bool_]], after: NDArray[np.float64], before: NDArray[np.float64], source: str
) -> Iterator[Finding]:
    """Yield the slices whose usefulness falls; `after` and `before` are (n,) usefulness under bundle and baseline."""
    difference = after - before
    told, p_values = [], []
    for name, at in slices.items():
        part = difference[at & np.isfinite(difference)]
        if len(part) < _SLICE:
            continue
        mean = float(part.mean())
        # A pseudo-pair either way keeps a slice in which little moved humble.
        error = float(np.sqrt(((part - mean) ** 2).sum() + 2)) / len(part)
        told.append((name, mean, error, len(part)))
        p_values.append(float(norm.cdf(mean / error)))
    for (name, mean, error, count), p in zip(told, benjamini_hochberg(p_values).tolist(), strict=True):
        if p <= LEVEL and mean <= -DROP:
            yield SLICE.found(
                "high" if mean <= -0.05 else "medium",
                f"{name}: {100 * -mean:.1f} points less useful than the baseline",
                Place(source, None, name),
                [
                    Measure("change", mean, mean - 1.96 * error, mean + 1.96 * error, "points"),
                    Measure("requests", count),
                    Measure("false discovery rate", p, unit="p"),
                ],
            )


def fairness_findings(
    group: NDArray[np.object_],
    intent: NDArray[np.object_],
    after: NDArray[np.float64],
    before: NDArray[np.float64],
    cheap: NDArray[np.bool_],
    source: str,
    column: str,
) -> Iterator[Finding]:
    """Yield the groups whose usefulness changes for the worse compared with all others, within intents.

    Parameters
    ----------
    group, intent : (n,) object array
        "" where unknown.
    after, before : (n,) float array
        Usefulness under bundle and baseline.
    cheap : (n,) bool array
        Whether the bundle sends the request to its cheapest candidate.
    source, column : str
    """
    difference = after - before
    told, p_values = [], []
    for name in sorted({one for one in group.tolist() if one}):
        means, variances, weights = [], [], []
        for kind in np.unique(intent.astype(str)):
            at = np.isfinite(difference) & (intent == kind) & (group != "")
            ours, theirs = difference[at & (group == name)], difference[at & (group != name)]
            if min(len(ours), len(theirs)) < 10:
                continue
            means.append(float(ours.mean() - theirs.mean()))
            spreads = [(float(((one - one.mean()) ** 2).sum()) + 1) / len(one) ** 2 for one in (ours, theirs)]
            variances.append(sum(spreads))
            weights.append(len(ours))
        if sum(weights) < _SLICE:
            continue
        share = np.array(weights) / sum(weights)
        gap, error = float(share @ np.array(means)), float(np.sqrt(share**2 @ np.array(variances)))
        sent = [float(cheap[at].mean()) for at in (group == name, group != name)]
        told.append((name, gap, error, sum(weights), sent[0], sent[1]))
        p_values.append(2 * float(norm.sf(abs(gap) / error)))
    for (name, gap, error, count, ours, theirs), p in zip(told, holm(p_values).tolist(), strict=True):
        if p <= LEVEL and gap <= -DROP:
            yield FAIRNESS.found(
                "high",
                f"{column} {name} loses {100 * -gap:.1f} points more than the others",
                Place(source, None, f"{column} {name}"),
                [
                    Measure("change less the others'", gap, gap - 1.96 * error, gap + 1.96 * error, "points"),
                    Measure("to the cheapest candidate", ours, unit="share"),
                    Measure("others to the cheapest", theirs, unit="share"),
                    Measure("requests", count),
                    Measure("p", p, unit="p"),
                ],
            )
