"""Resampling: every metric of two sides, and of both sides on requests or clusters of requests drawn again."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from pointsman.bootstrap import standard_error
from pointsman.replay import ROUNDING, Served

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["Draws", "Paired", "units_of"]

CHUNK = 400_000
"""Cells (replicates times requests) resampled at a time: they fit the processor's cache, and memory stays bounded."""

QUANTILES = {"p50_ms": 0.5, "p95_ms": 0.95}

SUMMED = ("useful", "cost_usd", "hallucinated", "known")
"""What a request contributes to, by side; all requests together, ``requests`` is the last of the columns."""

Floats = NDArray[np.float64]


def units_of(cluster: NDArray[Any] | None, requests: int) -> tuple[NDArray[np.intp] | None, int]:
    """Give each cluster a number, in the order of their first requests.

    Parameters
    ----------
    cluster : (n,) array of str or None
        "" is a cluster of its own.
    requests : int
        n.

    Returns
    -------
    tuple
        The cluster of each request, (n,), and how many there are; None and n where no cluster is known.
    """
    names = np.full(0, "") if cluster is None else np.asarray(cluster, dtype=np.str_)
    alone = names == ""
    if alone.all():
        return None, requests
    _, name = np.unique(names, return_inverse=True)
    name[alone] = len(names) + np.flatnonzero(alone)
    _, first, number = np.unique(name, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[number], len(first)


@dataclass(frozen=True)
class Draws:
    """Replicates of every metric.

    Attributes
    ----------
    values : dict of str to (2, b) float64 array
        Before and after.
    errors : dict of str to (2, b) float64 array
        Standard errors of the difference and of the logarithm of the ratio.
    """

    values: dict[str, Floats]
    errors: dict[str, Floats]


class Paired:
    """Both sides of n requests, summed over u units: the requests, or the clusters they belong to.

    A metric but the quantiles is a ratio of two sums on either side, so that its influence values are closed forms.
    The sum of costs is n times the cost of a request, because clusters drawn again may hold fewer or more requests.

    Parameters
    ----------
    before, after : Served
        Of the same n requests in the same order.
    cluster : (n,) array of str or None
        See `units_of`.
    useful_value_usd : float or None
        Adds ``net_value_usd``.

    Attributes
    ----------
    requests, units : int
        n and u.
    clustered : bool
        Whether any cluster is known.
    point : dict of str to (2,) float64 array
        Each metric before and after; not finite where unknown.
    """

    def __init__(
        self, before: Served, after: Served, cluster: NDArray[Any] | None, useful_value_usd: float | None
    ) -> None:
        n = self.requests = before.requests
        unit, self.units = units_of(cluster, n)
        self.clustered = unit is not None
        sides = [_contributions(served, n) for served in (before, after)]
        columns = np.concatenate([*sides, np.ones((1, n))])
        if unit is not None:
            columns = np.stack([np.bincount(unit, column, minlength=self.units) for column in columns])
        self._columns = columns
        self._latency = [_Latencies(served, n, unit) for served in (before, after)]
        self._ratios = _ratios(n, useful_value_usd)
        whole = columns.sum(axis=1)[:, None]
        self.point = {name: top[:, 0] for name, top in self._values(whole, np.ones((1, self.units), np.int64)).items()}
        unknown = [name for name, sides in self.point.items() if not np.isfinite(sides).all()]
        self._ratios = {name: parts for name, parts in self._ratios.items() if name not in unknown}

    def influence(self, name: str, confidence: float) -> Floats:
        """Return how much each unit moves a metric before and after, (2, u) float64: deviations that sum to 0.

        `confidence` sets how far around a quantile its density is measured.
        """
        if name in QUANTILES:
            return np.stack([side.influence(QUANTILES[name], self.units, confidence) for side in self._latency])
        tops, bottoms = self._ratios[name]
        whole = self._columns.sum(axis=1)
        top, bottom = tops @ whole, bottoms @ whole
        weights = (tops - (top / bottom)[:, None] * bottoms) / bottom[:, None]
        return np.asarray(weights @ self._columns)

    def denominators(self, name: str) -> Floats:
        """Return each unit's part of a ratio's denominators before and after, (2, u)."""
        return np.asarray(self._ratios[name][1] @ self._columns)

    def draw(self, seed: int, replicates: int, studentised: Collection[str] = ()) -> Draws:
        """Draw the units again `replicates` times, with standard errors of the metrics named as `studentised`."""
        generator, step = np.random.default_rng(seed), max(1, CHUNK // max(self.requests, 1))
        ratios = {name: parts for name, parts in self._ratios.items() if name in studentised}
        pairs = sorted({pair for tops, bottoms in ratios.values() for pair in _pairs(tops, bottoms)})
        first, factors = (
            len(self._columns),
            np.stack([*self._columns, *(np.prod(self._columns[[*p]], 0) for p in pairs)]),
        )
        spread = self.units / max(self.units - 1, 1)  # as in `standard_error`
        values, errors = [], []
        for start in range(0, replicates, step):
            counts = _counts(generator, min(step, replicates - start), self.units)
            # Not `@`: a library that spreads so thin a product over threads takes ten times as long.
            sums = np.einsum("bu,cu->cb", counts.astype(np.float64), factors)
            values.append(self._values(sums[:first], counts))
            errors.append(_errors(ratios, sums[:first], dict(zip(pairs, spread * sums[first:], strict=True))))
        return Draws(_joined(values), _joined(errors))

    def _values(self, sums: Floats, counts: NDArray[np.int64]) -> dict[str, Floats]:
        values = {}
        with np.errstate(divide="ignore", invalid="ignore"):
            for name, (tops, bottoms) in self._ratios.items():
                values[name] = (tops @ sums) / (bottoms @ sums)
        sides = [side(counts, sums[-1]) for side in self._latency]
        return values | {name: np.stack([side[name] for side in sides]) for name in QUANTILES}


def _errors(
    ratios: Mapping[str, tuple[Floats, Floats]], sums: Floats, products: Mapping[tuple[int, int], Floats]
) -> dict[str, Floats]:
    """Return the standard errors of each difference and log ratio, (2, b), by the delta method.

    `sums` is (columns, b); `products` holds sums of products of two columns, (b,) each.
    """
    errors = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for name, (tops, bottoms) in ratios.items():
            top, bottom = tops @ sums, bottoms @ sums
            residual = tops[:, :, None] - (top / bottom)[:, None, :] * bottoms[:, :, None]
            variances = []
            for scale in (bottom, top):
                before, after = residual / scale[:, None, :]
                weights = after - before
                parts = [(1 + (i != j)) * weights[i] * weights[j] * products[i, j] for i, j in _pairs(tops, bottoms)]
                variances.append(np.sum(parts, axis=0))
            # Rounding may leave nothing a little below 0.
            errors[name] = np.sqrt(np.maximum(variances, 0))
    return errors


def _contributions(served: Served, n: int) -> Floats:
    """Return what each request contributes to each sum, all its rows together, (4, n)."""
    weight = np.ones(len(served.useful)) if served.weight is None else served.weight
    known = np.isfinite(served.hallucinated)
    columns = (served.useful, served.cost_usd, np.where(known, served.hallucinated, 0.0), known.astype(np.float64))
    return np.stack([(weight * column).reshape(-1, n).sum(axis=0) for column in columns])


def _ratios(n: int, useful_value_usd: float | None) -> dict[str, tuple[Floats, Floats]]:
    """Return each metric's numerator and denominator as weights of the columns, (2, columns) each."""

    def weights(**parts: float) -> Floats:
        table = np.zeros((2, 2 * len(SUMMED) + 1))
        for name, weight in parts.items():
            for side in (0, 1):
                table[side, -1 if name == "requests" else side * len(SUMMED) + SUMMED.index(name)] = weight
        return table

    metrics = {
        "useful_rate": (weights(useful=1), weights(requests=1)),
        "cost_usd": (weights(cost_usd=n), weights(requests=1)),
        "cost_per_useful": (weights(cost_usd=1), weights(useful=1)),
        "hallucination_rate": (weights(hallucinated=1), weights(known=1)),
    }
    if useful_value_usd is not None:
        metrics["net_value_usd"] = (weights(useful=useful_value_usd, cost_usd=-1), weights(requests=1))
    return metrics


def _pairs(tops: Floats, bottoms: Floats) -> list[tuple[int, int]]:
    used = np.flatnonzero((tops != 0).any(axis=0) | (bottoms != 0).any(axis=0))
    return list(combinations_with_replacement(used.tolist(), 2))


def _joined(chunks: list[dict[str, Floats]]) -> dict[str, Floats]:
    return {name: np.concatenate([chunk[name] for chunk in chunks], axis=1) for name in chunks[0]}


def _counts(generator: np.random.Generator, replicates: int, units: int) -> NDArray[np.int64]:
    """Return how often each unit was drawn in each resample, (b, u)."""
    drawn = generator.integers(0, units, size=(replicates, units))
    return np.stack([np.bincount(row, minlength=units) for row in drawn])


class _Latencies:
    """One side's latencies in order, with the unit and the weight of each."""

    def __init__(self, served: Served, n: int, unit: NDArray[np.intp] | None) -> None:
        order = np.argsort(served.latency_ms, kind="stable")
        self._latency = served.latency_ms[order]
        request = order % n
        self._unit = request if unit is None else unit[request]
        self._weight = None if served.weight is None else served.weight[order]

    def __call__(self, counts: NDArray[np.int64], requests: Floats) -> dict[str, Floats]:
        """Return the smallest latency with at least each share of the weight at or below it; see `pointsman.replay`."""
        drawn = counts.take(self._unit, axis=1)
        reached = np.cumsum(drawn if self._weight is None else drawn * self._weight, axis=1)
        target = requests * (1 - ROUNDING)
        return {
            name: self._latency[[np.searchsorted(row, share * one) for row, one in zip(reached, target, strict=True)]]
            for name, share in QUANTILES.items()
        }

    def influence(self, share: float, units: int, confidence: float) -> Floats:
        """Return each unit's influence on a quantile, (u,): Bahadur (1966), its density by Woodruff (1952)."""
        weight = np.ones(len(self._latency)) if self._weight is None else self._weight
        reached = np.cumsum(weight)
        total = float(reached[-1])

        def quantile(at: float) -> float:
            return float(self._latency[np.searchsorted(reached, min(max(at, 0.0), 1.0) * total * (1 - ROUNDING))])

        below = weight * (self._latency <= quantile(share))
        mass = np.bincount(self._unit, weight, minlength=units)
        moved = (below.sum() / total * mass - np.bincount(self._unit, below, minlength=units)) / total
        reach = float(ndtri((1 + confidence) / 2)) * standard_error(moved)
        low, high = max(share - reach, 0.0), min(share + reach, 1.0)
        sparsity = (quantile(high) - quantile(low)) / (high - low) if high > low else 0.0
        return np.asarray(moved * sparsity)
