"""Every row goes through the exchange once, equal keys to one bucket, in the order of the source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.ingestion.exchange import bucket_of, read_bucket, unified, write_buckets

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 99)), max_size=60), st.integers(1, 5))
def test_nothing_is_lost_and_nothing_doubled(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int]], buckets: int
) -> None:
    folder = tmp_path_factory.mktemp("x")
    paths = []
    for number, part in enumerate((rows[:20], rows[20:])):
        frame = pd.DataFrame(part, columns=["key", "value"])
        bucket = bucket_of(frame["key"], buckets)
        paths.append(folder / f"{number}.arrow")
        table = pa.table({"key": pa.array(frame["key"], pa.string()), "value": pa.array(frame["value"], pa.int64())})
        write_buckets(paths[-1], table, bucket, buckets)
    back: list[Any] = [read_bucket(paths, bucket) for bucket in range(buckets)]
    assert sorted((row["key"], row["value"]) for table in back for row in table.to_pylist()) == sorted(rows)
    homes = [set(table["key"].to_pylist()) for table in back]
    assert sum(map(len, homes)) == len(set().union(*homes))
    for key in {key for key, _ in rows}:
        [found] = [
            [row["value"] for row in table.to_pylist() if row["key"] == key]
            for table in back
            if key in set(table["key"].to_pylist())
        ]
        assert found == [value for name, value in rows if name == key]


def test_the_bucket_of_a_key_is_the_same_on_every_machine() -> None:
    assert bucket_of(pd.Series(["a", "b", "request-1"]), 1000).tolist() == [504, 975, 566]


def test_further_columns_of_different_types_meet_as_text() -> None:
    table = unified([pa.table({"x": [1], "y": ["a"]}), pa.table({"x": ["one"], "z": [1.5]}), pa.table({"x": [None]})])
    assert table.to_pylist() == [
        {"x": "1", "y": "a", "z": None},
        {"x": "one", "y": None, "z": 1.5},
        {"x": None, "y": None, "z": None},
    ]


def test_whole_and_broken_numbers_meet_as_numbers() -> None:
    table = unified([pa.table({"x": pa.array([1], pa.int32())}), pa.table({"x": [1.5]})])
    assert table["x"].to_pylist() == [1.0, 1.5]


def test_no_file_no_bucket(tmp_path: Path) -> None:
    assert read_bucket([], 0) is None
    write_buckets(tmp_path / "a.arrow", pa.table({"x": [1, 2]}), np.array([1, 1]), 3)
    back: list[Any] = [read_bucket([tmp_path / "a.arrow"], bucket) for bucket in range(3)]
    assert list(map(len, back)) == [0, 2, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["a.arrow"]
