"""Every endpoint of the sidecar: what it takes, what it gives, what it refuses, and in which words."""

from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.conformance import PROMPTS
from pointsman.decision import Decision
from pointsman.decision_log import DecisionLog
from pointsman.router import Router

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytest.importorskip("httpx2", reason="the sidecar's tests need httpx2")
pytest.importorskip("fastapi", reason="the extra serve is not installed")
parser = pytest.importorskip("prometheus_client.parser", reason="the extra serve is not installed")

SECRET = "xyzzy-plugh-secret-prompt"


def error(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    words = answer.json()["error"]
    assert isinstance(words, str)
    assert "\n" not in words
    return words


def measured(client: Any) -> dict[tuple[str, frozenset[str]], float]:
    """Return the metrics by name and values of labels."""
    families = parser.text_string_to_metric_families(client.get("/metrics").text)
    return {(one.name, frozenset(one.labels.values())): one.value for family in families for one in family.samples}


def key(name: str, *labels: str) -> tuple[str, frozenset[str]]:
    return f"pointsman_{name}", frozenset(labels)


def test_routes_as_the_router_does(sidecar: Any, tiny_bundle: Path) -> None:
    router = Router.load(tiny_bundle)
    for text, modality, tokens in PROMPTS:
        shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        # Written by json, as half a surrogate pair has no UTF-8.
        body = json.dumps({"text": shown, "modality": modality, "context_tokens": tokens, "request_id": "r"})
        answer = sidecar.post("/route", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 200, answer.text
        decision = Decision.from_dict(answer.json())
        assert decision == router.route(shown, modality=modality, context_tokens=tokens, request_id="r")
        assert decision.request_id == "r"


def test_a_batch_is_the_single_ones(sidecar: Any) -> None:
    requests = [{"text": "hello"}, {"text": None, "modality": "image"}, {"text": "fix this", "request_id": "mine"}]
    answer = sidecar.post("/route_batch", json={"requests": requests}, headers={"X-Request-ID": "b"})
    decisions = answer.json()["decisions"]
    assert [one["request_id"] for one in decisions] == ["b.0", "b.1", "mine"]
    for one, request in zip(decisions, requests, strict=True):
        alone = sidecar.post("/route", json=request).json()
        assert (one["model"], one["intent"]) == (alone["model"], alone["intent"])
    assert sidecar.post("/route_batch", json={"requests": []}).json() == {"decisions": []}


def test_request_ids_are_passed_on_or_made(sidecar: Any) -> None:
    answer = sidecar.post("/route", json={"text": "hello"}, headers={"X-Request-ID": "abc-1:2/3"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "abc-1:2/3"
    for unsafe in ("a b", "<script>", "a" * 129, "ä".encode("latin-1"), ""):
        answer = sidecar.post("/route", json={"text": "hello"}, headers={"X-Request-ID": unsafe})
        made = answer.headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]{32}", made)
        assert answer.json()["request_id"] == made
    assert sidecar.get("/nowhere", headers={"X-Request-ID": "seen"}).headers["x-request-id"] == "seen"


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/route", {}, 422, "text is missing"),
        ("/route", [], 422, "the body: input should be a valid"),
        ("/route", None, 422, "the body"),
        ("/route", {"text": 7}, 422, "text: input should be a text or null"),
        ("/route", {"text": "x", "modality": "smell"}, 422, "modality: input should be 'text', 'image' or 'audio'"),
        ("/route", {"text": "x", "context_tokens": "5"}, 422, "context_tokens: input should be a valid integer"),
        ("/route", {"text": "x", "context_tokens": -1}, 422, "greater than or equal to 0"),
        ("/route", {"text": "x", "context_tokens": True}, 422, "context_tokens"),
        ("/route", {"text": "x", "request_id": ""}, 422, "request_id"),
        ("/route", {"text": "x", "user": "u"}, 422, "user is not known"),
        ("/route", {"text": "x", SECRET + " ": "u"}, 422, r"\(a key\) is not known"),
        ("/route_batch", {"requests": [{"text": "x"}, {"text": 1}]}, 422, r"requests\[1\]\.text: input should be"),
        ("/route_batch", {"requests": [{"text": "", "request_id": "a"}] * 2}, 422, "request_id is given twice"),
        ("/route_batch", {"requests": [{"text": "x"}] * 129}, 413, "129 requests in one batch; at most 128"),
        ("/report", {"decision": {"model": "small"}}, 422, r"decision\.intent is missing \(6 more\)"),
        ("/next", {"decision": None, "failure": "error"}, 422, "decision: input should be"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(sidecar: Any, path: str, body: Any, status: int, words: str) -> None:
    # json=None would send no body at all
    headers = {"Content-Type": "application/json"}
    told = error(sidecar.post(path, content=json.dumps(body), headers=headers), status)
    assert re.search(words, told), told
    assert SECRET not in told


def test_what_is_no_json_is_refused(sidecar: Any) -> None:
    headers = {"Content-Type": "application/json"}
    for body in (b"{", b'{"text": "' + SECRET.encode(), b"\xff\xfe\x00", b"[" * 100_000, b'{"text": ' + b"9" * 9999):
        answer = sidecar.post("/route", content=body, headers=headers)
        assert "the body is not JSON" in error(answer, 400)
        assert SECRET not in answer.text
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = sidecar.post("/route", content=b'{"text": "x"}', headers={"Content-Type": kind})
        assert "application/json" in error(answer, 415), "a web page may send these without being asked"
    answer = sidecar.post("/route", content=b'{"text": "x"}', headers={"Content-Type": "Application/JSON; charset=x"})
    assert answer.status_code == 200


def test_endpoints_and_methods_that_are_none(sidecar: Any) -> None:
    assert "no such endpoint" in error(sidecar.get(f"/{SECRET}"), 404)
    assert SECRET not in sidecar.get(f"/{SECRET}").text
    assert "method" in error(sidecar.get("/route"), 405)
    assert error(sidecar.get("/docs"), 404)


def test_reports_and_next_attempts(tiny_bundle: Path, tmp_path: Path, serving: Callable[..., Any]) -> None:
    log = tmp_path / "log.jsonl"
    router = Router.load(tiny_bundle, log=DecisionLog(log))
    with serving(router) as client:
        decision = client.post("/route", json={"text": "hello", "context_tokens": 9000}).json()
        assert decision["fallback_steps"]
        answer = client.post("/next", json={"decision": decision, "failure": "timeout", "elapsed_ms": 10.0})
        then = answer.json()["decision"]
        assert then["tried"] == [decision["model"]]
        assert then["request_id"] == decision["request_id"]
        report = {"decision": decision, "status": "timeout", "latency_ms": 20.0, "cost_usd": 0.01, "useful": 0.0}
        assert client.post("/report", json=report).status_code == 204
        assert client.post("/report", json={"decision": then, "ok": True, "input_tokens": 5}).status_code == 204
        while then is not None:
            last = then
            then = client.post("/next", json={"decision": then, "failure": "timeout"}).json()["decision"]
        assert len(last["tried"]) >= 1
        found = measured(client)
        assert found[key("reports_total", decision["model"])] >= 1
        assert found[key("reported_failures_total", decision["model"])] == 1
    events = [json.loads(line)["event"] for line in log.read_text(encoding="utf-8").splitlines()]
    assert events[:4] == ["decision", "decision", "outcome", "outcome"]


def test_a_report_must_name_candidates(sidecar: Any) -> None:
    decision = sidecar.post("/route", json={"text": "hello"}).json()
    step: dict[str, Any] = {"model": "gone", "failures": [], "within_ms": None}
    wrong: list[dict[str, Any]] = [
        {"model": "gone"},
        {"tried": ["gone"]},
        {"fallbacks": ["gone"]},
        {"barred": {"gone": "why"}},
    ]
    for change in [*wrong, {"fallback_steps": [step]}]:
        for path, more in {"/report": {}, "/next": {"failure": "error"}}.items():
            told = error(sidecar.post(path, json={"decision": {**decision, **change}, **more}), 422)
            assert "allowed: small, medium, large" in told
    for amount in ({"latency_ms": -1.0}, {"cost_usd": 1e300}, {"useful": 1.5}, {"input_tokens": -1}):
        error(sidecar.post("/report", json={"decision": decision, **amount}), 422)
    for number in ("NaN", "Infinity", "1e999", "9" * 400):
        body = json.dumps({"decision": decision, "cost_usd": 0.123}).replace("0.123", number)
        answer = sidecar.post("/report", content=body, headers={"Content-Type": "application/json"})
        assert error(answer, 422).startswith("cost_usd")
    error(sidecar.post("/next", json={"decision": {**decision, "decided_at": 1e300}, "failure": "error"}), 422)


def test_views(sidecar: Any, tiny_bundle: Path) -> None:
    assert sidecar.get("/healthz").json() == {"status": "ok"}
    ready = sidecar.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert sidecar.get("/policy").text == (tiny_bundle / "policy.json").read_text(encoding="utf-8")
    version = sidecar.get("/version").json()
    assert version["version"] == ready.json()["version"]
    assert version["killed"] is None
    assert set(version["guards"]["models"]) == {"small", "medium", "large"}


def test_metrics(tiny_bundle: Path, serving: Callable[..., Any]) -> None:
    with serving(Router.load(tiny_bundle)) as client, serving(Router.load(tiny_bundle)) as beside:
        model = client.post("/route", json={"text": SECRET}).json()["model"]
        client.post("/route_batch", json={"requests": [{"text": SECRET}] * 3})
        client.get(f"/{SECRET}")
        client.post("/route", json={"text": 1})
        text, found = client.get("/metrics").text, measured(client)
        assert SECRET not in text
        assert found[key("decisions_total", model, "rule")] == 4
        assert found[key("http_requests_total", "/route", "200")] == 1
        assert found[key("http_requests_total", "/route", "422")] == 1
        assert found[key("http_requests_total", "other", "404")] == 1
        assert found[key("decision_seconds_count", "/route")] == 1
        assert found[key("lane_held", "decisions")] == 0
        assert found[key("lane_limit", "decisions")] == 256
        assert found[key("breaker", model, "closed")] == 1
        assert found[key("killed")] == 0
        assert client.get("/metrics").headers["content-type"].startswith("text/plain; version=0.0.4")
        assert key("decisions_total", model, "rule") not in measured(beside), "a registry of its own"


def test_the_openapi_document_has_every_endpoint_and_true_examples(sidecar: Any) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    document = sidecar.get("/openapi.json").json()
    forms = document["components"]["schemas"]
    assert set(document["paths"]) == {
        *("/route", "/route_batch", "/report", "/next", "/healthz", "/readyz", "/metrics", "/policy", "/version"),
        *("/kill", "/restore", "/reload", "/rollback"),
    }
    examined = 0
    for name, form in forms.items():
        validator = jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{name}", **document})
        for example in form.get("examples", []):
            validator.validate(example)
            examined += 1
    assert examined >= 8
    decision = sidecar.post("/route", json={"text": "hello"}).json()
    schema = {"$ref": "#/components/schemas/DecisionForm", **document}
    jsonschema.Draft202012Validator(schema).validate(decision)
    assert set(forms["DecisionForm"]["properties"]) == set(decision)
    for path in ("/kill", "/restore", "/reload", "/rollback"):
        assert document["paths"][path]["post"]["security"] == [{"HTTPBearer": []}]
    for path in ("/route", "/route_batch"):
        assert {"200", "400", "413", "415", "422", "503"} <= set(document["paths"][path]["post"]["responses"])


def raw(client: Any, data: bytes) -> bytes:
    """Send bytes as they are and return what comes until the connection closes."""
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=10) as connection:
        connection.sendall(data)
        found = b""
        while part := connection.recv(65536):
            found += part
    return found


@pytest.fixture(scope="module")
def small(tiny_bundle: Path, serving: Callable[..., Any]) -> Iterator[Any]:
    """A sidecar that takes 1000 bytes, within half a second."""
    with serving(Router.load(tiny_bundle), max_body_bytes=1000, body_timeout_s=0.5) as client:
        yield client


def test_a_body_that_is_too_long(small: Any) -> None:
    fits = json.dumps({"text": "x" * 988}, separators=(",", ":")).encode()
    assert len(fits) == 999
    headers = {"Content-Type": "application/json"}
    assert small.post("/route", content=fits, headers=headers).status_code == 200
    assert small.post("/route", content=fits + b" ", headers=headers).status_code == 200
    assert "longer than 1000 bytes" in error(small.post("/route", content=fits + b"  ", headers=headers), 413)
    assert "longer than 1000 bytes" in error(small.post("/route", json={"text": "x" * 3_000}), 413)
    parts = (b"x" * 100 for _ in range(20))
    assert "longer than 1000 bytes" in error(small.post("/route", content=parts, headers=headers), 413)
    head = b"POST /route HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    answer = raw(small, head + b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413"), "and not asked to go on"
    endless = b"Transfer-Encoding: chunked\r\n\r\n" + b"3e8\r\n" + b" " * 1000 + b"\r\n1\r\n \r\n"
    assert raw(small, head + endless).startswith(b"HTTP/1.1 413")
    assert small.post("/route", json={"text": "x"}).status_code == 200


def test_a_body_that_does_not_come(small: Any) -> None:
    head = b"POST /route HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n"
    answer = raw(small, head + b'{"te')
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"did not arrive in time" in answer
