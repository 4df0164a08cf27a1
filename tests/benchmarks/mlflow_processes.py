"""Real MLflow processes on loopback, for tests and benchmarks: a tracking server, and a model served."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import urlopen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["free_port", "model_server", "tracking_server", "ui"]

PATIENCE_S = 240
"""MLflow starts in seconds on a quiet machine; shared cores may take minutes."""


@contextmanager
def tracking_server(folder: Path) -> Iterator[str]:
    """Start ``mlflow server`` with a SQLite store and artifacts in `folder`; yield its address."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["server", "--workers", "1", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    with _running([*words, "--artifacts-destination", str(folder / "artifacts")], folder, "/health") as url:
        yield url


@contextmanager
def ui(store: str, folder: Path) -> Iterator[str]:
    """Start ``mlflow ui`` on a store; yield its address."""
    with _running(["ui", "--workers", "1", "--backend-store-uri", store], folder, "/health") as url:
        yield url


@contextmanager
def model_server(model: str, store: str, folder: Path) -> Iterator[str]:
    """Start ``mlflow models serve`` in this environment; yield its address."""
    # MLflow looks for the web server beside other programs, not beside its own Python.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    more = {"MLFLOW_TRACKING_URI": store, "PATH": path}
    words = ["models", "serve", "-m", model, "--env-manager", "local", "--workers", "1"]
    with _running(words, folder, "/ping", more) as url:
        yield url


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(words: Sequence[str], folder: Path, health: str, more: Mapping[str, str] | None = None) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "mlflow", *words, "--host", "127.0.0.1", "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    # Its jobs (scheduled scorers) are seven processes more, which nobody here needs.
    environment |= {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
        **(more or {}),
    }
    with (folder / "mlflow.log").open("w") as log:
        fixed: dict[str, Any] = {
            "stdout": log,
            "stderr": log,
            "cwd": folder,
            "env": environment,
            "start_new_session": True,
        }
        process = subprocess.Popen(command, **fixed)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(f"{url}{health}", process, folder / "mlflow.log")
            yield url
        finally:
            # The whole group: MLflow leaves the work to children of its own.
            for kill in (signal.SIGTERM, signal.SIGKILL):
                with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                    os.killpg(process.pid, kill)
                    process.wait(20)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"MLflow ended with {process.returncode}: {log.read_text()[-2000:]}")
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise TimeoutError(f"{url} did not answer in {PATIENCE_S} s: {log.read_text()[-2000:]}")
