"""MLflow traces, written by the real library: search_traces as JSON lines and Parquet, Trace.to_json, feedback."""

from __future__ import annotations

import copy
import json
import logging
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pointsman.readers.mlflow_traces import READER
from pointsman.spans import Score, Span

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd

mlflow = pytest.importorskip("mlflow")
QUESTION = "Where is my parcel?"


def answered() -> str:
    """Trace a request with retrieval, a streamed answer and feedback; return its id."""
    from mlflow.entities import AssessmentSource

    with mlflow.start_span("helpdesk", span_type="CHAIN") as root:
        root.set_inputs({"question": QUESTION})
        mlflow.update_current_trace(
            tags={"intent": "tracking"},
            metadata={"mlflow.trace.session": "c-3", "mlflow.trace.user": "u-17", "channel": "web"},
            client_request_id="req-9",
        )
        with mlflow.start_span("lookup", span_type="RETRIEVER") as retriever:
            retriever.set_inputs({"query": "parcel"})
            retriever.set_outputs([{"page_content": "Parcels take two days.", "metadata": {}}])
        with mlflow.start_span("answer", span_type="CHAT_MODEL") as chat:
            system = {"role": "system", "content": "You help people who wait for a parcel."}
            chat.set_inputs({"model": "gpt-4o-mini", "messages": [system, {"role": "user", "content": QUESTION}]})
            chat.add_event(mlflow.entities.SpanEvent("mlflow.chunk.item.0", attributes={"mlflow.chunk.value": "It"}))
            used = {"input_tokens": 1000, "output_tokens": 40, "total_tokens": 1040, "cache_read_input_tokens": 900}
            chat.set_attribute("mlflow.chat.tokenUsage", used)
            chat.set_attribute("mlflow.llm.cost", {"input_cost": 0.0002, "output_cost": 0.0004, "total_cost": 0.0006})
            reasoned = {"completion_tokens_details": {"reasoning_tokens": 10}}
            chat.set_outputs({"model": "gpt-4o-mini-2024-07-18", "choices": [], "usage": reasoned})
        root.set_outputs("It arrives tomorrow.")
    trace_id = str(root.trace_id)
    for name, value, source in (
        ("thumbs", True, "HUMAN"),
        ("length", 0.5, "CODE"),
        ("guess", 3, "SOURCE_TYPE_UNSPECIFIED"),
    ):
        mlflow.log_feedback(trace_id=trace_id, name=name, value=value, source=AssessmentSource(source, "me"))
    judge = AssessmentSource("LLM_JUDGE", "a-judge")
    mlflow.log_feedback(trace_id=trace_id, name="relevance", value="yes", source=judge, span_id=chat.span_id)
    mlflow.log_feedback(trace_id=trace_id, name="broken", error=ValueError("no verdict"), source=judge)
    first = mlflow.log_feedback(trace_id=trace_id, name="grounded", value=False, source=judge)
    mlflow.override_feedback(trace_id=trace_id, assessment_id=first.assessment_id, value=True, source=judge)
    mlflow.log_expectation(trace_id=trace_id, name="expected", value="tomorrow", source=AssessmentSource("HUMAN", "me"))
    return trace_id


def timed_out() -> str:
    """Trace a call that fails, by the decorator."""

    @mlflow.trace(span_type="LLM", name="slow")  # type: ignore[untyped-decorator]
    def ask(prompt: str) -> str:
        raise TimeoutError("the model took too long")

    with pytest.raises(TimeoutError):
        ask(QUESTION)
    return str(mlflow.get_last_active_trace_id())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    before = mlflow.get_tracking_uri()
    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("mlflow", "alembic"):
            patch.setattr(logging.getLogger(name), "level", logging.ERROR)
        patch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
        patch.setattr(mlflow.tracking.fluent, "_active_experiment_id", None)
        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
        experiment = mlflow.create_experiment("traces", artifact_location=str(folder / "files"))
        patch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
        yield answered(), timed_out()
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def frame(store: tuple[str, str]) -> pd.DataFrame:
    held: pd.DataFrame = mlflow.search_traces(order_by=["timestamp_ms ASC"])
    return held


