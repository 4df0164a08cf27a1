"""One step as OpenTelemetry records it, whatever the layout: ids, times, attributes, events, and how it ended."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pointsman.readers.fields import flag, number, text, whole
from pointsman.spans import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "Step",
    "attributes",
    "either",
    "first",
    "flat",
    "gathered",
    "identity",
    "list_of",
    "span_of",
    "status",
    "whole_usage",
]

_INDEXED = re.compile(r"(.+?)\.\d+\.")
_USUAL_ID = re.compile(r"(?!0+\Z)[0-9a-f]{16}(?:[0-9a-f]{16})?\Z")
_HEX = re.compile(r"[0-9a-fA-F]{16}(?:[0-9a-fA-F]{16})?\Z")
_BASE64_LENGTHS = frozenset({12, 24})
_SCALAR_TYPES = (str, int, float)
_DEEPEST = 40
_TIMEOUT = ("timeout", "timed out", "timed_out", "deadline")
_TIMEOUT_CODES = frozenset({"408", "504"})


@dataclass(slots=True)
class Step:
    """A recorded span with its values decoded.

    Attributes
    ----------
    attributes, resource : dict
        By their dotted names; no value is None.
    events : list of (str, int or None, dict)
        Name, time in microseconds, attributes.
    failed : bool
        The span's own status is ERROR.
    succeeded : bool
        The span's own status is OK; neither: UNSET.
    message : str
        What the status says.
    """

    name: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    parent_id: str | None = None
    start_us: int | None = None
    end_us: int | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    resource: dict[str, Any] = field(default_factory=dict)
    events: list[tuple[str, int | None, dict[str, Any]]] = field(default_factory=list)
    failed: bool = False
    succeeded: bool = False
    message: str = ""


def span_of(step: Step, kind: str) -> Span:
    """Return a span with what every step has."""
    return Span(
        kind=kind,
        trace_id=step.trace_id,
        span_id=step.span_id,
        parent_id=step.parent_id,
        name=step.name,
        start_us=step.start_us,
        end_us=step.end_us,
        status=status(step),
    )


def status(step: Step) -> str | None:
    """Return ``ok``, ``timeout`` or ``error``; None where the step tells nothing."""
    kind = text(step.attributes.get("error.type"))
    if kind is None and not step.failed:
        return "ok" if step.succeeded else None
    kinds = [kind] if kind is not None else []
    said = [step.message]
    for name, _, held in step.events:
        if name == "exception":
            kinds.append(text(held.get("exception.type")) or "")
            said.append(text(held.get("exception.message")) or "")
    if any(one in _TIMEOUT_CODES for one in kinds):
        return "timeout"
    # The message counts where no type is told: a message may speak of the timeout that somebody set.
    words = " ".join(one for one in kinds if one != "_OTHER").strip() or " ".join(said)
    return "timeout" if any(word in words.lower() for word in _TIMEOUT) else "error"


def identity(held: Any) -> str | None:
    """Return an id as lower-case hex, from hex, ``0x…`` or the base64 of protobuf; other ids as they are."""
    if not isinstance(held, str) or not held:
        return text(held)
    if _USUAL_ID.match(held):
        return held
    value: str = held.removeprefix("0x")
    if _HEX.match(value):
        return None if not value.strip("0") else value.lower()
    if len(value) in _BASE64_LENGTHS and value.endswith("="):
        try:
            raw = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return value
        return raw.hex() if any(raw) else None
    return text(value)


def attributes(held: Any) -> dict[str, Any]:
    """Return attributes by name, from OTLP's list of keys and values or from an object; None is left out."""
    if isinstance(held, dict):
        return {key: value for key, value in held.items() if isinstance(key, str) and value is not None}
    found: dict[str, Any] = {}
    if isinstance(held, list):
        for pair in held:
            if isinstance(pair, dict) and isinstance(key := pair.get("key"), str):
                value = _plain(pair.get("value"))
                if value is not None:
                    found[key] = value
    return found


