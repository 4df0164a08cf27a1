"""Plain tables: columns as they are, or as a mapping says, nested objects and units included."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pointsman.columns import COLUMNS, coerced
from pointsman.errors import TraceError
from pointsman.ingest_config import IngestConfig
from pointsman.readers.table import READER, absent_sources, mapped
from pointsman.traces import validate_traces

REQUIRED = ["request_id", "timestamp", "prompt", "model", "latency_ms"]


def frame(*records: dict[str, Any]) -> pd.DataFrame:
    """Return records as the engine reads JSON lines: every cell as it was parsed."""
    index = pd.Index(range(1, len(records) + 1), name="source_row")
    return pd.DataFrame(list(records), index=index, dtype=object)


def test_a_table_with_the_columns_of_the_trace_table_is_read_as_it_is() -> None:
    assert READER.fits([*REQUIRED, "more"])
    assert not READER.fits(REQUIRED[:-1])
    rows = frame(dict.fromkeys(REQUIRED, "x"))
    assert READER.rows(rows, IngestConfig()) is rows
    assert set(READER.gives) == set(COLUMNS)


def test_columns_paths_and_lists_are_mapped() -> None:
    raw = frame(
        {"q": "why?", "llm": "big", "usage": {"prompt_tokens": 7, "details": {"cached": 3}}, "log": [{"n": "a"}]},
        {"q": "how?", "llm": "small", "usage": '{"prompt_tokens": "9"}', "log": None},
        {"q": "who?", "llm": "small", "usage": "broken {", "log": "[]"},
    )
    columns = {
        "prompt": "q",
        "model": "llm",
        "input_tokens": "usage.prompt_tokens",
        "cached_input_tokens": "usage.details.cached",
        "intent": "log.0.n",
    }
    rows = mapped(raw, columns)
    assert rows.index.tolist() == [1, 2, 3]
    assert rows["input_tokens"].tolist() == [7, "9", None]
    assert rows["cached_input_tokens"].tolist() == [3, None, None]
    assert rows["intent"].tolist() == ["a", None, None]
    assert list(rows) == ["prompt", "model", "input_tokens", "cached_input_tokens", "intent"]


def test_paths_lead_into_the_lists_of_parquet() -> None:
    raw = frame({"messages": np.array([{"text": "why?"}], dtype=object)}, {"messages": np.array([], dtype=object)})
    assert mapped(raw, {"prompt": "messages.0.text"})["prompt"].tolist() == ["why?", None]


def test_a_column_whose_name_holds_dots_is_a_column() -> None:
    raw = frame({"gen_ai.usage.input_tokens": 5, "a.b": {"c": "deep"}})
    rows = mapped(raw, {"input_tokens": "gen_ai.usage.input_tokens", "intent": "a.b.c"})
    assert rows.iloc[0].tolist() == [5, "deep"]


def test_columns_of_the_trace_table_stay_and_all_others_go() -> None:
    """What a prompt was mapped from must not travel on beside it: only the prompt is redacted."""
    raw = frame({"question": "mail a@example.org", "model": "big", "notes": "secret", "tags": "{}"})
    assert list(mapped(raw, {"prompt": "question"})) == ["prompt", "model", "tags"]


def test_scores_and_tags_are_collected() -> None:
    raw = frame(
        {"judge": {"q": "0.8"}, "up": True, "verdict": "good", "team": "search", "paid": False},
        {"judge": {"q": np.nan}, "up": "false", "verdict": None, "team": " ", "paid": None},
    )
    targets = {"scores.quality": "judge.q", "scores.thumbs": "up", "scores.said": "verdict", "tags.team": "team"}
    rows = mapped(raw, {**targets, "tags.paid": "paid"})
    assert [json.loads(cell) for cell in rows["scores"]] == [
        [["quality", 0.8, ""], ["thumbs", 1.0, ""], ["said", "good", ""]],
        [["thumbs", 0.0, ""]],
    ]
    assert [json.loads(cell) for cell in rows["tags"]] == [{"team": "search", "paid": "false"}, {}]


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (1715508930, "s", "2024-05-12T10:15:30+00:00"),
        ("1715508930123", "ms", "2024-05-12T10:15:30.123000+00:00"),
        (1715508930.5, "s", "2024-05-12T10:15:30.500000+00:00"),
        ("1715508930123456789", "ns", "2024-05-12T10:15:30.123456+00:00"),
        ("2024-05-12T10:15:30Z", "ms", "2024-05-12T10:15:30+00:00"),
        (10**30, "s", 10**30),
        ("soon", "s", "soon"),
        (True, "s", True),
        (None, "s", None),
    ],
)
def test_a_time_since_1970_is_read_by_its_unit(value: Any, unit: str, said: Any) -> None:
    rows = mapped(
        frame({"ts": value, "x": 1}), {"timestamp": {"column": "ts", "unit": unit}, "user_id": "x"}, absent_ok=True
    )
    assert rows["timestamp"].tolist() == [said]


@pytest.mark.parametrize("dtype", ["float64", "Float64", "Int64", "int64", "object"])
def test_a_column_of_numbers_is_read_as_each_number(dtype: str) -> None:
    values = pd.Series([0, 1715508930, 9_000_000_000_000], dtype=dtype)
    for unit, column in (("s", values), ("ms", values * 1000), ("ns", values)):
        rows = mapped(pd.DataFrame({"ts": column}), {"timestamp": {"column": "ts", "unit": unit}})
        single = [mapped(frame({"ts": int(one)}), {"timestamp": {"column": "ts", "unit": unit}}) for one in column]
        wanted = [coerced(one["timestamp"], COLUMNS["timestamp"]).iloc[0] for one in single]
        found = coerced(rows["timestamp"], COLUMNS["timestamp"])
        assert [None if pd.isna(one) else one for one in found] == [None if pd.isna(one) else one for one in wanted]


def test_a_duration_is_read_by_its_unit() -> None:
    raw = frame({"took": 1.5, "first": "200"}, {"took": "0.25", "first": "soon"}, {"took": None, "first": 10})
    units = {"latency_ms": {"column": "took", "unit": "s"}, "first_token_ms": {"column": "first", "unit": "us"}}
    rows = mapped(raw, units)
    assert rows["latency_ms"].tolist() == [1500.0, 250.0, None]
    assert rows["first_token_ms"].tolist() == [pytest.approx(0.2), "soon", pytest.approx(0.01)]
    typed = pd.DataFrame({"took": [1.0, np.nan]})
    assert mapped(typed, {"latency_ms": {"column": "took", "unit": "s"}})["latency_ms"].iloc[0] == 1000.0


def test_mapped_rows_are_a_valid_trace_table() -> None:
    records = [
        {"id": n, "ts": 1.7e9 + n, "q": f"question {n}", "llm": "big", "s": 0.2, "ok": n % 2 == 0} for n in range(4)
    ]
    columns: dict[str, Any] = {"request_id": "id", "prompt": "q", "model": "llm", "useful": "ok"}
    columns |= {"timestamp": {"column": "ts", "unit": "s"}, "latency_ms": {"column": "s", "unit": "s"}}
    table = validate_traces(mapped(frame(*records), columns))
    assert (len(table.rows), len(table.quarantine)) == (4, 0)
    assert table.rows["latency_ms"].tolist() == [200.0] * 4
    assert table.rows["useful"].tolist() == [1.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            {"prompt": "questoin"},
            "columns.prompt: no row has 'questoin' (did you mean question?); there are question, usage, usage.tokens",
        ),
        (
            {"input_tokens": "usage.tokes"},
            "columns.input_tokens: no row has 'usage.tokes' (did you mean usage.tokens?)",
        ),
        ({"promt": "question"}, "columns.promt: is no column of the trace table (did you mean prompt?); allowed: "),
        ({"scores.": "question"}, "columns.scores.: is no column of the trace table"),
        (
            {"timestamp": {"column": "question", "unit": "min"}},
            "columns.timestamp.unit: must be one of s, ms, us, ns (got 'min')",
        ),
        (
            {"useful": {"column": "question", "unit": "s"}},
            "columns.useful.unit: only a time or a duration has one (timestamp, latency_ms, first_token_ms)",
        ),
        ({"useful": {"colum": "question"}}, "columns.useful: must be a column, or column and unit (got "),
    ],
)
def test_a_wrong_mapping_is_one_clear_line(columns: dict[str, Any], said: str) -> None:
    raw = frame({"question": "a", "usage": {"tokens": 1}})
    with pytest.raises(TraceError) as raised:
        mapped(raw, columns)
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)


def test_a_part_of_a_table_may_lack_a_source() -> None:
    part = frame({"q": "a"})
    columns = {"prompt": "q", "intent": "meta.intent"}
    assert absent_sources(part, columns) == ("meta.intent",)
    assert mapped(part, columns, absent_ok=True)["intent"].tolist() == [None]
    assert absent_sources(part.iloc[:0], columns) == ()
