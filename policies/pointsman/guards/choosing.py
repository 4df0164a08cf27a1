"""`pointsman.decide` with guards around it: who is barred is not eligible, and when nobody is left it degrades.

Standard library and numpy only. The router and the replay of traffic call the same function.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pointsman.decide import Beliefs, can_take, decide
from pointsman.guards.chance import uniform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointsman.decide import Facts
    from pointsman.decide_one import One
    from pointsman.guards.guards import Bar, Guards
    from pointsman.policy import Policy

__all__ = ["SAFE_MODEL", "SIMPLER_MODEL", "Choice", "choose", "choose_one"]

SIMPLER_MODEL, SAFE_MODEL = "simpler_model", "safe_model"


class Choice(NamedTuple):
    """Where one request goes, and what guards had to do with it.

    Attributes
    ----------
    column : int
        The candidate.
    unguarded : int
        The candidate that would have got it without guards and exploration.
    propensity : float
        Probability with which it got this candidate, given what was barred; 1 without exploration.
    barred : dict of int to Bar
        The candidates that it could not have.
    explored : int
        Among how many candidates it was drawn; 0 where it was not drawn.
    degraded : str or None
        simpler_model or safe_model, where guards left no candidate.
    """

    column: int
    unguarded: int
    propensity: float
    barred: dict[int, Bar]
    explored: int
    degraded: str | None


def choose(beliefs: Beliefs, facts: Facts, policy: Policy, guards: Guards, request_ids: Sequence[str]) -> list[Choice]:
    """Decide where each of n requests goes, and admit it there.

    Parameters
    ----------
    beliefs, facts : Beliefs, Facts
        Of the requests.
    policy : Policy
    guards : Guards
        Of its settings and candidates.
    request_ids : sequence of str
        They decide what is drawn (throttle, exploration), and name the requests in later reports.
    """
    free = decide(beliefs, policy.rule).tolist()
    share = policy.guards.exploration_share
    bars = guards.bars(request_ids)
    rest = beliefs if bars is None else _without(beliefs, bars)
    chosen = free if bars is None else decide(rest, policy.rule).tolist()
    left, expected = rest.eligible.sum(axis=0).tolist(), beliefs.cost_usd.tolist()
    choices = []
    for at, (request_id, column) in enumerate(zip(request_ids, chosen, strict=True)):
        barred = {} if bars is None else bars[at]
        if column not in barred and not _explores(share, request_id):  # the usual case, told at once
            bar = guards.admit(request_id, column, expected[column][at])
            if bar is None:
                choices.append(Choice(column, free[at], share / left[at] + (1 - share), barred, 0, None))
                continue
            barred = {**barred, column: bar}
        choices.append(_guarded(beliefs.take([at]), facts.take([at]), policy, guards, request_id, dict(barred)))
    return choices


def choose_one(one: One, share: float, guards: Guards, request_id: str) -> Choice | None:
    """Do what `choose` does for one request, where nothing is barred or drawn; None where it is `choose`'s to do."""
    if guards.bars((request_id,)) is not None or _explores(share, request_id):
        return None
    expected = float(one.cost_usd[one.column, 0]) if guards.spends else None
    if guards.admit(request_id, one.column, expected) is not None:
        return None
    return Choice(one.column, one.column, share / len(one.eligible) + (1 - share), {}, 0, None)


def _guarded(
    beliefs: Beliefs, facts: Facts, policy: Policy, guards: Guards, request_id: str, barred: dict[int, Bar]
) -> Choice:
    """Choose for one request among what is not barred; another thread may bar more meanwhile."""
    free = int(decide(beliefs, policy.rule)[0])
    expected = beliefs.cost_usd[:, 0].tolist()
    while True:
        left = [column for column in np.flatnonzero(beliefs.eligible[:, 0]).tolist() if column not in barred]
        if not left:
            return _degraded(free, facts, policy, guards, request_id, barred, expected)
        greedy = free if not barred else int(decide(_without(beliefs, [barred]), policy.rule)[0])
        column, propensity, explored = _explore(policy.guards.exploration_share, request_id, left, greedy)
        bar = guards.admit(request_id, column, expected[column])
        if bar is None:
            return Choice(column, free, propensity, barred, explored, None)
        barred[column] = bar


def _explores(share: float, request_id: str) -> bool:
    return share > 0 and uniform(request_id, "explore") < share


def _explore(share: float, request_id: str, left: Sequence[int], greedy: int) -> tuple[int, float, int]:
    """Return the column, its propensity, and among how many it was drawn (0: it was not)."""
    even = share / len(left)
    if _explores(share, request_id):
        column = left[int(uniform(request_id, "explore which") * len(left))]
        return column, even + (1 - share) * (column == greedy), len(left)
    return greedy, even + (1 - share), 0


def _degraded(
    free: int,
    facts: Facts,
    policy: Policy,
    guards: Guards,
    request_id: str,
    barred: dict[int, Bar],
    expected: Sequence[float],
) -> Choice:
    """Send a request for which no candidate is left to the simpler model, else to the safe one.

    The simpler model must be able to take it and admit it: its breaker and its places count, the budget does not. The
    safe model gets it whatever its guards say.
    """
    simpler = policy.guards.simpler_model
    if simpler is not None:
        column = policy.models.index(simpler)
        able = bool(can_take(facts, policy)[column, 0])
        if able and guards.admit(request_id, column, expected[column]) is None:
            return Choice(column, free, 1.0, barred, 0, SIMPLER_MODEL)
    column = policy.models.index(policy.safe_model)
    guards.admit(request_id, column, expected[column], force=True)
    return Choice(column, free, 1.0, barred, 0, SAFE_MODEL)


def _without(beliefs: Beliefs, bars: Sequence[dict[int, Bar]]) -> Beliefs:
    """Return the beliefs with barred candidates not eligible; requests that would have none keep all."""
    eligible = beliefs.eligible.copy()
    for at, barred in enumerate(bars):
        eligible[list(barred), at] = False
    nobody = ~eligible.any(axis=0)
    eligible[:, nobody] = beliefs.eligible[:, nobody]
    return replace(beliefs, eligible=eligible)
