"""The parent run of a fit: what it was given before it begins, what it found once it is done."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking.context.registry import resolve_tags

from pointsman.bundle import load_bundle
from pointsman.manifest import MANIFEST, MODEL
from pointsman.pictures import cost_and_usefulness
from pointsman.reliability_picture import reliability_picture
from pointsman.reporting.make import bundle_page
from pointsman.tables import metric_table
from pointsman.tracking.children import log_children, phase_children, trial_children
from pointsman.tracking.data import dataset_input
from pointsman.tracking.figures import fit_metrics, fit_params, rule_params, trial_counts
from pointsman.tracking.flavour import log_bundle
from pointsman.tracking.registry import bundle_tags
from pointsman.tracking.store import DEFAULT_EXPERIMENT, Store, TrackingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pointsman.bundle import Bundle
    from pointsman.fit import FitResult
    from pointsman.spec import RoutingSpec
    from pointsman.traces import TraceTable
    from pointsman.tracking.phases import PhaseTime
    from pointsman.tracking.recipe import Recipe

__all__ = ["RECIPE", "SPEC", "Tracker"]

SPEC, RECIPE = "spec.yaml", "recipe.json"
"""Artifacts that a fit can be run again from."""

BATCH = 100
"""Parameters and tags that MLflow takes at once."""


class Tracker:
    """Logs fits to an experiment of an MLflow store; checked at once, so that no fit is in vain.

    Parameters
    ----------
    uri : str, optional
        See `Store`.
    experiment : str
        Created where it does not exist; artifacts of a local store go beside its database.

    Raises
    ------
    TrackingError
        Where the store cannot be used.
    """

    def __init__(self, uri: str | None = None, experiment: str = DEFAULT_EXPERIMENT) -> None:
        self.store = Store(uri)
        self.experiment = experiment
        self.experiment_id = self.store.experiment_id(experiment, create=True)

    @property
    def uri(self) -> str:
        """Of the store."""
        return self.store.uri

    @contextmanager
    def run(
        self, name: str, spec: RoutingSpec, traces: TraceTable, recipe: Recipe, tags: Mapping[str, str] | None = None
    ) -> Iterator[str]:
        """Open the parent run of a fit and yield its id; it ends as FAILED where the fit raises, KILLED where stopped.

        Parameters
        ----------
        name : str
            Of the run.
        spec : RoutingSpec
        traces : TraceTable
        recipe : Recipe
            What the fit is given.
        tags : mapping of str to str, optional
            More to tell it by.
        """
        client = self.store.client
        own = {**resolve_tags(), "kind": "fit", "pointsman": importlib.metadata.version("pointsman")}
        with self.store.telling("open a run"), tempfile.TemporaryDirectory() as folder:
            run_id = str(client.create_run(self.experiment_id, tags={**own, **(tags or {})}, run_name=name).info.run_id)
            self._log(run_id, params=fit_params(spec, recipe), tags={"data/fingerprint": recipe.fingerprint})
            source = None if recipe.traces is None else Path(recipe.traces)
            client.log_inputs(run_id, [dataset_input(traces, recipe.fingerprint, source)])
            (Path(folder) / SPEC).write_text(spec.to_yaml(), encoding="utf-8")
            (Path(folder) / RECIPE).write_text(recipe.to_json(), encoding="utf-8")
            client.log_artifacts(run_id, folder)
        try:
            yield run_id
        except BaseException as error:
            stopped = not isinstance(error, Exception)
            with suppress(TrackingError), self.store.telling():
                if not stopped:
                    client.set_tag(run_id, "error", " ".join(str(error).split())[:500] or type(error).__name__)
                client.set_terminated(run_id, "KILLED" if stopped else "FAILED")
            raise
        with self.store.telling("end the run"):
            client.set_terminated(run_id)

    def log(self, result: FitResult, run_id: str, phases: Sequence[PhaseTime] = ()) -> None:
        """Log what a fit found to its open run: figures, note, pictures, the bundle as a model, phases and trials.

        Raises
        ------
        TrackingError
            Where the store does not take it.
        """
        report, bundle = result.report, load_bundle(result.bundle)
        told = {
            **bundle_tags(bundle),
            "holds": str(result.holds),
            "standing": _standing(report),
            **{f"data/{name}": str(result.data[name]) for name in ("first", "last", "certify_from")},
        }
        counts = trial_counts(result.search.trials)
        metrics = {**fit_metrics(result), **counts, **{f"seconds/{one.name}": one.seconds for one in phases}}
        metrics["seconds/fit"] = sum(one.seconds for one in phases)
        model_id = log_bundle(self.store, bundle, self.experiment_id, run_id, {}, told)
        with self.store.telling("log the fit"), tempfile.TemporaryDirectory() as folder:
            note = f"{report['verdict']}\n\n{metric_table(report)}"
            self._log(run_id, metrics, rule_params(result.policy.rule.to_dict()), told, model_id)
            self.store.client.set_tag(run_id, "mlflow.note.content", note)
            self._write_artifacts(result, bundle, Path(folder))
            self.store.client.log_artifacts(run_id, folder)
            ids = log_children(self.store, self.experiment_id, run_id, phase_children(phases, run_id))
            search = {one.name: phase_id for one, phase_id in zip(phases, ids, strict=True)}.get("tune", run_id)
            trials = trial_children(result.search.trials, run_id)
            log_children(self.store, self.experiment_id, search, trials)

    def _write_artifacts(self, result: FitResult, bundle: Bundle, folder: Path) -> None:
        """Write what a person opens in the run's page: the report, pictures, and the bundle but for its graph."""
        (folder / "report.json").write_text(json.dumps(result.report, indent=2) + "\n", encoding="utf-8")
        (folder / "report.md").write_text(metric_table(result.report) + "\n", encoding="utf-8")
        (folder / "report.html").write_text(bundle_page(bundle, result.report), encoding="utf-8")
        cost_and_usefulness(result.report, folder / "cost_and_usefulness.png")
        (folder / "classifier.json").write_text(json.dumps(result.evaluation, indent=2) + "\n", encoding="utf-8")
        reliability_picture(result.evaluation, folder / "reliability.png")
        (folder / "bundle").mkdir()
        for name in (MANIFEST, *bundle.manifest["files"]):
            if name != MODEL:
                shutil.copyfile(bundle.path / name, folder / "bundle" / name)

    def _log(
        self,
        run_id: str,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        model_id: str | None = None,
    ) -> None:
        """Log in as few calls as MLflow allows."""
        now = int(1000 * time.time())
        values = [Metric(name, value, now, 0, model_id=model_id) for name, value in (metrics or {}).items()]
        said = [Param(name, str(value)) for name, value in (params or {}).items()]
        marks = [RunTag(name, value) for name, value in (tags or {}).items()]
        for start in range(0, max(len(said), len(marks), 1), BATCH):
            end = start + BATCH
            self.store.client.log_batch(run_id, values if start == 0 else (), said[start:end], marks[start:end])


def _standing(report: Mapping[str, Any]) -> str:
    """Return how the policy stands against the content-blind baselines, the worst of them."""
    stands = [entry["stands"] for entry in report["against"].values()]
    return next((word for word in ("behind", "level") if word in stands), "ahead" if stands else "")
