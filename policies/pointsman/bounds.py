"""Upper confidence bounds of a mean or a share that hold in finite samples, and what the next requests may show.

Every bound is one-sided, from above. Requests (or clusters of them) are taken to be drawn alike and independently;
`confidence` is the least probability with which the truth lies below the bound. The exact ones assume nothing else; the
normal one says so.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtri
from scipy.stats import hypergeom

__all__ = [
    "betting_rejects",
    "betting_upper",
    "mean_upper",
    "next_share_upper",
    "requests_needed",
    "share_upper",
]

Floats = NDArray[np.float64]

STEPS = 2000
"""Bets placed one by one: many more values are averaged in blocks first, which are bounded and drawn alike as well."""

STAKE = 0.9
"""Share of the capital that the worst value may take."""

GUESS = 0.05
"""Variance that the first bets assume, relative to the squared range."""

RUIN = 1e-9
"""Capital below which betting stops."""


def share_upper(count: int, n: int, confidence: float) -> float:
    """Return the bound of a share of which `count` of n requests were seen (Clopper and Pearson 1934)."""
    return 1.0 if count >= n else float(betaincinv(count + 1, n - count, confidence))


def betting_rejects(
    values: Floats,
    limits: Floats,
    ends: tuple[float, float],
    confidence: float,
    seed: int = 0,
    sizes: NDArray[np.int64] | None = None,
) -> NDArray[np.bool_]:
    """Test «the mean is at least the limit» for each limit, by betting against it.

    The capital is a martingale where the mean is the limit, so it multiplies by 1/(1 − confidence) with no more than
    that probability (Ville 1939; Waudby-Smith and Ramdas 2023). The stake is that which replicates a digital option on
    the normal law for the capital and the values still to come, and is computed anew after each value: it makes the
    bound nearly as tight as the normal one (the idea of recalculating the target: Voráček and Orabona 2025).

    Parameters
    ----------
    values : (n,) float array
        Within `ends`; bet on in an order drawn by `seed`.
    limits : (g,) float array
        Above the lower end.
    ends : tuple of float
        Least and largest value that there can be.
    confidence : float
    seed : int
    sizes : (n,) int array, optional
        Values are the sums over clusters of so many requests each, bet on together; the mean is that of a request.

    Returns
    -------
    (g,) bool array
        True where the mean is below the limit, with the confidence.
    """
    low, high = ends
    counts = np.ones(len(values)) if sizes is None else sizes.astype(np.float64)
    largest = float(counts.max(initial=1.0))
    sums, weights = _blocks(values, counts, seed)
    gains = limits[:, None] * weights - sums
    steps, alpha = len(sums), 1 - confidence
    largest_stake = STAKE / np.maximum((high - limits) * largest, 1e-12)
    capital = np.ones(len(limits))
    # Blocks vary less than values do.
    squares = np.full(len(limits), GUESS * ((high - low) * largest) ** 2 * max(steps, 1) / max(len(values), 1))
    for step in range(steps):
        going = (capital * alpha < 1) & (capital > RUIN)
        if not going.any():
            break
        # The option pays 1/alpha where all goes well: its price is the capital, its slope the stake.
        price = np.clip(capital * alpha, RUIN * alpha, 1 - 1e-12)
        spread = np.sqrt(squares / (step + 1) * (steps - step))
        stake = np.exp(-0.5 * ndtri(price) ** 2) / (np.sqrt(2 * np.pi) * price * spread)
        capital *= 1 + np.where(going, np.minimum(stake, largest_stake), 0.0) * gains[:, step]
        squares += gains[:, step] ** 2
    rejected: NDArray[np.bool_] = capital * alpha >= 1
    return rejected


def betting_upper(
    values: Floats,
    ends: tuple[float, float],
    confidence: float,
    seed: int = 0,
    sizes: NDArray[np.int64] | None = None,
    within: float = 1e-4,
) -> float:
    """Return the bound of a mean: the least limit from which on every one tried is rejected (see `betting_rejects`).

    `within` is the precision, relative to the range. The upper end where no limit can be rejected.
    """
    low, high = ends
    count = len(values) if sizes is None else int(sizes.sum())
    bottom, top = (float(values.sum()) / count if count else low), high
    while top - bottom > within * (high - low):
        grid = np.linspace(bottom, top, 33)[1:-1]
        kept = np.flatnonzero(~betting_rejects(values, grid, ends, confidence, seed, sizes))
        last = int(kept[-1]) if len(kept) else -1
        above = top if last + 1 == len(grid) else float(grid[last + 1])
        bottom, top = (bottom if last < 0 else float(grid[last])), above
    return top


def _blocks(values: Floats, sizes: Floats, seed: int) -> tuple[Floats, Floats]:
    """Return values and sizes in an order drawn by chance, averaged in blocks where they are many."""
    order = np.random.default_rng(seed).permutation(len(values))
    drawn, sizes = values[order], sizes[order]
    # A block's stake must survive its worst case: blocks of more than a share of √n would make the bets timid.
    steps = max(STEPS, int(20 * np.sqrt(len(drawn))))
    if len(drawn) <= steps:
        return drawn, sizes
    edges = np.linspace(0, len(drawn), steps + 1).astype(np.intp)
    many = np.diff(edges)
    return np.add.reduceat(drawn, edges[:-1]) / many, np.add.reduceat(sizes, edges[:-1]) / many


def mean_upper(values: Floats, confidence: float, deviation: float, coming: int | None = None) -> float:
    """Return the bound of a mean by the normal law; with `coming`, of the mean of that many further values."""
    share = 1 / len(values) + (0.0 if coming is None else 1 / coming)
    return float(values.mean() + ndtri(confidence) * deviation * np.sqrt(share))


def next_share_upper(count: int, n: int, coming: int, confidence: float) -> float:
    """Return what the share among the next `coming` requests stays at or below, where `count` of n had it.

    Exact where requests past and coming are exchangeable: given how many of all have it, the past ones are a draw
    without replacement (Thatcher 1964).
    """
    if n == 0:
        return 1.0
    fewest, most = 0, coming
    while fewest < most:
        among = (fewest + most) // 2
        # The chance to have seen so few, were there one more among the coming ones.
        unlikely = hypergeom.cdf(count, n + coming, count + among + 1, n) <= 1 - confidence
        fewest, most = (fewest, among) if unlikely else (among + 1, most)
    return fewest / coming


def requests_needed(
    value: float, bound: float, limit: float, n: int, confidence: float, power: float = 0.8
) -> int | None:
    """Return with how many requests a bound would keep its limit, were the truth as measured: it nears as 1/√n.

    Parameters
    ----------
    value, bound : float
        As measured on n requests.
    limit : float
    n : int
    confidence : float
    power : float
        With which probability that many would do, by the normal law.

    Returns
    -------
    int or None
        None where the value is not below the limit: no number would do.
    """
    if value >= limit:
        return None
    sure = float(ndtri(confidence))
    width = (bound - value) * (sure + float(ndtri(power))) / max(sure, 1e-9)
    return int(np.ceil(n * (width / (limit - value)) ** 2))
