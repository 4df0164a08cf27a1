"""Candidate embeddings: a candidate with few answers borrows from what the others' answers say of a request.

What q well-known candidates say of prompts spans a small space: their mean, and the few directions in which they differ
most (a low-rank factorisation of their log-odds, as in latent factor models, Koren et al. 2009). A candidate's place in
it is its embedding: an offset, a slope on the mean, a few coordinates. Those of the known candidates, and how they move
with the price, are the prior of the new one's (empirical Bayes, Efron and Morris 1975); its own answers move it away.
The outcome is a weighted sum of the known heads, and so a head like any other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from pointsman.heads import log_odds

if TYPE_CHECKING:
    from pointsman.classifier import Features
    from pointsman.heads import Heads

__all__ = ["FEW", "Embedding", "borrow", "poorly_known"]

Floats = NDArray[np.floating[Any]]

FEW = 300
"""Answers below which a candidate borrows, where others have several times as many."""

TIMES = 4
"""How many times as many answers a candidate has that others may borrow from."""

RANK = 3
"""Directions in which known candidates differ."""

SLOPE_SPREAD = 0.3
"""Standard deviation of a candidate's slope on the others' mean, around 1."""

LEAST_SPREAD = 0.3
"""Standard deviation that an offset or a coordinate has at least: a few known candidates may be alike by chance."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """Where a candidate stands among the known ones.

    Attributes
    ----------
    offset, slope : float
        Added to, and multiplied with, the known candidates' mean log-odds.
    coordinates : (r,) float array
        In the directions in which they differ.
    shares : (q,) float array
        The same place as a weighted sum of their log-odds.
    """

    offset: float
    slope: float
    coordinates: NDArray[np.float64]
    shares: NDArray[np.float64]


def poorly_known(useful: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the columns that should borrow, and those that they may borrow from; both empty where none should.

    Parameters
    ----------
    useful : (n, m) float array
        NaN where unknown.
    """
    count = np.isfinite(useful).sum(axis=0)
    known = np.flatnonzero(count >= max(FEW, TIMES * count.min()))
    few = np.flatnonzero((count < FEW) & (count * TIMES <= (count[known].min() if len(known) else 0)))
    nobody = np.empty(0, dtype=np.intp)
    return (few, known) if len(few) and len(known) > 1 else (nobody, nobody)


def borrow(heads: Heads, features: Features, useful: Floats, cost_usd: Floats | None = None) -> Heads:
    """Return heads in which the poorly known candidates stand where the others' and their few answers put them.

    Parameters
    ----------
    heads : Heads
        Fitted on these n requests.
    features : Features
    useful : (n, m) float array
        NaN where unknown.
    cost_usd : (n, m) float array, optional
        The mean cost of a candidate says where it may stand; NaN where unknown.
    """
    few, known = poorly_known(useful)
    if len(few) == 0:
        return heads
    logits = heads.useful_logits(
        features.embeddings, features.pieces, heads.intent_probs(features.embeddings, features.pieces)
    ).astype(np.float64)
    weight, bias, pieces, table = (
        np.array(part, dtype=np.float64)
        for part in (heads.useful_weight, heads.useful_bias, heads.useful_pieces, heads.table)
    )
    prices = None
    if cost_usd is not None:
        told = np.isfinite(cost_usd)
        mean = np.where(told, np.nan_to_num(cost_usd), 0).sum(axis=0) / np.maximum(told.sum(axis=0), 1)
        prices = np.log(mean + 1e-12) if (mean[np.append(few, known)] > 0).all() else None
    for column in few:
        price = None if prices is None else (prices[known], float(prices[column]))
        shares, offset = (found := place(logits[:, known], useful[:, column], price)).shares, found.offset
        weight[:, column], pieces[:, column] = weight[:, known] @ shares, pieces[:, known] @ shares
        bias[column] = bias[known] @ shares + offset
        table[:, column] = expit(log_odds(table[:, known]) @ shares)
    narrow: dict[str, Any] = {"useful_weight": weight, "useful_bias": bias, "useful_pieces": pieces, "table": table}
    single: dict[str, Any] = {name: part.astype(np.float32) for name, part in narrow.items()}
    return replace(heads, **single)


def place(logits: Floats, useful: Floats, price: tuple[Floats, float] | None = None) -> Embedding:
    """Return the most probable embedding of a candidate, given its prior and its answers.

    Parameters
    ----------
    logits : (n, q) float array
        Log-odds of the known candidates' usefulness.
    useful : (n,) float array
        Of the candidate's answers; NaN where unknown.
    price : tuple of (q,) float array and float, optional
        Logarithms of the known candidates' prices and of its own.
    """
    q = logits.shape[1]
    mean = logits.mean(axis=1)
    apart = logits - mean[:, None]
    _, _, directions = np.linalg.svd(apart - apart.mean(axis=0), full_matrices=False)
    directions = directions[: min(RANK, q - 1)]
    signs = np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(axis=1)])
    directions = directions * signs[:, None]
    columns = np.column_stack([np.ones(len(logits)), mean, apart @ directions.T])
    # Known candidate c stands at offset 0, slope 1 and the coordinates of its own unit vector among the directions.
    known = np.column_stack([np.zeros(q), np.ones(q), directions.T])
    centre, spread = known.mean(axis=0), np.maximum(known.std(axis=0), LEAST_SPREAD)
    spread[0], spread[1] = 2 * LEAST_SPREAD, SLOPE_SPREAD
    if price is not None and q > 2 and np.ptp(price[0]) > 0:
        away = (price[0] - price[0].mean()) / price[0].std()
        slope = (known[:, 2:] - centre[2:]).T @ away / (q + 1)  # one candidate more that moves with nothing
        centre[2:] = centre[2:] + slope * np.clip((price[1] - price[0].mean()) / price[0].std(), -2, 2)
    told = np.isfinite(useful)
    rows, target = columns[told], useful[told]

    def loss(at: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        said, off = rows @ at, (at - centre) / spread
        value = (np.logaddexp(0, said) - target * said).sum() + 0.5 * off @ off
        return float(value), rows.T @ (expit(said) - target) + off / spread

    found = minimize(loss, centre, jac=True, method="L-BFGS-B").x
    shares = found[1] / q + (directions - directions.mean(axis=1, keepdims=True)).T @ found[2:]
    return Embedding(float(found[0]), float(found[1]), found[2:], shares)
