"""Exploration: where the logged data overlap a policy, and how much exploration would let them tell its worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from pointsman.propensity import MIN_MATCHES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointsman.propensity import Propensities

__all__ = ["MIN_ESS", "Cell", "ExplorationPlan", "Step", "overlap", "plan_exploration"]

Floats = NDArray[np.float64]

MIN_ESS = 50.0
"""Effective requests that a claim needs."""

EXPECTED = 7.0
"""Expected matches from which their absence means something: the chance of none is exp(-7), one in a thousand."""

WORST_VARIANCE = 0.25
"""The variance that an outcome between 0 and 1 cannot exceed (Popoviciu 1935)."""

LEAST_RATE, MOST_RATE = 0.001, 0.2
"""The exploration rates that are proposed, from one request in a thousand to one in five."""


@dataclass(frozen=True)
class Cell:
    """The policy's traffic of one intent to one candidate.

    Attributes
    ----------
    intent, candidate : str
    share : float
        Of all requests.
    requests, matches : int
        Requests known by what was served, and those on which production chose the candidate too.
    known : int
        Requests with the outcome of every candidate: they need no overlap.
    expected : float
        Matches that it would have if each had the candidate's smallest logged propensity.
    overlap : float
        Share of the cell's requests known in full or logged with the candidate at a propensity of at least the floor.
    """

    intent: str
    candidate: str
    share: float
    requests: int
    matches: int
    known: int
    expected: float
    overlap: float

    @property
    def supported(self) -> bool:
        """A request says what the candidate does here, or there are too few to expect one."""
        return self.matches + self.known > 0 or 0 < self.expected < EXPECTED


def overlap(
    chosen: NDArray[np.intp],
    propensities: Propensities,
    complete: NDArray[np.bool_],
    intents: NDArray[np.object_],
    models: Sequence[str],
    floor: float,
) -> tuple[Cell, ...]:
    """Return the policy's cells, intent by candidate, the largest first.

    Parameters
    ----------
    chosen : (n,) intp array
    propensities : Propensities
    complete : (n,) bool array
        Every candidate's outcome is known.
    intents : (n,) object array
    models : sequence of str
    floor : float
        Propensities below it are no overlap.
    """
    logged = (propensities.logged >= 0) & np.isfinite(propensities.probability) & ~complete
    match = logged & (propensities.logged == chosen)
    sound = match & (np.nan_to_num(propensities.probability) >= floor)
    usable = logged | complete
    cells = []
    for intent in sorted(set(intents[usable].tolist())):
        for column in np.unique(chosen[usable & (intents == intent)]):
            inside = usable & (intents == intent) & (chosen == column)
            count, own = int(inside.sum()), int((inside & logged).sum())
            least = propensities.probability[logged & (propensities.logged == column)].min(initial=1.0)
            ever = bool((match & (chosen == column)).any())
            cells.append(
                Cell(
                    str(intent),
                    models[int(column)],
                    count / int(usable.sum()),
                    own,
                    int((inside & match).sum()),
                    int((inside & complete).sum()),
                    own * float(least) if ever else 0.0,
                    int((inside & (sound | complete)).sum()) / count,
                )
            )
    return tuple(sorted(cells, key=lambda cell: (-cell.share, cell.intent, cell.candidate)))


@dataclass(frozen=True)
class Step:
    """What to explore in one cell.

    Attributes
    ----------
    intent, candidate : str
    rate : float
        With which probability a request of the cell goes to the candidate.
    per_mille : float
        Requests of a thousand of all traffic that this sends elsewhere than production does now.
    """

    intent: str
    candidate: str
    rate: float
    per_mille: float


@dataclass(frozen=True)
class ExplorationPlan:
    """How much exploration would make a policy's worth tellable.

    Attributes
    ----------
    half_width : float
        Wanted, of the 95 % (or other) interval of a mean between 0 and 1.
    confidence : float
    rate : float
        Every request goes at least this probably where the policy would send it.
    requests : int
        For how many requests, all traffic counted.
    per_mille : float
        Of all traffic, moved by exploration.
    steps : tuple of Step
        The cells that need it, the largest first.
    """

    half_width: float
    confidence: float
    rate: float
    requests: int
    per_mille: float
    steps: tuple[Step, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain JSON values."""
        return {**vars(self), "steps": [vars(step) for step in self.steps]}

    @property
    def sentence(self) -> str:
        """The plan in one sentence."""
        if not self.steps:
            return f"{self.requests:,} requests logged as now would tell it to ±{100 * self.half_width:.1f} points"
        where = ", ".join(f"{step.intent or 'no intent'} → {step.candidate}" for step in self.steps[:3])
        more = f" and {len(self.steps) - 3} more" if len(self.steps) > 3 else ""
        return (
            f"exploring with {self.per_mille:.1f} per mille of the traffic ({where}{more}) for {self.requests:,} "
            f"requests would tell it to ±{100 * self.half_width:.1f} points"
        )


