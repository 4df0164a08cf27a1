"""The load replay, event by event, with the gateway's own guards on a simulated clock.

Events happen in order of time, and of their making where times are equal; a request that arrives at the time of an
event comes after it. A call whose patience ends is cancelled: it leaves its queue, or its place.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from pointsman.load.calls import ERROR, OK, TIMEOUT
from pointsman.load.gateway import FixedGateway, Gateway, GuardedGateway, Ticket
from pointsman.load.result import LoadResult

if TYPE_CHECKING:
    from pointsman.load.system import System

__all__ = ["replay_exactly"]

BEGIN, END, GIVE_UP = 0, 1, 2
_WORDS = {OK: "", TIMEOUT: "timeout", ERROR: "error"}


def replay_exactly(system: System, gateway: Gateway | None = None) -> LoadResult:
    """Run a system with a gateway: the policy's guards, or production as it was where `System.fixed` says so.

    Parameters
    ----------
    system : System
    gateway : Gateway, optional
        Another one to be driven, as the router itself.
    """
    if gateway is None:
        gateway = FixedGateway(system) if system.fixed is not None else GuardedGateway(system)
    return _Replay(system, gateway).run()


class _Replay:
    def __init__(self, system: System, gateway: Gateway) -> None:
        n, m = len(system), len(system.places)
        self.system, self.gateway = system, gateway
        self.heap: list[tuple[float, int, int, int, int]] = []
        self.made = 0
        self.tickets: dict[int, Ticket] = {}
        self.serial = [0] * n  # an event of an earlier serial is void
        self.began, self.started = [0.0] * n, [0.0] * n
        self.lasts, self.ends = [0.0] * n, [OK] * n
        self.again = [False] * n
        self.visited: list[set[int]] = [set() for _ in range(n)]
        self.queues: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(m)]
        self.busy = [0] * m
        self.timeout = system.timeout_s.tolist()
        self.places, self.slowdown = system.places.tolist(), system.slowdown.tolist()
        self.kinds, self.spans = (part.tolist() for part in system.befalls())
        self.first, self.column = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        self.ok = np.zeros(n, dtype=np.bool_)
        self.latency, self.first_token, self.wait = np.zeros(n), np.full(n, np.nan), np.zeros(n)
        self.cost, self.useful, self.hallucinated = np.zeros(n), np.zeros(n), np.full(n, np.nan)
        self.attempts, self.marks = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        self.busy_s = np.zeros(m)
        self.calls, self.errors, self.timeouts = (np.zeros(m, dtype=np.int64) for _ in range(3))
        self.longest = np.zeros(m, dtype=np.int64)

    def run(self) -> LoadResult:
        arrival, clock, heap = self.system.arrival_s.tolist(), self.gateway.clock, self.heap
        at, n, last = 0, len(arrival), 0.0
        while at < n or heap:
            if heap and (at >= n or heap[0][0] <= arrival[at]):
                now, _, kind, request, serial = heapq.heappop(heap)
                if serial != self.serial[request]:
                    continue
                clock.now = last = now
                if kind == BEGIN:
                    self._begin(request, now)
                elif kind == END:
                    self._leave_place(request, now)
                else:
                    self._give_up(request, now)
            else:
                clock.now = now = arrival[at]
                ticket = self.gateway.route(at)
                self.tickets[at] = ticket
                self.first[at], self.marks[at] = ticket.column, ticket.marks
                self._begin(at, now)
                at += 1
        changes = getattr(self.gateway, "breaker_changes", None)
        opened = np.zeros(len(self.places), dtype=np.int64) if changes is None else changes()
        return LoadResult(
            self.first,
            self.column,
            self.ok,
            self.latency,
            self.first_token,
            self.wait,
            self.cost,
            self.useful,
            self.hallucinated,
            self.attempts,
            self.marks,
            self.busy_s,
            self.calls,
            self.errors,
            self.timeouts,
            self.longest,
            opened,
            last,
        )

    def _push(self, time: float, kind: int, request: int) -> None:
        heapq.heappush(self.heap, (time, self.made, kind, request, self.serial[request]))
        self.made += 1

    def _begin(self, request: int, now: float) -> None:
        """Let an attempt reach its model: into a place, or into the queue."""
        ticket = self.tickets[request]
        j = ticket.column
        self.serial[request] += 1
        self.began[request] = now
        self.attempts[request] += 1
        self.calls[j] += 1
        self.again[request] = j in self.visited[request]
        self.visited[request].add(j)
        if self.places[j] == 0 or self.busy[j] < self.places[j]:
            self._start(request, now)
            return
        self.queues[j][request] = None
        self.longest[j] = max(self.longest[j], len(self.queues[j]))
        if self.timeout[j] < np.inf:
            self._push(now + self.timeout[j], GIVE_UP, request)

    def _start(self, request: int, now: float) -> None:
        """Take a place: how long it lasts and how it ends is known from here on."""
        ticket = self.tickets[request]
        j, call, calls = ticket.column, int(self.system.call[request]), self.system.calls
        self.wait[request] += (now - self.began[request]) * 1000
        self.serial[request] += 1
        self.started[request] = now
        if self.again[request]:
            turn = min(len(ticket.tried) + 1 - len(self.visited[request]) - 1, self.system.luck.shape[1] - 1)
            ends = ERROR if self.system.luck[request, turn] < calls.error_rate[j] else OK
            lasts = float(calls.again_service_ms[call, j]) / 1000
        else:
            ends, lasts = int(calls.ends[call, j]), float(calls.service_ms[call, j]) / 1000
        if self.places[j]:
            lasts *= 1 + self.slowdown[j] * self.busy[j] / self.places[j]
        for (kind, column), (begin, end, value) in zip(self.kinds, self.spans, strict=True):
            if column == j and begin <= now < end:
                if kind == 2:
                    lasts *= value
                else:
                    ends, lasts = ERROR, value if kind == 0 else end - now
        self.busy[j] += 1
        stop, most = now + lasts, self.began[request] + self.timeout[j]
        if stop > most:
            stop, ends = most, TIMEOUT
        self.lasts[request], self.ends[request] = lasts, ends
        self._push(stop, END, request)

    def _leave_place(self, request: int, now: float) -> None:
        ticket = self.tickets[request]
        j, call, calls = ticket.column, int(self.system.call[request]), self.system.calls
        self.busy[j] -= 1
        spent = now - self.started[request]
        self.busy_s[j] += spent
        if self.queues[j]:
            waiting, _ = self.queues[j].popitem(last=False)
            self._start(waiting, now)
        ends, lasts = self.ends[request], self.lasts[request]
        cost = calls.again_cost_usd[call, j] if self.again[request] else calls.cost_usd[call, j]
        if ends == TIMEOUT and spent < lasts:
            cost = cost * (spent / lasts)
        if any(
            column == j and kind < 2 and begin <= self.started[request] < end
            for (kind, column), (begin, end, _) in zip(self.kinds, self.spans, strict=True)
        ):
            cost = 0.0
        self._settle(request, now, ends, float(cost))

    def _give_up(self, request: int, now: float) -> None:
        ticket = self.tickets[request]
        del self.queues[ticket.column][request]
        self.wait[request] += (now - self.began[request]) * 1000
        self._settle(request, now, TIMEOUT, 0.0)

    def _settle(self, request: int, now: float, ends: int, cost: float) -> None:
        """Report an attempt that has ended; finish the request, or begin what follows."""
        ticket, calls = self.tickets[request], self.system.calls
        j, call, arrived = ticket.column, int(self.system.call[request]), float(self.system.arrival_s[request])
        self.serial[request] += 1
        self.cost[request] += cost
        self.errors[j] += ends == ERROR
        self.timeouts[j] += ends == TIMEOUT
        lasted_ms = (now - self.began[request]) * 1000
        self.gateway.answered(ticket, failure=_WORDS[ends], latency_ms=lasted_ms, cost_usd=cost)
        elapsed_ms = (now - arrived) * 1000
        then = None if ends == OK else self.gateway.following(ticket, _WORDS[ends], elapsed_ms)
        if then is not None:
            self.tickets[request] = then
            if then.delay_ms > 0:
                self._push(now + then.delay_ms / 1000, BEGIN, request)
            else:
                self._begin(request, now)
            return
        self.column[request], self.latency[request] = j, elapsed_ms
        if ends != OK:
            return
        self.ok[request] = True
        again = self.again[request]
        begun = self.started[request] + (now - self.started[request]) * calls.first_share[call, j]
        self.first_token[request] = (begun - arrived) * 1000
        self.useful[request] = (calls.again_useful if again else calls.useful)[call, j]
        self.hallucinated[request] = (calls.again_hallucinated if again else calls.hallucinated)[call, j]
