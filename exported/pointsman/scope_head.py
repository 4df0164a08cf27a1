"""Out of scope: how unlike the requests learned from a prompt is, as a share of them that was less unlike.

Energy (Liu et al. 2020, "Energy-based Out-of-distribution Detection") reads it off the intent logits; the Mahalanobis
distance (Lee et al. 2018) off the embedding: how far the nearest intent's mean is, where all intents share a
covariance. A stated share instead of a raw score: a threshold of 0.95 lets 5 % of the requests in scope raise a false
alarm, with any encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["RawScope", "ScopeHead"]

Floats = NDArray[np.floating[Any]]

SHARES = (*np.arange(0.0, 0.8, 0.05).tolist(), *np.arange(0.8, 1.0, 0.005).tolist(), 1.0)
"""Where the scale is measured: finer where thresholds are set."""

TAIL = 0.001
"""What is left of the scale for scores beyond the last known quantile: there a larger score still says more."""


@dataclass(frozen=True, eq=False)
class RawScope:
    """Raw scores of being out of scope, and how they are weighed together; an unused part is None.

    The larger, the less like what was learned from::

        raw = bias + energy · (−ln Σⱼ exp logitⱼ) + distance · minⱼ |z − centreⱼ|²  + e @ direction,  z = e @ whitening

    Attributes
    ----------
    bias, energy, distance : float
        Weights; 0 where the part is not used.
    whitening : (d, r) float32 or None
        Turns an embedding e into coordinates in which the intents' shared covariance is the identity.
    centres : (c, r) float32 or None
        Means of the intents in these coordinates.
    direction : (d,) float32 or None
        What examples that were labelled out of scope have in common.
    middle : (d,) float32 or None
        Taken from embeddings before they are whitened: differences of large numbers would cost digits.
    """

    bias: float = 0.0
    energy: float = 0.0
    distance: float = 0.0
    whitening: NDArray[np.float32] | None = None
    centres: NDArray[np.float32] | None = None
    direction: NDArray[np.float32] | None = None
    middle: NDArray[np.float32] | None = None

    def __call__(self, embeddings: Floats, intent_logits: Floats) -> Floats:
        """Return the raw scores, (n,), of (n, d) embeddings and (n, k) uncalibrated logits."""
        raw = np.full(len(embeddings), self.bias, dtype=np.float64)
        if self.energy:
            most = intent_logits.max(axis=1)
            raw -= self.energy * (most + np.log(np.exp(intent_logits - most[:, None]).sum(axis=1)))
        if self.whitening is not None and self.centres is not None:
            raw += self.distance * distances(self.points(embeddings), self.centres).min(axis=1)
        if self.direction is not None:
            raw += embeddings @ self.direction
        return raw

    def points(self, embeddings: Floats) -> Floats:
        """Return whitened embeddings, (n, r)."""
        moved = embeddings if self.middle is None else embeddings - self.middle
        return np.asarray(moved if self.whitening is None else moved @ self.whitening)


@dataclass(frozen=True, eq=False)
class ScopeHead:
    """A raw score on the scale of the requests in scope that it was calibrated on.

    Attributes
    ----------
    raw : RawScope
    knots, levels : (q,) float32
        Ascending raw scores, and the share of the requests in scope that score lower; between them it is linear. Above
        the last knot the level nears 1 exponentially.
    tail : float
        Raw score beyond the last knot within which 63 % of what is left to 1 is used up.
    """

    raw: RawScope
    knots: NDArray[np.float32]
    levels: NDArray[np.float32]
    tail: float

    def level(self, raw: Floats) -> Floats:
        """Return out of scope, 0..1, (n,), of raw scores."""
        inside = np.interp(raw, self.knots, self.levels)
        beyond = np.maximum(raw - self.knots[-1], 0) / self.tail
        return np.asarray(inside + (1 - self.levels[-1]) * -np.expm1(-beyond))

    def __call__(self, embeddings: Floats, intent_logits: Floats) -> Floats:
        """Return out of scope, 0..1, (n, 1), of (n, d) embeddings and (n, k) uncalibrated logits."""
        return self.level(self.raw(embeddings, intent_logits))[:, None]

    @classmethod
    def calibrated(cls, raw: RawScope, scores: Floats) -> ScopeHead:
        """Return the head that states its scores as shares of n requests in scope that trained nothing.

        A level of i/(n + 1) at the i-th smallest score keeps false alarms above a threshold t to at most 1 − t on
        average (split conformal prediction, Vovk et al. 2005).

        Parameters
        ----------
        raw : RawScope
        scores : (n,) float array
            Its raw scores of the requests in scope.
        """
        ascending = np.sort(np.asarray(scores, dtype=np.float32))
        n = len(ascending)
        ranks = np.unique(np.clip(np.ceil(np.array(SHARES) * (n + 1)).astype(int), 1, n))
        levels = np.minimum(ranks / (n + 1), 1 - TAIL)
        last = np.append(np.diff(ascending[ranks - 1]) > 0, True)  # equal scores share a level
        spread = max(float(ascending[-1] - np.median(ascending)), 1e-3 * (1 + abs(float(ascending[-1]))))
        knots = np.insert(ascending[ranks - 1][last], 0, ascending[0] - spread)
        return cls(raw, knots, np.insert(levels[last], 0, 0.0).astype(np.float32), 2 * spread)


def distances(points: Floats, centres: Floats) -> Floats:
    """Return squared distances, (n, c)."""
    squared = np.square(points).sum(axis=1, keepdims=True) - 2 * points @ centres.T + np.square(centres).sum(axis=1)
    return np.asarray(np.maximum(squared, 0))
