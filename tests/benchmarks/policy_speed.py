"""How long one evaluation of a policy takes: decide, gather outcomes, measure every constraint.

    python tests/benchmarks/policy_speed.py [--requests 100000] [--candidates 8]

Prints the median and the spread of 50 evaluations of each rule family, one thread.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from pointsman.decide import Beliefs, decide
from pointsman.objective import Objective
from pointsman.outcomes import Outcomes
from pointsman.replay import Served
from pointsman.rules import LadderRule, Rule, ValueRule
from pointsman.spec import parse_spec


def main() -> None:
    """Time both rule families on random outcomes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--candidates", type=int, default=8)
    args = parser.parse_args()
    n, m = args.requests, args.candidates
    rng = np.random.default_rng(0)
    models = tuple(f"model-{index}" for index in range(m))
    unknown = np.full((n, m), np.nan)
    text = np.full(n, "", dtype=object)
    outcomes = Outcomes(
        request_id=text,
        prompt=text,
        intent=text,
        modality=text,
        timestamp=np.zeros(n, dtype="datetime64[us]"),
        context_tokens=np.zeros(n, dtype=np.int64),
        models=models,
        useful=(rng.random((n, m)) < 0.7).astype(np.float64),
        cost_usd=rng.random((n, m)) * np.geomspace(1e-4, 1e-2, m),
        latency_ms=rng.gamma(2.0, 50.0, (n, m)),
        hallucinated=unknown,
        failure=np.full((n, m), "", dtype=object),
        logged=np.full(n, m - 1),
    )
    spec = parse_spec(
        {
            "candidates": {name: {} for name in models},
            "safe_model": models[0],
            "constraints": {"p95_latency_ms": 220, "useful_rate": {"margin": 0.01}},
        }
    )
    objective = Objective(outcomes, Served.by(outcomes, outcomes.logged), spec)
    cost = np.broadcast_to(np.geomspace(1e-4, 1e-2, m)[:, None], (m, n)).astype(np.float32)
    beliefs = Beliefs(
        intent=np.zeros(n, dtype=np.intp),
        query_useful=rng.random((m, n), dtype=np.float32),
        intent_useful=rng.random((m, n), dtype=np.float32),
        cost_usd=cost,
        late=rng.random((m, n), dtype=np.float32),
        eligible=np.ones((m, n), dtype=np.bool_),
    )
    rules: dict[str, Rule] = {
        "value": ValueRule(0.5, 0.01, 0.001),
        "ladder": LadderRule(0.5, dict.fromkeys(models, 0.7), 0.5),
    }
    sys.stdout.write(f"{n:,} requests, {m} candidates, ms an evaluation (min / median / max of 50)\n")
    for name, rule in rules.items():
        times = []
        for _ in range(50):
            started = time.perf_counter()
            objective(decide(beliefs, rule))
            times.append(1e3 * (time.perf_counter() - started))
        sys.stdout.write(f"{name}: {min(times):.1f} / {np.median(times):.1f} / {max(times):.1f}\n")


if __name__ == "__main__":
    main()
