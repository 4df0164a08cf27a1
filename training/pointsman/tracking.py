"""MLflow: one parent run a fit, its trials as children, data, metrics with intervals, pictures, the ONNX model."""

from __future__ import annotations

import logging
import os
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import onnx
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import Metric, Param, RunTag
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from pointsman.pictures import cost_and_usefulness
from pointsman.tables import metric_table

if TYPE_CHECKING:
    from pointsman.fit import FitOptions, FitResult
    from pointsman.spec import RoutingSpec
    from pointsman.study import TrialRecord
    from pointsman.traces import TraceTable

__all__ = ["Tracker"]

DEFAULT_STORE = "sqlite:///mlflow.db"


class Tracker:
    """Logs fits to an MLflow store.

    Parameters
    ----------
    uri : str, optional
        Tracking URI; None for ``MLFLOW_TRACKING_URI``, else ``sqlite:///mlflow.db`` in the working folder.
    experiment : str
        Created where it does not exist; artifacts of a local store go beside its database.
    """

    def __init__(self, uri: str | None = None, experiment: str = "pointsman") -> None:
        self.uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE
        with _quiet():
            mlflow.set_tracking_uri(self.uri)
            self.client = mlflow.MlflowClient(self.uri)
            found = self.client.get_experiment_by_name(experiment)
            self.experiment_id = self._create(experiment) if found is None else found.experiment_id

    def _create(self, experiment: str) -> str:
        if self.uri.startswith("sqlite:///"):
            folder = Path(self.uri.removeprefix("sqlite:///")).resolve().parent / "mlartifacts"
            return str(self.client.create_experiment(experiment, artifact_location=folder.as_uri()))
        return str(self.client.create_experiment(experiment))

    @contextmanager
    def run(self, name: str, spec: RoutingSpec, traces: TraceTable, options: FitOptions, encoder: str) -> Iterator[str]:
        """Open the parent run of a fit and yield its id; it ends as FAILED where the fit raises."""
        with _quiet(), mlflow.start_run(experiment_id=self.experiment_id, run_name=name) as run:
            constraints = spec.constraints.model_dump(exclude_none=True)
            mlflow.log_params(
                {
                    "encoder": encoder,
                    "trials": options.trials,
                    "seed": options.seed,
                    "baseline": spec.baseline,
                    "safe_model": spec.safe_model,
                    "candidates": ", ".join(spec.candidates),
                    **{f"constraints.{key}": value for key, value in constraints.items()},
                }
            )
            mlflow.log_text(spec.to_yaml(), "spec.yaml")
            # The prompts stay where they are: no text of the traces reaches the store.
            data = from_pandas(
                traces.rows.drop(columns=["prompt"]).convert_dtypes(dtype_backend="numpy_nullable"), name=name
            )
            mlflow.log_input(data, context="fit")
            yield run.info.run_id

    def log(self, result: FitResult, run_id: str) -> None:
        """Log what a fit found to its open run."""
        with _quiet(), tempfile.TemporaryDirectory() as folder:
            mlflow.log_metrics(_metrics(result))
            mlflow.log_params({f"rule.{key}": value for key, value in _flat(result.policy.rule.to_dict()).items()})
            note = f"{result.report['verdict']}\n\n{metric_table(result.report)}"
            mlflow.set_tag("mlflow.note.content", note)
            mlflow.set_tags(
                {"verdict": result.report["verdict"], "holds": str(result.holds), **_data_tags(result.data)}
            )
            mlflow.log_dict(result.report, "report.json")
            mlflow.log_text(metric_table(result.report) + "\n", "report.md")
            mlflow.log_artifact(str(cost_and_usefulness(result.report, Path(folder) / "cost_and_usefulness.png")))
            for name in ("policy.json", "manifest.json", "MODEL_CARD.md", "conformance.jsonl", "tokenizer.json"):
                mlflow.log_artifact(str(result.bundle / name), "bundle")
            self._log_model(result)
            self._log_trials(result.search.trials, run_id)

    def _log_model(self, result: FitResult) -> None:
        """Log the ONNX graph with its signature."""
        model = onnx.load(str(result.bundle / "model.onnx"))
        signature = ModelSignature(
            inputs=Schema([TensorSpec(_INT64, (-1, -1), "input_ids"), TensorSpec(_INT64, (-1, -1), "attention_mask")]),
            outputs=Schema([TensorSpec(_FLOAT32, (-1, _width(output)), output.name) for output in model.graph.output]),
        )
        mlflow.onnx.log_model(
            model,
            name="model",
            signature=signature,
            pip_requirements=["onnxruntime", "numpy"],
            onnx_execution_providers=["CPUExecutionProvider"],
            save_as_external_data=False,
        )

    def _log_trials(self, trials: Sequence[TrialRecord], parent: str) -> None:
        """Log each trial as a child run: thresholds, objective, every constraint's slack (feasible when ≤ 0)."""
        for trial in trials:
            now = int(time.time() * 1000)
            tags = {MLFLOW_PARENT_RUN_ID: parent, "mlflow.runName": f"trial-{trial.number:04d}"}
            child = self.client.create_run(self.experiment_id, tags=tags)
            values = {
                "cost_per_useful": trial.cost_per_useful,
                "useful_rate": trial.useful_rate,
                "late_share": trial.late_share,
                **{f"slack.{name}": slack for name, slack in trial.constraints.items()},
            }
            feasible = all(slack <= 0 for slack in trial.constraints.values())
            self.client.log_batch(
                child.info.run_id,
                metrics=[Metric(name, value, now, 0) for name, value in values.items()],
                params=[Param(_name(key), str(value)) for key, value in trial.params.items()],
                tags=[RunTag("feasible", str(feasible))],
            )
            self.client.set_terminated(child.info.run_id)


