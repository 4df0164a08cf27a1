"""How long each phase of a fit took: a listener to its progress, beside the one on the terminal."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PhaseClock", "PhaseTime"]


@dataclass(frozen=True)
class PhaseTime:
    """When a phase ran, and how long it worked itself.

    Attributes
    ----------
    name : str
        As the fit calls it.
    began, ended : float
        Unix time, s.
    seconds : float
        Without the phases that ran inside it.
    """

    name: str
    began: float
    ended: float
    seconds: float


class PhaseClock:
    """Hears (phase, done, total) and passes it on.

    Time belongs to the innermost phase that is under way; between phases, to the one that comes next. So the phases'
    own seconds add up to the whole.

    Parameters
    ----------
    then : callable, optional
        Is told the same.
    now : callable
        Unix time, s.
    """

    def __init__(
        self, then: Callable[[str, int, int], None] | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self._then, self._now = then, now
        self._last = now()
        self._open: list[str] = []
        self._times: dict[str, PhaseTime] = {}

    def __call__(self, phase: str, done: int, total: int) -> None:
        """Hear that `done` of `total` steps of a phase are done."""
        now = self._now()
        owner = self._open[-1] if self._open else phase
        for name, seconds in ((owner, now - self._last), (phase, 0.0)):
            known = self._times.get(name) or PhaseTime(name, self._last if name == owner else now, now, 0.0)
            self._times[name] = PhaseTime(name, known.began, now, known.seconds + seconds)
        if phase not in self._open:
            self._open.append(phase)
        if done >= total:
            del self._open[self._open.index(phase) :]
        self._last = now
        if self._then is not None:
            self._then(phase, done, total)

    @property
    def times(self) -> list[PhaseTime]:
        """The phases so far, by when they began."""
        return sorted(self._times.values(), key=lambda one: one.began)
