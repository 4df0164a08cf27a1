"""The sidecar as a process: its options, what it needs installed, and how it stops."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.errors import PointsmanError
from pointsman.guards.ledger import Ledger
from pointsman.router import Router

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

httpx = pytest.importorskip("httpx2", reason="the sidecar's tests need httpx2")
for _name in ("fastapi", "prometheus_client"):
    pytest.importorskip(_name, reason="the extra serve is not installed")

SOURCES = [str(Path(__file__).parents[3] / wing) for wing in ("features", "training", "policies", "exported")]
SECRET = "xyzzy-plugh-secret-prompt"
COMMAND = """
import argparse, sys
from pointsman.commands import serve
parser = argparse.ArgumentParser()
serve.add_arguments(parser)
sys.exit(serve.run(parser.parse_args()))
"""
SLOW = """
import sys, time
from pointsman.router import Router
from pointsman.decision_log import DecisionLog
from pointsman.serve.server import serve
from pointsman.serve.settings import ServeSettings
class Slow(Router):
    def route_batch(self, *args, **facts):
        time.sleep(0.05)
        return super().route_batch(*args, **facts)
serve(Slow.load(sys.argv[1], log=DecisionLog(sys.argv[2])), ServeSettings(port=0, drain_s=float(sys.argv[3])))
"""


class Process:
    """A sidecar in a process of its own."""

    def __init__(self, script: str, *words: object, **environment: str) -> None:
        path = os.pathsep.join(SOURCES)
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, words)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment},
        )
        assert self.process.stderr is not None
        self.lines = [self.process.stderr.readline()]
        assert "serving bundle" in self.lines[0], self.lines[0] + self.process.stderr.read()
        self.url = self.lines[0].split()[-1]
        while httpx.get(f"{self.url}/readyz").status_code != 200:
            time.sleep(0.01)

    def stop(self) -> int:
        assert self.process.stderr is not None
        self.process.send_signal(signal.SIGTERM)
        # Not communicate(): it passes over lines that came with the first one and wait in the buffer.
        self.lines += self.process.stderr.read().splitlines()
        return self.process.wait(timeout=30)


@pytest.fixture
def starting() -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start(script: str, *words: object, **environment: str) -> Process:
        started.append(Process(script, *words, **environment))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


@pytest.mark.parametrize("drain_s", [0.4, 0.0])
def test_stopped_under_load_it_loses_no_accepted_request(
    tiny_bundle: Path, tmp_path: Path, starting: Callable[..., Process], drain_s: float
) -> None:
    """Every decision that was made was answered and logged; who heeds the drained sidecar's word is not cut off."""
    log = tmp_path / "log"
    sidecar = starting(SLOW, tiny_bundle, log, drain_s)
    answers: list[Any] = []
    cut: list[Exception] = []

    def ask(client: Any) -> None:
        while True:
            try:
                answers.append(client.post("/route", json={"text": SECRET}))
                if answers[-1].headers.get("connection") == "close":
                    return
            except httpx.ConnectError:
                return
            except httpx.TransportError as error:
                cut.append(error)
                return

    clients = [httpx.Client(base_url=sidecar.url, timeout=20) for _ in range(6)]
    threads = [threading.Thread(target=ask, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    while len(answers) < 30:
        time.sleep(0.005)
    sidecar.process.send_signal(signal.SIGTERM)
    if drain_s:
        time.sleep(0.1)
        ready = httpx.get(f"{sidecar.url}/readyz")
        assert (ready.status_code, ready.json()["error"]) == (503, "shutting down")
        assert ready.headers["connection"] == "close"
    _, words = sidecar.process.communicate(timeout=30)
    for thread in threads:
        thread.join()
    for client in clients:
        client.close()
    assert sidecar.process.returncode == 0, words
    assert {answer.status_code for answer in answers} == {200}
    logged = [json.loads(line)["request_id"] for line in log.read_text(encoding="utf-8").splitlines()]
    assert sorted(logged) == sorted(answer.json()["request_id"] for answer in answers)
    assert SECRET not in words + log.read_text(encoding="utf-8")
    if drain_s:
        assert not cut


def test_a_second_signal_ends_the_draining(tiny_bundle: Path, tmp_path: Path, starting: Callable[..., Process]) -> None:
    sidecar = starting(SLOW, tiny_bundle, tmp_path / "log", 3600)
    sidecar.process.send_signal(signal.SIGTERM)
    while httpx.get(f"{sidecar.url}/readyz").status_code == 200:
        time.sleep(0.01)
    assert httpx.post(f"{sidecar.url}/route", json={"text": "hello"}).status_code == 200, "it still serves"
    assert sidecar.stop() == 0


def test_the_command_and_its_options(
    tiny_bundle: Path, other: Path, tmp_path: Path, starting: Callable[..., Process]
) -> None:
    log, kill, token = tmp_path / "log", tmp_path / "kill", tmp_path / "token"
    token.write_text("a-token-in-this-file\n", encoding="ascii")
    words = ["--bundle", tiny_bundle, "--port", 0, "--drain", 0, "--log", log, "--kill-file", kill]
    words += ["--token-file", token, "--canary", f"{other}:0.5", "--shadow", f"{other}:1", "--max-waiting", 3]
    sidecar = starting(COMMAND, *words)
    with httpx.Client(base_url=sidecar.url) as client:
        status = client.get("/version").json()
        assert (status["canary"]["share"], status["shadow"]["share"]) == (0.5, 1.0)
        told = [client.post("/route", json={"text": SECRET, "request_id": f"r{at}"}).json() for at in range(20)]
        assert {one["version"] for one in told} == {status["version"], status["canary"]["version"]}
        assert client.post("/report", json={"decision": told[0], "ok": True}).status_code == 204
        kill.write_text("ops: drill", encoding="utf-8")
        assert client.post("/route", json={"text": SECRET}).json()["killed"]
        answer = client.post("/restore", headers={"Authorization": "Bearer a-token-in-this-file"})
        assert answer.json()["killed"]["who"] == "ops"
        assert client.post("/route_batch", json={"requests": [{"text": "x"}] * 4}).status_code == 413
    assert sidecar.stop() == 0
    words_told = "\n".join(sidecar.lines)
    assert "127.0.0.1" in sidecar.lines[0]
    assert "loopback" not in words_told
    assert SECRET not in words_told
    text = log.read_text(encoding="utf-8")
    assert SECRET not in text
    events = [json.loads(line)["event"] for line in text.splitlines()]
    assert (events.count("decision"), events.count("outcome")) == (21, 1)
    assert events.count("shadow") >= 20, "written before it stopped"


def test_open_to_others_it_says_so_and_prompts_are_logged_on_request(
    tiny_bundle: Path, tmp_path: Path, starting: Callable[..., Process]
) -> None:
    words = ["--bundle", tiny_bundle, "--host", "0.0.0.0", "--port", 0, "--drain", 0]
    log = tmp_path / "log"
    sidecar = starting(COMMAND, *words, "--log", log, "--log-prompts", POINTSMAN_TOKEN="")
    httpx.post(f"{sidecar.url}/route", json={"text": SECRET})
    assert httpx.post(f"{sidecar.url}/kill").status_code == 403
    assert sidecar.stop() == 0
    assert any("0.0.0.0 is not loopback" in line for line in sidecar.lines)
    assert any("answer 403" in line for line in sidecar.lines)
    assert json.loads(log.read_text(encoding="utf-8"))["prompt"] == SECRET


def test_it_needs_its_own_extra_alone(tiny_bundle: Path) -> None:
    blocked = "import sys\nfor name in {}: sys.modules[name] = None\n"
    train = ["torch", "pandas", "sklearn", "mlflow", "optuna", "scipy", "yaml", "onnx", "pyarrow", "rich"]
    script = blocked.format(train) + "import pointsman.commands.serve, pointsman.serve.server\n"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(SOURCES)}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment, timeout=60)
    for name in ("fastapi", "uvicorn", "prometheus_client"):
        words = [sys.executable, "-c", blocked.format([name]) + COMMAND, "--bundle", str(tiny_bundle)]
        done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=60, check=False)
        assert f"MissingExtraError: {name} is not installed: pip install 'pointsman[serve]'" in done.stderr


