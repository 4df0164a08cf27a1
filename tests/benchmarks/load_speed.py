"""How fast load is replayed: bare queues beside a SimPy model of the same system, and replays with guards.

``python tests/benchmarks/load_speed.py [--page policies/LOAD.md]``. Rates are of one core, compilation left out (it is
told by itself); ratios of one run say more than rates of a busy machine.
"""

from __future__ import annotations

import argparse
import os
import runpy
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import simpy

from pointsman.benchmarks.pages import rewrite
from pointsman.load.compiled import replay_load
from pointsman.load.exact import replay_exactly
from pointsman.load.queues import queue

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SYSTEMS = Path(__file__).parents[1] / "policies" / "load" / "conftest.py"


def simpy_waits(arrival: Floats, service: Floats, places: int) -> Floats:
    """Return the waits of a SimPy model: one process a request, one resource."""
    world = simpy.Environment()
    seats, waits = simpy.Resource(world, places), np.zeros(len(arrival))

    def request(at: int, lasts: float) -> Any:
        began = world.now
        with seats.request() as seat:
            yield seat
            waits[at] = world.now - began
            yield world.timeout(lasts)

    def arrive() -> Any:
        for at, (when, lasts) in enumerate(zip(arrival.tolist(), service.tolist(), strict=True)):
            yield world.timeout(when - world.now)
            world.process(request(at, lasts))

    world.process(arrive())
    world.run()
    return waits


def per_second(work: Callable[[], object], requests: int, least_s: float = 0.5) -> float:
    """Return requests per second of CPU, the work repeated until it has taken some time."""
    work_done, began = 0, time.process_time()
    while (spent := time.process_time() - began) < least_s:
        work()
        work_done += requests
    return work_done / spent


def measured(n: int) -> str:
    rng, places = np.random.default_rng(0), 8
    arrival, service = np.cumsum(rng.exponential(1 / 64, n)), rng.exponential(0.1, n)
    column, seats = np.zeros(n, dtype=np.intp), np.array([places])
    began = time.process_time()
    queue(arrival, column, service, seats)
    first = time.process_time() - began
    few = 20_000
    apart = np.abs(
        simpy_waits(arrival[:few], service[:few], places)
        - queue(arrival[:few], column[:few], service[:few], seats).wait_s
    )
    by_simpy = per_second(lambda: simpy_waits(arrival[:few], service[:few], places), few)
    bare = per_second(lambda: queue(arrival, column, service, seats), n)
    make = runpy.run_path(str(SYSTEMS))["random_system"]
    small, large = make(7, n=2000, m=4), make(7, n=100_000, m=4)
    began = time.process_time()
    replay_load(small)
    compiling = time.process_time() - began
    exact = per_second(lambda: replay_exactly(small), len(small))
    large.request_ids, large.choices, large.luck  # noqa: B018 -- names and tables are made once
    mirrored = per_second(lambda: replay_load(large), len(large))
    rows = [
        ("SimPy, one queue of 8 places, 80 % full", by_simpy, 1.0),
        ("bare queues, the same system", bare, bare / by_simpy),
        ("every guard, the gateway's own code (`--exact`)", exact, exact / by_simpy),
        ("every guard, compiled mirror", mirrored, mirrored / by_simpy),
    ]
    lines = ["| replay | requests per second and core | times SimPy |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {rate:,.0f} | {ratio:,.2g} |" for name, rate, ratio in rows]
    busy = f"{os.getloadavg()[0]:.0f} processes wanted to run on {os.cpu_count()} cores"
    lines.append(
        f"\nWaits of SimPy and of the bare queues differ by at most {1e9 * apart.max():.2g} ns over {few:,} requests. "
        f"The mirror is {mirrored / exact:,.0f} times as fast as the gateway's own guards. Compiling, once a machine: "
        f"{first:.0f} s of CPU for the queues, {compiling:.0f} s for the mirror (near 0 where it was cached). Measured "
        f"while {busy}: read the ratios."
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()
    text = measured(args.requests)
    print(text)
    if args.page:
        rewrite(args.page, "load speed", "tests/benchmarks/load_speed.py", text)


if __name__ == "__main__":
    main()
