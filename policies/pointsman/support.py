"""Support: whether logged data can carry a claim about a policy, and if not, why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.exploration import MIN_ESS, Cell, overlap
from pointsman.offpolicy import FLOOR, effective_sample_size, importance_weights
from pointsman.propensity import PropensityCheck, check_propensities

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pointsman.intervals import Estimate
    from pointsman.outcomes import Outcomes
    from pointsman.propensity import Propensities

__all__ = [
    "MAX_CLIPPED",
    "MAX_UNSUPPORTED",
    "MAX_WEIGHT_SHARE",
    "MIN_CARRIERS",
    "Support",
    "support_of",
    "tellable",
]

MAX_WEIGHT_SHARE = 0.05
"""Share of all weight that one request may carry."""

MIN_CARRIERS = 20.0
"""Requests that must carry the spread of an unbounded outcome for its interval to be believed; `Estimate.carriers`."""

MAX_UNSUPPORTED = 0.02
"""Share of the policy's traffic that may go where production hardly ever went."""

MAX_CLIPPED = 0.05
"""Share of the weighted requests whose propensity may lie below the floor."""


@dataclass(frozen=True)
class Support:
    """Whether the logged data can carry a claim about a policy.

    Attributes
    ----------
    requests, complete, unusable : int
        All; those with every candidate's outcome; those that say nothing.
    effective : float
        Effective sample size (Kish 1965).
    effective_by_intent : dict of str to float
    max_weight_share : float
        Share of all weight on the heaviest request.
    clipped_share : float
        Share of the weighted requests cut by the floor.
    floor : float
    unsupported : float
        Share of the policy's traffic in cells without any known outcome.
    cells : tuple of Cell
    check : PropensityCheck
    """

    requests: int
    complete: int
    unusable: int
    effective: float
    effective_by_intent: dict[str, float]
    max_weight_share: float
    clipped_share: float
    floor: float
    unsupported: float
    cells: tuple[Cell, ...]
    check: PropensityCheck

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why no claim can be made; empty where it can."""
        found = []
        if self.unsupported > MAX_UNSUPPORTED:
            worst = next(cell for cell in self.cells if not cell.supported)
            found.append(
                f"{100 * self.unsupported:.0f} % of the policy's traffic goes where production hardly ever went, first "
                f"{worst.intent or 'no intent'} → {worst.candidate} ({worst.matches} of {worst.requests:,} requests)"
            )
        if self.effective < MIN_ESS:
            found.append(
                f"the effective sample is {self.effective:.0f} of {self.requests:,} requests ({MIN_ESS:.0f} needed)"
            )
        if self.max_weight_share > MAX_WEIGHT_SHARE:
            found.append(f"one request carries {100 * self.max_weight_share:.0f} % of all weight")
        if self.clipped_share > MAX_CLIPPED:
            found.append(f"{100 * self.clipped_share:.0f} % of the weights are cut at the floor of {self.floor:g}")
        if not self.check.holds:
            found.append(self.check.verdict)
        return tuple(found)

    @property
    def tellable(self) -> bool:
        """The data can carry a claim."""
        return not self.reasons

    def to_dict(self) -> dict[str, Any]:
        """Return the support as plain JSON values."""
        return {
            **vars(self),
            "tellable": self.tellable,
            "reasons": list(self.reasons),
            "cells": [vars(cell) | {"supported": cell.supported} for cell in self.cells],
            "check": self.check.to_dict(),
        }


def support_of(
    outcomes: Outcomes,
    chosen: NDArray[np.intp],
    propensities: Propensities,
    intents: NDArray[np.object_] | None = None,
    floor: float = FLOOR,
) -> Support:
    """Measure overlap, effective sample and the soundness of the propensities for a policy's choices, (n,)."""
    intents = outcomes.intent if intents is None else intents
    weights = importance_weights(outcomes.useful, chosen, propensities, floor)
    complete = np.asarray(np.isfinite(outcomes.useful).all(axis=1))
    cells = overlap(chosen, propensities, complete, intents, outcomes.models, floor)
    total = float(np.nansum(weights.weight))
    return Support(
        len(outcomes),
        int(complete.sum()),
        int((~weights.usable).sum()),
        effective_sample_size(weights.weight),
        {
            str(name): effective_sample_size(weights.weight[intents == name])
            for name in sorted(set(intents[weights.usable].tolist()))
        },
        float(np.nanmax(weights.weight)) / total if total > 0 else 1.0,
        weights.clipped_share,
        floor,
        sum(cell.share for cell in cells if not cell.supported),
        cells,
        check_propensities(chosen, propensities, intents, outcomes.models, np.logical_not(complete)),
    )


def tellable(found: Estimate) -> bool:
    """Return whether an interval can be believed: no handful of requests carries the spread of an unbounded outcome."""
    return found.bounded or found.carriers >= MIN_CARRIERS
