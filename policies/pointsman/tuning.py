"""Tuning with a certificate: the rules found are put in order from careful to bold and tested on other requests.

The order is by distance: how many standard errors a rule keeps from every limit on the requests that it was tuned on.
With few requests the whole search is repeated in folds, so that every request serves both search and certificate:
what is tested is then the search at each distance (Bayle, Bayle, Janson and Mackey 2020, «Cross-validation confidence
intervals for test error»), and what is exported is its result on all folds together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.certificate import Certificate, fixed_sequence
from pointsman.decide import Beliefs, decide
from pointsman.objective import Objective
from pointsman.replay import Served
from pointsman.resample import units_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pointsman.load.constraint import UnderLoad
    from pointsman.outcomes import Outcomes
    from pointsman.rules import Rule
    from pointsman.spec import RoutingSpec
    from pointsman.tried import Tried

__all__ = ["DISTANCES", "MANY", "Known", "Step", "certify", "cross_fitted", "path"]

DISTANCES = tuple(float(distance) for distance in np.arange(4.0, -0.01, -0.25))
"""Distances from the limits that are tested, in standard errors, from careful to bold."""

MANY = 20_000
"""Requests of the certify slice from which on it certifies alone, exactly; folds serve where there are fewer."""


@dataclass(frozen=True, eq=False)
class Known:
    """Requests whose outcome is known for every candidate.

    Attributes
    ----------
    beliefs : Beliefs
        Of n requests, by heads that never saw them.
    outcomes : Outcomes
        With fallbacks folded in, columns in the policy's order.
    before : Served
        What the baseline got.
    load : UnderLoad or None
        The queues, where the spec's latency is one under load.
    """

    beliefs: Beliefs
    outcomes: Outcomes
    before: Served
    load: UnderLoad | None = None

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.outcomes)

    def take(self, at: NDArray[Any]) -> Known:
        """Return the requests of a mask or an index."""
        return Known(self.beliefs.take(at), self.outcomes.take(at), self.before.take(at), self.load)

    def objective(self, spec: RoutingSpec) -> Objective:
        """Return the objective on these requests."""
        return Objective(self.outcomes, self.before, spec)

    def served(self, rule: Rule) -> Served:
        """Return what the requests get by a rule."""
        chosen = decide(self.beliefs, rule)
        served = Served.by(self.outcomes, chosen)
        return served if self.load is None else self.load.served(served, chosen)


@dataclass(frozen=True)
class Step:
    """A rule and the distance it keeps from every limit where it was tuned."""

    distance: float
    rule: Rule


def path(tried: Sequence[Tried]) -> list[Step]:
    """Return the best rule at each distance that any rule keeps, from careful to bold; empty where none keeps any."""
    ranked = _Ranked(tried)
    return [Step(distance, ranked.at(distance)) for distance in DISTANCES if ranked.kept(distance).any()]


class _Ranked:
    """Rules tried, by cost and by how far each is beyond each limit."""

    def __init__(self, tried: Sequence[Tried]) -> None:
        self._rules = [one.rule for one in tried]
        self._costs = np.array([one.evaluation.cost_per_useful for one in tried])
        self._nought, unit = (
            np.array([[check.excess(distance) for check in one.evaluation.checks] for one in tried]).reshape(
                len(tried), -1
            )
            for distance in (0.0, 1.0)
        )
        self._error = unit - self._nought

    def kept(self, distance: float) -> NDArray[np.bool_]:
        """Return which rules keep a distance from every limit."""
        return np.asarray((self._nought + distance * self._error <= 0).all(axis=1))

    def at(self, distance: float) -> Rule:
        """Return the cheapest rule that keeps a distance; where none does, the one that comes nearest."""
        missed = np.maximum(self._nought + distance * self._error, 0).sum(axis=1)
        return self._rules[int(np.lexsort((self._costs, missed))[0])]


def cross_fitted(
    known: Known,
    folds: NDArray[np.intp],
    steps: Sequence[Step],
    search: Callable[[Known], Sequence[Tried]],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Served], Known]:
    """Serve every request by the rule that the search finds without its fold, at the distance of each step.

    Parameters
    ----------
    known : Known
        n requests.
    folds : (n,) int array
    steps : sequence of Step
    search : callable
        The same search that found the steps, on other requests.
    progress : callable, optional
        Called with (folds done, folds in all).

    Returns
    -------
    list of Served, Known
        By each step; and the requests, in the same order.
    """
    names = np.unique(folds)
    served: list[list[Served]] = [[] for _ in steps]
    for done, fold in enumerate(names):
        if progress is not None:
            progress(done, len(names))
        found, outside = _Ranked(search(known.take(folds != fold))), known.take(folds == fold)
        for step, parts in zip(steps, served, strict=True):
            parts.append(outside.served(found.at(step.distance)))
    if progress is not None:
        progress(len(names), len(names))
    return [Served.joined(parts) for parts in served], known.take(np.argsort(folds, kind="stable"))


def certify(
    steps: Sequence[Step],
    later: Sequence[Known],
    spec: RoutingSpec,
    earlier: tuple[Sequence[Served], Known] | None = None,
    seed: int = 0,
    doubts: Sequence[str | None] | None = None,
) -> Certificate:
    """Test the steps on requests that found none of them: later ones, and earlier ones served out of fold.

    Parameters
    ----------
    steps : sequence of Step
        From careful to bold.
    later : sequence of Known
        Slices that the search never saw.
    spec : RoutingSpec
    earlier : tuple of list of Served and Known, optional
        See `cross_fitted`.
    seed : int
        Of the order in which bets are placed.
    doubts : sequence of str or None, optional
        Of each step; see `pointsman.certificate.Tested`.

    Raises
    ------
    TraceError
        Where there is nothing to test.
    """
    parts = [] if earlier is None else [earlier[1]]
    parts += later
    before = Served.joined([part.before for part in parts])
    served = []
    for number, step in enumerate(steps):
        rows = [] if earlier is None else [earlier[0][number]]
        served.append(Served.joined([*rows, *(part.served(step.rule) for part in later)]))
    cluster = units_of(np.concatenate([part.outcomes.cluster for part in parts]), before.requests)[0]
    method = "split" if earlier is None else "cross_fitted"
    return fixed_sequence(served, before, spec, method, [step.distance for step in steps], seed, cluster, doubts)
