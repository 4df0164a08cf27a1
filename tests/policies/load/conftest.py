"""Small systems under load, drawn at random: policies with every guard, queues, incidents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pointsman.decide import Beliefs, Facts
from pointsman.guards.settings import Breaker, Budget, GuardSettings, Retry
from pointsman.load.calls import Calls
from pointsman.load.system import Killed, Outage, Slowdown, System
from pointsman.policy import Candidate, Expected, Fallback, Policy
from pointsman.rules import ValueRule

if TYPE_CHECKING:
    from collections.abc import Callable

BODIES = 40


def random_calls(rng: np.random.Generator, b: int, m: int, mean_ms: float = 120.0, trouble: float = 0.1) -> Calls:
    """Draw calls of b requests at m models, dearer and slower from column to column."""
    dear = 1 + np.arange(m)
    service = rng.gamma(2.0, mean_ms / 2, (b, m)) * dear**0.5
    ends = rng.choice([0, 1, 2], (b, m), p=[1 - trouble, trouble / 3, 2 * trouble / 3]).astype(np.int8)
    useful = (rng.random((b, m)) < 0.6 + 0.1 * np.arange(m) / m).astype(np.float64)
    cost = rng.gamma(3.0, 0.001, (b, m)) * dear**2
    return Calls(
        service_ms=service,
        first_share=rng.uniform(0.2, 0.8, (b, m)),
        ends=ends,
        cost_usd=cost,
        useful=np.where(ends == 0, useful, 0.0),
        hallucinated=np.full((b, m), np.nan),
        again_service_ms=service * 1.1,
        again_cost_usd=cost,
        again_useful=np.full((b, m), 0.7),
        again_hallucinated=np.full((b, m), np.nan),
        error_rate=(ends == 2).mean(axis=0),
    )


def random_system(seed: int = 0, n: int = 400, m: int = 3, **changes: Any) -> System:
    """Draw a busy system in which every guard has something to do."""
    rng = np.random.default_rng(seed)
    names = tuple("abcdefgh"[:m])
    candidates = tuple(
        Candidate(
            name,
            timeout_ms=None if rng.random() < 0.2 else float(rng.integers(200, 900)),
            concurrency=None if rng.random() < 0.3 else int(rng.integers(2, 9)),
            modalities=("text", "image") if j else ("text",),
        )
        for j, name in enumerate(names)
    )

    def maybe(value: float) -> float | None:
        return value if rng.random() < 0.6 else None

    guards = GuardSettings(
        retry=Retry(
            max_retries=int(rng.integers(0, 4)),
            base_ms=float(rng.integers(0, 100)),
            budget_share=float(rng.uniform(0, 0.3)),
            budget_floor=int(rng.integers(0, 5)),
            window_s=float(rng.choice([2.0, 60.0])),
            failures=("error", "timeout") if rng.random() < 0.5 else ("error",),
        ),
        breaker=Breaker(
            error_rate=maybe(0.2),
            late_rate=maybe(0.4),
            late_ms=maybe(250.0),
            cost_ratio=maybe(1.5),
            window_s=float(rng.choice([2.0, 60.0])),
            min_requests=int(rng.integers(3, 20)),
            open_s=float(rng.uniform(0.1, 1.0)),
            half_open_probes=int(rng.integers(1, 4)),
        ),
        budget=Budget(
            usd_per_minute=maybe(float(n) * 0.004), usd_per_hour=maybe(float(n) * 0.006), usd_per_day=maybe(float(n))
        ),
        simpler_model=None if rng.random() < 0.5 else names[int(rng.integers(m))],
        exploration_share=float(rng.choice([0.0, 0.15])),
        lease_ms=float(rng.choice([300.0, 120_000.0])),
    )
    fallbacks = tuple(
        Fallback(str(rng.choice(names)), ((), ("timeout",), ("error",), ("chat",))[int(rng.integers(4))], maybe(600.0))
        for _ in range(int(rng.integers(0, 4)))
    )
    flat = np.full((2, m), 0.5)
    policy = Policy(
        intents=("chat", "code"),
        candidates=candidates,
        rule=ValueRule(trust=1.0, useful_value_usd=0.02),
        expected=Expected(flat, flat * 0.01, flat * 0),
        safe_model=names[0],
        fallbacks=fallbacks,
        guards=guards,
    )
    eligible = rng.random((m, BODIES)) < 0.85
    eligible[:, ~eligible.any(axis=0)] = True
    beliefs = Beliefs(
        intent=rng.integers(0, 2, BODIES),
        query_useful=rng.random((m, BODIES)).astype(np.float32),
        intent_useful=np.full((m, BODIES), 0.5, dtype=np.float32),
        cost_usd=(rng.gamma(3.0, 0.001, (m, BODIES)) * (1 + np.arange(m))[:, None] ** 2).astype(np.float32),
        late=np.zeros((m, BODIES), dtype=np.float32),
        eligible=eligible,
        confidence=np.ones(BODIES, dtype=np.float32),
        models=names,
        intents=("chat", "code"),
    )
    facts = Facts.of(rng.integers(10, 400, BODIES), rng.choice(["text", "image"], BODIES, p=[0.8, 0.2]), 0)
    arrival = np.cumsum(rng.exponential(1 / float(rng.uniform(20, 60)), n))
    body = rng.integers(0, BODIES, n)
    system = System(
        policy=policy,
        beliefs=beliefs,
        facts=facts,
        calls=random_calls(rng, BODIES, m),
        arrival_s=arrival - arrival[0],
        body=body,
        call=body,
        places=rng.integers(0, 7, m),
        slowdown=np.where(rng.random(m) < 0.5, 0.0, rng.uniform(0, 1, m)),
        seed=seed,
    )
    span = float(system.arrival_s[-1])
    incidents: tuple[Outage | Slowdown, ...] = (
        Outage(names[-1], 0.2 * span, 0.5 * span, None if seed % 2 else 15.0),
        Slowdown(names[0], 0.4 * span, 0.7 * span, 3.0),
    )
    return replace(system, **{"incidents": incidents, "killed": Killed(0.8 * span, 0.9 * span), **changes})


@pytest.fixture(scope="session")
def make_system() -> Callable[..., System]:
    return random_system


@pytest.fixture(scope="session")
def make_calls() -> Callable[..., Calls]:
    return random_calls
