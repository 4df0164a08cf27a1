"""vLLM Semantic Router: replay records of the current and of the first version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pointsman.readers.vllm_sr import READER
from pointsman.spans import Score, Span

EXPORTS = Path(__file__).parent.parent / "exports"


def records() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (EXPORTS / "vllm_sr.jsonl").read_text(encoding="utf-8").splitlines()]


def read(record: dict[str, Any]) -> Span:
    assert READER.fits(record)
    (span,) = READER.read(record)
    return span


def test_a_record_gives_all_that_was_captured() -> None:
    span = read(records()[0])
    assert (span.prompt, span.model, span.intent) == ("What is 12 times 12?", "qwen3-8b", "math")
    assert (span.request_id, span.conversation_id) == ("call-1", "talk-8")
    assert (span.input_tokens, span.cached_input_tokens, span.output_tokens) == (220, 128, 90)
    assert (span.cost_usd, span.duration_ms, span.status) == (0.00031, 700, None)
    assert span.scores == [Score("outcome", 1.0, "user")]
    assert span.tags["vllm_sr.original_model"] == "auto"
    assert span.tags["vllm_sr.decision"] == "math_decision"
    assert span.tags["signal.complexity"] == "complex"
    assert span.context_tokens is not None
    assert span.context_tokens > 0


def test_the_usage_of_a_stream_stands_in_its_last_events() -> None:
    span = read(records()[1])
    assert (span.input_tokens, span.output_tokens, span.cost_usd) == (31, 4, None)


def test_a_body_that_was_cut_off_leaves_the_captured_prompt() -> None:
    span = read(records()[2])
    assert (span.prompt, span.intent, span.hallucinated) == ("May a tenant sublet?", "law", True)
    assert span.scores == [Score("outcome", 0.0, "judge")]
    assert read({**records()[2], "prompt_truncated": True}).prompt is None


def test_outcomes_tell_whose_judgement_they_are() -> None:
    told = [{"source": "operator", "target": "route", "verdict": "underpowered"}, {"source": "router", "verdict": "x"}]
    assert read({**records()[0], "outcomes": told}).scores == [Score("outcome", 0.0, "human")]


def test_the_conversation_is_told_before_the_session() -> None:
    assert read({**records()[0], "conversation_id": "c"}).conversation_id == "c"


def test_several_domains_are_no_intent() -> None:
    assert read({**records()[2], "signals": {"domain": ["law", "math"]}}).intent is None


def test_a_cache_a_timeout_and_a_failure_are_told() -> None:
    assert (read(records()[3]).cache_hit, read(records()[3]).cost_usd) == (True, 0)
    assert read(records()[4]).status == "timeout"
    assert read({**records()[0], "response_status": 500}).status == "error"
    assert read({**records()[0], "lifecycle_state": "aborted"}).status == "error"


def test_a_request_under_way_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lifecycle_state: must be that of a finished request \(got 'in_progress'\)"):
        READER.read(records()[5])


def test_other_currencies_are_no_dollars_and_a_detector_that_did_not_run_finds_nothing() -> None:
    span = read(records()[6])
    assert (span.cost_usd, span.hallucinated) == (None, None)
    assert read({**records()[6], "hallucination_score_available": True}).hallucinated is False


def test_the_first_version_is_read_with_what_it_has() -> None:
    (record,) = json.loads((EXPORTS / "vllm_sr_list.json").read_text(encoding="utf-8"))["data"]
    span = read(record)
    assert (span.prompt, span.model, span.intent) == ("What is inflation?", "gpt-oss-20b", "economics")
    assert (span.input_tokens, span.output_tokens) == (12, 6)
    assert (span.duration_ms, span.end_us, span.conversation_id) == (None, None, None)