@pytest.fixture(scope="module")
def lines(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [json.loads(line) for line in frame.to_json(orient="records", lines=True).splitlines()]


@pytest.fixture(scope="module")
def found(lines: list[dict[str, Any]], store: tuple[str, str]) -> dict[str, Span]:
    """Return the spans of the answered trace by name; the loose judgements under ""."""
    (row,) = [row for row in lines if row["trace_id"] == store[0]]
    assert READER.fits(row)
    return {span.name or "": span for span in READER.read(row)}


def test_steps_of_a_trace(found: dict[str, Span], store: tuple[str, str]) -> None:
    assert {name: span.kind for name, span in found.items()} == {
        "helpdesk": "other",
        "lookup": "retrieval",
        "answer": "llm",
        "": "feedback",
    }
    root, answer = found["helpdesk"], found["answer"]
    assert root.parent_id is None
    assert root.prompt == QUESTION
    assert answer.parent_id == found["lookup"].parent_id == root.span_id
    assert root.span_id is not None
    assert len(root.span_id) == 16
    for span in found.values():
        assert (span.trace_id, span.request_id) == (store[0], "req-9")
    assert abs((root.start_us or 0) - time.time() * 1e6) < 3600e6
    assert (root.start_us or 0) <= (answer.start_us or 0) <= (answer.end_us or 0) <= (root.end_us or 0)


def test_the_answer(found: dict[str, Span]) -> None:
    answer = found["answer"]

    assert (answer.model, answer.prompt, answer.modality) == ("gpt-4o-mini-2024-07-18", QUESTION, "text")
    assert (answer.input_tokens, answer.cached_input_tokens, answer.cache_write_tokens) == (1000, 900, None)
    assert (answer.output_tokens, answer.reasoning_tokens) == (40, 10)
    assert answer.cost_usd == pytest.approx(0.0006)
    assert answer.status == "ok"
    assert answer.first_token_ms is not None
    assert answer.context_tokens is not None
    assert 600 < answer.context_tokens < 700


def test_session_user_and_tags_reach_every_span(found: dict[str, Span]) -> None:
    for name in ("helpdesk", "lookup", "answer"):
        assert (found[name].conversation_id, found[name].user_id) == ("c-3", "u-17")
        assert found[name].tags == {"intent": "tracking", "channel": "web"}


def test_feedback_becomes_scores_with_their_source(found: dict[str, Span]) -> None:
    assert found["answer"].scores == [Score("relevance", "yes", "judge")]
    # Without an expectation, a judge's error, and what was overridden.
    assert sorted(found[""].scores, key=lambda score: score.name) == [
        Score("grounded", 1.0, "judge"),
        Score("guess", 3.0, ""),
        Score("length", 0.5, "code"),
        Score("thumbs", 1.0, "human"),
    ]


def test_an_error_keeps_its_kind(lines: list[dict[str, Any]], store: tuple[str, str]) -> None:
    (row,) = [row for row in lines if row["trace_id"] == store[1]]
    (span,) = READER.read(row)

    assert (span.kind, span.name, span.status, span.prompt) == ("llm", "slow", "timeout", QUESTION)
    assert (span.model, span.input_tokens, span.cost_usd, span.conversation_id) == (None, None, None, None)


def test_parquet_frames_give_the_same_spans(
    frame: pd.DataFrame, lines: list[dict[str, Any]], tmp_path: Path, store: tuple[str, str]
) -> None:
    expected = [READER.read(line) for line in lines]
    # Parquet holds no column of mixed values: assessments are dropped, or everything nested is made text.
    nested = ["request", "response", "trace_metadata", "tags", "spans", "assessments"]
    frames = {
        "dropped": frame.drop(columns=["request", "response", "assessments"]),
        "json": frame.assign(**{name: frame[name].map(json.dumps) for name in nested}),
        "text": frame.assign(**{name: frame[name].astype(str) for name in nested}),
    }
    for name, held in frames.items():
        held.to_parquet(tmp_path / f"{name}.parquet")
        rows = pq.read_table(tmp_path / f"{name}.parquet").to_pylist()
        assert all(READER.fits(row) for row in rows), name
        assert [READER.read(row) for row in rows] == expected, name
    (row,) = [row for row in lines if row["trace_id"] == store[0]]
    maps = pa.array([list(row["tags"].items())], pa.map_(pa.string(), pa.string()))
    table = pa.table(
        {"trace_id": [row["trace_id"]], "trace_metadata": [json.dumps(row["trace_metadata"])], "tags": maps}
    )
    table = table.append_column("spans", [[json.dumps(row["spans"])]])
    table = table.append_column("assessments", [[json.dumps(row["assessments"])]])
    (span, *_) = READER.read(table.to_pylist()[0])
    assert span.tags == {"intent": "tracking", "channel": "web"}


def test_trace_to_json_and_its_older_layout_give_the_same_spans(found: dict[str, Span], store: tuple[str, str]) -> None:
    held = json.loads(mlflow.get_trace(store[0]).to_json())
    assert READER.fits(held)
    expected = list(found.values())
    assert READER.read(held) == expected
    assert READER.fits(older(held))
    names = {span.span_id for span in expected}
    for span, before in zip(READER.read(older(held)), expected, strict=True):
        before = copy.copy(before)
        before.request_id = None
        assert span == before
        assert span.span_id in names


def older(held: dict[str, Any]) -> dict[str, Any]:
    """Turn a trace into the row that MLflow 2 made of one: ids as 0x…, status and parent under other names."""
    import base64

    def hexadecimal(word: str | None) -> str | None:
        return None if word is None else "0x" + base64.b64decode(word).hex()

    spans = [
        {
            "name": one["name"],
            "context": {"span_id": hexadecimal(one["span_id"]), "trace_id": hexadecimal(one["trace_id"])},
            "parent_id": hexadecimal(one["parent_span_id"]),
            "start_time": one["start_time_unix_nano"],
            "end_time": one["end_time_unix_nano"],
            "status_code": one["status"]["code"].removeprefix("STATUS_CODE_"),
            "status_message": "",
            "attributes": one["attributes"],
            "events": [{**event, "timestamp": event["time_unix_nano"]} for event in one["events"]],
        }
        for one in held["data"]["spans"]
    ]
    info = held["info"]
    return {
        "request_id": info["trace_id"],
        "trace": {"info": {}, "data": {}},
        "timestamp_ms": 1,
        "status": "OK",
        "execution_time_ms": 5,
        "request": "{}",
        "response": "{}",
        "request_metadata": info["trace_metadata"],
        "spans": spans,
        "tags": info["tags"],
        "assessments": info["assessments"],
    }


def llm(**attributes: Any) -> dict[str, Any]:
    span = {"span_id": "a", "parent_span_id": "b", "name": "n", "start_time_unix_nano": 1, "end_time_unix_nano": 2}
    kept = {f"mlflow.{key}": json.dumps(value) for key, value in attributes.items()}
    span["attributes"] = {"mlflow.spanType": '"LLM"', **kept}
    return {"trace_id": "tr-1", "trace_metadata": {}, "tags": {}, "spans": [span], "assessments": []}


def test_tokens_from_the_answer_where_mlflow_counted_none() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 6}}
    (span,) = READER.read(llm(spanOutputs={"usage": {"prompt_tokens": 9, "completion_tokens": 2, **details}}))
    assert (span.input_tokens, span.cached_input_tokens, span.output_tokens) == (9, 6, 2)


