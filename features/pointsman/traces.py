"""The trace table (contract 1): its columns, reading it, validating it, and putting aside what cannot be used."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter, deque
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from pointsman.errors import TraceError
from pointsman.text import valid_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

__all__ = ["COLUMNS", "Column", "TraceTable", "fingerprint", "read_traces", "validate_traces"]

REASON = "reason"
SOURCE_ROW = "source_row"
LINE = "line"
_BILLION = 1_000_000_000


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
        Allowed values of a text column, in any case; empty for any text.
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
            text += f" of at least {self.low:,.15g}"
        if self.high is not None:
            text += f" and at most {self.high:,.15g}"
        return text


COLUMNS: dict[str, Column] = {
    "request_id": Column("text", "identifies the request; rows of several models share it", required=True),
    "timestamp": Column("time", "arrival of the request, UTC", required=True),
    "prompt": Column("text", "what the classifier sees at routing time", required=True),
    "model": Column("text", "the candidate that answered", required=True),
    "latency_ms": Column("number", "end to end as the user felt it, ms, retries and connectors included", True, low=0),
    "useful": Column("number", "did this response serve the user, 0..1 (missing: not labelled)", low=0, high=1),
    "input_tokens": Column("integer", "tokens the model read", low=0, high=_BILLION),
    "output_tokens": Column("integer", "tokens the model wrote", low=0, high=_BILLION),
    "cost_usd": Column("number", "this answer's model cost, USD; else priced from tokens by the spec", low=0),
    "retries": Column("integer", "attempts beyond the first", low=0, high=_BILLION),
    "retry_cost_usd": Column("number", "cost of those attempts, USD", low=0),
    "retrieval_cost_usd": Column("number", "cost of retrieval for this answer, USD", low=0),
    "connector_cost_usd": Column("number", "cost of connectors and tools for this answer, USD", low=0),
    "status": Column("text", "ok, timeout, error, or the source's own word for one of them (missing: ok)"),
    "hallucinated": Column("flag", "the answer asserts what its sources do not carry"),
    "intent": Column("text", "what the user wanted"),
    "modality": Column("text", "what the request carries (missing: text)", allowed=("text", "image", "audio")),
    "context_tokens": Column("integer", "history and documents beyond the prompt", low=0, high=_BILLION),
    "chosen": Column("flag", "production really served this row"),
    "propensity": Column("number", "probability with which production chose it", low=0, high=1),
}

_FLAGS = {
    **dict.fromkeys(("true", "1", "1.0", "yes", "t"), True),
    **dict.fromkeys(("false", "0", "0.0", "no", "f"), False),
}
_BLANK = frozenset({"", "nan", "null", "none", "nat", "<na>"})
# "now" and "today" are dates to pandas, and so is a bare year.
_DATE = re.compile(r"\s*(\d{4}-\d{1,2}-\d{1,2}|\d{8})(?!\d)")


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
        lines = (json.dumps({n: _json(v) for n, v in zip(names, row, strict=True)}) for row in zip(*cells, strict=True))

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
                rows[name] = [json.dumps(_json(value)) for value in rows[name].astype(object)]
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
        raise TraceError(f"{file}: is a folder; a {', '.join(_READERS)} file is needed")
    if not file.is_file():
        raise TraceError(f"{file}: no such file; a trace table (.parquet, .jsonl or .csv) is needed")
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise TraceError(f"{file}: cannot tell the format from {file.suffix!r}; allowed: {', '.join(_READERS)}")
    try:
        _refuse_disguise(file)
        frame, broken = reader(file)
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
        _check_columns(raw, source)
    if raw.empty:
        raise TraceError(f"{source}: the table is empty; at least one usable row is needed")
    columns = {name: _coerced(raw[name], column) for name, column in COLUMNS.items() if name in raw}
    absent = {name: _absent(len(raw), column) for name, column in COLUMNS.items() if name not in raw}
    extra = {name: raw[name] for name in raw.columns if name not in COLUMNS}
    typed = columns | absent
    rows = pd.DataFrame({**{name: typed[name] for name in COLUMNS}, **extra}, copy=False)
    verdicts = _Verdicts(len(raw))
    outside = _outside(rows[list(columns)])
    for name, values in columns.items():
        rule, missing = f"{name}: must be {COLUMNS[name].rule()}", values.isna().to_numpy(dtype=bool)
        unfit = missing if COLUMNS[name].required else missing & _given(raw[name], missing)
        verdicts.put_aside(unfit | outside.get(name, False), rule, raw[name])
    _put_aside_contradictions(rows, verdicts)
    usable = verdicts.usable
    table = TraceTable(
        rows=rows[usable].sort_values(["timestamp", "request_id", "model"], kind="stable", ignore_index=True),
        quarantine=_quarantine(raw[~usable], numbers[~usable], verdicts.reasons[~usable], broken),
        rows_in=len(raw) + len(broken),
    )
    if table.rows.empty:
        raise _none_usable(table, source)
    return table


def fingerprint(rows: pd.DataFrame) -> str:
    """Return a hex SHA-256 over the contract's columns of a validated table (order of rows included)."""
    digest = hashlib.sha256()
    for name in COLUMNS:
        missing = rows[name].isna().to_numpy(dtype=bool)
        hashed = pd.util.hash_pandas_object(rows[name], index=False).to_numpy(dtype="<u8")
        digest.update(name.encode() + np.where(missing, 0, hashed).tobytes() + np.packbits(missing).tobytes())
    return digest.hexdigest()


