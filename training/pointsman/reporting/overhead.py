"""Routing overhead: how long the bundle itself takes to decide, measured here and now, one thread."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.router import Router

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["routing_overhead"]

MOST = 300
"""Prompts that are timed: enough for a P95, a few seconds of a transformer."""


def routing_overhead(bundle: Path, prompts: Sequence[str]) -> dict[str, Any]:
    """Return how long `Router.route` takes, one prompt after the other on one thread.

    Returns
    -------
    dict
        ``requests, p50_ms, p95_ms, machine, cores``, and ``load``: how many wanted to run at once (None where unknown).
    """
    router = Router.load(bundle, threads=1)
    some = [prompts[at] for at in np.linspace(0, len(prompts) - 1, min(MOST, len(prompts))).astype(int)]
    for prompt in some[:10]:  # the first calls allocate
        router.route(prompt)
    taken = []
    for prompt in some:
        start = time.perf_counter()
        router.route(prompt)
        taken.append(1000 * (time.perf_counter() - start))
    low, high = np.quantile(taken, [0.5, 0.95])
    return {"requests": len(some), "p50_ms": float(low), "p95_ms": float(high), "machine": _machine(), **_crowd()}


def _crowd() -> dict[str, Any]:
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"cores": os.cpu_count() or 1, "load": load}


def _machine() -> str:
    """Return what the processor calls itself, or the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return name if name and name != "unknown" else platform.machine()
