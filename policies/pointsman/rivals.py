"""The content-blind peer: one candidate per intent, tuned to the same objective and constraints as the policy."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from pointsman.space import Space
from pointsman.tried import Bench, rank

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pointsman.decide import Beliefs
    from pointsman.objective import Objective

__all__ = ["best_per_intent"]

ASSIGNMENTS = 1024
"""Assignments of candidates to intents up to which all are tried."""


def best_per_intent(
    beliefs: Beliefs, objective: Objective, names: Sequence[str], models: Sequence[str]
) -> dict[str, str]:
    """Return the content-blind peer: one candidate per intent, tuned to the same objective and constraints.

    Where there are few assignments (1,024) all are tried. Else the grid's best is improved intent by intent until no
    single change helps. An intent is only given a candidate that can take most of its requests.

    Parameters
    ----------
    beliefs : Beliefs
        Must hold the intents as labelled (one-hot): then a rule with no trust in the prompt is an assignment.
    objective : Objective
        On the same requests.
    names : sequence of str
        Of the intents; those without requests are left out.
    models : sequence of str
        Candidates, cheap to dear.
    """
    present, intent = np.unique(beliefs.intent, return_inverse=True)
    able = np.stack([beliefs.eligible[:, beliefs.intent == code].mean(axis=1) for code in present])
    choices: list[list[int]] = [np.flatnonzero(row >= min(0.5, row.max())).tolist() for row in able]

    def value(assignment: Sequence[int]) -> tuple[float, float]:
        return rank(objective(np.asarray(assignment, dtype=np.intp)[intent]))

    if np.prod([float(len(options)) for options in choices]) <= ASSIGNMENTS:
        best: Sequence[int] = min(itertools.product(*choices), key=value)
    else:
        best = _improved(_grid_assignment(beliefs, objective, models, present), choices, value)
    return {names[code]: models[column] for code, column in zip(present, best, strict=True)}


def _grid_assignment(
    beliefs: Beliefs, objective: Objective, models: Sequence[str], present: NDArray[np.intp]
) -> list[int]:
    """Return the column that the best rule without trust gives to most requests of each intent."""
    bench = Bench(beliefs, objective)
    chosen = bench.choose(bench.best(Space.of(beliefs, objective, models).grid(0.0)).rule)
    return [int(np.bincount(chosen[beliefs.intent == code]).argmax()) for code in present]


def _improved(
    assignment: list[int],
    choices: Sequence[Sequence[int]],
    value: Callable[[Sequence[int]], tuple[float, float]],
) -> list[int]:
    """Give one intent after the other its best candidate until nothing changes."""
    best = value(assignment)
    improved = True
    while improved:
        improved = False
        for position, options in enumerate(choices):
            for option in options:
                other = [*assignment[:position], option, *assignment[position + 1 :]]
                found = value(other)
                if found < best:
                    assignment, best, improved = other, found, True
    return assignment
