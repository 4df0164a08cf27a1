"""The trace table (contract 1): its columns, reading it, validating it, and putting aside what cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from pointsman.errors import TraceError

__all__ = ["COLUMNS", "Column", "TraceTable", "fingerprint", "read_traces", "validate_traces"]

REASON = "reason"
SOURCE_ROW = "source_row"


@dataclass(frozen=True)
class Column:
    """One column of the trace table.

    Attributes
    ----------
    kind : str
        ``text``, ``number``, ``integer``, ``flag`` or ``time``.
    required : bool
        Whether a table without the column, or a row without its value, is unusable.
    low, high : float or None
        Allowed range of a number, bounds included.
    allowed : tuple of str
        Allowed values of a text column; empty for any text.
    meaning : str
        What the column holds, with its unit.
    """

    kind: str
    meaning: str
    required: bool = False
    low: float | None = None
    high: float | None = None
    allowed: tuple[str, ...] = ()

    def rule(self) -> str:
        """Say in words what a value of this column must be."""
        words = {"text": "a text", "number": "a finite number", "integer": "a whole number", "flag": "true or false"}
        text = words.get(self.kind, "a date with time (ISO 8601; UTC where no zone is given)")
        if self.allowed:
            text = "one of " + ", ".join(self.allowed)
        if self.low is not None:
            text += f" of at least {self.low:g}"
        if self.high is not None:
            text += f" and at most {self.high:g}"
        return text


COLUMNS: dict[str, Column] = {
    "request_id": Column("text", "identifies the request; rows of several models share it", required=True),
    "timestamp": Column("time", "arrival of the request, UTC", required=True),
    "prompt": Column("text", "what the classifier sees at routing time", required=True),
    "model": Column("text", "the candidate that answered", required=True),
    "latency_ms": Column("number", "end to end as the user felt it, ms, retries and connectors included", True, low=0),
    "useful": Column("number", "did this response serve the user, 0..1 (missing: not labelled)", low=0, high=1),
    "input_tokens": Column("integer", "tokens the model read", low=0),
    "output_tokens": Column("integer", "tokens the model wrote", low=0),
    "cost_usd": Column("number", "this answer's model cost, USD; else priced from tokens by the spec", low=0),
    "retries": Column("integer", "attempts beyond the first", low=0),
    "retry_cost_usd": Column("number", "cost of those attempts, USD", low=0),
    "retrieval_cost_usd": Column("number", "cost of retrieval for this answer, USD", low=0),
    "connector_cost_usd": Column("number", "cost of connectors and tools for this answer, USD", low=0),
    "status": Column("text", "ok, timeout, error, or the source's own word"),
    "hallucinated": Column("flag", "the answer asserts what its sources do not carry"),
    "intent": Column("text", "what the user wanted"),
    "modality": Column("text", "what the request carries (missing: text)", allowed=("text", "image", "audio")),
    "context_tokens": Column("integer", "history and documents beyond the prompt", low=0),
    "chosen": Column("flag", "production really served this row"),
    "propensity": Column("number", "probability with which production chose it", low=0, high=1),
}

_TRUE = {"true", "1", "1.0", "yes", "t"}
_FALSE = {"false", "0", "0.0", "no", "f"}


@dataclass(frozen=True)
class TraceTable:
    """A validated trace table and what was put aside on the way.

    Attributes
    ----------
    rows : pandas.DataFrame
        Usable rows with every column of the contract (absent ones all missing), sorted by time and request.
    quarantine : pandas.DataFrame
        Rows put aside, as they came, with ``source_row`` and ``reason``.
    rows_in : int
        Rows read, broken lines included: ``len(rows) + len(quarantine)``.
    """

    rows: pd.DataFrame
    quarantine: pd.DataFrame
    rows_in: int

    @property
    def reasons(self) -> dict[str, int]:
        """Rows put aside by the rule they broke, most frequent first."""
        if self.quarantine.empty:
            return {}
        rules = self.quarantine[REASON].str.replace(r" \(got .*\)$", "", regex=True)
        return {str(rule): int(count) for rule, count in rules.value_counts().items()}

    def write_quarantine(self, path: str | Path) -> Path | None:
        """Write the rows put aside as JSON lines; return the file, or None where nothing was put aside."""
        if self.quarantine.empty:
            return None
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        self.quarantine.to_json(file, orient="records", lines=True, date_format="iso", force_ascii=True)
        return file

    def write(self, path: str | Path) -> Path:
        """Write the usable rows as Parquet."""
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        self.rows.to_parquet(file, index=False)
        return file


def read_traces(path: str | Path) -> TraceTable:
    """Read a trace table from Parquet, JSON lines or CSV and validate it.

    Raises
    ------
    TraceError
        Where the file cannot be read, a required column is missing, or no row is usable.
    """
    file = Path(path)
    if not file.is_file():
        raise TraceError(f"{file}: no such file; --traces takes a .parquet, .jsonl or .csv trace table")
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise TraceError(f"{file}: cannot tell the format from {file.suffix!r}; allowed: {', '.join(_READERS)}")
    try:
        frame, broken = reader(file)
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise TraceError(f"{file}: not a readable {file.suffix} table: {str(error).splitlines()[0]}") from error
    return validate_traces(frame, source=str(file), broken=broken)


def validate_traces(frame: pd.DataFrame, source: str = "traces", broken: pd.DataFrame | None = None) -> TraceTable:
    """Check every row against the contract; rows that break it are put aside with the rule and the bad value.

    Parameters
    ----------
    frame : pandas.DataFrame
        Rows as they came, any types. Columns beyond the contract are kept untouched.
    source : str
        Named in errors.
    broken : pandas.DataFrame, optional
        Lines that could not even be parsed (``source_row``, ``reason``, ``line``); they join the quarantine.

    Raises
    ------
    TraceError
        Where a required column is missing, or no row is usable.
    """
    missing = [name for name, column in COLUMNS.items() if column.required and name not in frame.columns]
    if missing and len(frame.columns):
        have = ", ".join(map(str, frame.columns[:12]))
        raise TraceError(f"{source}: column{'s' * (len(missing) > 1)} {', '.join(missing)} missing; it has {have}")
    if frame.empty:
        found = f" ({len(broken)} lines could not be parsed)" if broken is not None and len(broken) else ""
        raise TraceError(f"{source}: the table is empty{found}; at least one usable row is needed")
    raw = frame.reset_index(drop=True)
    source_rows = raw.pop(SOURCE_ROW) if SOURCE_ROW in raw else pd.Series(np.arange(1, len(raw) + 1))
    reasons = pd.Series("", index=raw.index, dtype=object)
    rows = raw.copy()
    for name, column in COLUMNS.items():
        rows[name] = _coerced(raw[name], column) if name in raw else _absent(len(raw), column)
        if name in raw:
            _mark(reasons, _unfit(raw[name], rows[name]), name, column, raw[name])
        if column.required:
            _mark(reasons, rows[name].isna(), name, column, raw[name])
    for index, name in _schema_failures(rows):
        _mark(reasons, raw.index == index, name, COLUMNS[name], raw[name])
    duplicate = rows.duplicated(["request_id", "model"], keep="first") & (reasons == "")
    reasons[duplicate] = "request_id, model: duplicated pair, the first row is kept"
    usable = reasons == ""
    aside = raw[~usable].assign(**{SOURCE_ROW: source_rows[~usable], REASON: reasons[~usable]})
    if broken is not None and len(broken):
        aside = pd.concat([aside, broken], ignore_index=True)
    table = TraceTable(
        rows=rows[usable].sort_values(["timestamp", "request_id", "model"], kind="stable", ignore_index=True),
        quarantine=aside.reset_index(drop=True),
        rows_in=len(raw) + (0 if broken is None else len(broken)),
    )
    if table.rows.empty:
        first = next(iter(table.reasons.items()))
        raise TraceError(f"{source}: none of {table.rows_in} rows is usable; most frequent reason: {first[0]}")
    return table


def fingerprint(rows: pd.DataFrame) -> str:
    """Return a hex SHA-256 over the contract's columns of a validated table (order of rows included)."""
    import hashlib

    digest = hashlib.sha256()
    for name in COLUMNS:
        hashed = pd.util.hash_pandas_object(rows[name], index=False)
        digest.update(name.encode() + hashed.to_numpy().tobytes())
    return digest.hexdigest()