def _plain(value: Any, depth: int = 0) -> Any:
    """Return what an OTLP AnyValue holds."""
    if not isinstance(value, dict):
        return value if isinstance(value, _SCALAR_TYPES) else None
    if len(value) == 1 and isinstance(word := value.get("stringValue"), str):
        return word
    for kind, held in value.items():
        if (read := _SCALARS.get(kind)) is not None:
            return read(held)
        if kind in {"arrayValue", "array_value"} and depth < _DEEPEST:
            return [_plain(one, depth + 1) for one in list_of(held, "values")]
        if kind in {"kvlistValue", "kvlist_value"} and depth < _DEEPEST:
            pairs = (pair for pair in list_of(held, "values") if isinstance(pair, dict))
            return {str(pair.get("key")): _plain(pair.get("value"), depth + 1) for pair in pairs}
    return None


def _string(held: Any) -> str | None:
    return held if isinstance(held, str) else None


_SCALARS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("stringValue", "string_value", "bytesValue", "bytes_value"), _string),
    **dict.fromkeys(("intValue", "int_value"), whole),
    **dict.fromkeys(("doubleValue", "double_value"), number),
    **dict.fromkeys(("boolValue", "bool_value"), flag),
}


def list_of(held: Any, *keys: str) -> list[Any]:
    """Return the list that a key of an object holds, under the first of these names; an empty one where none does."""
    if isinstance(held, dict):
        for key in keys:
            if isinstance(found := held.get(key), list):
                return found
    return []


def first(held: Mapping[str, Any], names: Iterable[str]) -> Any:
    """Return the value of the first name that is there."""
    for name in names:
        if (value := held.get(name)) is not None:
            return value
    return None


def either(held: Mapping[str, Any], name: str, other: str) -> Any:
    """Return the value of a field that goes by two names, as in protobuf's JSON: ``traceId`` and ``trace_id``."""
    value = held.get(name)
    return held.get(other) if value is None else value


def flat(held: Mapping[Any, Any], prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """Return nested objects as one with dotted names, within lists too; None is left out."""
    found: dict[str, Any] = {}
    for key, value in held.items():
        if isinstance(value, dict) and depth < _DEEPEST:
            found.update(flat(value, f"{prefix}{key}.", depth + 1))
        elif isinstance(value, list) and depth < _DEEPEST:
            found[f"{prefix}{key}"] = [flat(one, "", depth + 1) if isinstance(one, dict) else one for one in value]
        elif value is not None:
            found[f"{prefix}{key}"] = value
    return found


def gathered(held: Mapping[str, Any], prefix: str) -> list[dict[str, Any]]:
    """Return the list that attributes with an index spell out: ``prefix.0.role``, ``prefix.0.contents.1.text``."""
    start = f"{prefix}."
    rows: dict[int, dict[str, Any]] = {}
    for key, value in held.items():
        if key.startswith(start):
            index, _, name = key[len(start) :].partition(".")
            if name and index.isascii() and index.isdigit() and len(index) < 6:
                rows.setdefault(int(index), {})[name] = value
    return [_folded(rows[index]) for index in sorted(rows)]


def _folded(row: dict[str, Any]) -> dict[str, Any]:
    """Turn indexed names within a row into lists."""
    inner = {found[1] for key in row if (found := _INDEXED.match(key))}
    if not inner:
        return row
    kept = {key: value for key, value in row.items() if not _INDEXED.match(key)}
    return kept | {name: gathered(row, name) for name in inner}


def whole_usage(span: Span, total: int | None) -> None:
    """Count cached tokens into those read, and reasoning into those written, where the source left them out.

    It did where the parts exceed what they are parts of, and where its own `total` is the sum of all.
    """
    parts = (span.cached_input_tokens or 0) + (span.cache_write_tokens or 0)
    read, wrote, reasoned = span.input_tokens, span.output_tokens, span.reasoning_tokens or 0
    if read is not None and parts and (parts > read or total == read + (wrote or 0) + parts):
        span.input_tokens = read + parts
    if wrote is not None and reasoned and (reasoned > wrote or total == (read or 0) + wrote + reasoned):
        span.output_tokens = wrote + reasoned