class _Verdicts:
    """The first reason against each of n rows."""

    def __init__(self, count: int) -> None:
        self.usable = np.ones(count, dtype=bool)
        self.reasons = np.full(count, "", dtype=object)

    def put_aside(self, at: NDArray[np.bool_], rule: str, values: pd.Series) -> None:
        """Put aside those rows of a mask that are still usable, with the rule and their value."""
        rows = np.flatnonzero(at & self.usable)
        self.reasons[rows] = [f"{rule} (got {_said(value)})" for value in values.iloc[rows].tolist()]
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


def _check_columns(raw: pd.DataFrame, source: str) -> None:
    repeated = [name for name, count in Counter(raw.columns).items() if count > 1]
    if repeated:
        raise TraceError(f"{source}: column {', '.join(map(repr, repeated))} stands there twice; once is allowed")
    missing = [name for name, column in COLUMNS.items() if column.required and name not in raw]
    if missing:
        have = ", ".join(raw.columns[:12]) or "none"
        more = f" and {len(raw.columns) - 12} more" if len(raw.columns) > 12 else ""
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


def _said(value: Any) -> str:
    """Show a bad value on one line, shortened."""
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value):
        return "nothing"
    if isinstance(value, str | bytes) and len(value) > 80:
        return f"{value[:80]!r}…"
    if isinstance(value, date):
        return value.isoformat()
    try:
        text = " ".join(repr(value.tolist() if isinstance(value, np.ndarray | np.generic) else value).split())
    except ValueError:  # an int of more digits than Python prints
        text = f"a huge {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:80]}…"


def _json(value: Any) -> Any:
    """Return a cell as a JSON value that loses nothing a person would miss."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.ndarray | np.generic):
        return _json(value.tolist())
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return None if value != value else value if np.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {str(key): _json(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json(one) for one in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value.isoformat() if isinstance(value, date) else str(value)


def _given(values: pd.Series, missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell, among the positions where nothing came out, those where something was given; a blank text is nothing."""
    given = missing & values.notna().to_numpy(dtype=bool)
    rows = np.flatnonzero(given)
    given[rows] = [not (isinstance(v, str) and v.strip().lower() in _BLANK) for v in values.iloc[rows].tolist()]
    return given


def _absent(count: int, column: Column) -> pd.Series:
    """Return an all-missing column."""
    dtype = {"text": "string", "flag": "boolean", "time": "datetime64[us, UTC]"}.get(column.kind, "float64")
    return pd.Series([None] * count, dtype=dtype)


