"""Partitions cover each record of a file once, whatever its kind; a fault names the file."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pointsman.errors import TraceError
from pointsman.ingestion import sources
from pointsman.ingestion.sources import chunks, partitions, source_files

if TYPE_CHECKING:
    from pathlib import Path


def lines(count: int) -> list[str]:
    return [json.dumps({"n": number, "text": "x" * (number % 50)}) for number in range(count)]


def read(file: Path, rows: int = 7) -> tuple[list[int], list[Any], int]:
    """Return line numbers and values of all records in all partitions, and how many lines are broken."""
    numbers: list[int] = []
    values: list[Any] = []
    broken = 0
    for part in partitions([file]):
        for chunk in chunks(part, rows):
            assert len(chunk) <= rows or part.container == "document"
            numbers += chunk.numbers
            values += [record["n"] for record in chunk.records()]
            broken += len(chunk.broken)
    return numbers, values, broken


@pytest.mark.parametrize("size", [40, 100, 1000, 1 << 20])
@pytest.mark.parametrize("last", ["\n", ""])
def test_json_lines_are_cut_at_line_ends_with_their_own_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, last: str
) -> None:
    monkeypatch.setattr(sources, "_PARTITION_BYTES", size)
    texts = lines(200)
    texts[17] = ""
    texts[40] = "{broken"
    (tmp_path / "a.jsonl").write_text("\n".join(texts) + last)
    numbers, values, broken = read(tmp_path / "a.jsonl")
    expected = [number for number in range(200) if number not in {17, 40}]
    assert values == expected
    assert numbers == [number + 1 for number in expected]
    assert broken == 1
    assert (len(partitions([tmp_path / "a.jsonl"])) > 1) == (size < 1 << 20)


def test_a_line_longer_than_a_partition_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_PARTITION_BYTES", 64)
    long = json.dumps({"n": 1, "text": "y" * 1000})
    (tmp_path / "a.jsonl").write_text("\n".join([lines(1)[0], long, json.dumps({"n": 2})]))
    assert read(tmp_path / "a.jsonl") == ([1, 2, 3], [0, 1, 2], 0)


def test_row_groups_of_parquet_keep_their_row_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_PARTITION_ROWS", 25)
    pq.write_table(pa.table({"n": range(100)}), tmp_path / "a.parquet", row_group_size=10)
    assert len(partitions([tmp_path / "a.parquet"])) == 4
    assert read(tmp_path / "a.parquet") == (list(range(1, 101)), list(range(100)), 0)


def test_a_csv_keeps_the_lines_on_which_records_start(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('n,text\n0,"two\nlines"\n1,b\n2\n3,d\n')
    numbers, values, broken = read(tmp_path / "a.csv", rows=2)
    assert (numbers, values, broken) == ([2, 4, 6], ["0", "1", "3"], 1)


@pytest.mark.parametrize(
    "shape",
    [
        lambda values: json.dumps(values),
        lambda values: json.dumps(values, indent=2),
        lambda values: json.dumps({"meta": {"data": [1]}, "data": values}, indent=1),
        lambda values: json.dumps({"traces": values}),
        lambda values: "\ufeff" + json.dumps(values),
        lambda values: "\n".join(map(json.dumps, values)),
        lambda values: "\n".join(json.dumps(one, indent=4) for one in values),
    ],
)
def test_a_json_file_may_be_an_array_an_object_with_a_list_or_objects(tmp_path: Path, shape: Any) -> None:
    (tmp_path / "a.json").write_text(shape([{"n": number} for number in range(30)]), encoding="utf-8")
    numbers, values, broken = read(tmp_path / "a.json", rows=30)
    assert (numbers, values, broken) == (list(range(1, 31)), list(range(30)), 0)


def test_objects_that_span_lines_are_told_in_a_log_by_their_bracket(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("\n".join(json.dumps({"n": number}, indent=4) for number in range(5)))
    assert read(tmp_path / "a.log", rows=30) == ([1, 2, 3, 4, 5], [0, 1, 2, 3, 4], 0)
    (tmp_path / "b.log").write_text('{"n": \n{"n": 1}\n')
    assert read(tmp_path / "b.log") == ([2], [1], 1)


def test_a_json_file_of_one_object_is_one_record(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"n": 5, "nested": {"data": [1, 2]}}, indent=2))
    assert read(tmp_path / "a.json") == ([1], [5], 0)


def test_elements_before_a_fault_are_read_and_the_rest_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"n": 0}, {"n": 1}, 7, {"n": 2')
    assert read(tmp_path / "a.json") == ([1, 2], [0, 1], 2)


def test_nan_in_an_array_is_read_as_the_standard_library_does(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"n": 0, "x": NaN}, {"n": 1}]')
    assert read(tmp_path / "a.json") == ([1, 2], [0, 1], 0)


def test_packed_texts_are_read_whole(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write("\n".join(lines(30)))
    with gzip.open(tmp_path / "b.csv.gz", "wt") as file:
        file.write("n\n1\n2\n")
    assert read(tmp_path / "a.jsonl.gz")[1] == list(range(30))
    assert read(tmp_path / "b.csv.gz")[1] == ["1", "2"]


def test_a_folder_stands_for_its_files_in_order(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.csv", "notes.md", "deep/c.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    found = source_files([tmp_path, tmp_path / "b.jsonl"])
    assert [one.relative_to(tmp_path).as_posix() for one in found] == ["a.csv", "b.jsonl", "deep/c.parquet"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xlsx", b"x", "cannot tell the kind from '.xlsx'"),
        ("a.parquet", b"PAR1 no more", "not a readable .parquet file"),
        ("a.jsonl", b"\x1f\x8bzip", "it is gzip"),
        ("a.csv", b'"open', "quotes of its header line"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TraceError, match=message):
        [list(chunks(part)) for part in partitions(source_files([tmp_path / name]))]


def test_an_empty_folder_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="holds no file to read"):
        source_files([tmp_path])
    with pytest.raises(TraceError, match="no such file"):
        source_files([tmp_path / "none.jsonl"])


def test_a_chunk_is_a_frame_too(tmp_path: Path) -> None:
    pd.DataFrame({"n": [1, None], "flag": [True, None]}).convert_dtypes().to_parquet(tmp_path / "a.parquet")
    [chunk] = [chunk for part in partitions([tmp_path / "a.parquet"]) for chunk in chunks(part)]
    frame = chunk.frame()
    assert frame.index.tolist() == [1, 2]
    assert str(frame["n"].dtype) == "Int64"
    assert chunk.records() == [{"n": 1, "flag": True}, {"n": None, "flag": None}]
