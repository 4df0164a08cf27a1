"""Checked rows as an Arrow table and back: the contract's columns typed, further ones plain or as JSON text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from pointsman.columns import COLUMNS
from pointsman.traces import as_json

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["arrow_rows", "pandas_rows"]

_KINDS = {
    "text": pa.large_string(),
    "number": pa.float64(),
    "integer": pa.float64(),
    "flag": pa.bool_(),
    "time": pa.timestamp("us", "UTC"),
}
_MISSING_BESIDE = {
    pa.bool_(): pd.BooleanDtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.string(): pd.StringDtype(),
    pa.large_string(): pd.StringDtype(),
}


def arrow_rows(rows: pd.DataFrame) -> pa.Table:
    """Return rows as a table; further columns that Parquet cannot hold plainly become JSON text."""
    columns: dict[str, pa.Array] = {}
    for name in rows.columns:
        if name in COLUMNS:
            columns[str(name)] = pa.array(rows[name], _KINDS[COLUMNS[name].kind], from_pandas=True)
        else:
            columns[str(name)] = _further(rows[name])
    return pa.table(columns)


def _further(values: pd.Series) -> pa.Array:
    try:
        held = pa.array(values, from_pandas=True)
    except (pa.ArrowException, UnicodeError, ValueError, TypeError, OverflowError):
        return _texts(values.astype(object).tolist())
    return _texts(held.to_pylist()) if pa.types.is_nested(held.type) else held


def _texts(values: Sequence[Any]) -> pa.Array:
    texts = [as_json(value) for value in values]
    return pa.array(
        [one if one is None or isinstance(one, str) else json.dumps(one) for one in texts], pa.large_string()
    )


def pandas_rows(table: pa.Table) -> pd.DataFrame:
    """Return a table's rows with the types of checked ones."""
    frame: pd.DataFrame = table.to_pandas(types_mapper=_MISSING_BESIDE.get)
    return frame
