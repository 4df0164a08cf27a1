"""Guards at work: which candidates a request may have now, and what its answer teaches; safe between threads.

Standard library only. The router and the replay of traffic call the same functions, each with its own clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pointsman.guards.circuit import Answer, Circuit
from pointsman.guards.retrying import RetryBudget, delays_ms
from pointsman.guards.spending import Spending, throttled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointsman.guards.ledger import Ledger
    from pointsman.guards.settings import GuardSettings
    from pointsman.policy import Candidate

__all__ = ["BREAKER", "BUDGET", "CONCURRENCY", "Bar", "Guards"]

BREAKER, BUDGET, CONCURRENCY = "breaker", "budget", "concurrency"

_PARTS = 12
"""Buckets of a rolling window."""


class Bar(NamedTuple):
    """Why a candidate is not to be had: breaker, budget or concurrency, and in words."""

    kind: str
    why: str


class Guards:
    """The guards of one policy, on a ledger that may serve several.

    Parameters
    ----------
    settings : GuardSettings
    candidates : sequence of Candidate
        Cheap to dear: columns are positions in it.
    ledger : Ledger
    """

    def __init__(self, settings: GuardSettings, candidates: Sequence[Candidate], ledger: Ledger) -> None:
        self.settings = settings
        self.ledger = ledger
        self._candidates = tuple(candidates)
        self._columns = {candidate.name: column for column, candidate in enumerate(self._candidates)}
        breaker = settings.breaker
        self._late_ms = [breaker.late_ms or candidate.timeout_ms for candidate in self._candidates]
        with ledger.lock:
            window = ledger.window(breaker.window_s, _PARTS) if breaker.trips else None
            self._circuits = [
                None if window is None else Circuit(candidate.name, breaker, window, ledger.circuits)
                for candidate in self._candidates
            ]
            self._leases = [
                ledger.leases(candidate.name, (candidate.timeout_ms or settings.lease_ms) / 1000)
                for candidate in self._candidates
            ]
            self._spending = Spending(settings.budget, ledger.window) if settings.budget.limits else None
            retry = settings.retry
            self._retries = RetryBudget(retry, ledger.window(retry.window_s, _PARTS)) if retry.max_retries else None
        self.spends = self._spending is not None

    def bars(self, request_ids: Sequence[str]) -> list[dict[int, Bar]] | None:
        """Return which columns each request may not have now; None where all may have all.

        The same for every request of the batch, except what its id decides (the budget's throttle).
        """
        self.ledger.refresh()
        with self.ledger.lock:
            common = {column: bar for column in range(len(self._candidates)) if (bar := self._barred(column))}
            x, words = self._spending.squeeze(self.ledger.wall()) if self._spending else (0.0, "")
        if x <= 0:
            return [common] * len(request_ids) if common else None
        budget = Bar(BUDGET, words)
        count = len(self._candidates)
        return [{**dict.fromkeys(throttled(one, x, count), budget), **common} for one in request_ids]

    def barred(self, model: str) -> Bar | None:
        """Return why a candidate takes no request now, whatever the budget says; None where it does."""
        with self.ledger.lock:
            return self._barred(self._columns[model])

    def admit(
        self, request_id: str, column: int, expected_usd: float | None, *, again: bool = False, force: bool = False
    ) -> Bar | None:
        """Send a request to a candidate: take its place there and set aside what it is expected to cost.

        Parameters
        ----------
        request_id : str
        column : int
        expected_usd : float or None
        again : bool
            Where it is a further attempt of a request that was admitted before.
        force : bool
            Where it goes there whatever the guards say: nothing else is left.

        Returns
        -------
        Bar or None
            Why it cannot, where another thread was faster; None where it was admitted.
        """
        with self.ledger.lock:
            bar = None if force else self._barred(column)
            if bar is not None:
                return bar
            wall = self.ledger.wall()
            circuit, probe = self._circuits[column], None
            if circuit is not None and circuit.phase(wall) == "half_open":
                probe = circuit.state.epoch
            if probe is not None or self._candidates[column].concurrency is not None:
                self._leases[column].take(request_id, self.ledger.monotonic(), probe)
            if self._retries is not None and not again:
                self._retries.count_request(wall)
            if self._spending is not None and expected_usd:
                self._spending.add(expected_usd, wall)
            return None

    def report(
        self,
        request_id: str,
        model: str,
        *,
        ok: bool,
        timed_out: bool = False,
        latency_ms: float | None = None,
        cost_usd: float | None = None,
        expected_usd: float | None = None,
    ) -> None:
        """Learn from an answer; one of a model that is no candidate is passed over.

        Parameters
        ----------
        request_id, model : str
            As admitted.
        ok, timed_out : bool
        latency_ms, cost_usd : float or None
            Measured; None where unknown.
        expected_usd : float or None
            As set aside when it was admitted; the difference is put right.
        """
        column = self._columns.get(model)
        if column is None:
            return
        with self.ledger.lock:
            lease = self._leases[column].release(request_id)
            wall = self.ledger.wall()
            circuit, limit = self._circuits[column], self._late_ms[column]
            if circuit is not None:
                late = True if timed_out else None if latency_ms is None or limit is None else latency_ms > limit
                circuit.record(Answer(ok, late, cost_usd, expected_usd), wall, None if lease is None else lease.probe)
            if self._spending is not None and cost_usd is not None:
                self._spending.add(cost_usd - (expected_usd or 0.0), wall)
        self.ledger.refresh()

    def delays_ms(self, request_id: str) -> tuple[float, ...]:
        """Return the delays before each retry that a new request may have, ms; none where the retry budget is used."""
        return self.drawn_ms(request_id) if self.retries_left() else ()

    def retries_left(self) -> bool:
        """Whether the retry budget has room for one more."""
        if self._retries is None:
            return False
        with self.ledger.lock:
            return self._retries.left(self.ledger.wall())

    def drawn_ms(self, request_id: str) -> tuple[float, ...]:
        """Return the delays before each retry, ms, that a request's id draws, whatever the budget."""
        return delays_ms(self.settings.retry, request_id)

    def retry(self) -> bool:
        """Take one retry out of the retry budget; return whether there was one."""
        if self._retries is None:
            return False
        with self.ledger.lock:
            return self._retries.take(self.ledger.wall())

    def status(self) -> dict[str, Any]:
        """Return what the guards know now, as plain JSON values.

        ``models``: of each the circuit's ``phase`` and ``why``, ``under_way`` (null without a concurrency limit) and
        ``expired``; ``spent_usd`` by span; ``squeeze`` (0..1); ``store_away``, ``store_failures``.
        """
        with self.ledger.lock:
            wall, now = self.ledger.wall(), self.ledger.monotonic()
            models = {}
            for candidate, circuit, leases in zip(self._candidates, self._circuits, self._leases, strict=True):
                models[candidate.name] = {
                    "phase": "closed" if circuit is None else circuit.phase(wall),
                    "why": "" if circuit is None else circuit.state.why,
                    "under_way": None if candidate.concurrency is None else leases.under_way(now),
                    "expired": leases.expired,
                }
            return {
                "models": models,
                "spent_usd": {} if self._spending is None else self._spending.spent(wall),
                "squeeze": 0.0 if self._spending is None else self._spending.squeeze(wall)[0],
                "store_away": self.ledger.store_away,
                "store_failures": self.ledger.store_failures,
            }

    def _barred(self, column: int) -> Bar | None:
        circuit = self._circuits[column]
        if circuit is not None and circuit.state.is_open:
            phase, state = circuit.phase(self.ledger.wall()), circuit.state
            if phase == "open":
                return Bar(BREAKER, f"its breaker is open: {state.why}")
            under_way = self._leases[column].probes(state.epoch, self.ledger.monotonic())
            if under_way >= self.settings.breaker.half_open_probes:
                return Bar(BREAKER, f"its breaker is half-open and its {under_way} probes are under way")
        limit = self._candidates[column].concurrency
        if limit is not None and self._leases[column].under_way(self.ledger.monotonic()) >= limit:
            return Bar(CONCURRENCY, f"all {limit} of its places are taken")
        return None
