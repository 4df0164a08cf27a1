"""Fit: from a trace table and a spec to a bundle with its evidence, one phase after the other."""

from __future__ import annotations

import importlib.metadata
import platform
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.bundle import write_bundle
from pointsman.classifier import Features, read
from pointsman.conformance import conformance_vectors
from pointsman.cross_fitting import CrossFit, Extra, cross_fit
from pointsman.draft import draft_policy
from pointsman.encoders import cached_encode
from pointsman.encoding import prepare
from pointsman.errors import TraceError
from pointsman.estimated import from_logs, usable
from pointsman.evaluation import evaluate
from pointsman.fingerprint import fingerprint
from pointsman.graph import export_graph
from pointsman.inputs import check_names, known_outcomes
from pointsman.labels import IntentLabels, intent_labels, out_of_scope
from pointsman.lexical import Lexicon
from pointsman.model_card import model_card
from pointsman.outcomes import Outcomes, request_hashes
from pointsman.replay import baseline_columns
from pointsman.report import before_after
from pointsman.router import Router
from pointsman.scope import MANY
from pointsman.slices import Slices, prompt_folds, time_slices
from pointsman.spec import AS_LOGGED, RoutingSpec
from pointsman.static_encoder import StaticEncoder
from pointsman.structure import Structure
from pointsman.text import same_text
from pointsman.tune import Progress, TuneOptions, certified, tune, tuned_policy
from pointsman.weighting import logged_weights

if TYPE_CHECKING:
    from pointsman.certificate import Certificate
    from pointsman.encoders import Encoder, TransformerEncoder
    from pointsman.front import Front
    from pointsman.policy import Policy
    from pointsman.search import SearchResult
    from pointsman.traces import TraceTable

__all__ = ["FitOptions", "FitResult", "Progress", "fit", "silent"]


def silent(phase: str, done: int, total: int) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class FitOptions(TuneOptions):
    """How to fit; how to search is inherited.

    Attributes
    ----------
    cache : Path or None
        Folder where embeddings and checkpoints are kept between fits.
    kind : str
        Of the encoder: static or transformer; see `pointsman.encoding`.
    fine_tune : str
        auto, never or always.
    """

    cache: Path | None = None
    kind: str = "static"
    fine_tune: str = "auto"


@dataclass(frozen=True, eq=False)
class FitResult:
    """What a fit made.

    Attributes
    ----------
    bundle : Path
    policy : Policy
    report : dict
        Before/after on the certify slice, by the exported bundle.
    search : SearchResult
    front : Front
        Of all rules tried, on the learn slice.
    certificate : Certificate or None
        None where the spec wants none.
    dual : dict
        Distance from the dual bound (see `pointsman.dual.DualGap`).
    evaluation : dict
        The classifier on the certify slice.
    cross_fit : CrossFit
    outcomes : Outcomes
        Of the certify slice, columns in the policy's order.
    data : dict
        Fingerprint, time span, counts of requests by use.
    """

    bundle: Path
    policy: Policy
    report: dict[str, Any]
    search: SearchResult
    front: Front
    certificate: Certificate | None
    dual: dict[str, float | None]
    evaluation: dict[str, Any]
    cross_fit: CrossFit
    outcomes: Outcomes
    data: dict[str, Any]

    @property
    def holds(self) -> bool:
        """Whether every constraint is certified, and none refuted by the certify slice; without a certificate, held."""
        verdicts = {entry["verdict"] for entry in self.report["constraints"]}
        off_policy = self.report["off_policy"]
        if off_policy is not None and not off_policy["tellable"]:
            return False
        if self.certificate is None:
            return not verdicts & {"missed", "broken"}
        return self.certificate.certified and "broken" not in verdicts


