"""Evidence: paired intervals of before against after, over requests or over the clusters they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pointsman.bootstrap import Interval, bca, delta, endless, percentile, standard_error, studentised
from pointsman.resample import QUANTILES, Draws, Paired

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointsman.replay import Served

__all__ = ["METHODS", "METRICS", "compare", "paired_change"]

METRICS = ("useful_rate", "cost_usd", "cost_per_useful", "p50_ms", "p95_ms", "hallucination_rate")

RATIOS = ("cost_usd", "cost_per_useful", "p50_ms", "p95_ms")
"""Metrics whose change is also given as a ratio."""

SHARES = ("useful_rate", "hallucination_rate")
"""Metrics between 0 and 1: no difference is beyond 1."""

METHODS = ("percentile", "bca", "studentised", "delta")

BEST = {
    "useful_rate": "delta",
    "hallucination_rate": "delta",
    "cost_per_useful": "delta",
    "cost_usd": "studentised",
    "net_value_usd": "studentised",
    "p50_ms": "percentile",
    "p95_ms": "percentile",
}
"""The method whose coverage came nearest to what it says, by tests/benchmarks/interval_coverage.py."""

DRAWN = 5e7
"""Requests drawn at most: 2,000 replicates of 25,000 requests, fewer of more."""

MANY = 200_000
"""Requests above which the delta method takes the bootstrap's place."""

FEW = 10
"""Clusters below which no method covers as often as it says."""

Floats = NDArray[np.float64]


def paired_change(
    before: Served,
    after: Served,
    confidence: float = 0.95,
    seed: int = 0,
    replicates: int = 2000,
    useful_value_usd: float | None = None,
    cluster: NDArray[Any] | None = None,
    method: str | None = None,
) -> dict[str, Any]:
    """Return each metric's difference, after minus before, with its interval.

    Requests count in pairs, both sides together; a mixture's with all their rows. Requests of one cluster count
    together, because they are alike: clusters are drawn again whole (Cameron, Gelbach and Miller 2008), and variances
    are cluster-robust (Liang and Zeger 1986).

    Without a `method`, each kind of metric has the one whose measured coverage is best: shares and the cost per useful
    response the delta method (ratios by their logarithm; shares with two imagined requests, after Bonett and Price
    2012), costs and the net value the studentised bootstrap (Hall 1988), latencies the percentile bootstrap (Efron
    1979). Above 200,000 requests all have the delta method, quantiles by Bahadur's (1966) representation.

    Parameters
    ----------
    before, after : Served
        Of the same n requests in the same order.
    confidence : float
        Two-sided.
    seed : int
    replicates : int
        Bootstrap replicates; fewer where more than 25,000 requests would make them slow.
    useful_value_usd : float, optional
        What a useful response is worth: adds ``net_value_usd``, mean value minus cost of a request.
    cluster : (n,) array of str, optional
        The user or conversation of each request; "" is a cluster of its own.
    method : str, optional
        ``percentile``, ``bca`` (Efron 1987), ``studentised`` or ``delta`` for every metric. What has no standard error
        of its replicates (latencies), or too few different ones, has another one in place of ``studentised``.

    Returns
    -------
    dict
        ``confidence, replicates`` (0 where nothing was drawn), ``requests, method`` (by metric), ``clusters`` (None
        where no cluster is known), ``few_clusters`` (fewer than 10: intervals may be too narrow) and by metric:
        ``difference, low, high``, and ``ratio, ratio_low, ratio_high`` for costs and latencies that were above 0.
        ``cost_usd`` is of n requests, however many a cluster holds. None where either side is unknown, where so few
        requests are useful or known that the interval has no end, and where all requests are one cluster.

    Raises
    ------
    ValueError
        Where the method is none of these.
    """
    if method is not None and method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    n = before.requests
    paired = Paired(before, after, cluster, useful_value_usd)
    if method is None and n > MANY:
        method = "delta"
    methods = {name: method or BEST[name] for name in paired.point}
    draws, drawn = Draws({}, {}), 0
    if set(methods.values()) != {"delta"}:
        drawn = int(min(replicates, max(200, DRAWN / max(n, 1))))
        draws = paired.draw(seed, drawn, {name for name, one in methods.items() if one == "studentised"})
    entries: dict[str, dict[str, float] | None] = dict.fromkeys(paired.point)
    if paired.units > 1 or not paired.clustered:
        estimated = before.late is not None or after.late is not None
        # No resampling knows how sure a quantile is whose requests are mostly a model's.
        for name in (one for one in entries if not (estimated and one in QUANTILES)):
            change = _Change(paired, draws, name, confidence)
            entries[name], methods[name] = change.entry(methods[name])
    return {
        "confidence": confidence,
        "replicates": drawn,
        "requests": n,
        "method": {name: methods[name] for name, entry in entries.items() if entry},
        "clusters": paired.units if paired.clustered else None,
        "few_clusters": paired.clustered and paired.units < FEW,
        **entries,
    }


