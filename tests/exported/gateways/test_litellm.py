"""What runs inside LiteLLM, without LiteLLM: requests are read as traces are, settings come from the environment."""

from __future__ import annotations

import asyncio
import copy
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.errors import BundleError, PointsmanError
from pointsman.gateways.chat_request import ChatRequest, read_chat
from pointsman.gateways.litellm_plugin import Classifier
from pointsman.gateways.litellm_runtime import Runtime, Settings, metadata_of, told
from pointsman.readers.messages import asked
from pointsman.router import Router

if TYPE_CHECKING:
    from pathlib import Path

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
BODIES: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": "What is a switch?"}]},
    {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]},
    {
        "messages": [
            {"role": "user", "content": "One"},
            {"role": "assistant", "content": "1"},
            {"role": "user", "content": "Two"},
        ]
    },
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, PICTURE]}]},
    {"messages": [{"role": "user", "content": [SOUND, {"type": "text", "text": "Write it down"}]}]},
    {"messages": [{"role": "user", "content": [PICTURE]}]},
    {
        "system": "Be kind.",
        "messages": [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "weather", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "Rain"}]},
        ],
    },
    {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Read"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}},
                ],
            }
        ]
    },
    {"instructions": "Be exact.", "input": "How long is a mile?"},
    {"input": [{"role": "user", "content": [{"type": "input_text", "text": "Sum"}]}]},
    {"prompt": "Once upon a time"},
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: json.dumps(body)[:60])
def test_a_request_is_read_as_its_trace_will_be(body: dict[str, Any]) -> None:
    found = read_chat(body)
    held = next(body[key] for key in ("messages", "input", "prompt") if key in body)
    trace = asked(held, body.get("system"), body.get("instructions"))
    assert (found.prompt, found.modality) == (trace.prompt or "", trace.modality)
    assert (found.context_tokens > 0) == (trace.around > 0)


