"""The search: an Optuna study over readable thresholds, warm-started from a sweep of the Lagrangian's prices."""

from __future__ import annotations

import itertools
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.trial import TrialState

from pointsman.decide import Beliefs, decide
from pointsman.errors import InfeasibleError, TraceError
from pointsman.rules import LadderRule, Rule, ValueRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from pointsman.objective import Evaluation, Objective

__all__ = ["SearchResult", "TrialRecord", "best_per_intent", "search"]

TRUSTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Weights of per-query evidence that the sweep tries."""

PRICES = 61
"""Prices of usefulness that the sweep tries with each of them."""

LATE_SHARES = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Prices of a late response that the sweep tries with each of those, as multiples of it."""

NEVER = 1.01
"""A ladder threshold that no probability reaches."""

ASSIGNMENTS = 1024
"""Assignments of candidates to intents up to which all are tried."""

USELESS = 1e9
"""What the study is told, USD per useful response, where nothing was useful: a storage keeps no infinity."""


@dataclass(frozen=True)
class TrialRecord:
    """One finished trial: its thresholds, its objective, its constraints.

    Attributes
    ----------
    number : int
        Among all trials of the study, those that were cut off included.
    params : dict of str to (str or float)
    cost_per_useful : float
        USD; 1e9 where nothing was useful.
    useful_rate, late_share : float
        0..1.
    constraints : dict of str to float
        By how much each is missed; 0 and less where it is met.
    """

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
        In order; the first `warm` of a new study are the sweep's best rules and «as today», the best of them first.
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
        Finished trials in all, those of an earlier run of the study included; at least 1.
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
    TraceError
        Where the study to resume was made for other requests, candidates or constraints.
    """
    space = _Space(tuple(models), _price_range(beliefs), late=_has_latency_limit(objective))
    swept_best, swept = _warm_starts(beliefs, objective, space)
    starts: list[Rule] = [*swept_best, *([] if baseline is None else [_as_today(space.models, baseline)])]
    starts.sort(key=lambda rule: _rank(objective(decide(beliefs, rule))))
    starts = starts[:n_trials]

    def evaluate(trial: optuna.Trial) -> float:
        found = objective(decide(beliefs, space.suggest(trial)))
        for check in found.checks:
            trial.set_constraint(check.name, check.slack)
        trial.set_user_attr("useful_rate", found.useful_rate)
        trial.set_user_attr("late_share", found.late_share)
        return min(found.cost_per_useful, USELESS)

    with _quiet():
        study = optuna.create_study(storage=storage, study_name=study_name, load_if_exists=storage is not None)
        _recognise(study, space, objective)
        finished = len(_complete(study))
        # A resumed study draws on, instead of drawing the same thresholds again.
        study.sampler = optuna.samplers.TPESampler(seed=seed + finished, n_startup_trials=10)
        _enqueue(study, [space.params(rule) for rule in starts])
        report = _reporter(progress, finished, n_trials)
        study.optimize(evaluate, n_trials=max(n_trials - finished, 0), callbacks=[report])
        records = tuple(_record(trial) for trial in _complete(study))
    feasible = [record for record in records if all(slack <= 0 for slack in record.constraints.values())]
    if not feasible:
        raise InfeasibleError(_nearest(records, objective, beliefs, space))
    rule = space.rule(min(feasible, key=lambda record: record.cost_per_useful).params)
    price = rule if isinstance(rule, ValueRule) else swept_best[0]
    worth = max(price.useful_value_usd, objective.spec.objective.useless_response_usd)
    return SearchResult(rule, objective(decide(beliefs, rule)), records, len(starts), swept, worth)


def best_per_intent(
    beliefs: Beliefs, objective: Objective, names: Sequence[str], models: Sequence[str]
) -> dict[str, str]:
    """Return the content-blind peer: one candidate per intent, tuned to the same objective and constraints.

    Where there are few assignments (1,024) all are tried. Else the sweep's best is improved intent by intent until no
    single change helps. An intent is only given a candidate that can take most of its requests.

    Parameters
    ----------
    beliefs : Beliefs
        Must hold the intents as labelled (one-hot): then a rule with no trust in the prompt is an assignment.
    objective : Objective
        On the same requests.
    names : sequence of str
        Of the intents; those without requests are left out.
    models : sequence of str
        Candidates, cheap to dear.
    """
    present, intent = np.unique(beliefs.intent, return_inverse=True)
    able = np.stack([beliefs.eligible[:, beliefs.intent == code].mean(axis=1) for code in present])
    choices: list[list[int]] = [np.flatnonzero(row >= min(0.5, row.max())).tolist() for row in able]

    def rank(assignment: Sequence[int]) -> tuple[float, float]:
        return _rank(objective(np.asarray(assignment, dtype=np.intp)[intent]))

    if np.prod([float(len(options)) for options in choices]) <= ASSIGNMENTS:
        best: Sequence[int] = min(itertools.product(*choices), key=rank)
    else:
        best = _improved(_swept_assignment(beliefs, objective, models, present), choices, rank)
    return {names[code]: models[column] for code, column in zip(present, best, strict=True)}


def _swept_assignment(
    beliefs: Beliefs, objective: Objective, models: Sequence[str], present: NDArray[np.intp]
) -> list[int]:
    """Return the column that the best rule without trust gives to most requests of each intent."""
    space = _Space(tuple(models), _price_range(beliefs), late=_has_latency_limit(objective))
    chosen = decide(beliefs, _best(space.sweep(0.0), beliefs, objective)[0])
    return [int(np.bincount(chosen[beliefs.intent == code]).argmax()) for code in present]


def _improved(
    assignment: list[int],
    choices: Sequence[Sequence[int]],
    rank: Callable[[Sequence[int]], tuple[float, float]],
) -> list[int]:
    """Give one intent after the other its best candidate until nothing changes."""
    best = rank(assignment)
    improved = True
    while improved:
        improved = False
        for position, options in enumerate(choices):
            for option in options:
                other = [*assignment[:position], option, *assignment[position + 1 :]]
                found = rank(other)
                if found < best:
                    assignment, best, improved = other, found, True
    return assignment


@dataclass(frozen=True)
class _Space:
    """What the study may choose from.

    Attributes
    ----------
    models : tuple of str
        Candidates, cheap to dear.
    prices : tuple of float
        Least and largest price of usefulness, USD.
    late : bool
        Whether there is a latency limit, and so a price of being late.
    """

    models: tuple[str, ...]
    prices: tuple[float, float]
    late: bool

    @property
    def free(self) -> float:
        """The least price of a late response, USD: it stands for none at all, which a log scale cannot hold."""
        return self.prices[0] * 1e-3

    def suggest(self, trial: optuna.Trial) -> Rule:
        """Let the study choose."""
        kind = trial.suggest_categorical("rule", ["value", "ladder"])
        trial.suggest_float("trust", 0.0, 1.0)
        if kind == "value":
            trial.suggest_float("useful_value_usd", *self.prices, log=True)
            if self.late:
                trial.suggest_float("late_cost_usd", self.free, self.prices[1], log=True)
        else:
            for model in self.models:
                trial.suggest_float(f"min_p_useful:{model}", 0.0, NEVER)
            if self.late:
                trial.suggest_float("max_p_late", 0.0, 1.0)
        return self.rule(trial.params)

    def rule(self, params: dict[str, Any]) -> Rule:
        """Return the rule that a trial's parameters stand for."""
        if params["rule"] == "value":
            late_cost = params.get("late_cost_usd", self.free)
            return ValueRule(params["trust"], params["useful_value_usd"], late_cost if late_cost > self.free else 0.0)
        thresholds = {model: params[f"min_p_useful:{model}"] for model in self.models}
        return LadderRule(params["trust"], thresholds, params.get("max_p_late", 1.0))

    def params(self, rule: Rule) -> dict[str, Any]:
        """Return the parameters that stand for a rule."""
        params: dict[str, Any] = {"rule": rule.kind, "trust": rule.trust}
        if isinstance(rule, ValueRule):
            params["useful_value_usd"] = rule.useful_value_usd
            return {**params, "late_cost_usd": max(rule.late_cost_usd, self.free)} if self.late else params
        if isinstance(rule, LadderRule):
            params |= {f"min_p_useful:{model}": threshold for model, threshold in rule.min_p_useful.items()}
        return {**params, "max_p_late": 1.0} if self.late else params

    def sweep(self, trust: float) -> Iterator[ValueRule]:
        """Yield the Lagrangian's rules: every price of usefulness with every price of being late."""
        low, high = self.prices
        for value in np.clip(np.geomspace(low, high, PRICES), low, high).tolist():
            yield ValueRule(trust, value, 0.0)
            if self.late:
                for share in LATE_SHARES:
                    yield ValueRule(trust, value, min(value * share, high))


