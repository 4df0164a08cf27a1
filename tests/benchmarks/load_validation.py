"""The load replay against closed forms and against a real run: an upstream on loopback that really waits.

``python tests/benchmarks/load_validation.py [--page policies/LOAD.md]``. The real run takes about a minute,
nearly all of it waiting.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mock_upstream import measure

from pointsman.benchmarks.pages import rewrite
from pointsman.load.closed_forms import erlang_c, mg1_mean_wait, mmc_mean_wait
from pointsman.load.queues import queue

if TYPE_CHECKING:
    from collections.abc import Callable

REPLICATIONS, REQUESTS, WARM_UP = 40, 60_000, 10_000


def replicated(rate: float, places: int, draw: Callable[[np.random.Generator, int], Any]) -> tuple[Any, Any]:
    """Return the mean wait, s, and the share that waits, of independent replications."""
    waits, shares = [], []
    for replication in range(REPLICATIONS):
        rng = np.random.default_rng([places, replication])
        arrival = np.cumsum(rng.exponential(1 / rate, REQUESTS))
        found = queue(arrival, np.zeros(REQUESTS, dtype=np.intp), draw(rng, REQUESTS), np.array([places]))
        waits.append(found.wait_s[WARM_UP:].mean())
        shares.append((found.wait_s[WARM_UP:] > 0).mean())
    return np.array(waits), np.array(shares)


def row(name: str, what: str, found: Any, theory: float, scale: float) -> str:
    error = found.std(ddof=1) / np.sqrt(len(found))
    apart = (found.mean() - theory) / error
    return (
        f"| {name} | {what} | {scale * theory:.4g} | {scale * found.mean():.4g} ± {scale * error:.2g} | {apart:+.1f} |"
    )


def closed_forms() -> str:
    lines = [
        "| queue | figure | closed form | replay ± standard error | apart, in errors |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for places, use in ((1, 0.5), (1, 0.8), (4, 0.7), (8, 0.85), (64, 0.95)):
        rate, service = use * places / 0.1, 0.1
        waits, shares = replicated(rate, places, lambda rng, n: rng.exponential(0.1, n))
        name = f"M/M/{places}, {use:.0%} full"
        lines.append(row(name, "has to wait, % (Erlang C)", shares, erlang_c(places, rate * service), 100))
        lines.append(row(name, "mean wait, ms", waits, mmc_mean_wait(rate, service, places), 1000))
    for words, shape in (("hyper (gamma ½)", 0.5), ("Erlang-4", 4.0), ("constant", np.inf)):
        square = 0.01 * (1 + (0 if np.isinf(shape) else 1 / shape))

        def draw(rng: np.random.Generator, n: int, shape: float = shape) -> Any:
            return np.full(n, 0.1) if np.isinf(shape) else rng.gamma(shape, 0.1 / shape, n)

        waits, _ = replicated(7.0, 1, draw)
        lines.append(
            row(f"M/G/1, 70 % full, {words}", "mean wait, ms (P-K)", waits, mg1_mean_wait(7.0, 0.1, square), 1000)
        )
    return "\n".join(lines)


def real_run(n: int) -> str:
    lines = [
        "| real run | | measured, ms | replay of what was sent, ms | apart | replay of the plan, ms | apart |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for places, rate in ((4, 27.0), (16, 115.0)):
        rng = np.random.default_rng(places)
        arrival, service = np.cumsum(rng.exponential(1 / rate, n)), rng.gamma(4.0, 0.03, n)
        real = measure(arrival, service, places)
        seats, column = np.array([places]), np.zeros(n, dtype=np.intp)
        sent = queue(real.arrival_s, column, real.service_s, seats).latency_s
        plan = queue(arrival, column, service, seats).latency_s
        for share in (0.5, 0.95, 0.99):
            was, told, planned = (1000 * np.quantile(one, share) for one in (real.latency_s, sent, plan))
            name = f"{n:,} calls, {places} places, {rate:g} a second" if share == 0.5 else ""
            by_sent = f"{told:,.0f} | {100 * (told / was - 1):+.1f} %"
            by_plan = f"{planned:,.0f} | {100 * (planned / was - 1):+.1f} %"
            lines.append(f"| {name} | P{100 * share:g} | {was:,.0f} | {by_sent} | {by_plan} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000, help="of each real run")
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()
    text = closed_forms() + "\n\n" + real_run(args.calls)
    print(text)
    if args.page:
        rewrite(args.page, "load validation", "tests/benchmarks/load_validation.py", text)


if __name__ == "__main__":
    main()
