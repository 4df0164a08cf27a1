"""OpenInference: the same calls within OTLP, in frames and in REST spans of a real Phoenix, and its judgements."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.readers import otlp
from pointsman.readers.openinference import READER
from pointsman.spans import EMBEDDING, FEEDBACK, LLM, OTHER, RERANKER, RETRIEVAL, TOOL, Score, Span

EXPORTS = Path(__file__).parents[1] / "exports"
IDS = {"context.span_id": "b7ad6b7169203331", "context.trace_id": "0af7651916cd43dd8448eb211c80319c"}


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (EXPORTS / name).read_text(encoding="utf-8").splitlines()]


def rows(name: str) -> list[dict[str, Any]]:
    held: list[dict[str, Any]] = pq.read_table(EXPORTS / name).to_pylist()
    return held


def spans(records: list[dict[str, Any]]) -> list[Span]:
    assert all(READER.fits(record) for record in records)
    found = [span for record in records for span in READER.read(record)]
    return sorted(found, key=lambda span: (span.start_us or 0, str(span.parent_id), str(span.scores)))


def exported(kind: str, attributes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "U3Bhbjox",
        "name": "step",
        "context": {"trace_id": IDS["context.trace_id"], "span_id": IDS["context.span_id"]},
        "span_kind": kind,
        "parent_id": None,
        "start_time": "2026-01-05T08:00:00+00:00",
        "end_time": "2026-01-05T08:00:01.500000+00:00",
        "status_code": "OK",
        "attributes": attributes,
        "events": [],
        **more,
    }


def read(kind: str, attributes: dict[str, Any], **more: Any) -> Span:
    (span,) = spans([exported(kind, attributes, **more)])
    return span


def test_frame_and_rest_interface_of_phoenix_give_the_same_spans() -> None:
    frame = spans(rows("openinference_phoenix.parquet"))
    assert len(frame) == 21
    assert frame == spans(lines("openinference_phoenix_spans.jsonl"))


def test_a_span_of_phoenix_is_whole() -> None:
    held = spans(rows("openinference_phoenix.parquet"))
    kinds = Counter(span.kind for span in held)
    assert kinds == {LLM: 10, OTHER: 8, TOOL: 1, RETRIEVAL: 1, EMBEDDING: 1}
    (reasoned,) = (span for span in held if span.model == "reasoner-1-2026-01-05")
    assert reasoned == Span(
        kind=LLM,
        trace_id=reasoned.trace_id,
        span_id=reasoned.span_id,
        parent_id=reasoned.parent_id,
        name="ChatCompletion",
        start_us=reasoned.start_us,
        end_us=reasoned.end_us,
        status="ok",
        model="reasoner-1-2026-01-05",
        prompt="Compare three gear hubs for a cargo bike.",
        modality="text",
        context_tokens=round(2048 * 67 / 108),
        input_tokens=2048,
        cached_input_tokens=1920,
        output_tokens=320,
        reasoning_tokens=256,
        conversation_id="s-1",
        user_id="u-1",
        tags={"intent": "support", "tier": "gold"},
        cache_write_tokens=None,
    )
    (streamed,) = (span for span in held if span.first_token_ms is not None)
    assert streamed.prompt == "When do you open?"
    (image,) = (span for span in held if span.modality == "image")
    assert image.prompt == "What is broken here?"
    # What was asked for is all that a failed call has.
    failed = {str(span.model): span.status for span in held if span.kind == LLM and span.status != "ok"}
    assert failed == {"broken-large": "error", "slow-large": "timeout"}
    (root,) = (span for span in held if span.span_id == image.parent_id)
    assert (root.tags["desk.queue"], root.tags["openinference.span.kind"]) == ("bikes", "CHAIN")


def test_within_otlp_the_same_calls_give_the_same_fields() -> None:
    def story(held: list[Span]) -> Counter[tuple[Any, ...]]:
        fields = ("kind", "model", "status", "prompt", "modality", "context_tokens", "input_tokens", "output_tokens")
        more = ("cached_input_tokens", "reasoning_tokens", "user_id", "conversation_id")
        return Counter(tuple(getattr(one, name) for name in (*fields, *more)) for one in held)

    within = [span for record in lines("otlp_openinference.jsonl") for span in otlp.READER.read(record)]
    assert story(within) == story(spans(rows("openinference_phoenix.parquet")))


@pytest.mark.parametrize("source", ["jsonl", "parquet"])
def test_annotations_judge_their_span(source: str) -> None:
    name = f"openinference_phoenix_annotations.{source}"
    held = spans(lines(name) if source == "jsonl" else rows(name))
    answers = {span.span_id for span in spans(rows("openinference_phoenix.parquet"))}
    assert all(span.kind == FEEDBACK and span.parent_id in answers for span in held)
    assert Counter(score for span in held for score in span.scores) == {
        Score("user feedback", 1.0, "user"): 1,
        Score("correctness", "correct", "judge"): 1,
        Score("is_json", 0.0, "code"): 1,
    }


def test_annotations_of_traces_of_older_frames_and_within_spans() -> None:
    trace = {"trace_id": "0AF7651916CD43DD8448EB211C80319C", "name": "solved", "annotator_kind": "HUMAN"}
    assert spans([{**trace, "result": {"label": "yes", "score": None}}]) == [
        Span(kind=FEEDBACK, trace_id=IDS["context.trace_id"], scores=[Score("solved", "yes", "human")])
    ]
    assert spans(
        [{"context.span_id": IDS["context.span_id"], "label": "factual", "score": 1, "explanation": "so"}]
    ) == [Span(kind=FEEDBACK, parent_id=IDS["context.span_id"], scores=[Score("evaluation", 1.0)])]
    held = {"name": "correctness", "annotator_kind": "LLM", "result": {"label": "correct"}}
    assert read("LLM", {}, annotations=[held]).scores == [Score("correctness", "correct", "judge")]
    flat = {"annotations.0.annotation.name": "tone", "annotations.0.annotation.score": 0.5}
    assert read("LLM", flat | {"annotations.0.annotation.annotator_kind": "CODE"}).scores == [
        Score("tone", 0.5, "code")
    ]
    solved = {"trace": {"evaluations": [{"evaluation": {"name": "solved", "score": 1}}]}}
    answer, judged = READER.read(exported("LLM", solved))
    assert (answer.scores, judged) == (
        [],
        Span(kind=FEEDBACK, trace_id=answer.trace_id, scores=[Score("solved", 1.0)]),
    )
    assert READER.read({"span_id": "a", "annotator_kind": "HUMAN", "name": "note", "result": {}}) == []


def test_nested_attributes_and_attributes_as_text_are_the_flat_ones() -> None:
    flat = {
        "llm.model_name": "small",
        "llm.token_count.prompt": 12,
        "llm.cost.total": 0.5,
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.contents.0.message_content.type": "text",
        "llm.input_messages.0.message.contents.0.message_content.text": "Hello",
        "session.id": "s",
        "metadata": '{"page": "cart"}',
    }
    message = {"role": "user", "contents": [{"message_content": {"type": "text", "text": "Hello"}}]}
    nested = {
        "llm": {
            "model_name": "small",
            "token_count": {"prompt": 12},
            "cost": {"total": 0.5},
            "input_messages": [{"message": message}],
        },
        "session": {"id": "s"},
        "metadata": {"page": "cart"},
    }
    wanted = read("LLM", flat)
    assert (wanted.model, wanted.prompt, wanted.input_tokens, wanted.cost_usd) == ("small", "Hello", 12, 0.5)
    assert (wanted.start_us, wanted.end_us) == (1767600000000000, 1767600001500000)
    assert read("LLM", nested) == wanted
    row: dict[str, Any] = exported("LLM", {}, **IDS, context=None, events="[]")
    row |= {
        "attributes": json.dumps(nested),
        "start_time": datetime(2026, 1, 5, 8, tzinfo=UTC),
        "parent_id": float("nan"),
    }
    event = {"name": "First Token Stream Event", "timestamp": "2026-01-05T08:00:00.100+00:00", "attributes": None}
    row["events"] = json.dumps([event])
    assert spans([row]) == [replace(wanted, first_token_ms=100.0)]


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("LLM", LLM),
        ("RETRIEVER", RETRIEVAL),
        ("RERANKER", RERANKER),
        ("EMBEDDING", EMBEDDING),
        ("TOOL", TOOL),
        ("CHAIN", OTHER),
        ("AGENT", OTHER),
        ("GUARDRAIL", OTHER),
        ("EVALUATOR", OTHER),
        ("UNKNOWN", OTHER),
    ],
)
def test_kinds(kind: str, wanted: str) -> None:
    span = read(kind, {"input.value": "Hello", "llm.cost.total": 0.5, "reranker.model_name": "sorter"})
    assert span.kind == wanted
    assert span.prompt == ("Hello" if wanted in {LLM, OTHER} else None)
    assert span.cost_usd == (None if wanted == OTHER else 0.5)
    assert span.tags == ({"openinference.span.kind": kind} if wanted == OTHER else {})


@pytest.mark.parametrize(
    "attributes",
    [
        {"llm.prompts": ["Hello"]},
        {"llm.prompts.0.prompt.text": "Hello"},
        {"input.value": "Hello", "input.mime_type": "text/plain"},
        {"input.value": '{"messages": [{"role": "user", "content": "Hello"}]}', "input.mime_type": "application/json"},
        {"llm.input_messages": [{"message.role": "user", "message.content": "Hello"}]},
        {"llm.input_messages": '[{"message.role": "user", "message.content": "Hello"}]'},
    ],
)
def test_prompt_wherever_it_stands(attributes: dict[str, Any]) -> None:
    assert read("LLM", attributes).prompt == "Hello"


def test_cached_tokens_that_were_left_out_are_added() -> None:
    counts = {"llm.token_count.prompt": 10, "llm.token_count.prompt_details.cache_read": 80}
    span = read("LLM", counts | {"llm.token_count.prompt_details.cache_write": 5, "llm.model_name": "small"})
    assert (span.input_tokens, span.cached_input_tokens, span.cache_write_tokens) == (95, 80, 5)


def test_a_span_without_ids_is_refused() -> None:
    with pytest.raises(ValueError, match=r"context.span_id: must be the id of a span \(got None\)"):
        READER.read({"name": "step", "span_kind": "LLM", "start_time": "2026-01-05"})
    with pytest.raises(ValueError, match="span_id: must be"):
        READER.read({"annotator_kind": "HUMAN", "span_id": None, "score": 1})


def test_own_attributes_come_first() -> None:
    span = read("LLM", {"llm.model_name": "small-2026", "pointsman": {"model": "small", "propensity": 0.5}})
    assert replace(span, tags={}).model == "small"
    assert span.propensity == 0.5


@pytest.mark.parametrize(
    "record",
    [
        {"request_id": "r", "prompt": "Hello", "model": "small"},
        {"resourceSpans": []},
        {"context": {"trace_id": "0x1", "span_id": "0x2"}, "kind": "SpanKind.CLIENT", "start_time": "2026-01-05"},
        {"context": {"trace_id": "a", "span_id": "b"}, "parent_id": None, "status_code": "OK", "attributes": {}},
        {"id": "o", "traceId": "t", "type": "GENERATION", "startTime": "2026-01-05"},
    ],
)
def test_records_of_other_formats_do_not_fit(record: dict[str, Any]) -> None:
    assert not READER.fits(record)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("NaN"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["message", "score", "role"]), inner),
    max_leaves=5,
)
_RECORDS = [*lines("openinference_phoenix_spans.jsonl"), *lines("openinference_phoenix_annotations.jsonl")]
_RECORDS += rows("openinference_phoenix.parquet")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(_RECORDS), st.data())
def test_a_wrong_type_anywhere_is_no_crash(record: dict[str, Any], data: st.DataObject) -> None:
    for key in data.draw(st.lists(st.sampled_from(sorted(record)), min_size=1, max_size=3)):
        record = {**record, key: data.draw(_ANY)}
    inner = record.get("attributes")
    if isinstance(inner, dict) and inner:
        record["attributes"] = {**inner, data.draw(st.sampled_from(sorted(inner))): data.draw(_ANY)}
    with suppress(ValueError):
        assert all(isinstance(span, Span) for span in READER.read(record))
