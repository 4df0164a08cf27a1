"""Labels: the intents worth learning, and the compute each request needed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "ANY_INTENT",
    "OTHER_INTENT",
    "OUT_OF_SCOPE",
    "SEPARATOR",
    "IntentLabels",
    "intent_labels",
    "needed_compute",
    "out_of_scope",
]

ANY_INTENT = "any"
"""The one intent of traces that name none."""

OTHER_INTENT = "other"
"""Where intents with too few examples are merged."""

OUT_OF_SCOPE = frozenset({"out_of_scope", "out-of-scope", "out of scope", "oos"})
"""Labels, in any case, of requests that belong to no intent: examples for telling what is out of scope, no intent."""

SEPARATOR = "|"
"""Stands between the intents of a request that has several: ``refund|complaint``. The first one is the main one."""

SEVERAL = 0.01
"""Share of the labelled requests with several intents from which on each intent gets a probability of its own."""


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
    several : bool
        Requests may have several intents; `codes` are then those of the main ones, the first that are learned.
    members : (n, k) bool array or None
        Where requests may have several intents: which they have.
    """

    names: tuple[str, ...]
    codes: NDArray[np.intp]
    merged: dict[str, int]
    several: bool = False
    members: NDArray[np.bool_] | None = None

    @property
    def taught(self) -> NDArray[Any]:
        """What the heads learn from: `codes`, or where requests may have several intents the shares of each, (n, k)."""
        return self.codes if self.members is None else _shares(self.members)

    def take(self, at: Any) -> IntentLabels:
        """Return the labels of the requests at an index or mask."""
        return replace(self, codes=self.codes[at], members=None if self.members is None else self.members[at])

    def member(self, intents: NDArray[np.object_]) -> NDArray[np.bool_]:
        """Return which intents other requests have, (n, k); none where they are unlabelled."""
        found = np.zeros((len(intents), len(self.names)), dtype=np.bool_)
        for row, value in enumerate(intents):
            codes = self.code(np.array(_split(value) or [""], dtype=object))
            found[row, codes[codes >= 0]] = True
        return found

    def teach(self, intents: NDArray[np.object_]) -> NDArray[Any]:
        """Return of other requests what `taught` is of these."""
        return _shares(self.member(intents)) if self.several else self.code(intents)

    def code(self, intents: NDArray[np.object_]) -> NDArray[np.intp]:
        """Return the codes of other requests' intents: merged or new ones are ``other`` where that exists, else -1.

        Where ``any`` is the one intent, every request has it.
        """
        if self.names == (ANY_INTENT,):
            return np.zeros(len(intents), dtype=np.intp)
        position = {name: index for index, name in enumerate(self.names)}
        other = position.get(OTHER_INTENT, -1)

        def main(value: Any) -> int:
            names = _split(value)
            kept = [position[name] for name in names if name in position]
            return kept[0] if kept else (other if names else -1)

        return np.array([main(value) for value in intents], dtype=np.intp)


def out_of_scope(intents: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Return, (n,), which requests are labelled as belonging to no intent (see `OUT_OF_SCOPE`)."""
    return np.array([str(value).strip().lower() in OUT_OF_SCOPE for value in intents], dtype=np.bool_)


def intent_labels(intents: NDArray[np.object_], min_count: int = 10) -> IntentLabels:
    """Collect the intents that have at least `min_count` labelled requests; rarer ones become ``other``.

    Parameters
    ----------
    intents : (n,) object array
        "" where unknown; several are separated by ``|``. Those of `OUT_OF_SCOPE` count as unknown.
    min_count : int
        Rarer intents are merged; where they are fewer than this even together, they stay unlabelled (-1). Where nothing
        is left, all requests get the one intent ``any``.
    """
    split = [_split(value) for value in intents]
    counts = Counter(name for names in split for name in dict.fromkeys(names))
    merged = {name: count for name, count in sorted(counts.items()) if count < min_count}
    kept = set(counts) - set(merged)
    if merged and sum(merged.values()) >= min_count:
        kept.add(OTHER_INTENT)
    if not kept:
        kept.add(ANY_INTENT)
    labels = IntentLabels(tuple(sorted(kept)), np.empty(0, dtype=np.intp), merged)
    codes, several = labels.code(intents), sum(len(names) > 1 for names in split)
    if several < max(SEVERAL * sum(map(bool, split)), min_count) or len(kept) < 2:
        return IntentLabels(labels.names, codes, merged)
    return IntentLabels(labels.names, codes, merged, True, labels.member(intents))


def _split(value: Any) -> list[str]:
    """Return the intents of one request, the main one first; none where it is unlabelled or out of scope."""
    names = [name.strip() for name in str(value).split(SEPARATOR)] if value else []
    return [name for name in names if name and name.lower() not in OUT_OF_SCOPE]


def _shares(members: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return each intent's share of each request, (n, k): even among those it has."""
    count = members.sum(axis=1, keepdims=True)
    return np.asarray(members / np.maximum(count, 1))


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
