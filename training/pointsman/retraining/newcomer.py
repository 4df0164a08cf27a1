"""A new model on the market: what a few replayed answers, and a model that it resembles, say. No certificate.

By intent, its usefulness has a Beta distribution: the prior is the similar model's rate, worth a stated number of
answers, or uniform where none is named; each replayed answer counts one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import beta

from pointsman.errors import TraceError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Estimate", "answers_to_compare", "newcomer"]

PRIOR = 8.0
"""Answers that a resemblance is worth: few, so that a handful of its own outweighs it."""


@dataclass(frozen=True)
class Estimate:
    """Usefulness of a new model in one intent.

    Attributes
    ----------
    intent : str
    answers : int
        Of its own.
    useful, low, high : float
        Mean, and central credible interval.
    """

    intent: str
    answers: int
    useful: float
    low: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        """Return the estimate as plain JSON values."""
        return dict(vars(self))


def newcomer(rows: pd.DataFrame, model: str, like: str | None = None, confidence: float = 0.95) -> list[Estimate]:
    """Estimate a new model by intent, the most frequent intent first.

    Parameters
    ----------
    rows : pandas.DataFrame
        Validated trace rows, a small replay sample of the new model among them or not.
    model : str
    like : str, optional
        A model that it resembles, with answers in the traces.
    confidence : float

    Raises
    ------
    TraceError
        Where there is nothing to go by: neither answers of its own nor a model that it resembles.
    """
    known = rows[rows["useful"].notna()]
    own, other = known[known["model"] == model], known[known["model"] == like]
    if like is not None and other.empty:
        there = ", ".join(sorted(map(str, known["model"].unique())))
        raise TraceError(f"no labelled answer of {like!r} in the traces; models there: {there}")
    if own.empty and like is None:
        raise TraceError(
            f"nothing is known of {model!r}: replay some requests on it, or name a model that it resembles"
        )
    found, tail = [], (1 - confidence) / 2
    for intent in rows.drop_duplicates("request_id")["intent"].fillna("").value_counts().index:
        mine = own.loc[own["intent"].fillna("") == intent, "useful"].to_numpy(float)
        theirs = other.loc[other["intent"].fillna("") == intent, "useful"].to_numpy(float)
        rate, weight = (float(theirs.mean()), PRIOR) if len(theirs) else (0.5, 2.0)
        # Half an answer at each end keeps the prior proper where the other model never failed, or always.
        a, b = rate * weight + 0.5 + mine.sum(), (1 - rate) * weight + 0.5 + (1 - mine).sum()
        low, high = float(beta.ppf(tail, a, b)), float(beta.ppf(1 - tail, a, b))
        found.append(Estimate(str(intent), len(mine), float(a / (a + b)), low, high))
    return found


def answers_to_compare(useful: float, gap: float = 0.05) -> int:
    """Return how many replayed answers tell a difference of `gap` from another model (power 80 %, one side of 95 %)."""
    return int(np.ceil(2 * useful * (1 - useful) * (1.645 + 0.842) ** 2 / gap**2))
