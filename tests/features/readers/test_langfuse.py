"""Langfuse: three traces as its API, SDK models, UI export and blob storage write them, and its counting rules."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pointsman.readers.langfuse import READER
from pointsman.readers.langfuse_usage import cost, first_token, tokens
from pointsman.spans import Score, Span

EXPORTS = Path(__file__).parents[1] / "exports"
MARCH = 1_772_438_400_000_000  # 2026-03-02 08:00 UTC, microseconds


def records(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (EXPORTS / name).read_text(encoding="utf-8").splitlines()]


def spans(name: str) -> list[Span]:
    found = []
    for record in records(name):
        assert READER.fits(record), record
        found += READER.read(record)
    return found


def observation(**more: Any) -> dict[str, Any]:
    base = {"id": "o", "traceId": "t", "type": "GENERATION", "startTime": "2026-03-02T08:00:00Z"}
    return {**base, "endTime": "2026-03-02T08:00:02Z", **more}


SOURCES = [
    "langfuse_v2_full.jsonl",
    "langfuse_v3_full.jsonl",
    "langfuse_v2_observations.jsonl",
    "langfuse_v3_observations.jsonl",
    "langfuse_v5_observations.jsonl",
]


@pytest.mark.parametrize("name", SOURCES)
def test_every_version_tells_the_same_answer(name: str) -> None:
    answer = next(span for span in spans(name) if span.span_id == "t-parcel-answer")

    assert (answer.kind, answer.trace_id, answer.parent_id) == ("llm", "t-parcel", "t-parcel-carrier")
    assert (answer.start_us, answer.end_us) == (MARCH + 1_000_000, MARCH + 2_500_000)
    assert answer.first_token_ms == 300
    assert (answer.model, answer.prompt, answer.modality) == ("gpt-4o-mini", "Where is my parcel?", "text")
    # 86 + 914 cached, 30 + 10 of reasoning: buckets of Langfuse exclude each other.
    assert (answer.input_tokens, answer.cached_input_tokens) == (1000, 914)
    assert (answer.output_tokens, answer.reasoning_tokens) == (40, 10)
    assert answer.cost_usd == pytest.approx(0.0006)
    assert answer.status == "ok"
    assert answer.context_tokens is not None
    assert 600 < answer.context_tokens < 700


@pytest.mark.parametrize("name", SOURCES)
def test_steps_have_their_kinds_and_status(name: str) -> None:
    found = {span.span_id: span for span in spans(name)}

    assert found["t-parcel-lookup"].kind == "retrieval"
    assert found["t-parcel-carrier"].kind == "tool"
    assert (found["t-late-first"].status, found["t-late-first"].input_tokens) == ("timeout", None)
    assert found["t-late-first"].cost_usd is None
    # Inclusive counts: the total says that the cached tokens are within the input.
    second = found["t-late-second"]
    assert (second.input_tokens, second.cached_input_tokens, second.output_tokens) == (500, 300, 40)
    # Langfuse's own judges are no requests of users.
    assert not [span for span in found.values() if span.trace_id == "t-judge"]


@pytest.mark.parametrize("name", ["langfuse_v2_full.jsonl", "langfuse_v3_full.jsonl"])
def test_a_whole_trace_hands_its_user_and_scores_down(name: str) -> None:
    found = {span.span_id: span for span in spans(name)}
    trace, answer = found["t-parcel"], found["t-parcel-answer"]

    assert (trace.kind, trace.trace_id, trace.prompt) == ("other", "t-parcel", "Where is my parcel?")
    assert (trace.start_us, trace.duration_ms) == (MARCH, 2500)
    assert trace.scores == [Score("user-feedback", 1.0), Score("tone", "kind", "human")]
    assert answer.scores == [Score("helpful", 0.8, "judge")]
    for span in (trace, answer):
        assert (span.conversation_id, span.user_id) == ("c-3", "u-17")
        assert span.tags["intent"] == "tracking"
        assert (span.tags["vip"], span.tags["channel"], span.tags["release"]) == ("", "web", "r1")


@pytest.mark.parametrize("name", ["langfuse_v2_listed.jsonl", "langfuse_v3_listed.jsonl"])
def test_a_trace_and_its_scores_as_records_of_their_own(name: str) -> None:
    found = spans(name)
    trace = next(span for span in found if span.span_id == "t-parcel")
    feedback = [span for span in found if span.kind == "feedback"]

    assert (trace.kind, trace.conversation_id, trace.user_id) == ("other", "c-3", "u-17")
    assert {span.trace_id for span in feedback} == {"t-parcel"}
    assert [(span.parent_id, span.scores[0]) for span in feedback] == [
        (None, Score("user-feedback", 1.0)),
        ("t-parcel-answer", Score("helpful", 0.8, "judge")),
        (None, Score("tone", "kind", "human")),
    ]


def test_scores_of_api_version_3() -> None:
    found = spans("langfuse_v5_scores.jsonl")

    assert [(span.trace_id, span.parent_id, span.conversation_id) for span in found] == [
        ("t-parcel", None, None),
        ("t-parcel", "t-parcel-answer", None),
        ("t-parcel", None, None),
        (None, None, "c-3"),
    ]
    assert [span.scores for span in found] == [
        [Score("user-feedback", 1.0)],
        [Score("helpful", 0.8, "judge")],
        [Score("tone", "kind", "human")],
        [Score("solved", 0.0)],
    ]


def test_free_text_and_scores_of_a_dataset_run_are_no_judgement_of_a_request() -> None:
    score = {"id": "s", "name": "note", "source": "ANNOTATION", "traceId": "t", "value": 0, "dataType": "TEXT"}
    assert READER.fits({**score, "stringValue": "call me"})
    assert READER.read({**score, "stringValue": "call me"}) == []
    run = {"id": "s", "name": "exact", "source": "API", "datasetRunId": "r", "value": 1, "dataType": "NUMERIC"}
    assert READER.read(run) == []


def snake(record: dict[str, Any]) -> dict[str, Any]:
    """Name the fields as the export to blob storage does."""
    names = {"model": "provided_model_name"}
    return {
        names.get(key, "".join("_" + char.lower() if char.isupper() else char for char in key)): value
        for key, value in record.items()
    }


def test_blob_storage_as_parquet_with_maps_and_as_csv(tmp_path: Path) -> None:
    row = snake(records("langfuse_v5_observations.jsonl")[2])
    blob = {
        **row,
        "start_time": "2026-03-02 08:00:01.000000",
        "end_time": "2026-03-02 08:00:02.500000",
        "completion_start_time": "2026-03-02 08:00:01.300000",
        "input": json.dumps(row["input"]),
        "latency": 1.5,
    }
    table = pa.Table.from_pylist([blob])
    for name, values in (("usage_details", pa.int64()), ("cost_details", pa.float64()), ("metadata", pa.string())):
        pairs = pa.array([list(row[name].items())], pa.map_(pa.string(), values))
        table = table.set_column(table.column_names.index(name), name, pairs)
    pq.write_table(table, tmp_path / "blob.parquet")
    from_parquet = pq.read_table(tmp_path / "blob.parquet").to_pylist()[0]
    out = io.StringIO()
    writer = csv.DictWriter(out, blob)
    writer.writeheader()
    writer.writerow({key: json.dumps(cell) if isinstance(cell, dict | list) else cell for key, cell in blob.items()})
    from_csv = next(csv.DictReader(io.StringIO(out.getvalue())))

    expected = READER.read(records("langfuse_v5_observations.jsonl")[2])
    assert expected[0].conversation_id == "c-3"
    for record in (from_parquet, from_csv):
        assert READER.fits(record)
        assert READER.read(record) == expected


def test_export_of_the_ui_has_scores_as_columns_and_milliseconds() -> None:
    row = {
        **records("langfuse_v5_observations.jsonl")[2],
        "tags": None,
        "traceTags": '["intent:tracking"]',
        "traceTimestamp": "2026-03-02T08:00:00.000Z",
        "inputUsage": 1000,
        "latency": 1500,
        "timeToFirstToken": 0.3,
        "user-feedback": "[1]",
        "tone": ["kind", "brief"],
        "correctness": None,
        "comments": [{"content": "to be checked"}],
        "toolCalls": ["{}"],
    }
    assert READER.fits(row)
    (span,) = READER.read(row)
    assert span.scores == [Score("user-feedback", 1.0), Score("tone", "kind"), Score("tone", "brief")]
    assert span.tags["intent"] == "tracking"
    assert (span.end_us, span.duration_ms, span.first_token_ms) == (MARCH + 2_500_000, None, 300)


def test_a_page_of_the_api_and_a_session_hold_many() -> None:
    page = {"data": records("langfuse_v5_observations.jsonl"), "meta": {"page": 1}}
    assert READER.fits(page)
    assert READER.read(page) == spans("langfuse_v5_observations.jsonl")
    traces = [record for record in records("langfuse_v3_listed.jsonl") if "timestamp" in record and "tags" in record]
    session = {"id": "c-3", "createdAt": "2026-03-02T08:00:00Z", "projectId": "p", "traces": traces}
    assert READER.fits(session)
    assert [span.kind for span in READER.read(session)] == ["other", "other"]


@pytest.mark.parametrize(
    ("usage", "read", "cached", "written", "wrote", "reasoning"),
    [
        # The rule: buckets exclude each other, with and without a total.
        ({"input": 86, "input_cached_tokens": 17817, "output": 188, "total": 18091}, 17903, 17817, None, 188, None),
        ({"input": 10, "cache_read_input_tokens": 2, "output": 5}, 12, 2, None, 5, None),
        ({"input": 7, "input_cache_read": 3, "input_cache_creation": 4, "output": 1, "total": 15}, 14, 3, 4, 1, None),
        ({"input": 5, "output": 20, "output_reasoning_tokens": 12, "total": 37}, 5, None, None, 32, 12),
        # Broken by an integration: the total shows that the parts are within.
        (
            {"input": 117231, "cache_read_input_tokens": 115584, "output": 225, "total": 117456},
            117231,
            115584,
            None,
            225,
            None,
        ),
        (
            {"input": 100, "input_cached_tokens": 40, "output": 20, "output_reasoning_tokens": 5, "total": 125},
            100,
            40,
            None,
            25,
            5,
        ),
        (
            {"input": 60, "input_cached_tokens": 40, "output": 20, "output_reasoning_tokens": 5, "total": 120},
            100,
            40,
            None,
            20,
            5,
        ),
        # Keys that a provider's usage left as they were, and other kinds of tokens.
        ({"prompt_tokens": 30, "completion_tokens": 4, "total_tokens": 34}, 30, None, None, 4, None),
        ({"input": 13, "input_audio": 2, "input_priority": 13, "output": 1}, 15, None, None, 1, None),
        ({"input": "12", "output": "3"}, 12, None, None, 3, None),
        ({"input": None, "output": 3}, None, None, None, 3, None),
        ({}, None, None, None, None, None),
        ("no", None, None, None, None, None),
    ],
)
def test_usage_details(
    usage: Any, read: int | None, cached: int | None, written: int | None, wrote: int | None, reasoning: int | None
) -> None:
    expected = (read, cached, written, wrote, reasoning)
    assert tokens({"usageDetails": usage}) == expected
    assert tokens({"usage_details": json.dumps(usage)}) == expected


def test_older_usage_counts_tokens_only() -> None:
    assert tokens({"usage": {"input": 9, "output": 3, "total": 12, "unit": "TOKENS"}})[:1] == (9,)
    assert tokens({"usage": {"promptTokens": 9, "completionTokens": 3}}).wrote == 3
    assert tokens({"promptTokens": 9, "completionTokens": 3}).read == 9
    assert tokens({"usage": {"input": 900, "output": 300, "unit": "CHARACTERS"}}).read is None
    assert tokens({"usage": {"input": 0, "output": 0, "total": 0}, "inputUsage": 0, "outputUsage": 0}).read is None


@pytest.mark.parametrize(
    ("record", "dollars"),
    [
        ({"costDetails": {"input": 1.0, "output": 2.0, "total": 3.5}}, 3.5),
        ({"cost_details": '{"input": 1.0, "output": 2.0}'}, 3.0),
        ({"costDetails": {"total": 0}}, 0.0),
        ({"calculatedTotalCost": 0.25}, 0.25),
        ({"total_cost": "0.25"}, 0.25),
        ({"usage": {"totalCost": 0.5}}, 0.5),
        ({"usage": {"totalCost": 0}}, None),
        ({"costDetails": {}, "totalCost": 0}, None),
        ({"totalPrice": 0.00001}, None),
        ({"totalCost": -1}, None),
        ({}, None),
    ],
)
def test_cost(record: dict[str, Any], dollars: float | None) -> None:
    assert cost(record) == dollars


def test_first_token_is_of_the_times_or_in_seconds() -> None:
    assert first_token({"completion_start_time": "1970-01-01T00:00:01.250Z"}, 1_000_000, None) == 250
    assert first_token({"completionStartTime": "1970-01-01T00:00:00Z"}, 1_000_000, None) is None
    assert first_token({"timeToFirstToken": 0.3}, 0, 2_000_000) == 300
    assert first_token({"time_to_first_token": 300}, 0, 2_000_000) == 300
    assert first_token({}, 0, None) is None


def test_a_tool_or_a_retrieval_has_its_cost_and_a_chain_no_sum_of_others() -> None:
    costs = {"totalCost": 0.02, "costDetails": {"total": 0.02}}
    for kind, dollars in (("TOOL", 0.02), ("RETRIEVER", 0.02), ("EMBEDDING", 0.02), ("AGENT", None), ("SPAN", None)):
        (span,) = READER.read(observation(type=kind, **costs))
        assert span.cost_usd == dollars


def test_latency_stands_in_for_a_missing_end() -> None:
    (span,) = READER.read(observation(endTime=None, latency=1.25))
    assert (span.end_us, span.duration_ms) == (None, 1250)
    (span,) = READER.read(observation(latency=2000))
    assert span.duration_ms is None


def test_wrong_types_are_not_told_or_named() -> None:
    for value in (5, "x", [1], {"a": 1}, True, float("nan")):
        (span,) = READER.read(
            observation(
                endTime=value, model=[value], level=value, usageDetails=value, input=value, metadata=value, tags=value
            )
        )
        assert (span.kind, span.model, span.input_tokens) == ("llm", None, None)
    with pytest.raises(ValueError, match=r"startTime: must be a date with time \(got 'soon'\)"):
        READER.read(observation(startTime="soon"))


@pytest.mark.parametrize(
    "record",
    [
        {"id": "1", "timestamp": "2026-03-02", "prompt": "hi", "model": "m", "session_id": "s", "tags": []},
        {"id": "1", "timestamp": "2026-03-02", "input": "hi", "output": "ho", "user_id": "u"},
        {"traceId": "a", "spanId": "b", "name": "chat", "startTimeUnixNano": "1"},
        {"id": "1", "trace_id": "t", "run_type": "llm", "start_time": "2026-03-02"},
        {"trace_id": "t", "spans": [], "trace_metadata": {}},
        {"name": "accuracy", "value": 1.0, "source": "API"},
        {"data": [], "meta": {}},
        {"data": [{"embedding": [0.1]}], "object": "list"},
        {},
    ],
)
def test_other_formats_are_left_alone(record: dict[str, Any]) -> None:
    assert not READER.fits(record)
