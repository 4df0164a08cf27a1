"""The compiled replay equals the exact one, which runs the gateway's own guards: every decision, time and cost."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pointsman.load.compiled import replay_load
from pointsman.load.exact import replay_exactly
from pointsman.load.result import BROKEN, DEGRADED, FULL, KILLED, THROTTLED, LoadResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.load.system import System


def same(one: LoadResult, other: LoadResult) -> None:
    for entry in fields(LoadResult):
        np.testing.assert_array_equal(getattr(one, entry.name), getattr(other, entry.name), err_msg=entry.name)


def test_every_decision_time_and_cost_equals_that_of_the_gateways_own_guards(
    make_system: Callable[..., System],
) -> None:
    marks, opened, retried, models = 0, 0, 0, set()
    for seed in range(40):
        system = make_system(seed, m=2 + seed % 4)
        exact = replay_exactly(system)
        same(replay_load(system), exact)
        marks |= int(np.bitwise_or.reduce(exact.marks))
        opened += int(exact.opened.sum())
        retried += int((exact.attempts > 1).sum())
        models |= set(exact.column.tolist())
    # The systems have to give every guard something to do, or equality would prove little.
    assert marks == DEGRADED | KILLED | FULL | BROKEN | THROTTLED
    assert opened > 40
    assert retried > 1000
    assert len(models) == 5


@pytest.mark.parametrize("seed", range(6))
def test_production_before_has_no_guards(make_system: Callable[..., System], seed: int) -> None:
    system = make_system(seed)
    fixed = np.random.default_rng(seed).integers(0, 3, len(system))
    exact = replay_exactly(system.but(fixed=fixed))
    same(replay_load(system.but(fixed=fixed)), exact)
    np.testing.assert_array_equal(exact.column, fixed)
    assert (exact.attempts == 1).all()
    assert not exact.marks.any()
