"""The external processor: a gRPC service that asks the router about each request that Envoy shows it, and fails open.

Whatever goes wrong here, the request goes on, to the policy's safe model.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from pointsman.errors import MissingExtraError, PointsmanError
from pointsman.gateways.envoy.exchange import Exchange, Outcome
from pointsman.gateways.envoy.settings import ProcessorSettings

try:
    import grpc
    from envoy.service.ext_proc.v3 import external_processor_pb2_grpc as service
except ModuleNotFoundError as error:
    raise MissingExtraError((error.name or "grpcio").partition(".")[0], "envoy") from error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pointsman.decision import Decision
    from pointsman.gateways.envoy.request import LlmRequest
    from pointsman.router import Router

__all__ = ["ExternalProcessor", "start"]

logger = logging.getLogger("pointsman.envoy")

ROOM_BYTES = 64 * 1024 * 1024
"""How much longer than the longest body that is read a gRPC message may be: Envoy sends all that it has buffered."""


class ExternalProcessor(service.ExternalProcessorServicer):  # type: ignore[misc, unused-ignore]
    """Envoy's ``envoy.service.ext_proc.v3.ExternalProcessor``, asking a router; for one event loop.

    Parameters
    ----------
    router : Router
    settings : ProcessorSettings, optional
    clock : callable
        Seconds, never going back.

    Attributes
    ----------
    failures : dict of str to int
        How often requests went to the safe model without a decision, by reason.
    """

    def __init__(
        self,
        router: Router,
        settings: ProcessorSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.router = router
        self.settings = ProcessorSettings() if settings is None else settings
        self.failures: dict[str, int] = {}
        self._clock = clock
        self._under_way: set[str] = set()
        self._tasks: set[asyncio.Future[Any]] = set()
        self._waiting = 0

    async def Process(  # noqa: N802 -- the protocol's name
        self, request_iterator: AsyncIterator[Any], context: Any
    ) -> AsyncIterator[Any]:
        """Answer the messages of one request."""
        del context
        exchange = Exchange(self.settings, self._decide, self._safe_model, self._report, self._clock)
        try:
            async for message in request_iterator:
                for answer in await exchange.answer(message):
                    yield answer
        finally:
            exchange.close()

    async def settle(self) -> None:
        """Wait until the router knows the outcome of every request that has ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _safe_model(self) -> str:
        return self.router.policy.safe_model

    async def _decide(self, request: LlmRequest, request_id: str) -> Decision | str:
        """Return the decision, or in words why there is none; never raise."""
        if self._waiting >= self.settings.max_waiting:
            return self._failed("too many requests wait for a decision")
        one = request_id if request_id and request_id not in self._under_way else secrets.token_hex(16)
        self._under_way.add(one)
        self._waiting += 1
        prompt, modality, tokens = request.chat
        asked = self.router.aroute(prompt, modality=modality, context_tokens=tokens, request_id=one)
        task = asyncio.ensure_future(asked)
        task.add_done_callback(self._no_longer_waiting)
        await asyncio.wait({task}, timeout=self.settings.decide_ms / 1000)
        if not task.done():
            self._keep(task)
            task.add_done_callback(partial(self._too_late, one))
            return self._failed("the decision took too long")
        try:
            return task.result()
        except Exception as error:  # noqa: BLE001 -- no fault of ours may stop a request
            self._under_way.discard(one)
            logger.warning("no decision: %s", error if isinstance(error, PointsmanError) else type(error).__name__)
            return self._failed("the router failed")

    def _failed(self, why: str) -> str:
        self.failures[why] = self.failures.get(why, 0) + 1
        return why

    def _no_longer_waiting(self, _: asyncio.Future[Any]) -> None:
        self._waiting -= 1

    def _too_late(self, request_id: str, task: asyncio.Future[Decision]) -> None:
        """Give back what a decision took that nobody waited for."""
        if task.cancelled() or task.exception() is not None:
            self._under_way.discard(request_id)
        else:
            self._tell(task.result(), ok=True, status="abandoned", cost_usd=0.0)

    def _report(self, outcome: Outcome) -> None:
        decision = outcome.decision
        answered = outcome.status is not None
        latency_ms = (self._clock() - outcome.started) * 1000 if answered else None
        self._tell(decision, ok=outcome.ok, status=outcome.word, latency_ms=latency_ms)

    def _tell(self, decision: Decision, **outcome: Any) -> None:
        """Report on a thread: a log or a store may take its time."""
        task = asyncio.ensure_future(asyncio.to_thread(self._told, decision, outcome))
        task.add_done_callback(lambda _: self._under_way.discard(decision.request_id))
        self._keep(task)

    def _told(self, decision: Decision, outcome: dict[str, Any]) -> None:
        try:
            self.router.report(decision, **outcome)
        except Exception:
            logger.exception("an outcome was not reported")

    def _keep(self, task: asyncio.Future[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def start(processor: ExternalProcessor, address: str) -> tuple[Any, int]:
    """Serve at ``host:port`` (port 0 for any free one) or ``unix:PATH``; return the gRPC server and its port.

    Raises
    ------
    PointsmanError
        Where the address cannot be had.
    """
    longest = processor.settings.max_body_bytes + ROOM_BYTES
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", longest),
            ("grpc.max_send_message_length", longest),
            ("grpc.so_reuseport", 0),
        ]
    )
    service.add_ExternalProcessorServicer_to_server(processor, server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise PointsmanError(f"cannot listen on {address}: {error}") from error
    await server.start()
    return server, port
