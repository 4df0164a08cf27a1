"""The Optuna study: where it is kept, who draws its trials, what it is for, and how it is taken up again."""

from __future__ import annotations

import hashlib
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import optuna
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from pointsman.errors import PointsmanError, TraceError
from pointsman.journal import journal_storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pointsman.space import Space
    from pointsman.tried import Bench, Tried

__all__ = ["SAMPLERS", "Sampler", "StorageError", "TrialRecord", "open_study", "run_trials", "sampler_name"]

Sampler = Literal["auto", "tpe", "gp", "nsga2"]

SAMPLERS: tuple[Sampler, ...] = ("auto", "tpe", "gp", "nsga2")
"""Who draws the trials."""

USELESS = 1e9
"""What the study is told, USD per useful response, where nothing was useful: a storage keeps no infinity."""

STARTUP = 10
"""Trials drawn at random, warm starts included, before a model of the objective is worth fitting."""

FRONT: tuple[Literal["minimize", "maximize"], ...] = ("minimize", "maximize", "minimize")
"""Directions of a study for the whole front: mean cost, useful rate, P95 latency."""


class StorageError(PointsmanError):
    """The place where a study should be kept cannot be used."""


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
        By how much each is missed, on its own scale; 0 and less where it is met.
    values : dict of str to float
        What was measured for each constraint.
    began, ended : float
        Unix time, s; two trials are equal whenever they ran.
    """

    number: int
    params: dict[str, Any]
    cost_per_useful: float
    useful_rate: float
    late_share: float
    constraints: dict[str, float]
    values: dict[str, float] = field(default_factory=dict)
    began: float = field(default=0.0, compare=False)
    ended: float = field(default=0.0, compare=False)


def sampler_name(sampler: Sampler) -> Sampler:
    """Return the sampler that `auto` stands for: TPE.

    A Gaussian process needs a space without branches, so it draws value rules only. Those have two or three thresholds,
    which the grid and the bisection have already settled; what is left to find are ladders, and TPE draws both.
    """
    return "tpe" if sampler == "auto" else sampler


@contextmanager
def open_study(
    storage: str | None, name: str | None, bench: Bench, space: Space, sampler: Sampler, seed: int | None
) -> Iterator[optuna.Study]:
    """Create a study or take up the one that the storage holds under this name.

    Parameters
    ----------
    storage : str or None
        ``journal:PATH`` or a path ending in ``.journal``: a file for several processes. A URL (``sqlite:///study.db``,
        ``postgresql+psycopg://user@host/db``): for workers on several machines. None: in memory.
    name : str or None
    bench : Bench
        Of the requests that the study is for.
    space : Space
    sampler : str
        See `SAMPLERS`.
    seed : int or None
        None draws from the operating system's entropy: workers on one study must not all draw the same.

    Raises
    ------
    StorageError
        Where the storage cannot be opened.
    TraceError
        Where the study was made for other requests, candidates, constraints or sampler.
    """
    front = sampler == "nsga2"
    with _quiet():
        try:
            study = optuna.create_study(
                storage=_open_storage(storage),
                study_name=name,
                load_if_exists=storage is not None,
                directions=FRONT if front else FRONT[:1],
            )
        except (OSError, ImportError, SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            reason = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
            raise StorageError(f"storage {_shown(storage)} cannot be used: {reason[0]}") from error
        except ValueError as error:  # a study of that name has other directions
            raise TraceError(f"study {name!r} was made for another sampler than {sampler}; name another") from error
        _recognise(study, space, bench, front)
        # A resumed study draws on, instead of drawing the same thresholds again.
        drawn = len(_complete(study))
        study.sampler = _sampler(sampler, None if seed is None else seed + drawn)
        yield study


def run_trials(
    study: optuna.Study,
    bench: Bench,
    space: Space,
    n_trials: int,
    starts: Iterable[dict[str, Any]] = (),
    progress: Callable[[int, int], None] | None = None,
) -> tuple[TrialRecord, ...]:
    """Run until the study holds `n_trials` finished trials, whoever ran them, and return those, in order.

    Each other worker may finish the one trial it was at, and so pass the number.

    Parameters
    ----------
    study : optuna.Study
    bench : Bench
    space : Space
    n_trials : int
    starts : iterable of dict
        Parameters to try first, but for those that are finished or still wait; one that was cut off is run again.
    progress : callable, optional
        Called with (finished trials, trials in all).
    """
    front = len(study.directions) > 1

    def evaluate(trial: optuna.Trial) -> float | tuple[float, ...]:
        return _tell(trial, bench(space.suggest(trial)), front)

    def report(study: optuna.Study, trial: Any) -> None:  # noqa: ARG001
        done = len(_complete(study))
        if done >= n_trials:
            study.stop()
        if progress is not None:
            progress(min(done, n_trials), n_trials)

    _enqueue(study, starts)
    if len(_complete(study)) < n_trials:
        study.optimize(evaluate, callbacks=[report])
    return tuple(_record(trial) for trial in _complete(study))


def _tell(trial: optuna.Trial, found: Tried, front: bool) -> float | tuple[float, ...]:
    """Write a rule's figures into its trial; return what the sampler works with.

    A study for the front is told no constraints: the user picks from all of it, knowing which points are feasible.
    """
    evaluation, slacks = found.evaluation, {check.name: check.slack for check in found.evaluation.checks}
    trial.set_user_attr(
        "found",
        {
            "cost_per_useful": min(evaluation.cost_per_useful, USELESS),
            "useful_rate": evaluation.useful_rate,
            "late_share": evaluation.late_share,
            "constraints": slacks,
            "values": {check.name: check.value for check in evaluation.checks},
        },
    )
    if front:
        return evaluation.mean_cost_usd, evaluation.useful_rate, found.p95_ms or 0.0
    for name, slack in slacks.items():
        trial.set_constraint(name, slack)
    return min(evaluation.cost_per_useful, USELESS)


def _open_storage(storage: str | None) -> Any:
    if storage is None:
        return None
    if storage.startswith("journal:"):
        return journal_storage(storage.partition(":")[2])
    if "://" in storage:
        # A server may have dropped a connection that was idle; another process may hold SQLite's lock for a while.
        engine: dict[str, Any] = {"pool_pre_ping": True}
        if storage.startswith("sqlite"):
            engine["connect_args"] = {"timeout": 60}
        return optuna.storages.RDBStorage(storage, engine_kwargs=engine)
    if storage.endswith(".journal"):
        return journal_storage(storage)
    raise StorageError(
        f"storage {storage!r} is not known; allowed: journal:PATH, PATH.journal, or a URL such as "
        "sqlite:///study.db or postgresql+psycopg://user@host/database"
    )


def _shown(storage: str | None) -> str:
    """Show a storage without the password in its URL."""
    text = storage or "in memory"
    scheme, apart, rest = text.partition("://")
    secret, at, place = rest.rpartition("@")
    return f"{scheme}{apart}{secret.partition(':')[0]}{at}{place}"


def _sampler(name: Sampler, seed: int | None) -> Any:
    if name == "gp":
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=STARTUP, deterministic_objective=True)
    if name == "nsga2":
        return optuna.samplers.NSGAIISampler(seed=seed)
    # The trials that other workers are at count as bad ones: nobody draws next to them.
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP, constant_liar=True)


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


def _recognise(study: optuna.Study, space: Space, bench: Bench, front: bool) -> None:
    """Write down what a new study is for; refuse one to be resumed that is for something else."""
    spec = bench.objective.spec
    purpose: dict[str, Any] = {
        "models": list(space.models),
        "requests": bench.objective.before.requests,
        "constraints": spec.constraints.model_dump(mode="json"),
        "objective": spec.objective.model_dump(mode="json"),
        "sampler": "nsga2" if front else "gp" if len(space.families) == 1 else "tpe",
        "outcomes": _fingerprint(bench),
    }
    known = study.user_attrs
    for key, value in purpose.items():
        if known.get(key, value) != value:
            raise TraceError(
                f"study {study.study_name!r} was made for other {key}: {known[key]}; here: {value}; name another"
            )
        if key not in known:
            study.set_user_attr(key, value)


def _fingerprint(bench: Bench) -> str:
    """Return a hash of what the first and the last candidate would have got, and of what is believed."""
    digest = hashlib.blake2b(digest_size=8)
    beliefs = bench.beliefs
    m, n = beliefs.query_useful.shape
    for column in (0, m - 1):
        served = bench.objective.served(np.full(n, column, dtype=np.intp))
        for values in (served.useful, served.cost_usd, served.latency_ms):
            digest.update(np.ascontiguousarray(values).data)
    for array in (beliefs.query_useful, beliefs.intent_useful, beliefs.cost_usd, beliefs.late, beliefs.eligible):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _enqueue(study: optuna.Study, starts: Iterable[dict[str, Any]]) -> None:
    kept = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.WAITING))
    there = [trial.system_attrs.get("fixed_params") for trial in kept]
    for params in starts:
        if params not in there:
            study.enqueue_trial(params)


def _record(trial: Any) -> TrialRecord:
    times = {"began": trial.datetime_start.timestamp(), "ended": trial.datetime_complete.timestamp()}
    return TrialRecord(number=trial.number, params=dict(trial.params), **trial.user_attrs["found"], **times)
