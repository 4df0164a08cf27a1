"""LiteLLM: what its own library logged of mocked calls becomes spans, alike from payloads and from spend logs."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pointsman.assembling.assembly import assemble
from pointsman.readers.litellm import READER
from pointsman.spans import EMBEDDING, LLM, OTHER, RERANKER, RETRIEVAL, TOOL, Span

EXPORTS = Path(__file__).parent.parent / "exports"


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (EXPORTS / name).read_text(encoding="utf-8").splitlines()]


def spans(records: list[dict[str, Any]]) -> list[Span]:
    assert all(READER.fits(record) for record in records)
    return [span for record in records for span in READER.read(record)]


def asked(found: list[Span], prompt: str) -> list[Span]:
    return [span for span in found if span.prompt == prompt]


PAYLOADS, SPEND = "litellm_payloads.jsonl", "litellm_spend.jsonl"


@pytest.mark.parametrize("name", [PAYLOADS, SPEND])
class TestBothLayouts:
    def test_a_plain_call_gives_all_that_was_logged(self, name: str) -> None:
        (span,) = asked(spans(lines(name)), "What is the capital of France?")
        assert (span.kind, span.model, span.status, span.modality) == (LLM, "small", None, "text")
        assert (span.input_tokens, span.output_tokens) == (10, 20)
        assert span.cost_usd == pytest.approx(10 * 0.15e-6 + 20 * 0.6e-6)
        assert span.user_id == "user-17"
        assert span.tags["intent"] == "geography"
        assert span.tags["beta"] == ""
        assert span.tags["cost_centre"] == "docs"
        assert span.tags["litellm.model"] == "gpt-4o-mini"
        assert span.tags["litellm.team"] == "atlas"
        assert span.start_us is not None
        assert span.end_us is not None
        assert 30_000 <= span.end_us - span.start_us < 10_000_000

    def test_only_a_stream_has_a_first_token(self, name: str) -> None:
        found = spans(lines(name))
        (stream,) = asked(found, "Tell me a story about a signal box.")
        assert stream.first_token_ms is not None
        assert stream.start_us is not None
        assert stream.end_us is not None
        assert 0 < stream.first_token_ms < (stream.end_us - stream.start_us) / 1000
        assert all(span.first_token_ms is None for span in found if span is not stream)

    def test_retries_and_the_fallback_are_siblings_of_one_trace(self, name: str) -> None:
        attempts = asked(spans(lines(name)), "Does the fallback answer?")
        assert [(span.model, span.status) for span in attempts] == [("busy", "error"), ("busy", "error"), ("big", None)]
        assert len({span.trace_id for span in attempts}) == 1
        assert len({span.span_id for span in attempts}) == 3
        assert [span.input_tokens for span in attempts] == [None, None, 10]
        assert attempts[0].tags["litellm.error"] == "RateLimitError"
        (row,) = assemble(attempts).rows
        assert row["model"] == "big"
        assert row["retries"] == 2

    def test_a_timeout_is_told_by_its_class(self, name: str) -> None:
        (span,) = asked(spans(lines(name)), "Will this time out?")
        assert (span.status, span.model, span.output_tokens) == ("timeout", "small", None)

    def test_cached_and_reasoning_tokens_are_parts_of_the_counts(self, name: str) -> None:
        (span,) = asked(spans(lines(name)), "And the third?")
        assert (span.input_tokens, span.cached_input_tokens) == (1200, 1024)
        assert (span.output_tokens, span.reasoning_tokens) == (300, 256)
        assert span.context_tokens is not None
        assert 0 < span.context_tokens < 1200
        (claude,) = asked(spans(lines(name)), "Summarise the manual.")
        assert (claude.input_tokens, claude.cached_input_tokens, claude.cache_write_tokens) == (5000, 4000, 900)

    def test_a_model_without_a_price_has_no_cost(self, name: str) -> None:
        (span,) = asked(spans(lines(name)), "Is there a price?")
        assert span.cost_usd is None

    def test_an_answer_from_the_cache_is_free_and_marked(self, name: str) -> None:
        first, second = asked(spans(lines(name)), "Answer me twice.")
        assert (first.cache_hit, second.cache_hit) == (None, True)
        assert second.cost_usd == 0
        assert first.cost_usd is not None
        assert first.cost_usd > 0
        assert first.span_id != second.span_id
        assert first.model == "gpt-4o-mini"

    def test_an_image_and_an_embedding_are_told_apart(self, name: str) -> None:
        found = spans(lines(name))
        (look,) = asked(found, "What is in the picture?")
        assert look.modality == "image"
        (vector,) = (span for span in found if span.kind == EMBEDDING)
        assert (vector.model, vector.prompt) == ("vectors", None)

    def test_nothing_is_lost(self, name: str) -> None:
        assert len(spans(lines(name))) == 13


def test_a_session_of_the_sdk_is_the_trace_and_one_of_the_client_the_conversation() -> None:
    found = spans(lines(PAYLOADS))
    assert asked(found, "And the third?")[0].trace_id == "talk-2"
    assert asked(found, "What is the capital of France?")[0].conversation_id == "talk-1"
    apart = {**lines(PAYLOADS)[0], "trace_id": "t", "session_id": "talk-7"}
    (span,) = READER.read(apart)
    assert (span.trace_id, span.conversation_id) == ("t", "talk-7")


def test_turns_of_a_session_that_share_the_trace_stay_requests_of_their_own() -> None:
    # LiteLLM writes the session into the trace_id where the client gives one.
    found = [one for one in spans(lines(PAYLOADS)) if one.kind == LLM and one.status is None]
    turns = {one.prompt: one for one in found if one.cache_hit is not True}
    for span in turns.values():
        span.trace_id = "talk-2"
    assert sorted(row["prompt"] for row in assemble(list(turns.values())).rows) == sorted(map(str, turns))


def test_an_embedding_of_the_same_trace_is_retrieval_for_the_answer() -> None:
    found = spans(lines(PAYLOADS))
    (vector,) = (span for span in found if span.kind == EMBEDDING)
    (answer,) = asked(found, "What is in the picture?")
    vector.trace_id = answer.trace_id
    (row,) = assemble([vector, answer]).rows
    assert (row["cost_usd"], row["retrieval_cost_usd"]) == (answer.cost_usd, 2e-7)


def test_csv_and_parquet_rows_say_what_the_json_lines_say() -> None:
    expected = spans(lines(SPEND))
    with (EXPORTS / "litellm_spend.csv").open(newline="", encoding="utf-8") as opened:
        assert spans(list(csv.DictReader(opened))) == expected
    assert spans(pq.read_table(EXPORTS / "litellm_spend.parquet").to_pylist()) == expected


def test_spend_logs_without_stored_prompts_give_everything_but_the_prompt() -> None:
    stored, silent = spans(lines(SPEND))[:3], spans(lines("litellm_spend_no_prompts.jsonl"))
    for one, other in zip(stored, silent, strict=True):
        assert (other.prompt, other.modality, other.context_tokens) == (None, None, None)
        assert (other.model, other.input_tokens, other.cost_usd) == (one.model, one.input_tokens, one.cost_usd)


def test_the_envelopes_of_loggers_are_opened() -> None:
    expected = spans(lines(PAYLOADS)[:2])
    assert spans(lines("litellm_datadog.jsonl")) == expected
    arguments = [{"standard_logging_object": one, "call_type": "x"} for one in lines(PAYLOADS)[:2]]
    assert spans(arguments) == expected


@pytest.mark.parametrize("fault", [{"error_class": "APITimeoutError"}, {"error_class": "x", "error_code": "504"}])
def test_a_timeout_is_told_by_class_or_code(fault: dict[str, str]) -> None:
    (span,) = READER.read({**lines(PAYLOADS)[0], "status": "failure", "error_information": fault})
    assert span.status == "timeout"


def test_without_an_end_user_it_is_who_holds_the_key() -> None:
    row = {**lines(SPEND)[0], "end_user": ""}
    assert READER.read(row)[0].user_id == "employee-3"
    assert READER.read({**row, "metadata": "{}"})[0].user_id == "employee-3"
    assert READER.read({**row, "metadata": "{}", "user": ""})[0].user_id is None


def test_rows_count_the_retries_that_have_no_row() -> None:
    row = lines(SPEND)[0]
    metadata = {**json.loads(row["metadata"]), "attempted_retries": 2, "attempted_fallbacks": 1}
    (span,) = READER.read({**row, "metadata": json.dumps(metadata)})
    assert span.retries == 3
    assert READER.read(row)[0].retries is None


def test_payloads_of_early_versions_without_trace_and_status_are_read() -> None:
    late = ("trace_id", "session_id", "status", "status_fields", "error_information", "litellm_call_id", "stream")
    payload = {key: value for key, value in lines(PAYLOADS)[0].items() if key not in late}
    (span,) = spans([payload])
    assert (span.trace_id, span.status, span.model) == (None, None, "small")
    (failed,) = spans([{**payload, "error_str": "litellm.RateLimitError: slow down"}])
    assert failed.status == "error"


def test_a_usage_of_anthropic_that_leaves_out_the_cache_is_completed() -> None:
    usage = {"input_tokens": 40, "cache_read_input_tokens": 900, "cache_creation_input_tokens": 60, "output_tokens": 5}
    payload = {**lines(PAYLOADS)[0], "prompt_tokens": 40, "completion_tokens": 5, "response": {"usage": usage}}
    (span,) = READER.read(payload)
    assert (span.input_tokens, span.cached_input_tokens, span.cache_write_tokens) == (1000, 900, 60)


def test_a_redacted_prompt_is_none() -> None:
    payload = {**lines(PAYLOADS)[0], "messages": [{"role": "user", "content": "redacted-by-litellm"}]}
    assert READER.read(payload)[0].prompt is None


def test_an_auto_router_tells_the_model_that_it_chose() -> None:
    payload = lines(PAYLOADS)[0]
    decision = {"router_model_name": "small", "routed_model": "cellar", "router_type": "complexity"}
    (span,) = READER.read({**payload, "metadata": {**payload["metadata"], "routing_decision": decision}})
    assert (span.model, span.tags["litellm.router"]) == ("cellar", "small")


def test_an_evaluation_is_a_judgement() -> None:
    row = lines(SPEND)[0]
    told = {"eval_name": "faithful", "overall_score": 72, "passed": True, "judge_model": "big"}
    (span,) = READER.read({**row, "metadata": json.dumps({"eval_information": [told]})})
    assert [(score.name, score.value, score.by) for score in span.scores] == [("faithful", 72.0, "judge")]


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ("acompletion", LLM),
        ("anthropic_messages", LLM),
        ("aresponses", LLM),
        ("atext_completion", LLM),
        ("aembedding", EMBEDDING),
        ("arerank", RERANKER),
        ("avector_store_search", RETRIEVAL),
        ("call_mcp_tool", TOOL),
        ("amoderation", OTHER),
        ("aget_responses", OTHER),
        (None, LLM),
    ],
)
def test_each_kind_of_call_is_its_own_kind_of_step(call: str | None, kind: str) -> None:
    assert READER.read({**lines(PAYLOADS)[0], "call_type": call})[0].kind == kind


def test_a_call_without_a_start_is_refused() -> None:
    with pytest.raises(ValueError, match=r"startTime: must be a time \(got 'soon'\)"):
        READER.read({**lines(PAYLOADS)[0], "startTime": "soon"})
