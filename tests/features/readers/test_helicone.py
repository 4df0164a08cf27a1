"""Helicone: request logs of the exporter, of its CSV with doubled quotes, and of the earlier query API."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from pointsman.readers.helicone import READER
from pointsman.spans import EMBEDDING, RETRIEVAL, TOOL, Score, Span

EXPORTS = Path(__file__).parent.parent / "exports"


def records() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (EXPORTS / "helicone.jsonl").read_text(encoding="utf-8").splitlines()]


def read(record: dict[str, Any]) -> Span:
    assert READER.fits(record)
    (span,) = READER.read(record)
    return span


def test_a_request_gives_all_that_was_logged() -> None:
    span = read(records()[0])
    assert (span.request_id, span.trace_id) == ("request-1", None)
    assert (span.prompt, span.model, span.status) == ("Which train leaves first?", "gpt-4o-mini", None)
    assert (span.input_tokens, span.output_tokens, span.cost_usd) == (100, 50, 0.000045)
    assert (span.duration_ms, span.first_token_ms) == (800, None)
    assert (span.conversation_id, span.user_id, span.tags["feature"]) == ("talk-5", "user-9", "planner")
    assert span.scores == [Score("feedback", 1.0, "user"), Score("helpfulness", 80.0), Score("polite", 1.0)]
    assert span.context_tokens is not None
    assert span.context_tokens > 0


def test_what_the_prompt_cache_read_and_wrote_belongs_to_the_input() -> None:
    span = read(records()[1])
    assert (span.input_tokens, span.cached_input_tokens, span.cache_write_tokens) == (1000, 900, 60)
    assert span.first_token_ms == 210
    without_body = read({**records()[1], "response_body": records()[2]["response_body"]})
    assert (without_body.input_tokens, without_body.cached_input_tokens) == (1000, 900)


def test_a_body_that_lies_elsewhere_gives_no_prompt() -> None:
    span = read(records()[2])
    assert (span.prompt, span.modality) == (None, None)
    assert span.scores == [Score("feedback", 0.0, "user")]
    assert span.input_tokens == 100


def test_an_answer_from_the_cache_is_marked_and_free() -> None:
    assert [(read(one).cache_hit, read(one).cost_usd) for one in records()[2:4]] == [(False, 0.000045), (True, 0)]


def test_failures_and_timeouts_tell_no_tokens() -> None:
    assert [(read(one).status, read(one).input_tokens) for one in records()[4:6]] == [
        ("error", None),
        ("timeout", None),
    ]
    assert read({**records()[0], "response_status": -3}).status == "error"
    assert read({**records()[0], "response_body": {"error": {"message": "no"}}}).status == "error"


def test_a_model_without_a_price_has_no_cost() -> None:
    assert (read(records()[7]).model, read(records()[7]).cost_usd) == ("cellar-llama", None)


def test_embeddings_tools_and_searches_are_no_answers() -> None:
    assert read(records()[6]).kind == EMBEDDING
    assert read({**records()[0], "request_body": {"_type": "tool", "toolName": "clock"}}).kind == TOOL
    assert read({**records()[0], "request_body": {"_type": "vector_db", "operation": "search"}}).kind == RETRIEVAL


def test_the_csv_of_the_exporter_is_read_through_its_doubled_quotes() -> None:
    with (EXPORTS / "helicone.csv").open(newline="", encoding="utf-8") as opened:
        rows = [read(row) for row in csv.DictReader(opened)]
    expected = [read(record) for record in records()]
    assert [row.prompt for row in rows] == [span.prompt for span in expected]
    assert [row.model for row in rows] == [span.model for span in expected]
    assert [row.status for row in rows] == ["error" if s.status == "error" else s.status for s in expected]
    assert rows[0].request_id == "response-1"
    assert rows[0].conversation_id == "talk-5"
    assert rows[0].start_us is not None
    assert rows[0].end_us is not None
    assert rows[0].end_us - rows[0].start_us == 800_000


def test_the_model_is_the_override_the_one_that_answered_the_one_asked_for() -> None:
    told = {"model_override": "a", "response_model": "b", "request_model": "c"}
    assert read({**records()[0], **told}).model == "a"
    assert read({**records()[0], **told, "model_override": None}).model == "b"
    assert read({**records()[0], **told, "model_override": None, "response_model": None}).model == "c"


def test_the_query_api_of_earlier_versions_is_read() -> None:
    (record,) = json.loads((EXPORTS / "helicone_query.json").read_text(encoding="utf-8"))["data"]
    span = read(record)
    assert (span.model, span.cost_usd) == ("gpt-4o-2024-08-06", 0.0001)
    assert (span.input_tokens, span.cached_input_tokens) == (20, 16)
    assert span.scores == [Score("feedback", 0.0, "user"), Score("accuracy", 3.0)]


@pytest.mark.parametrize("change", [{"response_status": 0}, {"response_status": None, "response_created_at": None}])
def test_a_request_under_way_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="response_status: must be that of a finished request"):
        READER.read({**records()[0], **change})
