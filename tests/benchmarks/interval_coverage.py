"""How often the intervals of before against after hold the truth, and how wide they are, by method.

    python tests/benchmarks/interval_coverage.py [--repeats 50] [--replicates 500] [--processes 2]

Requests with known truth: skewed costs, rare usefulness, a policy that changes few requests, conversations whose
requests are alike, few users. Prints for each the coverage of 95 % intervals (%), the median width against the
percentile bootstrap's, and the share of samples that had no interval, then each method's mean and worst coverage by
metric. `default` is what `paired_change` does when no method is named.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.evidence import METHODS, paired_change
from pointsman.replay import Served

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

COLUMNS = (*METHODS, "default")
SIZES = (50, 100, 300, 1000)
METRICS = ("useful_rate", "cost_usd", "cost_per_useful", "p95_ms")
FIGURES = tuple(
    (metric, end) for metric in METRICS for end in ("", "ratio_") if (metric, end) != ("useful_rate", "ratio_")
)
TRUTH_REQUESTS = 2_000_000


@dataclass(frozen=True)
class Sample:
    """Both sides of n requests and the cluster of each."""

    before: Served
    after: Served
    cluster: NDArray[Any] | None = None


def skewed(generator: np.random.Generator, n: int) -> Sample:
    """Draw lognormal costs (a few requests cost most) and lognormal latencies, alike on both sides."""
    return _sample(generator, n, np.zeros(n), (0.78, 0.82), sigma=1.4)


def rare(generator: np.random.Generator, n: int) -> Sample:
    """Draw requests of which one in ten was served usefully."""
    return _sample(generator, n, np.zeros(n), (0.08, 0.12), sigma=0.8)


def few_changes(generator: np.random.Generator, n: int) -> Sample:
    """Draw requests of which one in ten is served by another model than before."""
    sample = _sample(generator, n, np.zeros(n), (0.85, 0.80), sigma=1.0)
    moved = generator.random(n) < 0.1
    columns = {
        name: np.where(moved, getattr(sample.after, name), getattr(sample.before, name))
        for name in ("useful", "cost_usd", "latency_ms", "hallucinated")
    }
    return Sample(sample.before, Served(**columns))


def conversations(generator: np.random.Generator, n: int) -> Sample:
    """Draw conversations of five requests on average: a third of what makes requests differ is the conversation's."""
    return _clustered(generator, n, 1 + generator.geometric(0.25, size=n) - 1)


