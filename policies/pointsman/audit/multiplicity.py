"""Many tests, one error rate: weighted Holm over a whole audit, Benjamini-Hochberg over slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["benjamini_hochberg", "equal_shares", "holm"]


def holm(p_values: Any, weights: Any = None) -> NDArray[np.float64]:
    """Return p-values adjusted by Holm's step-down, weighted where weights are given.

    Rejecting what is at most α errs anywhere with probability at most α, whatever the dependence (Holm 1979, "A simple
    sequentially rejective multiple test procedure"; the weighted form is its section 4).

    Parameters
    ----------
    p_values : (n,) float array_like
    weights : (n,) float array_like, optional
        Above 0; which share of α each hypothesis has at first. Equal where not given.
    """
    p = np.asarray(p_values, dtype=np.float64)
    w = np.ones_like(p) if weights is None else np.asarray(weights, dtype=np.float64)
    order = np.argsort(p / w, kind="stable")
    left = np.cumsum(w[order][::-1])[::-1]
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(left * (p / w)[order]), 1.0)
    return adjusted


def equal_shares(families: Sequence[str]) -> NDArray[np.float64]:
    """Return weights, (n,), by which each family of hypotheses has the same share, split evenly inside it.

    A check that asks forty questions then takes nothing from one that asks one.
    """
    names, code, count = np.unique(np.asarray(families, dtype=str), return_inverse=True, return_counts=True)
    return 1.0 / (len(names) * count[code])


def benjamini_hochberg(p_values: Any) -> NDArray[np.float64]:
    """Return p-values adjusted by the step-up of Benjamini and Hochberg (1995): the expected share of false alarms.

    Holds for independent tests and those with positive regression dependence (Benjamini, Yekutieli 2001).
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted
