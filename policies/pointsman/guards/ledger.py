"""The ledger: all state that guards keep, on two clocks, in step with a shared store where there is one.

Standard library only. It outlives a reload of the policy: what is known of a model stays known.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from typing import TYPE_CHECKING

from pointsman.guards.circuit import CircuitState
from pointsman.guards.leases import Leases
from pointsman.guards.store import StoreError
from pointsman.guards.windows import RollingSums

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.guards.store import Shared, Store, Sums

__all__ = ["Ledger"]

logger = logging.getLogger("pointsman.guards")

_NEWEST = 2
_EVERYTHING_S = 1.0


class Ledger:
    """Windows and circuits; guards hold its lock while they read or change them.

    Parameters
    ----------
    store : Store, optional
        Shares them with other processes; without one they are this process's own.
    monotonic, wall : callable
        Seconds: for durations, and since 1970 for windows, which processes share.
    circuits : dict of str to CircuitState
        By model.
    store_failures : int
        How often the store did not answer; `store_away` tells whether it did last time.
    refresh_s : float
        The store is asked by a decision, or by a report, once in this time at most; 0 for every time.
    """

    def __init__(
        self,
        store: Store | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        refresh_s: float = 0.05,
    ) -> None:
        self.store = store
        self.monotonic = monotonic
        self.wall = wall
        self.refresh_s = refresh_s
        self.lock = threading.RLock()
        self.store_failures = 0
        self.store_away = False
        self._process = secrets.token_hex(8)
        self._windows: dict[str, RollingSums] = {}
        self.circuits: dict[str, CircuitState] = {}
        self._leases: dict[str, Leases] = {}
        self._seen: dict[str, CircuitState] = {}
        self._asking = threading.Lock()
        self._asked_at = float("-inf")
        self._all_at = float("-inf")

    def window(self, span_s: float, buckets: int) -> RollingSums:
        """Return the window of that span and number of buckets: one for all who ask."""
        window = RollingSums(span_s, buckets)
        return self._windows.setdefault(window.name, window)

    def leases(self, model: str, lifetime_s: float) -> Leases:
        """Return the requests under way at a model, which from now on are given up after that time."""
        leases = self._leases.setdefault(model, Leases(lifetime_s))
        leases.lifetime_s = lifetime_s
        return leases

    def refresh(self) -> None:
        """Ask the store, where it is time to; a store that is away is counted and does no harm.

        One thread asks at a time; the others go on with what is known.
        """
        if self.store is None or self.monotonic() - self._asked_at < self.refresh_s:
            return
        if not self._asking.acquire(blocking=False):
            return
        try:
            self._exchange(self.store)
        finally:
            self._asking.release()

    def failed(self, error: StoreError) -> None:
        """Count a failure of the store; the first of a row is logged."""
        with self.lock:
            self.store_failures += 1
            if not self.store_away:
                logger.warning("the shared store does not answer, deciding on local state: %s", error)
            self.store_away = True

    def _exchange(self, store: Store) -> None:
        now, wall = self.monotonic(), self.wall()
        self._asked_at = now
        whole = now - self._all_at >= _EVERYTHING_S
        with self.lock:
            windows = dict(self._windows)
            wanted = {name: one.live(wall, None if whole else _NEWEST) for name, one in windows.items()}
            sums: Sums = {name: parts for name, one in windows.items() if (parts := one.unsent())}
            changed = {
                model: state
                for model, state in self.circuits.items()
                if state.epoch > self._seen.get(model, CircuitState()).epoch
            }
        try:
            shared = store.exchange(self._process, sums, changed, wanted)
        except StoreError as error:
            self.failed(error)
            self._all_at = float("-inf")
            return
        with self.lock:
            if self.store_away:
                logger.warning("the shared store answers again")
            self.store_away = False
            self._all_at = now if whole else self._all_at
            self._take(shared, sums)

    def _take(self, shared: Shared, sent: Sums) -> None:
        for name, parts in sent.items():
            self._windows[name].sent(parts)
        for name, buckets in shared.sums.items():
            window, lost = self._windows[name], False
            others = []
            for index, by_process in buckets.items():
                lost |= window.has_own(index) and self._process not in by_process
                total: dict[str, float] = {}
                for process, sums in by_process.items():
                    if process != self._process:
                        for key, value in sums.items():
                            total[key] = total.get(key, 0.0) + value
                others.append((index, total))
            if lost:  # the store came back empty
                window.resend()
            window.others(others)
        self._seen = shared.circuits
        for model, state in shared.circuits.items():
            if state.epoch > self.circuits.get(model, CircuitState()).epoch:
                self.circuits[model] = state
