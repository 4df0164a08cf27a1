"""Tune a drafted policy: search its thresholds on the learn slice, put what was found in order, certify it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.bundle import load_bundle
from pointsman.decide import Beliefs, Facts, Reading, believe, decide
from pointsman.dual import gap_to_dual
from pointsman.errors import BundleError, InfeasibleError
from pointsman.estimated import as_logged, doubts, estimated_outcomes, production, surely_best, usable
from pointsman.front import Front, pareto_front
from pointsman.outcomes import Outcomes, request_hashes
from pointsman.problem import TuningProblem
from pointsman.replay import COLUMNS, ESTIMATED, Served, baseline_columns, facts_of, with_fallbacks
from pointsman.rivals import best_per_intent
from pointsman.rules import ValueRule
from pointsman.search import SearchResult, nearest, search
from pointsman.spec import AS_LOGGED, BEST_SINGLE, RoutingSpec
from pointsman.thresholds import explain_thresholds
from pointsman.tuning import MANY, Known, Step, certify, cross_fitted, path

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pointsman.certificate import Certificate
    from pointsman.cross_fitting import CrossFit
    from pointsman.draft import Draft
    from pointsman.labels import IntentLabels
    from pointsman.objective import Objective
    from pointsman.policy import Policy
    from pointsman.rules import Rule
    from pointsman.study import Sampler
    from pointsman.tried import Tried

__all__ = ["Progress", "TuneOptions", "Tuned", "certified", "tune", "tuned_policy"]

Progress = Callable[[str, int, int], None]
"""Called with (phase, done, total)."""


@dataclass(frozen=True)
class TuneOptions:
    """How to search.

    Attributes
    ----------
    trials : int
        Optuna trials.
    seed : int
    sampler : str
        See `pointsman.search.search`.
    storage : str or None
        See `pointsman.study.open_study`; in memory by default.
    problem : Path or None
        With a storage: where the tuning problem is written, for workers elsewhere (see `pointsman.problem`).
    pick : int or None
        The point of the front to export; None for the boldest policy that can be certified.
    warm : Path or None
        Bundle whose rule is one of the first that the search tries, where its candidates are the same.
    """

    trials: int = 200
    seed: int = 0
    sampler: Sampler = "auto"
    storage: str | None = None
    problem: Path | None = None
    pick: int | None = None
    warm: Path | None = None


@dataclass(frozen=True, eq=False)
class Tuned:
    """What the search on the learn slice gave.

    Attributes
    ----------
    known : Known
        The n requests tuned on, with out-of-fold beliefs.
    facts : Facts
        Of the same requests.
    folds : (n,) int array
    found : SearchResult
    steps : list of Step
        The rules to be certified, from careful to bold.
    front : Front
    baseline : str
        A candidate, or ``as_logged``.
    by_intent : dict of str to str
        The content-blind peer (see `pointsman.rivals.best_per_intent`).
    repeat : callable
        The search again, on other requests.
    """

    known: Known
    facts: Facts
    folds: NDArray[np.intp]
    found: SearchResult
    steps: list[Step]
    front: Front
    baseline: str
    by_intent: dict[str, str]
    repeat: Callable[[Known], Sequence[Tried]]


def tune(
    learn: Outcomes,
    labels: IntentLabels,
    crossed: CrossFit,
    draft: Draft,
    spec: RoutingSpec,
    options: TuneOptions,
    say: Progress,
    *,
    logs: bool = False,
) -> Tuned:
    """Search thresholds on the out-of-fold beliefs of the learn slice.

    With `logs` outcomes are estimated where only the served one is known (see `pointsman.estimated`); without it such
    requests are left out.

    Raises
    ------
    InfeasibleError
        Where no rule keeps every limit even on the requests it was tuned on.
    FrontError
        Where the point to pick is not on the front.
    """
    at = usable(learn) if logs else learn.complete
    outcomes, reading = learn.take(at), crossed.reading.take(at)
    facts = facts_of(outcomes)
    # The draft's averages hold these very requests; the search must see what requests to come will see.
    useful, cost, late = (
        values[at].T.astype(np.float32) for values in (crossed.intent_useful, draft.cost_usd, draft.late)
    )
    beliefs = replace(believe(reading, facts, draft.policy), intent_useful=useful, cost_usd=cost, late=late)
    known, baseline, kept = _known(outcomes, reading, beliefs, facts, draft, spec, spec.baseline, logs=logs)
    reading, facts, rows = reading.take(kept), facts.take(kept), np.flatnonzero(at)[kept]
    single = None if baseline == AS_LOGGED else baseline
    warm = _warm(options.warm, outcomes.models, labels.names, spec)

    def look(part: Known, objective: Objective, **more: Any) -> SearchResult:
        fixed = (outcomes.models, single, options.trials, options.seed)
        return search(part.beliefs, objective, *fixed, sampler=options.sampler, known=warm, **more)

    objective = known.objective(spec)
    study_name = None if options.storage is None else _study_name(known.outcomes, spec, options)
    if study_name is not None and options.problem is not None:
        columns = {name: getattr(known.outcomes, name) for name in (*COLUMNS, *(ESTIMATED if logs else ()))}
        limits = (study_name, options.trials, options.sampler, options.seed)
        TuningProblem(known.beliefs, columns, known.before, spec, known.outcomes.models, *limits).save(options.problem)
    found = look(
        known,
        objective,
        storage=options.storage,
        study_name=study_name,
        progress=lambda done, total: say("tune", done, total),
        strict=spec.certificate == "none",
        front=True,
    )
    front = pareto_front(found.tried)
    if options.pick is not None:
        steps = [Step(0.0, front.pick(options.pick).rule)]
    elif spec.certificate == "none":
        steps = [Step(0.0, found.rule)]
    else:
        steps = path(found.tried)
        if not steps:
            raise InfeasibleError(nearest(found.evaluation, len(found.tried), objective))
    codes = labels.codes[rows]
    true = np.where((codes >= 0)[:, None], np.eye(len(labels.names))[codes], reading.intent_probs)
    labelled = believe(replace(reading, intent_probs=true), facts, draft.policy)
    by_intent = best_per_intent(labelled, objective, labels.names, outcomes.models)

    def repeat(part: Known) -> Sequence[Tried]:
        return look(part, part.objective(spec), strict=False).tried

    return Tuned(known, facts, crossed.folds[rows], found, steps, front, baseline, by_intent, repeat)


def certified(
    tuned: Tuned,
    draft: Draft,
    later: Sequence[tuple[Outcomes, Reading]],
    spec: RoutingSpec,
    options: TuneOptions,
    say: Progress,
    *,
    logs: bool = False,
) -> Certificate | None:
    """Test what was found on requests that did not find it; None where the spec wants no certificate.

    Parameters
    ----------
    tuned : Tuned
    draft : Draft
    later : sequence of tuple of Outcomes and Reading
        The slices after the learn slice, in order, as the exported graph reads them. The last one certifies alone where
        it is large, or where the spec says ``split``; the search is repeated in folds of the learn slice where not. A
        picked rule is tested on all later slices: nobody can pick again in every fold.
    spec : RoutingSpec
    options : TuneOptions
    say : callable
    logs : bool
        See `tune`.
    """
    if spec.certificate == "none":
        return None
    slices, untold = [], None
    for outcomes, reading in later:
        if len(outcomes):
            facts = facts_of(outcomes)
            beliefs = believe(reading, facts, draft.policy)
            known = _known(outcomes, reading, beliefs, facts, draft, spec, tuned.baseline, logs=logs)[0]
            slices += [known] if len(known) else []
    if logs:  # of the last slice, as the report does
        choices = [decide(beliefs, step.rule) for step in tuned.steps]
        single = None if tuned.baseline == AS_LOGGED else baseline_columns(outcomes, tuned.baseline)
        untold = doubts(outcomes, beliefs, production(outcomes, reading), choices, single, tuned.baseline)
    earlier = None
    if options.pick is None:
        if spec.certificate == "split" or (spec.certificate == "auto" and len(slices[-1]) >= MANY):
            slices = slices[-1:]
        else:
            folds = (tuned.known, tuned.folds, tuned.steps, tuned.repeat)
            earlier = cross_fitted(*folds, lambda done, total: say("prove", done, total))
    return certify(tuned.steps, slices, spec, earlier, options.seed, untold)


def _known(
    outcomes: Outcomes,
    reading: Reading,
    beliefs: Beliefs,
    facts: Facts,
    draft: Draft,
    spec: RoutingSpec,
    baseline: str,
    *,
    logs: bool,
) -> tuple[Known, str, NDArray[np.bool_]]:
    """Return the requests with what is known of them, the baseline's name, and which requests these are."""
    kept = np.ones(len(outcomes), dtype=np.bool_)
    if logs:
        limit = spec.constraints.p95_latency_ms
        chances = production(outcomes, reading)
        chained, kept = estimated_outcomes(outcomes, beliefs, chances, limit)
        real, beliefs = outcomes.take(kept), beliefs.take(kept)
    else:
        chained, real = with_fallbacks(outcomes, beliefs, facts, draft.policy), outcomes
    if baseline == BEST_SINGLE:
        baseline = surely_best(chained if logs else real, spec.constraints.confidence)
    if logs and baseline == AS_LOGGED:
        before = as_logged(real, chances.take(kept), limit)
    else:
        before = Served.by(chained if logs else real, baseline_columns(real, baseline))
    load = None
    if spec.constraints.latency == "under_load":
        from pointsman.load.constraint import under_load

        load = under_load(spec, chained.models, len(chained))
    return Known(beliefs, chained, before, load), baseline, kept


