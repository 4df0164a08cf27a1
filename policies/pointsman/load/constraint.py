"""The P95 constraint under load: what each request waits when all of them go where a policy sends them.

A fast approximation, for thousands of trials: bare queues (`pointsman.load.queues`) at the spec's rate, no guards; a
request occupies a place of its first choice for as long as its whole chain of fallbacks takes. Before/after reports
replay the same arrivals with the guards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pointsman.errors import TraceError
from pointsman.load.arrivals import Arrivals, poisson, read_arrivals
from pointsman.load.queues import queue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pointsman.replay import Served
    from pointsman.spec import RoutingSpec

    Floats = NDArray[np.float64]

__all__ = ["ROUNDS", "UnderLoad", "arrivals_of", "rate_of", "under_load"]

ROUNDS = 2
"""The requests come so many times; the last counts, so that no queue is empty because the replay has just begun."""

SECONDS_PER_MONTH = 30 * 86_400


@dataclass(frozen=True, eq=False)
class UnderLoad:
    """Queues that n requests meet, always the same arrivals.

    Attributes
    ----------
    arrivals : Arrivals
        As many as there may be requests, and `ROUNDS` times that.
    rate : float
        Per second.
    places : (m,) int64 array
        0 for no limit.
    slowdown, patience_s : (m,) float64 array
    """

    arrivals: Arrivals
    rate: float
    places: NDArray[np.int64]
    slowdown: Floats
    patience_s: Floats

    def latency_ms(self, service_ms: Floats, chosen: NDArray[np.intp]) -> Floats:
        """Return the latency of n requests, (n,) ms, when each goes to its chosen model and takes that long there."""
        n = len(service_ms)
        time = self.arrivals.repeated(ROUNDS * n).time_s
        twice = np.tile(chosen, ROUNDS), np.tile(service_ms / 1000, ROUNDS)
        found = queue(time, *twice, self.places, self.patience_s, self.slowdown)
        waited = found.wait_s[-n:] * 1000
        # Chains of fallbacks may last longer than the first model's timeout: waits come on top of what was measured.
        return np.maximum(service_ms + waited, found.latency_s[-n:] * 1000)

    def served(self, served: Served, chosen: NDArray[np.intp]) -> Served:
        """Return the same with latencies under load."""
        if served.late is not None:
            raise TraceError(
                "constraints.latency is under_load, and these are logs: waits need requests that were replayed against "
                "every candidate; allowed here: alone"
            )
        return replace(served, latency_ms=self.latency_ms(served.latency_ms, chosen))


def rate_of(spec: RoutingSpec) -> float:
    """Return the requests per second that a spec says, or 0."""
    if spec.load.rate_per_s is not None:
        return spec.load.rate_per_s
    return (spec.requests_per_month or 0.0) / SECONDS_PER_MONTH


def arrivals_of(spec: RoutingSpec, n: int, seed: int = 0) -> Arrivals:
    """Return n arrivals as a spec says they come."""
    rate, said = rate_of(spec), spec.load.arrivals
    return poisson(rate, n, seed) if said == "poisson" else read_arrivals(said).repeated(n).at_rate(rate)


def under_load(spec: RoutingSpec, models: Sequence[str], n: int) -> UnderLoad | None:
    """Return the queues that a spec's constraint asks for, of n requests; None where it asks for none.

    Parameters
    ----------
    spec : RoutingSpec
    models : sequence of str
        Candidates in the order of the columns.
    n : int
    """
    if spec.constraints.latency != "under_load":
        return None
    candidates = [spec.candidates[name] for name in models]
    places = [
        spec.load.concurrency.get(name, one.concurrency or 0) for name, one in zip(models, candidates, strict=True)
    ]
    slow = [spec.load.latency[name].slowdown if name in spec.load.latency else 0.0 for name in models]
    return UnderLoad(
        arrivals_of(spec, ROUNDS * n),
        rate_of(spec),
        np.array(places, dtype=np.int64),
        np.array(slow),
        np.array([np.inf if one.timeout_ms is None else one.timeout_ms / 1000 for one in candidates]),
    )