def fit(
    traces: TraceTable,
    spec: RoutingSpec,
    out: Path,
    encoder: TransformerEncoder,
    options: FitOptions | None = None,
    run_id: str | None = None,
    progress: Progress | None = None,
) -> FitResult:
    """Train, calibrate, tune, export and certify.

    Parameters
    ----------
    traces : TraceTable
    spec : RoutingSpec
    out : Path
        Folder of the bundle; an older bundle there is replaced once the new one is complete.
    encoder : TransformerEncoder
        Used itself, fine-tuned, or as the teacher of a static one: `FitOptions` says which.
    options : FitOptions, optional
    run_id : str, optional
        Of the tracking run; kept in the manifest.
    progress : callable, optional

    Raises
    ------
    TraceError, SpecError
        Where traces and spec do not fit each other.
    InfeasibleError
        Where no policy meets the constraints.
    """
    options, say = options or FitOptions(), progress or silent
    outcomes = known_outcomes(traces, spec)
    slices = time_slices(outcomes.timestamp)
    learn, calibrate = outcomes.take(slices.learn), outcomes.take(slices.calibrate)
    order = np.argsort(np.nanmean(learn.cost_usd, axis=0), kind="stable")
    models = [outcomes.models[index] for index in order]
    learn, calibrate = learn.reorder(models), calibrate.reorder(models)
    certify = outcomes.take(slices.certify).reorder(models)
    logs = from_logs(outcomes)
    certify = certify.take(usable(certify) if logs else certify.complete)
    if len(certify) == 0:
        raise TraceError("no request of the last fifth has the outcome of every candidate: nothing can be certified")
    labels = intent_labels(learn.intent)
    check_names(spec, labels.names)
    if spec.baseline == AS_LOGGED:
        baseline_columns(learn, AS_LOGGED)  # says at once where a request has no chosen row
    families = tuple(tuple(map(models.index, members)) for members in spec.families.values())
    prepared = prepare(encoder, learn, labels, options.kind, options.fine_tune, options.seed, options.cache, say)
    reader = prepared.encoder
    learn, labels = learn.take(prepared.unseen), labels.take(prepared.unseen)
    crossed = _train(learn, calibrate, labels, reader, options, say, families, logs=logs)
    abstain = spec.rules.abstain
    if abstain is not None and abstain.out_of_scope_false_alarms is not None and crossed.heads.scope is None:
        few = f"fewer than {MANY} of the {len(calibrate)} requests that calibrate are in scope"
        raise TraceError(f"rules.abstain.out_of_scope_false_alarms: {few}; give more traces, or leave it out")
    draft = draft_policy(learn, labels, crossed, spec, reader.clip)
    tuned = tune(learn, labels, crossed, draft, spec, options, say, logs=logs)
    data = _data_facts(traces, outcomes, slices, certify)
    seen = request_hashes(outcomes.take(np.concatenate([slices.learn, slices.calibrate])))
    provenance = {
        "data": data,
        "run_id": run_id,
        "seed": options.seed,
        "trials": options.trials,
        "encoder": reader.name,
        "encoder_how": prepared.how,
        "libraries": _libraries(),
    }
    say("export", 0, 2)
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "model.onnx"
        info = export_graph(reader, crossed.heads, graph)
        tokenizer = reader.tokenizer_json()
        by_training = partial(read, reader, crossed.heads)
        parts: dict[str, Any] = {
            "graph": graph,
            "tokenizer_json": tokenizer,
            "model_io": info.io(),
            "seen": seen,
        }
        # What the graph says, not the training path: that is what will route.
        trial_run = write_bundle(
            Path(folder) / "draft",
            policy=draft.policy,
            model_card="",
            provenance=provenance,
            conformance=conformance_vectors(by_training, draft.policy, tokenizer),
            **parts,
        )
        router = Router.load(trial_run, threads=0)
        later = [calibrate.take(usable(calibrate) if logs else calibrate.complete), certify]
        prompts = [prompt for part in later for prompt in part.prompt]
        say("certify", 0, len(prompts))
        whole = router.read(prompts, progress=lambda done, total: say("certify", done, total))
        first = np.arange(len(prompts)) < len(later[0])
        reading = whole.take(~first)
        parts_read = [(later[0], whole.take(first)), (certify, reading)]
        certificate = certified(tuned, draft, parts_read, spec, options, say, logs=logs)
        policy, dual = tuned_policy(draft, tuned, certificate, spec)
        report = before_after(certify, reading, policy, spec, options.seed, logs=logs)
        evaluation = evaluate(
            certify,
            reading.intent_probs,
            reading.useful_probs,
            labels,
            scope=reading.out_of_scope,
            risk=reading.hallucination_probs,
            seen=frozenset(map(same_text, learn.prompt)),
        )
        evaluation["learned"] = _learned(crossed, labels)
        policy = replace(policy, evidence={**policy.evidence, "certified": _kept(report)})
        card = model_card(policy, report, evaluation, provenance)
        vectors = conformance_vectors(by_training, policy, tokenizer)
        bundle = write_bundle(out, policy=policy, model_card=card, provenance=provenance, conformance=vectors, **parts)
    say("export", 2, 2)
    return FitResult(
        bundle, policy, report, tuned.found, tuned.front, certificate, dual, evaluation, crossed, certify, data
    )


