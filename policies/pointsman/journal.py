"""A study in one file: Optuna's journal, safe against processes that are killed while they write to it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

__all__ = ["journal_storage"]


class _KernelLock(JournalFileOpenLock):
    """A lock that the kernel takes back from a process that dies; a file that means «locked» would block the others.

    Where there is no such lock (Windows) it is Optuna's own: a file, ignored once it is half a minute old.

    Parameters
    ----------
    journal : Path
        The lock lies beside it.
    """

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._journal = journal
        self._held: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Wait for the lock; cut off a last line that a killed process left unfinished."""
        if sys.platform == "win32":
            super().acquire()
        else:
            import fcntl

            lock = self._journal.with_name(f"{self._journal.name}.lock").open("ab")
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._held = lock
        _mend(self._journal)
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._held is None:
            super().release()
        else:
            self._held.close()
            self._held = None


def _mend(journal: Path) -> None:
    """Cut off what stands behind the last line feed: appending to it would make both lines unreadable."""
    with journal.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        end = size
        while end and (file.seek(end - 1), file.read(1))[1] != b"\n":
            end -= 1
        if end < size:
            file.truncate(end)


def journal_storage(path: str | Path) -> JournalStorage:
    """Open, or create, a study file that several processes of one machine may share.

    Raises
    ------
    OSError
        Where the file cannot be created.
    """
    file = Path(path).expanduser().absolute()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    return JournalStorage(JournalFileBackend(str(file), lock_obj=_KernelLock(file)))
