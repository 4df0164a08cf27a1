"""The kill-switch: a file, an environment variable or a call sends everything to the safe model, from now on.

Standard library only. The three are independent: it is on while any of them says so, and each is taken back as it was
set (remove the file, unset the variable, call `KillSwitch.restore`). A call reaches every process on the same store.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.guards.store import KillRecord, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.guards.ledger import Ledger

__all__ = ["VARIABLE", "KillSwitch"]

logger = logging.getLogger("pointsman.router")

VARIABLE = "POINTSMAN_KILL"
"""The environment variable; "", 0, false, no and off leave the router on."""

_OFF = frozenset({"", "0", "false", "no", "off"})
_LONGEST = 500


class KillSwitch:
    """Tells at every decision whether everything goes to the safe model; safe to share between threads.

    Parameters
    ----------
    file : str or Path, optional
        The switch is on while this file exists; its first line, ``WHO: WHY``, is told in every decision.
    variable : str or None
        Of the environment: on while its value is none of "", 0, false, no, off; the value is the reason.
    ledger : Ledger, optional
        Whose store, where it has one, shares calls with other processes. While it is away a call holds here, and is
        passed on when it answers again.
    wall : callable
        Seconds since 1970.
    """

    def __init__(
        self,
        file: str | Path | None = None,
        variable: str | None = VARIABLE,
        ledger: Ledger | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.file = None if file is None else Path(file)
        self.variable = variable
        self._ledger = ledger
        self._wall = wall
        self._lock = threading.Lock()
        self._called: KillRecord | None = None
        self._unsent = False
        self._found: tuple[tuple[int, ...], KillRecord] | None = None
        self._told: dict[str, KillRecord] = {}

    def state(self) -> KillRecord | None:
        """Return who threw the switch, why and when; None while it is off. Asks file, variable and store anew."""
        called, found, named = self._shared(), self._in_file(), self._in_environment()
        if found is not None or named is not None or self._told:
            self._tell("file", found)
            self._tell("environment", named)
        return called or found or named

    def kill(self, who: str = "", why: str = "") -> KillRecord:
        """Throw the switch by a call, in this process and in all that share the store."""
        return self._call(KillRecord(True, _line(who), why, self._wall()))

    def restore(self, who: str = "") -> KillRecord | None:
        """Take the call back; return what still keeps the switch on (file, variable), None where nothing does."""
        self._call(KillRecord(False, _line(who), "", self._wall()))
        return self.state()

    def _call(self, record: KillRecord) -> KillRecord:
        with self._lock:
            self._called, self._unsent = record, True
        _log(record, "call")
        self._shared()
        return record

    def _shared(self) -> KillRecord | None:
        """Return the last call, here or in another process, where it threw the switch."""
        store = None if self._ledger is None else self._ledger.store
        if store is None or self._ledger is None:
            return self._called if self._called is not None and self._called.on else None
        with self._lock:
            try:
                if self._unsent and self._called is not None:
                    store.write_kill(self._called)
                    self._unsent = False
                record = store.read_kill()
            except StoreError as error:
                self._ledger.failed(error)
                record = self._called
            if record is None:  # a store that came back empty must not undo a call
                self._unsent = self._called is not None
            elif record != self._called:
                was, self._called = self._called, record
                if record.on or (was is not None and was.on):
                    _log(record, "store")
            return self._called if self._called is not None and self._called.on else None

    def _in_file(self) -> KillRecord | None:
        if self.file is None:
            return None
        try:
            seen = os.stat(self.file)  # noqa: PTH116 -- three times as fast as Path.stat, at every decision
        except (FileNotFoundError, NotADirectoryError):
            self._found = None
            return None
        except OSError:  # it is there, or was: stay where we are
            return None if self._found is None else self._found[1]
        mark = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
        found = self._found
        if found is None or found[0] != mark:
            try:
                with self.file.open("rb") as file:
                    line = file.read(_LONGEST).decode("utf-8", "replace").strip()
            except OSError:
                line = ""
            who, colon, why = line.partition(":")
            record = KillRecord(
                True,
                _line(who) if colon else f"file {self.file}",
                (why.strip() if colon else line),
                seen.st_mtime,
            )
            self._found = found = (mark, record)
        return found[1]

    def _in_environment(self) -> KillRecord | None:
        value = None if self.variable is None else os.environ.get(self.variable)
        if value is None or value.strip().lower() in _OFF:
            return None
        told = self._told.get("environment")
        who, why = f"environment variable {self.variable}", value[:_LONGEST]
        return told if told is not None and told.why == why else KillRecord(True, who, why, self._wall())

    def _tell(self, source: str, record: KillRecord | None) -> None:
        """Log once when a source throws the switch or takes it back."""
        with self._lock:
            if self._told.get(source) == record:
                return
            if record is None:
                del self._told[source]
                _log(KillRecord(False, when=self._wall()), source)
            else:
                self._told[source] = record
                _log(record, source)


def _line(who: str) -> str:
    return " ".join(who.split())[:_LONGEST]


def _log(record: KillRecord, source: str) -> None:
    when = datetime.fromtimestamp(record.when, UTC).isoformat(timespec="milliseconds")
    if record.on:
        text = "kill-switch on (%s): who=%r why=%r when=%s, everything goes to the safe model"
        logger.warning(text, source, record.who, record.why, when)
    else:
        logger.warning("kill-switch off (%s): who=%r when=%s, the policy decides again", source, record.who, when)
