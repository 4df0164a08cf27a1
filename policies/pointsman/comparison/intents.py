"""Intent by intent: what changes between two sides of the same requests, with control of the many tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.comparison.signs import holm, sign_flip
from pointsman.evidence import paired_change
from pointsman.resample import units_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pointsman.replay import Served

__all__ = ["by_intent"]


def by_intent(
    before: Served,
    after: Served,
    intents: NDArray[np.object_],
    moved: NDArray[np.bool_],
    confidence: float = 0.95,
    cluster: NDArray[np.object_] | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return one entry an intent, the one with most requests first.

    Usefulness is tested in each of the k intents (see `sign_flip`), and the p-values are adjusted together (`holm`):
    with the stated confidence, none of the intents called more or less useful is one by chance. Intervals hold in all k
    intents at once (Bonferroni 1936).

    Parameters
    ----------
    before, after : Served
        Of the same n requests; no mixtures.
    intents : (n,) object array
    moved : (n,) bool array
        Requests that go elsewhere.
    confidence : float
    cluster : (n,) object array, optional
        See `pointsman.evidence.paired_change`.
    seed : int

    Returns
    -------
    list of dict
        ``intent, requests, moved``, ``before`` and ``after`` (``useful_rate, cost_usd`` of a request, ``p95_ms``),
        ``change`` (by ``useful_rate`` and ``cost_usd``: ``difference, low, high`` of a request, ``ratio…`` for costs;
        None where unknown), ``lost`` and ``gained`` (useful answers; None where outcomes are estimated), ``p,
        p_adjusted``, ``stands``: ``more useful``, ``less useful`` or ``level``.
    """
    names, counts = np.unique(intents.astype(np.str_), return_counts=True)
    simultaneous = 1 - (1 - confidence) / len(names)
    entries: list[dict[str, Any]] = []
    for name in names[np.argsort(-counts, kind="stable")]:
        at = np.flatnonzero(intents == name)
        own = None if cluster is None else cluster[at]
        was, now = before.take(at), after.take(at)
        difference = now.useful - was.useful
        change = paired_change(was, now, simultaneous, cluster=own, method="delta")
        measured = before.late is None and after.late is None
        entries.append(
            {
                "intent": str(name),
                "requests": len(at),
                "moved": int(moved[at].sum()),
                "before": _means(was),
                "after": _means(now),
                "change": {
                    "useful_rate": change["useful_rate"],
                    "cost_usd": _of_a_request(change["cost_usd"], len(at)),
                },
                "lost": float(np.maximum(-difference, 0).sum()) if measured else None,
                "gained": float(np.maximum(difference, 0).sum()) if measured else None,
                "p": sign_flip(difference, units_of(own, len(at))[0], seed),
            }
        )
    for entry, adjusted in zip(entries, holm([entry["p"] for entry in entries]), strict=True):
        proven, better = adjusted <= 1 - confidence, entry["after"]["useful_rate"] > entry["before"]["useful_rate"]
        entry |= {"p_adjusted": adjusted}
        entry |= {"stands": "level" if not proven else "more useful" if better else "less useful"}
    return entries


def _means(served: Served) -> dict[str, float | None]:
    return {
        "useful_rate": float(served.useful.mean()),
        "cost_usd": float(served.cost_usd.mean()),
        "p95_ms": served.latency_quantile(0.95),
    }


def _of_a_request(entry: dict[str, float] | None, requests: int) -> dict[str, float] | None:
    """Return the change of a sum of costs as that of one request."""
    if entry is None:
        return None
    return {name: value if name.startswith("ratio") else value / requests for name, value in entry.items()}
