"""The dual bound: what no assignment can go below if the probabilities are true, and how near a rule comes to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from pointsman.decide import blend, decide
from pointsman.expectation import Expectation, Limits, Means

if TYPE_CHECKING:
    from pointsman.decide import Beliefs
    from pointsman.objective import Objective
    from pointsman.rules import Rule

__all__ = ["DualBound", "DualGap", "dual_bound", "gap_to_dual"]

BOX = 1e5
"""Largest price looked at, in units of the dearest cost: a dual that grows to it has no end, nothing is feasible."""

TOLERANCE = 1e-7
"""Distance of the bound from the dual's optimum, relative."""

ROUNDS = 200
"""Cutting planes' rounds at most; a few dozen are usual."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DualBound:
    """The dual's optimum.

    Attributes
    ----------
    cost_per_useful : float
        USD; no assignment, random ones included, that keeps the limits in expectation costs less. Infinite where none
        keeps them.
    useful_value_usd, late_cost_usd : float
        The prices at the optimum, USD, as those of `pointsman.rules.ValueRule`.
    budget_price : float
        What a dollar counts more than a dollar because of the cost limit.
    assignment : (n,) int array or None
        The best assignment found that keeps the limits; None where there is none or none was found.
    means : Means or None
        Of that assignment.
    """

    cost_per_useful: float
    useful_value_usd: float
    late_cost_usd: float
    budget_price: float
    assignment: NDArray[np.intp] | None
    means: Means | None


def dual_bound(expectation: Expectation, limits: Limits, useless_usd: float = 0.0) -> DualBound:
    """Return the Lagrangian dual's lower bound of the least cost per useful response under the limits.

    ``min (C + p (1 − U)) / U`` subject to ``U ≥ u, L ≤ l, C ≤ b`` is at least r where the parametric problem
    ``min C + p (1 − U) − r U`` is at least 0 (Dinkelbach 1967), and that problem is at least its Lagrangian's minimum
    for any prices of the limits. So the bound is the largest r for which prices exist whose Lagrangian is not below 0.
    The Lagrangian is concave in r and the prices together, and its minimum over assignments splits into requests:
    cutting planes find the optimum (Kelley 1960), the ratio at fixed prices comes from Dinkelbach's iteration, and half
    of the cuts are made between the best point and the planes' own (Ben-Ameur and Neto 2007). At the optimum the bound
    equals the linear relaxation's value.

    Parameters
    ----------
    expectation : Expectation
    limits : Limits
    useless_usd : float
        p, what a useless response costs.
    """
    unit = float(expectation.cost_usd.max()) or 1.0
    dual = _Dual(expectation, limits, useless_usd, unit)
    solved = dual.solve()
    if solved is None:
        none = float("inf")
        return DualBound(none, none, none, none, None, None)
    ratio, prices = solved
    budget = 1 + prices[2]
    assignment = _keeping(expectation, limits, unit, *dual.cheapest(ratio, prices))
    return DualBound(
        cost_per_useful=ratio * unit,
        useful_value_usd=float((useless_usd + (ratio + prices[0]) * unit) / budget),
        late_cost_usd=float(prices[1] * unit / budget),
        budget_price=float(prices[2]),
        assignment=assignment,
        means=None if assignment is None else expectation.means(assignment),
    )


class _Dual:
    """The dual problem in units of the dearest cost; prices are (usefulness, lateness, cost)."""

    def __init__(self, expectation: Expectation, limits: Limits, useless_usd: float, unit: float) -> None:
        self._expectation, self._limits = expectation, limits
        self._unit, self._useless = unit, useless_usd / unit
        self._wanted = [limits.useful_rate is not None, limits.late_share is not None, limits.cost_usd is not None]
        self._planes: list[Floats] = []
        self._heights: list[float] = []
        for value in (0.0, 0.1, 1.0, 10.0, 1e3):
            for late in (0.0, 1.0, 1e3) if self._wanted[1] else (0.0,):
                self._cut(value, np.array([0.0, late, 0.0]))

    def solve(self) -> tuple[float, Floats] | None:
        """Return the largest ratio and the prices that prove it; None where they have no end."""
        best, prices = 0.0, np.zeros(3)
        for round_ in range(ROUNDS):
            ceiling, at = self.master()
            if ceiling - best <= TOLERANCE * ceiling:
                return None if max(ceiling, *at) >= BOX * 0.999 and not self._kept(best, at) else (best, prices)
            probe = (at + prices) / 2 if round_ % 2 else at
            ratio = self.ratio(ceiling, probe)
            if ratio > best:
                best, prices = ratio, probe
        return best, prices

    def _kept(self, ratio: float, prices: Floats) -> bool:
        """Return whether these prices, as high as they get, make the limits hold."""
        chosen, _ = self.cheapest(ratio, prices)
        return bool(self._expectation.means(chosen).violation(self._limits).max() <= 1e-9)

    def master(self) -> tuple[float, Floats]:
        """Return the largest ratio that the planes allow, and the prices there."""
        bounds = [(0.0, BOX), *((0.0, BOX if wanted else 0.0) for wanted in self._wanted)]
        found: Any = linprog(
            [-1.0, 0, 0, 0], A_ub=np.array(self._planes), b_ub=self._heights, bounds=bounds, method="highs"
        )
        return float(found.x[0]), np.asarray(found.x[1:], dtype=np.float64)

    def ratio(self, ceiling: float, prices: Floats) -> float:
        """Return the largest ratio at which the Lagrangian with these prices is not below 0."""
        ratio = ceiling
        for _ in range(50):
            below, useful = self._cut(ratio, prices)
            if below >= -1e-12 * max(ratio, 1.0):
                return ratio
            if useful <= 0:
                return 0.0
            ratio += below / useful
            if ratio <= 0:
                return 0.0
        return 0.0

    def _cut(self, ratio: float, prices: Floats) -> tuple[float, float]:
        """Add the plane of the best assignment at a point; return the Lagrangian there and the useful rate."""
        means = self._expectation.means(self._expectation.cheapest(*self._prices(ratio, prices)))
        cost = means.cost_usd / self._unit + self._useless * (1 - means.useful_rate)
        violation = means.violation(self._limits) / (1, 1, self._unit)
        slopes = np.where(self._wanted, -violation, 0.0)
        self._planes.append(np.array([means.useful_rate, *slopes]))
        self._heights.append(cost)
        return float(cost - ratio * means.useful_rate - slopes @ prices), means.useful_rate

    def _prices(self, ratio: float, prices: Floats) -> tuple[float, float, float]:
        """Return what a dollar, a useful and a late response count, USD."""
        useful = (self._useless + ratio + prices[0]) * self._unit
        return 1 + float(prices[2]), float(useful), float(prices[1]) * self._unit

    def cheapest(self, ratio: float, prices: Floats) -> tuple[NDArray[np.intp], Floats]:
        """Return the assignment at these prices, ties to the cheaper side, and what each candidate counts, (m, n)."""
        score = self._expectation.score(slice(None), *self._prices(ratio, prices * (1 - 1e-9)))
        return score.argmin(axis=0), score


def _keeping(
    expectation: Expectation, limits: Limits, unit: float, chosen: NDArray[np.intp], score: Floats
) -> NDArray[np.intp] | None:
    """Return an assignment that keeps the limits from one near the dual's optimum; None where none was found.

    There, all but as many requests as there are limits go to one candidate, so little is missed, but for groups of
    requests that are all alike. What is missed is mended where it costs least, no more than needed, at first only by
    changes that worsen no other limit.
    """
    wanted = (limits.useful_rate is not None, limits.late_share is not None, limits.cost_usd is not None)
    every = (-expectation.useful, expectation.late, expectation.cost_usd)
    parts = [np.asarray(part, dtype=np.float64) for part in every]
    scale, rows = np.array([1.0, 1.0, unit]), np.arange(expectation.n)
    for _ in range(10):
        missed = expectation.means(chosen).violation(limits) / scale
        worst = int(missed.argmax())
        if missed[worst] <= 1e-12:
            return chosen
        gains = [part[chosen, rows] - part for part in parts]
        free = expectation.eligible & (gains[worst] > 0)
        others = [gain >= 0 for gain, limited in zip(gains, wanted, strict=True) if limited]
        need = missed[worst] * scale[worst] * expectation.n
        for able in (free & np.logical_and.reduce(others), free):
            mended = _mended(score, chosen, gains[worst], able, need)
            if mended is not None:
                break
        else:
            return None
        chosen = mended
    return None


def _mended(
    score: Floats, chosen: NDArray[np.intp], gain: Floats, able: NDArray[np.bool_], need: float
) -> NDArray[np.intp] | None:
    """Change the requests whose score rises least for what is gained until it sums to `need`; None where it cannot."""
    rows = np.arange(len(chosen))
    price = np.full(gain.shape, np.inf)
    np.divide(score - score[chosen, rows], gain, out=price, where=able)
    to = price.argmin(axis=0)
    order = np.argsort(price[to, rows], kind="stable")
    order = order[np.isfinite(price[to, rows][order])]
    reached = np.cumsum(gain[to, rows][order])
    enough = int(np.searchsorted(reached, need * (1 - 1e-12)))
    if enough == len(order):
        return None
    changed = chosen.copy()
    changed[order[: enough + 1]] = to[order[: enough + 1]]
    return changed


@dataclass(frozen=True)
class DualGap:
    """How far a rule's believed objective is above the dual bound for the probabilities that the rule goes by.

    Attributes
    ----------
    bound : DualBound
    believed : Means
        Of the rule.
    cost_per_useful : float
        Of the rule, believed, USD.
    gap : float
        ``cost_per_useful / bound − 1``: what the family of rules and the certainty asked for cost together. Below 0
        where the rule is believed to miss a limit.
    own_gap : float
        The same against the bound for as much usefulness and no more lateness than the rule is believed to give: what
        the rule wastes. Next to 0 for a value rule, which is the Lagrangian's own.
    family_gap, assignment_gap : float
        That of the best value rule, and of the best assignment found, that keep the limits in expectation: what
        readable thresholds cost. Infinite where none was found.
    """

    bound: DualBound
    believed: Means
    cost_per_useful: float
    gap: float
    own_gap: float
    family_gap: float
    assignment_gap: float

    def to_dict(self) -> dict[str, float | None]:
        """Return the figures as plain JSON values; null where one is not finite."""
        figures = {
            "dual_bound": self.bound.cost_per_useful,
            "believed_cost_per_useful": self.cost_per_useful,
            "gap_to_dual": self.gap,
            "own_gap_to_dual": self.own_gap,
            "family_gap_to_dual": self.family_gap,
            "assignment_gap_to_dual": self.assignment_gap,
            "useful_value_usd": self.bound.useful_value_usd,
            "late_cost_usd": self.bound.late_cost_usd,
        }
        return {name: value if np.isfinite(value) else None for name, value in figures.items()}


def gap_to_dual(beliefs: Beliefs, rule: Rule, objective: Objective, baseline: int | None = None) -> DualGap:
    """Measure a rule against the dual bound under the spec's limits, the rule's own probabilities taken to be true.

    Parameters
    ----------
    beliefs : Beliefs
        Of the tuning requests.
    rule : Rule
        Its trust says which probabilities.
    objective : Objective
    baseline : int or None
        Row of the baseline: a relative limit is then relative to what is believed of it. None: to what it measured.
    """
    useful = blend(beliefs, rule)
    expectation = Expectation(useful, beliefs.cost_usd, beliefs.late, beliefs.eligible)
    before = objective.before.useful if baseline is None else useful[baseline]
    limits = Limits.of(objective.spec, float(before.mean(dtype=np.float64)))
    useless = objective.spec.objective.useless_response_usd
    bound = dual_bound(expectation, limits, useless)
    believed = expectation.means(decide(beliefs, rule))

    own = Limits(believed.useful_rate, None if limits.late_share is None else believed.late_share)

    def gap(means: Means | None, bound: DualBound = bound) -> float:
        ratio = float("inf") if means is None else means.cost_per_useful(useless)
        return ratio / bound.cost_per_useful - 1 if 0 < bound.cost_per_useful < float("inf") else float("inf")

    return DualGap(
        bound=bound,
        believed=believed,
        cost_per_useful=believed.cost_per_useful(useless),
        gap=gap(believed),
        own_gap=gap(believed, dual_bound(expectation, own, useless)),
        family_gap=gap(_best_value_rule(expectation, limits, useless, bound)),
        assignment_gap=gap(bound.means),
    )


def _best_value_rule(expectation: Expectation, limits: Limits, useless_usd: float, bound: DualBound) -> Means | None:
    """Return the means of the best value rule near the dual's prices that keeps the limits, None where none does."""
    found: list[Means] = []
    if not np.isfinite(bound.cost_per_useful):
        return None
    for late in (0.0, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1) if bound.late_cost_usd else (0.0,):
        late_price = bound.late_cost_usd * (1 + late)

        def means(value: float, late_price: float = late_price) -> Means:
            return expectation.means(expectation.cheapest(1.0, value, late_price))

        low, high = bound.useful_value_usd * 0.8, bound.useful_value_usd
        # Usefulness rises with its price: the least price that keeps its limit.
        while means(high).violation(limits)[0] > 0 and high < BOX * bound.useful_value_usd:
            low, high = high, high * 1.05
        for _ in range(20):
            middle = (low + high) / 2
            low, high = (low, middle) if means(middle).violation(limits)[0] <= 0 else (middle, high)
        found += [means(value) for value in (high, bound.useful_value_usd)]
    kept = [one for one in found if one.violation(limits).max() <= 1e-12]
    return min(kept, key=lambda one: one.cost_per_useful(useless_usd), default=None)
