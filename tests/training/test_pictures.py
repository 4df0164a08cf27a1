"""The picture of the front is drawn for any front, the same bytes each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pointsman.front import pareto_front
from pointsman.objective import Evaluation
from pointsman.pictures import front_picture
from pointsman.rules import ValueRule
from pointsman.tried import Tried

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("count", [1, 3, 60])
def test_a_front_is_drawn_the_same_each_time(count: int, tmp_path: Path) -> None:
    tried = [
        Tried(ValueRule(0.5, 1.0 + at), Evaluation(0.01, 0.5 + at / 1000, 0.0, 0.001 + at / 1e4, ()), 100.0 + at)
        for at in range(count)
    ]
    front = pareto_front(tried)
    first, second = (
        front_picture(front, front.pick(count), tmp_path / name / "front.svg").read_bytes() for name in ("a", "b")
    )
    texts = [f"<!-- {word} -->" for word in ("P95 latency, ms", "useful responses, %", str(count))]
    assert all(text.encode() in first for text in texts)
    assert first.split(b"</metadata>")[1] == second.split(b"</metadata>")[1]
