"""Rolling windows hold what happened within their span, in constant memory, whatever the clock does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pointsman.guards.windows import RollingSums

STEPS = st.lists(st.tuples(st.floats(0, 30), st.integers(1, 5)), min_size=1, max_size=60)


@given(STEPS)
def test_a_total_is_that_of_the_last_span(steps: list[tuple[float, int]]) -> None:
    window, now, happened = RollingSums(60, 12), 1e6, []
    for wait, amount in steps:
        now += wait
        window.add("x", amount, now)
        happened.append((now, amount))
        oldest = (now // 5 - 11) * 5
        assert window.total("x", now) == sum(amount for at, amount in happened if at >= oldest)
        assert len(window._own) <= 12
    assert window.total("x", now + 60) == 0
    assert window._own == {}
    assert window.total("y", now) == 0


def test_since_leaves_out_older_buckets() -> None:
    window = RollingSums(60, 12)
    window.add("x", 1, 1000.0)
    window.add("x", 2, 1012.0)
    assert window.total("x", 1012.0, since=1001.0) == 2
    assert window.total("x", 1012.0, since=1000.0) == 3


def test_a_day_ends_at_midnight_utc() -> None:
    day, window = 20_000 * 86_400.0, RollingSums(86_400, 1)
    window.add("x", 1, day - 1)
    assert window.total("x", day - 0.5) == 1
    assert window.total("x", day) == 0


def test_a_clock_that_is_set_back() -> None:
    window = RollingSums(60, 12)
    window.add("x", 1, 1000.0)
    window.add("x", 1, 990.0)  # a little: nothing is lost
    assert window.total("x", 1000.0) == 2
    window.add("x", 1, 100.0)  # far: it starts anew, and is not stuck
    assert window.total("x", 100.0) == 1


def test_sums_are_sent_whole_and_once() -> None:
    window = RollingSums(60, 12)
    window.add("x", 1, 1000.0)
    window.add("x", 2, 1001.0)
    parts = window.unsent()
    assert parts == {200: {"x": 3}}
    window.add("x", 4, 1002.0)  # while it was on its way
    window.sent(parts)
    assert window.unsent() == {200: {"x": 7}}
    window.sent(window.unsent())
    assert window.unsent() == {}
    window.resend()
    assert window.unsent() == {200: {"x": 7}}
    window.others([(200, {"x": 10}), (1, {"x": 99})])
    assert window.total("x", 1002.0) == 17
