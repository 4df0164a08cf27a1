"""Reading single values: what is there, in any of its spellings, or None."""

from __future__ import annotations

from typing import Any

import pytest

from pointsman.readers.fields import mapping, microseconds, parsed, parsed_texts, whole


def test_mapping_from_json_text_and_from_the_pairs_of_a_parquet_map() -> None:
    told: list[Any] = [{"a": 1}, '{"a": 1}', [("a", 1)], [["a", 1]]]
    for value in told:
        assert mapping(value) == {"a": 1}
    other: list[Any] = [None, "a", "[1]", 5, [1, "abc"], float("nan")]
    for value in other:
        assert mapping(value) == {}


def test_a_time_beyond_the_calendar_is_none() -> None:
    assert microseconds(1_772_438_400) == 1_772_438_400_000_000
    assert microseconds("1772438400000000001", "ns") == 1_772_438_400_000_000
    for value in (1e308, 10**30, "1e300", -1e300):
        assert microseconds(value) is None
        assert microseconds(value, "ns") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1772438400", 1_772_438_400_000_000), ("2026-03-02", 1_772_409_600_000_000), ("2026-13-02", None), ("--5", None)],
)
def test_a_time_from_its_text(value: str, expected: int | None) -> None:
    assert microseconds(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("51", 51),
        (" -7 ", -7),
        ("12.0", 12),
        ("12.5", None),
        ("--5", None),
        ("²", None),
        ("9" * 20, None),
        (3.0, 3),
        (True, None),
        (None, None),
    ],
)
def test_a_whole_number_from_anything(value: Any, expected: int | None) -> None:
    assert whole(value) == expected


@pytest.mark.parametrize(
    "value", ['{"a": [1]}', ' ["é"]', "[Infinity]", '["\\ud800"]', "plain", "{broken", None, 5, [1]]
)
def test_texts_are_parsed_as_everything_is(value: Any) -> None:
    assert parsed_texts(value) == parsed(value)
