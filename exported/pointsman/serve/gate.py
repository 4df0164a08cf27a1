"""The gate of the sidecar: every request gets an id, a bounded body, a count, and an answer that is JSON."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
import traceback
from typing import TYPE_CHECKING

from pointsman.serve.errors import problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pointsman.serve.sidecar import Sidecar

__all__ = ["ENDPOINTS", "Gate"]

logger = logging.getLogger("pointsman.serve")

ENDPOINTS = frozenset(
    f"/{name}"
    for name in (
        *("route", "route_batch", "report", "next", "healthz", "readyz", "metrics", "policy", "version"),
        *("kill", "restore", "reload", "rollback", "openapi.json"),
    )
)
"""Paths that metrics tell apart; all others are ``other``."""
_SAFE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_POLITE_S = 1.0
_POLITE_BODIES = 4


class _RefusedError(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Gate:
    """ASGI middleware around the endpoints.

    The body is read before anything looks at it: too long a one is refused when its length is told, or as soon as it
    is exceeded. What an endpoint fails at unexpectedly is logged by its place in the code; the text of the exception
    is not, for it may quote a prompt.
    """

    def __init__(self, app: ASGIApp, sidecar: Sidecar) -> None:
        self._app = app
        self._sidecar = sidecar
        # Names, not secrets; and unlike the system's source it does not let go of the interpreter's lock.
        self._draw = random.Random()  # noqa: S311

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope["request_id"] = _request_id(scope) or f"{self._draw.getrandbits(128):032x}"
        path = scope["path"] if scope["path"] in ENDPOINTS else "other"
        begun = False

        async def answer(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
                if self._sidecar.draining:
                    message["headers"].append((b"connection", b"close"))
                self._sidecar.metrics.answered(path, message["status"])
            await send(message)

        try:
            body = await self._body(scope, receive)
            await self._app(scope, _replayed(body, receive), answer)
        except _RefusedError as error:
            headers = {"connection": "close"} if error.status in {408, 413} and not self._sidecar.draining else None
            await problem(error.status, error.text, headers=headers)(scope, receive, answer)
        except ConnectionError:
            return
        except Exception as error:  # noqa: BLE001 -- whatever fails, the client gets an answer
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
            logger.error("%s: %s at %s, request %s", path, type(error).__name__, place, request_id)  # noqa: TRY400
            if not begun:
                text = f"internal error; the sidecar's log has it under request {request_id}"
                await problem(500, text, safe_model=self._sidecar.safe_model)(scope, receive, answer)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """Return the body, all of it."""
        if scope["method"] in {"GET", "HEAD"}:
            return b""
        most = self._sidecar.settings.max_body_bytes
        headers = dict(scope["headers"])
        told = headers.get(b"content-length", b"0")
        parts: list[bytes] = []
        length, more = int(told) if told.isdigit() else 0, True
        if length <= most:
            length = 0
            try:
                async with asyncio.timeout(self._sidecar.settings.body_timeout_s):
                    while more and length <= most:
                        message = await receive()
                        if message["type"] == "http.disconnect":
                            raise ConnectionResetError
                        parts.append(message.get("body", b""))
                        length, more = length + len(parts[-1]), message.get("more_body", False)
            except TimeoutError:
                raise _RefusedError(408, "the body did not arrive in time") from None
        if length > most:
            if more and b"expect" not in headers:
                await _discard(receive, most * _POLITE_BODIES)
            raise _RefusedError(413, f"the body is longer than {most} bytes")
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if length and kind != b"application/json":  # nothing that a web page may send without being asked
            raise _RefusedError(415, "the header Content-Type must be application/json")
        return b"".join(parts)


async def _discard(receive: Receive, most: int) -> None:
    """Take some of a refused body: a client that is cut off while it sends may not see the answer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_POLITE_S):
            while most > 0:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
                most -= len(message.get("body", b""))


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body, then whatever comes."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _request_id(scope: Scope) -> str:
    """Return the client's X-Request-ID where it is safe to pass on, or else nothing."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            if _SAFE_ID.fullmatch(text):
                return str(text)
    return ""
