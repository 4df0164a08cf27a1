"""How long a whole search takes: the Lagrangian's rules, the study, the dual bound, and the memory they need.

    python tests/benchmarks/search_speed.py [--requests 100000] [--candidates 8] [--trials 1000] [--sampler tpe]

Prints seconds, wall and processor's, for each part, milliseconds for one rule, and the peak memory of the process.
Outcomes are drawn from the beliefs, so that the constraints bind and every rule family has work to do.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman import tried
from pointsman.decide import Beliefs, decide
from pointsman.dual import gap_to_dual
from pointsman.objective import Objective
from pointsman.problem import TuningProblem
from pointsman.replay import COLUMNS, Served
from pointsman.rules import LadderRule, Rule, ValueRule
from pointsman.search import search
from pointsman.spec import parse_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

SECONDS: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
"""Wall seconds, processor seconds, calls of each part."""


@contextmanager
def timed(part: str) -> Iterator[None]:
    """Add to a part's time."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    spent = SECONDS[part]
    spent[0] += time.perf_counter() - wall
    spent[1] += time.process_time() - cpu
    spent[2] += 1


def watched(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with its time taken."""

    def call(*args: Any) -> Any:
        with timed(part):
            return function(*args)

    return call


def draw(n: int, m: int) -> TuningProblem:
    """Draw candidates of which dearer ones are better and slower, by and large."""
    rng = np.random.default_rng(0)
    hard = rng.random(n, dtype=np.float32)
    skill = np.linspace(0.4, 0.98, m, dtype=np.float32)[:, None]
    useful = np.clip(skill + 0.4 * (rng.random((m, n), dtype=np.float32) - hard), 0, 1)
    cost = np.geomspace(1e-4, 1e-2, m, dtype=np.float32)[:, None] * rng.uniform(0.5, 2, n).astype(np.float32)
    late = np.clip(np.linspace(0, 0.12, m)[:, None] * rng.uniform(0, 2, (m, n)), 0, 1).astype(np.float32)
    models = tuple(f"model-{index}" for index in range(m))
    outcomes: dict[str, NDArray[np.float64]] = {
        "useful": (rng.random((n, m), dtype=np.float32) < useful.T).astype(np.float64),
        "cost_usd": cost.T.astype(np.float64),
        "latency_ms": np.where(rng.random((n, m), dtype=np.float32) < late.T, 500.0, 100.0),
        "hallucinated": np.full((n, m), np.nan),
    }
    constraints = {"p95_latency_ms": 220, "useful_rate": {"margin": 0.03, "relative_to": "baseline"}}
    beliefs: dict[str, Any] = {
        "intent": np.arange(n) % 4,
        "query_useful": useful,
        "intent_useful": np.broadcast_to(useful.mean(axis=1, keepdims=True), (m, n)).copy(),
        "cost_usd": cost,
        "late": late,
        "eligible": np.ones((m, n), dtype=np.bool_),
        "confidence": np.ones(n, dtype=np.float32),
        "models": models,
        "intents": ("a", "b", "c", "d"),
    }
    return TuningProblem(
        beliefs=Beliefs(**beliefs),
        outcomes=outcomes,
        before=Served(**{name: outcomes[name][:, m - 3] for name in COLUMNS}),
        spec=parse_spec(
            {"candidates": {name: {} for name in models}, "safe_model": models[0], "constraints": constraints}
        ),
        models=models,
        study_name="speed",
        n_trials=0,
    )


def main() -> None:
    """Search once and print where the time went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--sampler", default="tpe")
    args = parser.parse_args()
    problem = draw(args.requests, args.candidates)
    objective = problem.objective()
    problem.outcomes.clear()  # type: ignore[attr-defined]  # the objective has its own copy
    setattr(tried, "decide", watched("decide", decide))  # noqa: B010  (the name that the search calls)
    Objective.__call__ = watched("objective", Objective.__call__)  # type: ignore[method-assign]
    with timed("search in all"):
        baseline = problem.models[-3]
        found = search(
            problem.beliefs, objective, problem.models, baseline, args.trials, sampler=args.sampler, strict=False
        )
    with timed("dual bound"):
        gap = gap_to_dual(problem.beliefs, found.rule, objective, len(problem.models) - 3)
    parts = [SECONDS[part] for part in ("search in all", "decide", "objective")]
    SECONDS["optuna and the rest"] = [parts[0][at] - parts[1][at] - parts[2][at] for at in (0, 1)] + [0]
    say = sys.stdout.write
    say(f"{args.requests:,} requests, {args.candidates} candidates, {args.trials:,} trials, ")
    say(f"{len(found.tried):,} rules\n")
    for part, (wall, cpu, _) in SECONDS.items():
        say(f"{part:<20} {wall:8.1f} s wall {cpu:8.1f} s processor\n")
    ladder = LadderRule(0.5, dict.fromkeys(problem.models, 0.7), 0.5)
    for rule in (ValueRule(0.5, 0.01, 0.001), ladder):
        times = sorted(_evaluation_ms(problem, objective, rule) for _ in range(30))
        say(f"one {rule.kind + ' rule':<16} {times[0]:8.1f} ms at least {times[15]:8.1f} ms median of 30\n")
    say(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB\n")
    say(f"best {found.evaluation.cost_per_useful:.6f} USD, feasible {found.evaluation.feasible}; {gap.to_dict()}\n")


def _evaluation_ms(problem: TuningProblem, objective: Objective, rule: Rule) -> float:
    """Time one decision and its evaluation, ms."""
    started = time.perf_counter()
    objective(decide(problem.beliefs, rule))
    return 1e3 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()
