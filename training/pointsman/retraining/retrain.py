"""Retrain: fresh traces in, decision out. The challenger is written beside the champion, which serves throughout."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.comparing import compare_bundles
from pointsman.encoders import cached_encode
from pointsman.errors import InfeasibleError, SpecError, TraceError
from pointsman.fit import FitOptions, Progress, silent
from pointsman.outcomes import requests_of
from pointsman.retraining.changed import gone_models, new_models, what_changed
from pointsman.retraining.drift import DriftTest, adjusted, classifier_test, intents_test, latency_test, mmd_test
from pointsman.retraining.gate import Condition, Gate, gate, label_conditions
from pointsman.retraining.label_noise import suspicious
from pointsman.retraining.mixing import apart, mixed
from pointsman.retraining.standing import Standing, belief_tests, standing
from pointsman.tracked import tracked_fit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pointsman.encoders import TransformerEncoder
    from pointsman.fit import FitResult
    from pointsman.router import Router
    from pointsman.spec import RoutingSpec
    from pointsman.traces import TraceTable
    from pointsman.tracking import Tracker

__all__ = ["RetrainOptions", "Retrained", "retrain", "usable_candidates"]

MOST_EMBEDDED = 1_500
"""Prompts of a side that are tested for drift."""

ENOUGH = 0.5
"""Share of the fresh requests that a new model must have answered to be a candidate; below, it is only estimated."""


@dataclass(frozen=True)
class RetrainOptions:
    """How to retrain.

    Attributes
    ----------
    fit : FitOptions
    alpha : float
        Chance of any wrong alarm of drift.
    confirmed : bool
        A person has looked at the labels: they do not stop a promotion.
    """

    fit: FitOptions = field(default_factory=FitOptions)
    alpha: float = 0.05
    confirmed: bool = False


@dataclass(frozen=True, eq=False)
class Retrained:
    """What came of it.

    Attributes
    ----------
    decision : str
        ``promote``; ``nothing to do``: the champion does as well, and nothing speaks against it; ``hold``: it should be
        replaced, or seems so, and the challenger does not pass the gate.
    gate : Gate
    changed : list of dict
        See `pointsman.retraining.changed.what_changed`.
    drift : list of DriftTest
    certificate : str
        Whether the champion's holds on fresh requests: holds, refuted, unproven or none.
    promises : list of dict
        See `Standing.promises`.
    comparison : dict or None
        See `pointsman.comparing.compare_bundles`; None where there is no challenger.
    fitted : FitResult or None
    standing : Standing
    left_out : list of str
        New models with too few answers to be candidates.
    """

    decision: str
    gate: Gate
    changed: list[dict[str, Any]]
    drift: list[DriftTest]
    certificate: str
    promises: list[dict[str, Any]]
    comparison: dict[str, Any] | None
    fitted: FitResult | None
    standing: Standing
    left_out: list[str]

    @property
    def verdict(self) -> str:
        """One line in words."""
        moved = [one.what for one in self.drift if one.drifted]
        seen = f"drift in {', '.join(moved)}" if moved else "no drift"
        certificate = {"none": "the spec has no constraint"}.get(
            self.certificate, f"the champion's certificate {_WORDS.get(self.certificate, self.certificate)}"
        )
        lead = {
            "promote": "PROMOTE: the gate holds",
            "nothing to do": "NOTHING TO DO: the champion stays",
            "hold": f"HOLD: the gate does not hold ({'; '.join(self.gate.reasons)})",
        }[self.decision]
        return f"{lead}. {seen[:1].upper()}{seen[1:]}; {certificate}."

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {
            "verdict": self.verdict,
            "decision": self.decision,
            "gate": self.gate.to_dict(),
            "changed": self.changed,
            "drift": [one.to_dict() for one in self.drift],
            "certificate": self.certificate,
            "promises": self.promises,
            "left_out_models": self.left_out,
            "comparison": self.comparison,
            "report": None if self.fitted is None else self.fitted.report,
        }


_WORDS = {
    "holds": "holds on fresh requests",
    "refuted": "is REFUTED by fresh requests",
    "unproven": "is unproven there",
}


def retrain(
    champion: Router,
    traces: TraceTable,
    spec: RoutingSpec,
    out: Path,
    encoder: TransformerEncoder,
    options: RetrainOptions | None = None,
    *,
    old: TraceTable | None = None,
    tracker: Tracker | None = None,
    progress: Progress | None = None,
    source: Path | None = None,
) -> Retrained:
    """Fit a challenger on fresh traces and judge whether it may take the champion's place; move nothing.

    Warm means: the champion's rule is one of the first that the search tries, with its thresholds as they are; the
    encoder is the champion's, and embeddings of the cache are used again; old traces, where given, are mixed in by the
    rule of `pointsman.retraining.mixing.mixed`. The heads are convex problems, solved to their optimum: where they
    start changes nothing but time, so they start anew.

    The newest requests (`promotion.gate_share`) are kept from the fit: champion and challenger are compared there.

    Parameters
    ----------
    champion : Router
    traces : TraceTable
        Fresh ones.
    spec : RoutingSpec
    out : Path
        Folder of the challenger.
    encoder : TransformerEncoder
    options : RetrainOptions, optional
    old : TraceTable, optional
        The champion's own: without them drift of prompts, intents and latency is not tested.
    tracker : Tracker, optional
    progress : callable, optional
    source : Path, optional
        File of the fresh traces.

    Raises
    ------
    SpecError, TraceError
        Where spec, traces and champion do not fit each other.
    """
    options, say = options or RetrainOptions(), progress or silent
    if out.resolve() == champion.bundle.path:
        raise SpecError(f"{out}: is the champion's own folder; name another, so that the champion serves on")
    spec, left_out = usable_candidates(spec, champion, traces)
    gone = gone_models(champion.bundle, traces, spec)
    changed = what_changed(champion.bundle, traces, spec, old)
    say("look", 0, 2)
    found = standing(champion, traces, spec, gone, options.fit.seed)
    say("look", 1, 2)
    beliefs = belief_tests(found, gone, spec.constraints.p95_latency_ms)
    tests = [*_samples(traces, old, encoder, options), *beliefs]
    drift = adjusted(tests, options.alpha)
    say("look", 2, 2)
    to_fit, to_judge = apart(traces, spec.promotion.gate_share)
    if old is not None:
        moved = {one.what.rpartition(" of ")[2] for one in drift if one.drifted and " of " in one.what}
        repriced = {str(one["what"]).rpartition(" ")[0] for one in changed if one["kind"] == "prices"}
        to_fit = mixed(to_fit, old, moved=moved, repriced=repriced, models=list(spec.candidates))
    warm = replace(options.fit, warm=champion.bundle.path)
    fixed: dict[str, Any] = {"changed": changed, "drift": drift, "certificate": found.certificate}
    fixed |= {"promises": found.promises, "standing": found, "left_out": left_out}
    try:
        fitted = tracked_fit(
            to_fit, spec, out, encoder, warm, tracker, say, source=source, tags={"retrained_from": champion.version}
        )
    except InfeasibleError as error:
        judged = Gate((Condition("fit", False, str(error)),))
        return Retrained("hold", judged, comparison=None, fitted=None, **fixed)
    asked = spec.constraints.model_copy(update={"confidence": spec.promotion.confidence})
    at = spec.model_copy(update={"constraints": asked})
    report = compare_bundles(champion, fitted.bundle, to_judge, at, options.fit.seed, say, gone=gone)
    jumps = {
        one.what.removeprefix("usefulness of "): one.effect for one in beliefs if one.what.startswith("usefulness")
    }
    labels = label_conditions(jumps, _noise(found, champion.policy.intents), spec.promotion, options.confirmed)
    judged = gate(report, spec.promotion, certified=fitted.holds, champion=found.certificate, labels=labels)
    decision = "promote" if judged.holds else "hold" if _troubled(found, changed, drift, judged) else "nothing to do"
    return Retrained(decision, judged, comparison=report, fitted=fitted, **fixed)


def usable_candidates(spec: RoutingSpec, champion: Router, traces: TraceTable) -> tuple[RoutingSpec, list[str]]:
    """Return the spec without candidates that are new and hardly tried, and their names: nothing proves them.

    Raises
    ------
    SpecError
        Where the spec needs one of them elsewhere.
    """
    requests = traces.rows["request_id"].nunique()
    answered = traces.rows.groupby("model")["request_id"].nunique()
    few = [name for name in new_models(champion.bundle, spec) if int(answered.get(name, 0)) < ENOUGH * requests]
    if not few:
        return spec, []
    rest = {name: one for name, one in spec.candidates.items() if name not in few}
    if not rest:
        raise TraceError(f"no candidate of the spec is in the traces: {', '.join(spec.candidates)}")
    try:
        return spec.__class__.model_validate({**spec.model_dump(), "candidates": rest}), few
    except ValueError as error:
        raise SpecError(
            f"the spec builds on {few[0]!r}, a new model that answered {int(answered.get(few[0], 0)):,} of "
            f"{requests:,} requests: replay it on at least half of them"
        ) from error


def _samples(
    traces: TraceTable, old: TraceTable | None, encoder: TransformerEncoder, options: RetrainOptions
) -> list[DriftTest]:
    """Test fresh requests against the old ones, where there are any."""
    if old is None:
        return []
    generator, sides = np.random.default_rng(options.fit.seed), []
    for table in (old, traces):
        heads = requests_of(table.rows)
        at = np.sort(generator.permutation(len(heads))[:MOST_EMBEDDED])
        sides.append((heads, [str(text) for text in heads["prompt"].to_numpy()[at]]))
    (was, first), (now, second) = sides
    embedded = [cached_encode(encoder, prompts, options.fit.cache) for prompts in (first, second)]
    tests = [classifier_test(embedded[0], embedded[1], (first, second))]
    tests.append(mmd_test(embedded[0], embedded[1], options.fit.seed))
    intents = [side["intent"].to_numpy(dtype=object) for side in (was, now)]
    found = intents_test(*(names[names != ""] for names in intents))
    tests += [] if found is None else [found]
    for model in sorted(set(old.rows["model"]) & set(traces.rows["model"])):
        slow = [table.rows.loc[table.rows["model"] == model, "latency_ms"].to_numpy(float) for table in (old, traces)]
        speed = latency_test(str(model), *slow)
        tests += [] if speed is None else [speed]
    return tests


def _noise(found: Standing, intents: Sequence[str]) -> float | None:
    """Return the share of the fresh intent labels that the champion's classifier makes suspicious; None: not looked."""
    position = {name: code for code, name in enumerate(intents)}
    codes = np.array([position.get(str(name), -1) for name in found.outcomes.intent], dtype=np.intp)
    at = suspicious(found.reading.intent_probs, codes)
    return None if at is None else len(at) / max(int((codes >= 0).sum()), 1)


def _troubled(found: Standing, changed: Sequence[dict[str, Any]], drift: Sequence[DriftTest], judged: Gate) -> bool:
    """Whether something asks for a new champion, so that a closed gate is bad news."""
    moved = any(one["kind"] in {"models", "prices", "intents"} for one in changed)
    labels = any(one.name.startswith("label") and not one.holds for one in judged.conditions)
    gained = any(one.name == "gain" and one.holds for one in judged.conditions)
    return moved or labels or gained or found.certificate == "refuted" or any(one.drifted for one in drift)
