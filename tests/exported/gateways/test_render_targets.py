"""A policy becomes other gateways' configurations: each taken by that gateway's own loader, and nothing left unsaid."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from pointsman.errors import PointsmanError
from pointsman.gateways.plan import followers, model_by_intent, unrouted
from pointsman.gateways.render_envoy_ai_gateway import render_envoy_ai_gateway
from pointsman.gateways.render_portkey import render_portkey
from pointsman.gateways.render_vllm_sr import render_vllm_sr
from pointsman.guards.settings import Breaker, Budget, GuardSettings, Retry
from pointsman.policy import Candidate, Fallback
from pointsman.rules import Abstain, ValueRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pointsman.gateways.render import Rendered
    from pointsman.policy import Policy

RENDERERS: dict[str, Callable[..., Rendered]] = {
    "vllm-sr": render_vllm_sr,
    "portkey": render_portkey,
    "envoy-ai-gateway": render_envoy_ai_gateway,
}
VLLM_SR = os.environ.get("POINTSMAN_VLLM_SR") or shutil.which("vllm-sr")
PORTKEY = os.environ.get("POINTSMAN_PORTKEY")
ENVOY_GATEWAY = os.environ.get("POINTSMAN_ENVOY_GATEWAY")
GATEWAY_MODELS = """
import fs from 'fs';
import { pathToFileURL } from 'url';
const at = '/node_modules/@kubernetes-models/envoy-gateway/gateway.envoyproxy.io/v1alpha1/';
for (const one of JSON.parse(fs.readFileSync(0, 'utf8'))) {
  const found = await import(pathToFileURL(process.argv[1] + at + one.kind + '.js'));
  new found[one.kind](one).validate();
}
"""

DURATION = {"type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$"}
NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}


def exactly(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*required], "additionalProperties": False}


REFERENCE = exactly(("name",), group={"type": "string"}, kind={"type": "string"}, name=NAME)
HEADERS = exactly(
    ("name", "value"), type={"enum": ["Exact"]}, name={"type": "string"}, value={"type": "string", "minLength": 1}
)
BACKENDS = exactly(
    ("name",), name=NAME, priority={"type": "integer", "minimum": 0}, modelNameOverride={"type": "string"}
)
RULE = exactly(
    ("matches", "backendRefs"),
    matches={"type": "array", "maxItems": 128, "items": exactly((), headers={"type": "array", "items": HEADERS})},
    backendRefs={"type": "array", "maxItems": 128, "items": BACKENDS},
    timeouts=exactly((), request=DURATION, backendRequest=DURATION),
)
AI_SPECS = {
    "AIGatewayRoute": exactly(
        ("rules",),
        parentRefs={"type": "array", "maxItems": 16, "items": REFERENCE},
        rules={"type": "array", "maxItems": 128, "items": RULE},
    ),
    "AIServiceBackend": exactly(
        ("schema", "backendRef"), schema=exactly(("name",), name={"enum": ["OpenAI"]}), backendRef=REFERENCE
    ),
}
"""The parts of the CRDs of aigateway.envoyproxy.io/v1alpha1 that are used here, in our words: no package has them."""


@pytest.fixture(params=["plain", "guarded"])
def policy(tiny_policy: Policy, request: pytest.FixtureRequest) -> Policy:
    if request.param == "plain":
        return tiny_policy
    return replace(
        tiny_policy,
        candidates=(
            Candidate("org/small:1", 0.1, 0.4, context_window=8_000),
            Candidate("on", None, None, modalities=("text", "audio"), timeout_ms=0.5, concurrency=7),
            Candidate("großes Modell #3", 5.0, 15.0, modalities=("text", "image"), timeout_ms=9e7),
        ),
        rule=ValueRule(trust=0.7, useful_value_usd=0.05, abstain=Abstain(0.4, "on")),
        safe_model="on",
        pinned_intents={"code": "großes Modell #3"},
        pinned_modalities={"audio": "on"},
        long_context="org/small:1",
        fallbacks=(Fallback("on"), Fallback("großes Modell #3", ("chat", "timeout"), 800.0)),
        guards=GuardSettings(
            Retry(max_retries=7, base_ms=0, failures=("timeout", "error")),
            Breaker(error_rate=0.5, late_rate=0.3, cost_ratio=3),
            Budget(usd_per_hour=2.0, usd_per_day=20.0),
            cached_answer="sorry",
            simpler_model="on",
            exploration_share=0.05,
        ),
    )


def documents(rendered: Rendered) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(rendered.text))


def test_an_intent_goes_where_the_router_sends_it_when_it_is_sure(policy: Policy) -> None:
    table = model_by_intent(policy)
    assert list(table) == list(policy.intents)
    assert all(table[intent] == model for intent, model in policy.pinned_intents.items())
    expected = policy.expected
    if not policy.pinned_intents:
        for row, intent in enumerate(policy.intents):
            worth = 0.05 * expected.useful[row] - expected.cost_usd[row]
            assert table[intent] == policy.models[int(worth.argmax())]


def test_followers_keep_to_the_policys_order_and_conditions(tiny_policy: Policy) -> None:
    assert followers(tiny_policy, "large") == ("small",)
    assert followers(tiny_policy, "large", "chat") == ("medium", "small")
    assert followers(tiny_policy, "small", "synthesis") == ("large",)
    assert followers(tiny_policy, "small", "synthesis", failure="error") == ()
    assert followers(tiny_policy, "medium", "chat", "image") == ("large",), "small reads no pictures"


@pytest.mark.parametrize("target", list(RENDERERS))
def test_nothing_is_left_unsaid(policy: Policy, target: str) -> None:
    rendered = RENDERERS[target](policy)
    said = "\n".join(rendered.missing)
    assert len(set(rendered.missing)) == len(rendered.missing)
    if policy.guards.exploration_share and target != "envoy-ai-gateway":
        for word in ("abstain", "exploration_share", "usd_per_hour", "usd_per_day", "late_rate", "cost_ratio"):
            assert word in said
        for word in ("cached_answer", "simpler_model", "cost_threshold_ms", "kill-switch"):
            assert word in said
    if policy.guards.breaker.error_rate:
        assert "error_rate" in said
    if target != "portkey":
        assert all(f"# - {' '.join(line.split())}" in rendered.text for line in rendered.missing)


@pytest.mark.parametrize("target", list(RENDERERS))
def test_the_same_policy_gives_the_same_text(policy: Policy, target: str) -> None:
    assert RENDERERS[target](policy) == RENDERERS[target](policy)


@pytest.mark.parametrize("target", list(RENDERERS))
def test_a_deployment_of_no_candidate_is_refused(tiny_policy: Policy, target: str) -> None:
    with pytest.raises(PointsmanError, match="'tiny'; allowed: small, medium, large"):
        RENDERERS[target](tiny_policy, deployments={"tiny": {}})


def test_only_what_a_policy_has_is_said_to_be_missing(tiny_policy: Policy) -> None:
    bare = replace(tiny_policy, guards=GuardSettings(), fallbacks=())
    assert [line.partition(":")[0] for line in unrouted(bare)] == ["rule (value)", "the kill-switch"]


def test_vllm_sr_has_every_intent_pin_and_model(policy: Policy) -> None:
    [document] = documents(render_vllm_sr(policy))
    models = [one["name"] for one in document["providers"]["models"]]
    assert models == list(policy.models)
    assert document["providers"]["defaults"]["model"] == policy.safe_model
    decisions = document["routing"]["decisions"]
    assert [one["priority"] for one in decisions] == sorted((one["priority"] for one in decisions), reverse=True)
    first = {one["description"]: one["modelRefs"][0]["model"] for one in decisions}
    assert {intent: first[f"intent {intent}"] for intent in policy.intents} == model_by_intent(policy)
    for intent, model in policy.pinned_intents.items():
        assert first[f"pinned {intent}"] == model
    for modality, model in policy.pinned_modalities.items():
        assert first[f"modality {modality}"] == model
    if policy.long_context is not None:
        assert first["long context"] == policy.long_context


@pytest.mark.skipif(not VLLM_SR, reason="needs vllm-sr: on the PATH or in POINTSMAN_VLLM_SR (pip install vllm-sr)")
def test_vllm_srs_own_validator_takes_it(policy: Policy, tmp_path: Path) -> None:
    text = render_vllm_sr(policy).text
    running = []
    for name, one in (("right", text), ("wrong", text.replace("modelRefs:", "models:"))):
        path = tmp_path / f"{name}.yaml"
        path.write_text(one, encoding="utf-8")
        command = [str(VLLM_SR), "config", "validate", "--config", str(path)]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    said = [one.communicate()[0] for one in running]
    assert [one.returncode == 0 for one in running] == [True, False], said


def test_envoy_ai_gateway_has_a_route_and_a_backend_for_each_candidate(policy: Policy) -> None:
    found = documents(render_envoy_ai_gateway(policy))
    routes = [one for one in found if one["kind"] == "AIGatewayRoute"]
    backends = {one["metadata"]["name"] for one in found if one["kind"] == "AIServiceBackend"}
    assert len(routes) == len(backends) == len(policy.models)
    for route, model in zip(routes, policy.models, strict=True):
        refs = [ref for rule in route["spec"]["rules"] for ref in rule["backendRefs"]]
        assert {ref["name"] for ref in refs} <= backends
        last = route["spec"]["rules"][-1]
        assert [ref["modelNameOverride"] for ref in last["backendRefs"]] == [model, *followers(policy, model)]
        assert [ref["priority"] for ref in last["backendRefs"]] == list(range(len(last["backendRefs"])))
        asked = [match["headers"][0]["value"] for match in last["matches"]]
        assert asked[0].isascii()
        assert ("auto" in asked) is (model == policy.safe_model)
        for rule in route["spec"]["rules"][:-1]:
            for match in rule["matches"]:
                intent = match["headers"][1]["value"]
                chain = [ref["modelNameOverride"] for ref in rule["backendRefs"]]
                assert chain == [model, *followers(policy, model, intent)]


def test_envoy_ai_gateways_own_resources_fit_their_crds(policy: Policy) -> None:
    for one in documents(render_envoy_ai_gateway(policy)):
        assert set(one) == {"apiVersion", "kind", "metadata", "spec"}
        Draft202012Validator(NAME).validate(one["metadata"]["name"])
        if one["apiVersion"] == "aigateway.envoyproxy.io/v1alpha1":
            Draft202012Validator(AI_SPECS[one["kind"]]).validate(one["spec"])


@pytest.mark.skipif(not ENVOY_GATEWAY, reason="needs POINTSMAN_ENVOY_GATEWAY: npm i @kubernetes-models/envoy-gateway")
def test_envoy_gateways_models_take_its_resources(policy: Policy) -> None:
    found = [one for one in documents(render_envoy_ai_gateway(policy)) if one["apiVersion"].startswith("gateway.envoy")]
    assert {one["kind"] for one in found} == {"EnvoyExtensionPolicy", "BackendTrafficPolicy", "Backend"}
    command = ["node", "--input-type=module", "-e", GATEWAY_MODELS, str(ENVOY_GATEWAY)]
    done = subprocess.run(command, input=json.dumps(found), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wrong = json.dumps(found).replace('"failOpen": true', '"failOpen": "yes"')
    assert subprocess.run(command, input=wrong, capture_output=True, text=True).returncode != 0


def test_portkeys_conditions_name_targets_that_are_there(policy: Policy) -> None:
    document = json.loads(render_portkey(policy).text)
    names = [one["name"] for one in document["targets"]]
    assert len(set(names)) == len(names)
    strategy = document["strategy"]
    assert {one["then"] for one in strategy["conditions"]} | {strategy["default"]} == set(names)
    assert strategy["default"].partition(" then ")[0] == policy.safe_model


class Provider(BaseHTTPRequestHandler):
    """Answers as the OpenAI API with the model's name; `failing` models answer 503."""

    asked: list[str] = []  # noqa: RUF012 -- one for all requests
    failing: set[str] = set()  # noqa: RUF012

    def do_POST(self) -> None:
        model = json.loads(self.rfile.read(int(self.headers["content-length"])))["model"]
        self.asked.append(model)
        message = {"role": "assistant", "content": model}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = json.dumps({"id": "1", "object": "chat.completion", "model": model, "choices": [choice]}).encode()
        self.send_response(503 if model in self.failing else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture(scope="module")
def portkey() -> Iterator[tuple[int, int]]:
    """Run Portkey's gateway and a provider; give their ports."""
    provider = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = int(one.getsockname()[1])
    script = Path(str(PORTKEY)) / "node_modules/@portkey-ai/gateway/build/start-server.js"
    command = ["node", str(script), f"--port={port}", "--headless"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                time.sleep(0.1)
        yield port, int(provider.server_address[1])
    finally:
        process.terminate()
        process.wait(10)
        provider.shutdown()
        provider.server_close()


@pytest.mark.skipif(not PORTKEY, reason="needs POINTSMAN_PORTKEY: the folder of npm i @portkey-ai/gateway")
def test_portkeys_gateway_routes_and_falls_back_by_it(tiny_policy: Policy, portkey: tuple[int, int]) -> None:
    port, upstream = portkey
    policy = replace(tiny_policy, guards=GuardSettings(Retry(max_retries=1, base_ms=1)))
    one = {"provider": "openai", "api_key": "k", "custom_host": f"http://127.0.0.1:{upstream}/v1"}
    config = json.dumps(json.loads(render_portkey(policy, deployments=dict.fromkeys(policy.models, one)).text))
    table = model_by_intent(policy)

    def ask(**metadata: str) -> tuple[int, list[str]]:
        Provider.asked.clear()
        body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "x"}]})
        headers = {"content-type": "application/json", "x-portkey-config": config}
        headers["x-portkey-metadata"] = json.dumps(metadata)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("POST", "/v1/chat/completions", body, headers)
        status = connection.getresponse().status
        connection.close()
        return status, list(Provider.asked)

    Provider.failing = set()
    for model in policy.models:
        assert ask(pointsman_model=model) == (200, [model])
    for intent in policy.intents:
        assert ask(pointsman_intent=intent) == (200, [table[intent]])
    assert ask() == (200, [policy.safe_model])
    Provider.failing = {"large"}
    assert ask(pointsman_model="large", pointsman_intent="chat") == (200, ["large", "large", "medium"])
    assert ask(pointsman_model="large") == (200, ["large", "large", "small"])
