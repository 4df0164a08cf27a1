"""The traces of a fit as an MLflow dataset: where they lie, their fingerprint, their time span; never a prompt."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from pointsman.traces import COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from pointsman.traces import TraceTable

__all__ = ["DIGEST", "dataset_input"]

DIGEST = 12
"""Characters of the fingerprint that MLflow shows; the whole one is in the profile, and a tag of the run."""

_TYPES = {"str": "string", "bool": "boolean", "float": "double", "int": "long", "datetime": "datetime"}


def dataset_input(traces: TraceTable, fingerprint: str, source: Path | None, context: str = "fit") -> DatasetInput:
    """Return the traces as what MLflow links to a run.

    Parameters
    ----------
    traces : TraceTable
    fingerprint : str
    source : Path or None
        The file; None where the table came from memory.
    context : str
        What the run uses it for.
    """
    rows = traces.rows
    profile = {
        "num_rows": len(rows),
        "rows_put_aside": len(traces.quarantine),
        "requests": int(rows["request_id"].nunique()),
        "models": int(rows["model"].nunique()),
        "first": _moment(rows["timestamp"].min()),
        "last": _moment(rows["timestamp"].max()),
        "fingerprint": fingerprint,
    }
    present = [name for name in COLUMNS if rows[name].notna().any()]
    schema = [{"name": name, "type": _kind(rows[name]), "required": bool(rows[name].notna().all())} for name in present]
    where = {"uri": source.resolve().as_uri() if source else "memory"}
    dataset = Dataset(
        name="traces" if source is None else source.stem,
        digest=fingerprint[:DIGEST],
        source_type="local",
        source=json.dumps(where),
        schema=json.dumps({"mlflow_colspec": schema}),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, context)])


def _moment(when: pd.Timestamp) -> str:
    return str(when.isoformat(timespec="seconds"))


def _kind(values: Any) -> str:
    name = str(values.dtype).lower()
    return next((kind for part, kind in _TYPES.items() if part in name), "string")
