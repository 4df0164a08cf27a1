"""The search: the Lagrangian's rules first, then an Optuna study over readable thresholds that starts from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pointsman.errors import InfeasibleError
from pointsman.grouping import intent_groups, with_groups
from pointsman.lagrangian import lagrangian_rules
from pointsman.rules import Rule, ValueRule
from pointsman.space import FAMILIES, Space, as_today
from pointsman.study import Sampler, TrialRecord, open_study, run_trials, sampler_name
from pointsman.tried import Bench, Tried, rank

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pointsman.decide import Beliefs
    from pointsman.objective import Evaluation, Objective

__all__ = ["SearchResult", "Tried", "join", "nearest", "search"]


@dataclass(frozen=True)
class SearchResult:
    """What the search found.

    Attributes
    ----------
    rule : Rule
        The best feasible rule of all that were tried; the nearest to feasible where none is.
    evaluation : Evaluation
        Of that rule on the tuning requests.
    trials : tuple of TrialRecord
        Of the study, in order; the first `warm` of a new one are the Lagrangian's best rules and «as today», the best
        of them first.
    warm : int
    swept : int
        Rules tried before the study.
    useful_value_usd : float
        The price of usefulness at the optimum, USD: what the last useful response cost more than going without it.
    tried : tuple of Tried
        Every rule that was tried, those of all finished trials included.
    """

    rule: Rule
    evaluation: Evaluation
    trials: tuple[TrialRecord, ...]
    warm: int
    swept: int
    useful_value_usd: float
    tried: tuple[Tried, ...]


def search(
    beliefs: Beliefs,
    objective: Objective,
    models: Sequence[str],
    baseline: str | None,
    n_trials: int = 200,
    seed: int = 0,
    storage: str | None = None,
    study_name: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    *,
    sampler: Sampler = "auto",
    strict: bool = True,
    front: bool = False,
    known: Sequence[Rule] = (),
) -> SearchResult:
    """Minimise cost per useful response over rule families and thresholds, subject to the spec's constraints.

    Parameters
    ----------
    beliefs : Beliefs
        Of the tuning requests, made by heads that never saw them.
    objective : Objective
        On the same requests.
    models : sequence of str
        Candidates, cheap to dear.
    baseline : str or None
        Production's model: «as today» is one of the first rules. None where production has no single one.
    n_trials : int
        Finished trials in all, those of an earlier run or of other workers included; 0 for no study.
    seed : int
    storage : str, optional
        See `pointsman.study.open_study`; in memory by default.
    study_name : str, optional
        Resumed where the storage already holds it.
    progress : callable, optional
        Called with (trials done, trials in all).
    sampler : str
        ``tpe`` draws value rules and ladders; ``gp`` value rules only, for few trials on large data (each costs a
        second); ``nsga2`` spreads over the whole front; ``auto`` is ``tpe``.
    strict : bool
        Raise where no rule is feasible; else the nearest one is returned.
    front : bool
        Measure every rule's P95 latency, for `pointsman.front.pareto_front`; always with ``nsga2``.
    known : sequence of Rule
        Rules from elsewhere, of the same candidates, that are tried first: those that serve today.

    Raises
    ------
    InfeasibleError
        Where no rule meets the constraints; the message names the constraint and the nearest rule's distance.
    TraceError
        Where the study to resume was made for other requests, candidates, constraints or sampler.
    StorageError
        Where the storage cannot be opened.
    """
    name = sampler_name(sampler)
    space, bench = _set_up(beliefs, objective, models, name, front=front)
    solutions = lagrangian_rules(space, bench)
    starts: list[Rule] = [*solutions, *space.doubtful(solutions[0])]
    starts += [] if baseline is None else [as_today(space, baseline)]
    starts += [rule for rule in known if not rule.to_dict().get("groups")]
    for rule in known:
        bench(rule)
    starts.sort(key=lambda rule: rank(bench(rule).evaluation))
    swept = len(bench.tried)
    starts = [rule for rule in starts if rule.kind in space.families][:n_trials]
    trials: tuple[TrialRecord, ...] = ()
    if n_trials:
        with open_study(storage, study_name, bench, space, name, seed) as study:
            trials = run_trials(study, bench, space, n_trials, map(space.params, starts), progress)
    for trial in trials:
        bench(space.rule(trial.params))
    best = min(bench.tried.values(), key=lambda one: rank(one.evaluation))
    counts = np.bincount(beliefs.intent, minlength=len(beliefs.intents)).tolist()
    best = bench(with_groups(best.rule, intent_groups(counts, beliefs.intents), bench))
    if strict and not best.evaluation.feasible:
        raise InfeasibleError(nearest(best.evaluation, len(bench.tried), objective))
    price = best.rule if isinstance(best.rule, ValueRule) else solutions[0]
    worth = max(price.useful_value_usd, objective.spec.objective.useless_response_usd)
    return SearchResult(best.rule, best.evaluation, trials, len(starts), swept, worth, tuple(bench.tried.values()))


def join(
    beliefs: Beliefs,
    objective: Objective,
    models: Sequence[str],
    n_trials: int,
    storage: str,
    study_name: str,
    progress: Callable[[int, int], None] | None = None,
    *,
    sampler: Sampler = "auto",
    seed: int | None = None,
) -> tuple[TrialRecord, ...]:
    """Run trials of a study that another process or machine searches, until it holds `n_trials`; return them.

    Parameters
    ----------
    beliefs, objective, models, n_trials, storage, study_name, progress, sampler
        As in `search`.
    seed : int, optional
        Of this worker alone; by default from the operating system's entropy.
    """
    name = sampler_name(sampler)
    space, bench = _set_up(beliefs, objective, models, name, front=False)
    with open_study(storage, study_name, bench, space, name, seed) as study:
        return run_trials(study, bench, space, n_trials, progress=progress)


def _set_up(
    beliefs: Beliefs, objective: Objective, models: Iterable[str], sampler: Sampler, *, front: bool
) -> tuple[Space, Bench]:
    families = ("value",) if sampler == "gp" else FAMILIES
    bench = Bench(beliefs, objective, p95=front or sampler == "nsga2")
    return Space.of(beliefs, objective, tuple(models), families), bench


def nearest(found: Evaluation, tried: int, objective: Objective) -> str:
    """Say which constraint none of so many rules meets and how near the nearest, `found`, came."""
    worst = max(found.checks, key=lambda check: check.slack)
    return (
        f"no policy of {tried} tried meets constraints.{worst.name}: the nearest has {worst.unit} "
        f"{worst.value:.4g} (with {100 * objective.spec.constraints.confidence:g} % confidence at most "
        f"{worst.bound:.4g}); allowed is {worst.limit:.4g}"
    )
