"""Routes and reports many requests with all guards on and prints speed and memory: is the router's memory flat?

    python tests/benchmarks/router_soak.py --decisions 5000000

The classifier is a stub, so that what is measured is guards, decisions and reports. A tenth of the requests is never
reported. With ``--log`` every decision is written to a log that turns over.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.decide import Reading
from pointsman.decision_log import DecisionLog
from pointsman.expected import Expected
from pointsman.guards.ledger import Ledger
from pointsman.guards.settings import Breaker, Budget, GuardSettings, Retry
from pointsman.policy import Candidate, Fallback, Policy
from pointsman.router import Router
from pointsman.rules import ValueRule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointsman.session import Progress, Prompt

INTENTS, MODELS = ("chat", "code"), ("small", "medium", "large")


class Stub:
    """A classifier whose opinion is a row of a table."""

    def __init__(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self._intent = generator.dirichlet([1, 1], 997).astype(np.float32)
        self._useful = generator.uniform(0, 1, (997, 3)).astype(np.float32)
        self._at = 0

    def read(self, texts: Sequence[Prompt], progress: Progress | None = None) -> Reading:
        """Return the next rows."""
        at = np.arange(self._at, self._at + len(texts)) % 997
        self._at += len(texts)
        return Reading(self._intent[at], self._useful[at])

    def read_one(self, text: Prompt) -> Reading:
        """Return the next row."""
        return self.read([text])


def soaked_router(log: DecisionLog | None = None, seed: int = 0) -> Router:
    """Return a router with every guard on and a stub for a classifier."""
    guards = GuardSettings(
        Retry(max_retries=2),
        Breaker(error_rate=0.2, late_rate=0.5, cost_ratio=3, min_requests=50, open_s=0.5),
        Budget(usd_per_minute=1e3, usd_per_hour=1e5, usd_per_day=1e6),
        simpler_model="small",
        exploration_share=0.05,
        lease_ms=200,
    )
    candidates = [Candidate(name, timeout_ms=200.0, concurrency=50) for name in MODELS]
    table = np.array([[0.9, 0.92, 0.95], [0.3, 0.6, 0.9]])
    expected = Expected(table, np.array([[0.001, 0.01, 0.1]] * 2), np.zeros((2, 3)))
    rule, fallbacks = ValueRule(0.7, 0.5), (Fallback("large"),)
    policy = Policy(INTENTS, tuple(candidates), rule, expected, "small", fallbacks=fallbacks, guards=guards)
    bundle: Any = SimpleNamespace(policy=policy, manifest={"sha256": "0" * 64}, name="soak")
    session: Any = Stub(seed)
    return Router(bundle, session, ledger=Ledger(), log=log)


def resident_mb() -> float:
    """Return the memory of this process, MiB; NaN where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return float("nan")
    return pages * 4096 / 2**20


def soak(router: Router, decisions: int, batch: int = 50, seed: int = 0) -> list[float]:
    """Route and report that many requests, print ten lines, and return the memory at each, MiB."""
    generator = np.random.default_rng(seed)
    memory, started, done = [], time.perf_counter(), 0
    for part in range(10):
        while done < decisions * (part + 1) // 10:
            draws = generator.random((batch, 3))
            for decision, (failed, told, price) in zip(router.route_batch(["x"] * batch), draws, strict=True):
                if told < 0.1:
                    continue
                status = "error" if failed < 0.1 else "ok"
                router.report(decision, status=status, latency_ms=300 * price, cost_usd=0.01 * price)
                if status == "error":
                    router.next(decision, "error")
            done += batch
        gc.collect()
        memory.append(resident_mb())
        rate = done / (time.perf_counter() - started)
        print(f"{done:>10,} decisions  {rate:>8,.0f} per s  {memory[-1]:8.1f} MiB")
    return memory


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, default=100_000)
    parser.add_argument("--log", action="store_true", help="write a decision log of 10 MiB a file")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        log = DecisionLog(Path(folder) / "log", max_bytes=10 << 20, backups=2) if options.log else None
        router = soaked_router(log)
        memory = soak(router, options.decisions)
        phases = {name: one["phase"] for name, one in router.status()["guards"]["models"].items()}
        router.close()
    print(f"from the second line to the last: {memory[-1] - memory[1]:+.1f} MiB; breakers at the end: {phases}")


if __name__ == "__main__":
    main(sys.argv[1:])
