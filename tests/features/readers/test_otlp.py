"""OpenTelemetry spans: every layout gives the same span, every generation of names the same fields."""

from __future__ import annotations

import base64
import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode

from pointsman.readers.otlp import READER
from pointsman.spans import EMBEDDING, FEEDBACK, LLM, OTHER, RETRIEVAL, TOOL, Score, Span

if TYPE_CHECKING:
    from collections.abc import Mapping

EXPORTS = Path(__file__).parents[1] / "exports"
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "small"}
START = 1_767_600_000_000_000_000
MESSAGES = [
    {"role": "system", "parts": [{"type": "text", "content": "Be short."}]},
    {"role": "user", "parts": [{"type": "text", "content": "Where is my order?"}]},
]


def recorded(
    attributes: Mapping[str, Any], *, name: str = "chat small", events: Mapping[str, Any] | None = None, **more: Any
) -> ReadableSpan:
    """Record a span of 250 ms under a parent with the real SDK; events happen after 100 ms."""
    provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
    memory = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("root"):
        span = tracer.start_span(name, attributes=attributes, start_time=START)
        for event, held in (events or {}).items():
            span.add_event(event, held, timestamp=START + 100_000_000)
        if "status" in more:
            span.set_status(more["status"])
        span.end(START + 250_000_000)
    return memory.get_finished_spans()[0]


def _any(value: Any) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, dict):
        return AnyValue(kvlist_value=KeyValueList(values=_pairs(value)))
    if isinstance(value, list | tuple):
        return AnyValue(array_value=ArrayValue(values=[_any(one) for one in value]))
    return AnyValue(string_value=value)


def _pairs(held: Mapping[str, Any] | None) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any(value)) for key, value in (held or {}).items()]


def request(span: ReadableSpan) -> ExportTraceServiceRequest:
    """Return the protobuf message that an exporter would send."""
    message = ExportTraceServiceRequest()
    batch = message.resource_spans.add()
    batch.resource.attributes.extend(_pairs(span.resource.attributes))
    sent = batch.scope_spans.add().spans.add(name=span.name, kind=3)
    sent.trace_id, sent.span_id = span.context.trace_id.to_bytes(16), span.context.span_id.to_bytes(8)
    if span.parent is not None:
        sent.parent_span_id = span.parent.span_id.to_bytes(8)
    sent.start_time_unix_nano, sent.end_time_unix_nano = span.start_time or 0, span.end_time or 0
    sent.attributes.extend(_pairs(span.attributes))
    for event in span.events:
        made = sent.events.add(name=event.name, time_unix_nano=event.timestamp)
        made.attributes.extend(_pairs(event.attributes))
    sent.status.code = {StatusCode.UNSET: 0, StatusCode.OK: 1, StatusCode.ERROR: 2}[span.status.status_code]
    sent.status.message = span.status.description or ""
    return message