def _mark(reasons: pd.Series, at: Any, name: str, column: Column, raw: pd.Series) -> None:
    """Write the first reason of each row at `at`."""
    new = np.asarray(at) & (reasons == "").to_numpy()
    for index in np.flatnonzero(new):
        value = raw.iloc[index]
        got = "nothing" if pd.isna(value) else repr(value)[:80]
        reasons.iloc[index] = f"{name}: must be {column.rule()} (got {got})"


_BLANK = ("", "nan", "null", "none", "nat")


def _unfit(values: pd.Series, coerced: pd.Series) -> pd.Series:
    """Tell values that were given but did not fit their column's type; a blank text is no value."""
    unfit = values.notna() & coerced.isna()
    if unfit.any():
        unfit &= ~values.where(unfit, "x").astype(str).str.strip().str.lower().isin(_BLANK)
    return unfit


def _absent(count: int, column: Column) -> pd.Series:
    """Return an all-missing column."""
    dtype = {"text": "string", "flag": "boolean", "time": "datetime64[us, UTC]"}.get(column.kind, "float64")
    return pd.Series([None] * count, dtype=dtype)


def _coerced(values: pd.Series, column: Column) -> pd.Series:
    """Turn a column into its type; what does not fit becomes missing."""
    if column.kind == "time":
        if pd.api.types.is_numeric_dtype(values):
            return pd.Series(pd.NaT, index=values.index).astype("datetime64[us, UTC]")
        return pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601").astype("datetime64[us, UTC]")
    if column.kind in {"number", "integer"}:
        numbers = pd.to_numeric(values, errors="coerce").astype("float64")
        numbers = numbers.where(np.isfinite(numbers))
        return numbers.where(numbers == numbers.round()) if column.kind == "integer" else numbers
    if column.kind == "flag":
        words = values.astype("string").str.strip().str.lower()
        flags = pd.Series(pd.NA, index=values.index, dtype="boolean")
        return flags.mask(words.isin(_TRUE), True).mask(words.isin(_FALSE), False)
    texts = values.astype("string")
    # A prompt of zero length is a prompt; an empty name is none.
    return texts if column.low is None and values.name == "prompt" else texts.mask(texts.str.strip() == "")


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
        columns[name] = pa.Column(checks=checks, nullable=True, required=True)
    return pa.DataFrameSchema(columns)


