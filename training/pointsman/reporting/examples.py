"""Examples for the report, only where they are asked for: requests that lose, gain or save most, with their prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pointsman.outcomes import Outcomes

__all__ = ["SHOWN_CHARS", "examples_of"]

SHOWN_CHARS = 160


def examples_of(
    outcomes: Outcomes, before: NDArray[np.intp], after: NDArray[np.intp], each: int = 3
) -> list[dict[str, Any]]:
    """Return requests that lose a useful answer, gain one, or keep it for less, so many of each.

    Parameters
    ----------
    outcomes : Outcomes
        n requests, every outcome known.
    before, after : (n,) intp array
        Columns chosen.
    each : int

    Returns
    -------
    list of dict
        ``kind`` (lost, gained, saved), ``prompt`` (its beginning), ``intent, from, to, useful, cost_usd``.
    """
    rows = np.arange(len(outcomes))
    useful = [outcomes.useful[rows, at] for at in (before, after)]
    cost = [outcomes.cost_usd[rows, at] for at in (before, after)]
    gain, spared = useful[1] - useful[0], cost[0] - cost[1]
    order = np.argsort(-spared, kind="stable")
    kinds = {"lost": gain < 0, "gained": gain > 0, "saved": (gain == 0) & (useful[1] > 0) & (spared > 0)}
    found = []
    for kind, mask in kinds.items():
        for at in order[mask[order]][:each]:
            prompt = " ".join(str(outcomes.prompt[at]).split())
            found.append(
                {
                    "kind": kind,
                    "prompt": prompt if len(prompt) <= SHOWN_CHARS else f"{prompt[:SHOWN_CHARS]}…",
                    "intent": str(outcomes.intent[at]),
                    "from": outcomes.models[before[at]],
                    "to": outcomes.models[after[at]],
                    "useful": [float(side[at]) for side in useful],
                    "cost_usd": [float(side[at]) for side in cost],
                }
            )
    return found
