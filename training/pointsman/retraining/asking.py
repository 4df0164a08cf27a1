"""Active learning: the prompts whose intent label would help most, no two of them alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.cluster import KMeans

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pointsman.decide import Reading

__all__ = ["worth_asking"]

SHORTLIST = 10
"""How many times the batch the shortlist is that it is chosen from."""


def worth_asking(
    reading: Reading,
    strange: NDArray[np.float64],
    embeddings: NDArray[np.float32],
    unlabelled: NDArray[np.bool_],
    batch: int = 20,
    seed: int = 0,
) -> NDArray[np.intp]:
    """Return the positions of `batch` unlabelled prompts, the most helpful first.

    A label helps most where the classifier hesitates: the criterion is the margin between the two most probable intents
    (Scheffer, Decomain and Wrobel 2001), less how strange the prompt is, so that what was never seen counts as doubt
    even where the classifier is sure. The batch is diverse: the shortlist of ten times its size is clustered, and the
    best of each cluster is taken (Zhdanov 2019, «Diverse mini-batch active learning»).

    Parameters
    ----------
    reading : Reading
        Of n prompts.
    strange : (n,) float64 array
        See `pointsman.retraining.novelty.strangeness`.
    embeddings : (n, d) float32 array
    unlabelled : (n,) bool array
    batch, seed : int
    """
    at = np.flatnonzero(unlabelled)
    if len(at) == 0:
        return at
    probs = np.sort(np.asarray(reading.intent_probs, dtype=np.float64)[at], axis=1)
    margin = probs[:, -1] - (probs[:, -2] if probs.shape[1] > 1 else 0.0)
    score = margin - np.maximum(strange[at] - 0.5, 0)
    short = np.argsort(score, kind="stable")[: SHORTLIST * batch]
    few = embeddings[at[short]]
    distinct = len(np.unique(few, axis=0))
    groups = KMeans(min(batch, distinct), n_init=1, random_state=seed).fit_predict(few)
    # The shortlist is in order: the first of each group is its best.
    best = np.sort(np.unique(groups, return_index=True)[1])
    return np.asarray(at[short[best]], dtype=np.intp)
