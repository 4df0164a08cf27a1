"""The trace table (contract 1): reading it, validating it, and putting aside what cannot be used."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from pointsman.columns import COLUMNS, LINE, REASON, SOURCE_ROW, Column, absent, coerced, given, said
from pointsman.errors import TraceError
from pointsman.trace_files import READERS, refuse_disguise, whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from numpy.typing import NDArray

__all__ = [
    "COLUMNS",
    "ORDER",
    "Column",
    "Fingerprint",
    "TraceTable",
    "as_json",
    "check_columns",
    "checked_rows",
    "contradictions",
    "fingerprint",
    "read_traces",
    "validate_traces",
]

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
    raw, numbers = _flat(frame)
    broken = pd.DataFrame() if broken is None else broken
    if len(raw) == 0 and len(broken):
        table = TraceTable(pd.DataFrame(columns=list(COLUMNS)), broken.reset_index(drop=True), len(broken))
        raise _none_usable(table, source)
    if len(raw.columns):
        check_columns(list(raw.columns), source)
    if raw.empty:
        raise TraceError(f"{source}: the table is empty; at least one usable row is needed")
    rows, verdicts = _typed(raw)
    _put_aside_contradictions(rows, verdicts)
    usable = verdicts.usable
    table = TraceTable(
        rows=rows[usable].sort_values(ORDER, kind="stable", ignore_index=True),
        quarantine=_quarantine(raw[~usable], numbers[~usable], verdicts.reasons[~usable], broken),
        rows_in=len(raw) + len(broken),
    )
    if table.rows.empty:
        raise _none_usable(table, source)
    return table


def checked_rows(frame: pd.DataFrame, later: Collection[str] = ()) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Check each row of a part of a table by itself: the usable rows, typed, and those put aside (see `TraceTable`).

    The rows keep their order and gain the column ``source_row``; a required column that the part lacks is missing on
    all of its rows. Columns named in `later` may be missing: something else will tell them.
    """
    raw, numbers = _flat(frame)
    rows, verdicts = _typed(raw, later)
    usable = verdicts.usable
    aside = _quarantine(raw[~usable], numbers[~usable], verdicts.reasons[~usable], pd.DataFrame())
    return rows[usable].assign(**{SOURCE_ROW: numbers[usable]}).reset_index(drop=True), aside


def contradictions(rows: pd.DataFrame) -> NDArray[np.object_]:
    """Return, (n,), why each checked row contradicts an earlier row of its request; "" where it does not."""
    verdicts = _Verdicts(len(rows))
    _put_aside_contradictions(rows, verdicts)
    return verdicts.reasons


def _typed(raw: pd.DataFrame, later: Collection[str] = ()) -> tuple[pd.DataFrame, _Verdicts]:
    """Return every row with the contract's columns in their types, and the verdict on each."""
    columns = {name: coerced(raw[name], column) for name, column in COLUMNS.items() if name in raw}
    filled = {name: absent(len(raw), column) for name, column in COLUMNS.items() if name not in raw}
    extra = {name: raw[name] for name in raw.columns if name not in COLUMNS}
    typed = columns | filled
    rows = pd.DataFrame({**{name: typed[name] for name in COLUMNS}, **extra}, copy=False)
    verdicts = _Verdicts(len(raw))
    outside = _outside(rows[list(columns)])
    for name, column in COLUMNS.items():
        required = column.required and name not in later
        if name not in raw and not required:
            continue
        came = raw[name] if name in raw else rows[name]
        rule, missing = f"{name}: must be {column.rule()}", rows[name].isna().to_numpy(dtype=bool)
        unfit = missing if required else missing & given(came, missing)
        verdicts.put_aside(unfit | outside.get(name, False), rule, came)
    return rows, verdicts


class Fingerprint:
    """A SHA-256 over the contract's columns of a validated table, in any number of parts."""

    def __init__(self) -> None:
        self._digests = {name: (hashlib.sha256(), hashlib.sha256()) for name in COLUMNS}

    def update(self, rows: pd.DataFrame) -> None:
        """Take the next rows."""
        for name, (values, gaps) in self._digests.items():
            missing = rows[name].isna().to_numpy(dtype=bool)
            hashed = pd.util.hash_pandas_object(rows[name], index=False).to_numpy(dtype="<u8")
            values.update(np.where(missing, 0, hashed).tobytes())
            gaps.update(missing.tobytes())

    def hexdigest(self) -> str:
        """Return the fingerprint of all rows so far, order included."""
        whole = hashlib.sha256()
        for name, (values, gaps) in self._digests.items():
            whole.update(name.encode() + values.digest() + gaps.digest())
        return whole.hexdigest()


def fingerprint(rows: pd.DataFrame) -> str:
    """Return a hex SHA-256 over the contract's columns of a validated table (order of rows included)."""
    whole = Fingerprint()
    whole.update(rows)
    return whole.hexdigest()


