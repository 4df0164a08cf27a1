"""Phases and trials of a fit as child runs, nested in the order of the work: fit, phase, trial."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from mlflow.entities import Metric, Param
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from pointsman.tracking.names import flat, key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pointsman.study import TrialRecord
    from pointsman.tracking.phases import PhaseTime
    from pointsman.tracking.store import Store

__all__ = ["log_phases", "log_trials"]

AT_ONCE = 8
"""Requests under way to a server; a local database takes one writer."""


def log_phases(store: Store, experiment_id: str, fit: str, phases: Sequence[PhaseTime]) -> dict[str, str]:
    """Log each phase as a child of its fit, with its beginning and end; return run ids by phase."""
    ids = {}
    for number, phase in enumerate(phases, start=1):
        tags = {MLFLOW_PARENT_RUN_ID: fit, "kind": "phase", "fit": fit}
        run = store.client.create_run(experiment_id, _ms(phase.began), tags, f"{number} {phase.name}")
        ids[phase.name] = str(run.info.run_id)
        metric = Metric("seconds", phase.seconds, _ms(phase.ended), 0)
        store.client.log_batch(ids[phase.name], metrics=[metric])
        store.client.set_terminated(ids[phase.name], end_time=_ms(phase.ended))
    return ids


def log_trials(store: Store, experiment_id: str, fit: str, parent: str, trials: Sequence[TrialRecord]) -> None:
    """Log each trial as a child of a phase: thresholds, objective, every constraint's slack (kept when ≤ 0)."""
    log = partial(_log_trial, store, experiment_id, fit, parent)
    if not store.remote:
        for trial in trials:
            log(trial)
        return
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="pointsman-trials") as pool:
        list(pool.map(log, trials))


def _log_trial(store: Store, experiment_id: str, fit: str, parent: str, trial: TrialRecord) -> None:
    feasible = all(slack <= 0 for slack in trial.constraints.values())
    tags = {MLFLOW_PARENT_RUN_ID: parent, "kind": "trial", "fit": fit, "feasible": str(feasible)}
    run = store.client.create_run(experiment_id, _ms(trial.began), tags, f"trial {trial.number:04d}")
    values = dict(flat(_values(trial)))
    store.client.log_batch(
        run.info.run_id,
        metrics=[Metric(name, value, _ms(trial.ended), 0) for name, value in values.items()],
        params=[Param(key(name), str(value)) for name, value in trial.params.items()],
    )
    store.client.set_terminated(run.info.run_id, end_time=_ms(trial.ended))


def _values(trial: TrialRecord) -> Mapping[str, object]:
    return {
        "cost_per_useful": trial.cost_per_useful,
        "useful_rate": trial.useful_rate,
        "late_share": trial.late_share,
        "slack": trial.constraints,
        "value": trial.values,
    }


def _ms(seconds: float) -> int:
    """Return a Unix time as MLflow takes it."""
    return int(1000 * seconds)
