"""A real run beside the replay of it: an upstream that really waits, the same arrivals, the same services."""

from __future__ import annotations

import numpy as np
import pytest
from mock_upstream import measure

from pointsman.load.queues import queue


@pytest.mark.parametrize(("places", "rate"), [(1, 6.0), (4, 30.0)])
def test_percentiles_of_a_real_run_are_those_of_its_replay(places: int, rate: float) -> None:
    rng, n = np.random.default_rng(places), 120
    arrival = np.cumsum(rng.exponential(1 / rate, n))
    real = measure(arrival, rng.gamma(4.0, 0.03, n), places)
    # The replay is given when calls were really sent and how long they really held their place, so that it answers for
    # the queue alone, and not for the timers of a busy machine.
    found = queue(real.arrival_s, np.zeros(n, dtype=np.intp), real.service_s, np.array([places]))
    assert (found.wait_s > 0).mean() > 0.3  # there was a queue to be foretold
    for share in (0.5, 0.95, 0.99):
        assert np.quantile(found.latency_s, share) == pytest.approx(np.quantile(real.latency_s, share), rel=0.1)
