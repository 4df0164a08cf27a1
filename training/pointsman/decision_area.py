"""Decision area: what probabilities are worth where they choose; better probabilities do not always choose better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["bought", "decision_area", "most_careful"]

Floats = NDArray[np.floating[Any]]

VALUES = 100
"""Values of a useful response that are tried."""

LEVELS = 60
"""Spendings at which the frontier's height is read."""

ROUNDING = 1e-9
"""Spendings and usefulness nearer to each other than this are equal."""


def bought(probs: Floats, expected_usd: Floats, useful: Floats, cost_usd: Floats) -> NDArray[np.float64]:
    """Return the usefulness that each request gets, (n,), mean over spendings.

    For values v of a useful response from «only cost» to «only usefulness», each request gets the candidate of largest
    ``v·P(useful) − expected cost``: one point (mean cost, mean usefulness) each. At a spending, the most useful point
    that costs no more counts, among them the single candidates. Spendings are evenly spread from the cheapest single
    candidate's to the most useful one's (the dearest's where these two are one).

    Parameters
    ----------
    probs : (n, m) float array
        P(useful), out of fold.
    expected_usd : (n, m) float array
        USD, at least 0, out of fold.
    useful, cost_usd : (n, m) float array
        What happened; no NaN.
    """
    levels, spent = useful.mean(axis=0), cost_usd.mean(axis=0)
    best, low = int(levels.argmax()), float(spent.min())
    high = float(spent[best]) if spent[best] > low else float(spent.max())
    rows = np.arange(len(useful))
    # Candidates as rows: the largest of a few long rows is found much faster than that of many short ones.
    belief = np.ascontiguousarray(probs.T, dtype=np.float32)
    price = np.ascontiguousarray(expected_usd.T, dtype=np.float32)
    paid, got = list(spent), list(useful.T)
    dearest = max(float(expected_usd.max()), 1e-12)
    for value in np.geomspace(max(0.3 * low, 1e-5 * dearest), 1e3 * dearest, VALUES):
        chosen = (np.float32(value) * belief - price).argmax(axis=0)
        paid.append(cost_usd[rows, chosen].mean())
        got.append(useful[rows, chosen])
    by_point = np.stack(got).astype(np.float64)
    within = np.linspace(low, high, LEVELS)[:, None] * (1 + ROUNDING) >= np.array(paid)
    points = np.where(within, by_point.mean(axis=1), -np.inf).argmax(axis=1)
    return np.asarray(np.bincount(points, minlength=len(by_point)) @ by_point / LEVELS)


def decision_area(requests_bought: Floats, useful: Floats) -> float:
    """Return the mean of what `bought` says of n requests, less the usefulness of the most useful single candidate.

    That is the area under the staircase of the cost–usefulness frontier (as in RouterBench's AIQ, Hu et al. 2024, which
    takes its hull) divided by its width: 0 is «as useful at every price».
    """
    return float(requests_bought.mean() - useful.mean(axis=0).max())


def most_careful(by_penalty: Mapping[float, Floats]) -> float:
    """Return the largest penalty that buys as much as the best one, but for one standard error of the difference.

    The rule of Breiman et al. (1984), here with paired differences: all are judged on the same n requests, and a small
    penalty has to show that it is more than lucky.

    Parameters
    ----------
    by_penalty : mapping of float to (n,) float array
        What `bought` says.
    """
    best = max(by_penalty, key=lambda penalty: (float(by_penalty[penalty].mean()), penalty))

    def as_good(penalty: float) -> bool:
        behind = by_penalty[best] - by_penalty[penalty]
        error = behind.std(ddof=1) / np.sqrt(len(behind)) if len(behind) > 1 else 0.0
        return bool(behind.mean() <= error + ROUNDING)

    return max(filter(as_good, by_penalty))
