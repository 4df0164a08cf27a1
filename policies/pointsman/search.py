"""The search: an Optuna study over readable thresholds, warm-started from a sweep of the Lagrangian's prices."""

from __future__ import annotations

import itertools
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna

from pointsman.decide import Beliefs, decide
from pointsman.errors import InfeasibleError
from pointsman.objective import Check, Evaluation, Objective
from pointsman.rules import LadderRule, Rule, ValueRule

__all__ = ["SearchResult", "TrialRecord", "best_per_intent", "search"]

TRUSTS = (0.0, 0.25, 0.5, 0.75, 1.0)
NEVER = 1.01
"""A ladder threshold that no probability reaches."""


@dataclass(frozen=True)
class TrialRecord:
    """One finished trial: its thresholds, its objective, its constraints."""

    number: int
    params: dict[str, Any]
    cost_per_useful: float
    useful_rate: float
    late_share: float
    constraints: dict[str, float]


@dataclass(frozen=True)
class SearchResult:
    """What the study found.

    Attributes
    ----------
    rule : Rule
        The best feasible rule.
    evaluation : Evaluation
        Of that rule on the tuning requests.
    trials : tuple of TrialRecord
        In order; the first `warm` of them came from the sweep.
    warm : int
    swept : int
        Rules that the sweep evaluated before the study.
    useful_value_usd : float
        The price of usefulness at the optimum, USD: what the last useful response cost more than going without it.
    """

    rule: Rule
    evaluation: Evaluation
    trials: tuple[TrialRecord, ...]
    warm: int
    swept: int
    useful_value_usd: float


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
        Production's model: «as today» is one of the first trials. None where production has no single one.
    n_trials : int
    seed : int
    storage : str, optional
        An Optuna storage URL (``sqlite:///study.db``); in memory by default.
    study_name : str, optional
        Resumed where the storage already holds it.
    progress : callable, optional
        Called with (trials done, trials in all).

    Raises
    ------
    InfeasibleError
        Where no trial meets the constraints; the message names the constraint and the nearest policy's distance.
    """
    prices = _price_range(beliefs)
    late = any(check.name == "p95_latency_ms" for check in objective(decide(beliefs, ValueRule(0.0, 0.0))).checks)
    warm, swept = _warm_starts(beliefs, objective, prices, late)
    warm_params = [_params(rule, prices, late) for rule in warm]
    if baseline is not None:
        always = {f"min_p_useful:{model}": 0.0 if model == baseline else NEVER for model in models}
        warm_params.append({"rule": "ladder", "trust": 0.0, **always, **({"max_p_late": 1.0} if late else {})})

    def evaluate(trial: optuna.Trial) -> float:
        found = objective(decide(beliefs, _suggest(trial, models, prices, late)))
        for check in found.checks:
            trial.set_constraint(check.name, check.slack)
        trial.set_user_attr("useful_rate", found.useful_rate)
        trial.set_user_attr("late_share", found.late_share)
        return min(found.cost_per_useful, 1e9)

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=10)
            study = optuna.create_study(storage=storage, study_name=study_name, sampler=sampler, load_if_exists=storage is not None)
            for params in warm_params[:n_trials]:
                study.enqueue_trial(params, skip_if_exists=True)
            finished = len(study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)))
            study.optimize(evaluate, n_trials=max(n_trials - finished, 0), callbacks=[_reporter(progress, n_trials)])
    finally:
        optuna.logging.set_verbosity(level)
    records = tuple(_record(trial) for trial in study.get_trials(states=(optuna.trial.TrialState.COMPLETE,)))
    try:
        best = study.best_trial
    except ValueError:
        raise InfeasibleError(_nearest(records, objective, beliefs, models, prices)) from None
    rule = _rule(best.params, models, prices)
    price = rule if isinstance(rule, ValueRule) else min(warm, key=lambda one: _rank(objective(decide(beliefs, one))))
    worth = max(price.useful_value_usd, objective.spec.objective.useless_response_usd)
    return SearchResult(rule, objective(decide(beliefs, rule)), records, min(len(warm_params), n_trials), swept, worth)


def best_per_intent(beliefs: Beliefs, objective: Objective, names: Sequence[str], models: Sequence[str]) -> dict[str, str]:
    """Return the content-blind peer: one candidate per intent, tuned to the same objective and constraints.

    `beliefs` must hold the intents as labelled (one-hot): then a rule with no trust in the prompt is an assignment.
    """
    prices = _price_range(beliefs)
    late = any(check.name == "p95_latency_ms" for check in objective(decide(beliefs, ValueRule(0.0, 0.0))).checks)
    rule = _best(_sweep(prices, late, trusts=(0.0,)), beliefs, objective)[0]
    chosen = decide(beliefs, rule)
    return {name: models[int(chosen[beliefs.intent == k][0])] for k, name in enumerate(names) if (beliefs.intent == k).any()}


def _price_range(beliefs: Beliefs) -> tuple[float, float]:
    """Return the least and largest price of usefulness worth trying, USD: from «only cost» to «only usefulness»."""
    dearest = float(beliefs.cost_usd.max())
    return max(dearest * 1e-3, 1e-9), max(dearest * 1e3, 1e-3)


def _sweep(prices: tuple[float, float], late: bool, trusts: Sequence[float] = TRUSTS, points: int = 61) -> Iterator[ValueRule]:
    values = np.geomspace(*prices, points)
    for trust, value in itertools.product(trusts, values):
        yield ValueRule(trust, float(value), 0.0)
        if late:
            for share in (0.1, 0.3, 1.0, 3.0, 10.0):
                yield ValueRule(trust, float(value), min(float(value) * share, prices[1]))


def _best(rules: Iterator[ValueRule], beliefs: Beliefs, objective: Objective) -> tuple[ValueRule, int]:
    """Return the best feasible rule, or the one nearest to feasible, and how many were tried."""
    tried, best = 0, None
    for rule in rules:
        found = objective(decide(beliefs, rule))
        tried += 1
        if best is None or _rank(found) < best[0]:
            best = (_rank(found), rule)
    assert best is not None  # noqa: S101  a sweep is never empty
    return best[1], tried


def _rank(found: Evaluation) -> tuple[float, float]:
    """Order policies: first by how far from feasible, then by the objective."""
    return found.violation, found.cost_per_useful


def _warm_starts(beliefs: Beliefs, objective: Objective, prices: tuple[float, float], late: bool) -> tuple[list[ValueRule], int]:
    """Return the best rule of the sweep for each trust."""
    found = [_best(_sweep(prices, late, trusts=(trust,)), beliefs, objective) for trust in TRUSTS]
    return [rule for rule, _ in found], sum(count for _, count in found)


def _suggest(trial: optuna.Trial, models: Sequence[str], prices: tuple[float, float], late: bool) -> Rule:
    kind = trial.suggest_categorical("rule", ["value", "ladder"])
    trial.suggest_float("trust", 0.0, 1.0)
    if kind == "value":
        trial.suggest_float("useful_value_usd", *prices, log=True)
        if late:
            trial.suggest_float("late_cost_usd", prices[0] * 1e-3, prices[1], log=True)
    else:
        for model in models:
            trial.suggest_float(f"min_p_useful:{model}", 0.0, NEVER)
        if late:
            trial.suggest_float("max_p_late", 0.0, 1.0)
    return _rule(trial.params, models, prices)


def _rule(params: dict[str, Any], models: Sequence[str], prices: tuple[float, float]) -> Rule:
    if params["rule"] == "value":
        late_cost = params.get("late_cost_usd", 0.0)
        return ValueRule(params["trust"], params["useful_value_usd"], 0.0 if late_cost <= prices[0] * 1e-3 else late_cost)
    thresholds = {model: params[f"min_p_useful:{model}"] for model in models}
    return LadderRule(params["trust"], thresholds, params.get("max_p_late", 1.0))


def _params(rule: ValueRule, prices: tuple[float, float], late: bool) -> dict[str, Any]:
    value = min(max(rule.useful_value_usd, prices[0]), prices[1])
    params = {"rule": "value", "trust": rule.trust, "useful_value_usd": value}
    return {**params, "late_cost_usd": max(rule.late_cost_usd, prices[0] * 1e-3)} if late else params


def _reporter(progress: Callable[[int, int], None] | None, total: int) -> Callable[[optuna.Study, Any], None]:
    def report(study: optuna.Study, trial: Any) -> None:  # noqa: ARG001
        if progress is not None:
            progress(trial.number + 1, total)

    return report


def _record(trial: Any) -> TrialRecord:
    attrs = trial.user_attrs
    return TrialRecord(
        trial.number, dict(trial.params), float(trial.value), attrs["useful_rate"], attrs["late_share"], dict(trial.constraints)
    )


def _nearest(
    records: Sequence[TrialRecord], objective: Objective, beliefs: Beliefs, models: Sequence[str], prices: tuple[float, float]
) -> str:
    """Say which constraint no policy meets and how near the nearest came."""
    nearest = min(records, key=lambda record: sum(max(value, 0.0) for value in record.constraints.values()))
    found: Evaluation = objective(decide(beliefs, _rule(nearest.params, models, prices)))
    worst: Check = max(found.checks, key=lambda check: check.slack)
    logging.getLogger("pointsman.search").debug("nearest trial %s", nearest)
    return (
        f"no policy of {len(records)} tried meets constraints.{worst.name}: the nearest has {worst.unit} {worst.value:.4g} "
        f"(with {objective.spec.constraints.confidence:.0%} confidence at most {worst.bound:.4g}); allowed is {worst.limit:.4g}"
    )
