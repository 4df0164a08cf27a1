"""Reliability: how often answers believed useful with some probability were useful, candidate by candidate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import beta

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["reliability"]

BINS = 8
"""Bins of equally many answers: a curve of few points that can each be believed."""

LEAST = 10
"""Answers that a bin needs."""


def reliability(
    useful: NDArray[np.float64], believed: NDArray[np.floating[Any]], models: Sequence[str], confidence: float = 0.95
) -> list[dict[str, Any]]:
    """Return the points of a reliability diagram for each of m candidates.

    Parameters
    ----------
    useful : (n, m) float array
        0 to 1, NaN where unknown.
    believed : (n, m) float array
        P(useful), as the classifier said.
    models : sequence of str
    confidence : float
        Of each point's own interval (Clopper and Pearson 1934; of usefulness between 0 and 1, with as many successes as
        it sums to).

    Returns
    -------
    list of dict
        ``model, answers`` and ``bins`` of about equally many answers: ``answers, believed, useful, low, high``.
    """
    found = []
    for column, model in enumerate(models):
        known = np.flatnonzero(np.isfinite(useful[:, column]))
        order = known[np.argsort(believed[known, column], kind="stable")]
        parts = np.array_split(order, max(1, min(BINS, len(order) // LEAST))) if len(order) else []
        bins = []
        for part in parts:
            count, total = len(part), float(useful[part, column].sum())
            tail = (1 - confidence) / 2
            low = float(beta.ppf(tail, total, count - total + 1)) if total > 0 else 0.0
            high = float(beta.ppf(1 - tail, total + 1, count - total)) if total < count else 1.0
            mean = float(np.mean(believed[part, column], dtype=np.float64))
            bins.append({"answers": count, "believed": mean, "useful": total / count, "low": low, "high": high})
        found.append({"model": model, "answers": len(known), "bins": bins})
    return found
