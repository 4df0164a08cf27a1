"""LiteLLM's real proxy, in a process of its own, routes between mock upstreams by a bundle; all on loopback."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.bundle import load_bundle, write_bundle
from pointsman.conformance import PROMPTS
from pointsman.gateways.render_litellm import render_litellm
from pointsman.guards.settings import Breaker, Budget, GuardSettings, Retry
from pointsman.policy import Candidate, Fallback
from pointsman.readers.litellm import READER
from pointsman.router import Router

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pointsman.policy import Policy

ROOT = Path(__file__).parents[3]
CONFIG = Path(__file__).parent / "proxy_config"
SOURCES = [str(ROOT / wing) for wing in ("features", "policies", "exported")]
STARTING_S = 180
MASTER_KEY = f"sk-{secrets.token_hex(32)}"
"""LiteLLM starts with none that is weak."""


def litellm_python() -> str:
    """Return a Python that has LiteLLM's proxy; skip the test where there is none."""
    named = os.environ.get("POINTSMAN_LITELLM_PYTHON")
    if named:
        return named
    if importlib.util.find_spec("litellm") is None or importlib.util.find_spec("fastapi_sso") is None:
        pytest.skip("litellm[proxy] is not installed and POINTSMAN_LITELLM_PYTHON names no Python that has it")
    return sys.executable


def environment(**more: str) -> dict[str, str]:
    """Return an environment without a network: whatever is called outside of loopback goes nowhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("POINTSMAN_", "LITELLM_"))}
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    local = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
    own = {"PYTHONPATH": os.pathsep.join(SOURCES), "LITELLM_LOCAL_MODEL_COST_MAP": "True", "OMP_WAIT_POLICY": "PASSIVE"}
    own["LITELLM_MASTER_KEY"] = MASTER_KEY
    return {**kept, **nowhere, **local, **own, **more}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Upstream:
    """A model of the OpenAI API that answers with its own name, or with an error."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.status = 200
        self.delay_s = 0.0
        self.bodies: list[dict[str, Any]] = []
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                upstream.bodies.append(body)
                if upstream.delay_s:
                    upstream.woken.wait(upstream.delay_s)
                if upstream.status != 200:
                    self._send(upstream.status, json.dumps({"error": {"message": "out of order"}}).encode())
                elif body.get("stream"):
                    self._send(200, upstream.streamed(), "text/event-stream")
                else:
                    self._send(200, json.dumps(upstream.answer()).encode())

            def _send(self, status: int, data: bytes, kind: str = "application/json") -> None:
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", kind)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:  # the caller no longer waits
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        self.woken = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self) -> dict[str, Any]:
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": self.name,
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": f"I am {self.name}"}}
            ],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500},
        }

    def streamed(self) -> bytes:
        deltas: list[tuple[dict[str, str], str | None]] = [
            ({"role": "assistant", "content": "I am "}, None),
            ({"content": self.name}, None),
            ({}, "stop"),
        ]
        chunks = [
            {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": self.name,
                "choices": [{"index": 0, "delta": delta, "finish_reason": end}],
            }
            for delta, end in deltas
        ]
        return "".join(f"data: {one}\n\n" for one in [*map(json.dumps, chunks), "[DONE]"]).encode()

    def close(self) -> None:
        self.woken.set()
        self.server.shutdown()
        self.server.server_close()


