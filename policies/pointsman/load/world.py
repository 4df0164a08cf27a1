"""The compiled replay's memory: a few tables of records, which compile much faster than many plain arrays would.

One record a request, a model, a call, an event; numbers alone, NaN or -1 for what is not known or not said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pointsman.decide import can_take, fallback_allowed
from pointsman.guards.chance import uniform
from pointsman.guards.retrying import delays_ms
from pointsman.load.calls import ERROR, TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pointsman.load.system import System

    Floats = NDArray[np.float64]

__all__ = ["World", "build_world"]


def _record(floats: str, wholes: str) -> np.dtype[Any]:
    return np.dtype([(name, np.float64) for name in floats.split()] + [(name, np.int64) for name in wholes.split()])


REQUEST = _record(
    "arrival began started lasts expected lease_ends throttle explore explore_which latency first_token wait cost",
    "body call fixed column serial ends again visited distinct may queue_next queue_before lease_at lease_probe "
    "lease_next lease_before first last ok answered_again attempts marks",
)
MODEL = _record(
    "slowdown timeout error_rate lease_s late_ms since busy_s",
    "places concurrency busy queue_head queue_tail queued longest calls errors timeouts epoch is_open good_epoch good "
    "lease_head lease_tail held",
)
CALL = _record("service first_share cost again_service again_cost", "ends")
BODY = _record("expected", "able")
STEP = _record("within", "to failures")
INCIDENT = _record("start stop value", "kind column")
WINDOW = _record("length limit", "newest buckets")
EVENT = _record("time", "made kind request serial")
SETTING = _record(
    "wall kill_at kill_until error_rate late_rate cost_ratio open_s budget_share soft share last",
    "fixed safe m breaker_on min_requests probes retries_on retries_for budget_floor budgets simpler events made",
)
WORDS = ((TIMEOUT, "timeout"), (ERROR, "error"))


class World(NamedTuple):
    """All tables.

    Attributes
    ----------
    settings : (1,) record array
        The policy's guards, the kill-switch, counters.
    requests, models, windows, steps, incidents : record arrays
        (n,), (m,), (5,), (f,), (k,).
    calls, bodies : (c, m) and (b, m) record arrays
    eligible : (b,) int64 array
        Bits of the candidates that a request may go to.
    allowed : (f, b) bool array
        Which fallbacks a request may use.
    table : (2^m, b) int8 array
        See `pointsman.load.system.choices_without`.
    sums : (5, 6 m, 12) float64 array
        Buckets of the breakers' window, the retries', and up to three budgets'.
    luck, delays : (n, r) float64 array
        Draws of second calls; waits before retries, ms.
    events : (room,) record array
        A heap.
    """

    settings: Any
    requests: Any
    models: Any
    windows: Any
    steps: Any
    incidents: Any
    calls: Any
    bodies: Any
    eligible: Any
    allowed: Any
    table: Any
    sums: Any
    luck: Any
    delays: Any
    events: Any


def build_world(system: System) -> World:
    """Lay a system out, before the first request."""
    policy, n, m = system.policy, len(system), len(system.places)
    guarded, names, retry = system.fixed is None, system.request_ids, policy.guards.retry
    delays = np.zeros((n, retry.max_retries))
    if retry.max_retries and guarded:
        delays[:] = [delays_ms(retry, name) for name in names]
    attempts = 1 + retry.max_retries + len(policy.fallbacks)
    events = np.zeros((attempts + 1) * n + 1, dtype=EVENT)  # one under way of each, and a void one of each that waited
    bits = (system.beliefs.eligible * (1 << np.arange(m))[:, None]).sum(axis=0)
    parts = (
        _settings(system),
        _requests(system),
        _models(system),
        _windows(system),
        _steps(system),
        _incidents(system),
        _calls(system),
        _bodies(system),
        bits.astype(np.int64),
        fallback_allowed(system.beliefs, system.facts, policy),
        system.choices if guarded else np.zeros((1, 1), dtype=np.int8),
        np.zeros((5, 6 * m, 12)),
        system.luck,
        delays,
        events,
    )
    return World(*(np.require(part, requirements=["C", "W"]) for part in parts))  # the layout that is compiled for


def _filled(shape: int | tuple[int, ...], dtype: np.dtype[Any], values: Mapping[str, Any]) -> NDArray[Any]:
    table = np.zeros(shape, dtype=dtype)
    for name, value in values.items():
        table[name] = value
    return table


def _settings(system: System) -> NDArray[Any]:
    policy, killed = system.policy, system.killed
    guards = policy.guards
    breaker, retry, budget = guards.breaker, guards.retry, guards.budget
    return _filled(
        1,
        SETTING,
        {
            "wall": system.wall_s,
            "kill_at": np.inf if killed is None else killed.at_s,
            "kill_until": -np.inf if killed is None else killed.until_s,
            "error_rate": _number(breaker.error_rate),
            "late_rate": _number(breaker.late_rate),
            "cost_ratio": _number(breaker.cost_ratio),
            "open_s": breaker.open_s,
            "budget_share": retry.budget_share,
            "soft": budget.soft_share,
            "share": guards.exploration_share,
            "fixed": system.fixed is not None,
            "safe": policy.models.index(policy.safe_model),
            "m": len(system.places),
            "breaker_on": breaker.trips,
            "min_requests": breaker.min_requests,
            "probes": breaker.half_open_probes,
            "retries_on": retry.max_retries > 0,
            "retries_for": _bits(retry.failures),
            "budget_floor": retry.budget_floor,
            "budgets": len(budget.limits),
            "simpler": -1 if guards.simpler_model is None else policy.models.index(guards.simpler_model),
        },
    )


def _requests(system: System) -> NDArray[Any]:
    guards, names, guarded = system.policy.guards, system.request_ids, system.fixed is None

    def drawn(purpose: str, wanted: bool) -> Any:
        return [uniform(name, purpose) for name in names] if wanted and guarded else 0.0

    explores = guards.exploration_share > 0
    none = ("queue_next", "queue_before", "lease_at", "lease_probe", "lease_next", "lease_before")
    return _filled(
        len(system),
        REQUEST,
        {
            "arrival": system.arrival_s,
            "body": system.body,
            "call": system.call,
            "fixed": 0 if system.fixed is None else system.fixed,
            "expected": np.nan,
            "first_token": np.nan,
            "throttle": drawn("throttle", bool(guards.budget.limits)),
            "explore": drawn("explore", explores),
            "explore_which": drawn("explore which", explores),
            **dict.fromkeys(none, -1),
        },
    )


def _models(system: System) -> NDArray[Any]:
    guards, candidates = system.policy.guards, system.policy.candidates
    late = [guards.breaker.late_ms or candidate.timeout_ms for candidate in candidates]
    return _filled(
        len(candidates),
        MODEL,
        {
            "slowdown": system.slowdown,
            "timeout": system.timeout_s,
            "error_rate": system.calls.error_rate,
            "lease_s": [(candidate.timeout_ms or guards.lease_ms) / 1000 for candidate in candidates],
            "late_ms": [_number(one) for one in late],
            "places": system.places,
            "concurrency": [candidate.concurrency or 0 for candidate in candidates],
            **dict.fromkeys(("queue_head", "queue_tail", "lease_head", "lease_tail"), -1),
        },
    )


def _windows(system: System) -> NDArray[Any]:
    guards = system.policy.guards
    found = [(guards.breaker.window_s, 12, 0.0), (guards.retry.window_s, 12, 0.0)]
    found += [(span, buckets, limit) for _, span, buckets, limit in guards.budget.limits]
    found += [(1.0, 1, 0.0)] * (5 - len(found))
    spans, buckets, limits = (np.array(part) for part in zip(*found, strict=True))
    return _filled(5, WINDOW, {"length": spans / buckets, "buckets": buckets, "limit": limits})


def _steps(system: System) -> NDArray[Any]:
    policy = system.policy
    within = [np.inf if one.cost_threshold_ms is None else one.cost_threshold_ms for one in policy.fallbacks]
    to = [policy.models.index(one.model) for one in policy.fallbacks]
    return _filled(
        len(to), STEP, {"within": within, "to": to, "failures": [_bits(one.failures) for one in policy.fallbacks]}
    )


def _incidents(system: System) -> NDArray[Any]:
    kinds, spans = system.befalls()
    parts = {"start": spans[:, 0], "stop": spans[:, 1], "value": spans[:, 2]}
    return _filled(len(kinds), INCIDENT, {**parts, "kind": kinds[:, 0], "column": kinds[:, 1]})


def _calls(system: System) -> NDArray[Any]:
    calls = system.calls
    return _filled(
        calls.service_ms.shape,
        CALL,
        {
            "service": calls.service_ms,
            "first_share": calls.first_share,
            "cost": calls.cost_usd,
            "again_service": calls.again_service_ms,
            "again_cost": calls.again_cost_usd,
            "ends": calls.ends,
        },
    )


def _bodies(system: System) -> NDArray[Any]:
    able = can_take(system.facts, system.policy).T
    return _filled(able.shape, BODY, {"expected": system.beliefs.cost_usd.T, "able": able})


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def _bits(failures: tuple[str, ...]) -> int:
    return sum(1 << code for code, word in WORDS if word in failures)
