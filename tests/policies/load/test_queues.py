"""Queues against the closed forms: M/M/c by Erlang C, M/G/1 by Pollaczek and Khinchine; and against the exact replay.

Each law is held against the mean of independent replications: within four of their standard errors, which chance
passes all but once in 16,000 times, and the seeds are fixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pointsman.load.closed_forms import erlang_c, mg1_mean_wait, mmc_mean_wait, mmc_wait_above
from pointsman.load.exact import replay_exactly
from pointsman.load.queues import queue

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.load.system import System

REPLICATIONS, REQUESTS, WARM_UP = 40, 60_000, 10_000


def waits(rate: float, places: int, draw: Callable[[np.random.Generator, int], Any], seed: int) -> Any:
    """Return the waits of independent replications, (r, n) s, after the queue has warmed up."""
    found = []
    for replication in range(REPLICATIONS):
        rng = np.random.default_rng([seed, replication])
        arrival = np.cumsum(rng.exponential(1 / rate, REQUESTS))
        one = queue(arrival, np.zeros(REQUESTS, dtype=np.intp), draw(rng, REQUESTS), np.array([places]))
        found.append(one.wait_s[WARM_UP:])
    return np.array(found)


def agrees(per_replication: Any, theory: float) -> None:
    error = per_replication.std(ddof=1) / np.sqrt(len(per_replication))
    assert abs(per_replication.mean() - theory) < 4 * error
    assert error < 0.05 * theory  # an error that is wide proves nothing


@pytest.mark.parametrize(("places", "use"), [(1, 0.5), (1, 0.8), (4, 0.7), (8, 0.85), (64, 0.95)])
def test_a_queue_of_several_places_keeps_erlangs_law(places: int, use: float) -> None:
    service = 0.1
    rate = use * places / service
    found = waits(rate, places, lambda rng, n: rng.exponential(service, n), seed=places)
    agrees((found > 0).mean(axis=1), erlang_c(places, rate * service))
    agrees(found.mean(axis=1), mmc_mean_wait(rate, service, places))
    late = mmc_mean_wait(rate, service, places)
    agrees((found > late).mean(axis=1), mmc_wait_above(late, rate, service, places))


@pytest.mark.parametrize("shape", [0.5, 1.0, 4.0, np.inf])
def test_one_place_keeps_the_law_of_pollaczek_and_khinchine(shape: float) -> None:
    mean, rate = 0.1, 7.0
    square = mean**2 * (1 + (0 if np.isinf(shape) else 1 / shape))

    def draw(rng: np.random.Generator, n: int) -> Any:
        return np.full(n, mean) if np.isinf(shape) else rng.gamma(shape, mean / shape, n)

    agrees(waits(rate, 1, draw, seed=7).mean(axis=1), mg1_mean_wait(rate, mean, square))


def test_no_limit_of_places_means_no_wait_and_patience_ends_what_is_too_long() -> None:
    arrival, service = np.zeros(3), np.array([1.0, 2.0, 3.0])
    found = queue(arrival, np.zeros(3, dtype=np.intp), service, np.array([0]), np.array([2.5]))
    assert not found.wait_s.any()
    assert found.latency_s.tolist() == [1.0, 2.0, 2.5]
    assert found.in_time.tolist() == [True, True, False]


@pytest.mark.parametrize("seed", range(4))
def test_the_recursion_gives_what_the_events_give(make_system: Callable[..., System], seed: int) -> None:
    system = make_system(seed, incidents=(), killed=None)
    fixed = np.random.default_rng(seed).integers(0, 3, len(system))
    exact = replay_exactly(system.but(fixed=fixed, slowdown=np.zeros(3)))
    service = system.calls.service_ms[system.call, fixed] / 1000
    found = queue(system.arrival_s, fixed, service, system.places, system.timeout_s)
    np.testing.assert_allclose(found.latency_s * 1000, exact.latency_ms, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(found.wait_s * 1000, exact.wait_ms, rtol=1e-9, atol=1e-6)
