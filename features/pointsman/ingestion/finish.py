"""The last pass: the parts of the exchange by time become one Parquet file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from pointsman.columns import COLUMNS
from pointsman.fingerprint import Fingerprint
from pointsman.ingestion.exchange import read_bucket, unified
from pointsman.ingestion.row_table import arrow_rows, pandas_rows
from pointsman.traces import ORDER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import pandas as pd

__all__ = ["rows_in_time_order", "write_in_time_order"]


def write_in_time_order(
    files: Sequence[Path],
    parts: int,
    out: Path,
    progress: Callable[[int, int], None],
) -> tuple[int, str]:
    """Write the parts of the exchange by time as one Parquet file, sorted by time, request and model.

    Parameters
    ----------
    files : sequence of Path
        Of the exchange.
    parts : int
        How many parts it has.
    out : Path
        The file appears complete or not at all.
    progress : callable
        Called with parts done and parts in all.

    Returns
    -------
    int, str
        Rows written, their fingerprint.
    """
    schema = unified([_empty(path) for path in files]).schema
    schema = pa.schema([field for field in schema if field.name in COLUMNS or not pa.types.is_null(field.type)])
    draft, count, whole = out.with_name(f"{out.name}.partial"), 0, Fingerprint()
    with pq.ParquetWriter(draft, schema, compression="zstd") as writer:
        for part in range(parts):
            table = read_bucket(files, part)
            if table is not None and len(table):
                rows = pandas_rows(table).sort_values(ORDER, kind="stable", ignore_index=True)
                writer.write_table(arrow_rows(rows).select(schema.names).cast(schema))
                whole.update(rows)
                count += len(rows)
            progress(part + 1, parts)
    draft.replace(out)
    return count, whole.hexdigest()


def _empty(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as stored:
        return stored.schema.empty_table()


def rows_in_time_order(path: Path) -> Iterator[tuple[pd.DataFrame, int, int]]:
    """Give the rows of a table that was written so, part by part, with the parts done and in all."""
    with pq.ParquetFile(path) as stored:
        for part in range(stored.num_row_groups):
            yield pandas_rows(stored.read_row_group(part)), part + 1, stored.num_row_groups
