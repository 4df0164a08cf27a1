"""Who moves where between two ways of choosing a model, and what that does to usefulness and cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pointsman.replay import Served

__all__ = ["moves"]

TOP = 5
"""Intents that are named for each way that requests move."""


def moves(
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    models: Sequence[str],
    before: Served,
    after: Served,
    intents: NDArray[np.object_],
) -> dict[str, Any]:
    """Return where n requests go instead.

    Parameters
    ----------
    first, second : (n,) intp array
        Chosen before and after, as columns of `models`; -1 where unknown.
    models : sequence of str
    before, after : Served
        What they got.
    intents : (n,) object array

    Returns
    -------
    dict
        ``requests, share`` that move; ``models`` and ``matrix`` (requests from the row's model to the column's);
        ``flows``: one entry for each way that at least one request moves, the busiest first: ``from, to, requests``,
        ``useful`` and ``cost_usd`` of a request as ``[before, after]``, ``lost`` and ``gained`` useful answers (None
        where outcomes are estimated), ``intents`` with most such requests.
    """
    m = len(models)
    known = (first >= 0) & (second >= 0)
    matrix = np.zeros((m, m), dtype=np.intp)
    np.add.at(matrix, (first[known], second[known]), 1)
    measured = before.late is None and after.late is None
    flows = []
    for row, column in np.argwhere(matrix > 0):
        if row == column:
            continue
        at = np.flatnonzero((first == row) & (second == column))
        names, counts = np.unique(intents[at].astype(np.str_), return_counts=True)
        most = np.argsort(-counts, kind="stable")[:TOP]
        difference = after.useful[at] - before.useful[at]
        flows.append(
            {
                "from": models[row],
                "to": models[column],
                "requests": len(at),
                "useful": [float(before.useful[at].mean()), float(after.useful[at].mean())],
                "cost_usd": [float(before.cost_usd[at].mean()), float(after.cost_usd[at].mean())],
                "lost": float(np.maximum(-difference, 0).sum()) if measured else None,
                "gained": float(np.maximum(difference, 0).sum()) if measured else None,
                "intents": {str(names[index]): int(counts[index]) for index in most},
            }
        )
    moved = int(matrix.sum() - np.trace(matrix))
    return {
        "requests": moved,
        "share": moved / max(len(first), 1),
        "models": list(models),
        "matrix": matrix.tolist(),
        "flows": sorted(flows, key=lambda flow: -flow["requests"]),
    }
