"""Averages per intent, shrunk: the prior knowledge that everything per query starts from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["intent_table"]

Floats = NDArray[np.floating[Any]]
Codes = NDArray[np.intp]


def intent_table(values: Floats, intent: Codes, n_intents: int, prior_rows: float = 5.0) -> NDArray[np.float32]:
    """Return the mean of each column per intent, (k, m), shrunk to the overall mean by `prior_rows` rows of it.

    Parameters
    ----------
    values : (n, m) float array
        NaN where unknown. A column of which nothing is known is taken to be as the others are on average.
    intent : (n,) int array
        Rows with -1 count for the overall mean only.
    """
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    anywhere = filled.sum() / max(known.sum(), 1)
    overall = np.where(known.any(axis=0), filled.sum(axis=0) / np.maximum(known.sum(axis=0), 1), anywhere)
    table = np.tile(overall, (n_intents, 1))
    for index in range(n_intents):
        total, rows = filled[intent == index].sum(axis=0), known[intent == index].sum(axis=0)
        np.divide(total + prior_rows * overall, rows + prior_rows, out=table[index], where=rows + prior_rows > 0)
    return table.astype(np.float32)
