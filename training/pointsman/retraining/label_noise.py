"""Suspicious intent labels, by confident learning (Northcutt, Jiang and Chuang 2021), as cleanlab does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["suspicious"]

FEWEST = 50
"""Labelled requests below which nothing is said."""


def suspicious(intent_probs: NDArray[np.floating], codes: NDArray[np.intp]) -> NDArray[np.intp] | None:
    """Return which labels are probably wrong, the most suspicious first.

    Parameters
    ----------
    intent_probs : (n, k) float array
        By a classifier that never saw these labels.
    codes : (n,) intp array
        The labels, as columns; -1 where there is none, or none of these.

    Returns
    -------
    (s,) intp array or None
        None where the extra ``[labels]`` is not installed, or fewer than 50 labels can be judged.
    """
    try:
        from cleanlab.filter import find_label_issues
    except ModuleNotFoundError:
        return None
    told = np.flatnonzero(codes >= 0)
    there, labels = np.unique(codes[told], return_inverse=True)
    if len(told) < FEWEST or len(there) < 2:
        return None
    probs = np.asarray(intent_probs, dtype=np.float64)[told][:, there] + 1e-9
    probs /= probs.sum(axis=1, keepdims=True)
    ranked = find_label_issues(labels, probs, return_indices_ranked_by="self_confidence", n_jobs=1)
    return np.asarray(told[np.asarray(ranked, dtype=np.intp)], dtype=np.intp)
