"""Is the tail made of retries: how many of the latest answers were tried more than once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binomtest

from pointsman.audit.check import Check
from pointsman.audit.finding import Measure
from pointsman.audit.suspicion import Suspicion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pointsman.audit.log import Log

__all__ = ["RETRY_TAIL", "tail_suspicions"]

HALF = 0.5
_MIN_TAIL = 20

RETRY_TAIL = Check(
    "tail-of-retries",
    "traces",
    "The tail is made of retries",
    "Users at P95 do not wait for a slow model but for a failing one that is asked again, and pay for each attempt.",
    "Of the answers later than P95, per model and over all that production served: share with at least one retry, "
    "exact binomial test against a half.",
    "more than half, confirmed (Holm over all tests)",
    "Time out sooner, retry once at most, and let the fallback answer (timeout_ms, guards.retry_policy).",
    "Dean, Barroso 2013, The Tail at Scale, CACM 56(2):74-80; Clopper, Pearson 1934",
)


def tail_suspicions(log: Log) -> Iterator[Suspicion]:
    """Yield one suspicion for what production served, and one for each model."""
    known = np.isfinite(log.retries) & np.isfinite(log.latency_ms)
    if log.says_served and len(log.models) > 1:
        yield from _tail(log, known & log.served, "what production serves", "latency_ms")
    for code, model in enumerate(log.models):
        yield from _tail(log, known & (log.model == code), model, model)


def _tail(log: Log, at: NDArray[np.bool_], words: str, key: str) -> Iterator[Suspicion]:
    if not at.any():
        return
    limit = float(np.quantile(log.latency_ms[at], 0.95))
    tail = at & (log.latency_ms > limit)
    retried = int((log.retries[tail] > 0).sum())
    if tail.sum() < _MIN_TAIL:
        return
    test = binomtest(retried, int(tail.sum()), HALF, alternative="greater")
    interval = binomtest(retried, int(tail.sum())).proportion_ci(0.95)
    share = retried / int(tail.sum())
    yield Suspicion(
        check=RETRY_TAIL,
        p=float(test.pvalue),
        severity="medium",
        large=share > HALF,
        what=f"{100 * share:.0f} % of the tail of {words} (later than {limit:,.0f} ms) was retried",
        key=key,
        numbers=(
            Measure("tail with retries", share, float(interval.low), float(interval.high), "share"),
            Measure("all with retries", float((log.retries[at] > 0).mean()), unit="share"),
            Measure("P95", limit, unit="ms"),
        ),
    )