def compare(change: Mapping[str, Any]) -> str:
    """Say whether the after side is ``ahead`` of, ``behind`` or ``level`` with the before side in net value."""
    net = change["net_value_usd"]
    return "level" if net is None else "ahead" if net["low"] > 0 else "behind" if net["high"] < 0 else "level"


class _Change:
    """One metric's change and its intervals, by one method."""

    def __init__(self, paired: Paired, draws: Draws, name: str, confidence: float) -> None:
        self._paired, self._draws, self._name, self._confidence = paired, draws, name, confidence
        self._was, self._now = map(float, paired.point[name])

    def entry(self, method: str) -> tuple[dict[str, float] | None, str]:
        """Return the difference and, of a cost or latency, the ratio, and the method that both have.

        Where a method cannot tell, the next one does: studentised, delta (the percentile, of a quantile).
        """
        was, now = self._was, self._now
        if not (np.isfinite(was) and np.isfinite(now)) or self._endless(method):
            return None, method
        if method == "studentised" and self._name in QUANTILES:
            method = "percentile"
        self._influence = self._paired.influence(self._name, self._confidence)
        interval = self._interval(method, ratio=False)
        with_ratio = self._name in RATIOS and was > 0
        ratios = self._interval(method, ratio=True) if with_ratio else None
        if method == "studentised" and (interval is None or (with_ratio and ratios is None)):
            return self.entry("delta")
        if interval is None:
            return None, method
        low, high = interval
        if self._name in SHARES:
            low, high = max(low, -1.0), min(high, 1.0)
        entry = {"difference": now - was, "low": low, "high": high}
        if ratios is not None:
            entry |= {"ratio": now / was, "ratio_low": ratios[0], "ratio_high": ratios[1]}
        return entry, method

    def _endless(self, method: str) -> bool:
        """Tell whether a denominator that is not the number of requests may be 0."""
        if method in {"percentile", "bca"} or self._name not in {"cost_per_useful", "hallucination_rate"}:
            return False
        return any(endless(side, self._confidence) for side in self._paired.denominators(self._name))

    def _interval(self, method: str, *, ratio: bool) -> Interval | None:
        was, now = self._was, self._now
        log = ratio and now > 0 and method in {"studentised", "delta"}
        first, second = self._influence
        if log:
            point, influence = float(np.log(now / was)), second / now - first / was
        elif ratio:
            point, influence = now / was, (second - now / was * first) / was
        else:
            point, influence = now - was, second - first
        if method == "delta":
            found: Interval | None = delta(point, self._imagined(influence), self._confidence)
        else:
            found = self._bootstrap(method, point, influence, ratio=ratio, log=log)
        if found is None or not log:
            return found
        with np.errstate(over="ignore"):
            low, high = np.exp(found)
        return (float(low), float(high)) if np.isfinite(high) else None

    def _bootstrap(self, method: str, point: float, influence: Floats, *, ratio: bool, log: bool) -> Interval | None:
        before, after = self._draws.values[self._name]
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn = after / before if ratio else after - before
            drawn = np.log(drawn) if log else drawn
        if method == "studentised":
            errors = self._draws.errors[self._name][int(log)]
            return studentised(drawn, errors, point, standard_error(influence), self._confidence)
        if method == "bca":
            return bca(drawn, point, influence, self._confidence)
        return percentile(drawn, self._confidence)

    def _imagined(self, influence: Floats) -> Floats:
        """Add to a share's influence values two requests, one that only either side served well.

        Without them, a handful of requests on which the sides differ would prove too much.
        """
        if self._name not in SHARES or not influence.any():
            return influence
        end = 1 / float(self._paired.denominators(self._name).sum(axis=1).min())
        return np.append(influence, [end, -end])