def _price_range(beliefs: Beliefs) -> tuple[float, float]:
    """Return the least and largest price of usefulness worth trying, USD: from «only cost» to «only usefulness»."""
    dearest = float(beliefs.cost_usd.max())
    return max(dearest * 1e-3, 1e-9), max(dearest * 1e3, 1e-3)


def _has_latency_limit(objective: Objective) -> bool:
    return objective.spec.constraints.p95_latency_ms is not None


def _warm_starts(beliefs: Beliefs, objective: Objective, space: _Space) -> tuple[list[ValueRule], int]:
    """Return the best rule of the sweep for each trust, the best of all first, and how many rules were tried."""
    found = [_best(space.sweep(trust), beliefs, objective) for trust in TRUSTS]
    return [rule for rule, _, _ in sorted(found, key=lambda one: one[1])], sum(tried for _, _, tried in found)


def _best(
    rules: Iterable[ValueRule], beliefs: Beliefs, objective: Objective
) -> tuple[ValueRule, tuple[float, float], int]:
    """Return the best feasible rule, or the one nearest to feasible, with its rank, and how many were tried."""
    ranked = [(rule, _rank(objective(decide(beliefs, rule)))) for rule in rules]
    return (*min(ranked, key=lambda one: one[1]), len(ranked))


def _rank(found: Evaluation) -> tuple[float, float]:
    """Order policies: first by how far from feasible, then by the objective."""
    return found.violation, found.cost_per_useful