def test_an_input_smaller_than_its_cached_part_leaves_it_out() -> None:
    usage = {"input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 5}
    record = llm()
    record["spans"][0]["attributes"]["mlflow.chat.tokenUsage"] = json.dumps(usage)
    (span,) = READER.read(record)
    assert (span.input_tokens, span.cached_input_tokens, span.cache_write_tokens) == (45, 30, 5)


@pytest.mark.parametrize(
    "attributes",
    [
        {"spanInputs": {"model": "asked"}, "llm.model": "asked", "spanOutputs": {"model": "m"}},
        {"spanInputs": {"model": "asked"}, "llm.model": "m", "spanOutputs": {"text": "hi"}},
        {"spanInputs": {"model": "m"}},
        {"spanOutputs": {"llm_output": {"model_name": "m"}}},
        {"spanOutputs": {"response_metadata": {"model_name": "m"}}},
    ],
)
def test_the_model_that_answered_else_the_one_asked_for(attributes: dict[str, Any]) -> None:
    assert READER.read(llm(**attributes))[0].model == "m"


def test_cost_of_a_tool_but_none_of_a_chain() -> None:
    for kind, dollars in (("TOOL", 0.02), ("RETRIEVER", 0.02), ("LLM", 0.02), ("CHAIN", None)):
        (span,) = READER.read(llm(spanType=kind, **{"llm.cost": {"total_cost": 0.02}}))
        assert span.cost_usd == dollars


def test_feedback_on_a_span_that_is_not_shown_is_one_on_the_trace() -> None:
    source = {"source_type": "HUMAN", "source_id": "me"}
    record = llm()
    record["assessments"] = [{"assessment_name": "ok", "span_id": "z", "source": source, "feedback": {"value": 1}}]
    call, feedback = READER.read(record)
    assert (call.scores, feedback.kind, feedback.scores) == ([], "feedback", [Score("ok", 1.0, "human")])


def test_an_untyped_span_that_used_tokens_is_a_call_of_a_model() -> None:
    record = llm()
    record["spans"][0]["attributes"] = {"mlflow.chat.tokenUsage": '{"input_tokens": 3, "output_tokens": 1}'}
    assert READER.read(record)[0].kind == "llm"
    record["spans"][0]["attributes"] = {"mlflow.spanType": '"UNKNOWN"'}
    assert READER.read(record)[0].kind == "other"


def test_a_judges_own_trace_is_no_request() -> None:
    record = llm()
    record["tags"] = {"mlflow.trace.sourceScorer": "relevance"}
    assert READER.read(record) == []


def test_what_cannot_be_read_is_named() -> None:
    for bad, said in ((None, "NoneType"), ("[{'a': 1}]", "str"), ([1], "list")):
        with pytest.raises(ValueError, match=rf"spans: must be a list of spans \(got {said}\)"):
            READER.read({"trace_id": "t", "trace": "…", "trace_metadata": {}, "spans": bad})
    with pytest.raises(ValueError, match="include_spans=True"):
        READER.read({"trace_id": "t", "trace_metadata": {}, "spans": []})


def test_wrong_types_are_not_told() -> None:
    for value in (5, "x", [1], {"a": 1}, True, None, float("nan")):
        record = llm(spanInputs=value, spanOutputs=value)
        record |= {"trace_metadata": value, "tags": value, "assessments": [value], "client_request_id": None}
        record["spans"][0] |= {"events": value, "status": value, "start_time_unix_nano": value}
        record["spans"][0]["attributes"]["mlflow.chat.tokenUsage"] = value
        record["spans"][0]["attributes"]["mlflow.llm.cost"] = value
        (span,) = READER.read(record)
        assert (span.kind, span.model, span.cost_usd) == ("llm", None, None)
        record["spans"][0]["attributes"] = value
        assert READER.read(record)[0].kind == "other"


@pytest.mark.parametrize(
    "record",
    [
        {"trace_id": "t", "span_id": "s", "name": "n", "attributes": {}},
        {"request_id": "r", "spend": 0.1, "metadata": {}, "request_tags": []},
        {"info": {"trace_id": "t"}, "text": "x"},
        {"resourceSpans": []},
        {},
    ],
)
def test_other_formats_are_left_alone(record: dict[str, Any]) -> None:
    assert not READER.fits(record)