_INT64, _FLOAT32 = np.dtype(np.int64), np.dtype(np.float32)


def _metrics(result: FitResult) -> dict[str, float]:
    report = result.report
    parts = {key: report[key] for key in ("before", "after", "baselines", "change")}
    flat = _flat({**parts, "classifier": _classifier(result.evaluation)})
    flat |= {
        f"constraint.{one['name']}.{key}": one[key]
        for one in report["constraints"]
        for key in ("value", "bound", "limit")
    }
    flat |= _flat({"dual": result.dual})
    if result.certificate is not None:
        flat |= {
            f"certificate.{one.name}.{key}": getattr(one, key)
            for one in result.certificate.promises
            for key in ("value", "bound", "next_bound", "limit")
        }
        flat |= {
            "certificate.requests": result.certificate.requests,
            "certificate.certified": int(result.certificate.certified),
        }
    return {
        key: float(value)
        for key, value in flat.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _classifier(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    named = {key: evaluation[key] for key in ("useful", "needed_compute")}
    if evaluation["intent"] is not None:
        named["intent"] = {key: value for key, value in evaluation["intent"].items() if key != "intents"}
    return {key: _intervals(value) for key, value in named.items()}


def _intervals(value: Any) -> Any:
    """Spell ``[value, low, high]`` out as names."""
    if isinstance(value, Mapping):
        return {key: _intervals(one) for key, one in value.items()}
    if isinstance(value, list):
        return dict(zip(("value", "low", "high"), value, strict=True))
    return value


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in document.items():
        name = f"{prefix}{_name(str(key))}"
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def _name(key: str) -> str:
    """Return a key as MLflow allows it in names."""
    return "".join(char if char.isalnum() or char in "_-. /" else "." for char in key)


def _width(output: Any) -> int:
    """Return how wide an output of the ONNX graph is."""
    return int(output.type.tensor_type.shape.dim[1].dim_value)


def _data_tags(data: Mapping[str, Any]) -> dict[str, str]:
    return {f"data.{key}": str(value) for key, value in data.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' notices off the terminal."""
    levels = {name: logging.getLogger(name).level for name in ("mlflow", "alembic")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
