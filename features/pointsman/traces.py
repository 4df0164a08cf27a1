"""The trace table (contract 1): reading it, validating it, and putting aside what cannot be used."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pointsman.columns import COLUMNS, REASON, SOURCE_ROW, Column
from pointsman.errors import TraceError
from pointsman.row_checks import check_columns, flat, put_aside_contradictions, quarantined, typed
from pointsman.trace_files import READERS, refuse_disguise, whole_file

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["COLUMNS", "ORDER", "Column", "TraceTable", "as_json", "read_traces", "validate_traces"]

ORDER = ["timestamp", "request_id", "model"]
"""What a trace table is sorted by."""


@dataclass(frozen=True)
class TraceTable:
    """A validated trace table and what was put aside on the way.

    Attributes
    ----------
    rows : pandas.DataFrame
        Usable rows with every column of the contract (absent ones all missing) and then the others as they came,
        sorted by time, request and model.
    quarantine : pandas.DataFrame
        Rows put aside, as they came, with ``source_row`` (the file's line; in Parquet the row, from 1) and ``reason``,
        in the order of the source. Unparsable lines stand whole under ``line``. A column of the source with one of
        these names is called ``given_…``.
    rows_in : int
        Rows read, broken lines included: ``len(rows) + len(quarantine)``. Blank lines are no rows.
    """

    rows: pd.DataFrame
    quarantine: pd.DataFrame
    rows_in: int

    @property
    def reasons(self) -> dict[str, int]:
        """Rows put aside by the rule they broke, most frequent first."""
        return dict(Counter(_rules(self.quarantine)).most_common())

    def write_quarantine(self, path: str | Path) -> Path | None:
        """Write the rows put aside as JSON lines; return the file, or None where nothing was put aside."""
        if self.quarantine.empty:
            return None
        names = [str(name) for name in self.quarantine.columns]
        cells = [self.quarantine[name].astype(object).tolist() for name in names]
        lines = (
            json.dumps({n: as_json(v) for n, v in zip(names, row, strict=True)}) for row in zip(*cells, strict=True)
        )

        def put(file: Path) -> None:
            with file.open("w", encoding="utf-8") as out:
                out.writelines(f"{line}\n" for line in lines)

        return _write(Path(path), put)

    def write(self, path: str | Path) -> Path:
        """Write the usable rows as Parquet; other columns whose cells Parquet cannot hold together become JSON text."""
        import pyarrow as arrow

        rows = self.rows.copy(deep=False)
        for name in rows.columns.difference(list(COLUMNS), sort=False):
            try:
                arrow.array(rows[name], from_pandas=True)
            except (arrow.ArrowException, UnicodeError, ValueError, TypeError, OverflowError):
                rows[name] = [json.dumps(as_json(value)) for value in rows[name].astype(object)]
        return _write(Path(path), lambda file: rows.to_parquet(file, index=False))


def read_traces(path: str | Path) -> TraceTable:
    """Read a trace table from Parquet, JSON lines or CSV (UTF-8, commas, one header line) and validate it.

    Lines that cannot be parsed join the quarantine. Where a quote of a CSV opens and does not close, only the line that
    opens it is put aside; reading goes on with the next.

    Raises
    ------
    TraceError
        Where the file cannot be read, a required column is missing, or no row is usable.
    """
    file = Path(path)
    if file.is_dir():
        raise TraceError(f"{file}: is a folder; a {', '.join(READERS)} file is needed")
    if not file.is_file():
        raise TraceError(f"{file}: no such file; a trace table (.parquet, .jsonl or .csv) is needed")
    if file.suffix.lower() not in READERS:
        raise TraceError(f"{file}: cannot tell the format from {file.suffix!r}; allowed: {', '.join(READERS)}")
    try:
        refuse_disguise(file)
        frame, broken = whole_file(file)
    except Exception as error:  # pyarrow raises a dozen unrelated kinds on a damaged file
        if isinstance(error, TraceError | MemoryError):
            raise
        reason = " ".join((getattr(error, "strerror", None) or str(error)).split()) or type(error).__name__
        raise TraceError(f"{file}: not a readable {file.suffix} table: {reason[:300]}") from error
    return validate_traces(frame, source=str(file), broken=broken)


def validate_traces(frame: pd.DataFrame, source: str = "traces", broken: pd.DataFrame | None = None) -> TraceTable:
    """Check every row against the contract; rows that break it are put aside with the rule and the bad value.

    Numbers, dates and flags written as text are read; numbers are taken as names; true and false count as 1 and 0 where
    0..1 is allowed. Put aside are also: a second row of the same request and model, a row whose prompt is not that of
    its request's first row, and a second row of one request with ``chosen`` true (production served one answer; which
    of several it was, cannot be told). «First» is by the order of the source, among the rows that are usable.

    Parameters
    ----------
    frame : pandas.DataFrame
        Rows as they came, any types. Columns beyond the contract are kept untouched; a named index becomes columns,
        except ``source_row``, which numbers the rows (without it: 1, 2, …).
    source : str
        Named in errors.
    broken : pandas.DataFrame, optional
        Lines that could not even be parsed (``source_row``, ``reason``, ``line``); they join the quarantine.

    Raises
    ------
    TraceError
        Where a required column is missing, a column stands twice, or no row is usable.
    """
    raw, numbers = flat(frame)
    broken = pd.DataFrame() if broken is None else broken
    if len(raw) == 0 and len(broken):
        table = TraceTable(pd.DataFrame(columns=list(COLUMNS)), broken.reset_index(drop=True), len(broken))
        raise _none_usable(table, source)
    if len(raw.columns):
        check_columns(list(raw.columns), source)
    if raw.empty:
        raise TraceError(f"{source}: the table is empty; at least one usable row is needed")
    rows, verdicts = typed(raw)
    put_aside_contradictions(rows, verdicts)
    usable = verdicts.usable
    table = TraceTable(
        rows=rows[usable].sort_values(ORDER, kind="stable", ignore_index=True),
        quarantine=quarantined(raw[~usable], numbers[~usable], verdicts.reasons[~usable], broken),
        rows_in=len(raw) + len(broken),
    )
    if table.rows.empty:
        raise _none_usable(table, source)
    return table


def _rules(quarantine: pd.DataFrame) -> list[str]:
    """Return the reasons without the bad values."""
    return [] if quarantine.empty else [str(reason).split(" (got ", 1)[0] for reason in quarantine[REASON]]


def _none_usable(table: TraceTable, source: str) -> TraceError:
    rule, count = next(iter(table.reasons.items()))
    first = table.quarantine.iloc[_rules(table.quarantine).index(rule)]
    often = f"most frequent reason ({count} of {table.rows_in} rows, first in row {first[SOURCE_ROW]})"
    return TraceError(f"{source}: none of {table.rows_in} rows is usable; {often}: {first[REASON]}")


def _write(file: Path, put: Callable[[Path], Any]) -> Path:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        put(file)
    except OSError as error:
        raise TraceError(f"{file}: cannot be written: {error.strerror or error}") from error
    return file


def as_json(value: Any) -> Any:
    """Return a cell as a JSON value that loses nothing a person would miss."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.ndarray | np.generic):
        return as_json(value.tolist())
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return None if value != value else value if np.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {str(key): as_json(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(one) for one in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value.isoformat() if isinstance(value, date) else str(value)