def _coerced(values: pd.Series, column: Column) -> pd.Series:
    """Turn a column into its type; what does not fit becomes missing."""
    if isinstance(values.dtype, pd.CategoricalDtype | pd.ArrowDtype | pd.SparseDtype):
        values = values.astype(object)
    if column.kind == "time":
        return _times(values)
    if column.kind == "flag":
        if pd.api.types.is_bool_dtype(values.dtype):
            return values.astype("boolean")
        return values.astype(object).map(_flag).astype("boolean")
    if column.kind == "text":
        texts = _texts(values, broken_ok=values.name == "prompt")
        if column.allowed:
            texts = texts.str.strip().str.lower()
        # A prompt of zero length is a prompt; an empty name is none.
        return texts if values.name == "prompt" else texts.mask(texts.str.strip() == "")
    numbers = _numbers(values, unit=column.high == 1)
    numbers = np.where(np.isfinite(numbers), numbers, np.nan)
    if column.kind == "integer":
        numbers = np.where(numbers == np.round(numbers), numbers, np.nan)
    return pd.Series(numbers, index=values.index)


def _times(values: pd.Series) -> pd.Series:
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind not in {"datetime64", "datetime", "string", "empty"}:
        # An epoch number is refused, because its unit can only be guessed.
        keep = values.map(lambda value: isinstance(value, str | date | np.datetime64), na_action=None).astype(bool)
        values = values.astype(object).where(keep, None)
    if kind not in {"datetime64", "datetime"}:
        values = values.astype(object)
        texts = values.map(lambda value: isinstance(value, str) and not _DATE.match(value)).astype(bool)
        values = values.mask(texts, None)
    times = pd.to_datetime(values, utc=True, errors="coerce", format="ISO8601")
    return times.astype("datetime64[us, UTC]")


def _texts(values: pd.Series, broken_ok: bool) -> pd.Series:
    """Return texts; undecodable ones become missing or, where allowed, get U+FFFD in place of what is broken."""
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind in {"string", "integer", "empty"}:
        try:
            return values.astype("string")
        except UnicodeEncodeError:  # lone surrogates
            pass
    return values.astype(object).map(lambda value: _text(value, broken_ok)).astype("string")


def _text(value: Any, broken_ok: bool) -> str | None:
    if isinstance(value, str | bytes):
        text = valid_text(value)
        whole = text == value if isinstance(value, str) else text.encode() == value
        return text if whole or broken_ok else None
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        return None
    number = float(value)
    if number != number:
        return None
    # An integer column with gaps arrives as floats.
    return str(int(value)) if isinstance(value, float | np.floating) and number.is_integer() else str(value)


def _numbers(values: pd.Series, unit: bool) -> NDArray[np.float64]:
    """Return a column as float64; `unit` tells that 0..1 is allowed, where true and false are 1 and 0."""
    numeric = pd.api.types.is_numeric_dtype(values.dtype) and values.dtype.kind in "iufb"
    if numeric and (unit or values.dtype.kind != "b"):
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    if pd.api.types.infer_dtype(values, skipna=False) in {"integer", "floating", "mixed-integer-float"}:
        try:
            return values.to_numpy(dtype=np.float64)
        except OverflowError:
            pass
    return np.array([_number(value, unit) for value in values.astype(object).tolist()], dtype=np.float64)


def _number(value: Any, unit: bool) -> float:
    if isinstance(value, str):
        if "_" in value:
            return np.nan
        value = _FLAGS.get(value.strip().lower(), value) if unit else value
    elif isinstance(value, bool | np.bool_):
        return float(value) if unit else np.nan
    elif not isinstance(value, Real | Decimal):
        return np.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return np.nan


def _flag(value: Any) -> bool | None:
    return _FLAGS.get(str(value).strip().lower()) if isinstance(value, str | Real | np.bool_) else None


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


def _refuse_disguise(file: Path) -> None:
    """Raise where the first bytes tell that the file is of another kind than its suffix."""
    with file.open("rb") as opened:
        head = opened.read(4)
    utf16, gzip, archive = "UTF-16", "gzip", "a ZIP archive"
    kinds = {b"PAR1": "Parquet", BOM_UTF16_LE: utf16, BOM_UTF16_BE: utf16, b"\x1f\x8b": gzip, b"PK\x03\x04": archive}
    for magic, kind in kinds.items():
        if head.startswith(magic) and not (kind == "Parquet" and file.suffix.lower() == ".parquet"):
            text = "UTF-8 text" if file.suffix.lower() != ".parquet" else "Parquet"
            raise TraceError(f"{file}: not a readable {file.suffix} table: it is {kind}; {text} is needed")


