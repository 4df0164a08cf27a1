"""The capacity cliff: from which size on does a model fail more than in proportion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from pointsman.audit.check import Check
from pointsman.audit.finding import Measure
from pointsman.audit.suspicion import Suspicion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.audit.log import Log

__all__ = ["CLIFF", "Cliff", "cliff_suspicions", "find_cliff"]

Floats = NDArray[np.float64]

CLIFF = Check(
    "capacity-cliff",
    "traces",
    "Errors rise faster than request size",
    "Beyond the cliff requests fail in rows, are retried, and fail again: the longest requests, which cost the most.",
    "Per model: binomial regression of failure on tokens; the largest score statistic of a kink (x - k)+ over all k "
    "against a straight line, and of a step against a line and a logarithm (so that a rise that levels off is none), p "
    "by 4,999 parametric bootstraps each, the smaller doubled. The change-point is where a kink or a step fits best, "
    "its interval from 499 bootstraps of that fit, widened by a bin.",
    "confirmed (Holm over all tests), and errors beyond it at least double and one point above those before it; high "
    "from 10 % on",
    "Send requests beyond the change-point to a model that carries them (rules.long_context, context_window), or cut "
    "them.",
    "Davies 1987, Biometrika 74:33-43 (a parameter present only under the alternative); Muggeo 2003, Statistics in "
    "Medicine 22:3055-3071 (unknown break-points)",
)

_MIN_ROWS = 200
_MIN_FAILURES = 5
_DRAWS = 4_999
_INTERVAL_DRAWS = 499
_ALIKE = 3.84
"""Twice the difference of log-likelihoods, to first order, up to which two change-points explain as much."""
_COARSE = np.concatenate([np.arange(0.04, 0.9, 0.04), np.arange(0.9, 0.995, 0.01), [1.0]])
"""Edges of bins to test with: finer where requests are long, for there the cliff is."""
_FINE = np.concatenate([np.arange(0.01, 0.9, 0.01), np.arange(0.9, 0.9995, 0.001), [1.0]])
"""Edges of bins to place it by."""


@dataclass(frozen=True)
class Cliff:
    """Where a failure rate bends upwards.

    Attributes
    ----------
    p : float
        Of the test that it bends nowhere.
    tokens, low, high : float
        The change-point and its 95 % interval.
    before, beyond : tuple of (int, int)
        Failures and requests on either side.
    """

    p: float
    tokens: float
    low: float
    high: float
    before: tuple[int, int]
    beyond: tuple[int, int]


def find_cliff(size: Floats, failed: NDArray[np.bool_], seed: int = 0) -> Cliff | None:
    """Return where failures rise faster than linearly, and how sure that is; None where there is too little to see.

    Parameters
    ----------
    size : (n,) float array
        Tokens of each request.
    failed : (n,) bool array
    seed : int
        Of the bootstraps.
    """
    if len(size) < _MIN_ROWS or failed.sum() < _MIN_FAILURES:
        return None
    coarse, fine = _Binned.of(size, failed, _COARSE), _Binned.of(size, failed, _FINE)
    if len(coarse.x) < 5 or len(fine.knots) < 2:
        return None
    generator = np.random.default_rng(seed)
    against_a_line = coarse.test(coarse.kinks, coarse.line, generator)
    against_a_curve = coarse.test(coarse.steps, coarse.curve, generator)
    at, low, high = fine.place(generator)
    past = size > at
    return Cliff(
        p=min(2 * min(against_a_line, against_a_curve), 1.0),
        tokens=at,
        low=low,
        high=high,
        before=(int(failed[~past].sum()), int((~past).sum())),
        beyond=(int(failed[past].sum()), int(past.sum())),
    )


@dataclass(frozen=True, eq=False)
class _Binned:
    """Failures of requests in bins of like size: mean size, requests and failures of each, upper edges, knots."""

    x: Floats
    count: Floats
    hits: Floats
    edges: Floats
    knots: Floats

    @classmethod
    def of(cls, size: Floats, failed: NDArray[np.bool_], quantiles: Floats) -> _Binned:
        edges = np.unique(np.quantile(size, quantiles))
        bins = np.searchsorted(edges, size, side="left")
        sums = [np.bincount(bins, weights=values, minlength=len(edges)) for values in (None, failed, size)]
        kept = sums[0] > 0
        count, hits, total = (np.asarray(one[kept], dtype=np.float64) for one in sums)
        edges = edges[kept]
        # At least a tenth of the requests before a change-point, and one bin beyond it.
        knots = edges[(np.cumsum(count) >= 0.1 * len(size)) & (np.arange(len(edges)) < len(edges) - 1)]
        return cls(total / count, count, hits, edges, knots)

    @property
    def line(self) -> Floats:
        return np.column_stack([np.ones_like(self.x), self.x / self.x.max()])

    @property
    def curve(self) -> Floats:
        return np.column_stack([self.line, np.log1p(self.x)])

    @property
    def kinks(self) -> Floats:
        return np.asarray(np.maximum(self.x[:, None] - self.knots, 0.0) / self.x.max())

    @property
    def steps(self) -> Floats:
        return (self.x[:, None] > self.knots).astype(np.float64)

    def test(self, bends: Floats, null: Floats, generator: np.random.Generator) -> float:
        """Return the p-value of the largest score of a bend against the null's shape."""
        chance = _fitted(null, self.hits, self.count)
        contrasts = _contrasts(bends, null, chance, self.count)
        highest = float((self.hits @ contrasts).max())
        by_chance = (self._drawn(chance, _DRAWS, generator) @ contrasts).max(axis=1)
        return (1 + int((by_chance >= highest - 1e-9).sum())) / (_DRAWS + 1)

    def place(self, generator: np.random.Generator) -> tuple[float, float, float]:
        """Return the change-point that explains most, and its 95 % interval, no finer than the bins are."""
        bends = np.column_stack([self.kinks, self.steps])
        contrasts = _contrasts(bends, self.line, _fitted(self.line, self.hits, self.count), self.count)
        best = int((self.hits @ contrasts).argmax())
        bent = _fitted(np.column_stack([self.line, bends[:, best]]), self.hits, self.count)
        again = (self._drawn(bent, _INTERVAL_DRAWS, generator) @ contrasts).argmax(axis=1)
        scores = self.hits @ contrasts
        # Its law is irregular: what the bootstrap finds, together with what the likelihood cannot tell apart.
        alike = np.flatnonzero((scores > 0) & (scores[best] ** 2 - scores**2 <= _ALIKE)) % len(self.knots)
        low, high = np.quantile(np.append(again, best) % len(self.knots), [0.025, 0.975], method="nearest")
        low, high = min(low, alike.min()), max(high, alike.max())
        first = int(np.searchsorted(self.edges, self.knots[0]))
        lower = self.edges[max(first + int(low) - 1, 0)]
        return float(self.knots[best % len(self.knots)]), float(lower), float(self.edges[first + int(high) + 1])

    def _drawn(self, chance: Floats, draws: int, generator: np.random.Generator) -> Floats:
        return generator.binomial(self.count.astype(np.int64), chance, size=(draws, len(chance))).astype(np.float64)