class _Verdicts:
    """The first reason against each of n rows."""

    def __init__(self, count: int) -> None:
        self.usable = np.ones(count, dtype=bool)
        self.reasons = np.full(count, "", dtype=object)

    def put_aside(self, at: NDArray[np.bool_], rule: str, values: pd.Series) -> None:
        """Put aside those rows of a mask that are still usable, with the rule and their value."""
        rows = np.flatnonzero(at & self.usable)
        self.reasons[rows] = [f"{rule} (got {said(value)})" for value in values.iloc[rows].tolist()]
        self.usable[rows] = False


def _put_aside_contradictions(rows: pd.DataFrame, verdicts: _Verdicts) -> None:
    """Put aside usable rows that contradict an earlier usable row of their request."""
    at = np.flatnonzero(verdicts.usable)
    if not len(at):
        return
    request = pd.factorize(rows["request_id"].iloc[at])[0]
    model = pd.factorize(rows["model"].iloc[at])[0]
    again = np.zeros(len(rows), dtype=bool)
    again[at] = pd.Series(request * (int(model.max()) + 1) + model).duplicated().to_numpy()
    rule = "request_id, model: must be one row per request and model, the first is kept"
    verdicts.put_aside(again, rule, rows["request_id"] + ", " + rows["model"])

    _, heads = np.unique(request, return_index=True)
    first = at[heads][request]
    prompt = pd.factorize(rows["prompt"])[0]
    other = np.zeros(len(rows), dtype=bool)
    other[at] = prompt[at] != prompt[first]
    verdicts.put_aside(other, "prompt: must be that of the first row of its request_id", rows["prompt"])

    chosen = rows["chosen"].fillna(False).to_numpy(dtype=bool) & verdicts.usable
    twice = np.zeros(len(rows), dtype=bool)
    twice[np.flatnonzero(chosen)] = rows.loc[chosen, "request_id"].duplicated().to_numpy()
    said = "chosen: must be true on one row of a request_id, the first is kept"
    verdicts.put_aside(twice, said, rows["chosen"])


def _flat(frame: pd.DataFrame) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Return the rows with plain column names and positions, and their numbers in the source."""
    numbers = np.arange(1, len(frame) + 1, dtype=np.int64)
    if frame.index.names == [SOURCE_ROW] and pd.api.types.is_integer_dtype(frame.index):
        numbers = frame.index.to_numpy(dtype=np.int64)
    raw = frame.copy(deep=False)
    raw.columns = pd.Index([str(name) for name in frame.columns], dtype=object)
    index = raw.index.to_frame(index=False)
    raw = raw.reset_index(drop=True)
    for name in index.columns:
        if isinstance(name, str) and name != SOURCE_ROW and name not in raw.columns:
            raw[name] = index[name]
    return raw, numbers


def check_columns(columns: Sequence[str], source: str) -> None:
    """Raise TraceError where a required column is missing or a column stands twice."""
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    if repeated:
        raise TraceError(f"{source}: column {', '.join(map(repr, repeated))} stands there twice; once is allowed")
    missing = [name for name, column in COLUMNS.items() if column.required and name not in columns]
    if missing:
        have = ", ".join(columns[:12]) or "none"
        more = f" and {len(columns) - 12} more" if len(columns) > 12 else ""
        s = "s" * (len(missing) > 1)
        raise TraceError(f"{source}: missing column{s} {', '.join(missing)}; it has {have}{more}")


def _quarantine(
    aside: pd.DataFrame, numbers: NDArray[np.int64], reasons: NDArray[np.object_], broken: pd.DataFrame
) -> pd.DataFrame:
    taken, names = {SOURCE_ROW, REASON, LINE, *aside.columns}, {}
    for name in (SOURCE_ROW, REASON, LINE):
        if name in aside.columns:
            names[name] = f"given_{name}"
            while names[name] in taken:
                names[name] = f"given_{names[name]}"
            taken.add(names[name])
    aside = aside.rename(columns=names)
    aside[SOURCE_ROW] = numbers
    aside[REASON] = pd.Series(reasons, index=aside.index, dtype=object)
    if len(broken):
        aside = pd.concat([aside, broken], ignore_index=True) if len(aside) else broken
    return aside.sort_values(SOURCE_ROW, kind="stable", ignore_index=True)


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


@cache
def _schema() -> pa.DataFrameSchema:
    """Build the pandera schema of ranges and allowed values."""
    columns = {}
    for name, column in COLUMNS.items():
        checks = []
        if column.low is not None:
            checks.append(pa.Check.ge(column.low))
        if column.high is not None:
            checks.append(pa.Check.le(column.high))
        if column.allowed:
            checks.append(pa.Check.isin(column.allowed))
        columns[name] = pa.Column(checks=checks, nullable=True, required=False)
    return pa.DataFrameSchema(columns)


def _outside(rows: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
    """Return, by column, the mask of values outside their range or list."""
    try:
        _schema().validate(rows, lazy=True)
    except pa.errors.SchemaErrors as failure:
        outside = {}
        for name, cases in failure.failure_cases.dropna(subset=["index"]).groupby("column"):
            outside[str(name)] = np.zeros(len(rows), dtype=bool)
            outside[str(name)][cases["index"].to_numpy(dtype=np.int64)] = True
        return outside
    return {}
