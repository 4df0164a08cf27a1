"""Wrong labels: found where heads that never saw a request are surer of another intent, and then not learned from.

Confident learning (Northcutt, Jiang and Chuang 2021): a request counts as mislabelled where its probability of another
intent reaches what is usual among the requests of that intent, and its own intent's does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["mislabelled"]

MARGIN = 0.3
"""By how much the other intent has to be more probable: ambiguous requests are no mistakes."""


def mislabelled(intent_probs: NDArray[np.floating[Any]], intent: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return, (n,), which labels are probably wrong.

    Parameters
    ----------
    intent_probs : (n, k) float array
        Out of fold.
    intent : (n,) int array
        -1 where unknown: such a request is never mislabelled.
    """
    n, k = intent_probs.shape
    known = intent >= 0
    usual = np.full(k, np.inf)  # self-confidence that is usual in each intent
    for index in np.unique(intent[known]):
        usual[index] = intent_probs[intent == index, index].mean()
    own = intent_probs[np.arange(n), np.maximum(intent, 0)]
    sure = np.where(intent_probs >= usual, intent_probs, -np.inf)
    other = sure.argmax(axis=1)
    return np.asarray(known & (sure.max(axis=1) > own + MARGIN) & (other != intent))