def test_options_that_cannot_be(tiny_bundle: Path, tmp_path: Path) -> None:
    import argparse

    from pointsman.commands import serve

    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for words, error in (
            (["--port", port], f"serve: cannot listen on 127.0.0.1 port {port}: "),
            (["--host", "no such host"], "serve: cannot listen on no such host"),
            (["--port", "65536"], "port is 65536"),
            (["--threads", "0"], "threads is 0"),
            (["--workers", "0"], "workers is 0"),
            (["--canary", str(tiny_bundle)], "--canary is .*; PATH:SHARE is needed"),
            (["--shadow", f"{tiny_bundle}:1.5"], "--shadow is .*; PATH:SHARE is needed"),
            (["--shadow", f"{tiny_bundle}:nan"], "--shadow is .*; PATH:SHARE is needed"),
            (["--token-file", str(tmp_path / "none")], "the token cannot be read"),
            (["--log", str(tmp_path / "none" / "log")], "the decision log cannot be opened"),
        ):
            with pytest.raises(PointsmanError, match=error):
                serve.run(parser.parse_args(["--bundle", str(tiny_bundle), *words]))


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not on the PATH")
def test_two_sidecars_on_one_redis_share_the_switch_and_outlive_it(
    tiny_bundle: Path, starting: Callable[..., Process]
) -> None:
    pytest.importorskip("redis", reason="the extra redis is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    redis = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        options = ["--bundle", tiny_bundle, "--port", 0, "--drain", 0, "--redis", f"redis://127.0.0.1:{port}/0"]
        token = "a-token-for-both-of-them"
        one, two = (starting(COMMAND, *options, POINTSMAN_TOKEN=token) for _ in range(2))
        headers = {"Authorization": f"Bearer {token}"}
        while httpx.get(f"{one.url}/version").json()["guards"]["store_away"]:
            time.sleep(0.05)

        def decision(sidecar: Process) -> dict[str, Any]:
            answer = httpx.post(f"{sidecar.url}/route", json={"text": "hello"})
            assert answer.status_code == 200
            found: dict[str, Any] = answer.json()
            return found

        assert not decision(two)["killed"]
        assert httpx.post(f"{one.url}/kill", headers=headers, json={"who": "ana"}).status_code == 200
        assert decision(two)["killed"]
        redis.kill()
        redis.wait()
        assert decision(one)["killed"]
        assert decision(two)["killed"], "what was known holds while the store is away"
        assert httpx.post(f"{two.url}/restore", headers=headers).json()["killed"] is None
        assert not decision(two)["killed"]
        assert "pointsman_store_away 1.0" in httpx.get(f"{two.url}/metrics").text
        assert one.stop() == two.stop() == 0
    finally:
        redis.kill()
        redis.wait()


def test_answers_do_not_wait_for_an_ack() -> None:
    """Of a socket that is told to be TCP asyncio turns Nagle's delay off."""
    from pointsman.serve.server import listen

    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()) as client:
        accepted, _ = listener.accept()
        assert accepted.proto == socket.IPPROTO_TCP
        accepted.close()
        client.close()


def test_a_router_made_by_hand_is_served_too(tiny_bundle: Path, serving: Callable[..., Any]) -> None:
    with serving(Router.load(tiny_bundle, ledger=Ledger()), token=None) as client:
        assert client.post("/route", json={"text": "hello"}).status_code == 200