def _train(
    learn: Outcomes,
    calibrate: Outcomes,
    labels: IntentLabels,
    encoder: Encoder,
    options: FitOptions,
    say: Progress,
    families: tuple[tuple[int, ...], ...] = (),
    *,
    logs: bool = False,
) -> CrossFit:
    prompts, first = [*learn.prompt, *calibrate.prompt], len(learn)
    say("encode", 0, len(prompts))
    cache = None if isinstance(encoder, StaticEncoder) else options.cache  # look-ups are quicker than files
    embeddings = cached_encode(encoder, prompts, cache, lambda done, total: say("encode", done, total))
    ids = encoder.token_ids(prompts)
    lexicon = Lexicon.fit(ids[:first], encoder.vocabulary_size, encoder.special_ids)
    structure = Structure.fit(ids[:first], encoder.vocabulary, encoder.special_ids)
    features = Features.of(embeddings, ids, lexicon, structure)
    weights = logged_weights(learn, embeddings[:first]) if logs else None
    extras = (
        Extra(out_of_scope(learn.intent), weights, learn.hallucinated),
        Extra(out_of_scope(calibrate.intent), None, calibrate.hallucinated),
    )
    return cross_fit(
        lexicon,
        (features.take(slice(first)), labels.taught, learn.useful),
        (features.take(slice(first, None)), labels.teach(calibrate.intent), calibrate.useful),
        prompt_folds(learn.prompt),
        len(labels.names),
        progress=lambda done, total: say("train", done, total),
        output_tokens=learn.output_tokens,
        cost_usd=learn.cost_usd,
        structure=structure,
        extras=extras,
        families=families,
        seed=options.seed,
    )


def _learned(crossed: CrossFit, labels: IntentLabels) -> dict[str, Any]:
    """Return what was chosen, merged or left out while learning."""
    scope = crossed.scope
    return {
        "common_penalty": crossed.level[0],
        "pieces_penalty": crossed.level[1],
        "deviation_penalty": crossed.deviation,
        "rare_intents_merged": len(labels.merged),
        "labels_not_learned": crossed.mislabelled,
        "answers_weighed": int(crossed.weighed),
        "scope_score": None if scope is None else scope.score,
        "scope_chosen_by": None if scope is None else scope.chosen_by,
        "scope_auroc": {} if scope is None else scope.auroc,
        "merged": dict(labels.merged),
    }


def _kept(report: dict[str, Any]) -> dict[str, Any]:
    return {key: report[key] for key in ("verdict", "requests", "before", "after", "change", "constraints", "modelled")}


def _data_facts(traces: TraceTable, outcomes: Outcomes, slices: Slices, certify: Outcomes) -> dict[str, Any]:
    return {
        "fingerprint": fingerprint(traces.rows),
        "rows_in": traces.rows_in,
        "rows_put_aside": len(traces.quarantine),
        "requests": len(outcomes),
        "requests_with_every_outcome": int(outcomes.complete.sum()),
        "learn": len(slices.learn),
        "calibrate": len(slices.calibrate),
        "certify": len(certify),
        "first": str(outcomes.timestamp.min()),
        "last": str(outcomes.timestamp.max()),
        "certify_from": str(certify.timestamp.min()),
    }


def _libraries() -> dict[str, str]:
    names = (
        "pointsman",
        "numpy",
        "onnxruntime",
        "tokenizers",
        "torch",
        "sentence-transformers",
        "scikit-learn",
        "optuna",
        "pandas",
    )
    found: dict[str, str] = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
