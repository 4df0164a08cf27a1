"""Cost–usefulness frontiers: what the settings of a trade-off knob reach, and what the best of them is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Path", "Reference", "area", "knob", "measures", "saved", "trade_off"]

Floats = NDArray[np.floating[Any]]

STEPS = 150
"""Settings of the knob."""

LEVELS = 60
"""Spendings at which the frontier's height is read for the area."""

ROUNDING = 1e-9
"""Usefulness nearer than this to what is asked for meets it; so does a spending, relatively."""


@dataclass(frozen=True, eq=False)
class Path:
    """What n requests get at each of s settings of one method's knob.

    Attributes
    ----------
    useful, cost_usd : (s, n) float32 array
    """

    useful: NDArray[np.float32]
    cost_usd: NDArray[np.float32]

    def means(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean usefulness and mean cost, USD, at each setting, (s,)."""
        return self.useful.mean(axis=1, dtype=np.float64), self.cost_usd.mean(axis=1, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Reference:
    """The single models that everybody may fall back to: the cheapest and the most useful one in training.

    Attributes
    ----------
    ends : Path
        Two settings: always the cheapest, always the best.
    """

    ends: Path

    @classmethod
    def of(cls, useful: Floats, cost_usd: Floats, best: int) -> Reference:
        """Build it from the (n, m) outcomes, candidates cheap to dear, and the column of the best single model."""
        columns = [0, best]
        return cls(Path(useful[:, columns].T.astype(np.float32), cost_usd[:, columns].T.astype(np.float32)))


def knob(cost_usd: Floats) -> NDArray[np.float64]:
    """Return the values of a useful response, USD, to try: from «only cost» to «only usefulness»."""
    return np.geomspace(float(cost_usd.mean(axis=0).min()) * 0.3, float(cost_usd.max()) * 1e3, STEPS)


def trade_off(probs: Floats, cost_usd: Floats, values: Floats) -> NDArray[np.intp]:
    """Return the candidate of largest ``value·P(useful) − cost`` for each value, (s, n); arrays are (n, m)."""
    return np.stack([(value * probs - cost_usd).argmax(axis=1) for value in values])


def saved(path: Path, reference: Reference, margin: float) -> float:
    """Return the largest share of the best single model's cost that a setting saves, picked in hindsight.

    Only settings count that are at most `margin` less useful than the best single model, itself among them.
    """
    useful, cost = path.means()
    best_useful, best_cost = (float(ends[1]) for ends in reference.ends.means())
    enough = useful >= best_useful - margin - ROUNDING
    return 1 - min(float(cost[enough].min(initial=best_cost)), best_cost) / best_cost


def area(path: Path, reference: Reference) -> float:
    """Return the mean, over spendings from the cheapest to the best single model's, of the usefulness bought.

    That is the area under the frontier's staircase (as in RouterBench's AIQ, Hu et al. 2024, which takes its hull)
    divided by its width, relative to the best single model's usefulness: 0 is «as useful at every price».
    """
    ends_useful, ends_cost = reference.ends.means()
    own_useful, own_cost = path.means()
    useful, cost = np.concatenate([own_useful, ends_useful]), np.concatenate([own_cost, ends_cost])
    spendings = np.linspace(ends_cost[0], ends_cost[1], LEVELS)[:, None] * (1 + ROUNDING)
    return float(np.where(cost <= spendings, useful, -np.inf).max(axis=1).mean() - ends_useful[1])


def measures(path: Path, reference: Reference, margins: tuple[float, ...]) -> dict[str, float]:
    """Return the share of cost saved at each margin, by ``saved:MARGIN``, and ``area``."""
    return {
        **{f"saved:{margin:g}": saved(path, reference, margin) for margin in margins},
        "area": area(path, reference),
    }
