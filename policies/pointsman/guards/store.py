"""What gateway processes share: sums of windows, circuits, the kill-switch; and a store of them in memory.

Standard library only. A store never decides: when it is away, each process goes on with what it knows.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pointsman.errors import PointsmanError
from pointsman.guards.circuit import CircuitState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["KillRecord", "MemoryStore", "Shared", "Store", "StoreError", "Sums"]

Sums = dict[str, dict[int, dict[str, float]]]
"""By window, bucket and key."""


class StoreError(PointsmanError):
    """The shared store could not be asked."""


class KillRecord(NamedTuple):
    """The last word on the kill-switch: on or off, by whom, why, and when (wall time, s)."""

    on: bool
    who: str = ""
    why: str = ""
    when: float = 0.0


class Shared(NamedTuple):
    """What a store holds.

    Attributes
    ----------
    sums : dict
        By window, bucket and process: the sums of each.
    circuits : dict of str to CircuitState
    """

    sums: dict[str, dict[int, dict[str, dict[str, float]]]]
    circuits: dict[str, CircuitState]


class Store(Protocol):
    """Shares state between processes; every method is safe between threads and raises StoreError when it is away."""

    def exchange(
        self,
        process: str,
        sums: Mapping[str, Mapping[int, Mapping[str, float]]],
        circuits: Mapping[str, CircuitState],
        wanted: Mapping[str, Sequence[int]],
    ) -> Shared:
        """Set a process's own sums and the circuits that it changed; return the wanted buckets and all circuits.

        Sums are set, not added: to send them twice does no harm.
        """

    def read_kill(self) -> KillRecord | None:
        """Return the last word on the kill-switch; None where the store knows of none."""

    def write_kill(self, record: KillRecord) -> None:
        """Set it."""


class MemoryStore:
    """A store for several routers of one process, and for replays; keeps the newest `most` buckets of each window."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._sums: dict[str, dict[int, dict[str, dict[str, float]]]] = {}
        self._circuits: dict[str, CircuitState] = {}
        self._kill: KillRecord | None = None

    def exchange(
        self,
        process: str,
        sums: Mapping[str, Mapping[int, Mapping[str, float]]],
        circuits: Mapping[str, CircuitState],
        wanted: Mapping[str, Sequence[int]],
    ) -> Shared:
        """See `Store.exchange`."""
        with self._lock:
            for window, parts in sums.items():
                held = self._sums.setdefault(window, {})
                for index, part in parts.items():
                    held.setdefault(index, {}).setdefault(process, {}).update(part)
                for old in sorted(held)[: -self._most]:
                    del held[old]
            for model, state in circuits.items():
                if state.epoch > self._circuits.get(model, CircuitState()).epoch:
                    self._circuits[model] = state
            found = {
                window: {
                    index: {name: dict(part) for name, part in self._sums.get(window, {}).get(index, {}).items()}
                    for index in indexes
                }
                for window, indexes in wanted.items()
            }
            return Shared(found, dict(self._circuits))

    def read_kill(self) -> KillRecord | None:
        """See `Store.read_kill`."""
        return self._kill

    def write_kill(self, record: KillRecord) -> None:
        """See `Store.write_kill`."""
        self._kill = record
