"""Averages per intent, shrunk: the prior knowledge that everything per query starts from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["as_shares", "intent_table", "labelled"]

Floats = NDArray[np.floating[Any]]
Codes = NDArray[np.intp]
Intents = NDArray[Any]
"""(n,) int array of codes, -1 where unknown; or where requests may have several intents (n, k) float array of each
one's share of the request, rows summing to 1, zeros where unknown."""


def intent_table(
    values: Floats, intent: Intents, n_intents: int, prior_rows: float = 5.0, weights: Floats | None = None
) -> NDArray[np.float32]:
    """Return the mean of each column per intent, (k, m), shrunk to the overall mean by `prior_rows` rows of it.

    Parameters
    ----------
    values : (n, m) float array
        NaN where unknown. A column of which nothing is known is taken to be as the others are on average.
    intent : (n,) int or (n, k) float array
        Rows without an intent count for the overall mean only.
    weights : (n, m) float array, optional
        Of each value.
    """
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    counted = known if weights is None else known * weights
    filled = filled if weights is None else filled * weights
    anywhere = filled.sum() / max(counted.sum(), 1e-12) if known.any() else 0.0
    per_column = counted.sum(axis=0)
    overall = np.where(per_column > 0, filled.sum(axis=0) / np.where(per_column > 0, per_column, 1.0), anywhere)
    shares = as_shares(intent, n_intents)
    table = np.tile(overall, (n_intents, 1))
    for index in range(n_intents):
        share = shares[:, index] if shares.ndim == 2 else intent == index
        at = np.flatnonzero(share)
        part = np.asarray(share[at], dtype=np.float64)
        total, rows = part @ filled[at], part @ counted[at]
        np.divide(total + prior_rows * overall, rows + prior_rows, out=table[index], where=rows + prior_rows > 0)
    return table.astype(np.float32)


def as_shares(intent: Intents, n_intents: int) -> NDArray[np.float64]:
    """Return each intent's share of each request, (n, k); zeros where none is known."""
    if intent.ndim == 2:
        return np.asarray(intent, dtype=np.float64)
    return np.where((intent >= 0)[:, None], np.eye(n_intents)[intent], 0.0)


def labelled(intent: Intents) -> NDArray[np.bool_]:
    """Return, (n,), of which requests an intent is known."""
    return np.asarray(intent.any(axis=1) if intent.ndim == 2 else intent >= 0)
