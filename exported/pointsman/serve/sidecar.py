"""What a sidecar does, without HTTP: decide, learn and obey in lanes of threads, within its limits."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from pointsman.serve.errors import ProblemError
from pointsman.serve.limits import Lane
from pointsman.serve.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pointsman.decision import Decision
    from pointsman.router import Router
    from pointsman.serve.models import DecisionForm, NextRequest, ReportRequest, RouteRequest
    from pointsman.serve.settings import ServeSettings

__all__ = ["Sidecar"]

VERSIONS = 8
"""Bundles whose candidates stay known, so that late reports of theirs are taken."""


class Sidecar:
    """A router, its limits and its metrics.

    Decisions, reports and rulings (kill, reload, metrics) have a lane each: a full queue of decisions keeps neither a
    report nor the kill-switch waiting.

    Parameters
    ----------
    router : Router
        Stays the caller's to close.
    settings : ServeSettings
    candidates : iterable of str
        Models of canary and shadow bundles, which decisions may name too.

    Attributes
    ----------
    draining : bool
        Whether it is about to stop: no longer ready, though it serves.
    """

    def __init__(self, router: Router, settings: ServeSettings, candidates: Iterable[str] = ()) -> None:
        self.router = router
        self.settings = settings
        self.draining = False
        self._deciding = Lane("decisions", settings.workers, settings.max_waiting)
        self._reporting = Lane("reports", 2, max(settings.max_waiting, 64))
        self._ruling = Lane("rulings", 4, 64)
        self.metrics = Metrics(router, (self._deciding, self._reporting, self._ruling))
        self._also = frozenset(candidates)
        self._held: dict[str, tuple[str, ...]] = {}

    @property
    def safe_model(self) -> str:
        """Where a gateway may go when there is no decision."""
        return self.router.policy.safe_model

    async def decide(self, endpoint: str, requests: Sequence[RouteRequest], request_ids: list[str]) -> list[Decision]:
        """Decide together; raise BusyError where the lane has no room for all of them."""
        started = time.perf_counter()
        call = partial(
            self.router.route_batch,
            [one.text for one in requests],
            modality=[one.modality for one in requests],
            context_tokens=[one.context_tokens for one in requests],
            request_ids=request_ids,
            user_ids=[one.user_id for one in requests],
        )
        decisions = await self._deciding.run(call, len(requests))
        self.metrics.decided(endpoint, decisions, time.perf_counter() - started)
        return decisions

    async def report(self, report: ReportRequest) -> None:
        """Tell the router what came of a decision; raise ProblemError where it names no candidate."""
        decision = self._known(report.decision)
        amounts = ("latency_ms", "cost_usd", "status", "input_tokens", "output_tokens", "useful")
        told = {name: getattr(report, name) for name in amounts}
        await self._reporting.run(partial(self.router.report, decision, report.ok, **told))

    async def next(self, failed: NextRequest) -> Decision | None:
        """Return the next attempt; raise ProblemError where the decision names no candidate."""
        started = time.perf_counter()
        decision = self._known(failed.decision)
        call = partial(self.router.next, decision, failed.failure, elapsed_ms=failed.elapsed_ms)
        then = await self._reporting.run(call)
        if then is not None:
            self.metrics.decided("/next", [then], time.perf_counter() - started)
        return then

    async def measure(self) -> bytes:
        """Return the metrics."""
        return await self._ruling.run(self.metrics.text)

    async def status(self) -> dict[str, Any]:
        """Return how things stand: see `Router.status`."""
        return await self._ruling.run(self.router.status)

    async def kill(self, who: str, why: str) -> dict[str, Any]:
        """Send everything to the safe model; return how the switch stands."""

        def call() -> dict[str, Any]:
            self.router.kill(who, why)
            return self._switch()

        return await self._ruling.run(call)

    async def restore(self, who: str) -> dict[str, Any]:
        """Take the call back; return what, if anything, keeps the switch on."""

        def call() -> dict[str, Any]:
            self.router.restore(who)
            return self._switch()

        return await self._ruling.run(call)

    async def reload(self, path: str | Path) -> dict[str, Any]:
        """Serve another bundle; raise BundleError where it is not to be used."""
        return await self._ruling.run(lambda: self._changed(self.router.reload(path)))

    async def rollback(self) -> dict[str, Any]:
        """Serve the one before; raise PointsmanError where there was none."""
        return await self._ruling.run(lambda: self._changed(self.router.rollback()))

    def close(self) -> None:
        """Finish what is under way and end the threads."""
        for lane in (self._deciding, self._reporting, self._ruling):
            lane.close()

    def _known(self, form: DecisionForm) -> Decision:
        policy = self.router.policy
        self._hold(self.router.version, policy.models)
        known = {*self._also, *(name for names in self._held.values() for name in names)}
        for name in form.names:
            if name not in known:
                raise ProblemError(422, f"decision names a model that is no candidate; allowed: {_list(policy.models)}")
        return form.decision()

    def _hold(self, version: str, models: tuple[str, ...]) -> None:
        if version not in self._held:
            # Swapped whole: other threads may be reading the old one.
            self._held = dict([*self._held.items(), (version, models)][-VERSIONS:])

    def _changed(self, version: str) -> dict[str, Any]:
        return {"version": version, "previous": self.router.status()["previous"]}

    def _switch(self) -> dict[str, Any]:
        record = self.router.kill_switch.state()
        killed = None if record is None else {"who": record.who, "why": record.why, "when": record.when}
        return {"killed": killed, "safe_model": self.safe_model}


def _list(names: Sequence[str], most: int = 20) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
