"""Evidence: paired intervals of before against after, by the bootstrap over requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.replay import Served

__all__ = ["METRICS", "compare", "paired_change"]

METRICS = ("useful_rate", "cost_usd", "cost_per_useful", "p50_ms", "p95_ms", "hallucination_rate")

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
        By metric: ``difference, low, high``, and ``ratio, ratio_low, ratio_high`` for costs and latencies; None where
        either side is unknown.
    """
    n = before.requests
    replicates = int(min(replicates, max(200, 4e7 / max(n, 1))))
    rng = np.random.default_rng(seed)
    drawn: list[tuple[dict[str, Floats], dict[str, Floats]]] = []
    step = max(1, int(2e6 / max(n, 1)))
    names = METRICS if useful_value_usd is None else (*METRICS, "net_value_usd")
    value = useful_value_usd or 0.0
    for start in range(0, replicates, step):
        at = rng.integers(0, n, size=(min(step, replicates - start), n))
        drawn.append((_metrics(before, at, value), _metrics(after, at, value)))
    whole = np.arange(n)[None, :]
    point = _metrics(before, whole, value), _metrics(after, whole, value)
    tail = (1 - confidence) / 2
    change: dict[str, Any] = {"confidence": confidence, "replicates": replicates, "requests": n}
    for name in names:
        first, second = (np.concatenate([pair[side][name] for pair in drawn]) for side in (0, 1))
        was, now = float(point[0][name][0]), float(point[1][name][0])
        if not (np.isfinite(was) and np.isfinite(now)):
            change[name] = None
            continue
        low, high = np.nanquantile(second - first, [tail, 1 - tail])
        entry = {"difference": now - was, "low": float(low), "high": float(high)}
        if name not in {"useful_rate", "hallucination_rate", "net_value_usd"} and was > 0:
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio_low, ratio_high = np.nanquantile(second / first, [tail, 1 - tail])
            entry |= {"ratio": now / was, "ratio_low": float(ratio_low), "ratio_high": float(ratio_high)}
        change[name] = entry
    return change


def compare(change: Mapping[str, Any]) -> str:
    """Say whether the after side is ``ahead`` of, ``behind`` or ``level`` with the before side in net value."""
    net = change["net_value_usd"]
    return "ahead" if net["low"] > 0 else "behind" if net["high"] < 0 else "level"


def _metrics(served: Served, at: NDArray[np.int64], value: float) -> dict[str, Floats]:
    """Return every metric of each resample, (b,); `at` is (b, n) positions of requests."""
    n = served.requests
    parts = len(served.useful) // n
    weights = [1.0] if served.weight is None else [float(served.weight[part * n]) for part in range(parts)]
    sums = {name: np.zeros(len(at)) for name in ("useful", "cost_usd")}
    for part, weight in enumerate(weights):
        for name, total in sums.items():
            total += weight * getattr(served, name)[part * n : (part + 1) * n][at].sum(axis=1)
    hallucinated, known = np.zeros(len(at)), np.zeros(len(at))
    for part, weight in enumerate(weights):
        values = served.hallucinated[part * n : (part + 1) * n][at]
        hallucinated += weight * np.nansum(values, axis=1)
        known += weight * np.isfinite(values).sum(axis=1)
    latency = [served.latency_ms[part * n : (part + 1) * n] for part in range(len(weights))]
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "useful_rate": sums["useful"] / n,
            "cost_usd": sums["cost_usd"],
            "net_value_usd": (value * sums["useful"] - sums["cost_usd"]) / n,
            "cost_per_useful": sums["cost_usd"] / sums["useful"],
            "hallucination_rate": hallucinated / known,
            "p50_ms": _quantiles(latency, weights, at, 0.5),
            "p95_ms": _quantiles(latency, weights, at, 0.95),
        }


def _quantiles(latency: list[Floats], weights: list[float], at: NDArray[np.int64], share: float) -> Floats:
    """Return the quantile of each resample: the smallest value with at least `share` of the weight at or below it."""
    if len(latency) == 1:
        position = min(max(int(np.ceil(share * at.shape[1] - 1e-9)) - 1, 0), at.shape[1] - 1)
        return np.asarray(np.partition(latency[0][at], position, axis=1)[:, position])
    values = np.concatenate([part[at] for part in latency], axis=1)
    weight = np.repeat(weights, at.shape[1])
    order = np.argsort(values, axis=1)
    reached = np.cumsum(weight[order], axis=1)
    first = (reached < share * reached[:, -1:] - 1e-9).sum(axis=1)
    return np.asarray(np.take_along_axis(values, np.take_along_axis(order, first[:, None], axis=1), axis=1)[:, 0])