def tuned_policy(
    draft: Draft, tuned: Tuned, certificate: Certificate | None, spec: RoutingSpec
) -> tuple[Policy, dict[str, float | None]]:
    """Return the policy with the rule that was chosen and the evidence for it, and its distance from the dual bound."""
    rule = tuned.steps[-1 if certificate is None else certificate.chosen].rule
    objective = tuned.known.objective(spec)
    chosen = objective(decide(tuned.known.beliefs, rule))
    row = None if tuned.baseline == AS_LOGGED else draft.policy.models.index(tuned.baseline)
    gap = gap_to_dual(tuned.known.beliefs, rule, objective, row).to_dict()
    price = rule.useful_value_usd if isinstance(rule, ValueRule) else tuned.found.useful_value_usd
    policy = replace(draft.policy, rule=rule)
    evidence = {
        "baseline": tuned.baseline,
        "best_per_intent": tuned.by_intent,
        "useful_value_usd": max(price, spec.objective.useless_response_usd),
        "tuned_on_requests": len(tuned.known),
        "tuned": {
            "cost_per_useful": chosen.cost_per_useful,
            "useful_rate": chosen.useful_rate,
            "constraints": [check.to_dict() for check in chosen.checks],
        },
        "dual": gap,
        "thresholds": explain_thresholds(tuned.known.beliefs, policy, tuned.facts),
        "certificate": None if certificate is None else certificate.to_dict(),
    }
    return replace(policy, evidence=evidence), gap


def _warm(bundle: Path | None, models: Sequence[str], intents: Sequence[str], spec: RoutingSpec) -> tuple[Rule, ...]:
    """Return the rule of an older bundle, as far as the new candidates and intents know what it speaks of."""
    if bundle is None:
        return ()
    rule = load_bundle(bundle).policy.rule
    if spec.rules.abstain is not None or rule.abstain is not None:
        return ()  # how doubtful requests are told is for each spec to say
    try:
        rule.check(tuple(models), tuple(intents))
    except BundleError:
        return ()
    return (rule,)


def _study_name(tune: Outcomes, spec: RoutingSpec, options: TuneOptions) -> str:
    """Return a name that the same requests, spec and seed have again: a fit that was cut off resumes its own study."""
    digest = hashlib.sha256(request_hashes(tune).tobytes() + spec.to_yaml().encode() + options.sampler.encode())
    return f"pointsman-{digest.hexdigest()[:16]}-seed-{options.seed}"
