"""The load replay, compiled: the same events as `pointsman.load.exact`, with the guards' mirror in place of the guards.

Equal to it in every decision, time and cost; a test holds it to that. A policy of more than twelve candidates is
replayed exactly only: what is chosen without the barred ones is looked up in a table of all their subsets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pointsman.load.calls import ERROR, OK, TIMEOUT
from pointsman.load.compiling import compiled, compiled_part
from pointsman.load.exact import replay_exactly
from pointsman.load.mirror import admit, barred, choose, report, retries_left, retry
from pointsman.load.result import KILLED, LoadResult
from pointsman.load.world import build_world

if TYPE_CHECKING:
    from pointsman.load.system import System
    from pointsman.load.world import World

__all__ = ["MOST_CANDIDATES", "replay_load"]

MOST_CANDIDATES = 12
"""More have too many subsets for a table."""

BEGIN, END, GIVE_UP = 0, 1, 2


@compiled_part
def _before(world: World, a: int, b: int) -> bool:
    one, other = world.events[a], world.events[b]
    if one.time != other.time:
        return bool(one.time < other.time)
    return bool(one.made < other.made)


@compiled_part
def _swap(world: World, a: int, b: int) -> None:
    one, other = world.events[a], world.events[b]
    one.time, other.time = other.time, one.time
    one.made, other.made = other.made, one.made
    one.kind, other.kind = other.kind, one.kind
    one.request, other.request = other.request, one.request
    one.serial, other.serial = other.serial, one.serial


@compiled_part
def _push(world: World, time: float, kind: int, i: int) -> None:
    setting = world.settings[0]
    at = setting.events
    setting.events += 1
    event = world.events[at]
    event.time, event.made, event.kind, event.request = time, setting.made, kind, i
    event.serial = world.requests[i].serial
    setting.made += 1
    while at > 0:
        parent = (at - 1) // 2
        if not _before(world, at, parent):
            break
        _swap(world, at, parent)
        at = parent


@compiled_part
def _pop(world: World) -> None:
    """Drop the first event."""
    setting = world.settings[0]
    setting.events -= 1
    size, at = setting.events, 0
    _swap(world, 0, size)
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and _before(world, child + 1, child):
            child += 1
        if not _before(world, child, at):
            break
        _swap(world, at, child)
        at = child


@compiled_part
def _start(world: World, i: int, now: float) -> None:
    request = world.requests[i]
    j = request.column
    model, call = world.models[j], world.calls[request.call, j]
    request.wait += (now - request.began) * 1000
    request.serial += 1
    request.started = now
    if request.again != 0:
        turn = min(request.attempts - request.distinct - 1, world.luck.shape[1] - 1)
        ends = ERROR if world.luck[i, turn] < model.error_rate else OK
        lasts = call.again_service / 1000
    else:
        ends = call.ends
        lasts = call.service / 1000
    if model.places > 0:
        lasts *= 1 + model.slowdown * model.busy / model.places
    for k in range(len(world.incidents)):
        incident = world.incidents[k]
        if incident.column == j and incident.start <= now < incident.stop:
            if incident.kind == 2:
                lasts *= incident.value
            else:
                ends = ERROR
                lasts = incident.value if incident.kind == 0 else incident.stop - now
    model.busy += 1
    stop, most = now + lasts, request.began + model.timeout
    if stop > most:
        stop, ends = most, TIMEOUT
    request.lasts, request.ends = lasts, ends
    _push(world, stop, END, i)


@compiled_part
def _begin(world: World, i: int, now: float) -> None:
    request = world.requests[i]
    j = request.column
    model = world.models[j]
    request.serial += 1
    request.began = now
    request.attempts += 1
    model.calls += 1
    seen = (request.visited >> j) & 1
    request.again = seen
    request.visited |= 1 << j
    request.distinct += 1 - seen
    if model.places == 0 or model.busy < model.places:
        _start(world, i, now)
        return
    request.queue_before, request.queue_next = model.queue_tail, -1
    if model.queue_tail >= 0:
        world.requests[model.queue_tail].queue_next = i
    else:
        model.queue_head = i
    model.queue_tail = i
    model.queued += 1
    model.longest = max(model.longest, model.queued)
    if model.timeout < np.inf:
        _push(world, now + model.timeout, GIVE_UP, i)


@compiled_part
def _leave_queue(world: World, i: int) -> None:
    request = world.requests[i]
    model = world.models[request.column]
    before, after = request.queue_before, request.queue_next
    if before >= 0:
        world.requests[before].queue_next = after
    else:
        model.queue_head = after
    if after >= 0:
        world.requests[after].queue_before = before
    else:
        model.queue_tail = before
    model.queued -= 1


@compiled_part
def _following(world: World, i: int, failure: int, now: float) -> float:
    """Return the delay before what follows, s, its model in the request; -1 where nothing is left."""
    setting, request = world.settings[0], world.requests[i]
    wall = setting.wall + now
    if setting.fixed != 0:
        return -1.0
    if setting.kill_at <= now < setting.kill_until:
        if (request.visited >> setting.safe) & 1 != 0:
            return -1.0
        admit(world, i, setting.safe, np.nan, True, now, wall)
        request.column, request.expected = setting.safe, np.nan
        return 0.0
    j = request.column
    turn = request.attempts - request.distinct
    may = request.may & 1 != 0 and (setting.retries_for >> failure) & 1 != 0 and turn < world.delays.shape[1]
    if may and barred(world, j, now, wall) == 0 and retry(world, wall):
        admit(world, i, j, request.expected, True, now, wall)
        return float(world.delays[i, turn] / 1000)
    if request.may & 2 != 0:
        elapsed_ms = (now - request.arrival) * 1000
        for s in range(len(world.steps)):
            step = world.steps[s]
            fits = world.allowed[s, request.body] and (step.failures == 0 or (step.failures >> failure) & 1 != 0)
            fits = fits and elapsed_ms < step.within and (request.visited >> step.to) & 1 == 0
            if fits and barred(world, step.to, now, wall) == 0:
                admit(world, i, step.to, np.nan, True, now, wall)
                request.column, request.expected = step.to, np.nan
                return 0.0
    return -1.0


@compiled_part
def _settle(world: World, i: int, now: float, ends: int, cost: float) -> None:
    setting, request = world.settings[0], world.requests[i]
    j = request.column
    model = world.models[j]
    request.serial += 1
    request.cost += cost
    if ends == ERROR:
        model.errors += 1
    if ends == TIMEOUT:
        model.timeouts += 1
    if setting.fixed == 0:
        lasted_ms = (now - request.began) * 1000
        report(world, i, j, ends == OK, ends == TIMEOUT, lasted_ms, cost, request.expected, setting.wall + now)
    if ends != OK:
        delay = _following(world, i, ends, now)
        if delay > 0:
            _push(world, now + delay, BEGIN, i)
            return
        if delay == 0:
            _begin(world, i, now)
            return
    request.last, request.latency = j, (now - request.arrival) * 1000
    if ends == OK:
        request.ok = 1
        request.answered_again = request.again
        share = world.calls[request.call, j].first_share
        begun = request.started + (now - request.started) * share
        request.first_token = (begun - request.arrival) * 1000


@compiled_part
def _leave_place(world: World, i: int, now: float) -> None:
    request = world.requests[i]
    j = request.column
    model, call = world.models[j], world.calls[request.call, j]
    model.busy -= 1
    spent = now - request.started
    model.busy_s += spent
    if model.queue_head >= 0:
        waiting = model.queue_head
        _leave_queue(world, waiting)
        _start(world, waiting, now)
    ends, lasts = request.ends, request.lasts
    cost = call.again_cost if request.again != 0 else call.cost
    if ends == TIMEOUT and spent < lasts:
        cost = cost * (spent / lasts)
    for k in range(len(world.incidents)):
        incident = world.incidents[k]
        away = incident.column == j and incident.kind < 2
        if away and incident.start <= request.started < incident.stop:
            cost = 0.0
    _settle(world, i, now, ends, cost)


@compiled_part
def _arrive(world: World, i: int, now: float) -> None:
    setting, request = world.settings[0], world.requests[i]
    wall = setting.wall + now
    if setting.fixed != 0:
        column = request.fixed
    elif setting.kill_at <= now < setting.kill_until:
        column, request.marks = setting.safe, KILLED
    else:
        column, marks = choose(world, i, request.body, now, wall)
        request.marks = marks
        request.expected = world.bodies[request.body, column].expected
        request.may = 2
        if setting.retries_on != 0 and retries_left(world, wall):
            request.may = 3
    request.column = request.first = column
    _begin(world, i, now)


@compiled
def _run(world: World) -> None:
    at, n, setting = 0, len(world.requests), world.settings[0]
    while at < n or setting.events > 0:
        if setting.events > 0 and (at >= n or world.events[0].time <= world.requests[at].arrival):
            event = world.events[0]
            now, kind, i, serial = event.time, event.kind, event.request, event.serial
            _pop(world)
            request = world.requests[i]
            if serial != request.serial:
                continue
            setting.last = now
            if kind == BEGIN:
                _begin(world, i, now)
            elif kind == END:
                _leave_place(world, i, now)
            else:
                _leave_queue(world, i)
                request.wait += (now - request.began) * 1000
                _settle(world, i, now, TIMEOUT, 0.0)
        else:
            _arrive(world, at, world.requests[at].arrival)
            at += 1


def replay_load(system: System) -> LoadResult:
    """Run a system; see `pointsman.load.exact.replay_exactly`, which is asked for more than twelve candidates."""
    if len(system.places) > MOST_CANDIDATES:
        return replay_exactly(system)
    world = build_world(system)
    _run(world)
    calls, requests, models = system.calls, world.requests, world.models
    ok, at = requests["ok"] != 0, (requests["call"], requests["last"])
    again = requests["answered_again"] != 0
    useful = np.where(again, calls.again_useful[at], calls.useful[at])
    hallucinated = np.where(again, calls.again_hallucinated[at], calls.hallucinated[at])
    return LoadResult(
        first=requests["first"].copy(),
        column=requests["last"].copy(),
        ok=ok,
        latency_ms=requests["latency"].copy(),
        first_token_ms=requests["first_token"].copy(),
        wait_ms=requests["wait"].copy(),
        cost_usd=requests["cost"].copy(),
        useful=np.where(ok, useful, 0.0),
        hallucinated=np.where(ok, hallucinated, np.nan),
        attempts=requests["attempts"].copy(),
        marks=requests["marks"].copy(),
        busy_s=models["busy_s"].copy(),
        calls=models["calls"].copy(),
        errors=models["errors"].copy(),
        timeouts=models["timeouts"].copy(),
        longest_queue=models["longest"].copy(),
        opened=models["epoch"].copy(),
        span_s=float(world.settings["last"][0]),
    )
