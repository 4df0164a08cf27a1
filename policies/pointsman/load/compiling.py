"""Compiled with numba, cached on disk; without numba one line says which extra brings it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from pointsman.errors import MissingExtraError

__all__ = ["compiled", "compiled_part"]

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Return a function that numba compiles when it is first called; the machine code is cached beside its module.

    Raises
    ------
    MissingExtraError
        Where numba is not installed.
    """
    return _compiled(function)


def compiled_part(function: Function) -> Function:
    """Return a function that compiled functions call, and nobody else: without a wrapper it compiles much faster."""
    return _compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def _compiled(function: Function, **options: bool) -> Function:
    try:
        from numba import njit
    except ModuleNotFoundError as error:
        raise MissingExtraError("numba", "train") from error
    made: Any = njit  # its stubs do not know the options that leave wrappers out
    return cast("Function", made(cache=True, error_model="numpy", **options)(function))
