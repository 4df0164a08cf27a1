"""Capacity questions, answered as plain JSON values: another rate, a budget, an outage, the kill-switch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.guards.settings import Breaker, Budget, Retry
from pointsman.load.compiled import replay_load
from pointsman.load.exact import replay_exactly
from pointsman.load.result import summary
from pointsman.load.scene import Scene, with_guards
from pointsman.load.system import Killed, Outage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from pointsman.load.result import LoadResult
    from pointsman.load.system import System
    from pointsman.policy import Policy

__all__ = ["budget_curve", "kill_switch", "one_run", "outages", "rate_curve"]

REQUESTS = 20_000
Progress = Callable[[str, int, int], None]

TWICE = 2.0
"""The cliff: beyond it P95 is more than twice what it is at a tenth of the capacity, ..."""
LOST = 0.01
"""... or so many more requests get no answer."""

USUAL_BREAKER = Breaker(error_rate=0.5, late_rate=0.5, window_s=60.0, min_requests=20, open_s=30.0)
"""Shown where the policy itself has no breaker."""


def _silent(phase: str, done: int, total: int) -> None:
    del phase, done, total


def _run(scene: Scene, rate: float, n: int, seed: int, **how: Any) -> tuple[System, LoadResult]:
    system = scene.system(scene.coming(rate, n, seed), seed=seed, **how)
    return system, replay_load(system)


def _head(scene: Scene) -> dict[str, Any]:
    fitted = {name: one.to_dict() for name, one in zip(scene.policy.models, scene.latency, strict=True)}
    return {
        "baseline": scene.baseline,
        "limit_ms": scene.limit_ms,
        "rate_per_s": scene.rate,
        "arrivals": scene.arrivals,
        "bodies": len(scene.outcomes),
        "places": {name: int(count) or None for name, count in zip(scene.policy.models, scene.places, strict=True)},
        "latency": fitted,
        "modelled": scene.modelled(),
    }


def one_run(scene: Scene, n: int = REQUESTS, seed: int = 0, *, exact: bool = False) -> dict[str, Any]:
    """Return one run at the scene's rate: ``before``, ``after`` under load, and ``alone``, the same without queues.

    ``alone`` holds both for an unlimited number of places, so that what queues and guards add stands beside it. Each as
    `pointsman.load.result.summary` says. With `exact` the gateway's own guards run, not their mirror.
    """
    found: dict[str, Any] = _head(scene)
    for name, one in (("under_load", scene), ("alone", replace(scene, places=np.zeros_like(scene.places)))):
        pair = {}
        for side in ("before", "after"):
            system = one.system(one.coming(scene.rate, n, seed), before=side == "before", seed=seed)
            pair[side] = summary((replay_exactly if exact else replay_load)(system), system)
        found[name] = pair
    return found


def rate_curve(
    scene: Scene, rates: Sequence[float] | None = None, n: int = REQUESTS, seed: int = 0, say: Progress = _silent
) -> dict[str, Any]:
    """Return P95, errors and cost per useful response against the request rate, before and after.

    Parameters
    ----------
    scene : Scene
    rates : sequence of float, optional
        Requests per second; by default twelve from far below the first capacity to beyond the second.
    n : int
        Requests of each run.
    seed : int
    say : callable
        Called with (phase, done, total).

    Returns
    -------
    dict
        Plain JSON values: what is in common (``baseline``, ``limit_ms``, ``rate_per_s``, ``places``, ``latency``,
        ``modelled``), ``rates_per_s`` (k), and ``before`` and ``after`` with lists of k values each: ``p50_ms``,
        ``p95_ms``, ``p99_ms``, ``error_rate``, ``useful_rate``, ``cost_per_useful``, ``utilisation`` (of the fullest
        model), and ``capacity_per_s`` (where the first model is full), ``cliff_per_s`` (the highest rate before P95
        doubles or one request in a hundred more is lost; null where it is beyond what was asked) and
        ``keeps_limit_to_per_s`` (the highest rate at which P95 keeps the spec's limit; 0 where none does, null where
        there is no limit or no end).
    """
    found: dict[str, Any] = _head(scene)
    capacity = {"before": scene.capacity(scene.before), "after": scene.capacity(scene.after)}
    if rates is None:
        known = [one for one in capacity.values() if np.isfinite(one)] or [10 * scene.rate]
        low = min(scene.rate, 0.1 * min(known))
        rates = np.geomspace(low, 1.3 * max(known), 12).tolist()
    found["rates_per_s"] = [float(rate) for rate in rates]
    total, done = 2 * len(rates), 0
    for side in ("before", "after"):

        def ask(rate: float, side: str = side) -> dict[str, Any]:
            system, result = _run(scene, rate, n, seed, before=side == "before")
            return summary(result, system)

        runs = []
        for rate in rates:
            runs.append(ask(rate))
            done += 1
            say("load", done, total)
        keys = ("p50_ms", "p95_ms", "p99_ms", "first_token_p95_ms", "error_rate", "useful_rate", "cost_per_useful")
        part: dict[str, Any] = {key: [one[key] for one in runs] for key in keys}
        part["utilisation"] = [_fullest(one) for one in runs]
        limit = capacity[side]
        part["capacity_per_s"] = limit if np.isfinite(limit) else None
        still = runs[0]

        def falls(one: dict[str, Any], still: dict[str, Any] = still) -> bool:
            return bool(one["p95_ms"] > TWICE * still["p95_ms"] or one["error_rate"] > still["error_rate"] + LOST)

        part["cliff_per_s"] = _edge(ask, rates, runs, falls)
        part["keeps_limit_to_per_s"] = None
        if scene.limit_ms is not None:
            allowed = scene.limit_ms

            def late(one: dict[str, Any], allowed: float = allowed) -> bool:
                return bool(one["p95_ms"] > allowed)

            part["keeps_limit_to_per_s"] = 0.0 if late(runs[0]) else _edge(ask, rates, runs, late)
        found[side] = part
    return found


def _fullest(one: dict[str, Any]) -> float | None:
    uses = [model["utilisation"] for model in one["models"].values() if model["utilisation"] is not None]
    return max(uses, default=None)


def _edge(
    ask: Callable[[float], dict[str, Any]],
    rates: Sequence[float],
    runs: Sequence[dict[str, Any]],
    bad: Callable[[dict[str, Any]], bool],
) -> float | None:
    """Return the highest rate before runs go bad, found by halving between two that were asked; None for none."""
    first = next((at for at, one in enumerate(runs) if bad(one)), None)
    if first is None or first == 0:
        return None
    low, high = rates[first - 1], rates[first]
    for _ in range(6):
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if bad(ask(middle)) else (middle, high)
    return float(low)


def budget_curve(
    scene: Scene, shares: Sequence[float] | None = None, n: int = REQUESTS, seed: int = 0, say: Progress = _silent
) -> dict[str, Any]:
    """Return usefulness, cost and P95 against a budget, at the scene's rate.

    The budget is one of a minute: shares of what the policy spends in a minute without any. ``free`` is the run without
    a budget, ``runs`` one of each, with ``usd_per_minute``, ``usd_per_day`` (the same over a day) and
    ``spent_per_minute``.
    """
    found: dict[str, Any] = _head(scene)
    free_policy = with_guards(scene.policy, budget=Budget())
    system, result = _run(scene, scene.rate, n, seed, policy=free_policy)
    minutes = result.span_s / 60
    found["free"] = {**summary(result, system), "spent_per_minute": float(result.cost_usd.sum()) / minutes}
    spends = found["free"]["spent_per_minute"]
    shares = list(shares or (1.5, 1.25, 1.1, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3))
    found["runs"] = []
    for done, share in enumerate(shares, start=1):
        limit = max(share * spends, 1e-6)
        policy = with_guards(scene.policy, budget=Budget(usd_per_minute=limit))
        system, result = _run(scene, scene.rate, n, seed, policy=policy)
        spent = float(result.cost_usd.sum()) / (result.span_s / 60)
        more = {"share": share, "usd_per_minute": limit, "usd_per_day": 1440 * limit, "spent_per_minute": spent}
        found["runs"].append({**more, **summary(result, system)})
        say("load", done, len(shares))
    return found


def protections(policy: Policy) -> dict[str, Policy]:
    """Return the policy bare, with its retries and fallbacks, and with breakers too (its own, else the usual one)."""
    nothing = with_guards(policy, retry=Retry(), breaker=Breaker())
    breaker = policy.guards.breaker if policy.guards.breaker.trips else USUAL_BREAKER
    return {
        "nothing": replace(nothing, fallbacks=()),
        "fallbacks": with_guards(policy, breaker=Breaker()),
        "breakers": replace(with_guards(policy, breaker=breaker), fallbacks=()),
        "fallbacks and breakers": with_guards(policy, breaker=breaker),
    }


def outages(
    scene: Scene, minutes: float = 10.0, *, hangs: bool = False, seed: int = 0, say: Progress = _silent
) -> dict[str, Any]:
    """Return what an outage of each model does, with and without breakers and fallbacks.

    The outage is the middle third of a run of three times its length; its figures count the requests that arrive in it,
    over as many runs as make a thousand of them (at most twenty). ``before``, ``nothing``, ``fallbacks``, ``breakers``,
    ``fallbacks and breakers`` of each model; ``quiet`` is the same without an outage. ``breaker`` says whose numbers.

    Parameters
    ----------
    scene : Scene
    minutes : float
        Length of the outage.
    hangs : bool
        Calls hang until their timeout instead of failing at once.
    seed : int
    say : callable
    """
    found: dict[str, Any] = _head(scene)
    found["minutes"], found["hangs"] = minutes, hangs
    own = scene.policy.guards.breaker
    whose, breaker = ("the policy's", own) if own.trips else ("the usual", USUAL_BREAKER)
    found["breaker"] = {"whose": whose, **vars(breaker)}
    length = 60 * minutes
    n = max(round(3 * length * scene.rate), 30)
    repeats = int(np.clip(np.ceil(3000 / n), 1, 20))
    sides: dict[str, Policy | None] = {"before": None, **protections(scene.policy)}
    found["models"], done, total = {}, 0, (len(scene.policy.models) + 1) * len(sides)
    for model in (None, *scene.policy.models):
        part = {}
        for side, policy in sides.items():
            pooled = []
            for turn in range(repeats):
                arrivals = scene.coming(scene.rate, n, seed + turn)
                third = float(arrivals.time_s[-1]) / 3
                down = () if model is None else (Outage(model, third, 2 * third, None if hangs else 20.0),)
                system = scene.system(arrivals, before=policy is None, policy=policy, seed=seed + turn)
                result = replay_load(system.but(incidents=down))
                inside = (arrivals.time_s >= third) & (arrivals.time_s < 2 * third)
                pooled.append((system, result, inside))
            part[side] = _pooled(pooled)
            done += 1
            say("load", done, total)
        if model is None:
            found["quiet"] = part
        else:
            found["models"][model] = part
    return found


def _pooled(runs: Sequence[tuple[System, LoadResult, NDArray[np.bool_]]]) -> dict[str, Any]:
    """Return the figures of the requests marked, over several runs."""

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(result, name)[inside] for _, result, inside in runs])

    ok, useful, cost = joined("ok"), joined("useful"), joined("cost_usd")
    late = np.sort(joined("latency_ms"))
    n = len(ok)
    return {
        "requests": n,
        "error_rate": float(1 - ok.mean()),
        "useful_rate": float(useful.mean()),
        "p50_ms": float(late[int(np.ceil(0.5 * n)) - 1]),
        "p95_ms": float(late[int(np.ceil(0.95 * n)) - 1]),
        "cost_usd_per_request": float(cost.mean()),
        "cost_per_useful": float(cost.sum() / useful.sum()) if useful.sum() > 0 else None,
        "attempts_per_request": float(joined("attempts").mean()),
        "breaker_changes": int(sum(int(result.opened.sum()) for _, result, _ in runs)),
    }


def kill_switch(scene: Scene, n: int = REQUESTS, seed: int = 0) -> dict[str, Any]:
    """Return what the kill-switch costs: thrown for the middle third of a run, beside the same run without it.

    ``killed`` and ``running`` hold the figures of the requests that arrive in that third; ``series`` the two runs in 60
    parts of time: ``minutes``, and of each ``p95_ms``, ``useful_rate``, ``cost_usd_per_request``.
    """
    found: dict[str, Any] = _head(scene)
    arrivals = scene.coming(scene.rate, n, seed)
    third = float(arrivals.time_s[-1]) / 3
    inside = (arrivals.time_s >= third) & (arrivals.time_s < 2 * third)
    edges = np.linspace(0, 3 * third, 61)
    found |= {"safe_model": scene.policy.safe_model, "at_s": third, "until_s": 2 * third}
    found["series"] = {"minutes": (edges[:-1] / 60).tolist()}
    for name, killed in (("running", None), ("killed", Killed(third, 2 * third))):
        system = scene.system(arrivals, seed=seed).but(killed=killed)
        result = replay_load(system)
        found[name] = summary(result, system, inside)
        found["series"][name] = list(_parts(result, arrivals.time_s, edges))
    return found


def _parts(
    result: LoadResult, time: NDArray[np.float64], edges: NDArray[np.float64]
) -> Iterator[dict[str, float | None]]:
    for low, high in pairwise(edges.tolist()):
        at = (time >= low) & (time < high)
        if not at.any():
            yield {"p95_ms": None, "useful_rate": None, "cost_usd_per_request": None}
            continue
        late = np.sort(result.latency_ms[at])
        yield {
            "p95_ms": float(late[int(np.ceil(0.95 * len(late))) - 1]),
            "useful_rate": float(result.useful[at].mean()),
            "cost_usd_per_request": float(result.cost_usd[at].mean()),
        }
