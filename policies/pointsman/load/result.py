"""What a load replay found: per request and per model, and the figures that people ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.replay import Served, quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pointsman.load.system import System

    Floats = NDArray[np.float64]

__all__ = ["LoadResult", "summary"]

DEGRADED, KILLED, FULL, BROKEN, THROTTLED = 1, 2, 4, 8, 16
"""Bits of `LoadResult.marks`: sent to the safe or simpler model because nobody was left; by the kill-switch; kept from
its own choice by concurrency, by a breaker, by the budget."""


@dataclass(frozen=True, eq=False)
class LoadResult:
    """What n requests got under load, in order of arrival.

    Attributes
    ----------
    first, column : (n,) int64 array
        The model of the first attempt, and of the last.
    ok : (n,) bool array
        Whether an answer came.
    latency_ms : (n,) float64 array
        From arrival to the answer or to the last failure: waits, retries and their delays included.
    first_token_ms : (n,) float64 array
        From arrival to the first token of the answer; NaN where none came.
    wait_ms : (n,) float64 array
        Of that in queues.
    cost_usd, useful, hallucinated : (n,) float64 array
        Cost of all attempts; `useful` is 0 where no answer came.
    attempts : (n,) int64 array
    marks : (n,) int64 array
        Bits of what guards did.
    busy_s : (m,) float64 array
        Time in places, summed over them, s.
    calls, errors, timeouts : (m,) int64 array
        Attempts, and those that failed.
    longest_queue : (m,) int64 array
    opened : (m,) int64 array
        Changes of the breaker's state.
    span_s : float
        From the first arrival to the last end, s.
    """

    first: NDArray[np.int64]
    column: NDArray[np.int64]
    ok: NDArray[np.bool_]
    latency_ms: Floats
    first_token_ms: Floats
    wait_ms: Floats
    cost_usd: Floats
    useful: Floats
    hallucinated: Floats
    attempts: NDArray[np.int64]
    marks: NDArray[np.int64]
    busy_s: Floats
    calls: NDArray[np.int64]
    errors: NDArray[np.int64]
    timeouts: NDArray[np.int64]
    longest_queue: NDArray[np.int64]
    opened: NDArray[np.int64]
    span_s: float

    @property
    def served(self) -> Served:
        """The same as a replay has it."""
        return Served(self.useful, self.cost_usd, self.latency_ms, self.hallucinated)


def summary(result: LoadResult, system: System, at: NDArray[np.bool_] | None = None) -> dict[str, Any]:
    """Return the figures of a run as plain JSON values; null where unknown.

    ``requests``, ``rate_per_s``, ``p50_ms``, ``p95_ms``, ``p99_ms``, ``first_token_p50_ms``, ``first_token_p95_ms``,
    ``wait_p95_ms`` (in queues), ``error_rate`` (no answer in the end), ``useful_rate``, ``cost_usd``,
    ``cost_per_useful``, ``attempts_per_request``, ``degraded``, ``killed``, ``spilled``, ``broken``, ``throttled``
    (shares of the requests), and ``models``: of each ``places``, ``calls``, ``answers``, ``utilisation`` (null without
    a limit), ``longest_queue``, ``error_rate``, ``timeout_rate``, ``breaker_changes``.

    Parameters
    ----------
    result : LoadResult
    system : System
        That was run.
    at : (n,) bool array, optional
        Only these requests count; the figures of models are of all.
    """
    keep = np.ones(len(result.ok), dtype=np.bool_) if at is None else at
    n, useful, cost = int(keep.sum()), float(result.useful[keep].sum()), float(result.cost_usd[keep].sum())

    def late(values: Floats, share: float) -> float | None:
        known = values[keep & np.isfinite(values)]
        return quantile(known, share) if len(known) else None

    marks = {
        name: float((result.marks[keep] & bit > 0).mean()) if n else None
        for name, bit in (
            ("degraded", DEGRADED),
            ("killed", KILLED),
            ("spilled", FULL),
            ("broken", BROKEN),
            ("throttled", THROTTLED),
        )
    }
    answers = np.bincount(result.column[result.ok], minlength=len(system.places))
    models = {}
    for j, name in enumerate(system.policy.models):
        places, calls = int(system.places[j]), int(result.calls[j])
        models[name] = {
            "places": places or None,
            "calls": calls,
            "answers": int(answers[j]),
            "utilisation": float(result.busy_s[j] / (places * result.span_s)) if places and result.span_s else None,
            "longest_queue": int(result.longest_queue[j]),
            "error_rate": float(result.errors[j] / calls) if calls else None,
            "timeout_rate": float(result.timeouts[j] / calls) if calls else None,
            "breaker_changes": int(result.opened[j]),
        }
    return {
        "requests": n,
        "rate_per_s": system.offered_rate,
        "p50_ms": late(result.latency_ms, 0.5),
        "p95_ms": late(result.latency_ms, 0.95),
        "p99_ms": late(result.latency_ms, 0.99),
        "first_token_p50_ms": late(result.first_token_ms, 0.5),
        "first_token_p95_ms": late(result.first_token_ms, 0.95),
        "wait_p95_ms": late(result.wait_ms, 0.95),
        "error_rate": float(1 - result.ok[keep].mean()) if n else None,
        "useful_rate": useful / n if n else None,
        "cost_usd": cost,
        "cost_per_useful": cost / useful if useful > 0 else None,
        "attempts_per_request": float(result.attempts[keep].mean()) if n else None,
        **marks,
        "models": models,
    }
