"""A clock that tests turn, and candidates and guards on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pointsman.guards.guards import Guards
from pointsman.guards.ledger import Ledger
from pointsman.policy import Candidate

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.guards.settings import GuardSettings
    from pointsman.guards.store import Store

START = 1_800_000_000.0  # divisible by the length of every bucket but the day's


class Clock:
    """Both clocks, in step."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guards_of(clock: Clock) -> Callable[..., Guards]:
    """Make guards of three candidates (the second takes two requests at once, each for 20 s at most)."""
    candidates = (Candidate("small"), Candidate("medium", timeout_ms=20_000.0, concurrency=2), Candidate("large"))

    def make(settings: GuardSettings, store: Store | None = None, ledger: Ledger | None = None) -> Guards:
        ledger = ledger or Ledger(store, clock, clock, refresh_s=0.0)
        return Guards(settings, candidates, ledger)

    return make
