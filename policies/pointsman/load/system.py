"""The system that is replayed: a policy, its models' places, the requests that come, and what befalls it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pointsman.decide import decide
from pointsman.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pointsman.decide import Beliefs, Facts
    from pointsman.load.calls import Calls
    from pointsman.policy import Policy

    Floats = NDArray[np.float64]

__all__ = ["Killed", "Outage", "Slowdown", "System", "choices_without", "places_of"]


@dataclass(frozen=True)
class Outage:
    """A model that answers nothing for a while; calls already at work there are finished.

    Attributes
    ----------
    model : str
    start_s, end_s : float
        s after the first arrival.
    fails_ms : float or None
        After this long a call fails; None where it hangs until its timeout, or else the end.
    """

    model: str
    start_s: float
    end_s: float
    fails_ms: float | None = 20.0


@dataclass(frozen=True)
class Slowdown:
    """A model whose calls take `factor` times as long for a while, those that begin then."""

    model: str
    start_s: float
    end_s: float
    factor: float


@dataclass(frozen=True)
class Killed:
    """The kill-switch is thrown, and taken back; s after the first arrival."""

    at_s: float
    until_s: float = float("inf")


@dataclass(frozen=True, eq=False)
class System:
    """What is replayed.

    Attributes
    ----------
    policy : Policy
        m candidates; their `timeout_ms` ends a call, wherever it waits.
    beliefs, facts : Beliefs, Facts
        Of b requests.
    calls : Calls
        Of c requests, or of each arrival.
    arrival_s : (n,) float64 array
        Ascending, s.
    body, call : (n,) intp array
        Which request each arrival is, for decisions and for calls.
    places : (m,) int64 array
        Requests that each model really serves at once; 0 for no limit. The gateway believes
        `Candidate.concurrency`, and sends nothing to a model of which it believes that it is full.
    slowdown : (m,) float64 array
        See `pointsman.load.latency`.
    fixed : (n,) intp array or None
        Where each goes whatever the policy says, without any guard: production before. None for the policy.
    incidents : tuple of Outage and Slowdown
    killed : Killed or None
    wall_s : float
        Unix time of the first arrival: budgets of a day begin at midnight, UTC.
    seed : int
        Of what is drawn: names of requests (throttle, jitter, exploration) and the fate of second calls.
    table : (2^m, b) int8 array or None
        See `choices_without`; made where it is needed and not given.
    """

    policy: Policy
    beliefs: Beliefs
    facts: Facts
    calls: Calls
    arrival_s: Floats
    body: NDArray[np.intp]
    call: NDArray[np.intp]
    places: NDArray[np.int64]
    slowdown: Floats
    fixed: NDArray[np.intp] | None = None
    incidents: tuple[Outage | Slowdown, ...] = ()
    killed: Killed | None = None
    wall_s: float = 1_767_225_600.0
    seed: int = 0
    table: NDArray[np.int8] | None = None

    def __post_init__(self) -> None:
        """Refuse what names no candidate."""
        for one in self.incidents:
            if one.model not in self.policy.models:
                raise SpecError(f"{one.model!r} is no candidate; allowed: {', '.join(self.policy.models)}")

    def __len__(self) -> int:
        """Return the number of arrivals, n."""
        return len(self.arrival_s)

    @cached_property
    def request_ids(self) -> tuple[str, ...]:
        """Names of the n arrivals."""
        return tuple(f"load {self.seed} {at}" for at in range(len(self)))

    @cached_property
    def luck(self) -> Floats:
        """Draws of second calls, (n, r): one for each retry that a request may have, and one more."""
        width = self.policy.guards.retry.max_retries + 1
        return np.random.default_rng(self.seed).random((len(self), width))

    @cached_property
    def choices(self) -> NDArray[np.int8]:
        """What the policy chooses when a subset of the candidates is barred; see `choices_without`."""
        return choices_without(self.beliefs, self.policy) if self.table is None else self.table

    @property
    def timeout_s(self) -> Floats:
        """Timeouts, (m,) s; infinite where there is none."""
        limits = [candidate.timeout_ms for candidate in self.policy.candidates]
        return np.array([np.inf if limit is None else limit / 1000 for limit in limits])

    @property
    def offered_rate(self) -> float:
        """Requests per second over the span of the arrivals."""
        return (len(self) - 1) / max(float(self.arrival_s[-1] - self.arrival_s[0]), 1e-9)

    def but(self, **changes: object) -> System:
        """Return the system with some parts exchanged."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def befalls(self) -> tuple[NDArray[np.int64], Floats]:
        """Return the incidents as arrays: (k, 2) kind (0 fails, 1 hangs, 2 slow) and column; (k, 3) from, to, value."""
        kinds, spans = [], []
        for one in self.incidents:
            column = self.policy.models.index(one.model)
            if isinstance(one, Slowdown):
                kinds.append((2, column))
                spans.append((one.start_s, one.end_s, one.factor))
            else:
                kinds.append((0 if one.fails_ms is not None else 1, column))
                spans.append((one.start_s, one.end_s, (one.fails_ms or 0.0) / 1000))
        return np.array(kinds, dtype=np.int64).reshape(-1, 2), np.array(spans, dtype=np.float64).reshape(-1, 3)


def choices_without(beliefs: Beliefs, policy: Policy) -> NDArray[np.int8]:
    """Return what a policy chooses for b requests when a subset of its m candidates is barred, (2^m, b).

    Bit j of the row stands for column j; where all are barred that a request may have, none of them is, as in
    `pointsman.guards.choosing`.
    """
    m = len(policy.candidates)
    table = np.empty((1 << m, len(beliefs.intent)), dtype=np.int8)
    for mask in range(1 << m):
        eligible = beliefs.eligible.copy()
        eligible[[j for j in range(m) if mask >> j & 1]] = False
        nobody = ~eligible.any(axis=0)
        eligible[:, nobody] = beliefs.eligible[:, nobody]
        table[mask] = decide(replace(beliefs, eligible=eligible), policy.rule)
    return table


def places_of(policy: Policy, given: dict[str, int] | None = None) -> NDArray[np.int64]:
    """Return the places of each candidate, (m,): as given, else the policy's concurrency; 0 for no limit."""
    known: Sequence[int] = [
        (given or {}).get(candidate.name, candidate.concurrency or 0) for candidate in policy.candidates
    ]
    return np.array(known, dtype=np.int64)
