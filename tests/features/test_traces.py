"""The trace table: what is read, what is put aside and why, and that every row is accounted for."""

from __future__ import annotations

import contextlib
import gzip
import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pointsman.errors import TraceError
from pointsman.fingerprint import fingerprint
from pointsman.traces import COLUMNS, read_traces, validate_traces

if TYPE_CHECKING:
    from pathlib import Path

GOOD: dict[str, Any] = {
    "request_id": "r0",
    "timestamp": "2026-01-05T10:00:00Z",
    "prompt": "sum this up",
    "model": "small",
    "latency_ms": 120.5,
    "useful": 1.0,
}
NUMBER, TIME = "a finite number of at least 0", "a date with time (ISO 8601; UTC where no zone is given)"


def records(*changes: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a good row, and one for each change."""
    return [GOOD, *({**GOOD, "request_id": f"r{i}", **change} for i, change in enumerate(changes, start=1))]


def table(*changes: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(records(*changes), dtype=object)


def column(name: str, values: Any, dtype: Any = object) -> pd.DataFrame:
    """Return good rows with these values in one column."""
    frame = pd.DataFrame([{**GOOD, "request_id": f"r{i}"} for i in range(len(values))])
    frame[name] = values if isinstance(values, pd.Series) else pd.Series(values, dtype=dtype)
    return frame


def reason(frame: pd.DataFrame) -> str:
    found = validate_traces(frame)
    assert len(found.rows) + len(found.quarantine) == found.rows_in == len(frame)
    (text,) = found.quarantine["reason"]
    return str(text)


class TestRead:
    def test_a_row_gets_every_column_and_the_absent_ones_are_missing(self) -> None:
        found = validate_traces(table())
        assert list(found.rows.columns) == list(COLUMNS)
        assert found.rows.drop(columns=list(GOOD)).isna().all(axis=None)
        assert (found.rows_in, len(found.quarantine), found.reasons) == (1, 0, {})

    def test_rows_are_sorted_by_time_request_and_model(self) -> None:
        early = {"timestamp": "2026-01-04"}
        found = validate_traces(table({}, {"request_id": "r0", "model": "big"}, {"request_id": "z", **early}))
        assert found.rows["request_id"].tolist() == ["z", "r0", "r0", "r1"]
        assert found.rows["model"].tolist() == ["small", "big", "small", "small"]

    @pytest.mark.parametrize(
        "values",
        [
            ["120", " 1.5e2 ", "0"],
            [120, 1.5, Decimal("0.5")],
            [np.float32(1), np.int16(2), np.float64(3)],
            pd.Series([1, 2, 3], dtype="Int64"),
            pd.Series([1, 2, 3], dtype="float32"),
            pd.Series([1, 2, 3], dtype="int64[pyarrow]"),
            pd.Series(["1", "2", "3"], dtype="category"),
            pd.Series([1, 2, 3], dtype="category"),
            pd.Series(["1", "2", "3"], dtype="string"),
        ],
    )
    def test_numbers_of_any_type_are_read(self, values: Any) -> None:
        rows = validate_traces(column("latency_ms", values)).rows
        assert rows["latency_ms"].tolist() == [float(value) for value in values]

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.floats(0, allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
    def test_a_number_written_as_text_is_read_exactly(self, values: list[float]) -> None:
        assert (
            validate_traces(column("cost_usd", [repr(value) for value in values])).rows["cost_usd"].tolist() == values
        )

    @pytest.mark.parametrize("value", [None, np.nan, pd.NA, "", " ", "NaN", "null", "None"])
    def test_nothing_stays_missing_where_the_column_is_not_required(self, value: Any) -> None:
        for name in ("cost_usd", "useful", "input_tokens", "hallucinated", "propensity"):
            found = validate_traces(table({name: value}))
            assert found.quarantine.empty
            assert found.rows[name].isna().tolist() == [name != "useful", True]

    @pytest.mark.parametrize("dtype", [object, "float64", "Int64", "string", "category", "boolean"])
    @pytest.mark.parametrize("name", ["useful", "chosen", "intent", "modality", "retries"])
    def test_an_all_missing_column_is_a_missing_one(self, name: str, dtype: str) -> None:
        found = validate_traces(column(name, [None, None], dtype))
        assert found.quarantine.empty
        assert found.rows[name].isna().all()

    @pytest.mark.parametrize(
        "values", [[True, False], ["true", "FALSE"], [1, 0], ["1.0", "no"], [np.True_, np.int8(0)]]
    )
    @pytest.mark.parametrize("name", ["hallucinated", "useful"])
    def test_flags_are_read_also_as_usefulness(self, name: str, values: list[Any]) -> None:
        if name == "useful" and values[1] == "no":
            values = ["yes", "no"]
        assert validate_traces(column(name, values)).rows[name].tolist() == [True, False]

    @pytest.mark.parametrize("dtype", ["bool", "boolean", "float64", "bool[pyarrow]"])
    def test_flags_of_other_types_are_read(self, dtype: Any) -> None:
        rows = validate_traces(column("hallucinated", pd.Series([True, False]).astype(dtype))).rows
        assert rows["hallucinated"].tolist() == [True, False]

    @pytest.mark.parametrize(
        "value",
        [
            "2026-01-05T10:00:00",
            "2026-01-05 10:00:00+00:00",
            "2026-01-05T05:00:00-05:00",
            "20260105T100000",
            datetime(2026, 1, 5, 10, tzinfo=UTC),
            datetime(2026, 1, 5, 10),  # noqa: DTZ001
            datetime(2026, 1, 5, 12, tzinfo=timezone(timedelta(hours=2))),
            pd.Timestamp("2026-01-05T19:00", tz="Asia/Tokyo"),
            np.datetime64("2026-01-05T10:00"),
        ],
    )
    def test_a_date_is_utc_where_no_zone_is_given(self, value: Any) -> None:
        found = validate_traces(column("timestamp", [value, GOOD["timestamp"], None]))
        assert found.rows["timestamp"].tolist() == [pd.Timestamp("2026-01-05T10:00Z")] * 2
        assert str(found.rows["timestamp"].dtype) == "datetime64[us, UTC]"

    @pytest.mark.parametrize(
        "dtype",
        [
            "datetime64[ns]",
            "datetime64[s]",
            "datetime64[ns, Asia/Tokyo]",
            "timestamp[ns][pyarrow]",
            "category",
            "string",
        ],
    )
    def test_dates_of_other_types_are_read(self, dtype: Any) -> None:
        series = pd.Series(pd.to_datetime(["2026-01-05T10:00", "2026-01-05T11:00"]))
        if dtype.endswith("Tokyo]"):
            series = series.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
        found = validate_traces(column("timestamp", series.astype(dtype)))
        assert found.rows["timestamp"].dt.hour.tolist() == [10, 11]

    def test_a_plain_date_is_midnight(self) -> None:
        rows = validate_traces(column("timestamp", [date(2026, 1, 5), "2026-01-05"])).rows
        assert rows["timestamp"].tolist() == [pd.Timestamp("2026-01-05T00:00Z")] * 2

    def test_ids_that_are_numbers_keep_every_digit(self) -> None:
        huge = 1234567890123456789
        for values in ([huge, huge + 1], pd.Series([huge, huge + 1]), pd.Series([huge, huge + 1], dtype="Int64")):
            assert validate_traces(column("request_id", values)).rows["request_id"].tolist() == [
                str(huge),
                str(huge + 1),
            ]
        assert validate_traces(column("request_id", [7.0, 8.0])).rows["request_id"].tolist() == ["7", "8"]

    def test_prompts_that_are_bytes_are_decoded_and_broken_ones_repaired(self) -> None:
        found = validate_traces(column("prompt", ["ä".encode(), b"a\xff", "b\ud800", ""]))
        assert found.rows["prompt"].tolist() == ["ä", "a\ufffd", "b\ufffd", ""]

    def test_modality_is_read_in_any_case(self) -> None:
        assert validate_traces(column("modality", ["TEXT", " Image "])).rows["modality"].tolist() == ["text", "image"]

    def test_other_columns_are_kept_untouched(self) -> None:
        cells = [{"a": [1]}, None]
        found = validate_traces(column("team", cells).assign(**{"latency ms": 5}))
        assert found.rows["team"].tolist() == cells
        assert found.rows["latency ms"].tolist() == [5, 5]

    def test_the_input_is_not_changed(self) -> None:
        frame = table({"latency_ms": "7", "useful": "x"})
        before = frame.copy(deep=True)
        validate_traces(frame)
        pd.testing.assert_frame_equal(frame, before)

    def test_a_named_index_is_a_column(self) -> None:
        assert validate_traces(table({}).set_index("request_id")).rows["request_id"].tolist() == ["r0", "r1"]
        assert validate_traces(table({}).set_index(["request_id", "model"])).rows["model"].tolist() == ["small"] * 2

    def test_positions_count_not_the_index(self) -> None:
        assert validate_traces(pd.concat([table(), table()])).quarantine["source_row"].tolist() == [2]


class TestPutAside:
    @pytest.mark.parametrize(
        ("name", "value", "rule", "got"),
        [
            ("latency_ms", "fast", NUMBER, "'fast'"),
            ("latency_ms", None, NUMBER, "nothing"),
            ("latency_ms", -1, NUMBER, "-1"),
            ("latency_ms", True, NUMBER, "True"),
            ("latency_ms", [1, 2], NUMBER, "[1, 2]"),
            ("latency_ms", {"ms": 1}, NUMBER, "{'ms': 1}"),
            ("latency_ms", np.array([1, 2]), NUMBER, "[1, 2]"),
            ("latency_ms", timedelta(seconds=1), NUMBER, "datetime.timedelta(seconds=1)"),
            ("latency_ms", 1 + 2j, NUMBER, "(1+2j)"),
            ("latency_ms", 10**400, NUMBER, "1" + "0" * 79 + "…"),
            pytest.param("latency_ms", 10**5000, NUMBER, "a huge int", id="huge"),
            ("latency_ms", "1_000", NUMBER, "'1_000'"),
            ("cost_usd", float("inf"), NUMBER, "inf"),
            ("cost_usd", "-inf", NUMBER, "'-inf'"),
            ("cost_usd", np.float64(-0.5), NUMBER, "-0.5"),
            ("retrieval_cost_usd", "free", NUMBER, "'free'"),
            ("useful", 1.5, NUMBER + " and at most 1", "1.5"),
            ("useful", -0.1, NUMBER + " and at most 1", "-0.1"),
            ("useful", "good", NUMBER + " and at most 1", "'good'"),
            ("input_tokens", 1.5, "a whole number of at least 0 and at most 1,000,000,000", "1.5"),
            ("context_tokens", 10**30, "a whole number of at least 0 and at most 1,000,000,000", "1" + "0" * 30),
            ("timestamp", 1767225600, TIME, "1767225600"),
            ("timestamp", 1767225600.5, TIME, "1767225600.5"),
            ("timestamp", "1767225600", TIME, "'1767225600'"),
            ("timestamp", "now", TIME, "'now'"),
            ("timestamp", "2026", TIME, "'2026'"),
            ("timestamp", "yesterday", TIME, "'yesterday'"),
            ("timestamp", True, TIME, "True"),
            ("timestamp", [], TIME, "[]"),
            ("timestamp", pd.NaT, TIME, "nothing"),
            ("hallucinated", "maybe", "true or false", "'maybe'"),
            ("chosen", 2, "true or false", "2"),
            ("modality", "video", "one of text, image, audio", "'video'"),
            ("modality", 3, "one of text, image, audio", "3"),
            ("request_id", None, "a text", "nothing"),
            ("request_id", " ", "a text", "' '"),
            ("request_id", b"\xff", "a text", r"b'\xff'"),
            ("model", True, "a text", "True"),
            ("model", "a\ud800", "a text", r"'a\ud800'"),
            ("prompt", None, "a text", "nothing"),
            ("prompt", ["a"], "a text", "['a']"),
            ("intent", {"a": 1}, "a text", "{'a': 1}"),
            ("status", "a\nb" * 50 + "\ud800", "a text", repr(("a\nb" * 50)[:80]) + "…"),
        ],
    )
    def test_a_bad_value_is_named_with_its_column_and_what_is_allowed(
        self, name: str, value: Any, rule: str, got: str
    ) -> None:
        assert reason(table({name: value})) == f"{name}: must be {rule} (got {got})"

    @pytest.mark.parametrize("dtype", ["int64", "float64", "Int64", "bool"])
    def test_a_column_of_epoch_numbers_names_the_first(self, dtype: str) -> None:
        with pytest.raises(TraceError) as caught:
            validate_traces(column("timestamp", pd.Series([1, 0], dtype=dtype)), source="week")
        assert str(caught.value).startswith(
            "week: none of 2 rows is usable; most frequent reason (2 of 2 rows, first in row 1): "
            f"timestamp: must be {TIME}"
        )

    def test_the_first_fault_by_column_is_told(self) -> None:
        assert reason(table({"latency_ms": "fast", "timestamp": "x"})).startswith("timestamp: ")

    def test_reasons_count_by_rule_most_frequent_first(self) -> None:
        found = validate_traces(table({"useful": 2}, {"latency_ms": "fast"}, {"latency_ms": -1}))
        assert found.reasons == {f"latency_ms: must be {NUMBER}": 2, f"useful: must be {NUMBER} and at most 1": 1}

    def test_rows_put_aside_are_as_they_came_with_their_row(self) -> None:
        aside = validate_traces(table({}, {"latency_ms": [1, "x"], "team": b"x"})).quarantine
        assert aside["latency_ms"].tolist() == [[1, "x"]]
        assert aside["team"].tolist() == [b"x"]
        assert aside["source_row"].tolist() == [3]

    def test_the_first_of_a_request_and_model_is_kept(self) -> None:
        found = validate_traces(table({"request_id": "r0", "latency_ms": 7}, {"request_id": "r0", "model": "big"}))
        assert found.rows["latency_ms"].tolist() == [120.5, 120.5]
        assert found.quarantine["source_row"].tolist() == [2]
        assert found.quarantine["reason"].tolist() == [
            "request_id, model: must be one row per request and model, the first is kept (got 'r0, small')"
        ]

    def test_a_bad_row_does_not_push_its_good_double_out(self) -> None:
        found = validate_traces(pd.DataFrame([{**GOOD, "latency_ms": "x"}, GOOD]))
        assert found.rows["latency_ms"].tolist() == [120.5]
        assert found.quarantine["source_row"].tolist() == [1]

    def test_a_row_with_another_prompt_than_its_request_is_put_aside(self) -> None:
        found = validate_traces(table({"request_id": "r0", "model": "big", "prompt": "other"}))
        assert found.quarantine["reason"].tolist() == [
            "prompt: must be that of the first row of its request_id (got 'other')"
        ]

    def test_the_prompt_of_a_bad_first_row_does_not_count(self) -> None:
        rows = [{**GOOD, "prompt": "a", "useful": 7}, {**GOOD, "model": "big", "prompt": "b"}, {**GOOD, "prompt": "b"}]
        assert len(validate_traces(pd.DataFrame(rows)).rows) == 2

    def test_a_second_chosen_row_of_a_request_is_put_aside(self) -> None:
        double = {"request_id": "r0", "chosen": True}
        found = validate_traces(table({"chosen": True}, {**double, "model": "b"}, {**double, "model": "c"}))
        assert found.rows.loc[found.rows["chosen"].fillna(False), "request_id"].tolist() == ["r0", "r1"]
        assert found.reasons == {"chosen: must be true on one row of a request_id, the first is kept": 1}

    def test_a_sources_own_reason_and_row_columns_are_kept(self) -> None:
        own = {"reason": "mine", "source_row": 99, "line": "l", "given_line": "g"}
        found = validate_traces(table(own, {**own, "useful": 5}))
        assert found.rows["reason"].tolist()[1:] == ["mine"]
        (aside,) = found.quarantine.to_dict("records")
        assert (aside["source_row"], aside["given_source_row"], aside["given_reason"]) == (3, 99, "mine")
        assert (aside["given_given_line"], aside["given_line"]) == ("l", "g")


class TestUnusable:
    def test_every_missing_column_is_named(self) -> None:
        with pytest.raises(
            TraceError, match=r"^t: missing columns timestamp, model, latency_ms; it has request_id, prompt$"
        ):
            validate_traces(pd.DataFrame({"request_id": ["a"], "prompt": ["b"]}), source="t")
        with pytest.raises(TraceError, match=r"^traces: missing column model; it has "):
            validate_traces(table().drop(columns="model"))

    def test_a_column_twice_is_an_error(self) -> None:
        frame = table()
        frame.insert(0, "useful", 0, allow_duplicates=True)
        with pytest.raises(TraceError, match=r"^traces: column 'useful' stands there twice; once is allowed$"):
            validate_traces(frame)

    @pytest.mark.parametrize("frame", [pd.DataFrame(), table().iloc[:0], pd.DataFrame(index=[1, 2])])
    def test_an_empty_table_is_an_error(self, frame: pd.DataFrame) -> None:
        with pytest.raises(TraceError, match=r"^traces: the table is empty; at least one usable row is needed$"):
            validate_traces(frame)

    def test_nothing_usable_tells_the_most_frequent_reason(self) -> None:
        frame = column("latency_ms", ["x", None, None]).assign(useful=[9, 0, 0])
        with pytest.raises(TraceError) as caught:
            validate_traces(frame, source="t.csv")
        assert str(caught.value) == (
            "t.csv: none of 3 rows is usable; most frequent reason (3 of 3 rows, first in row 1): "
            f"latency_ms: must be {NUMBER} (got 'x')"
        )


JUNK = st.sampled_from(
    [None, "", "fast", -1, 2, 1.5, float("nan"), float("inf"), True, [1], {"a": 1}, b"x", b"\xff", 10**400, "a\ud800",
     pd.NaT, pd.NA, pd.Timestamp("2026-01-05"), "2026-01-05", (1,), np.array([1]), Decimal("NaN"), 1j]
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([*COLUMNS, "team"]), JUNK), max_size=12),
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from("ab"), st.sampled_from("pq"), st.booleans()), max_size=12),
)
def test_every_row_in_is_a_row_out_or_put_aside(
    spoilt: list[tuple[str, Any]], drawn: list[tuple[int, str, str, bool]]
) -> None:
    good = [{**GOOD, "request_id": "keep"}]
    bad = [{**GOOD, "request_id": f"s{i}", name: value} for i, (name, value) in enumerate(spoilt)]
    clash = [{**GOOD, "request_id": f"c{i}", "model": m, "prompt": p, "chosen": c} for i, m, p, c in drawn]
    frame = pd.DataFrame(clash + good + bad, dtype=object)
    found = validate_traces(frame)
    assert found.rows_in == len(frame) == len(found.rows) + len(found.quarantine)
    assert sum(found.reasons.values()) == len(found.quarantine)
    assert found.quarantine["source_row"].is_unique
    assert not found.rows.duplicated(["request_id", "model"]).any()
    assert not found.rows.drop_duplicates(["request_id", "prompt"]).duplicated("request_id").any()
    assert (found.rows["chosen"].fillna(False).groupby(found.rows["request_id"]).sum() <= 1).all()
    assert found.rows[["request_id", "timestamp", "prompt", "model", "latency_ms"]].notna().all(axis=None)
    again = validate_traces(found.rows)
    assert again.quarantine.empty
    assert fingerprint(again.rows) == fingerprint(found.rows)


def write(folder: Path, name: str, content: str | bytes) -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


HEADER = ",".join(GOOD)
LINE = "r{},2026-01-05,{},small,5,1"
JSON_LINE = json.dumps(GOOD)


class TestFiles:
    def test_the_same_table_of_any_format_is_the_same(self, tmp_path: Path) -> None:
        changes: list[dict[str, Any]] = [
            {"latency_ms": 0.1 + 0.2, "prompt": 'a "b", c\nd 深'},
            {"useful": None, "intent": "x"},
        ]
        frame = pd.DataFrame(records(*changes))
        frame.to_parquet(tmp_path / "t.parquet")
        frame.to_csv(tmp_path / "t.csv", index=False)
        write(tmp_path, "t.JSONL", "\n".join(json.dumps(one) for one in records(*changes)))
        found = {name: read_traces(tmp_path / name) for name in ("t.parquet", "t.csv", "t.JSONL")}
        assert len({fingerprint(one.rows) for one in found.values()}) == 1
        assert fingerprint(validate_traces(frame).rows) == fingerprint(found["t.csv"].rows)

    def test_written_rows_are_read_back_the_same(self, tmp_path: Path) -> None:
        first = validate_traces(table({"team": {"a": [1]}, "note": "x"}, {"team": 5, "note": "\ud800"}))
        again = read_traces(first.write(tmp_path / "new" / "t.parquet"))
        assert fingerprint(again.rows) == fingerprint(first.rows)
        assert again.rows["team"].tolist()[1:] == ['{"a": [1]}', "5"]
        assert again.rows["note"].tolist()[1:] == ['"x"', '"\\ud800"']

    def test_a_quarantine_file_holds_every_row_and_value(self, tmp_path: Path) -> None:
        bad: dict[str, Any] = {
            "useful": 2,
            "cost_usd": float("inf"),
            "team": b"\xff",
            "retries": [np.int64(1), {2: None}],
        }
        bad |= {"propensity": 0.12345678901234567, "intent": "\ud800", "context_tokens": 2**70}
        found = validate_traces(table(bad, {"useful": pd.Timestamp("2026-01-05"), "model": "a\nb"}))
        file = found.write_quarantine(tmp_path / "new" / "q.jsonl")
        assert file is not None
        first, second = (json.loads(line) for line in file.read_text().splitlines())
        assert {name: first[name] for name in bad} == {
            **bad, "cost_usd": "inf", "team": "\\xff", "retries": [1, {"2": None}]
        }  # fmt: skip
        assert (first["source_row"], second["source_row"], second["useful"]) == (2, 3, "2026-01-05T00:00:00")
        assert second["team"] is None
        assert validate_traces(table()).write_quarantine(tmp_path / "none.jsonl") is None

    def test_what_cannot_be_written_is_one_line(self, tmp_path: Path) -> None:
        found = validate_traces(table({"useful": 2}))
        for put in (found.write, found.write_quarantine):
            with pytest.raises(TraceError, match=f"^{tmp_path}: cannot be written: [^\n]*Is a directory$"):
                put(tmp_path)

    def test_bad_lines_of_json_are_put_aside_with_their_number(self, tmp_path: Path) -> None:
        bad = ["[1]", "{broken", '"text"', JSON_LINE[:-9], "null", "[" * 100_000, '{"a": 1, "a": 2}', "5" * 5000]
        lines = [b"\xef\xbb\xbf" + JSON_LINE.encode(), b"", b"  ", *(line.encode() for line in bad), b'{"a": "\xff"}']
        found = read_traces(write(tmp_path, "t.jsonl", b"\r\n".join(lines)))
        assert (len(found.rows), found.rows_in) == (1, 10)
        assert found.quarantine["source_row"].tolist() == list(range(4, 13))
        assert found.reasons == {"line: must be a JSON object in UTF-8": 9}
        assert found.quarantine["line"].tolist() == [*bad, '{"a": "\\xff"}']
        texts = found.quarantine["reason"].tolist()
        assert texts[0] == "line: must be a JSON object in UTF-8 (got '[1]': it is a JSON list)"
        assert "key 'a' stands there twice" in texts[6]
        assert max(map(len, texts)) < 400

    def test_json_keeps_every_digit_beside_gaps(self, tmp_path: Path) -> None:
        lines = [{**GOOD, "request_id": 2**62 + i, "span": 2**62 + i} for i in range(2)] + [GOOD]
        found = read_traces(write(tmp_path, "t.jsonl", "\n".join(map(json.dumps, lines))))
        assert found.rows["request_id"].tolist() == [str(2**62), str(2**62 + 1), "r0"]
        assert found.rows["span"].tolist()[:2] == [2**62, 2**62 + 1]

    def test_parquet_keeps_every_digit_beside_gaps(self, tmp_path: Path) -> None:
        column("request_id", pd.Series([2**62 + 1, None], dtype="Int64")).to_parquet(tmp_path / "t.parquet")
        found = read_traces(tmp_path / "t.parquet")
        assert found.rows["request_id"].tolist() == [str(2**62 + 1)]
        assert found.quarantine["source_row"].tolist() == [2]

    def test_parquet_of_many_types_is_read(self, tmp_path: Path) -> None:
        frame = column("prompt", [b"a", b"\xff"])
        frame["cost_usd"] = pd.Series([Decimal("0.1"), Decimal("0.2")], dtype=object)
        frame["intent"] = pd.Series(["x", None], dtype="category")
        frame["timestamp"] = pd.to_datetime(["2026-01-05", "2026-01-06"]).tz_localize("Asia/Tokyo")
        frame["tags"] = [["a"], []]
        frame.set_index("request_id").to_parquet(tmp_path / "t.parquet")
        found = read_traces(tmp_path / "t.parquet")
        assert found.quarantine.empty
        assert found.rows["prompt"].tolist() == ["a", "\ufffd"]
        assert found.rows["cost_usd"].tolist() == [0.1, 0.2]
        assert found.rows["request_id"].tolist() == ["r0", "r1"]
        assert [list(one) for one in found.rows["tags"]] == [["a"], []]

    def test_csv_rows_with_other_cells_are_put_aside_with_their_line(self, tmp_path: Path) -> None:
        lines = [HEADER, LINE.format(1, '"two\nlines"'), "", LINE.format(2, "p,q"), "r3,short", LINE.format(4, "p")]
        found = read_traces(write(tmp_path, "t.csv", "\ufeff" + "\r\n".join(lines)))
        assert found.rows["request_id"].tolist() == ["r1", "r4"]
        assert found.quarantine["source_row"].tolist() == [5, 6]
        assert found.quarantine["line"].tolist() == [lines[3], lines[4]]
        assert found.quarantine["reason"].tolist()[1] == "line: must be 6 cells, quotes closed (got 2 cells)"

    @pytest.mark.parametrize("open_quote", ['"never closed', '"a"b', '"a, ""b'])
    def test_an_open_quote_costs_one_line_not_the_rest(self, tmp_path: Path, open_quote: str) -> None:
        prompts = ["p", open_quote, "q", '"r"', "s", '"t, u"']
        lines = [HEADER, *(LINE.format(i, prompt) for i, prompt in enumerate(prompts))]
        found = read_traces(write(tmp_path, "t.csv", "\n".join(lines)))
        assert found.rows["request_id"].tolist() == ["r0", "r2", "r3", "r4", "r5"]
        assert found.quarantine["source_row"].tolist() == [3]
        assert found.quarantine["line"].tolist() == [lines[2]]

    def test_csv_cells_are_texts_nothing_is_guessed(self, tmp_path: Path) -> None:
        lines = ["request_id,timestamp,prompt,model,latency_ms,useful,intent,team",
                 "007,2026-01-05,NA,1.50,5,,null,", f"008,2026-01-05,,1.50,5,True,,{'x' * 200_000}"]  # fmt: skip
        rows = read_traces(write(tmp_path, "t.csv", "\n".join(lines))).rows
        assert rows["request_id"].tolist() == ["007", "008"]
        assert rows["model"].tolist() == ["1.50", "1.50"]
        assert rows["prompt"].tolist() == ["NA", ""]
        assert rows["intent"].isna().all()
        assert rows["team"].tolist() == ["", "x" * 200_000]

    def test_csv_bytes_that_are_no_utf8_are_repaired_in_prompts_only(self, tmp_path: Path) -> None:
        lines = [HEADER, LINE.format(1, "a\udcff"), LINE.format("\udcff", "b")]
        found = read_traces(write(tmp_path, "t.csv", "\n".join(lines).encode("utf-8", "surrogateescape")))
        assert found.rows["prompt"].tolist() == ["a\ufffd"]
        assert found.reasons == {"request_id: must be a text": 1}

    @pytest.mark.parametrize("header", ["request_id,useful,useful", "a,b,,"])
    def test_a_csv_column_twice_is_an_error(self, tmp_path: Path, header: str) -> None:
        with pytest.raises(TraceError, match="stands there twice"):
            read_traces(write(tmp_path, "t.csv", f"{header}\n1,2,3{',4' * (header == 'a,b,,')}"))

    @pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
    @pytest.mark.parametrize("content", ["", "\n\n", HEADER])
    def test_an_empty_file_is_an_error(self, tmp_path: Path, name: str, content: str) -> None:
        wanted = "the table is empty" if not (name == "t.jsonl" and content == HEADER) else "none of 1 rows is usable"
        with pytest.raises(TraceError, match=wanted):
            read_traces(write(tmp_path, name, content))

    def test_only_broken_lines_tell_the_first(self, tmp_path: Path) -> None:
        with pytest.raises(
            TraceError, match=r"none of 2 rows is usable; most frequent reason \(2 of 2 rows, first in row 1\): line: "
        ):
            read_traces(write(tmp_path, "t.jsonl", "[\n]"))

    def test_json_of_empty_objects_misses_every_column(self, tmp_path: Path) -> None:
        with pytest.raises(TraceError, match="the table is empty"):
            read_traces(write(tmp_path, "t.jsonl", "{}\n{}"))

    @pytest.mark.parametrize("cut", [0, 3, 4, 100, -1, -8])
    def test_a_truncated_parquet_is_one_line(self, tmp_path: Path, cut: int) -> None:
        whole = validate_traces(table()).write(tmp_path / "t.parquet").read_bytes()
        with pytest.raises(TraceError, match=f"^{tmp_path}/t.parquet: not a readable .parquet table: [^\n]+$"):
            read_traces(write(tmp_path, "t.parquet", whole[:cut]))

    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, 10**6), st.binary(min_size=1, max_size=8))
    @example(24, b"\x80")  # a damaged text
    def test_a_damaged_parquet_is_an_error_or_a_table(
        self, tmp_path_factory: pytest.TempPathFactory, at: int, data: bytes
    ) -> None:
        folder = tmp_path_factory.mktemp("damaged")
        whole = bytearray(validate_traces(table()).write(folder / "t.parquet").read_bytes())
        at %= len(whole)
        whole[at : at + len(data)] = data
        with contextlib.suppress(TraceError):
            found = read_traces(write(folder, "t.parquet", bytes(whole)))
            assert found.rows_in == len(found.rows) + len(found.quarantine)

    @pytest.mark.parametrize(
        ("name", "kind"), [("t.csv", "parquet"), ("t.jsonl", "parquet"), ("t.csv", "utf16"), ("t.jsonl", "gzip")]
    )
    def test_a_file_of_another_kind_than_its_suffix_is_named(self, tmp_path: Path, name: str, kind: str) -> None:
        content = {
            "parquet": validate_traces(table()).write(tmp_path / "x.parquet").read_bytes(),
            "utf16": HEADER.encode("utf-16"),
            "gzip": gzip.compress(JSON_LINE.encode()),
        }[kind]
        said = {"parquet": "Parquet", "utf16": "UTF-16", "gzip": "gzip"}[kind]
        with pytest.raises(TraceError, match=f"{name}: not a readable .* table: it is {said}; UTF-8 text is needed"):
            read_traces(write(tmp_path, name, content))

    def test_what_is_no_file_or_no_known_kind_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(TraceError, match="no such file"):
            read_traces(tmp_path / "gone.csv")
        with pytest.raises(TraceError, match=r"is a folder; a .parquet, .jsonl, .csv file is needed"):
            read_traces(tmp_path)
        with pytest.raises(
            TraceError, match=r"cannot tell the format from '\.xlsx'; allowed: \.parquet, \.jsonl, \.csv"
        ):
            read_traces(write(tmp_path, "t.xlsx", "x"))

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(
            st.sampled_from([LINE.format(i, "p") for i in range(3)] + ['"', "x", '",,,,,"', "", '""', "a\rb", ",,,,,"])
        )
    )
    def test_no_csv_line_is_lost(self, tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
        whole = [HEADER, LINE.format("keep", "p"), *lines]
        found = read_traces(write(tmp_path_factory.mktemp("csv"), "t.csv", "\n".join(whole)))
        assert found.rows_in == len(found.rows) + len(found.quarantine)
        kept = " ".join(map(str, [*found.rows["request_id"], *found.quarantine.to_numpy().ravel()]))
        for i in range(3):
            assert kept.count(f"r{i}") >= (LINE.format(i, "p") in lines)


class TestFingerprint:
    def test_it_is_the_same_for_the_same_rows(self) -> None:
        first = fingerprint(validate_traces(table({})).rows)
        assert first == fingerprint(validate_traces(table({}).iloc[::-1].assign(team=1)).rows)

    @pytest.mark.parametrize("name", list(COLUMNS))
    def test_any_value_changes_it(self, name: str) -> None:
        kind = COLUMNS[name].kind
        choices: dict[str, list[Any]] = {"time": ["2026-01-06", "2026-01-07"], "flag": [True, False]}
        values = choices.get(kind, ["image", "audio"] if kind == "text" else [0, 1])
        tried: list[Any] = [*values] if COLUMNS[name].required else [*values, None]
        found = {fingerprint(validate_traces(table({name: value}, {})).rows) for value in tried}
        assert len(found) == len(tried)