class Proxy:
    """LiteLLM's proxy with a configuration file."""

    def __init__(self, python: str, config: Path, **variables: str) -> None:
        self.port = free_port()
        self.printed = config.with_suffix(".log")
        start = "from litellm import run_server; run_server()"
        command = [python, "-c", start, "--config", str(config), "--host", "127.0.0.1", "--port", str(self.port)]
        with self.printed.open("w") as out:
            self.process = subprocess.Popen(
                command, env=environment(**variables), cwd=config.parent, stdout=out, stderr=subprocess.STDOUT
            )
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + STARTING_S
        while time.monotonic() < until and self.process.poll() is None:
            try:
                if self.request("GET", "/health/liveliness")[0] == 200:
                    return
            except OSError:
                time.sleep(0.1)
        self.close()
        raise AssertionError(f"LiteLLM's proxy did not start:\n{self.printed.read_text()}")

    def request(
        self, method: str, path: str, body: Any = None, extra: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            told = {"Content-Type": "application/json", "Authorization": f"Bearer {MASTER_KEY}", **(extra or {})}
            connection.request(method, path, None if body is None else json.dumps(body), told)
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, headers, answer.read().decode()
        finally:
            connection.close()

    def chat(self, prompt: str, extra: Mapping[str, str] | None = None, **more: Any) -> tuple[int, dict[str, str], str]:
        body = {"model": "pointsman", "messages": [{"role": "user", "content": prompt}], **more}
        return self.request("POST", "/v1/chat/completions", body, extra)

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Gateway:
    """A proxy that routes between three upstreams, with all its files in one folder."""

    def __init__(self, python: str, bundle: Path, folder: Path, way: str) -> None:
        self.bundle, self.folder = bundle, folder
        self.router = Router.load(bundle)
        policy = self.router.policy
        self.upstreams = {name: Upstream(name) for name in policy.models}
        chats = {"use_chat_completions_api": True}
        deployments = {
            name: {"model": f"openai/{name}", "api_base": upstream.url, "api_key": "sk-none"} | chats
            for name, upstream in self.upstreams.items()
        }
        rendered = render_litellm(policy, bundle=str(bundle), way=way, deployments=deployments)
        hook = "hook" if way == "hook" else "observer"
        config = folder / "config.yaml"
        own = f"- pointsman.gateways.litellm_hook.{hook}\n"
        assert own in rendered.text
        # A second callback beside ours, loaded from a file beside the configuration, as users have them.
        config.write_text(rendered.text.replace(own, f"{own}    - payloads.payloads\n"), encoding="utf-8")
        (folder / "payloads.py").write_bytes((CONFIG / "payloads.py").read_bytes())
        self.proxy = Proxy(
            python,
            config,
            POINTSMAN_KILL_FILE=str(folder / "kill"),
            POINTSMAN_LOG=str(folder / "decisions.jsonl"),
            PAYLOADS=str(folder / "payloads.jsonl"),
        )

    def prompt_for(self, model: str) -> str:
        """Return a prompt that the policy sends to that model."""
        texts = [prompt for prompt, modality, _ in PROMPTS if modality == "text" and isinstance(prompt, str)]
        texts = [text for text in texts if 0 < len(text) < 2000 and text.isprintable() and text.strip() == text]
        found = [one for one in self.router.route_batch(texts) if one.model == model]
        assert found, f"no prompt of this test goes to {model}"
        return next(text for text in texts if self.router.route(text).model == model)

    def lines(self, name: str, wanted: int, **having: Any) -> list[dict[str, Any]]:
        """Return the lines of a log that have these values, once there are enough: callbacks run after the answer."""
        until, found = time.monotonic() + 20, []
        while time.monotonic() < until:
            path = self.folder / name
            whole = path.read_text().splitlines() if path.exists() else []
            rows = [json.loads(line) for line in whole if line.endswith("}")]
            found = [row for row in rows if all(row.get(key) == value for key, value in having.items())]
            if len(found) >= wanted:
                return found
            time.sleep(0.05)
        raise AssertionError(f"{name} has {len(found)} of {wanted} lines with {having}:\n{self.printed()}")

    def printed(self) -> str:
        return self.proxy.printed.read_text()[-6000:]

    def close(self) -> None:
        self.proxy.close()
        for upstream in self.upstreams.values():
            upstream.close()


@pytest.fixture(scope="module")
def clear_bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with clear rules: each intent is pinned to a model."""
    bundle = load_bundle(tiny_bundle)
    policy = replace(
        bundle.policy,
        candidates=tuple(
            replace(one, modalities=("text", "image"), timeout_ms=20_000.0) for one in bundle.policy.candidates
        ),
        pinned_intents={"chat": "small", "code": "medium", "synthesis": "large"},
        fallbacks=(Fallback("medium", ("synthesis",)), Fallback("large", ("chat",)), Fallback("small")),
        safe_model="medium",
        guards=GuardSettings(Retry(max_retries=0)),
    )
    return write_bundle(
        tmp_path_factory.mktemp("clear") / "bundle",
        graph=bundle.read("model.onnx"),
        tokenizer_json=bundle.read("tokenizer.json").decode(),
        policy=policy,
        conformance=[],
        model_card="",
        model_io=bundle.io,
        provenance={},
        seen=[],
    )


@pytest.fixture(scope="module", params=["classifier", "hook"])
def gateway(
    request: pytest.FixtureRequest, clear_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    gateway = Gateway(litellm_python(), clear_bundle, tmp_path_factory.mktemp(request.param), request.param)
    yield gateway
    gateway.close()


def test_each_prompt_goes_to_its_model_and_the_client_is_told_why(gateway: Gateway) -> None:
    for model in ("small", "large", "medium"):
        prompt = gateway.prompt_for(model)
        status, headers, text = gateway.proxy.chat(prompt, user="u-1")
        assert status == 200, gateway.printed()
        assert json.loads(text)["choices"][0]["message"]["content"] == f"I am {model}"
        expected = gateway.router.route(prompt)
        assert headers["x-pointsman-model"] == model
        assert headers["x-pointsman-intent"] == expected.intent
        assert headers["x-pointsman-reason"] == expected.reason
        assert headers["x-pointsman-propensity"] == "1"
        assert headers["x-pointsman-version"] == gateway.router.version
        (row,) = gateway.lines("decisions.jsonl", 1, event="outcome", request_id=headers["x-pointsman-request-id"])
        assert (row["model"], row["ok"], row["status"], row["output_tokens"]) == (model, True, "ok", 500)
        price = next(one for one in gateway.router.policy.candidates if one.name == model)
        assert price.input_usd_per_mtok is not None
        assert price.output_usd_per_mtok is not None
        assert row["cost_usd"] == pytest.approx(
            (1000 * price.input_usd_per_mtok + 500 * price.output_usd_per_mtok) / 1e6
        )
        assert row["latency_ms"] > 0
        (decided,) = gateway.lines("decisions.jsonl", 1, event="decision", request_id=row["request_id"])
        assert decided["user_id"] == "u-1"


def test_a_streamed_answer_has_the_headers_and_is_reported(gateway: Gateway) -> None:
    status, headers, text = gateway.proxy.chat(gateway.prompt_for("large"), stream=True)
    assert status == 200
    assert "large" in text
    assert headers["x-pointsman-model"] == "large"
    (row,) = gateway.lines("decisions.jsonl", 1, event="outcome", request_id=headers["x-pointsman-request-id"])
    assert (row["model"], row["ok"]) == ("large", True)


def test_ids_are_passed_through_and_a_client_cannot_tell_a_decision(gateway: Gateway) -> None:
    prompt = gateway.prompt_for("small")
    forged = gateway.router.route(prompt).to_dict() | {"model": "large", "request_id": "forged", "version": "forged"}
    _, headers, _ = gateway.proxy.chat(prompt, {"x-litellm-call-id": "my-id-1"}, metadata={"pointsman": forged})
    assert (headers["x-pointsman-request-id"], headers["x-pointsman-model"]) == ("my-id-1", "small")
    body = {"model": "large", "messages": [{"role": "user", "content": "hi"}], "metadata": {"pointsman": forged}}
    status, headers, _ = gateway.proxy.request("POST", "/v1/chat/completions", body)
    assert status == 200
    assert "x-pointsman-model" not in headers
    long = "i" * 1000
    _, headers, _ = gateway.proxy.chat(prompt, {"x-litellm-call-id": long})
    assert len(headers["x-pointsman-request-id"]) <= 256


def test_litellm_s_own_log_carries_the_decision_and_ingest_reads_it(gateway: Gateway) -> None:
    prompt = gateway.prompt_for("large")
    expected = gateway.router.route(prompt)
    gateway.proxy.chat(prompt, {"x-litellm-call-id": "logged"}, metadata={"spend_logs_metadata": {"team": "b"}})
    gateway.lines("decisions.jsonl", 1, event="outcome", request_id="logged")
    until = time.monotonic() + 30
    while time.monotonic() < until:
        spans = [READER.read(row)[0] for row in gateway.lines("payloads.jsonl", 1)]
        spans = [span for span in spans if span.tags.get("pointsman.request_id") == "logged"]
        if spans:
            break
        time.sleep(0.05)
    (span,) = spans
    assert (span.model, span.prompt) == ("large", prompt)
    assert span.tags["pointsman.intent"] == expected.intent
    assert span.tags["pointsman.propensity"] in {"1", "1.0"}
    assert span.tags["team"] == "b"


def test_the_messages_route_is_routed_too(gateway: Gateway) -> None:
    prompt = gateway.prompt_for("large")
    body = {"model": "pointsman", "max_tokens": 100, "messages": [{"role": "user", "content": prompt}]}
    status, headers, text = gateway.proxy.request("POST", "/v1/messages", body)
    assert (status, headers.get("x-pointsman-model")) == (200, "large"), text


def test_a_dead_model_s_requests_fall_back_as_the_policy_says(gateway: Gateway) -> None:
    for model, then in (("large", "medium"), ("small", "large"), ("medium", "small")):
        upstream = gateway.upstreams[model]
        upstream.status = 500
        try:
            status, headers, text = gateway.proxy.chat(gateway.prompt_for(model))
            assert status == 200, text
            assert json.loads(text)["choices"][0]["message"]["content"] == f"I am {then}"
            assert headers["x-pointsman-model"] == model
            rows = gateway.lines("decisions.jsonl", 2, event="outcome", request_id=headers["x-pointsman-request-id"])
            found = {row["model"]: (row["ok"], row["status"], row["propensity"]) for row in rows}
            assert found == {model: (False, "error", 1.0), then: (True, "ok", None)}
        finally:
            upstream.status = 200


def test_the_kill_switch_holds_from_the_next_request(gateway: Gateway) -> None:
    prompt, kill = gateway.prompt_for("large"), gateway.folder / "kill"
    assert gateway.proxy.chat(prompt)[1]["x-pointsman-model"] == "large"
    kill.write_text("ada: the bill", encoding="utf-8")
    try:
        status, headers, text = gateway.proxy.chat(prompt)
        assert status == 200
        assert json.loads(text)["choices"][0]["message"]["content"] == "I am medium"
        assert headers["x-pointsman-killed"] == "true"
        assert headers["x-pointsman-reason"] == "kill-switch is on by ada: the bill; everything goes to medium"
    finally:
        kill.unlink()
    assert gateway.proxy.chat(prompt)[1]["x-pointsman-model"] == "large"


def test_a_bundle_that_is_missing_keeps_the_proxy_from_starting(clear_bundle: Path, tmp_path: Path) -> None:
    python = litellm_python()
    config = tmp_path / "config.yaml"
    config.write_text(render_litellm(load_bundle(clear_bundle).policy, bundle=str(tmp_path / "none")).text)
    with pytest.raises(AssertionError, match="no such bundle folder"):
        Proxy(python, config)


@pytest.mark.parametrize("way", ["classifier", "hook"])
def test_litellm_loads_what_is_rendered(way: str, tiny_policy: Policy, tmp_path: Path, clear_bundle: Path) -> None:
    python = litellm_python()
    policy = replace(
        tiny_policy,
        candidates=(*tiny_policy.candidates, Candidate("huge: a/b", timeout_ms=1500.0, concurrency=7)),
        expected=tiny_policy.expected.__class__(
            useful=tiny_policy.expected.useful[:, [0, 1, 2, 2]],
            cost_usd=tiny_policy.expected.cost_usd[:, [0, 1, 2, 2]],
            late=tiny_policy.expected.late[:, [0, 1, 2, 2]],
        ),
        guards=GuardSettings(
            Retry(max_retries=2, failures=("timeout",)),
            Breaker(error_rate=0.5, min_requests=10, open_s=45.0),
            Budget(usd_per_hour=3.0, usd_per_day=50.0),
        ),
    )
    config = tmp_path / "config.yaml"
    config.write_text(render_litellm(policy, bundle=str(clear_bundle), way=way).text, encoding="utf-8")
    command = [python, str(CONFIG / "load.py"), str(config)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300, check=False)
    line = next((line for line in done.stdout.splitlines() if line.startswith("SEEN ")), None)
    assert line is not None, done.stdout[-2000:] + done.stderr[-4000:]
    seen = json.loads(line.removeprefix("SEEN "))
    assert seen["names"] == ["pointsman", *policy.models]
    assert seen["auto"] == ([] if way == "hook" else ["pointsman"])
    assert seen["alias"] == ({"pointsman": "small"} if way == "hook" else {})
    assert seen["deployments"]["medium"] == {
        "model": "openai/medium",
        "timeout": 20.0,
        "stream_timeout": 20.0,
        "max_budget": 50.0,
        "budget_duration": "1d",
        "input_cost_per_token": pytest.approx(5e-7),
        "output_cost_per_token": pytest.approx(1.5e-6),
        "window": None,
    }
    assert seen["deployments"]["huge: a/b"]["max_parallel_requests"] == 7
    assert "max_budget" not in seen["deployments"]["small"]
    assert seen["deployments"]["small"]["window"] == 8000
    assert seen["fallbacks"] == [
        {"small": ["medium", "large"]},
        {"medium": ["large", "small"]},
        {"large": ["medium", "small"]},
        {"huge: a/b": ["medium", "large", "small"]},
    ]
    assert {"small": ["medium", "large", "huge: a/b"]} in seen["context_window_fallbacks"]
    assert (seen["num_retries"], seen["retries"]["TimeoutErrorRetries"]) == (2, 2)
    assert seen["retries"]["InternalServerErrorRetries"] == 0
    assert (seen["allowed_fails"], seen["cooldown_time"], seen["max_fallbacks"]) == (4, 45.0, 4)
