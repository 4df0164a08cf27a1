"""Exact tests of paired differences by turning their signs, and what many tests at once may claim."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binomtest, norm

from pointsman.replay import ROUNDING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["holm", "sign_flip"]

FLIPS = 19_999
"""Draws of all signs at once, where there are too many ways to turn them to count."""

MANY = 500
"""Units that differ above which the sum of turned differences is as good as normal."""


def sign_flip(difference: NDArray[np.float64], cluster: NDArray[np.intp] | None = None, seed: int = 0) -> float:
    """Return the two-sided p-value of «either side may as well have been the other», of n paired differences.

    Fisher's (1935) randomisation test: where the sides do not differ, each unit's difference might as well have the
    other sign. Among differences of one size that is McNemar's (1947) exact test. It holds for a handful of requests,
    where a normal interval does not.

    Parameters
    ----------
    difference : (n,) float64 array
        After minus before.
    cluster : (n,) intp array, optional
        Requests of one cluster turn together.
    seed : int
        Of the draws.

    Returns
    -------
    float
        1 where nothing differs.
    """
    parts = difference if cluster is None else np.bincount(cluster, weights=difference).astype(np.float64)
    parts = parts[np.abs(parts) > ROUNDING]
    count, size = len(parts), np.abs(parts)
    if count == 0:
        return 1.0
    if size.max() - size.min() <= ROUNDING:
        return float(binomtest(int((parts > 0).sum()), count).pvalue)
    found = abs(float(parts.sum())) * (1 - ROUNDING)
    if count > MANY:
        return float(2 * norm.sf(found / np.sqrt(float(parts @ parts))))
    generator, reached = np.random.default_rng(seed), 0
    for start in range(0, FLIPS, 1_000):
        turned = generator.integers(0, 2, (min(1_000, FLIPS - start), count)) * 2 - 1
        reached += int((np.abs(turned @ parts) >= found).sum())
    # The sum that was found is one of the draws (Phipson and Smyth 2010).
    return (reached + 1) / (FLIPS + 1)


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Holm's (1979) step-down method.

    The chance of any wrong claim among those whose adjusted p is at most α is at most α, whatever depends on what.
    """
    order, adjusted, least = np.argsort(p, kind="stable"), [0.0] * len(p), 0.0
    for rank, at in enumerate(order):
        least = max(least, min(1.0, (len(p) - rank) * p[at]))
        adjusted[at] = least
    return adjusted