def _schema_failures(rows: pd.DataFrame) -> list[tuple[int, str]]:
    """Return (row position, column) of each value outside its range or list."""
    try:
        _schema().validate(rows, lazy=True)
    except pa.errors.SchemaErrors as failure:
        cases = failure.failure_cases.dropna(subset=["index"])
        return [(int(index), str(name)) for index, name in zip(cases["index"], cases["column"], strict=True)]
    return []


def _read_jsonl(file: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    records, numbers, broken = [], [], []
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise ValueError(f"a JSON object is needed, got {type(record).__name__}")
            except ValueError as error:
                text = line.decode("utf-8", "replace").rstrip("\n")[:2000]
                broken.append({SOURCE_ROW: number, REASON: f"line: not a JSON object (got {error})", "line": text})
            else:
                records.append(record)
                numbers.append(number)
    frame = pd.DataFrame.from_records(records)
    if len(frame):
        frame[SOURCE_ROW] = numbers
    return frame, pd.DataFrame(broken)


def _read_csv(file: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    broken: list[dict[str, Any]] = []

    def put_aside(cells: list[str]) -> None:
        reason = f"line: wrong number of cells (got {len(cells)})"
        broken.append({SOURCE_ROW: None, REASON: reason, "line": ",".join(cells)[:2000]})

    frame = pd.read_csv(
        file,
        dtype="string",
        engine="python",
        on_bad_lines=put_aside,
        keep_default_na=False,
        na_values={name: ["", "NaN", "nan", "null", "None"] for name in COLUMNS if name != "prompt"},
        encoding_errors="replace",
    )
    return frame, pd.DataFrame(broken)


def _read_parquet(file: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return pd.read_parquet(file), pd.DataFrame()


_READERS: dict[str, Callable[[Path], tuple[pd.DataFrame, pd.DataFrame]]] = {
    ".parquet": _read_parquet,
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
}