def otlp_json(span: ReadableSpan) -> dict[str, Any]:
    """Return the JSON encoding of OTLP: as protobuf's, but ids in hex."""
    held: dict[str, Any] = MessageToDict(request(span))
    one = held["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    for key in ("traceId", "spanId", "parentSpanId"):
        one[key] = base64.b64decode(one[key]).hex()
    one["status"]["code"] = {None: 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}[one["status"].get("code")]
    return held


def export(name: str) -> list[Span]:
    lines = (EXPORTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert all(READER.fits(record) for record in records)
    return [span for record in records for span in READER.read(record)]


LIBRARIES = ("otlp_openai_v2", "otlp_openai_v2_events", "otlp_openinference", "otlp_traceloop", "otlp_traceloop_flat")


@pytest.mark.parametrize("name", LIBRARIES)
def test_instrumentations_tell_the_same_story(name: str) -> None:
    spans = [span for span in export(name) if span.start_us is not None]
    assert Counter(span.kind for span in spans) == {LLM: 10, OTHER: 8, TOOL: 1, RETRIEVAL: 1, EMBEDDING: 1}
    known = {span.span_id: span for span in spans}
    assert all(span.parent_id is None or span.parent_id in known for span in spans)
    assert len({span.trace_id for span in spans}) == 8
    calls = [span for span in spans if span.kind == LLM]
    # A call that failed has only the name that was asked for.
    assert Counter(span.model for span in calls) == {
        "small-1-2026-01-05": 7,
        "reasoner-1-2026-01-05": 1,
        "broken-large": 1,
        "slow-large": 1,
    }
    ended = {str(span.model): span.status for span in calls}
    assert (ended["broken-large"], ended["slow-large"]) == ("error", "timeout")
    assert all(span.status in {None, "ok"} for span in calls if span.model not in {"broken-large", "slow-large"})
    (reasoned,) = (span for span in calls if span.model == "reasoner-1-2026-01-05")
    assert (reasoned.input_tokens, reasoned.output_tokens) == (2048, 320)
    for span in spans:
        assert span.start_us is not None
        assert span.end_us is not None
        assert span.start_us < span.end_us


@pytest.mark.parametrize("name", LIBRARIES)
def test_instrumentations_give_the_last_question(name: str) -> None:
    # Content that is logged apart comes as a second record of its span.
    prompts = {span.span_id: span for span in export(name) if span.kind == LLM and span.prompt is not None}
    asked = Counter(str(span.prompt) for span in prompts.values())
    # The image is recorded by OpenInference alone.
    assert asked == {
        "Where is my wheel?": 1,
        "When do you open?": 1,
        "Compare three gear hubs for a cargo bike.": 1,
        "What is the state of order 1203?": 2,
        "Can I return a helmet?": 2,
        "Plan a tour of five days.": 1,
        "Which tyre pressure do I need?": 1,
    } | ({"What is broken here?": 1} if name == "otlp_openinference" else {})
    (plain,) = (span for span in prompts.values() if span.prompt == "Where is my wheel?")
    assert plain.context_tokens == round(40 * 67 / (67 + 18))


def test_openllmetry_tells_cached_and_reasoning_tokens_and_the_first_token() -> None:
    spans = [span for span in export("otlp_traceloop") if span.kind == LLM]
    (reasoned,) = (span for span in spans if span.model == "reasoner-1-2026-01-05")
    assert (reasoned.cached_input_tokens, reasoned.reasoning_tokens) == (1920, 256)
    (streamed,) = (span for span in spans if span.first_token_ms is not None)
    assert streamed.first_token_ms is not None
    assert streamed.end_us is not None
    assert streamed.start_us is not None
    assert 30 <= streamed.first_token_ms < (streamed.end_us - streamed.start_us) / 1000


def test_every_layout_gives_the_same_span() -> None:
    span = recorded(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "small",
            "gen_ai.usage.input_tokens": 2**40,
            "gen_ai.response.time_to_first_chunk": 0.125,
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.input.messages": json.dumps(MESSAGES),
            "shop.vip": True,
        },
        events={"exception": {"exception.type": "TimeoutError"}},
        status=Status(StatusCode.ERROR, "gave up"),
    )
    wanted = Span(
        kind=LLM,
        trace_id=f"{span.context.trace_id:032x}",
        span_id=f"{span.context.span_id:016x}",
        parent_id=f"{span.parent.span_id:016x}" if span.parent else None,
        name="chat small",
        start_us=START // 1000,
        end_us=START // 1000 + 250_000,
        first_token_ms=125.0,
        status="timeout",
        model="small",
        prompt="Where is my order?",
        modality="text",
        context_tokens=round(2**40 * 9 / 27),
        input_tokens=2**40,
        tags={"service.name": "shop", "shop.vip": "true"},
    )
    hexed = otlp_json(span)
    batch = hexed["resourceSpans"][0]
    old = {**batch, "instrumentationLibrarySpans": batch["scopeSpans"]}
    del old["scopeSpans"]
    layouts = {
        "OTLP": hexed,
        "protobuf": MessageToDict(request(span)),
        "protobuf, snake case": MessageToDict(request(span), preserving_proto_field_name=True),
        "before 2022": {"resourceSpans": [old]},
        "one batch a line": batch,
        "SDK": json.loads(span.to_json()),
    }
    for name, record in layouts.items():
        assert READER.fits(record), name
        assert READER.read(record) == [wanted], name
    bare = batch["scopeSpans"][0]["spans"][0]
    wanted.tags = {"shop.vip": "true"}
    assert READER.fits(bare)
    assert READER.read(bare) == [wanted]


def test_structured_messages() -> None:
    record = otlp_json(recorded(CHAT))
    image = {
        "role": "user",
        "parts": [{"type": "text", "content": "What is this?"}, {"type": "uri", "modality": "image"}],
    }
    pair = MessageToDict(_pairs({"gen_ai.input.messages": [image]})[0])
    record["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"].append(pair)
    (span,) = READER.read(record)
    assert (span.prompt, span.modality) == ("What is this?", "image")


def test_log_records_belong_to_their_span() -> None:
    ids = {"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331"}
    judged = MessageToDict(_pairs({"gen_ai.evaluation.name": "tone", "gen_ai.evaluation.score.value": 1.0})[1])
    body = {"kvlistValue": {"values": [{"key": "content", "value": {"stringValue": "Where is my order?"}}]}}
    record = {
        "resourceLogs": [
            {
                "scopeLogs": [
                    {
                        "logRecords": [
                            {**ids, "eventName": "gen_ai.evaluation.result", "attributes": [judged]},
                            {**ids, "eventName": "gen_ai.user.message", "body": body, "timeUnixNano": str(START)},
                            {**ids, "body": {"stringValue": "a line of a log"}},
                        ]
                    }
                ]
            }
        ]
    }
    assert READER.fits(record)
    assert READER.read(record) == [
        Span(kind=FEEDBACK, trace_id=ids["traceId"], parent_id=ids["spanId"], scores=[Score("evaluation", 1.0)]),
        Span(
            kind=OTHER,
            trace_id=ids["traceId"],
            parent_id=ids["spanId"],
            name="gen_ai.user.message",
            start_us=START // 1000,
            prompt="Where is my order?",
            modality="text",
        ),
    ]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"resourceSpans": 5}, r"resourceSpans: must be a list of objects \(got 5\)"),
        ({"resourceSpans": [None]}, r"resourceSpans: must be a list of objects \(got \[None\]\)"),
        ({"resourceSpans": [{"scopeSpans": [{"spans": "x"}]}]}, r"resourceSpans.scopeSpans.spans: must be"),
        ({"spans": []}, r"resourceSpans: must be a list of batches"),
    ],
)
def test_a_record_that_is_no_batch_is_refused(record: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        READER.read(record)


def test_empty_requests_hold_no_step() -> None:
    assert READER.read({"resourceSpans": []}) == []
    assert READER.read({"resourceSpans": [{"scopeSpans": [{"spans": []}]}]}) == []


@pytest.mark.parametrize(
    "record",
    [
        {"request_id": "r", "prompt": "Hello", "model": "small"},
        {
            "context": {"trace_id": "a", "span_id": "b"},
            "span_kind": "LLM",
            "start_time": "2026-01-05",
            "attributes": {},
        },
        {"context": {"trace_id": "a"}, "span_kind": "LLM", "kind": "LLM", "start_time": "2026-01-05", "attributes": {}},
        {"trace_id": "tr-1", "start_time_unix_nano": 1, "attributes": {"mlflow.spanType": "LLM"}},
        {"id": "o", "traceId": "t", "type": "GENERATION", "startTime": "2026-01-05"},
    ],
)
def test_records_of_other_formats_do_not_fit(record: dict[str, Any]) -> None:
    assert not READER.fits(record)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("NaN"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["key", "value", "role"]), inner),
    max_leaves=5,
)


def _places(held: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = held.items() if isinstance(held, dict) else enumerate(held) if isinstance(held, list) else ()
    return [path] * bool(path) + [one for key, value in inner for one in _places(value, (*path, key))]


_LINES = [
    line for name in LIBRARIES for line in (EXPORTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[:12]
] + [recorded(CHAT, events={"gen_ai.user.message": {"content": "Hello"}}).to_json()]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_wrong_type_anywhere_is_no_crash(data: st.DataObject) -> None:
    record = json.loads(data.draw(st.sampled_from(_LINES)))
    for _ in range(data.draw(st.integers(1, 3))):
        places = _places(record)
        path = data.draw(st.sampled_from(places))
        held = record
        for key in path[:-1]:
            held = held[key]
        held[path[-1]] = data.draw(_ANY)
    with suppress(ValueError):
        assert all(isinstance(span, Span) for span in READER.read(record))
