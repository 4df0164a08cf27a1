"""The load replay, compiled: the same events as `pointsman.load.exact`, with the guards' mirror in place of the guards.

Equal to it in every decision, time and cost; a test holds it to that. A policy of more than twelve candidates is
replayed exactly only: what is chosen without the barred ones is looked up in a table of all their subsets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from pointsman.decide import can_take, fallback_allowed
from pointsman.guards.chance import uniform
from pointsman.guards.retrying import delays_ms
from pointsman.load.calls import ERROR, OK, TIMEOUT
from pointsman.load.compiling import compiled, compiled_part
from pointsman.load.exact import replay_exactly
from pointsman.load.mirror import Book, Rules, admit, barred, choose, new_book, report, retries_left, retry
from pointsman.load.result import KILLED, LoadResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pointsman.load.system import System

    Floats = NDArray[np.float64]
    Wholes = NDArray[np.int64]

__all__ = ["MOST_CANDIDATES", "replay_load"]

MOST_CANDIDATES = 12
"""More have too many subsets for a table."""


class _Plan(NamedTuple):
    """The system as arrays; see `pointsman.load.system.System` and `pointsman.load.calls.Calls`."""

    arrival: Floats
    body: Wholes
    call: Wholes
    fixed: Wholes
    wall: float
    kill_at: float
    kill_until: float
    safe: int
    places: Wholes
    slowdown: Floats
    timeout: Floats
    kinds: Wholes
    spans: Floats
    service: Floats
    first_share: Floats
    ends: NDArray[np.int8]
    cost: Floats
    again_service: Floats
    again_cost: Floats
    error_rate: Floats
    luck: Floats
    delays: Floats
    retried: NDArray[np.bool_]
    steps: Wholes
    within: Floats
    allowed: NDArray[np.bool_]


class _State(NamedTuple):
    """What changes: events (a heap), attempts, queues."""

    heap_time: Floats
    heap_made: Wholes
    heap_what: Wholes
    counts: Wholes
    column: Wholes
    serial: Wholes
    began: Floats
    started: Floats
    lasts: Floats
    end: Wholes
    again: NDArray[np.bool_]
    visited: Wholes
    distinct: Wholes
    expected: Floats
    may: NDArray[np.int8]
    queue_next: Wholes
    queue_before: Wholes
    queue_head: Wholes
    queue_tail: Wholes
    queued: Wholes
    busy: Wholes


class _Found(NamedTuple):
    """What `LoadResult` is made of."""

    first: Wholes
    column: Wholes
    ok: NDArray[np.bool_]
    latency: Floats
    first_token: Floats
    wait: Floats
    cost: Floats
    again: NDArray[np.bool_]
    attempts: Wholes
    marks: Wholes
    busy_s: Floats
    calls: Wholes
    errors: Wholes
    timeouts: Wholes
    longest: Wholes


Tables = TypeVar("Tables", _Plan, Rules)
_SIZE, _MADE = 0, 1


@compiled_part
def _before(state: _State, a: int, b: int) -> bool:
    if state.heap_time[a] != state.heap_time[b]:
        return bool(state.heap_time[a] < state.heap_time[b])
    return bool(state.heap_made[a] < state.heap_made[b])


@compiled_part
def _swap(state: _State, a: int, b: int) -> None:
    state.heap_time[a], state.heap_time[b] = state.heap_time[b], state.heap_time[a]
    state.heap_made[a], state.heap_made[b] = state.heap_made[b], state.heap_made[a]
    for k in range(3):
        state.heap_what[a, k], state.heap_what[b, k] = state.heap_what[b, k], state.heap_what[a, k]


@compiled_part
def _push(state: _State, time: float, kind: int, i: int) -> None:
    at = state.counts[_SIZE]
    state.counts[_SIZE] += 1
    state.heap_time[at], state.heap_made[at] = time, state.counts[_MADE]
    state.counts[_MADE] += 1
    state.heap_what[at, 0], state.heap_what[at, 1], state.heap_what[at, 2] = kind, i, state.serial[i]
    while at > 0:
        parent = (at - 1) // 2
        if not _before(state, at, parent):
            break
        _swap(state, at, parent)
        at = parent


@compiled_part
def _pop(state: _State) -> None:
    """Drop the first event."""
    state.counts[_SIZE] -= 1
    size, at = state.counts[_SIZE], 0
    _swap(state, 0, size)
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and _before(state, child + 1, child):
            child += 1
        if not _before(state, child, at):
            break
        _swap(state, at, child)
        at = child


@compiled_part
def _start(plan: _Plan, state: _State, found: _Found, i: int, now: float) -> None:
    j, call = state.column[i], plan.call[i]
    found.wait[i] += (now - state.began[i]) * 1000
    state.serial[i] += 1
    state.started[i] = now
    if state.again[i]:
        turn = min(found.attempts[i] - state.distinct[i] - 1, plan.luck.shape[1] - 1)
        ends = ERROR if plan.luck[i, turn] < plan.error_rate[j] else OK
        lasts = plan.again_service[call, j] / 1000
    else:
        ends = int(plan.ends[call, j])
        lasts = plan.service[call, j] / 1000
    if plan.places[j] > 0:
        lasts *= 1 + plan.slowdown[j] * state.busy[j] / plan.places[j]
    for k in range(len(plan.kinds)):
        if plan.kinds[k, 1] == j and plan.spans[k, 0] <= now < plan.spans[k, 1]:
            if plan.kinds[k, 0] == 2:
                lasts *= plan.spans[k, 2]
            else:
                ends = ERROR
                lasts = plan.spans[k, 2] if plan.kinds[k, 0] == 0 else plan.spans[k, 1] - now
    state.busy[j] += 1
    stop, most = now + lasts, state.began[i] + plan.timeout[j]
    if stop > most:
        stop, ends = most, TIMEOUT
    state.lasts[i], state.end[i] = lasts, ends
    _push(state, stop, 1, i)


@compiled_part
def _begin(plan: _Plan, state: _State, found: _Found, i: int, now: float) -> None:
    j = state.column[i]
    state.serial[i] += 1
    state.began[i] = now
    found.attempts[i] += 1
    found.calls[j] += 1
    seen = (state.visited[i] >> j) & 1
    state.again[i] = seen == 1
    state.visited[i] |= 1 << j
    state.distinct[i] += 1 - seen
    if plan.places[j] == 0 or state.busy[j] < plan.places[j]:
        _start(plan, state, found, i, now)
        return
    state.queue_before[i], state.queue_next[i] = state.queue_tail[j], -1
    if state.queue_tail[j] >= 0:
        state.queue_next[state.queue_tail[j]] = i
    else:
        state.queue_head[j] = i
    state.queue_tail[j] = i
    state.queued[j] += 1
    found.longest[j] = max(found.longest[j], state.queued[j])
    if plan.timeout[j] < np.inf:
        _push(state, now + plan.timeout[j], 2, i)


@compiled_part
def _leave_queue(state: _State, i: int) -> None:
    j, before, after = state.column[i], state.queue_before[i], state.queue_next[i]
    if before >= 0:
        state.queue_next[before] = after
    else:
        state.queue_head[j] = after
    if after >= 0:
        state.queue_before[after] = before
    else:
        state.queue_tail[j] = before
    state.queued[j] -= 1


@compiled_part
def _following(
    plan: _Plan, rules: Rules, book: Book, state: _State, found: _Found, i: int, failure: int, now: float
) -> float:
    """Return the delay before what follows, s, its model in `state.column`; -1 where nothing is left."""
    wall = plan.wall + now
    if plan.fixed[0] >= 0:
        return -1.0
    if plan.kill_at <= now < plan.kill_until:
        if (state.visited[i] >> plan.safe) & 1:
            return -1.0
        admit(rules, book, i, plan.safe, np.nan, True, now, wall)
        state.column[i], state.expected[i] = plan.safe, np.nan
        return 0.0
    j = state.column[i]
    turn = found.attempts[i] - state.distinct[i]
    may = state.may[i] & 1 and plan.retried[failure] and turn < plan.delays.shape[1]
    if may and barred(rules, book, j, now, wall) == 0 and retry(rules, book, wall):
        admit(rules, book, i, j, state.expected[i], True, now, wall)
        return float(plan.delays[i, turn] / 1000)
    if state.may[i] & 2:
        elapsed_ms = (now - plan.arrival[i]) * 1000
        for s in range(len(plan.steps)):
            to = plan.steps[s, 0]
            fits = plan.allowed[s, plan.body[i]] and (plan.steps[s, 1] == 0 or (plan.steps[s, 1] >> failure) & 1)
            fits = fits and elapsed_ms < plan.within[s] and not (state.visited[i] >> to) & 1
            if fits and barred(rules, book, to, now, wall) == 0:
                admit(rules, book, i, to, np.nan, True, now, wall)
                state.column[i], state.expected[i] = to, np.nan
                return 0.0
    return -1.0


@compiled_part
def _settle(
    plan: _Plan,
    rules: Rules,
    book: Book,
    state: _State,
    found: _Found,
    i: int,
    now: float,
    ends: int,
    cost: float,
) -> None:
    j = state.column[i]
    state.serial[i] += 1
    found.cost[i] += cost
    if ends == ERROR:
        found.errors[j] += 1
    if ends == TIMEOUT:
        found.timeouts[j] += 1
    if plan.fixed[0] < 0:
        lasted_ms = (now - state.began[i]) * 1000
        wall = plan.wall + now
        report(rules, book, i, j, ends == OK, ends == TIMEOUT, lasted_ms, cost, state.expected[i], wall)
    if ends != OK:
        delay = _following(plan, rules, book, state, found, i, ends, now)
        if delay > 0:
            _push(state, now + delay, 0, i)
            return
        if delay == 0:
            _begin(plan, state, found, i, now)
            return
    found.column[i], found.latency[i] = j, (now - plan.arrival[i]) * 1000
    if ends == OK:
        found.ok[i] = True
        found.again[i] = state.again[i]
        begun = state.started[i] + (now - state.started[i]) * plan.first_share[plan.call[i], j]
        found.first_token[i] = (begun - plan.arrival[i]) * 1000


@compiled_part
def _leave_place(plan: _Plan, rules: Rules, book: Book, state: _State, found: _Found, i: int, now: float) -> None:
    j, call = state.column[i], plan.call[i]
    state.busy[j] -= 1
    spent = now - state.started[i]
    found.busy_s[j] += spent
    if state.queue_head[j] >= 0:
        waiting = state.queue_head[j]
        _leave_queue(state, waiting)
        _start(plan, state, found, waiting, now)
    ends, lasts = state.end[i], state.lasts[i]
    cost = plan.again_cost[call, j] if state.again[i] else plan.cost[call, j]
    if ends == TIMEOUT and spent < lasts:
        cost = cost * (spent / lasts)
    for k in range(len(plan.kinds)):
        away = plan.kinds[k, 1] == j and plan.kinds[k, 0] < 2
        if away and plan.spans[k, 0] <= state.started[i] < plan.spans[k, 1]:
            cost = 0.0
    _settle(plan, rules, book, state, found, i, now, ends, cost)


@compiled_part
def _arrive(plan: _Plan, rules: Rules, book: Book, state: _State, found: _Found, i: int, now: float) -> None:
    body, wall = plan.body[i], plan.wall + now
    state.expected[i] = np.nan
    if plan.fixed[0] >= 0:
        column = plan.fixed[i]
    elif plan.kill_at <= now < plan.kill_until:
        column, found.marks[i] = plan.safe, KILLED
    else:
        column, found.marks[i] = choose(rules, book, i, body, now, wall)
        state.expected[i] = rules.expected[column, body]
        state.may[i] = 2
        if rules.retries_on and retries_left(rules, book, wall):
            state.may[i] = 3
    state.column[i] = found.first[i] = column
    _begin(plan, state, found, i, now)


@compiled
def _run(plan: _Plan, rules: Rules, book: Book, state: _State, found: _Found) -> float:
    at, n, last = 0, len(plan.arrival), 0.0
    while at < n or state.counts[_SIZE] > 0:
        if state.counts[_SIZE] > 0 and (at >= n or state.heap_time[0] <= plan.arrival[at]):
            now, kind, i, serial = (
                state.heap_time[0],
                state.heap_what[0, 0],
                state.heap_what[0, 1],
                state.heap_what[0, 2],
            )
            _pop(state)
            if serial != state.serial[i]:
                continue
            last = now
            if kind == 0:
                _begin(plan, state, found, i, now)
            elif kind == 1:
                _leave_place(plan, rules, book, state, found, i, now)
            else:
                _leave_queue(state, i)
                found.wait[i] += (now - state.began[i]) * 1000
                _settle(plan, rules, book, state, found, i, now, TIMEOUT, 0.0)
        else:
            _arrive(plan, rules, book, state, found, at, plan.arrival[at])
            at += 1
    return last


def replay_load(system: System) -> LoadResult:
    """Run a system; see `pointsman.load.exact.replay_exactly`, which is asked for more than twelve candidates."""
    if len(system.places) > MOST_CANDIDATES:
        return replay_exactly(system)
    n, m = len(system), len(system.places)
    plan, rules, book = _laid_out(_plan(system)), _laid_out(_rules(system)), new_book(n, m)

    def whole(size: int, value: int = 0) -> Wholes:
        return np.full(size, value, dtype=np.int64)

    attempts = 1 + system.policy.guards.retry.max_retries + len(system.policy.fallbacks)
    room = (attempts + 1) * n + 1  # one event of each request under way, and a void one of each attempt that waited
    state = _State(
        np.zeros(room),
        whole(room),
        np.zeros((room, 3), dtype=np.int64),
        whole(2),
        whole(n),
        whole(n),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n),
        whole(n),
        np.zeros(n, dtype=np.bool_),
        whole(n),
        whole(n),
        np.full(n, np.nan),
        np.zeros(n, dtype=np.int8),
        whole(n, -1),
        whole(n, -1),
        whole(m, -1),
        whole(m, -1),
        whole(m),
        whole(m),
    )
    found = _Found(
        whole(n),
        whole(n),
        np.zeros(n, dtype=np.bool_),
        np.zeros(n),
        np.full(n, np.nan),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n, dtype=np.bool_),
        whole(n),
        whole(n),
        np.zeros(m),
        whole(m),
        whole(m),
        whole(m),
        whole(m),
    )
    span = _run(plan, rules, book, state, found)
    calls, at = system.calls, (system.call, found.column)
    useful = np.where(found.again, calls.again_useful[at], calls.useful[at])
    hallucinated = np.where(found.again, calls.again_hallucinated[at], calls.hallucinated[at])
    return LoadResult(
        found.first,
        found.column,
        found.ok,
        found.latency,
        found.first_token,
        found.wait,
        found.cost,
        np.where(found.ok, useful, 0.0),
        np.where(found.ok, hallucinated, np.nan),
        found.attempts,
        found.marks,
        found.busy_s,
        found.calls,
        found.errors,
        found.timeouts,
        found.longest,
        book.epoch if system.fixed is None else whole(m),
        span,
    )


def _laid_out(record: Tables) -> Tables:
    """Return a named tuple with its arrays in the one layout that the compiled code is for."""
    arrays: Any = {
        name: np.require(value, requirements=["C", "W"])
        for name, value in record._asdict().items()
        if isinstance(value, np.ndarray)
    }
    return record._replace(**arrays)


def _plan(system: System) -> _Plan:
    policy, calls, n = system.policy, system.calls, len(system)
    retry_settings = policy.guards.retry
    delays = np.zeros((n, retry_settings.max_retries))
    if retry_settings.max_retries and system.fixed is None:
        delays[:] = [delays_ms(retry_settings, name) for name in system.request_ids]
    kinds, spans = system.befalls()
    steps = [
        (policy.models.index(one.model), sum(1 << code for code, word in _WORDS if word in one.failures))
        for one in policy.fallbacks
    ]
    within = [np.inf if one.cost_threshold_ms is None else one.cost_threshold_ms for one in policy.fallbacks]
    killed = system.killed
    return _Plan(
        system.arrival_s,
        system.body.astype(np.int64),
        system.call.astype(np.int64),
        np.full(1, -1, dtype=np.int64) if system.fixed is None else system.fixed.astype(np.int64),
        system.wall_s,
        np.inf if killed is None else killed.at_s,
        -np.inf if killed is None else killed.until_s,
        policy.models.index(policy.safe_model),
        system.places,
        system.slowdown,
        system.timeout_s,
        kinds,
        spans,
        calls.service_ms,
        calls.first_share,
        calls.ends,
        calls.cost_usd,
        calls.again_service_ms,
        calls.again_cost_usd,
        calls.error_rate,
        system.luck,
        delays,
        np.array([False, *(word in retry_settings.failures for _, word in _WORDS)]),
        np.array(steps, dtype=np.int64).reshape(-1, 2),
        np.array(within, dtype=np.float64),
        fallback_allowed(system.beliefs, system.facts, policy),
    )


_WORDS = ((TIMEOUT, "timeout"), (ERROR, "error"))


def _rules(system: System) -> Rules:
    policy, names = system.policy, system.request_ids
    guards, candidates, m = policy.guards, policy.candidates, len(policy.candidates)
    breaker, retries, budget = guards.breaker, guards.retry, guards.budget
    guarded = system.fixed is None
    late = [breaker.late_ms or candidate.timeout_ms for candidate in candidates]
    lengths = [breaker.window_s / 12, retries.window_s / 12, *(span / parts for _, span, parts, _ in budget.limits)]
    lengths += [1.0] * (5 - len(lengths))
    buckets = [12, 12, *(parts for _, _, parts, _ in budget.limits)]
    buckets += [1] * (5 - len(buckets))
    nothing = np.zeros(0)

    def drawn(purpose: str, wanted: bool) -> Floats:
        return np.array([uniform(name, purpose) for name in names]) if wanted and guarded else nothing

    explores = guards.exploration_share > 0
    eligible = (system.beliefs.eligible * (1 << np.arange(m))[:, None]).sum(axis=0)
    return Rules(
        m,
        breaker.trips,
        _number(breaker.error_rate),
        _number(breaker.late_rate),
        _number(breaker.cost_ratio),
        breaker.min_requests,
        breaker.open_s,
        breaker.half_open_probes,
        np.array([_number(one) for one in late]),
        np.array([candidate.concurrency or 0 for candidate in candidates], dtype=np.int64),
        np.array([(candidate.timeout_ms or guards.lease_ms) / 1000 for candidate in candidates]),
        retries.max_retries > 0,
        retries.budget_share,
        retries.budget_floor,
        len(budget.limits),
        np.array([limit for *_, limit in budget.limits], dtype=np.float64),
        budget.soft_share,
        np.array(lengths),
        np.array(buckets, dtype=np.int64),
        system.choices if guarded else np.zeros((1, 1), dtype=np.int8),
        eligible.astype(np.int64),
        system.beliefs.cost_usd.astype(np.float64),
        drawn("throttle", bool(budget.limits)),
        drawn("explore", explores),
        drawn("explore which", explores),
        guards.exploration_share,
        -1 if guards.simpler_model is None else policy.models.index(guards.simpler_model),
        can_take(system.facts, policy),
        policy.models.index(policy.safe_model),
    )


def _number(value: float | None) -> float:
    return np.nan if value is None else value
