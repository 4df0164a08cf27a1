"""The guards once more, compiled: windows, circuits, leases, budget, retry budget, choice; a mirror of their behaviour.

`pointsman.guards` is what the gateway runs and what counts; a test holds this mirror to equal decisions, times and
costs on random systems. Names follow the originals'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pointsman.load.compiling import compiled_part

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Wholes = NDArray[np.int64]

__all__ = ["Book", "Rules", "admit", "barred", "choose", "new_book", "report", "retries_left", "retry"]

ANSWERS, ERRORS, TIMED, LATE, COST, EXPECTED = range(6)
BREAKER_WINDOW, RETRY_WINDOW, FIRST_BUDGET = 0, 1, 2
REQUESTS, RETRIES = 0, 1


class Rules(NamedTuple):
    """What the policy says, as numbers; -1 or NaN for what it does not say."""

    m: int
    breaker_on: bool
    error_rate: float
    late_rate: float
    cost_ratio: float
    min_requests: int
    open_s: float
    probes: int
    late_ms: Floats
    concurrency: Wholes
    lease_s: Floats
    retries_on: bool
    budget_share: float
    budget_floor: int
    budgets: int
    limits: Floats
    soft: float
    length: Floats
    buckets: Wholes
    table: NDArray[np.int8]
    eligible: Wholes
    expected: Floats
    throttle: Floats
    explore: Floats
    explore_which: Floats
    share: float
    simpler: int
    able: NDArray[np.bool_]
    safe: int


class Book(NamedTuple):
    """What is remembered."""

    sums: Floats
    newest: Wholes
    epoch: Wholes
    is_open: NDArray[np.bool_]
    since: Floats
    good_epoch: Wholes
    good: Wholes
    lease_at: Wholes
    lease_ends: Floats
    lease_probe: Wholes
    lease_next: Wholes
    lease_before: Wholes
    head: Wholes
    tail: Wholes
    held: Wholes


def new_book(n: int, m: int) -> Book:
    """Return the state before the first request."""

    def whole(size: int, value: int = 0) -> Wholes:
        return np.full(size, value, dtype=np.int64)

    return Book(
        np.zeros((5, 6 * m, 12)),
        whole(5),
        whole(m),
        np.zeros(m, dtype=np.bool_),
        np.zeros(m),
        whole(m),
        whole(m),
        whole(n, -1),
        np.zeros(n),
        whole(n, -1),
        whole(n, -1),
        whole(n, -1),
        whole(m, -1),
        whole(m, -1),
        whole(m),
    )


@compiled_part
def _advance(rules: Rules, book: Book, w: int, now: float) -> None:
    index = int(now // rules.length[w])
    was = book.newest[w]
    if index <= was:
        return
    if index - was >= rules.buckets[w]:
        book.sums[w] = 0.0
    else:
        for old in range(was + 1, index + 1):
            book.sums[w, :, old % rules.buckets[w]] = 0.0
    book.newest[w] = index


@compiled_part
def _add(rules: Rules, book: Book, w: int, key: int, amount: float, now: float) -> None:
    _advance(rules, book, w, now)
    book.sums[w, key, book.newest[w] % rules.buckets[w]] += amount


@compiled_part
def _total(rules: Rules, book: Book, w: int, key: int, now: float, since: float) -> float:
    _advance(rules, book, w, now)
    newest, buckets = book.newest[w], rules.buckets[w]
    first = newest - buckets if since <= 0 else int(-(-since // rules.length[w])) - 1
    found = 0.0
    for index in range(newest - buckets + 1, newest + 1):
        if index > first:
            found += book.sums[w, key, index % buckets]
    return found


@compiled_part
def _unlink(book: Book, i: int) -> None:
    j, before, after = book.lease_at[i], book.lease_before[i], book.lease_next[i]
    if before >= 0:
        book.lease_next[before] = after
    else:
        book.head[j] = after
    if after >= 0:
        book.lease_before[after] = before
    else:
        book.tail[j] = before
    book.lease_at[i] = -1
    book.held[j] -= 1


@compiled_part
def _sweep(book: Book, j: int, now: float) -> None:
    while book.head[j] >= 0 and book.lease_ends[book.head[j]] <= now:
        _unlink(book, book.head[j])


@compiled_part
def _take(book: Book, i: int, j: int, ends: float, probe: int) -> None:
    if book.lease_at[i] >= 0:
        _unlink(book, i)
    book.lease_at[i], book.lease_ends[i], book.lease_probe[i] = j, ends, probe
    book.lease_before[i], book.lease_next[i] = book.tail[j], -1
    if book.tail[j] >= 0:
        book.lease_next[book.tail[j]] = i
    else:
        book.head[j] = i
    book.tail[j] = i
    book.held[j] += 1


@compiled_part
def barred(rules: Rules, book: Book, j: int, now: float, wall: float) -> int:
    """Return 0, or why a candidate takes no request: 1 its breaker, 2 its concurrency."""
    if rules.breaker_on and book.is_open[j]:
        if wall - book.since[j] < rules.open_s:
            return 1
        _sweep(book, j, now)
        under_way, i = 0, book.head[j]
        while i >= 0:
            under_way += book.lease_probe[i] == book.epoch[j]
            i = book.lease_next[i]
        if under_way >= rules.probes:
            return 1
    if rules.concurrency[j] > 0:
        _sweep(book, j, now)
        if book.held[j] >= rules.concurrency[j]:
            return 2
    return 0


@compiled_part
def admit(rules: Rules, book: Book, i: int, j: int, expected: float, again: bool, now: float, wall: float) -> None:
    """Send a request to a candidate that is not barred, or whatever the guards say."""
    probe = -1
    if rules.breaker_on and book.is_open[j] and wall - book.since[j] >= rules.open_s:
        probe = book.epoch[j]
    if probe >= 0 or rules.concurrency[j] > 0:
        _take(book, i, j, now + rules.lease_s[j], probe)
    if rules.retries_on and not again:
        _add(rules, book, RETRY_WINDOW, REQUESTS, 1.0, wall)
    if rules.budgets > 0 and not np.isnan(expected) and expected != 0:
        for b in range(rules.budgets):
            _add(rules, book, FIRST_BUDGET + b, 0, expected, wall)


@compiled_part
def _turn(book: Book, j: int, is_open: bool, wall: float) -> None:
    book.epoch[j] += 1
    book.is_open[j] = is_open
    book.since[j] = wall


@compiled_part
def _too_bad(rules: Rules, book: Book, j: int, wall: float) -> bool:
    since, w = book.since[j], BREAKER_WINDOW
    answers = _total(rules, book, w, 6 * j + ANSWERS, wall, since)
    if answers < rules.min_requests:
        return False
    if not np.isnan(rules.error_rate):
        errors = _total(rules, book, w, 6 * j + ERRORS, wall, since)
        if errors >= rules.error_rate * answers:
            return True
    if not np.isnan(rules.late_rate):
        timed = _total(rules, book, w, 6 * j + TIMED, wall, since)
        late = _total(rules, book, w, 6 * j + LATE, wall, since)
        if timed >= rules.min_requests and late >= rules.late_rate * timed:
            return True
    if not np.isnan(rules.cost_ratio):
        cost = _total(rules, book, w, 6 * j + COST, wall, since)
        expected = _total(rules, book, w, 6 * j + EXPECTED, wall, since)
        if expected > 0 and cost > rules.cost_ratio * expected:
            return True
    return False


@compiled_part
def _record(
    rules: Rules, book: Book, j: int, ok: bool, late: int, cost: float, expected: float, wall: float, probe: int
) -> None:
    w = BREAKER_WINDOW
    _add(rules, book, w, 6 * j + ANSWERS, 1.0, wall)
    if not ok:
        _add(rules, book, w, 6 * j + ERRORS, 1.0, wall)
    if late >= 0:
        _add(rules, book, w, 6 * j + TIMED, 1.0, wall)
        if late == 1:
            _add(rules, book, w, 6 * j + LATE, 1.0, wall)
    if not np.isnan(expected):
        _add(rules, book, w, 6 * j + COST, cost, wall)
        _add(rules, book, w, 6 * j + EXPECTED, expected, wall)
    if not book.is_open[j]:
        if _too_bad(rules, book, j, wall):
            _turn(book, j, True, wall)
    elif wall - book.since[j] >= rules.open_s and probe >= 0 and probe == book.epoch[j]:
        fault = not ok or (not np.isnan(rules.late_rate) and late == 1)
        if not fault and not np.isnan(rules.cost_ratio) and not np.isnan(expected) and expected != 0:
            fault = cost > rules.cost_ratio * expected
        if fault:
            _turn(book, j, True, wall)
            return
        book.good[j] = book.good[j] + 1 if book.good_epoch[j] == probe else 1
        book.good_epoch[j] = probe
        if book.good[j] >= rules.probes:
            _turn(book, j, False, wall)


@compiled_part
def report(
    rules: Rules,
    book: Book,
    i: int,
    j: int,
    ok: bool,
    timed_out: bool,
    latency_ms: float,
    cost: float,
    expected: float,
    wall: float,
) -> None:
    """Learn from an answer."""
    probe = -1
    if book.lease_at[i] == j:
        probe = book.lease_probe[i]
        _unlink(book, i)
    if rules.breaker_on:
        late = 1 if timed_out else -1 if np.isnan(rules.late_ms[j]) else int(latency_ms > rules.late_ms[j])
        _record(rules, book, j, ok, late, cost, expected, wall, probe)
    if rules.budgets > 0:
        more = cost - (0.0 if np.isnan(expected) else expected)
        for b in range(rules.budgets):
            _add(rules, book, FIRST_BUDGET + b, 0, more, wall)


@compiled_part
def retries_left(rules: Rules, book: Book, wall: float) -> bool:
    """Whether one retry more is allowed."""
    requests = _total(rules, book, RETRY_WINDOW, REQUESTS, wall, 0.0)
    retries = _total(rules, book, RETRY_WINDOW, RETRIES, wall, 0.0)
    return bool(retries < rules.budget_floor + rules.budget_share * requests)


@compiled_part
def retry(rules: Rules, book: Book, wall: float) -> bool:
    """Take one retry out of the budget, where one is left."""
    if not rules.retries_on or not retries_left(rules, book, wall):
        return False
    _add(rules, book, RETRY_WINDOW, RETRIES, 1.0, wall)
    return True


@compiled_part
def _squeeze(rules: Rules, book: Book, wall: float) -> float:
    most = 0.0
    for b in range(rules.budgets):
        share = max(_total(rules, book, FIRST_BUDGET + b, 0, wall, 0.0), 0.0) / rules.limits[b]
        x = 0.0
        if share >= 1:
            x = 1.0
        elif share > rules.soft:
            x = (share - rules.soft) / (1 - rules.soft)
        most = max(most, x)
    return most


@compiled_part
def choose(rules: Rules, book: Book, i: int, body: int, now: float, wall: float) -> tuple[int, int]:
    """Return the column of a request, admitted there, and the marks of what guards did (`pointsman.load.result`)."""
    mask, why = 0, 0
    free = int(rules.table[0, body])
    x = _squeeze(rules, book, wall) if rules.budgets > 0 else 0.0
    if x > 0:
        first, power = rules.m, x
        while first > 1 and rules.throttle[i] < power:
            first -= 1
            power *= x
        for j in range(first, rules.m):
            mask |= 1 << j
            if j == free:
                why = 16
    for j in range(rules.m):
        bar = barred(rules, book, j, now, wall)
        if bar > 0:
            mask |= 1 << j
            if j == free:
                why = 8 if bar == 1 else 4
    column = int(rules.table[mask, body])
    explores = rules.share > 0 and rules.explore[i] < rules.share
    if (mask >> column) & 1 or explores:
        left, count = rules.eligible[body] & ~mask, 0
        for j in range(rules.m):
            count += (left >> j) & 1
        if count == 0:
            s = rules.simpler
            able = s >= 0 and rules.able[s, body] and barred(rules, book, s, now, wall) == 0
            column = s if able else rules.safe
            why |= 1
        elif explores:
            nth = int(rules.explore_which[i] * count)
            for j in range(rules.m):
                if (left >> j) & 1:
                    if nth == 0:
                        column = j
                        break
                    nth -= 1
    admit(rules, book, i, column, rules.expected[column, body], False, now, wall)
    return column, why
