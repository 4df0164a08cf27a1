"""A sidecar in a real uvicorn server on a free port of loopback, and clients for it."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.router import Router

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import httpx2 as httpx

TOKEN = "a-token-of-these-tests"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}


class Blocking:
    """A router whose decisions wait until they are let go."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self.entered = threading.Semaphore(0)
        self.go = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._router, name)

    def route_batch(self, *args: Any, **facts: Any) -> Any:
        self.entered.release()
        assert self.go.wait(10)
        return self._router.route_batch(*args, **facts)


@contextmanager
def running(router: Any, **settings: Any) -> Iterator[httpx.Client]:
    """Serve on a free port in a thread; close the router at the end."""
    import httpx2 as httpx
    import uvicorn

    from pointsman.serve.app import make_app
    from pointsman.serve.server import SidecarServer, listen
    from pointsman.serve.settings import ServeSettings

    candidates = settings.pop("candidates", ())
    app = make_app(router, ServeSettings(**{"token": TOKEN, **settings}), candidates)
    with listen("127.0.0.1", 0) as listener:
        config = uvicorn.Config(app, log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=10)
        server = SidecarServer(config, app.state.sidecar)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.005)
            port = listener.getsockname()[1]
            limits = httpx.Limits(max_connections=100)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, limits=limits) as client:
                client.app = app  # type: ignore[attr-defined]
                yield client
        finally:
            server.should_exit = True
            thread.join()
            router.close()


@pytest.fixture(scope="session")
def serving() -> Callable[..., AbstractContextManager[httpx.Client]]:
    return running


@pytest.fixture(scope="module")
def sidecar(tiny_bundle: Path) -> Iterator[httpx.Client]:
    """One for tests that leave it as it was."""
    for name in ("fastapi", "prometheus_client", "httpx2"):
        pytest.importorskip(name, reason=f"the sidecar's tests need {name}")
    with running(Router.load(tiny_bundle), bundle=str(tiny_bundle)) as client:
        yield client


@pytest.fixture
def blocking() -> type[Blocking]:
    return Blocking
