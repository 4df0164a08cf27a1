"""Spans as an Arrow table and back: what the exchange carries between reading and assembling."""

from __future__ import annotations

import json
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pointsman.readers.fields import flag, number, whole
from pointsman.spans import Score, Span
from pointsman.text import valid_text

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TRACE", "span_table", "spans_of"]

TRACE = "trace_id"

_TYPES = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
_READ: dict[pa.DataType, Any] = {
    pa.string(): lambda value: None if value is None else valid_text(value if isinstance(value, str) else str(value)),
    pa.int64(): whole,
    pa.float64(): number,
    pa.bool_(): flag,
}
_NAMES = tuple(field.name for field in fields(Span))
_SCHEMA = pa.schema(
    [
        (field.name, _TYPES.get(str(field.type).partition(" ")[0], pa.string()))  # scores and tags: JSON text
        for field in fields(Span)
    ]
)
_SCORES, _TAGS = _NAMES.index("scores"), _NAMES.index("tags")


def span_table(spans: Sequence[Span]) -> pa.Table:
    """Return spans as a table, (n,) rows."""
    arrays = []
    for name, kind in zip(_NAMES, _SCHEMA.types, strict=True):
        values: list[Any] = list(map(attrgetter(name), spans))
        if name == "scores":
            values = [json.dumps([[one.name, one.value, one.by] for one in held]) if held else None for held in values]
        elif name == "tags":
            values = [json.dumps(held) if held else None for held in values]
        arrays.append(_array(values, kind))
    return pa.Table.from_arrays(arrays, schema=_SCHEMA)


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, kind)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        # One value of a foreign kind: those that are of the column's kind stay.
        return pa.array([_READ[kind](value) for value in values], kind)


def spans_of(table: pa.Table) -> list[Span]:
    """Return the spans of a table."""
    columns = [table[name].to_pylist() for name in _NAMES]
    columns[_SCORES] = [[Score(*one) for one in json.loads(text)] if text else [] for text in columns[_SCORES]]
    columns[_TAGS] = [json.loads(text) if text else {} for text in columns[_TAGS]]
    return [Span(*values) for values in zip(*columns, strict=True)]
