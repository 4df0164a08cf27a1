"""JSON values read strictly: each function returns the value in its Python type or names what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from pointsman.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["count", "exactly", "items", "limit", "members", "names", "no_number", "number", "table", "text", "texts"]


def text(value: Any, key: str) -> str:
    """Return a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise BundleError(f"policy: {key} is {value!r}; a text that is not empty is needed")
    return value


def items(value: Any, key: str) -> list[Any]:
    """Return a list."""
    if not isinstance(value, list):
        raise BundleError(f"policy: {key} is {value!r}; a list is needed")
    return value


def texts(value: Any, key: str) -> tuple[str, ...]:
    """Return a list of texts, none of them empty."""
    return tuple(text(entry, f"{key}[]") for entry in items(value, key))


def members(value: Any, key: str) -> dict[str, Any]:
    """Return the members of an object."""
    if not isinstance(value, Mapping):
        raise BundleError(f"policy: {key} is {value!r}; an object is needed")
    return dict(value)


def names(value: Any, key: str) -> dict[str, str]:
    """Return an object of texts."""
    return {text(name, key): text(model, f"{key}.{name}") for name, model in members(value, key).items()}


def exactly(value: Any, key: str, **readers: Callable[[Any, str], Any]) -> dict[str, Any]:
    """Read an object that has exactly the members that there are readers for."""
    found = members(value, key)
    for name in found:
        if name not in readers:
            raise BundleError(f"policy: {key} has the unknown key {name!r}; allowed: {', '.join(readers)}")
    for name in readers:
        if name not in found:
            raise BundleError(f"policy: {key}.{name} is missing")
    return {name: reader(found[name], f"{key}.{name}") for name, reader in readers.items()}


def number(value: Any, key: str) -> float | None:
    """Return a finite number of at least 0, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise BundleError(f"policy: {key} is {value!r}; a finite number of at least 0 or null is needed")
    return float(value)


def count(value: Any, key: str, least: int = 0) -> int:
    """Return an integer (which JSON may write as 3.0)."""
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if not whole or isinstance(value, bool) or value < least:
        raise BundleError(f"policy: {key} is {value!r}; an integer of at least {least} is needed")
    return int(value)


def limit(value: Any, key: str) -> int | None:
    """Return an integer of at least 1, or None for no limit."""
    return None if value is None else count(value, key, least=1)


def table(value: Any, key: str) -> NDArray[np.float64]:
    """Return rows of numbers as an array; ValueError where they are not of one length."""
    for entry in (entry for row in items(value, key) for entry in items(row, f"{key}[]")):
        if isinstance(entry, bool) or not isinstance(entry, int | float):
            raise BundleError(f"policy: {key} holds {entry!r}; numbers are needed")
    return np.asarray(value, dtype=np.float64)


def no_number(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's reader would let through."""
    raise ValueError(f"{name} is no JSON number")
