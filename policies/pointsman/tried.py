"""Rules tried on the tuning requests: what each would have cost, how useful and how late it would have been."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pointsman.decide import decide

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from pointsman.decide import Beliefs
    from pointsman.objective import Evaluation, Objective
    from pointsman.rules import Rule

__all__ = ["Bench", "Tried", "rank"]

CHUNK = 16_384
"""Requests decided at a time: the intermediate arrays of eight candidates stay in the processor's cache."""


@dataclass(frozen=True)
class Tried:
    """One rule on the tuning requests.

    Attributes
    ----------
    rule : Rule
    evaluation : Evaluation
    p95_ms : float or None
        None where no front was asked for.
    """

    rule: Rule
    evaluation: Evaluation
    p95_ms: float | None = None


def rank(found: Evaluation) -> tuple[float, float]:
    """Order policies: first by how far from feasible, then by the objective."""
    return found.violation, found.cost_per_useful


class Bench:
    """Tries rules on the same n requests and remembers every one of them.

    Parameters
    ----------
    beliefs : Beliefs
    objective : Objective
        On the same requests.
    p95 : bool
        Measure the P95 latency too, which a front needs.

    Attributes
    ----------
    beliefs : Beliefs
    objective : Objective
    tried : dict of str to Tried
        In the order of trying; keys are the rules written out.
    """

    def __init__(self, beliefs: Beliefs, objective: Objective, *, p95: bool = False) -> None:
        self.beliefs = beliefs
        self.objective = objective
        self.tried: dict[str, Tried] = {}
        self._p95 = p95
        self._chunks = [beliefs.take(slice(start, start + CHUNK)) for start in range(0, len(beliefs.intent), CHUNK)]

    def __call__(self, rule: Rule) -> Tried:
        """Try a rule, once."""
        key = repr(rule)
        if key not in self.tried:
            chosen = self.choose(rule)
            p95 = None
            if self._p95:
                served = self.objective.served(chosen)
                p95 = served.latency_quantile(0.95)
                # Where logs hardly tell, the worst that is known.
                p95 = float(served.latency_ms.max()) if p95 is None else p95
            self.tried[key] = Tried(rule, self.objective(chosen), p95)
        return self.tried[key]

    def best(self, rules: Iterable[Rule]) -> Tried:
        """Try rules and return the best feasible one, or the one nearest to feasible."""
        return min((self(rule) for rule in rules), key=lambda one: rank(one.evaluation))

    def choose(self, rule: Rule) -> NDArray[np.intp]:
        """Return what `decide` returns, chunk by chunk."""
        return np.concatenate([decide(chunk, rule) for chunk in self._chunks])
