"""Cost–usefulness frontiers: what a trade-off knob reaches, picked in hindsight, with paired bootstrap replicates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Path", "Reference", "area", "bootstrap", "knob", "measures", "saved", "trade_off"]

Floats = NDArray[np.floating[Any]]

STEPS = 150
"""Settings of the knob."""

LEVELS = 60
"""Spendings at which the frontier's height is read for the area."""

ROUNDING = 1e-9
"""Usefulness nearer than this to what is asked for meets it."""


@dataclass(frozen=True, eq=False)
class Path:
    """What n requests get at each of s settings of one method's knob.

    Attributes
    ----------
    useful, cost_usd : (s, n) float32 array
    """

    useful: NDArray[np.float32]
    cost_usd: NDArray[np.float32]

    def means(self, weight: Floats | None = None) -> tuple[Floats, Floats]:
        """Return mean usefulness and cost at each setting, (s,); of b resamples, (b, s), where `weight` is (b, n)."""
        if weight is None:
            return self.useful.mean(axis=1, dtype=np.float64), self.cost_usd.mean(axis=1, dtype=np.float64)
        n = self.useful.shape[1]
        return weight @ self.useful.T / n, weight @ self.cost_usd.T / n


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


def saved(path: Path, reference: Reference, margin: float, weight: Floats | None = None) -> Floats:
    """Return the largest share of the best single model's cost that a setting saves, picked in hindsight.

    Only settings count that are at most `margin` less useful than the best single model, itself among them.
    """
    useful, cost = path.means(weight)
    best_useful, best_cost = (ends[..., 1] for ends in reference.ends.means(weight))
    enough = useful >= best_useful[..., None] - margin - ROUNDING
    cheapest = np.where(enough, cost, np.inf).min(axis=-1)
    return np.asarray(1 - np.minimum(cheapest, best_cost) / best_cost)


def area(path: Path, reference: Reference, weight: Floats | None = None) -> Floats:
    """Return the mean, over spendings from the cheapest to the best single model's, of the usefulness bought.

    That is the area under the frontier's staircase (as in RouterBench's AIQ, Hu et al. 2024, which takes its hull),
    relative to the best single model's usefulness: 0 is «as useful at every price».
    """
    ends_useful, ends_cost = reference.ends.means(weight)
    own_useful, own_cost = path.means(weight)
    useful = np.concatenate([own_useful, ends_useful], axis=-1)
    cost = np.concatenate([own_cost, ends_cost], axis=-1)
    low, high = ends_cost[..., 0], ends_cost[..., 1]
    total = np.zeros_like(low)
    for share in np.linspace(0, 1, LEVELS):
        spending = (low + share * (high - low))[..., None] * (1 + ROUNDING)
        total += np.where(cost <= spending, useful, -np.inf).max(axis=-1)
    return np.asarray(total / LEVELS - ends_useful[..., 1])


def bootstrap(
    paths: Mapping[str, Path],
    reference: Reference,
    margins: tuple[float, ...],
    replicates: int = 500,
    seed: int = 0,
) -> dict[str, dict[str, Floats]]:
    """Return every measure of every path on the same resamples of the requests, (b,) each (Efron 1979).

    The knob is picked anew in each resample: what hindsight gains is in the interval.
    """
    n = reference.ends.useful.shape[1]
    generator = np.random.default_rng(seed)
    drawn = [np.bincount(generator.integers(0, n, n), minlength=n) for _ in range(replicates)]
    weight = np.stack(drawn).astype(np.float32)
    return {name: measures(path, reference, margins, weight) for name, path in paths.items()}


def measures(
    path: Path, reference: Reference, margins: tuple[float, ...], weight: Floats | None = None
) -> dict[str, Floats]:
    """Return cost saved at each margin, by ``saved:MARGIN``, and ``area``."""
    found = {f"saved:{margin:g}": saved(path, reference, margin, weight) for margin in margins}
    return {**found, "area": area(path, reference, weight)}
