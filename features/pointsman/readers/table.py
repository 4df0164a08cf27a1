"""Plain tables: the trace table itself, or any columns that a mapping names, nested JSON objects included."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pointsman.columns import COLUMNS
from pointsman.errors import TraceError
from pointsman.faults import near
from pointsman.readers.fields import at, flag, microseconds, number, parsed, text
from pointsman.readers.reader import TableReader

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pointsman.ingest_config import IngestConfig

__all__ = ["READER", "absent_sources", "mapped"]

_REQUIRED = tuple(name for name, column in COLUMNS.items() if column.required)
_UNITS = {"s": 1e3, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
"""Milliseconds in a unit of time."""
_COLLECTED = ("scores", "tags")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT = 2.0**53
"""Microseconds that a float holds exactly: until the year 2255."""
_SHOWN = 20


def _fits(columns: Collection[str]) -> bool:
    return all(name in columns for name in _REQUIRED)


def _rows(frame: pd.DataFrame, config: IngestConfig) -> pd.DataFrame:
    return mapped(frame, config.mapping, absent_ok=True) if config.columns else frame


READER = TableReader(
    "table",
    "Plain table (Parquet, CSV, JSON lines): the columns of the trace table, or a mapping to them",
    _fits,
    _rows,
    tuple(COLUMNS),
)


@dataclass(frozen=True)
class _Source:
    """Where a column of the trace table comes from."""

    target: str
    path: str
    unit: str | None = None

    def values(self, frame: pd.DataFrame) -> pd.Series:
        """Return the cells of the path, None where it is not there; its first part may itself hold dots."""
        head = self.path
        while head not in frame.columns and "." in head:
            head = head.rpartition(".")[0]
        if head not in frame.columns:
            return pd.Series([None] * len(frame), index=frame.index, dtype=object)
        rest = self.path[len(head) + 1 :]
        if not rest:
            return frame[head]
        flat = "." not in rest
        cells = [
            cell.get(rest) if flat and isinstance(cell, dict) else _inside(cell, rest) for cell in frame[head].tolist()
        ]
        return pd.Series(cells, index=frame.index, dtype=object)

    def converted(self, values: pd.Series) -> pd.Series:
        """Return numbers of a unit as what the trace table holds; what is no number stays as it is."""
        if self.unit is None:
            return values
        if COLUMNS[self.target].kind == "time":
            return _moments(values, self.unit)
        factor = _UNITS[self.unit]
        if pd.api.types.is_float_dtype(values.dtype) or pd.api.types.is_integer_dtype(values.dtype):
            return values * factor
        found = [(value, number(value)) for value in values.tolist()]
        cells = [value if amount is None else amount * factor for value, amount in found]
        return pd.Series(cells, index=values.index, dtype=object)


def mapped(
    frame: pd.DataFrame, columns: Mapping[str, str | Mapping[str, str]], *, absent_ok: bool = False
) -> pd.DataFrame:
    """Return the columns of the trace table that a mapping takes from a frame.

    Parameters
    ----------
    frame : pandas.DataFrame
        Rows as they came; cells may be objects of nested JSON, or their text. Its index is kept.
    columns : mapping of str to (str or mapping)
        A column of the trace table, ``scores.NAME`` or ``tags.NAME``, to a column of the frame or a dotted path into
        one (``usage.prompt_tokens``). ``{"column": path, "unit": u}`` tells the unit of a time since 1970 or of a
        duration: ``s``, ``ms``, ``us``, ``ns``.
    absent_ok : bool
        A source that no row has makes a missing column instead of an error: for one part of many, see
        `absent_sources`.

    Returns
    -------
    pandas.DataFrame
        Mapped columns, columns that have a name of the trace table already, and, as JSON texts, ``scores``
        (``[[name, value, ""], …]``) and ``tags``. Other columns are left out: what was mapped from one (a prompt that
        will be redacted) must not go on beside it.

    Raises
    ------
    TraceError
        Where a target is unknown, a unit does not fit it, or no row has a source.
    """
    sources = [_source(target, source) for target, source in columns.items()]
    absent = () if absent_ok else absent_sources(frame, columns)
    if absent:
        have = _paths(frame)
        first = next(source for source in sources if source.path == absent[0])
        shown = ", ".join(have[:_SHOWN]) + (f" and {len(have) - _SHOWN} more" if len(have) > _SHOWN else "")
        raise TraceError(
            f"columns.{first.target}: no row has {first.path!r}{near(first.path, have)}; there are {shown or 'none'}"
        )
    found = {name: frame[name] for name in COLUMNS if name in frame.columns}
    collected: dict[str, dict[str, list[Any]]] = {name: {} for name in _COLLECTED}
    for source in sources:
        values = source.values(frame)
        kind, dot, name = source.target.partition(".")
        if dot:
            collected[kind][name] = values.tolist()
        else:
            found[source.target] = source.converted(values)
    rows = pd.DataFrame({name: found[name] for name in COLUMNS if name in found}, index=frame.index)
    for kind, held in collected.items():
        write = _scores if kind == "scores" else _tags
        if held:
            cells = [write(dict(zip(held, row, strict=True))) for row in zip(*held.values(), strict=True)]
            rows[kind] = pd.Series(cells, index=frame.index, dtype=object)
        elif kind in frame.columns:
            rows[kind] = frame[kind]
    return rows


def absent_sources(frame: pd.DataFrame, columns: Mapping[str, str | Mapping[str, str]]) -> tuple[str, ...]:
    """Return the sources of a mapping that no row of a frame has; of a whole table, what all its parts lack."""
    sources = [_source(target, source) for target, source in columns.items()]
    return tuple(
        source.path
        for source in sources
        if source.path not in frame.columns and len(frame) and not source.values(frame).notna().any()
    )


def _source(target: str, source: str | Mapping[str, str]) -> _Source:
    """Read one entry of a mapping."""
    kind, dot, name = target.partition(".")
    if target not in COLUMNS and not (kind in _COLLECTED and dot and name):
        raise TraceError(
            f"columns.{target}: is no column of the trace table{near(target, COLUMNS)}; allowed: {', '.join(COLUMNS)}, "
            "scores.NAME, tags.NAME"
        )
    if isinstance(source, str):
        return _Source(target, source)
    path, unit = source.get("column"), source.get("unit")
    if not isinstance(path, str) or set(source) - {"column", "unit"}:
        raise TraceError(f"columns.{target}: must be a column, or column and unit (got {dict(source)!r})")
    if unit is not None and unit not in _UNITS:
        raise TraceError(f"columns.{target}.unit: must be one of {', '.join(_UNITS)} (got {unit!r})")
    if unit is not None and (dot or not (COLUMNS[target].kind == "time" or target.endswith("_ms"))):
        timed = ", ".join(name for name, column in COLUMNS.items() if column.kind == "time" or name.endswith("_ms"))
        raise TraceError(f"columns.{target}.unit: only a time or a duration has one ({timed})")
    return _Source(target, path, unit)


def _inside(cell: Any, path: str) -> Any:
    """Follow a dotted path into a JSON object, or its text; a number counts the elements of a list from 0."""
    held = parsed(cell)
    found = at(held, path)
    if found is not None:
        return found
    for step in path.split("."):
        held = held.tolist() if isinstance(held, np.ndarray) else parsed(held)
        if isinstance(held, Mapping):
            held = held.get(step)
        elif isinstance(held, list | tuple) and step.isdecimal() and int(step) < len(held):
            held = held[int(step)]
        else:
            return None
    return held


def _moments(values: pd.Series, unit: str) -> pd.Series:
    """Return times since 1970 as dates; what is no such time stays as it is."""
    if pd.api.types.is_float_dtype(values.dtype) or pd.api.types.is_integer_dtype(values.dtype):
        since = values.to_numpy(dtype=np.float64, na_value=np.nan) * (_UNITS[unit] * 1e3)
        known = np.isfinite(since)
        if unit != "ns" and (np.abs(since[known]) < _EXACT).all() and (known == values.notna().to_numpy()).all():
            moments = np.full(len(since), np.datetime64("NaT", "us"))
            moments[known] = np.round(since[known]).astype("int64").astype("datetime64[us]")
            dates: pd.Series = pd.Series(moments, index=values.index).dt.tz_localize("UTC")
            return dates
    return pd.Series([_moment(value, unit) for value in values.tolist()], index=values.index, dtype=object)


def _moment(value: Any, unit: str) -> Any:
    """Return a time since 1970 as ISO 8601; anything else as it is."""
    since = microseconds(value, unit) if not isinstance(value, bool) else None
    try:
        return value if since is None else (_EPOCH + timedelta(microseconds=since)).isoformat()
    except OverflowError:
        return value


def _paths(frame: pd.DataFrame) -> list[str]:
    """Return the columns of a frame, and the keys of objects inside their first cells, as paths."""
    paths: list[str] = []
    for name in map(str, frame.columns):
        paths.append(name)
        cells = frame[name].dropna()
        held = parsed(cells.iloc[0]) if len(cells) else None
        if isinstance(held, Mapping):
            paths += [f"{name}.{key}" for key in held]
    return paths


def _scores(row: Mapping[str, Any]) -> str:
    """Write the scores of a row: numbers and flags as numbers, words as they came."""
    told: list[Sequence[Any]] = []
    for name, value in row.items():
        yes = flag(value) if isinstance(value, bool | str) and text(str(value)) not in {"0", "1"} else None
        said = float(yes) if yes is not None else number(value)
        held = said if said is not None else text(value)
        if held is not None:
            told.append([name, held, ""])
    return json.dumps(told)


def _tags(row: Mapping[str, Any]) -> str:
    """Write the tags of a row."""
    words = {name: str(value).lower() if isinstance(value, bool) else text(value) for name, value in row.items()}
    return json.dumps({name: word for name, word in words.items() if word is not None})
