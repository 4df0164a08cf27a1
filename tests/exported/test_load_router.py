"""The load replay drives the router itself, on the simulated clock, and gets what its own gateway gets."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np

from pointsman.bundle import load_bundle
from pointsman.conformance import PROMPTS
from pointsman.decide import Facts, believe
from pointsman.guards.ledger import Ledger
from pointsman.guards.settings import Breaker, Budget, GuardSettings, Retry
from pointsman.live import LiveBundle
from pointsman.load.calls import Calls
from pointsman.load.exact import replay_exactly
from pointsman.load.gateway import Clock, Ticket
from pointsman.load.result import LoadResult
from pointsman.load.system import Outage, System
from pointsman.session import Session

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.decision import Decision


class RouterGateway:
    """The live bundle of a router: real prompts through the real graph, real guards, real next attempts."""

    def __init__(self, live: LiveBundle, system: System, clock: Clock, prompts: list[tuple[str, str, int]]) -> None:
        self.clock, self._live, self._system, self._prompts = clock, live, system, prompts
        self._decisions: dict[int, Decision] = {}

    def route(self, at: int) -> Ticket:
        prompt, modality, context = self._prompts[int(self._system.body[at])]
        facts = Facts.of(len(prompt), modality, context)
        name = self._system.request_ids[at]
        return self._ticket(at, self._live.decide([prompt], facts, [context], [name])[0])

    def _ticket(self, at: int, decision: Decision) -> Ticket:
        self._decisions[at] = decision
        column = self._live.policy.models.index(decision.model)
        return Ticket(
            at, decision.request_id, decision.model, column, None, tried=decision.tried, delay_ms=decision.delay_ms
        )

    def answered(self, ticket: Ticket, *, failure: str, latency_ms: float, cost_usd: float) -> None:
        decision = self._decisions[ticket.at]
        self._live.guards.report(
            decision.request_id,
            decision.model,
            ok=not failure,
            timed_out=failure == "timeout",
            latency_ms=latency_ms,
            cost_usd=cost_usd,
            expected_usd=decision.expected_cost_usd,
        )

    def following(self, ticket: Ticket, failure: str, elapsed_ms: float) -> Ticket | None:
        from pointsman.following import following

        then = following(self._decisions[ticket.at], failure, elapsed_ms, self._live, None)
        return None if then is None else self._ticket(ticket.at, then)


def test_the_routers_own_decisions_are_those_of_the_replay(tiny_bundle: Path) -> None:
    bundle = load_bundle(tiny_bundle)
    guards = GuardSettings(
        retry=Retry(max_retries=2, base_ms=30.0, failures=("error", "timeout")),
        breaker=Breaker(error_rate=0.4, min_requests=5, open_s=0.5, window_s=2.0),
        budget=Budget(usd_per_minute=0.5),
    )
    seats = {"small": 4, "medium": 3, "large": 3}
    candidates = tuple(replace(one, concurrency=seats[one.name], timeout_ms=400.0) for one in bundle.policy.candidates)
    policy = replace(bundle.policy, guards=guards, candidates=candidates)
    prompts = [(prompt, modality, context) for prompt, modality, context in PROMPTS if prompt][:24]
    session = Session.load(bundle)
    facts = Facts.of(*map(list, zip(*((len(p), m, c) for p, m, c in prompts), strict=True)))
    beliefs = believe(session.read([prompt for prompt, _, _ in prompts]), facts, policy)
    rng, n, b = np.random.default_rng(3), 300, len(prompts)
    service, ends = rng.gamma(2.0, 60.0, (b, 3)), rng.choice([0, 0, 0, 0, 2], (b, 3)).astype(np.int8)
    flat = np.full((b, 3), 0.5)
    calls = Calls(service, flat, ends, flat * 0.02, flat, flat, service, flat * 0.02, flat, flat, np.full(3, 0.2))
    body = rng.integers(0, b, n)
    arrival = np.cumsum(rng.exponential(1 / 25, n))
    places = np.array([4, 3, 3])
    system = System(policy, beliefs, facts, calls, arrival, body, body, places, np.zeros(3))
    system = system.but(incidents=(Outage("medium", 3.0, 6.0),))

    clock = Clock(system.wall_s)
    live = LiveBundle(replace(bundle, policy=policy), session, Ledger(monotonic=clock.monotonic, wall=clock.wall))
    by_router = replay_exactly(system, RouterGateway(live, system, clock, prompts))
    by_replay = replay_exactly(system)
    for entry in fields(LoadResult):
        if entry.name not in {"marks", "opened"}:  # the router gives reasons in words
            one, other = getattr(by_router, entry.name), getattr(by_replay, entry.name)
            np.testing.assert_array_equal(one, other, err_msg=entry.name)
    assert (by_replay.attempts > 1).sum() > 20
    assert by_replay.opened.sum() > 0
    assert len(set(by_replay.column.tolist())) == 3