def cliff_suspicions(log: Log, seed: int = 0) -> Iterator[Suspicion]:
    """Yield one suspicion for each model with enough requests and failures."""
    for code, model in enumerate(log.models):
        at = log.model == code
        found = find_cliff(log.size[at], log.failed[at], seed)
        if found is None:
            continue
        rates = []
        for words, (failures, requests) in (("errors before", found.before), ("errors beyond", found.beyond)):
            interval = binomtest(failures, requests).proportion_ci(0.95)
            rates.append(Measure(words, failures / requests, float(interval.low), float(interval.high), "share"))
        before, beyond = rates[0].value, rates[1].value
        yield Suspicion(
            check=CLIFF,
            p=found.p,
            severity="high" if beyond >= 0.1 else "medium",
            large=beyond >= 2 * before and beyond >= before + 0.01,
            what=f"{model} fails in {100 * beyond:.1f} % of the requests beyond {found.tokens:,.0f} tokens "
            f"(before: {100 * before:.1f} %)",
            key=model,
            numbers=(Measure("change-point", found.tokens, found.low, found.high, "tokens"), *rates),
        )


def _fitted(design: Floats, hits: Floats, count: Floats) -> Floats:
    """Return probabilities of a linear binomial model, by iterated weighted least squares, kept inside 0..1."""
    least = 0.5 / count.sum()
    chance = np.full(len(hits), hits.sum() / count.sum())
    for _ in range(8):
        root = np.sqrt(count / (chance * (1 - chance)))
        weights, *_ = np.linalg.lstsq(design * root[:, None], hits / count * root, rcond=None)
        chance = np.clip(design @ weights, least, 1 - least)
    return chance


def _contrasts(bends: Floats, line: Floats, chance: Floats, count: Floats) -> Floats:
    """Return, (bins, bends), what turns failures into score statistics: each bend less what a line says of it.

    A bend orthogonal to the line in the weights of the null makes the score blind to the line's own estimate.
    """
    spread = chance * (1 - chance)
    root = np.sqrt(count / spread)[:, None]
    weights: Any = np.linalg.lstsq(line * root, bends * root, rcond=None)[0]
    rest = bends - line @ weights
    contrast = rest / spread[:, None]
    scale = np.sqrt((contrast**2 * (count * spread)[:, None]).sum(axis=0))
    return np.asarray(np.divide(contrast, scale, out=np.zeros_like(contrast), where=scale > 1e-12))
