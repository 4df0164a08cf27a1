"""Weights of logged answers: a choice that was unlikely stands for many requests on which it was not made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.propensity import hash_folds, propensities_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pointsman.outcomes import Outcomes

__all__ = ["MOST", "logged_weights"]

MOST = 10.0
"""Largest weight, as a multiple of the median one: a few very unlikely choices must not decide (Ionides 2008)."""


def logged_weights(outcomes: Outcomes, embeddings: NDArray[np.floating[Any]] | None = None) -> NDArray[np.float64]:
    """Return the weight of each answer, (n, m): its clipped inverse propensity, on average 1 per candidate.

    A request with every outcome known has weight 1 throughout, and so has an answer of unknown propensity. Propensities
    that the log does not tell are estimated from intents, lengths and embeddings, out of fold.

    Parameters
    ----------
    outcomes : Outcomes
        n requests.
    embeddings : (n, d) float array, optional
    """
    answered = np.isfinite(outcomes.useful)
    labels = (outcomes.intent[:, None] == np.unique(outcomes.intent.astype(np.str_))).astype(np.float64)
    parts = [labels, np.log1p([len(prompt) for prompt in outcomes.prompt])[:, None]]
    if embeddings is not None:
        parts.append(np.asarray(embeddings, dtype=np.float64))
    found = propensities_of(outcomes, np.hstack(parts), hash_folds(outcomes))
    weights = np.ones(outcomes.useful.shape)
    only = (found.logged >= 0) & np.isfinite(found.probability) & (answered.sum(axis=1) < answered.shape[1])
    rows = np.flatnonzero(only)
    columns = found.logged[rows]
    inverse = 1 / found.probability[rows]
    for column in np.unique(columns):
        at = columns == column
        clipped = np.minimum(inverse[at], MOST * np.median(inverse[at]))
        weights[rows[at], column] = clipped / clipped.mean()
    return weights
