"""Whatever is sent: never a 500, never a decision outside the policy's candidates, never the prompt told back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pointsman.router import Router

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytest.importorskip("httpx2", reason="the sidecar's tests need httpx2")
for _name in ("fastapi", "prometheus_client"):
    pytest.importorskip(_name, reason="the extra serve is not installed")

MODELS = {"small", "medium", "large"}
ADMIN = {"Authorization": "Bearer a-token-of-these-tests"}
SECRET = "xyzzyplugh"
FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from([*MODELS, "text", "image", "audio", "timeout", "error", "ok", "\ud800", "\0", 1e300, -0.0, 2**53]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
names = st.sampled_from(
    [
        *("text", "modality", "context_tokens", "request_id", "user_id", "requests", "decision", "failure", "ok"),
        *("status", "latency_ms", "cost_usd", "useful", "elapsed_ms", "who", "why", "input_tokens", SECRET),
    ]
)
bodies = st.dictionaries(names, values, max_size=5)


@pytest.fixture(scope="module")
def client(tiny_bundle: Path, serving: Callable[..., Any]) -> Iterator[Any]:
    with serving(Router.load(tiny_bundle), max_body_bytes=20_000) as client:
        yield client


def send(client: Any, path: str, content: bytes | str, **headers: str) -> Any:
    headers = {"Content-Type": "application/json", **headers}
    answer = client.post(path, content=content, headers=headers)
    assert answer.status_code in {200, 204, 400, 409, 413, 422}, (path, content, answer.text)
    if answer.status_code >= 400:
        assert set(answer.json()) == {"error"}
        assert SECRET + SECRET not in answer.text
    return answer


def decisions(answer: Any) -> list[dict[str, Any]]:
    found = answer.json()
    found = found.get("decisions", [found.get("decision", found)])
    return [one for one in found if one is not None]


@FEW
@given(st.sampled_from(["/route", "/route_batch", "/report", "/next", "/kill", "/restore", "/rollback"]), bodies)
def test_any_json(client: Any, path: str, body: dict[str, Any]) -> None:
    answer = send(client, path, json.dumps(body), **ADMIN)
    if answer.status_code == 200 and path in {"/route", "/route_batch", "/next"}:
        assert {one["model"] for one in decisions(answer)} <= MODELS
    if path == "/kill":
        send(client, "/restore", b"", **ADMIN)


@FEW
@given(st.sampled_from(["/route", "/route_batch", "/report", "/next", "/reload"]), st.binary(max_size=60))
def test_any_bytes(client: Any, path: str, body: bytes) -> None:
    send(client, path, body, **ADMIN)
    send(client, path, b'{"text": "' + SECRET.encode() * 2 + body + b'"}', **ADMIN)


@FEW
@given(
    st.text() | st.none() | st.text(st.characters(categories=["Cs", "Cc", "So"])),
    st.sampled_from(["text", "image", "audio"]),
    st.integers(0, 2**53),
    st.text(min_size=1, max_size=256),
)
def test_every_prompt_gets_a_decision(client: Any, text: str | None, modality: str, tokens: int, user: str) -> None:
    body = {"text": text, "modality": modality, "context_tokens": tokens, "user_id": user}
    one = send(client, "/route", json.dumps(body))
    assert one.status_code == 200, one.text
    assert one.json()["model"] in MODELS
    many = send(client, "/route_batch", json.dumps({"requests": [body] * 2}))
    assert {decision["model"] for decision in decisions(many)} == {one.json()["model"]}


@FEW
@given(st.data())
def test_decisions_that_were_tampered_with(client: Any, data: st.DataObject) -> None:
    decision = client.post("/route", json={"text": "hello", "context_tokens": 9_000}).json()
    for name in data.draw(st.lists(st.sampled_from(sorted(decision)), max_size=3)):
        decision[name] = data.draw(values)
    failed = {"decision": decision, "failure": data.draw(st.sampled_from(["timeout", "error"]))}
    answer = send(client, "/next", json.dumps(failed))
    if answer.status_code == 200:
        assert {one["model"] for one in decisions(answer)} <= MODELS
        assert send(client, "/report", json.dumps({"decision": decision, "status": "x"})).status_code == 204
    assert client.get("/metrics").status_code == 200
    assert client.get("/version").status_code == 200
