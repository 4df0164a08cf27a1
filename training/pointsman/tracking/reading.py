"""What a run of the store says: figures by name, artifacts, the bundle; nothing is written."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import yaml

from pointsman.manifest import MANIFEST
from pointsman.spec import parse_spec
from pointsman.tracking.recipe import Recipe
from pointsman.tracking.run import RECIPE, SPEC
from pointsman.tracking.store import TrackingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointsman.spec import RoutingSpec
    from pointsman.tracking.store import Store

__all__ = ["FitRun", "find_fit", "list_fits", "read_manifest_of", "read_recipe"]

SHORT = 8
"""Characters of a run id that are shown, and that are enough to name it."""


@dataclass(frozen=True)
class FitRun:
    """A fit as its run tells it.

    Attributes
    ----------
    run_id, name, status : str
        FINISHED, RUNNING, FAILED or KILLED.
    began : datetime
        UTC.
    metrics : dict of str to float
    params, tags : dict of str to str
        See `pointsman.tracking.names`.
    traces : str
        Name of the dataset.
    """

    run_id: str
    name: str
    status: str
    began: datetime
    metrics: dict[str, float]
    params: dict[str, str]
    tags: dict[str, str]
    traces: str

    @property
    def short(self) -> str:
        """The beginning of its id."""
        return self.run_id[:SHORT]

    @property
    def span(self) -> str:
        """Days from which its traces are, without the year; empty where it is not told."""
        first, last = (self.tags.get(f"data/{end}", "")[5:10] for end in ("first", "last"))
        return first if first == last else f"{first}…{last}"

    def to_dict(self) -> dict[str, Any]:
        """Return the run as plain JSON values, MLflow's own tags left out."""
        own = {name: value for name, value in self.tags.items() if not name.startswith("mlflow.")}
        fixed = {"run_id": self.run_id, "name": self.name, "status": self.status, "began": self.began.isoformat()}
        return {**fixed, "traces": self.traces, "metrics": self.metrics, "params": self.params, "tags": own}


def list_fits(store: Store, experiment: str | None, limit: int) -> list[FitRun]:
    """Return the newest fits of an experiment, or of all where none is named.

    Raises
    ------
    TrackingError
        Where the experiment does not exist, or the store cannot be read.
    """
    client = store.client
    if experiment is not None:
        ids = [store.experiment_id(experiment)]
    with store.telling("list runs"):
        if experiment is None:
            ids = [one.experiment_id for one in client.search_experiments()]
        order = ["attributes.start_time DESC"]
        return [
            _fit_run(one) for one in client.search_runs(ids, "tags.kind = 'fit'", max_results=limit, order_by=order)
        ]


def find_fit(store: Store, run_id: str, experiments: Sequence[str] = ()) -> FitRun:
    """Return the fit whose id is, or begins with, `run_id`; or whose name it is, where one run alone has it.

    Raises
    ------
    TrackingError
        Where there is none, several fit, or the run is no fit.
    """
    client = store.client
    with store.telling(f"run {run_id!r}"):
        ids = list(experiments) or [one.experiment_id for one in client.search_experiments()]
        found = client.search_runs(ids, "tags.kind = 'fit'", max_results=5000)
        by_id = [one for one in found if len(run_id) >= 4 and one.info.run_id.startswith(run_id.lower())]
        fitting = by_id or [one for one in found if one.info.run_name == run_id]
        if len(fitting) == 1:
            return _fit_run(fitting[0])
        if fitting:
            several = ", ".join(one.info.run_id[: SHORT + 4] for one in fitting[:8])
            raise TrackingError(f"run {run_id!r}: {len(fitting)} fits are called so: {several}; give more of the id")
        raise TrackingError(f"tracking store {store.shown}: no fit {run_id!r}; `pointsman runs` lists them")


def read_recipe(store: Store, run: FitRun) -> tuple[Recipe, RoutingSpec]:
    """Return what a fit was given.

    Raises
    ------
    TrackingError
        Where the run does not hold it.
    """
    recipe, spec = (_artifact(store, run, name) for name in (RECIPE, SPEC))
    if recipe is None or spec is None:
        raise TrackingError(f"run {run.short}: has no {RECIPE} and {SPEC}; fits of pointsman 0.1 before them had none")
    try:
        return Recipe.from_json(recipe), parse_spec(yaml.safe_load(spec), source=f"run {run.short}")
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise TrackingError(f"run {run.short}: its {RECIPE} or {SPEC} is damaged: {error}") from error


def read_manifest_of(store: Store, run: FitRun) -> dict[str, Any] | None:
    """Return the manifest of the bundle that a fit made; None where it did not come to that.

    Raises
    ------
    TrackingError
        Where it is damaged.
    """
    text = _artifact(store, run, f"bundle/{MANIFEST}")
    if text is None:
        return None
    try:
        manifest: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise TrackingError(f"run {run.short}: its {MANIFEST} is damaged: {error}") from error
    return manifest


def _artifact(store: Store, run: FitRun, name: str) -> str | None:
    with store.telling(f"run {run.short}, artifact {name}"), tempfile.TemporaryDirectory() as folder:
        parent = name.rpartition("/")[0]
        if name not in {entry.path for entry in store.client.list_artifacts(run.run_id, parent or None)}:
            return None
        fetched = {"run_id": run.run_id, "artifact_path": name, "dst_path": folder, "tracking_uri": store.uri}
        return Path(mlflow.artifacts.download_artifacts(**fetched)).read_text(encoding="utf-8")


def _fit_run(run: Any) -> FitRun:
    inputs = run.inputs.dataset_inputs if run.inputs else []
    return FitRun(
        run_id=str(run.info.run_id),
        name=str(run.info.run_name),
        status=str(run.info.status),
        began=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        metrics=dict(sorted(run.data.metrics.items())),
        params=dict(sorted(run.data.params.items())),
        tags=dict(run.data.tags),
        traces=str(inputs[0].dataset.name) if inputs else "",
    )
