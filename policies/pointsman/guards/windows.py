"""Sums over rolling windows of time, in constant memory, shareable between processes. Standard library only."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["RollingSums"]


class RollingSums:
    """Named sums over the last `span_s` seconds, kept in `buckets` equal parts; not locked.

    A window holds its current bucket and the ``buckets - 1`` before it, so it spans between ``span_s - span_s /
    buckets`` and `span_s`. Buckets begin at multiples of their length since 1970: processes agree on them, and a window
    of one bucket of 86,400 s is the calendar day in UTC.

    Parameters
    ----------
    span_s : float
    buckets : int
    """

    def __init__(self, span_s: float, buckets: int) -> None:
        self.span_s = span_s
        self.buckets = buckets
        self.name = f"{span_s:g}:{buckets}"
        self._length = span_s / buckets
        self._newest = 0
        self._own: dict[int, dict[str, float]] = {}
        self._others: dict[int, dict[str, float]] = {}
        self._unsent: set[tuple[int, str]] = set()

    def add(self, key: str, amount: float, now: float) -> None:
        """Add to a sum at a wall time, s; a time before the newest bucket counts in that bucket."""
        self.advance(now)
        sums = self._own.setdefault(self._newest, {})
        sums[key] = sums.get(key, 0.0) + amount
        self._unsent.add((self._newest, key))

    def total(self, key: str, now: float, since: float = 0.0) -> float:
        """Return a sum; of the buckets that began at `since` or later where that is given."""
        self.advance(now)
        first = self._newest - self.buckets if since <= 0 else int(-(-since // self._length)) - 1
        found = 0.0
        for part in (self._own, self._others):
            for index, sums in part.items():
                if index > first and key in sums:
                    found += sums[key]
        return found

    def advance(self, now: float) -> None:
        """Forget the buckets that have left the window; a clock set back by more than the window starts anew."""
        index = int(now // self._length)
        if index == self._newest:
            return
        if index < self._newest:
            if index > self._newest - self.buckets:
                return
            self._own.clear()
            self._others.clear()
            self._unsent.clear()
        self._newest = index
        oldest = index - self.buckets
        for part in (self._own, self._others):
            for old in [at for at in part if at <= oldest]:
                del part[old]
        if self._unsent:
            self._unsent = {one for one in self._unsent if one[0] > oldest}

    def live(self, now: float, newest: int | None = None) -> list[int]:
        """Return the indexes of the window's buckets, newest first; only the first `newest` of them where given."""
        self.advance(now)
        count = self.buckets if newest is None else min(newest, self.buckets)
        return [self._newest - back for back in range(count)]

    def unsent(self) -> dict[int, dict[str, float]]:
        """Return this process's own sums that changed since they were last sent: whole sums, not differences."""
        found: dict[int, dict[str, float]] = {}
        for index, key in self._unsent:
            found.setdefault(index, {})[key] = self._own[index][key]
        return found

    def sent(self, parts: Mapping[int, Mapping[str, float]]) -> None:
        """Take note that these sums have arrived in the shared store; what changed meanwhile stays unsent."""
        for index, sums in parts.items():
            own = self._own.get(index, {})
            self._unsent -= {(index, key) for key, value in sums.items() if own.get(key) == value}

    def has_own(self, index: int) -> bool:
        """Whether this process has sums of a bucket."""
        return index in self._own

    def resend(self) -> None:
        """Take note that the shared store has lost what it held."""
        self._unsent = {(index, key) for index, sums in self._own.items() for key in sums}

    def others(self, parts: Iterable[tuple[int, Mapping[str, float]]]) -> None:
        """Set what the other processes have summed up, bucket by bucket."""
        for index, sums in parts:
            if self._newest - self.buckets < index <= self._newest:
                self._others[index] = dict(sums)
