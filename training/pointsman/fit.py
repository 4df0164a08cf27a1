"""Fit: from a trace table and a spec to a bundle with its evidence, one phase after the other."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.bundle import write_bundle
from pointsman.classifier import CrossFit, Features, cross_fit, probabilities
from pointsman.conformance import conformance_vectors
from pointsman.decide import believe
from pointsman.draft import draft_policy
from pointsman.encoders import TransformerEncoder, cached_encode
from pointsman.errors import TraceError
from pointsman.evaluation import evaluate
from pointsman.graph import export_graph
from pointsman.inputs import check_names, known_outcomes
from pointsman.labels import IntentLabels, intent_labels
from pointsman.lexical import Lexicon
from pointsman.model_card import model_card
from pointsman.objective import Objective
from pointsman.outcomes import Outcomes, request_hashes
from pointsman.replay import Served, baseline_columns, facts_of, with_fallbacks
from pointsman.report import before_after
from pointsman.router import Router
from pointsman.search import SearchResult, best_per_intent, search
from pointsman.slices import Slices, prompt_folds, time_slices
from pointsman.spec import AS_LOGGED, BEST_SINGLE, RoutingSpec
from pointsman.traces import TraceTable, fingerprint

if TYPE_CHECKING:
    from pointsman.policy import Policy

__all__ = ["FitOptions", "FitResult", "Progress", "fit", "silent"]

Progress = Callable[[str, int, int], None]
"""Called with (phase, done, total)."""


def silent(phase: str, done: int, total: int) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class FitOptions:
    """How to fit.

    Attributes
    ----------
    trials : int
        Optuna trials.
    seed : int
    storage : str or None
        Optuna storage URL; in memory by default.
    cache : Path or None
        Folder where embeddings are kept between fits.
    """

    trials: int = 200
    seed: int = 0
    storage: str | None = None
    cache: Path | None = None


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
    evaluation: dict[str, Any]
    cross_fit: CrossFit
    outcomes: Outcomes
    data: dict[str, Any]

    @property
    def holds(self) -> bool:
        """No constraint is broken on the certify slice."""
        return all(entry["verdict"] != "broken" for entry in self.report["constraints"])


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
    certify = certify.take(certify.complete)
    if len(certify) == 0:
        raise TraceError("no request of the last fifth has the outcome of every candidate: nothing can be certified")
    labels = intent_labels(learn.intent)
    check_names(spec, labels.names)
    if spec.baseline == AS_LOGGED:
        baseline_columns(learn, AS_LOGGED)  # says at once where a request has no chosen row
    crossed = _train(learn, calibrate, labels, encoder, options, say)
    draft = draft_policy(learn, labels, crossed.heads.table, spec, encoder.clip)
    found, evidence = _tune(learn, labels, crossed, draft, spec, options, say)
    policy = replace(draft, rule=found.rule, evidence=evidence)
    data = _data_facts(traces, outcomes, slices, certify)
    seen = request_hashes(outcomes.take(np.concatenate([slices.learn, slices.calibrate])))
    provenance = {
        "data": data,
        "run_id": run_id,
        "seed": options.seed,
        "trials": options.trials,
        "encoder": encoder.name,
        "libraries": _libraries(),
    }
    say("export", 0, 2)
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "model.onnx"
        info = export_graph(encoder, crossed.heads, graph)
        tokenizer = encoder.tokenizer_json()
        vectors = conformance_vectors(partial(probabilities, encoder, crossed.heads), policy, tokenizer)
        parts: dict[str, Any] = {
            "graph": graph,
            "tokenizer_json": tokenizer,
            "conformance": vectors,
            "model_io": info.io(),
            "seen": seen,
        }
        trial_run = write_bundle(Path(folder) / "draft", policy=policy, model_card="", provenance=provenance, **parts)
        router = Router.load(trial_run, threads=0)
        say("certify", 0, len(certify))
        probs = router.probabilities(list(certify.prompt), progress=lambda done, total: say("certify", done, total))
        report = before_after(certify, *probs, policy, spec, options.seed)
        evaluation = evaluate(certify, *probs, labels)
        policy = replace(policy, evidence={**evidence, "certified": _kept(report)})
        card = model_card(policy, report, evaluation, provenance)
        bundle = write_bundle(out, policy=policy, model_card=card, provenance=provenance, **parts)
    say("export", 2, 2)
    return FitResult(bundle, policy, report, found, evaluation, crossed, certify, data)


def _train(
    learn: Outcomes,
    calibrate: Outcomes,
    labels: IntentLabels,
    encoder: TransformerEncoder,
    options: FitOptions,
    say: Progress,
) -> CrossFit:
    prompts, first = [*learn.prompt, *calibrate.prompt], len(learn)
    embeddings = cached_encode(encoder, prompts, options.cache, lambda done, total: say("encode", done, total))
    ids = encoder.token_ids(prompts)
    lexicon = Lexicon.fit(ids[:first], encoder.vocabulary_size, encoder.special_ids)
    features = Features(embeddings, lexicon.transform(ids))
    return cross_fit(
        lexicon,
        (features.take(slice(first)), labels.codes, learn.useful),
        (features.take(slice(first, None)), labels.code(calibrate.intent), calibrate.useful),
        prompt_folds(learn.prompt),
        len(labels.names),
        progress=lambda done, total: say("train", done, total),
    )


def _tune(
    learn: Outcomes,
    labels: IntentLabels,
    crossed: CrossFit,
    draft: Policy,
    spec: RoutingSpec,
    options: FitOptions,
    say: Progress,
) -> tuple[SearchResult, dict[str, Any]]:
    """Search thresholds on the out-of-fold beliefs of the learn slice."""
    at = learn.complete
    tune = learn.take(at)
    facts = facts_of(tune)
    beliefs = believe(crossed.intent_probs[at], crossed.useful_probs[at], facts, draft)
    # The draft's averages hold these very requests; the search must see what requests to come will see.
    beliefs = replace(beliefs, intent_useful=crossed.intent_useful[at].T.astype(np.float32))
    baseline = spec.baseline
    if baseline == BEST_SINGLE:
        baseline = tune.models[int(tune.useful.mean(axis=0).argmax())]
    before = Served.by(tune, baseline_columns(tune, baseline))
    objective = Objective(with_fallbacks(tune, beliefs, facts, draft), before, spec)
    found = search(
        beliefs,
        objective,
        tune.models,
        None if baseline == AS_LOGGED else baseline,
        n_trials=options.trials,
        seed=options.seed,
        storage=options.storage,
        study_name=None if options.storage is None else _study_name(tune, spec, options),
        progress=lambda done, total: say("tune", done, total),
    )
    codes = labels.codes[at]
    true = np.where((codes >= 0)[:, None], np.eye(len(labels.names))[codes], crossed.intent_probs[at])
    by_intent = best_per_intent(
        believe(true, crossed.useful_probs[at], facts, draft), objective, labels.names, tune.models
    )
    evidence = {
        "baseline": baseline,
        "best_per_intent": by_intent,
        "useful_value_usd": found.useful_value_usd,
        "tuned_on_requests": len(tune),
        "tuned": {
            "cost_per_useful": found.evaluation.cost_per_useful,
            "useful_rate": found.evaluation.useful_rate,
            "constraints": [check.to_dict() for check in found.evaluation.checks],
        },
    }
    return found, evidence


def _study_name(tune: Outcomes, spec: RoutingSpec, options: FitOptions) -> str:
    """Return a name that the same requests, spec and seed have again: a fit that was cut off resumes its own study."""
    digest = hashlib.sha256(request_hashes(tune).tobytes() + spec.to_yaml().encode())
    return f"pointsman-{digest.hexdigest()[:16]}-seed-{options.seed}"


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
