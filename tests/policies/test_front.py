"""The front holds what nothing beats, in an order that does not change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.front import FrontError, pareto_front
from pointsman.objective import Evaluation
from pointsman.rules import ValueRule
from pointsman.tried import Tried

Figures = tuple[float, float, float]


def tried(figures: Figures, number: int = 0) -> Tried:
    cost, useful, p95 = figures
    return Tried(ValueRule(0.5, number + 1.0), Evaluation(cost, useful, 0.0, cost, ()), p95)


def beats(one: Figures, other: Figures) -> bool:
    """As cheap, as useful and as quick, and better in one of the three."""
    return one != other and one[0] <= other[0] and one[1] >= other[1] and one[2] <= other[2]


some = st.integers(0, 4).map(float)


@given(st.lists(st.tuples(some, some, some), min_size=1, max_size=30))
def test_the_front_is_what_nothing_beats(drawn: list[Figures]) -> None:
    front = pareto_front(tried(figures, index) for index, figures in enumerate(drawn))
    found = [(point.cost_usd, point.useful_rate, point.p95_ms) for point in front.points]
    assert sorted(found) == sorted({one for one in drawn if not any(beats(other, one) for other in drawn)})
    assert [point.number for point in front.points] == list(range(1, len(found) + 1))
    assert [point.cost_usd for point in front.points] == sorted(point.cost_usd for point in front.points)
    first = [drawn.index(figures) + 1.0 for figures in found]
    assert [point.rule for point in front.points] == [ValueRule(0.5, value) for value in first]


def test_a_point_is_picked_by_its_number() -> None:
    front = pareto_front([tried((1.0, 0.5, 100.0)), tried((2.0, 0.7, 90.0), 1), tried((3.0, 0.6, 95.0), 2)])
    assert front.pick(2).rule == ValueRule(0.5, 2.0)
    assert front.pick(2).to_dict()["useful_rate"] == 0.7
    for number in (0, 3):
        with pytest.raises(FrontError, match=f"point {number} is not on the front; allowed: 1 to 2"):
            front.pick(number)


def test_what_is_not_on_the_front_has_its_point_there() -> None:
    front = pareto_front([tried((1.0, 0.5, 100.0)), tried((2.0, 0.7, 90.0), 1), tried((3.0, 0.6, 95.0), 2)])
    assert front.nearest(tried((3.0, 0.6, 95.0), 2)).number == 2
    assert front.nearest(tried((1.0, 0.5, 100.0))).number == 1


def test_a_long_front_is_spread() -> None:
    front = pareto_front(tried((cost, cost, 1.0), index) for index, cost in enumerate(np.geomspace(1, 100, 200)))
    few = front.spread(10)
    assert [few[0].number, few[-1].number] == [1, 200]
    steps: Any = np.diff([np.log(point.cost_usd) for point in few])
    assert len(few) == 10
    assert steps.max() < 1.1 * steps.min()


def test_a_front_needs_latencies() -> None:
    with pytest.raises(ValueError, match="front=True"):
        pareto_front([Tried(ValueRule(0.5, 1.0), Evaluation(1.0, 0.5, 0.0, 1.0, ()))])
