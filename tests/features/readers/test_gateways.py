"""What holds for the readers of all gateway logs: each knows its own records; no wrong type breaks one."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.columns import COLUMNS
from pointsman.readers import envoy_ai_gateway, helicone, litellm, vllm_sr
from pointsman.readers.usage import Usage, body_usage, usage
from pointsman.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.readers.reader import SpanReader

EXPORTS = Path(__file__).parent.parent / "exports"
READERS = [litellm.READER, helicone.READER, vllm_sr.READER, envoy_ai_gateway.READER]
ODD: tuple[Any, ...] = (
    None,
    float("nan"),
    True,
    -1,
    10**30,
    1.5,
    "",
    "x",
    '{"',
    "{}",
    [],
    [None, 3, [[]], {"role": 5, "content": {"type": []}}],
    {},
    {"usage": {"prompt_tokens": "many", "prompt_tokens_details": 7}, "error": "no", "value": []},
    datetime(2026, 1, 1, tzinfo=UTC),
)


def records(reader: SpanReader) -> list[dict[str, Any]]:
    stem = reader.name.replace("-", "_")
    found: list[dict[str, Any]] = []
    for file in sorted(EXPORTS.glob(f"{stem}*")):
        if file.suffix == ".jsonl":
            found += [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        elif file.suffix == ".json":
            found += json.loads(file.read_text(encoding="utf-8"))["data"]
        elif file.suffix == ".csv":
            with file.open(newline="", encoding="utf-8") as opened:
                found += list(csv.DictReader(opened))
    return found


def broken(held: dict[str, Any], depth: int = 0) -> Iterator[dict[str, Any]]:
    """Give a record with each of its values replaced, and those of the objects within, as JSON texts too."""
    for key, value in held.items():
        text = isinstance(value, str) and value.startswith("{") and key != "message"
        inside = json.loads(value) if text and not value.startswith('{""') and value.endswith("}") else value
        if isinstance(inside, dict) and depth < 2:
            for changed in broken(inside, depth + 1):
                yield {**held, key: json.dumps(changed, default=str) if text else changed}
        for odd in ODD if depth == 0 else ODD[:: 1 + depth]:
            yield {**held, key: odd}


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_each_reader_knows_its_own_records_and_no_other(reader: SpanReader) -> None:
    for other in READERS:
        assert {reader.fits(record) for record in records(other)} == {reader is other}


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_wrong_type_anywhere_is_untold_or_refused_with_the_reason(reader: SpanReader) -> None:
    held_by_all = records(reader)
    for record in held_by_all[:: 1 + len(held_by_all) // 20]:
        for changed in broken(record):
            try:
                held = reader.read(changed)
            except ValueError as error:
                reason = str(error)
            else:
                reason = "x: must be"
                assert all(isinstance(span, Span) for span in held)
            assert ": must be" in reason


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_what_a_reader_gives_are_columns_of_the_table(reader: SpanReader) -> None:
    assert set(reader.gives) <= set(COLUMNS)
    assert {"request_id", "timestamp", "model", "latency_ms"} <= set(reader.gives)


class TestUsage:
    def test_openai_counts_the_cache_within_the_input(self) -> None:
        chat = {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "prompt_tokens_details": {"cached_tokens": 60},
            "completion_tokens_details": {"reasoning_tokens": 30},
        }
        responses = {
            "input_tokens": 100,
            "output_tokens": 50,
            "input_tokens_details": {"cached_tokens": 60},
            "output_tokens_details": {"reasoning_tokens": 30},
        }
        assert usage(chat) == usage(responses) == Usage(100, 60, None, 50, 30)

    def test_anthropic_counts_the_cache_beside_the_input(self) -> None:
        held = {"input_tokens": 10, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 3, "output_tokens": 2}
        assert usage(held) == Usage(18, 5, 3, 2, None)

    def test_a_cache_larger_than_the_input_stands_beside_it(self) -> None:
        assert usage({"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 90}}).read == 100

    def test_gemini_counts_thoughts_beside_the_output(self) -> None:
        held = {"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 6, "cachedContentTokenCount": 2}
        assert usage(held) == Usage(9, 2, None, 10, 6)

    def test_the_events_of_a_stream_tell_it_last(self) -> None:
        stream = (
            'data: {"choices": [], "usage": null}\n\ndata: {"usage": {"prompt_tokens": 3, "completion_tokens": 1}}\n'
        )
        assert body_usage(stream) == Usage(3, None, None, 1, None)
        done = 'event: x\ndata: {"response": {"usage": {"input_tokens": 7, "output_tokens": 2}}}\n\ndata: [DONE]\n'
        assert body_usage(done).read == 7
        grows = 'data: {"usage": {"completion_tokens": 1}}\ndata: {"usage": {"completion_tokens": 9}}\n'
        assert body_usage(grows).wrote == 9

    def test_the_events_of_anthropic_tell_it_in_two_parts(self) -> None:
        start = 'event: message_start\ndata: {"message": {"usage": {"input_tokens": 25, "output_tokens": 1}}}\n\n'
        end = 'event: message_delta\ndata: {"delta": {}, "usage": {"output_tokens": 15}}\n\n'
        assert body_usage(start + end) == Usage(25, None, None, 15, None)

    @pytest.mark.parametrize("held", [None, 5, "words", "data: {", [], {"usage": []}])
    def test_nothing_told_is_nothing(self, held: Any) -> None:
        assert body_usage(held) == Usage()