def test_context_is_what_stands_around_the_last_question() -> None:
    messages = [{"role": "system", "content": "s" * 400}, {"role": "user", "content": "q" * 4000}]
    assert read_chat({"messages": messages}).context_tokens == 100
    turns = [*messages, {"role": "assistant", "content": "é" * 200}, {"role": "user", "content": "next"}]
    assert read_chat({"messages": turns}) == ChatRequest("next", "text", (400 + 4000 + 400) // 4)


def test_what_a_tool_returned_is_context_and_no_question() -> None:
    returned = {"type": "function_call_output", "call_id": "1", "output": "d" * 40}
    assert read_chat({"input": [{"role": "user", "content": "Go"}, returned]}) == ChatRequest("Go", "text", 10)


DEEP: list[Any] = ["deep"]
for _ in range(5000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "held",
    [
        None,
        7,
        "",
        [],
        [None],
        [[]],
        {},
        [{"role": 3}],
        [{"role": "user", "content": DEEP}],
        [{"role": "user"}],
        "\ud800",
    ],
)
def test_no_layout_is_an_error(held: Any) -> None:
    for key in ("messages", "input", "prompt"):
        assert isinstance(read_chat({key: held}), ChatRequest)


def test_settings_come_from_the_environment(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(PointsmanError, match="POINTSMAN_BUNDLE is not set"):
        Settings.from_environment({})
    log = tmp_path / "log-{pid}.jsonl"
    named = {"POINTSMAN_BUNDLE": str(tiny_bundle), "POINTSMAN_LOG": str(log), "POINTSMAN_LOG_PROMPTS": "True"}
    settings = Settings.from_environment(named | {"POINTSMAN_MODEL": "", "POINTSMAN_KILL_FILE": str(tmp_path / "kill")})
    assert (settings.routed_model, settings.log_prompts) == ("pointsman", True)
    router = settings.router()
    router.route("hello", user_id="u")
    (written,) = tmp_path.glob("log-*.jsonl")
    assert json.loads(written.read_text())["prompt"] == "hello"
    (tmp_path / "kill").touch()
    assert router.killed
    router.close()


def test_an_empty_public_key_does_not_mean_that_none_is_needed(tiny_bundle: Path) -> None:
    settings = Settings.from_environment({"POINTSMAN_BUNDLE": str(tiny_bundle), "POINTSMAN_PUBLIC_KEY": ""})
    with pytest.raises(PointsmanError):
        settings.router()
    with pytest.raises(BundleError):
        Settings(str(tiny_bundle / "none")).router()


@pytest.fixture(scope="module")
def runtime(tiny_bundle: Path) -> Runtime:
    return Runtime(Router.load(tiny_bundle))


def context(messages: list[Any], **metadata: Any) -> SimpleNamespace:
    return SimpleNamespace(structured_messages=messages, raw_messages=messages, metadata=metadata)


def test_the_classifier_says_what_the_router_says(runtime: Runtime) -> None:
    for prompt in ("hello", "fix this code", "write a sum of what is the code"):
        tier = asyncio.run(Classifier(runtime).classify(context([{"role": "user", "content": prompt}])))
        assert tier == runtime.router.route(prompt).model


def test_the_classifier_keeps_the_decision_of_the_hook(runtime: Runtime) -> None:
    decision = runtime.router.route("hello")
    for model in runtime.router.policy.models:
        document = {**decision.to_dict(), "model": model}
        messages = [{"role": "user", "content": "hello"}]
        assert asyncio.run(Classifier(runtime).classify(context(messages, pointsman=document))) == model


def test_a_classifier_that_fails_leaves_it_to_litellm(runtime: Runtime) -> None:
    assert asyncio.run(Classifier(runtime).classify(SimpleNamespace(metadata={}))) is None


def test_litellm_may_copy_its_settings_with_the_classifier_in_them(runtime: Runtime) -> None:
    settings = {"classifier_plugin": Classifier(runtime)}
    assert copy.deepcopy(settings)["classifier_plugin"] is settings["classifier_plugin"]


def test_ids_that_are_none_are_replaced(runtime: Runtime) -> None:
    for request_id in (None, "", "x" * 257, 7):
        decision = asyncio.run(runtime.decide({"prompt": "hello"}, request_id=request_id, user_id=3))
        assert len(decision.request_id) == 32
    assert asyncio.run(runtime.decide({"prompt": "hello"}, request_id="mine")).request_id == "mine"


def test_an_attempt_of_a_fallback_claims_no_propensity(runtime: Runtime) -> None:
    decision = runtime.router.route("hello")
    other = next(name for name in runtime.router.policy.models if name != decision.model)
    attempt = runtime.attempt(decision, other, 1)
    assert (attempt.model, attempt.propensity, attempt.tried) == (other, None, (decision.model,))
    assert attempt.request_id == decision.request_id
    assert runtime.attempt(decision, decision.model, 0) is decision
    assert runtime.attempt(decision, "unknown", 0) is decision


def test_a_cost_that_litellm_does_not_know_is_the_policy_s(runtime: Runtime) -> None:
    assert runtime.cost_usd("small", 0.25, 10, 10) == 0.25
    assert runtime.cost_usd("small", 0.0, 1_000_000, 1_000_000) == pytest.approx(0.5)
    assert runtime.cost_usd("small", None, None, 5) is None
    assert runtime.cost_usd("unknown", None, 5, 5) is None


def test_metadata_has_a_decision_or_none(runtime: Runtime) -> None:
    decision = runtime.router.route("hello")
    for name in ("metadata", "litellm_metadata"):
        data: dict[str, Any] = {name: {}}
        metadata_of(data)["pointsman"] = decision.to_dict()
        assert told(None, data) == decision
        assert list(data) == [name]
    data = {"metadata": None}
    assert metadata_of(data) is data["metadata"]
    assert told({"metadata": {"pointsman": {"model": "large"}}}) is None
    assert told({"metadata": None}, 3) is None
