"""The sidecar as a process: listens, and on SIGTERM drains, finishes what is under way, and stops."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

import uvicorn

from pointsman.errors import PointsmanError
from pointsman.serve.app import make_app
from pointsman.serve.settings import ServeSettings, is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

    from pointsman.router import Router
    from pointsman.serve.sidecar import Sidecar

__all__ = ["SidecarServer", "listen", "serve"]

logger = logging.getLogger("pointsman.serve")

KEEP_ALIVE_S = 75
"""Longer than gateways keep idle connections, so that it is they who close them."""
BACKLOG = 2048


class SidecarServer(uvicorn.Server):
    """uvicorn, with a time between the signal and the end in which it still serves.

    Load balancers see ``/readyz`` fail, clients see their connections not kept; a second signal ends that time.
    """

    def __init__(self, config: uvicorn.Config, sidecar: Sidecar) -> None:
        super().__init__(config)
        self._sidecar = sidecar
        self._drained_at = float("inf")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; at the second signal stop, at the third at once."""
        del frame
        if not self._sidecar.draining:
            self._sidecar.draining = True
            self._drained_at = time.monotonic() + self._sidecar.settings.drain_s
            logger.warning("%s: no longer ready, stopping soon", signal.Signals(sig).name)
        elif not self.should_exit:
            self.should_exit = True
        else:
            self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Tell whether it is time to stop."""
        if time.monotonic() >= self._drained_at:
            self.should_exit = True
        return await super().on_tick(counter)


def serve(router: Router, settings: ServeSettings | None = None, candidates: Iterable[str] = ()) -> None:
    """Serve a router until a signal comes, then close it; see `make_app` for the parameters.

    Raises
    ------
    PointsmanError
        Where the address is not to be had.
    """
    settings = settings or ServeSettings()
    try:
        with listen(settings.host, settings.port) as listener:
            app = make_app(router, settings, candidates)
            host, port = listener.getsockname()[:2]
            where = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            sys.stderr.write(f"pointsman: serving bundle {router.version} on {where}\n")
            if not is_loopback(settings.host):
                sys.stderr.write(
                    f"pointsman: warning: {settings.host} is not loopback: whoever reaches it may ask for decisions, "
                    "report outcomes and read the policy, without encryption\n"
                )
            if settings.token is None:
                sys.stderr.write("pointsman: no token: /kill, /restore, /reload and /rollback answer 403\n")
            config = uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                ws="none",
                lifespan="on",
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                limit_concurrency=settings.max_connections,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=max(1, round(settings.grace_s)),
            )
            SidecarServer(config, app.state.sidecar).run(sockets=[listener])
    finally:
        router.close()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; raise PointsmanError where that is not to be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Told that it is TCP, asyncio turns Nagle's delay off; otherwise an answer waits 40 ms for the client's ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, UnicodeError) as error:
        listener.close()
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PointsmanError(f"serve: cannot listen on {host} port {port}: {why}") from error
    return listener
