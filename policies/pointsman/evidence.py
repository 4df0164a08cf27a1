"""Evidence: paired intervals of before against after, by the bootstrap over requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pointsman.replay import ROUNDING, Served

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["METRICS", "compare", "paired_change"]

METRICS = ("useful_rate", "cost_usd", "cost_per_useful", "p50_ms", "p95_ms", "hallucination_rate")

RATIOS = ("cost_usd", "cost_per_useful", "p50_ms", "p95_ms")
"""Metrics whose change is also given as a ratio."""

CHUNK = 400_000
"""Cells (replicates times requests) resampled at a time: they fit the processor's cache, and memory stays bounded."""

Floats = NDArray[np.float64]


def paired_change(
    before: Served,
    after: Served,
    confidence: float = 0.95,
    seed: int = 0,
    replicates: int = 2000,
    useful_value_usd: float | None = None,
) -> dict[str, Any]:
    """Return each metric's difference, after minus before, with its percentile interval (Efron 1979).

    Requests are resampled, both sides together; a mixture's requests are resampled with all their rows.

    Parameters
    ----------
    before, after : Served
        Of the same requests in the same order.
    confidence : float
        Two-sided.
    seed : int
    replicates : int
        Bootstrap replicates; fewer where more than 20,000 requests would make them slow.
    useful_value_usd : float, optional
        What a useful response is worth: adds ``net_value_usd``, mean value minus cost of a request.

    Returns
    -------
    dict
        ``confidence, replicates, requests`` and by metric: ``difference, low, high``, and ``ratio, ratio_low,
        ratio_high`` for costs and latencies that were above 0. None where either side is unknown, or where so few
        requests are useful or known that the interval has no end.
    """
    n = before.requests
    replicates = int(min(replicates, max(200, 4e7 / max(n, 1))))
    sides = [_Resampled(served, useful_value_usd) for served in (before, after)]
    point = [side(np.ones((1, n), dtype=np.int64)) for side in sides]
    generator, step = np.random.default_rng(seed), max(1, CHUNK // max(n, 1))
    drawn: list[list[dict[str, Floats]]] = []
    for start in range(0, replicates, step):
        counts = _counts(generator, min(step, replicates - start), n)
        drawn.append([side(counts) for side in sides])
    change: dict[str, Any] = {"confidence": confidence, "replicates": replicates, "requests": n}
    for name in point[0]:
        was, now = (float(metrics[name][0]) for metrics in point)
        first, second = (np.concatenate([chunk[side][name] for chunk in drawn]) for side in (0, 1))
        change[name] = _entry(was, now, first, second, confidence, ratio=name in RATIOS)
    return change


def compare(change: Mapping[str, Any]) -> str:
    """Say whether the after side is ``ahead`` of, ``behind`` or ``level`` with the before side in net value."""
    net = change["net_value_usd"]
    return "ahead" if net["low"] > 0 else "behind" if net["high"] < 0 else "level"


def _entry(
    was: float, now: float, first: Floats, second: Floats, confidence: float, *, ratio: bool
) -> dict[str, float] | None:
    if not (np.isfinite(was) and np.isfinite(now)):
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        interval = _interval(second - first, confidence)
        ratios = _interval(second / first, confidence) if ratio and was > 0 else None
    if interval is None:
        return None
    entry = {"difference": now - was, "low": interval[0], "high": interval[1]}
    if ratios is not None:
        entry |= {"ratio": now / was, "ratio_low": ratios[0], "ratio_high": ratios[1]}
    return entry


def _interval(drawn: Floats, confidence: float) -> tuple[float, float] | None:
    """Return the percentile interval; None where more replicates than a tail holds have no finite value."""
    tail, finite = (1 - confidence) / 2, drawn[np.isfinite(drawn)]
    if len(finite) < (1 - tail) * len(drawn):
        return None
    low, high = np.quantile(finite, [tail, 1 - tail])
    return float(low), float(high)


def _counts(generator: np.random.Generator, replicates: int, n: int) -> NDArray[np.int64]:
    """Return how often each request was drawn in each resample, (b, n)."""
    drawn = generator.integers(0, n, size=(replicates, n))
    return np.stack([np.bincount(row, minlength=n) for row in drawn])


class _Resampled:
    """Computes every metric of resampled requests, from how often each was drawn.

    Parameters
    ----------
    served : Served
        Of n requests; a mixture holds them p times over.
    useful_value_usd : float or None
    """

    def __init__(self, served: Served, useful_value_usd: float | None) -> None:
        n = self._n = served.requests
        self._value = useful_value_usd
        weight = np.ones(len(served.useful)) if served.weight is None else served.weight
        known = np.isfinite(served.hallucinated)
        columns = (served.useful, served.cost_usd, np.where(known, served.hallucinated, 0.0), known.astype(np.float64))
        # What a request contributes to each sum, all its rows together.
        self._sums = np.stack([(weight * column).reshape(-1, n).sum(axis=0) for column in columns])
        order = np.argsort(served.latency_ms, kind="stable")
        self._latency = served.latency_ms[order]
        self._request = order % n
        self._weight = None if served.weight is None else served.weight[order]

    def __call__(self, counts: NDArray[np.int64]) -> dict[str, Floats]:
        """Return each metric, (b,), of b resamples; `counts` is (b, n)."""
        # Not `@`: a library that spreads so thin a product over threads takes ten times as long.
        useful, cost, hallucinated, known = np.einsum("bn,cn->cb", counts.astype(np.float64), self._sums)
        drawn = counts.take(self._request, axis=1)
        reached = np.cumsum(drawn if self._weight is None else drawn * self._weight, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            metrics = {
                "useful_rate": useful / self._n,
                "cost_usd": cost,
                "cost_per_useful": cost / useful,
                "p50_ms": self._quantile(reached, 0.5),
                "p95_ms": self._quantile(reached, 0.95),
                "hallucination_rate": hallucinated / known,
            }
        if self._value is not None:
            metrics["net_value_usd"] = (self._value * useful - cost) / self._n
        return metrics

    def _quantile(self, reached: NDArray[Any], share: float) -> Floats:
        """Return the smallest latency with at least `share` of the weight at or below it; see `pointsman.replay`."""
        target = share * self._n * (1 - ROUNDING)
        return self._latency[[np.searchsorted(row, target) for row in reached]]