def plan_exploration(
    cells: Sequence[Cell],
    half_width: float = 0.02,
    confidence: float = 0.95,
    requests: int | None = None,
    variance: float = WORST_VARIANCE,
    residual_variance: float = WORST_VARIANCE,
) -> ExplorationPlan:
    """Find the smallest exploration that tells a policy's mean to a half-width.

    Over N requests, with the probability p_c that production chooses as the policy does in cell c of traffic share s_c,
    the doubly robust mean has the variance (Dudík et al. 2011, theorem 2, with known propensities)
    ``[V + R · Σ s_c (1/p_c − 1)] / N``: V the variance of the outcome over requests, R that of its residual around the
    model. With exploration at the rate e, p_c becomes ``max(p_c, e)``. The plan takes the smallest e from 0.1 to 20 %
    for which ``z² · [...] ≤ half_width² · N``, the effective sample ``N / Σ (s_c / p_c)`` is at least twice `MIN_ESS`,
    and a cell of at least one per cent of the traffic gets twice `MIN_MATCHES` matches. Where 20 % for N requests is
    too little, N grows.

    Parameters
    ----------
    cells : sequence of Cell
        Production as it is; from `overlap`.
    half_width : float
        Above 0.
    confidence : float
    requests : int, optional
        N, over which to spread the exploration; as many as were logged where it is not given.
    variance, residual_variance : float
        V and R; the worst that an outcome between 0 and 1 can have where they are not given.
    """
    share = np.array([cell.share for cell in cells])
    now = np.array([cell.matches / cell.requests if cell.requests else 0.0 for cell in cells])
    horizon = requests or max(sum(cell.requests + cell.known for cell in cells), 1)
    square = float(norm.ppf((1 + confidence) / 2)) ** 2

    def needed(rate: float) -> float:
        chance = np.maximum(now, rate)
        precise = square * (variance + residual_variance * float(share @ (1 / chance - 1))) / half_width**2
        effective = 2 * MIN_ESS * float(share @ (1 / chance))
        large = share >= 0.01
        matched = float((2 * MIN_MATCHES / (share * chance)[large]).max()) if large.any() else 0.0
        return max(precise, effective, matched)

    rates = np.geomspace(LEAST_RATE, MOST_RATE, 200)
    enough = [rate for rate in rates if needed(float(rate)) <= horizon]
    rate = float(enough[0]) if enough else MOST_RATE
    extra = np.maximum(rate - now, 0.0) * share
    steps = [
        Step(cell.intent, cell.candidate, rate, 1000 * float(moved))
        for cell, moved in zip(cells, extra, strict=True)
        if moved > 0
    ]
    steps.sort(key=lambda step: -step.per_mille)
    count = max(horizon, int(np.ceil(needed(rate))))
    return ExplorationPlan(half_width, confidence, rate, count, 1000 * float(extra.sum()), tuple(steps))