def _broken(lines: Iterable[tuple[int, str, str]]) -> pd.DataFrame:
    frame = pd.DataFrame(lines, columns=[SOURCE_ROW, REASON, LINE], dtype=object)
    return frame.astype({SOURCE_ROW: "int64"})


def _objects(records: list[Any], numbers: list[int], columns: list[str] | None = None) -> pd.DataFrame:
    """Return parsed records as a frame that keeps every value as it was parsed: no int becomes a float."""
    index = pd.Index(numbers, dtype="int64", name=SOURCE_ROW)
    return pd.DataFrame(records, index=index, columns=columns, dtype=object)


def _read_jsonl(file: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    records: list[dict[str, Any]] = []
    numbers: list[int] = []
    broken: list[tuple[int, str, str]] = []
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            data = line.removeprefix(BOM_UTF8) if number == 1 else line
            if not data.strip():
                continue
            try:
                records.append(_json_object(data))
                numbers.append(number)
            except (ValueError, TypeError, RecursionError) as error:
                text = data.decode("utf-8", "backslashreplace").rstrip("\r\n")
                broken.append((number, f"line: must be a JSON object in UTF-8 (got {_said(text)}: {error})", text))
    return _objects(records, numbers), _broken(broken)


def _json_object(line: bytes) -> dict[str, Any]:
    record = json.loads(line.decode("utf-8"), object_pairs_hook=_distinct)
    if not isinstance(record, dict):
        raise TypeError(f"it is a JSON {type(record).__name__}")
    return record


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        key = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"key {key!r} stands there twice")
    return record


def _read_csv(file: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    records: list[list[str]] = []
    numbers: list[int] = []
    broken: list[tuple[int, str, str]] = []
    limit = csv.field_size_limit(2**31 - 1)  # a prompt may be longer than the module's 128 KiB
    try:
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            cells = _CsvRecords(lines)
            header = next(cells, (0, []))[1]
            if header is None:
                raise TraceError(f"{file}: not a readable .csv table: the quotes of its header line are broken")
            for number, record in cells:
                if record is None or len(record) != len(header):
                    said = "broken quotes" if record is None else f"{len(record)} cells"
                    reason = f"line: must be {len(header)} cells, quotes closed (got {said})"
                    broken.append((number, reason, cells.reread()))
                else:
                    records.append(record)
                    numbers.append(number)
    finally:
        csv.field_size_limit(limit)
    frame = _objects(records, numbers, header) if records else pd.DataFrame(columns=header)
    for name, column in COLUMNS.items():
        if column.kind == "text" and name != "prompt" and header.count(name) == 1:
            frame[name] = frame[name].mask(frame[name].isin(["", "NaN", "nan", "null", "None"]), None)
    return frame, _broken(broken)


class _CsvRecords:
    """Iterates over the records of a CSV: the line where each starts, its cells or None where quotes are broken."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._again: deque[str] = deque()
        self._read: list[str] = []
        self._number = 0
        self._reader = csv.reader(self._feed(), strict=True)

    def _feed(self) -> Iterator[str]:
        while True:
            line = self._again.popleft() if self._again else next(self._lines, None)
            if line is None:
                return
            self._read.append(line)
            self._number += 1
            yield line

    def __iter__(self) -> Iterator[tuple[int, list[str] | None]]:
        return self

    def __next__(self) -> tuple[int, list[str] | None]:
        while True:
            self._read.clear()
            first = self._number + 1
            try:
                cells = next(self._reader)
            except csv.Error:
                return first, None
            if len(cells) > 1 or "".join(cells).strip():
                return first, cells

    def reread(self) -> str:
        """Read on after the first line of the record, and return that line: an open quote swallows rows not its own."""
        self._again.extendleft(reversed(self._read[1:]))
        self._number -= len(self._read) - 1
        self._reader = csv.reader(self._feed(), strict=True)
        return self._read[0].rstrip("\r\n").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _read_parquet(file: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return pd.read_parquet(file, dtype_backend="numpy_nullable"), pd.DataFrame()


_READERS: dict[str, Callable[[Path], tuple[pd.DataFrame, pd.DataFrame]]] = {
    ".parquet": _read_parquet,
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
}
