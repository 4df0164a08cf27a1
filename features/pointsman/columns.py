"""The columns of the trace table (contract 1), and how values of any type become theirs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pointsman.text import valid_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["COLUMNS", "LINE", "REASON", "SOURCE_ROW", "Column", "absent", "coerced", "given", "said"]

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
    "input_tokens": Column("integer", "tokens the model read, cached ones included", low=0, high=_BILLION),
    "output_tokens": Column("integer", "tokens the model wrote, reasoning included", low=0, high=_BILLION),
    "cached_input_tokens": Column("integer", "input tokens from the provider's prompt cache", low=0, high=_BILLION),
    "cache_write_tokens": Column("integer", "input tokens written to that cache", low=0, high=_BILLION),
    "reasoning_tokens": Column("integer", "output tokens that were reasoning", low=0, high=_BILLION),
    "first_token_ms": Column("number", "from the request to the first token of the answer, ms", low=0),
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
    "conversation_id": Column("text", "the conversation the request belongs to"),
    "user_id": Column("text", "who asked; a pseudonym will do"),
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


def given(values: pd.Series, missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell, among the positions where nothing came out, those where something was given; a blank text is nothing."""
    given = missing & values.notna().to_numpy(dtype=bool)
    rows = np.flatnonzero(given)
    given[rows] = [not (isinstance(v, str) and v.strip().lower() in _BLANK) for v in values.iloc[rows].tolist()]
    return given


def absent(count: int, column: Column) -> pd.Series:
    """Return an all-missing column."""
    dtype = {"text": "string", "flag": "boolean", "time": "datetime64[us, UTC]"}.get(column.kind, "float64")
    return pd.Series([None] * count, dtype=dtype)


def coerced(values: pd.Series, column: Column) -> pd.Series:
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
    if not isinstance(value, float | np.floating):
        try:
            return str(value)
        except ValueError:  # Python writes out no integer of more than 4,300 digits
            return None
    # An integer column with gaps arrives as floats.
    return None if np.isnan(value) else str(int(value)) if value.is_integer() else str(value)


def _numbers(values: pd.Series, unit: bool) -> NDArray[np.float64]:
    """Return a column as float64; `unit` tells that 0..1 is allowed, where true and false are 1 and 0."""
    numeric = pd.api.types.is_numeric_dtype(values.dtype) and values.dtype.kind in "iufb"
    if numeric and (unit or values.dtype.kind != "b"):
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    if pd.api.types.infer_dtype(values, skipna=True) in {"integer", "floating", "mixed-integer-float"}:
        try:
            return values.to_numpy(dtype=np.float64, na_value=np.nan)
        except (OverflowError, TypeError):
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


def said(value: Any) -> str:
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