def _as_today(models: Sequence[str], baseline: str) -> LadderRule:
    """Return the rule that sends everything that the baseline can take to it."""
    return LadderRule(0.0, {model: 0.0 if model == baseline else NEVER for model in models})


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna's log to warnings and its notes on experimental features to itself."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


def _complete(study: optuna.Study) -> list[Any]:
    return list(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def _recognise(study: optuna.Study, space: _Space, objective: Objective) -> None:
    """Write down what a new study is for; refuse one to be resumed that is for something else."""
    spec = objective.spec
    purpose: dict[str, Any] = {
        "models": list(space.models),
        "requests": objective.before.requests,
        "constraints": spec.constraints.model_dump(mode="json"),
        "objective": spec.objective.model_dump(mode="json"),
    }
    for key, value in purpose.items():
        known = study.user_attrs.get(key, value)
        if known != value:
            raise TraceError(
                f"study {study.study_name!r} was made for other {key}: {known}; here: {value}; name another"
            )
        study.set_user_attr(key, value)


def _enqueue(study: optuna.Study, starts: Iterable[dict[str, Any]]) -> None:
    """Put the warm starts first, but for those that are done or still wait; one that was cut off is run again."""
    kept = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.WAITING))
    there = [trial.system_attrs.get("fixed_params") for trial in kept]
    for params in starts:
        if params not in there:
            study.enqueue_trial(params)


def _reporter(
    progress: Callable[[int, int], None] | None, done: int, total: int
) -> Callable[[optuna.Study, Any], None]:
    counter = itertools.count(done + 1)

    def report(study: optuna.Study, trial: Any) -> None:  # noqa: ARG001
        if progress is not None:
            progress(next(counter), total)

    return report


def _record(trial: Any) -> TrialRecord:
    attrs = trial.user_attrs
    return TrialRecord(
        number=trial.number,
        params=dict(trial.params),
        cost_per_useful=float(trial.value),
        useful_rate=attrs["useful_rate"],
        late_share=attrs["late_share"],
        constraints=dict(trial.constraints),
    )


def _nearest(records: Sequence[TrialRecord], objective: Objective, beliefs: Beliefs, space: _Space) -> str:
    """Say which constraint no policy meets and how near the nearest came."""
    nearest = min(records, key=lambda record: sum(max(slack, 0.0) for slack in record.constraints.values()))
    found = objective(decide(beliefs, space.rule(nearest.params)))
    worst = max(found.checks, key=lambda check: check.slack)
    return (
        f"no policy of {len(records)} tried meets constraints.{worst.name}: the nearest has {worst.unit} "
        f"{worst.value:.4g} (with {100 * objective.spec.constraints.confidence:g} % confidence at most "
        f"{worst.bound:.4g}); allowed is {worst.limit:.4g}"
    )
