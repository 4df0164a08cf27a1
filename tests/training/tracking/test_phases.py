"""Seconds of a phase are its own: phases within phases share nothing, and all add up to the whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pointsman.tracking.phases import PhaseClock


def hear(events: list[tuple[float, str, int, int]]) -> PhaseClock:
    """Return a clock that began at 0 and heard (when, phase, done, total)."""
    times = iter([0.0, *(when for when, *_ in events)])
    clock = PhaseClock(now=lambda: next(times))
    for _, *event in events:
        clock(*event)  # type: ignore[arg-type]
    return clock


def test_a_phase_inside_another_takes_its_time_from_it() -> None:
    clock = hear([(1, "export", 0, 2), (3, "certify", 0, 9), (7, "certify", 9, 9), (10, "export", 2, 2)])
    assert {one.name: one.seconds for one in clock.times} == {"export": 1 + 2 + 3, "certify": 4}
    assert {one.name: (one.began, one.ended) for one in clock.times} == {"export": (0, 10), "certify": (3, 7)}


def test_time_between_phases_belongs_to_the_next() -> None:
    clock = hear([(1, "encode", 1, 1), (4, "train", 0, 2), (6, "train", 2, 2)])
    assert {one.name: one.seconds for one in clock.times} == {"encode": 1, "train": 3 + 2}


@given(st.lists(st.tuples(st.floats(0, 10), st.sampled_from("abc"), st.integers(0, 2)), min_size=1, max_size=20))
def test_phases_add_up_to_the_whole(steps: list[tuple[float, str, int]]) -> None:
    events, when = [], 0.0
    for pause, phase, done in steps:
        when += pause
        events.append((when, phase, done, 2))
    total = sum(one.seconds for one in hear(events).times)
    assert abs(total - when) < 1e-6
