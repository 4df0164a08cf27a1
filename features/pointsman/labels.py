"""Labels: the intents worth learning, and the compute each request needed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ANY_INTENT", "OTHER_INTENT", "IntentLabels", "intent_labels", "needed_compute"]

ANY_INTENT = "any"
"""The one intent of traces that name none."""

OTHER_INTENT = "other"
"""Where intents with too few examples are merged."""


@dataclass(frozen=True, eq=False)
class IntentLabels:
    """The intents of a trace table.

    Attributes
    ----------
    names : tuple of str
        Sorted; the order of every intent axis.
    codes : (n,) intp array
        Position in `names`, -1 where the request is not labelled.
    merged : dict of str to int
        Intents merged into ``other`` for want of examples, with their counts.
    """

    names: tuple[str, ...]
    codes: NDArray[np.intp]
    merged: dict[str, int]

    def code(self, intents: NDArray[np.object_]) -> NDArray[np.intp]:
        """Return the codes of other requests' intents: merged or new ones are ``other`` where that exists, else -1.

        Where ``any`` is the one intent, every request has it.
        """
        if self.names == (ANY_INTENT,):
            return np.zeros(len(intents), dtype=np.intp)
        position = {name: index for index, name in enumerate(self.names)}
        other = position.get(OTHER_INTENT, -1)
        return np.array([position.get(name, other) if name else -1 for name in intents], dtype=np.intp)


def intent_labels(intents: NDArray[np.object_], min_count: int = 10) -> IntentLabels:
    """Collect the intents that have at least `min_count` labelled requests; rarer ones become ``other``.

    Parameters
    ----------
    intents : (n,) object array
        "" where unknown.
    min_count : int
        Rarer intents are merged; where they are fewer than this even together, they stay unlabelled (-1). Where nothing
        is left, all requests get the one intent ``any``.
    """
    counts = Counter(str(name) for name in intents if name)
    merged = {name: count for name, count in sorted(counts.items()) if count < min_count}
    kept = set(counts) - set(merged)
    if merged and sum(merged.values()) >= min_count:
        kept.add(OTHER_INTENT)
    if not kept:
        kept.add(ANY_INTENT)
    labels = IntentLabels(tuple(sorted(kept)), np.empty(0, dtype=np.intp), merged)
    return IntentLabels(labels.names, labels.code(intents), merged)


def needed_compute(useful: NDArray[np.floating[Any]], cost_usd: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
    """Return the cheapest candidate that was useful (at least 0.5) to each request, (n,); -1 where none was.

    Parameters
    ----------
    useful, cost_usd : (n, m) float array
        NaN where unknown: such a candidate is not considered.
    """
    cost = np.where((useful >= 0.5) & np.isfinite(cost_usd), cost_usd, np.inf)
    cheapest = cost.argmin(axis=1)
    return np.where(np.isfinite(cost.min(axis=1)), cheapest, -1)
