"""Requests under way at one model: what its concurrency limit and its probes are counted by. Standard library only."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

__all__ = ["Lease", "Leases"]


class Lease(NamedTuple):
    """One request under way: when it is given up (monotonic s), and the epoch of the circuit that it probes."""

    expires: float
    probe: int | None


class Leases:
    """The requests under way at one model, in the order in which they expire; not locked.

    Parameters
    ----------
    lifetime_s : float
        After this long a request that was never reported is given up, s.
    """

    def __init__(self, lifetime_s: float) -> None:
        self.lifetime_s = lifetime_s
        self.expired = 0
        self._held: OrderedDict[str, Lease] = OrderedDict()  # the first is found at once

    def take(self, request_id: str, now: float, probe: int | None = None) -> None:
        """Note a request; one of the same id that is still under way counts no longer."""
        self._held.pop(request_id, None)
        self._held[request_id] = Lease(now + self.lifetime_s, probe)

    def release(self, request_id: str) -> Lease | None:
        """Return and forget a request; None where it is unknown or was given up."""
        return self._held.pop(request_id, None)

    def under_way(self, now: float) -> int:
        """Return how many there are at a monotonic time, s."""
        self._sweep(now)
        return len(self._held)

    def probes(self, epoch: int, now: float) -> int:
        """Return how many of them probe the circuit in that epoch."""
        self._sweep(now)
        return sum(lease.probe == epoch for lease in self._held.values())

    def _sweep(self, now: float) -> None:
        while self._held:
            request_id, lease = next(iter(self._held.items()))
            if lease.expires > now:
                return
            del self._held[request_id]
            self.expired += 1
