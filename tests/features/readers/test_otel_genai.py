"""OpenTelemetry GenAI attributes: every generation of names gives the same fields."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.readers.otel import Step
from pointsman.readers.otel_genai import genai_span
from pointsman.readers.otel_names import told_by
from pointsman.spans import EMBEDDING, LLM, OTHER, RERANKER, RETRIEVAL, TOOL, Score, Span

if TYPE_CHECKING:
    from collections.abc import Mapping

MESSAGES = [
    {"role": "system", "parts": [{"type": "text", "content": "Be short."}]},
    {"role": "user", "parts": [{"type": "text", "content": "Where is my order?"}]},
]
TURNS = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Where is my order?"}]


def read(attributes: Mapping[str, Any], *, events: Mapping[str, Any] | None = None, **more: Any) -> Span:
    """Read a step that starts at 1 s; its events come 100 ms later."""
    happened: list[tuple[str, int | None, dict[str, Any]]] = [
        (name, 1_100_000, dict(held)) for name, held in (events or {}).items()
    ]
    step = Step(
        start_us=1_000_000, attributes=dict(attributes), events=happened, resource={"service.name": "shop"}, **more
    )
    return genai_span(step)


def told(span: Span, *names: str) -> dict[str, Any]:
    return {name: getattr(span, name) for name in names}


CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "small"}
SPENT = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens", "cost_usd")
GENERATIONS: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    "newest": (
        {
            **CHAT,
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.usage.cache_read.input_tokens": 60,
            "gen_ai.usage.cache_write.input_tokens": 10,
            "gen_ai.usage.reasoning.output_tokens": 5,
            "gen_ai.usage.cost": 0.01,
        },
        (100, 20, 60, 10, 5, 0.01),
    ),
    "1.40": (
        {**CHAT, "gen_ai.usage.input_tokens": 9, "gen_ai.usage.cache_creation.input_tokens": 4},
        (9, None, None, 4),
    ),
    "1.26": (
        {
            "gen_ai.system": "openai",
            "gen_ai.request.model": "small",
            "gen_ai.usage.prompt_tokens": 7,
            "gen_ai.usage.completion_tokens": 3,
        },
        (7, 3),
    ),
    "OpenLLMetry, Anthropic": (
        {
            "llm.request.type": "chat",
            "gen_ai.request.model": "small",
            "gen_ai.usage.prompt_tokens": 100,
            "gen_ai.usage.completion_tokens": 3,
            "llm.usage.total_tokens": 103,
            "gen_ai.usage.cache_read_input_tokens": 80,
            "gen_ai.usage.cache_creation_input_tokens": 5,
            "llm.usage.reasoning_tokens": 2,
        },
        (100, 3, 80, 5, 2),
    ),
    "AI SDK": (
        {
            "ai.operationId": "ai.streamText.doStream",
            "ai.model.id": "small",
            "ai.usage.promptTokens": 7,
            "ai.usage.completionTokens": 3,
        },
        (7, 3),
    ),
    "AI SDK 6": (
        {
            "ai.operationId": "ai.generateText.doGenerate",
            "ai.model.id": "small",
            "ai.usage.inputTokens": 50,
            "ai.usage.outputTokens": 30,
            "ai.usage.inputTokenDetails.cacheReadTokens": 40,
            "ai.usage.outputTokenDetails.reasoningTokens": 20,
        },
        (50, 30, 40, None, 20),
    ),
    "LiteLLM": (
        {"llm.request.type": "acompletion", "gen_ai.request.model": "small", "gen_ai.cost.total_cost": 0.25},
        (None, None, None, None, None, 0.25),
    ),
    "vLLM": ({"gen_ai.response.model": "small", "gen_ai.usage.prompt_tokens": 7}, (7,)),
    "cached tokens left out": (
        {**CHAT, "gen_ai.usage.input_tokens": 10, "gen_ai.usage.cache_read_input_tokens": 90},
        (100, None, 90),
    ),
    "all left out, told by the total": (
        {
            **CHAT,
            "gen_ai.usage.input_tokens": 50,
            "gen_ai.usage.output_tokens": 10,
            "gen_ai.usage.cache_read_input_tokens": 40,
            "gen_ai.usage.total_tokens": 100,
        },
        (90, 10, 40),
    ),
    "reasoning left out": (
        {**CHAT, "gen_ai.usage.output_tokens": 10, "gen_ai.usage.reasoning_tokens": 90},
        (None, 100, None, None, 90),
    ),
    "nothing told": (CHAT, ()),
    "not numbers": ({**CHAT, "gen_ai.usage.input_tokens": "many", "gen_ai.usage.cost": "free"}, ()),
}


@pytest.mark.parametrize("name", GENERATIONS)
def test_tokens_and_cost_of_all_generations(name: str) -> None:
    attributes, wanted = GENERATIONS[name]
    span = read(attributes)
    assert (span.kind, span.model) == (LLM, "small")
    assert told(span, *SPENT) == dict(zip(SPENT, (*wanted, *[None] * 6), strict=False))


@pytest.mark.parametrize(
    ("attributes", "events"),
    [
        ({"gen_ai.input.messages": json.dumps(MESSAGES)}, {}),
        ({"gen_ai.prompt": json.dumps(TURNS)}, {}),
        ({"gen_ai.input.messages": json.dumps(MESSAGES[1:]), "gen_ai.system_instructions": '["Be short."]'}, {}),
        ({}, {"gen_ai.client.inference.operation.details": {"gen_ai.input.messages": json.dumps(MESSAGES)}}),
        (
            {},
            {
                "gen_ai.content.prompt": {
                    "gen_ai.prompt": '["Be short.", {"role": "user", "content": "Where is my order?"}]'
                }
            },
        ),
        (
            {
                "gen_ai.prompt.2.role": "user",
                "gen_ai.prompt.2.content": "Where is my order?",
                "gen_ai.prompt.0.role": "user",
                "gen_ai.prompt.0.content": "Hi",
                "gen_ai.prompt.1.role": "assistant",
                "gen_ai.prompt.1.content": "Hello!!",
            },
            {},
        ),
        (
            {},
            {
                "gen_ai.system.message": {"content": "Be short."},
                "gen_ai.user.message": {"content": "Where is my order?"},
                "gen_ai.choice": {"message": "On its way."},
            },
        ),
        (
            {},
            {
                "gen_ai.system.message": {"gen_ai.event.content": '{"role": "system", "content": "Be short."}'},
                "gen_ai.user.message": {"gen_ai.event.content": '{"content": "Where is my order?"}'},
            },
        ),
        (
            {},
            {
                "gen_ai.system.message": {"content": "Be short."},
                "gen_ai.user.message": {"content": '[{"text": "Where is my order?"}]'},
            },
        ),
        (
            {
                "ai.prompt.messages": '[{"role": "system", "content": "Be short."}, {"role": "user", "content": '
                '[{"type": "text", "text": "Where is my order?"}]}]'
            },
            {},
        ),
        (
            {
                "events": '[{"event.name": "gen_ai.system.message", "role": "system", "content": "Be short."}, '
                '{"event.name": "gen_ai.user.message", "role": "user", "content": "Where is my order?"}]'
            },
            {},
        ),
    ],
)
def test_messages_wherever_they_stand(attributes: dict[str, Any], events: dict[str, Any]) -> None:
    span = read({**CHAT, "gen_ai.usage.input_tokens": 27, **attributes}, events=events)
    assert told(span, "prompt", "modality", "context_tokens") == {
        "prompt": "Where is my order?",
        "modality": "text",
        "context_tokens": 9,
    }


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        (LLM, {"gen_ai.operation.name": "text_completion"}),
        (LLM, {"gen_ai.operation.name": "generate_content"}),
        (LLM, {"gen_ai.operation.name": "something_new", "gen_ai.request.model": "small"}),
        (EMBEDDING, {"gen_ai.operation.name": "embeddings"}),
        (EMBEDDING, {"ai.operationId": "ai.embed.doEmbed"}),
        (TOOL, {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "lookup"}),
        (TOOL, {"ai.operationId": "ai.toolCall", "ai.toolCall.name": "lookup"}),
        (TOOL, {"traceloop.span.kind": "tool"}),
        (TOOL, {"mcp.method.name": "tools/call"}),
        (RETRIEVAL, {"gen_ai.operation.name": "retrieval"}),
        (RERANKER, {"llm.request.type": "rerank", "gen_ai.request.model": "sorter"}),
        (RETRIEVAL, {"db.system": "pinecone", "db.operation": "query"}),
        (RETRIEVAL, {"db.system.name": "qdrant", "db.operation.name": "search"}),
        (RETRIEVAL, {"db.system": "postgresql", "db.statement": "SELECT t FROM d ORDER BY e <=> $1 LIMIT 5"}),
        (RETRIEVAL, {"db.system": "elasticsearch", "db.operation": "search"}),
        (OTHER, {"db.system": "qdrant", "db.operation": "upsert"}),
        (OTHER, {"db.system": "postgresql", "db.statement": "SELECT 1"}),
        (OTHER, {"db.system": "elasticsearch", "db.operation": "elasticsearch.index"}),
        (OTHER, {"http.request.method": "POST"}),
        (OTHER, {"traceloop.span.kind": "workflow"}),
        # Sums of the calls below them; as answers they would count twice.
        (
            OTHER,
            {"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "small", "gen_ai.usage.input_tokens": 9},
        ),
        (OTHER, {"ai.operationId": "ai.generateText", "ai.model.id": "small", "ai.usage.inputTokens": 9}),
    ],
)
def test_kinds(kind: str, attributes: dict[str, Any]) -> None:
    span = read(attributes, name="step")
    assert span.kind == kind
    if kind == OTHER:
        assert (span.model, span.input_tokens) == (None, None)


@pytest.mark.parametrize(
    ("wanted", "attributes", "events", "message"),
    [
        ("error", {}, {}, "no"),
        ("error", {"error.type": "RateLimitError"}, {}, ""),
        ("timeout", {"error.type": "openai.APITimeoutError"}, {}, ""),
        ("timeout", {"error.type": "504"}, {}, ""),
        ("timeout", {}, {"exception": {"exception.type": "httpx.ReadTimeout"}}, ""),
        ("timeout", {}, {"exception": {"exception.message": "Deadline exceeded"}}, ""),
        ("timeout", {"error.type": "_OTHER"}, {}, "Request timed out."),
        ("error", {"error.type": "BadRequestError"}, {}, "timeout must be positive"),
    ],
)
def test_status_of_a_failure(wanted: str, attributes: dict[str, Any], events: dict[str, Any], message: str) -> None:
    assert read({**CHAT, **attributes}, events=events, failed=True, message=message).status == wanted


def test_status_that_is_no_failure() -> None:
    assert read(CHAT).status is None
    assert read(CHAT, succeeded=True).status == "ok"
    assert read({**CHAT, "error.type": "RateLimitError"}).status == "error"
    # The application caught it.
    assert read(CHAT, events={"exception": {"exception.type": "TimeoutError"}}).status is None


@pytest.mark.parametrize(
    ("attributes", "events"),
    [
        ({"gen_ai.response.time_to_first_chunk": 0.1}, {}),
        ({"gen_ai.server.time_to_first_token": 0.1}, {}),
        ({"ai.response.msToFirstChunk": 100.0}, {}),
        ({}, {"ai.stream.firstChunk": {"ai.response.msToFirstChunk": 100}}),
        ({}, {"gen_ai.content.completion.chunk": {}}),
    ],
)
def test_first_token(attributes: dict[str, Any], events: dict[str, Any]) -> None:
    assert read({**CHAT, **attributes}, events=events).first_token_ms == pytest.approx(100)


@pytest.mark.parametrize(
    ("user", "conversation"),
    [
        ("user.id", "gen_ai.conversation.id"),
        ("enduser.id", "session.id"),
        ("traceloop.association.properties.user_id", "traceloop.association.properties.session_id"),
        ("ai.telemetry.metadata.userId", "ai.telemetry.metadata.sessionId"),
        ("langfuse.user.id", "langfuse.session.id"),
    ],
)
def test_who_asked(user: str, conversation: str) -> None:
    assert told(read({**CHAT, user: "u-7", conversation: "c-7"}), "user_id", "conversation_id") == {
        "user_id": "u-7",
        "conversation_id": "c-7",
    }


def test_tags_are_metadata_and_what_is_of_no_convention() -> None:
    span = read(
        {
            **CHAT,
            "gen_ai.agent.name": "desk",
            "gen_ai.request.temperature": 0.5,
            "http.route": "/ask",
            "traceloop.association.properties.intent": "refund",
            "ai.telemetry.metadata.plan": "gold",
            "metadata": '{"page": "cart"}',
            "shop.country": "PT",
            "shop.essay": "long " * 100,
            "langfuse.trace.tags": ["beta"],
        }
    )
    assert span.tags == {
        "service.name": "shop",
        "gen_ai.agent.name": "desk",
        "intent": "refund",
        "plan": "gold",
        "page": "cart",
        "shop.country": "PT",
        "beta": "",
    }


def test_evaluations_are_scores() -> None:
    span = read(
        CHAT,
        events={
            "gen_ai.evaluation.result": {
                "gen_ai.evaluation.name": "relevance",
                "gen_ai.evaluation.score.value": 0.75,
                "gen_ai.evaluation.score.label": "relevant",
            }
        },
    )
    assert span.scores == [Score("relevance", 0.75)]
    label = {"gen_ai.evaluation.name": "tone", "gen_ai.evaluation.score.label": "rude"}
    assert read(CHAT, events={"gen_ai.evaluation.result": label}).scores == [Score("tone", "rude")]


def test_a_prompt_that_is_json_stays_one() -> None:
    assert read(CHAT, events={"gen_ai.user.message": {"content": '{"order": 7}'}}).prompt == '{"order": 7}'


def test_own_attributes_of_a_gateway_come_first() -> None:
    span = read(
        {
            **CHAT,
            "gen_ai.response.model": "small-2026-01-05",
            "pointsman.model": "small",
            "pointsman.intent": "refund",
            "pointsman.propensity": 0.25,
            "pointsman.request_id": "r-1",
            "pointsman.hallucinated": False,
            "pointsman.retries": 2,
            "pointsman.unheard_of": 1,
        }
    )
    assert told(span, "model", "intent", "propensity", "request_id", "hallucinated", "retries") == {
        "model": "small",
        "intent": "refund",
        "propensity": 0.25,
        "request_id": "r-1",
        "hallucinated": False,
        "retries": 2,
    }


def test_of_several_names_the_first_of_the_conventions_counts_whatever_their_order() -> None:
    held = {"gen_ai.request.model": "asked", "gen_ai.response.model": "answered", "gen_ai.usage.input_tokens": 5}
    assert told_by(held) == {"model": "answered", "input_tokens": 5}
    assert told_by(dict(reversed(held.items()))) == told_by(held)
    assert told_by({"gen_ai.response.model": None, "gen_ai.request.model": "asked"}) == {"model": "asked"}
