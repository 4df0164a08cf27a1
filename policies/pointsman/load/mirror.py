"""The guards once more, compiled: windows, circuits, leases, budget, retry budget, choice; a mirror of their behaviour.

`pointsman.guards` is what the gateway runs and what counts; a test holds this mirror to equal decisions, times and
costs on random systems. Names follow the originals'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pointsman.load.compiling import compiled_part

if TYPE_CHECKING:
    from pointsman.load.world import World

__all__ = ["admit", "barred", "choose", "report", "retries_left", "retry"]

ANSWERS, ERRORS, TIMED, LATE, COST, EXPECTED = range(6)
BREAKER_WINDOW, RETRY_WINDOW, FIRST_BUDGET = 0, 1, 2
REQUESTS, RETRIES = 0, 1


@compiled_part
def _advance(world: World, w: int, now: float) -> None:
    window = world.windows[w]
    index = int(now // window.length)
    was = window.newest
    if index <= was:
        return
    first = max(was + 1, index + 1 - window.buckets)
    for old in range(first, index + 1):
        for key in range(world.sums.shape[1]):
            world.sums[w, key, old % window.buckets] = 0.0
    window.newest = index


@compiled_part
def _add(world: World, w: int, key: int, amount: float, now: float) -> None:
    _advance(world, w, now)
    window = world.windows[w]
    world.sums[w, key, window.newest % window.buckets] += amount


@compiled_part
def _total(world: World, w: int, key: int, now: float, since: float) -> float:
    _advance(world, w, now)
    window = world.windows[w]
    newest, buckets = window.newest, window.buckets
    first = newest - buckets if since <= 0 else int(-(-since // window.length)) - 1
    found = 0.0
    for index in range(newest - buckets + 1, newest + 1):
        if index > first:
            found += world.sums[w, key, index % buckets]
    return found


@compiled_part
def _unlink(world: World, i: int) -> None:
    request = world.requests[i]
    model = world.models[request.lease_at]
    before, after = request.lease_before, request.lease_next
    if before >= 0:
        world.requests[before].lease_next = after
    else:
        model.lease_head = after
    if after >= 0:
        world.requests[after].lease_before = before
    else:
        model.lease_tail = before
    request.lease_at = -1
    model.held -= 1


@compiled_part
def _sweep(world: World, j: int, now: float) -> None:
    model = world.models[j]
    while model.lease_head >= 0 and world.requests[model.lease_head].lease_ends <= now:
        _unlink(world, model.lease_head)


@compiled_part
def _take(world: World, i: int, j: int, ends: float, probe: int) -> None:
    request, model = world.requests[i], world.models[j]
    if request.lease_at >= 0:
        _unlink(world, i)
    request.lease_at, request.lease_ends, request.lease_probe = j, ends, probe
    request.lease_before, request.lease_next = model.lease_tail, -1
    if model.lease_tail >= 0:
        world.requests[model.lease_tail].lease_next = i
    else:
        model.lease_head = i
    model.lease_tail = i
    model.held += 1


@compiled_part
def barred(world: World, j: int, now: float, wall: float) -> int:
    """Return 0, or why a candidate takes no request: 1 its breaker, 2 its concurrency."""
    setting, model = world.settings[0], world.models[j]
    if setting.breaker_on != 0 and model.is_open != 0:
        if wall - model.since < setting.open_s:
            return 1
        _sweep(world, j, now)
        under_way, i = 0, model.lease_head
        while i >= 0:
            under_way += world.requests[i].lease_probe == model.epoch
            i = world.requests[i].lease_next
        if under_way >= setting.probes:
            return 1
    if model.concurrency > 0:
        _sweep(world, j, now)
        if model.held >= model.concurrency:
            return 2
    return 0


@compiled_part
def admit(world: World, i: int, j: int, expected: float, again: bool, now: float, wall: float) -> None:
    """Send a request to a candidate that is not barred, or whatever the guards say."""
    setting, model = world.settings[0], world.models[j]
    probe = -1
    if setting.breaker_on != 0 and model.is_open != 0 and wall - model.since >= setting.open_s:
        probe = model.epoch
    if probe >= 0 or model.concurrency > 0:
        _take(world, i, j, now + model.lease_s, probe)
    if setting.retries_on != 0 and not again:
        _add(world, RETRY_WINDOW, REQUESTS, 1.0, wall)
    if setting.budgets > 0 and not np.isnan(expected) and expected != 0:
        for b in range(setting.budgets):
            _add(world, FIRST_BUDGET + b, 0, expected, wall)


@compiled_part
def _turn(world: World, j: int, is_open: bool, wall: float) -> None:
    model = world.models[j]
    model.epoch += 1
    model.is_open = int(is_open)
    model.since = wall


@compiled_part
def _too_bad(world: World, j: int, wall: float) -> bool:
    setting, since, w = world.settings[0], world.models[j].since, BREAKER_WINDOW
    answers = _total(world, w, 6 * j + ANSWERS, wall, since)
    if answers < setting.min_requests:
        return False
    if not np.isnan(setting.error_rate):
        errors = _total(world, w, 6 * j + ERRORS, wall, since)
        if errors >= setting.error_rate * answers:
            return True
    if not np.isnan(setting.late_rate):
        timed = _total(world, w, 6 * j + TIMED, wall, since)
        late = _total(world, w, 6 * j + LATE, wall, since)
        if timed >= setting.min_requests and late >= setting.late_rate * timed:
            return True
    if not np.isnan(setting.cost_ratio):
        cost = _total(world, w, 6 * j + COST, wall, since)
        expected = _total(world, w, 6 * j + EXPECTED, wall, since)
        if expected > 0 and cost > setting.cost_ratio * expected:
            return True
    return False


@compiled_part
def _record(world: World, j: int, ok: bool, late: int, cost: float, expected: float, wall: float, probe: int) -> None:
    setting, model, w = world.settings[0], world.models[j], BREAKER_WINDOW
    _add(world, w, 6 * j + ANSWERS, 1.0, wall)
    if not ok:
        _add(world, w, 6 * j + ERRORS, 1.0, wall)
    if late >= 0:
        _add(world, w, 6 * j + TIMED, 1.0, wall)
        if late == 1:
            _add(world, w, 6 * j + LATE, 1.0, wall)
    if not np.isnan(expected):
        _add(world, w, 6 * j + COST, cost, wall)
        _add(world, w, 6 * j + EXPECTED, expected, wall)
    if not model.is_open:
        if _too_bad(world, j, wall):
            _turn(world, j, True, wall)
    elif wall - model.since >= setting.open_s and probe >= 0 and probe == model.epoch:
        fault = not ok or (not np.isnan(setting.late_rate) and late == 1)
        if not fault and not np.isnan(setting.cost_ratio) and not np.isnan(expected) and expected != 0:
            fault = cost > setting.cost_ratio * expected
        if fault:
            _turn(world, j, True, wall)
            return
        model.good = model.good + 1 if model.good_epoch == probe else 1
        model.good_epoch = probe
        if model.good >= setting.probes:
            _turn(world, j, False, wall)


@compiled_part
def report(
    world: World,
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
    setting, model, request = world.settings[0], world.models[j], world.requests[i]
    probe = -1
    if request.lease_at == j:
        probe = request.lease_probe
        _unlink(world, i)
    if setting.breaker_on:
        late = 1 if timed_out else -1 if np.isnan(model.late_ms) else int(latency_ms > model.late_ms)
        _record(world, j, ok, late, cost, expected, wall, probe)
    if setting.budgets > 0:
        more = cost - (0.0 if np.isnan(expected) else expected)
        for b in range(setting.budgets):
            _add(world, FIRST_BUDGET + b, 0, more, wall)


@compiled_part
def retries_left(world: World, wall: float) -> bool:
    """Whether one retry more is allowed."""
    requests = _total(world, RETRY_WINDOW, REQUESTS, wall, 0.0)
    retries = _total(world, RETRY_WINDOW, RETRIES, wall, 0.0)
    setting = world.settings[0]
    return bool(retries < setting.budget_floor + setting.budget_share * requests)


@compiled_part
def retry(world: World, wall: float) -> bool:
    """Take one retry out of the budget, where one is left."""
    if world.settings[0].retries_on == 0 or not retries_left(world, wall):
        return False
    _add(world, RETRY_WINDOW, RETRIES, 1.0, wall)
    return True


@compiled_part
def _squeeze(world: World, wall: float) -> float:
    setting, most = world.settings[0], 0.0
    for b in range(setting.budgets):
        share = max(_total(world, FIRST_BUDGET + b, 0, wall, 0.0), 0.0) / world.windows[FIRST_BUDGET + b].limit
        x = 0.0
        if share >= 1:
            x = 1.0
        elif share > setting.soft:
            x = (share - setting.soft) / (1 - setting.soft)
        most = max(most, x)
    return most


@compiled_part
def choose(world: World, i: int, body: int, now: float, wall: float) -> tuple[int, int]:
    """Return the column of a request, admitted there, and the marks of what guards did (`pointsman.load.result`)."""
    setting, request = world.settings[0], world.requests[i]
    mask, why = 0, 0
    free = int(world.table[0, body])
    x = _squeeze(world, wall) if setting.budgets > 0 else 0.0
    if x > 0:
        first, power = setting.m, x
        while first > 1 and request.throttle < power:
            first -= 1
            power *= x
        for j in range(first, setting.m):
            mask |= 1 << j
            if j == free:
                why = 16
    for j in range(setting.m):
        bar = barred(world, j, now, wall)
        if bar > 0:
            mask |= 1 << j
            if j == free:
                why = 8 if bar == 1 else 4
    column = int(world.table[mask, body])
    explores = setting.share > 0 and request.explore < setting.share
    if (mask >> column) & 1 != 0 or explores:
        left, count = world.eligible[body] & ~mask, 0
        for j in range(setting.m):
            count += (left >> j) & 1
        if count == 0:
            s = setting.simpler
            able = s >= 0 and world.bodies[body, s].able != 0 and barred(world, s, now, wall) == 0
            column = s if able else setting.safe
            why |= 1
        elif explores:
            nth = int(request.explore_which * count)
            for j in range(setting.m):
                if (left >> j) & 1:
                    if nth == 0:
                        column = j
                        break
                    nth -= 1
    admit(world, i, column, world.bodies[body, column].expected, False, now, wall)
    return column, why
