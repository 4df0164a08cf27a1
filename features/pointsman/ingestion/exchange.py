"""The exchange: rows written by bucket to files of their own, then read back bucket by bucket (a shuffle on disk).

Each file is an Arrow file of as many record batches as there are buckets, in their order. Files may differ in their
further columns: where the types of one name cannot be brought together, its values become JSON text.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["bucket_of", "read_bucket", "read_columns", "unified", "write_buckets"]

_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


def bucket_of(keys: pd.Series, buckets: int) -> NDArray[np.intp]:
    """Return the bucket of each key by its hash, (n,); the same on every machine."""
    hashed = pd.util.hash_array(keys.astype(object).to_numpy(), categorize=False)
    return (hashed % np.uint64(buckets)).astype(np.intp)


def write_buckets(path: Path, table: pa.Table, bucket: NDArray[np.intp], buckets: int) -> None:
    """Write rows by bucket, in their order within each; the file appears complete or not at all."""
    table = table.combine_chunks()
    order = np.argsort(bucket, kind="stable")
    ends = np.searchsorted(bucket[order], np.arange(buckets + 1))
    sorted_table = table.take(pa.array(order))
    draft = path.with_suffix(".partial")
    with pa.OSFile(str(draft), "wb") as sink, pa.ipc.new_file(sink, table.schema, options=_OPTIONS) as writer:
        for start, stop in pairwise(ends.tolist()):
            part = sorted_table.slice(start, stop - start).combine_chunks()
            batches = part.to_batches()
            writer.write_batch(batches[0] if batches else pa.RecordBatch.from_pylist([], table.schema))
    draft.replace(path)


def read_bucket(paths: Sequence[Path], bucket: int) -> pa.Table | None:
    """Return one bucket's rows of all files, in the order of the files; None where there is no file."""
    tables = []
    for path in paths:
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as stored:
            tables.append(pa.Table.from_batches([stored.get_batch(bucket)]))
    return unified(tables) if tables else None


def read_columns(path: Path, names: Sequence[str]) -> Iterator[tuple[list[Any], ...]]:
    """Give some columns of a file, bucket by bucket."""
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as stored:
        for index in range(stored.num_record_batches):
            batch = stored.get_batch(index)
            yield tuple(batch.column(name).to_pylist() for name in names)


def unified(tables: Sequence[pa.Table]) -> pa.Table:
    """Put tables one under the other; a column that one lacks is missing there."""
    types: dict[str, list[pa.DataType]] = {}
    for table in tables:
        for field in table.schema:
            seen = types.setdefault(field.name, [])
            if not pa.types.is_null(field.type) and field.type not in seen:
                seen.append(field.type)
    wanted = {name: _common(seen) for name, seen in types.items()}
    columns = {
        name: pa.chunked_array(
            [chunk for table in tables for chunk in _as(table, name, kind).chunks],
            type=kind,
        )
        for name, kind in wanted.items()
    }
    return pa.table(columns)


def _common(types: Sequence[pa.DataType]) -> pa.DataType:
    """Return the type that holds the values of all; text where there is none."""
    if not types:
        return pa.null()
    if len(types) == 1:
        return types[0]
    if all(pa.types.is_integer(kind) for kind in types):
        return pa.int64()
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in types):
        return pa.float64()
    return pa.string()


def _as(table: pa.Table, name: str, kind: pa.DataType) -> pa.ChunkedArray:
    if name not in table.column_names:
        return pa.chunked_array([pa.nulls(len(table), kind)])
    column = table[name]
    if column.type == kind:
        return column
    try:
        return column.cast(kind)
    except pa.ArrowException:
        return pa.chunked_array([pa.array([_json(value) for value in column.to_pylist()], pa.string())])


def _json(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, default=str)
