"""The front: every rule that no other one beats in cost, usefulness and P95 latency at once, numbered for the user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.errors import PointsmanError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pointsman.rules import Rule
    from pointsman.tried import Tried

__all__ = ["Front", "FrontError", "FrontPoint", "pareto_front"]


class FrontError(PointsmanError):
    """A point was picked that is not on the front."""


@dataclass(frozen=True)
class FrontPoint:
    """One rule of the front, on the tuning requests.

    Attributes
    ----------
    number : int
        From 1, by rising cost.
    tried : Tried
    """

    number: int
    tried: Tried

    @property
    def rule(self) -> Rule:
        """The rule."""
        return self.tried.rule

    @property
    def cost_usd(self) -> float:
        """Mean full cost of a request, USD."""
        return self.tried.evaluation.mean_cost_usd

    @property
    def useful_rate(self) -> float:
        """Mean usefulness, 0..1."""
        return self.tried.evaluation.useful_rate

    @property
    def late_share(self) -> float:
        """Share of requests later than the limit, 0..1; 0 where there is none."""
        return self.tried.evaluation.late_share

    @property
    def p95_ms(self) -> float:
        """P95 latency, ms."""
        return float(self.tried.p95_ms or 0.0)

    @property
    def feasible(self) -> bool:
        """Every constraint holds on the tuning requests with the spec's confidence."""
        return self.tried.evaluation.feasible

    def to_dict(self) -> dict[str, Any]:
        """Return the point as plain JSON values."""
        names = ("number", "cost_usd", "useful_rate", "late_share", "p95_ms", "feasible")
        return {**{name: getattr(self, name) for name in names}, "rule": self.rule.to_dict()}


@dataclass(frozen=True)
class Front:
    """The non-dominated rules of all that were tried.

    Attributes
    ----------
    points : tuple of FrontPoint
        By rising cost.
    """

    points: tuple[FrontPoint, ...]

    def pick(self, number: int) -> FrontPoint:
        """Return the point of that number.

        Raises
        ------
        FrontError
            Where there is none.
        """
        if not 1 <= number <= len(self.points):
            raise FrontError(f"point {number} is not on the front; allowed: 1 to {len(self.points)}")
        return self.points[number - 1]

    def nearest(self, found: Tried) -> FrontPoint:
        """Return the point that is the rule's own, or the cheapest at least as useful and no later."""
        for point in self.points:
            if point.rule == found.rule or (
                point.useful_rate >= found.evaluation.useful_rate and point.p95_ms <= float(found.p95_ms or 0.0)
            ):
                return point
        return self.points[-1]

    def spread(self, count: int) -> tuple[FrontPoint, ...]:
        """Return at most `count` points, evenly along the front by cost, the ends among them."""
        if len(self.points) <= count:
            return self.points
        cost = np.log([max(point.cost_usd, 1e-12) for point in self.points])
        marks = np.linspace(cost[0], cost[-1], count)
        return tuple(self.points[index] for index in sorted({int(np.abs(cost - mark).argmin()) for mark in marks}))


def pareto_front(tried: Iterable[Tried]) -> Front:
    """Return the rules of which no other is as cheap, as useful and as quick, and better in one of the three.

    Of rules that are alike in all three the first that was tried stands for all.

    Parameters
    ----------
    tried : iterable of Tried
        With their P95 latency: search with ``front=True`` or ``sampler="nsga2"``.

    Raises
    ------
    ValueError
        Where a P95 latency was not measured.
    """
    rules: Sequence[Tried] = list(tried)
    if any(one.p95_ms is None for one in rules):
        raise ValueError("the front needs the P95 latency of every rule: search with front=True")
    values = np.array([(one.evaluation.mean_cost_usd, -one.evaluation.useful_rate, one.p95_ms) for one in rules], float)
    order = np.lexsort((np.arange(len(rules)), *values.T[::-1]))
    kept: list[int] = []
    for index in order:  # by cost: whatever beats a rule comes before it
        at = values[kept]
        if not (at <= values[index]).all(axis=1).any():
            kept.append(int(index))
    return Front(tuple(FrontPoint(number, rules[index]) for number, index in enumerate(kept, start=1)))
