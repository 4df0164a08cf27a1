"""Phases and trials of a fit as child runs, nested in the order of the work: fit, phase, trial.

MLflow opens, fills and ends a run in three calls of some ten milliseconds each: seconds for hundreds of trials. Where
the store is a database of ours, the first child goes through MLflow, and its row is the pattern by which all others go
into MLflow's own tables at once. A server gets its three calls a child, several under way.
"""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy
from mlflow.entities import Metric, Param
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

from pointsman.tracking.names import flat, key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pointsman.study import TrialRecord
    from pointsman.tracking.phases import PhaseTime
    from pointsman.tracking.store import Store

__all__ = ["Child", "log_children", "phase_children", "trial_children"]

AT_ONCE = 8
"""Requests under way to a server."""


@dataclass(frozen=True)
class Child:
    """A run below another one, over and done.

    Attributes
    ----------
    name : str
    began, ended : float
        Unix time, s.
    metrics : mapping of str to float
    params, tags : mapping of str to str
    """

    name: str
    began: float
    ended: float
    metrics: Mapping[str, float]
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def phase_children(phases: Sequence[PhaseTime], fit: str) -> list[Child]:
    """Return each phase, numbered in their order."""
    tags = {"kind": "phase", "fit": fit}
    return [
        Child(f"{number} {one.name}", one.began, one.ended, {"seconds": one.seconds}, tags=tags)
        for number, one in enumerate(phases, start=1)
    ]


def trial_children(trials: Sequence[TrialRecord], fit: str) -> list[Child]:
    """Return each trial: thresholds, objective, every constraint's value and slack (kept when ≤ 0)."""
    return [
        Child(
            f"trial {one.number:04d}",
            one.began,
            one.ended,
            dict(flat(_figures(one))),
            {key(name): str(value) for name, value in one.params.items()},
            {"kind": "trial", "fit": fit, "feasible": str(all(slack <= 0 for slack in one.constraints.values()))},
        )
        for one in trials
    ]


def log_children(store: Store, experiment_id: str, parent: str, children: Sequence[Child]) -> list[str]:
    """Log children of a run; return their ids, in the same order."""
    log = partial(_log_by_calls, store, experiment_id, parent)
    if store.remote:
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="pointsman-children") as pool:
            return list(pool.map(log, children))
    if not children:
        return []
    first, rest = log(children[0]), children[1:]
    try:
        return [first, *_insert(store, first, parent, rest)]
    except (ImportError, AttributeError, sqlalchemy.exc.SQLAlchemyError):
        # Another MLflow with other tables: nothing was written, and its calls are the same.
        return [first, *map(log, rest)]


def _log_by_calls(store: Store, experiment_id: str, parent: str, child: Child) -> str:
    tags = {MLFLOW_PARENT_RUN_ID: parent, **child.tags}
    run_id = str(store.client.create_run(experiment_id, _ms(child.began), tags, child.name).info.run_id)
    store.client.log_batch(
        run_id,
        metrics=[Metric(name, value, _ms(child.ended), 0) for name, value in child.metrics.items()],
        params=[Param(name, value) for name, value in child.params.items()],
    )
    store.client.set_terminated(run_id, end_time=_ms(child.ended))
    return run_id


def _insert(store: Store, first: str, parent: str, children: Sequence[Child]) -> list[str]:
    """Write children beside the first into MLflow's tables, in one transaction; return their ids."""
    from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric, SqlParam, SqlRun, SqlTag

    rows: dict[Any, list[dict[str, Any]]] = {SqlRun: [], SqlTag: [], SqlParam: [], SqlMetric: [], SqlLatestMetric: []}
    ids = [secrets.token_hex(16) for _ in children]
    engine = sqlalchemy.create_engine(store.uri)
    try:
        with engine.begin() as connection:
            pattern = connection.execute(sqlalchemy.select(SqlRun.__table__).filter_by(run_uuid=first)).mappings().one()
            for run_id, child in zip(ids, children, strict=True):
                place = str(pattern["artifact_uri"]).replace(first, run_id)
                times = {"start_time": _ms(child.began), "end_time": _ms(child.ended)}
                rows[SqlRun].append({**pattern, "run_uuid": run_id, "name": child.name, "artifact_uri": place, **times})
                tags = {MLFLOW_PARENT_RUN_ID: parent, MLFLOW_RUN_NAME: child.name, **child.tags}
                for table, values in ((SqlTag, tags), (SqlParam, child.params)):
                    rows[table] += [{"run_uuid": run_id, "key": name, "value": value} for name, value in values.items()]
                fixed = {"run_uuid": run_id, "timestamp": times["end_time"], "step": 0, "is_nan": False}
                figures = [{**fixed, "key": name, "value": value} for name, value in child.metrics.items()]
                rows[SqlMetric] += figures
                rows[SqlLatestMetric] += figures
            for table, entries in rows.items():
                if entries:
                    connection.execute(sqlalchemy.insert(table.__table__), entries)
    finally:
        engine.dispose()
    return ids


def _figures(trial: TrialRecord) -> Mapping[str, object]:
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
