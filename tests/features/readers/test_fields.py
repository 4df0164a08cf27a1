"""Reading single values: what is there, in any of its spellings, or None."""

from __future__ import annotations

from typing import Any

from pointsman.readers.fields import mapping, microseconds


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
