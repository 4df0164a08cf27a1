"""The gateway of a load replay: decides, admits, learns from answers and says what to try next, on a simulated clock.

`GuardedGateway` is the gateway's own code: `pointsman.guards.choosing.choose`, `Guards`, `further`. `FixedGateway` is
production before: every request to a model that was fixed beforehand, and no guard at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pointsman.decide import fallback_allowed
from pointsman.guards.attempts import Step, further
from pointsman.guards.choosing import choose
from pointsman.guards.guards import BREAKER, BUDGET, CONCURRENCY, Guards
from pointsman.guards.ledger import Ledger
from pointsman.load.result import BROKEN, DEGRADED, FULL, KILLED, THROTTLED

if TYPE_CHECKING:
    from pointsman.load.system import System

__all__ = ["Clock", "FixedGateway", "Gateway", "GuardedGateway", "Ticket"]

_BARS = {CONCURRENCY: FULL, BREAKER: BROKEN, BUDGET: THROTTLED}


@dataclass
class Clock:
    """Simulated time: s since the first arrival, and Unix time."""

    start_s: float
    now: float = 0.0

    def monotonic(self) -> float:
        """Return s since the first arrival."""
        return self.now

    def wall(self) -> float:
        """Return Unix time, s."""
        return self.start_s + self.now


@dataclass(frozen=True, slots=True)
class Ticket:
    """One attempt of one arrival; what follows it depends on it (see `pointsman.guards.attempts.Attempt`)."""

    at: int
    request_id: str
    model: str
    column: int
    expected_cost_usd: float | None
    retry_delays_ms: tuple[float, ...] = ()
    fallback_steps: tuple[Step, ...] = ()
    tried: tuple[str, ...] = ()
    delay_ms: float = 0.0
    marks: int = 0

    @property
    def retried(self) -> int:
        """How many of the attempts so far, this one included, asked the model of an earlier one again."""
        return len(self.tried) + 1 - len({*self.tried, self.model})


class Gateway(Protocol):
    """What `pointsman.load.exact` drives."""

    clock: Clock

    def route(self, at: int) -> Ticket:
        """Decide where an arrival goes, now, and admit it there."""

    def answered(self, ticket: Ticket, *, failure: str, latency_ms: float, cost_usd: float) -> None:
        """Learn from what came of an attempt; `failure` is "" where the answer came."""

    def following(self, ticket: Ticket, failure: str, elapsed_ms: float) -> Ticket | None:
        """Return the next attempt after a failure, admitted where it goes; None where nothing is left."""


class GuardedGateway:
    """A policy with its guards and the kill-switch.

    Parameters
    ----------
    system : System
    """

    def __init__(self, system: System) -> None:
        self.clock = Clock(system.wall_s)
        self.policy = system.policy
        ledger = Ledger(monotonic=self.clock.monotonic, wall=self.clock.wall)
        self.guards = Guards(self.policy.guards, self.policy.candidates, ledger)
        self._system = system
        self._ids = system.request_ids
        self._beliefs = [system.beliefs.take([at]) for at in range(len(system.beliefs.intent))]
        self._facts = [system.facts.take([at]) for at in range(len(system.facts.tokens))]
        steps = [Step(entry.model, entry.failures, entry.cost_threshold_ms) for entry in self.policy.fallbacks]
        allowed = fallback_allowed(system.beliefs, system.facts, self.policy)
        self._steps = [
            tuple(step for step, fits in zip(steps, column, strict=True) if fits) for column in allowed.T.tolist()
        ] or [()] * len(self._facts)
        self._expected = system.beliefs.cost_usd.tolist()

    def _killed(self) -> bool:
        killed = self._system.killed
        return killed is not None and killed.at_s <= self.clock.now < killed.until_s

    def route(self, at: int) -> Ticket:
        """Decide as the router does: the safe model under the kill-switch, else `choose`."""
        policy, name = self.policy, self._ids[at]
        if self._killed():
            return Ticket(at, name, policy.safe_model, policy.models.index(policy.safe_model), None, marks=KILLED)
        body = int(self._system.body[at])
        choice = choose(self._beliefs[body], self._facts[body], policy, self.guards, [name])[0]
        model = policy.models[choice.column]
        bar = choice.barred.get(choice.unguarded)
        marks = (DEGRADED if choice.degraded else 0) | (0 if bar is None else _BARS[bar.kind])
        delays = self.guards.delays_ms(name)
        steps = tuple(step for step in self._steps[body] if step.model != model)
        expected = self._expected[choice.column][body]
        return Ticket(at, name, model, choice.column, expected, delays, steps, marks=marks)

    def answered(self, ticket: Ticket, *, failure: str, latency_ms: float, cost_usd: float) -> None:
        """Report to the guards."""
        self.guards.report(
            ticket.request_id,
            ticket.model,
            ok=not failure,
            timed_out=failure == "timeout",
            latency_ms=latency_ms,
            cost_usd=cost_usd,
            expected_usd=ticket.expected_cost_usd,
        )

    def following(self, ticket: Ticket, failure: str, elapsed_ms: float) -> Ticket | None:
        """Ask `further`, as the router does."""
        then = further(ticket, failure, elapsed_ms, self.policy, self.guards, killed=self._killed())
        if then is None:
            return None
        return replace(
            ticket,
            model=then.model,
            column=self.policy.models.index(then.model),
            expected_cost_usd=then.expected_usd,
            tried=(*ticket.tried, ticket.model),
            delay_ms=then.delay_ms,
        )

    def breaker_changes(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Return how often each model's breaker changed its state, (m,)."""
        circuits = self.guards.ledger.circuits
        return np.array([circuits[name].epoch if name in circuits else 0 for name in self.policy.models])


class FixedGateway:
    """Every request to the model that the system fixes, once."""

    def __init__(self, system: System) -> None:
        self.clock = Clock(system.wall_s)
        self._fixed = [] if system.fixed is None else system.fixed.tolist()
        self._models, self._ids = system.policy.models, system.request_ids

    def route(self, at: int) -> Ticket:
        """Return where it was fixed to go."""
        column = self._fixed[at]
        return Ticket(at, self._ids[at], self._models[column], column, None)

    def answered(self, ticket: Ticket, *, failure: str, latency_ms: float, cost_usd: float) -> None:
        """Learn nothing."""

    def following(self, ticket: Ticket, failure: str, elapsed_ms: float) -> Ticket | None:
        """Try nothing more."""
        del ticket, failure, elapsed_ms
        return None

    def breaker_changes(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """There is no breaker."""
        return np.zeros(len(self._models), dtype=np.int64)
