"""Reading single values of a source's record: each function takes anything and gives the value, or None."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson

__all__ = [
    "at",
    "flag",
    "input_total",
    "mapping",
    "microseconds",
    "number",
    "parsed",
    "parsed_texts",
    "short_tags",
    "text",
    "whole",
]

_NUMBERS = (int, float)
_NUMERIC = (int, float, str, Decimal)
_OPENS = frozenset({"{", "["})
_UNITS = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
_TRUE, _FALSE = frozenset({"true", "1", "yes"}), frozenset({"false", "0", "no"})
_LONGEST_TAG = 200
_LAST = 253_402_300_800_000_000  # year 10000 in microseconds


def at(record: Any, *paths: str) -> Any:
    """Return the first value that is there and not None, by key or by dotted path (``"usage.total_tokens"``)."""
    for path in paths:
        value = record.get(path) if isinstance(record, Mapping) else None
        if value is None and "." in path:
            value = record
            for key in path.split("."):
                value = value.get(key) if isinstance(value, Mapping) else None
                if value is None:
                    break
        if value is not None:
            return value
    return None


def text(value: Any) -> str | None:
    """Return a text that is not blank, numbers as their digits; None for everything else."""
    if isinstance(value, str):
        return value if value.strip() else None
    if value is None or isinstance(value, bool) or not isinstance(value, _NUMBERS):
        return None
    return str(value) if math.isfinite(value) else None


def number(value: Any) -> float | None:
    """Return a finite number, also from its text (JSON writes 64-bit integers as strings)."""
    if value is None or isinstance(value, bool) or not isinstance(value, _NUMERIC):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def whole(value: Any) -> int | None:
    """Return a whole number, also from its text; 12.0 is whole, 12.5 is not."""
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        digits = value if value.isdigit() else value.strip().removeprefix("-")
        if digits.isdigit() and digits.isascii():
            return int(value) if len(value) < 20 else None
    found = number(value)
    return int(found) if found is not None and found.is_integer() else None


def flag(value: Any) -> bool | None:
    """Return true or false, also from 1, 0, "true", "yes" and the like."""
    word = str(value).strip().lower() if isinstance(value, bool | int | str) else ""
    return True if word in _TRUE else False if word in _FALSE else None


def microseconds(value: Any, unit: str = "s") -> int | None:
    """Return a point in time as Unix microseconds.

    Parameters
    ----------
    value : any
        A number of `unit` since 1970, also as text; an ISO 8601 text or a datetime (UTC where no zone is given).
    unit : str
        ``s``, ``ms``, ``us``, ``ns``.
    """
    if isinstance(value, date) or (isinstance(value, str) and not value.isdigit() and "-" in value.strip()[1:]):
        return _calendar(value)
    if unit == "ns":
        exact = whole(value)
        return exact // 1000 if exact is not None and abs(exact) < _LAST * 1000 else None
    found = number(value)
    return round(found * _UNITS[unit]) if found is not None and abs(found) * _UNITS[unit] < _LAST else None


def _calendar(value: date | str) -> int | None:
    """Return a date, a datetime or an ISO 8601 text as Unix microseconds."""
    try:
        moment = datetime.fromisoformat(value.strip()) if isinstance(value, str) else value
        if not isinstance(moment, datetime):
            moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)
    except (ValueError, OverflowError):
        return None


def parsed(value: Any) -> Any:
    """Return what a JSON text holds (an object or a list); anything else as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in _OPENS:
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def parsed_texts(value: Any) -> Any:
    """Return what `parsed` returns, twice as fast; whole numbers of more than 64 bits lose digits."""
    if isinstance(value, str) and value.lstrip()[:1] in _OPENS:
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:  # it takes no NaN and no half of a surrogate pair
            return parsed(value)
    return value


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping from one, its JSON text, or the pairs that a Parquet map is read as; else an empty one."""
    held = parsed(value)
    if isinstance(held, Mapping):
        return held
    if isinstance(held, list):
        return {str(one[0]): one[1] for one in held if isinstance(one, list | tuple) and len(one) == 2}
    return {}


def short_tags(*sources: Any) -> dict[str, str]:
    """Return short labels of a source: mappings with scalar values, lists of words (``key:value`` or bare)."""
    tags: dict[str, str] = {}
    for source in sources:
        held = parsed(source)
        if isinstance(held, Mapping):
            for key, value in held.items():
                word = str(value).lower() if isinstance(value, bool) else text(value)
                if word is not None and len(word) <= _LONGEST_TAG:
                    tags[str(key)] = word
        elif isinstance(held, list | tuple):
            for one in held:
                if isinstance(one, str) and 0 < len(one) <= _LONGEST_TAG:
                    key, _, word = one.partition(":")
                    tags[key.strip()] = word.strip()
    return tags


def input_total(fresh: int | None, cached: int | None, written: int | None) -> int | None:
    """Return all tokens read, of a source whose input count leaves out what its prompt cache read and wrote."""
    return None if fresh is None else fresh + (cached or 0) + (written or 0)
