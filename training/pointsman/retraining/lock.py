"""One retrain or promotion at a time for each champion: a lock that a killed process leaves open."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from pointsman.errors import PointsmanError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BusyError", "alone", "lock_of", "sweep"]


class BusyError(PointsmanError):
    """Another retrain or promotion of the same champion runs: try again later (exit code 3)."""

    exit_code = 3


def lock_of(champion: str, folder: Path) -> Path:
    """Return the lock's file: beside the champion's link, or of a registry's model beside `folder`."""
    if champion.startswith("models:/"):
        name = hashlib.sha256(champion.partition("@")[0].encode()).hexdigest()[:12]
        return folder.parent / f".pointsman-{name}.lock"
    place = Path(champion)
    return place.parent / f".{place.name}.lock"


@contextmanager
def alone(file: Path, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock; the operating system frees it when the process ends, however it ends.

    Raises
    ------
    BusyError
        Where it is not free within `wait_s` seconds.
    """
    lock = FileLock(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=wait_s)
    except Timeout as error:
        raise BusyError(f"{file}: another retrain or promotion of this champion runs; try again later") from error
    except OSError as error:
        raise PointsmanError(f"{file}: the lock cannot be made: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def sweep(out: Path) -> None:
    """Remove what a retrain that was killed left half-written beside `out`. Only under the lock."""
    for left in out.parent.glob(f".{out.name}.*.tmp"):
        shutil.rmtree(left, ignore_errors=True)
