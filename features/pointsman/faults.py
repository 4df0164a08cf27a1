"""What is wrong with a document of settings, in words of our own: the key, the bad value, what is allowed, the line."""

from __future__ import annotations

import difflib
import types
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Tag
from pydantic.fields import FieldInfo

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pointsman.yaml_lines import Key, Lines

__all__ = ["at", "fault", "line", "more", "near", "said"]


def fault(entry: Any, root: type[BaseModel]) -> tuple[Key, str]:
    """Turn a fault found by pydantic in a document of the model `root` into its key and words.

    A field's description says what is allowed there; unions must be tagged.
    """
    loc = [str(part) for part in entry["loc"]]
    bad_key = loc[-1:] == ["[key]"]
    path, description = _described_at(loc[:-1] if bad_key else loc, root)
    if entry["type"] == "extra_forbidden" or bad_key:
        allowed = _keys_at(path[:-1], root)
        return path, f"is an unknown key{near(path[-1], allowed)}; allowed: {', '.join(allowed) or 'none'}"
    if entry["type"] == "missing":
        return path, f"is missing; allowed: {description}"
    quote = ": put it in quotes" if entry["type"] == "string_type" and isinstance(entry["input"], float | int) else ""
    return path, f"is {said(entry['input'])}; allowed: {description}{quote}"


def said(value: Any) -> str:
    """Show a bad value on one line, shortened, as YAML would say it."""
    if value is None:
        return "nothing"
    text = str(value).lower() if isinstance(value, bool) else " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:80]}…"


def more(count: int) -> str:
    """Count the faults that are not told."""
    return f" ({count} more fault{'s' * (count > 1)})" if count else ""


def near(word: str, allowed: Iterable[str]) -> str:
    """Guess which allowed word was meant."""
    match = difflib.get_close_matches(word, list(allowed), n=1)
    return f" (did you mean {match[0]}?)" if match else ""


def line(path: Key, lines: Lines) -> int:
    """Return the line of a key, or of the nearest one around it; 0 where there is none."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 0)


def at(path: Key, lines: Lines) -> str:
    """Say the line of a key, where it has one."""
    number = line(path, lines)
    return f", line {number}" if number else ""


def _described_at(loc: list[str], root: type[BaseModel]) -> tuple[Key, str]:
    """Return the keys that lead to a place of the model, without the tags of unions, and what it may hold."""
    kind: Any = root
    path: list[str] = []
    description = _words(kind)
    for part in loc:
        branches = _branches(kind)
        if part in branches:
            kind = branches[part]
            continue
        kind = _unwrapped(kind)
        path.append(part)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = _fields(kind).get(part)
            kind = field.annotation if field else None
            description = (field.description if field else None) or _words(kind)
        elif get_origin(kind) in {dict, list}:
            kind = get_args(kind)[-1]
            description = _words(kind)
    return tuple(path), description


def _keys_at(path: Key, root: type[BaseModel]) -> list[str]:
    """Return the keys allowed at a place of the model."""
    kind: Any = root
    for part in path:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = _fields(kind)[part].annotation
        else:
            kind = get_args(kind)[-1]
        branches = [one for one in _branches(kind).values() if isinstance(one, type) and issubclass(one, BaseModel)]
        kind = branches[0] if branches else _unwrapped(kind)
    if get_origin(kind) is dict:
        return list(get_args(get_args(kind)[0]))
    return list(_fields(kind))


def _fields(kind: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a model by the keys that are written."""
    return {field.alias or name: field for name, field in kind.model_fields.items()}


def _branches(kind: Any) -> dict[str, Any]:
    """Return the alternatives of a tagged union by their tags; empty for what is none."""
    if get_origin(kind) is Annotated:
        inner, *notes = get_args(kind)
        tags = [note.tag for note in notes if isinstance(note, Tag)]
        return {tags[0]: inner} if tags else _branches(inner)
    if get_origin(kind) in {Union, types.UnionType}:
        return {tag: one for part in get_args(kind) for tag, one in _branches(part).items()}
    return {}


def _unwrapped(kind: Any) -> Any:
    """Return the one type behind an optional or annotated one."""
    while get_origin(kind) in {Annotated, Union, types.UnionType}:
        kind = next(one for one in get_args(kind) if one is not type(None))
    return kind


def _words(kind: Any) -> str:
    """Say what an entry of a list or a value of a mapping may be."""
    notes = get_args(kind)[1:] if get_origin(kind) is Annotated else ()
    told = [note.description for note in notes if isinstance(note, FieldInfo) and note.description]
    if told:
        return str(told[0])
    kind = _unwrapped(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        optional = not any(field.is_required() for field in kind.model_fields.values())
        return f"a mapping with the keys {', '.join(_fields(kind))}{', or {} for none of them' * optional}"
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    return "a number" if kind is float else "a text"
