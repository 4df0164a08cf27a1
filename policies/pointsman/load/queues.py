"""Bare queues, compiled: one first-come, first-served queue a model, a finite number of places, patience, no guards.

Kiefer and Wolfowitz (1955): in order of arrival a request starts when it is there and the place that is free first is
free. It gives exactly what an event-driven replay of the same arrivals gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pointsman.load.compiling import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["Waits", "queue"]


class Waits(NamedTuple):
    """What n requests met, in order of arrival.

    Attributes
    ----------
    wait_s : (n,) float64 array
        In the queue; of one that gave up, as long as it was patient.
    latency_s : (n,) float64 array
        From arrival to the answer, or to giving up.
    in_time : (n,) bool array
        Whether the answer came within its patience.
    """

    wait_s: Floats
    latency_s: Floats
    in_time: NDArray[np.bool_]


@compiled
def _run(
    arrival: Floats,
    column: NDArray[np.intp],
    service: Floats,
    patience: Floats,
    places: NDArray[np.int64],
    slowdown: Floats,
    heaps: Floats,
    wait: Floats,
    latency: Floats,
    in_time: NDArray[np.bool_],
) -> None:
    for i in range(len(arrival)):
        j = column[i]
        c = places[j]
        if c == 0:  # no limit: nobody waits
            wait[i] = 0.0
            latency[i] = min(service[i], patience[j])
            in_time[i] = service[i] <= patience[j]
            continue
        heap = heaps[j]
        start = max(arrival[i], heap[0])
        if start - arrival[i] >= patience[j]:
            wait[i] = latency[i] = patience[j]
            in_time[i] = False
            continue
        busy = 0
        if slowdown[j] > 0:
            for k in range(c):
                busy += heap[k] > start
        lasts = service[i] * (1 + slowdown[j] * busy / c)
        end = start + lasts
        most = arrival[i] + patience[j]
        in_time[i] = end <= most
        end = min(end, most)
        wait[i] = start - arrival[i]
        latency[i] = end - arrival[i]
        at = 0  # the root of a heap of c: sift the new time down
        while True:
            child = 2 * at + 1
            if child >= c:
                break
            if child + 1 < c and heap[child + 1] < heap[child]:
                child += 1
            if heap[child] >= end:
                break
            heap[at] = heap[child]
            at = child
        heap[at] = end


def queue(
    arrival_s: Floats,
    column: NDArray[np.intp],
    service_s: Floats,
    places: NDArray[np.int64],
    patience_s: Floats | None = None,
    slowdown: Floats | None = None,
) -> Waits:
    """Send n requests through the queues of m models.

    Parameters
    ----------
    arrival_s : (n,) float64 array
        Ascending.
    column : (n,) intp array
        Which model each goes to.
    service_s : (n,) float64 array
        How long each occupies a place there, alone.
    places : (m,) int64 array
        Requests that each model serves at once; 0 for no limit.
    patience_s : (m,) float64 array, optional
        After this long from its arrival a request gives up and frees its place; infinite by default.
    slowdown : (m,) float64 array, optional
        A request that finds b of c places taken lasts ``1 + slowdown b / c`` times as long; 0 by default.
    """
    m, n = len(places), len(arrival_s)
    heaps = np.full((m, max(int(places.max(initial=1)), 1)), -np.inf)
    found = Waits(np.empty(n), np.empty(n), np.empty(n, dtype=np.bool_))
    patience = np.full(m, np.inf) if patience_s is None else patience_s
    slow = np.zeros(m) if slowdown is None else slowdown
    _run(arrival_s, column, service_s, patience, places, slow, heaps, *found)
    return found
