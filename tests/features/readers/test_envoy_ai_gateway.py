"""Envoy AI Gateway: access logs in both spellings of their names, and what Envoy's flags say of the outcome."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pointsman.readers.envoy_ai_gateway import READER
from pointsman.spans import EMBEDDING, LLM, TOOL, Span

EXPORTS = Path(__file__).parent.parent / "exports"


def records() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (EXPORTS / "envoy_ai_gateway.jsonl").read_text(encoding="utf-8").splitlines()]


def read(record: dict[str, Any]) -> Span:
    assert READER.fits(record)
    (span,) = READER.read(record)
    return span


def test_a_line_gives_everything_but_the_prompt() -> None:
    span = read(records()[0])
    assert (span.kind, span.model, span.prompt, span.status) == (LLM, "gpt-4o-mini", None, None)
    assert (span.input_tokens, span.output_tokens, span.duration_ms) == (15, 7, 1526)
    assert (span.request_id, span.trace_id) == ("83b63da3-0001", None)
    assert span.start_us == 1777913497894000
    assert span.tags["envoy.backend"] == "default/tars/route/aigw-run/rule/0/ref/0"
    assert "prompt" not in READER.gives


def test_a_key_in_the_query_goes_no_further() -> None:
    assert read(records()[0]).tags["envoy.path"] == "/v1/chat/completions"


def test_the_later_names_and_numbers_as_texts_are_read() -> None:
    span = read(records()[1])
    assert (span.model, span.tags["envoy.model_override"]) == ("claude", "anthropic.claude-sonnet-4-v1:0")
    assert (span.input_tokens, span.cached_input_tokens, span.output_tokens) == (1000, 800, 60)
    assert (span.first_token_ms, span.retries, span.conversation_id) == (320, 1, "talk-9")


def test_flags_and_codes_tell_the_outcome() -> None:
    assert [read(one).status for one in records()[2:5]] == ["timeout", "error", "error"]
    assert read({**records()[2], "response_code": 200, "response_flags": "SI"}).status == "timeout"
    nothing = {"genai_tokens_input": 0, "genai_tokens_output": 0}
    assert [read({**one, **nothing}).input_tokens for one in records()[2:5]] == [None, None, None]


def test_embeddings_and_tools_are_no_answers() -> None:
    assert [read(one).kind for one in records()[5:]] == [EMBEDDING, TOOL]


def test_an_access_log_of_another_gateway_is_not_taken() -> None:
    plain = {key: value for key, value in records()[0].items() if not key.startswith("genai")}
    assert not READER.fits(plain)


def test_a_line_without_a_time_is_refused() -> None:
    with pytest.raises(ValueError, match=r"start_time: must be a time \(got None\)"):
        READER.read({**records()[0], "start_time": "-"})
