"""A bundle as an MLflow model: ``python_function`` routes text, ``onnx`` reads the graph; one copy of the files.

Logged straight from the bundle's folder: its hundred megabytes travel once.
"""

from __future__ import annotations

import importlib.metadata
import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow.onnx
import mlflow.pyfunc
import onnx
import pandas as pd
from mlflow.entities import LoggedModelOutput
from mlflow.models import Model, ModelSignature
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.models.utils import _save_example
from mlflow.types.schema import Array, ColSpec, DataType, Schema, TensorSpec

from pointsman.manifest import MODEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointsman.bundle import Bundle
    from pointsman.tracking.store import Store

__all__ = ["FOLDER", "LOADER", "MODEL_NAME", "graph_signature", "log_bundle", "text_signature"]

MODEL_NAME = "router"
"""Of the logged model in its run."""
FOLDER = "bundle"
"""Where the bundle lies among the files of a logged model."""
LOADER = "pointsman.mlflow_router"

_EXAMPLE = pd.DataFrame(
    {
        "prompt": ["opening hours of the museum on sunday?", "compare these two contracts and recommend one"],
        "modality": ["text", "text"],
        "context_tokens": [0.0, 12_000.0],
    }
)
"""Our own words: no prompt of the traces is an example."""


def text_signature() -> ModelSignature:
    """Return what goes in and out where text is routed."""
    text, number, whole = DataType.string, DataType.double, DataType.long
    inputs: list[ColSpec | TensorSpec] = [ColSpec(text, "prompt"), ColSpec(text, "modality", required=False)]
    # A double: pandas has no whole number for «not told».
    inputs += [ColSpec(number, "context_tokens", required=False)]
    outputs: list[ColSpec | TensorSpec] = [ColSpec(text, "model"), ColSpec(text, "intent", required=False)]
    outputs += [ColSpec(whole, "tier")]
    optional = ("confidence", "p_useful", "expected_cost_usd")
    outputs += [ColSpec(number, name, required=False) for name in optional]
    outputs += [ColSpec(Array(text), "fallbacks"), ColSpec(number, "timeout_ms", required=False)]
    outputs += [ColSpec(text, name) for name in ("reason", "version")]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))


def graph_signature(graph: Path) -> ModelSignature:
    """Return the tensors that go in and out of an ONNX graph; -1 for a dimension that varies."""
    parts = onnx.load(str(graph), load_external_data=False).graph
    return ModelSignature(
        inputs=Schema([_tensor(value) for value in parts.input]),
        outputs=Schema([_tensor(value) for value in parts.output]),
    )


def log_bundle(
    store: Store, bundle: Bundle, experiment_id: str, run_id: str, params: Mapping[str, str], tags: Mapping[str, str]
) -> str:
    """Log a bundle as the model of a run and return the model's id.

    Parameters
    ----------
    store : Store
    bundle : Bundle
    experiment_id, run_id : str
    params, tags : mapping of str to str
        Shown beside the model.

    Raises
    ------
    TrackingError
        Where the store does not take it.
    """
    with store.telling("log the model"), tempfile.TemporaryDirectory() as folder:
        logged = store.client.create_logged_model(
            experiment_id, MODEL_NAME, run_id, dict(tags), dict(params), model_type="pointsman"
        )
        _describe(Path(folder), bundle, logged, run_id)
        store.client.log_model_artifacts(logged.model_id, folder)
        store.client.log_model_artifacts(logged.model_id, str(bundle.path), FOLDER)
        store.client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        store.client.finalize_logged_model(logged.model_id, "READY")
        return str(logged.model_id)


def _describe(folder: Path, bundle: Bundle, logged: Any, run_id: str) -> None:
    """Write what MLflow wants beside the bundle: MLmodel, the example, what to install."""
    version = importlib.metadata.version
    model = Model(
        artifact_path=logged.artifact_location,
        model_uuid=logged.model_id,
        model_id=logged.model_id,
        run_id=run_id,
        signature=text_signature(),
        metadata={
            "graph_signature": graph_signature(bundle.path / MODEL).to_dict(),
            "bundle_sha256": bundle.manifest["sha256"],
        },
    )
    _save_example(model, _EXAMPLE, str(folder))
    mlflow.pyfunc.add_to_model(model, LOADER, data=FOLDER, python_env="python_env.yaml")
    providers = ["CPUExecutionProvider"]
    graph = f"{FOLDER}/{MODEL}"
    model.add_flavor("onnx", onnx_version=onnx.__version__, data=graph, providers=providers, onnx_session_options=None)
    model.model_size_bytes = sum(entry["bytes"] for entry in bundle.manifest["files"].values())
    model.save(str(folder / MLMODEL_FILE_NAME))
    needed = [f"mlflow=={version('mlflow')}", f"pandas=={version('pandas')}", f"pointsman=={version('pointsman')}"]
    (folder / "requirements.txt").write_text("\n".join(needed) + "\n", encoding="utf-8")
    environment = f"python: {platform.python_version()}\ndependencies: [-r requirements.txt]\n"
    (folder / "python_env.yaml").write_text(environment, encoding="utf-8")


def _tensor(value: Any) -> TensorSpec:
    kind = value.type.tensor_type
    shape = [one.dim_value if one.HasField("dim_value") else -1 for one in kind.shape.dim]
    return TensorSpec(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type), tuple(shape), value.name)