def few_users(generator: np.random.Generator, n: int) -> Sample:
    """Draw the requests of eight users."""
    return _clustered(generator, n, np.full(n, max(n // 8, 1)))


def _clustered(generator: np.random.Generator, n: int, sizes: NDArray[Any]) -> Sample:
    cluster = np.repeat(np.arange(len(sizes)), sizes)[:n]
    return _sample(generator, n, generator.standard_normal(len(sizes))[cluster], (0.6, 0.7), 0.8, cluster.astype(str))


def _sample(
    generator: np.random.Generator,
    n: int,
    shared: NDArray[Any],
    useful: tuple[float, float],
    sigma: float,
    cluster: NDArray[Any] | None = None,
) -> Sample:
    """Draw requests whose difficulty, length and speed are partly their cluster's (`shared`) and their own."""
    icc = 0.0 if cluster is None else 0.33
    mixed = [np.sqrt(icc) * shared + np.sqrt(1 - icc) * generator.standard_normal(n) for _ in range(3)]
    sides = []
    for rate, cost, ms in zip(useful, (0.02, 0.012), (180.0, 150.0), strict=True):
        own = generator.standard_normal((3, n))
        difficulty, length, speed = (0.8 * one + 0.6 * other for one, other in zip(mixed, own, strict=True))
        sides.append(
            Served(
                useful=(difficulty < NormalDist().inv_cdf(rate)).astype(np.float64),
                cost_usd=cost * np.exp(sigma * length),
                latency_ms=ms * np.exp(0.7 * speed),
                hallucinated=np.full(n, np.nan),
            )
        )
    return Sample(sides[0], sides[1], cluster)


SCENARIOS: dict[str, Callable[[np.random.Generator, int], Sample]] = {
    "skewed costs": skewed,
    "rarely useful": rare,
    "few changes": few_changes,
    "conversations": conversations,
    "8 users": few_users,
}


@cache
def truth(scenario: str) -> dict[tuple[str, str], float]:
    """Return each figure of the population, of a cost that of one request."""
    source = "conversations" if scenario == "8 users" else scenario
    sample = SCENARIOS[source](np.random.default_rng(0), TRUTH_REQUESTS)
    sides: list[Any] = [side.summary() for side in (sample.before, sample.after)]
    for side in sides:
        side["cost_usd"] /= TRUTH_REQUESTS
    return {
        (metric, end): sides[1][metric] / sides[0][metric] if end else sides[1][metric] - sides[0][metric]
        for metric, end in FIGURES
    }


def one(scenario: str, n: int, replicates: int, seed: int) -> dict[tuple[str, str, str], tuple[float, float] | None]:
    """Return the interval of every method and figure on one sample."""
    sample = SCENARIOS[scenario](np.random.default_rng([1, seed, n]), n)
    found = {}
    for column in COLUMNS:
        change = paired_change(
            sample.before,
            sample.after,
            seed=seed,
            replicates=replicates,
            cluster=sample.cluster,
            method=None if column == "default" else column,
        )
        for metric, end in FIGURES:
            entry = change[metric]
            known = entry is not None and f"{end}low" in entry
            found[column, metric, end] = (entry[f"{end}low"], entry[f"{end}high"]) if known else None
    return found


def main() -> None:
    """Draw samples, measure coverage and width, print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=50, help="samples of each kind and size")
    parser.add_argument("--replicates", type=int, default=500, help="bootstrap replicates of each sample")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    started = time.perf_counter()
    error = 100 * np.sqrt(0.95 * 0.05 / args.repeats)
    out = sys.stdout
    out.write(f"{args.repeats} samples a line, {args.replicates} replicates: Monte Carlo error ±{error:.1f} points\n\n")
    out.write(f"| requests | n | figure | {' | '.join(COLUMNS)} |\n|---|---|---|{'---|' * len(COLUMNS)}\n")
    coverages: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with ProcessPoolExecutor(args.processes) as pool:
        for scenario, n in product(SCENARIOS, SIZES):
            samples = list(pool.map(partial(one, scenario, n, args.replicates), range(args.repeats), chunksize=10))
            for metric, end in FIGURES:
                aim = truth(scenario)[metric, end] * (n if (metric, end) == ("cost_usd", "") else 1)
                cells, usual = [], 0.0
                for method in COLUMNS:
                    drawn = [sample[method, metric, end] for sample in samples]
                    ends = np.array([interval for interval in drawn if interval is not None]).reshape(-1, 2)
                    covered = 100 * float(np.mean((ends[:, 0] <= aim) & (aim <= ends[:, 1])))
                    width = float(np.median(ends[:, 1] - ends[:, 0]))
                    usual = usual or width
                    missing = 1 - len(ends) / len(drawn)
                    cells.append(f"{covered:.0f} ({width / usual:.2f})" + f", {missing:.0%} none" * (missing > 0))
                    coverages[metric, end][method].append(covered)
                figure = f"{metric} {'ratio' if end else 'difference'}"
                out.write(f"| {scenario} | {n} | {figure} | {' | '.join(cells)} |\n")
            out.flush()
    out.write(f"\n| figure | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}\n")
    for (metric, end), by_method in coverages.items():
        cells = [f"{np.mean(found):.1f}, worst {min(found):.0f}" for found in by_method.values()]
        out.write(f"| {metric} {'ratio' if end else 'difference'} | {' | '.join(cells)} |\n")
    out.write(f"\n{time.perf_counter() - started:.0f} s\n")


if __name__ == "__main__":
    main()
