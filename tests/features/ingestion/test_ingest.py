"""Ingest: the same table however it is cut and wherever it runs; nothing lost; a crash leaves nothing half-written."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from pointsman.errors import TraceError
from pointsman.fingerprint import fingerprint
from pointsman.ingest_config import parse_ingest_config
from pointsman.ingestion import stages
from pointsman.traces import read_traces

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pointsman.ingestion.intake import Intake

    Run = Callable[..., Intake]


def written(folder: Path, name: str = "out.parquet") -> pd.DataFrame:
    return pd.read_parquet(folder / name, dtype_backend="numpy_nullable")


def aside(folder: Path, name: str = "out") -> list[dict[str, Any]]:
    file = folder / f"{name}.quarantine.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_it_is_the_table_that_the_plain_reader_gives(tmp_path: Path, run: Run, lines: list[bytes]) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    intake = run(tmp_path / "a.jsonl")
    plain = read_traces(tmp_path / "a.jsonl")
    assert intake.kept == intake.records == intake.rows == 1200
    assert intake.fingerprint == fingerprint(plain.rows) == fingerprint(read_traces(tmp_path / "out.parquet").rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "out.parquet"]


def test_many_small_parts_give_the_same_table(
    tmp_path: Path, run: Run, lines: list[bytes], request: pytest.FixtureRequest
) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    whole = run(tmp_path / "a.jsonl", out="whole.parquet")
    request.getfixturevalue("small_parts")
    parts = run(tmp_path / "a.jsonl")
    assert parts.fingerprint == whole.fingerprint
    pd.testing.assert_frame_equal(written(tmp_path), written(tmp_path, "whole.parquet"))
    assert written(tmp_path)["timestamp"].is_monotonic_increasing


@pytest.mark.usefixtures("small_parts")
def test_rows_of_a_request_meet_across_partitions(tmp_path: Path, run: Run, lines: list[bytes]) -> None:
    again = json.dumps({**json.loads(lines[0]), "latency_ms": 5}).encode()
    other = json.dumps({**json.loads(lines[3]), "model": "c", "prompt": "another"}).encode()
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([*lines, again, other]))
    intake = run(tmp_path / "a.jsonl")
    assert (intake.rows, intake.kept, intake.put_aside) == (1202, 1200, 2)
    assert [(entry["source"], entry["source_row"]) for entry in aside(tmp_path)] == [
        ("a.jsonl", 1201),
        ("a.jsonl", 1202),
    ]
    assert "one row per request and model" in aside(tmp_path)[0]["reason"]
    assert "prompt: must be that of the first row" in aside(tmp_path)[1]["reason"]


@pytest.mark.usefixtures("small_parts")
def test_what_is_put_aside_stands_in_the_order_of_the_sources(tmp_path: Path, run: Run, lines: list[bytes]) -> None:
    broken = [b"{" if index % 50 == 0 else line for index, line in enumerate(lines)]
    late = json.dumps({**json.loads(lines[7]), "model": "z", "latency_ms": -1}).encode()
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(broken))
    (tmp_path / "b.jsonl").write_bytes(b"\n".join([late, lines[1]]))
    intake = run(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    places = [(entry["source"], entry["source_row"]) for entry in aside(tmp_path)]
    assert places == [("a.jsonl", 1 + 50 * index) for index in range(24)] + [("b.jsonl", 1), ("b.jsonl", 2)]
    assert intake.records == 1202 == intake.kept + intake.put_aside


@pytest.mark.parametrize("engine", [{"workers": 2}, {"engine_name": "dask", "workers": 2}])
def test_processes_and_a_cluster_give_the_same_bytes(
    tmp_path: Path, run: Run, lines: list[bytes], engine: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    if "engine_name" in engine:
        pytest.importorskip("dask.distributed")
    request.getfixturevalue("small_parts")
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([*lines, b"broken", lines[5]]))
    here = run(tmp_path / "a.jsonl", out="here.parquet")
    there = run(tmp_path / "a.jsonl", out="there.parquet", **engine)
    assert there.fingerprint == here.fingerprint
    assert (tmp_path / "there.parquet").read_bytes() == (tmp_path / "here.parquet").read_bytes()
    assert aside(tmp_path, "there") == aside(tmp_path, "here")
    assert len(aside(tmp_path, "here")) == 2


KILLED = """
import os, signal, sys
from pathlib import Path
from pointsman.ingest_config import IngestConfig
from pointsman.ingestion import ingest as module, sources, stages
from pointsman.pricing.prices import PriceTable
sources._PARTITION_BYTES, sources._BYTES, module._BUCKET_BYTES, module._PART_ROWS = 60_000, 25_000, 90_000, 300
stage, source, out = sys.argv[1:]
own = stages.STAGES[stage]
stages.STAGES[stage] = lambda plan, number: os.kill(os.getpid(), signal.SIGKILL) if number == 1 else own(plan, number)
module.ingest([Path(source)], Path(out), IngestConfig(), PriceTable({}))
"""


@pytest.mark.parametrize("stage", ["read", "settle"])
def test_after_a_kill_the_same_call_completes_what_is_left(
    tmp_path: Path,
    run: Run,
    lines: list[bytes],
    stage: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([*lines, b"{"]))
    command = [sys.executable, "-c", KILLED, stage, str(tmp_path / "a.jsonl"), str(tmp_path / "out.parquet")]
    assert subprocess.run(command, check=False, capture_output=True).returncode == -signal.SIGKILL
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "out.parquet.ingest"]
    request.getfixturevalue("small_parts")
    own, again = stages.STAGES[stage], []

    def counted(plan: Any, number: int) -> Any:
        again.append(number)
        return own(plan, number)

    monkeypatch.setitem(stages.STAGES, stage, counted)
    intake = run(tmp_path / "a.jsonl")
    assert again
    assert again[0] == 1
    whole = run(tmp_path / "a.jsonl", out="whole.parquet")
    assert intake.fingerprint == whole.fingerprint
    assert aside(tmp_path) == aside(tmp_path, "whole")
    assert not (tmp_path / "out.parquet.ingest").exists()


@pytest.mark.usefixtures("small_parts")
def test_another_call_starts_anew(
    tmp_path: Path, run: Run, lines: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    own = stages.STAGES["settle"]

    def falls(plan: Any, number: int) -> Any:
        raise MemoryError

    monkeypatch.setitem(stages.STAGES, "settle", falls)
    with pytest.raises(MemoryError):
        run(tmp_path / "a.jsonl")
    monkeypatch.setitem(stages.STAGES, "settle", own)
    config = parse_ingest_config({"models": {"a": "b2"}})
    run(tmp_path / "a.jsonl", config=config)
    assert set(written(tmp_path)["model"]) == {"b", "b2"}


def test_tables_are_joined_where_the_sources_lack_something(tmp_path: Path, run: Run, lines: list[bytes]) -> None:
    records = [json.loads(line) for line in lines[:8]]
    bare = [{k: v for k, v in one.items() if k not in {"prompt", "useful"}} for one in records]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({**one, "useful": None}) for one in bare))
    (tmp_path / "b.csv").write_text("request_id,model,prompt,useful\nr0,,hello,\nr0,b,,1\nr1,,hi,0.5\nr9,,nobody,1\n")
    intake = run(tmp_path / "a.jsonl", joins=[tmp_path / "b.csv"])
    rows = written(tmp_path).sort_values(["request_id", "model"])
    assert rows["prompt"].tolist() == ["hello", "hello", "hi", "hi"]
    assert rows["useful"].fillna(-1).tolist() == [-1, 1, 0.5, 0.5]
    assert (intake.records, intake.rows, intake.kept, intake.joined, intake.put_aside) == (12, 8, 4, 3, 5)
    reasons = [entry["reason"].partition(" (got")[0] for entry in aside(tmp_path)]
    assert reasons == ["prompt: must be a text"] * 4 + ["request_id: must be that of a request in the sources"]


def test_a_table_without_request_id_cannot_be_joined(tmp_path: Path, run: Run, lines: list[bytes]) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    (tmp_path / "b.csv").write_text("id,useful\nr0,1\n")
    with pytest.raises(TraceError, match=r"b\.csv: missing column request_id"):
        run(tmp_path / "a.jsonl", joins=[tmp_path / "b.csv"])


@pytest.mark.usefixtures("small_parts")
def test_what_users_did_next_is_seen_across_partitions(tmp_path: Path, run: Run, lines: list[bytes]) -> None:
    asked = {**json.loads(lines[0]), "useful": None, "user_id": "u", "prompt": "why does this loop never end?"}
    again = {**asked, "request_id": "again", "timestamp": "2026-01-01T00:00:30Z"}
    others = [json.loads(line) | {"user_id": f"other{index}"} for index, line in enumerate(lines[2:])]
    everything = [asked, *others, again]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, everything)))
    run(tmp_path / "a.jsonl", config=parse_ingest_config({"behaviour": {"user_retry": {}}}))
    rows = written(tmp_path).set_index("request_id")
    assert rows["useful"]["r0"] == 0
    assert rows["useful_by"]["r0"] == "user_retry"
    assert rows["useful"].isna()["again"]


def test_columns_are_mapped_and_one_that_nobody_has_is_named(tmp_path: Path, run: Run, lines: list[bytes]) -> None:
    renamed = [{("question" if k == "prompt" else k): v for k, v in json.loads(line).items()} for line in lines[:6]]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, renamed)))
    assert run(tmp_path / "a.jsonl", config=parse_ingest_config({"columns": {"prompt": "question"}})).kept == 6
    with pytest.raises(TraceError, match=r"columns\.prompt: no row has 'qestion'.*did you mean question"):
        run(tmp_path / "a.jsonl", config=parse_ingest_config({"columns": {"prompt": "qestion"}}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "nothing to read"),
        ("{}\n", "no known format: its records hold nothing"),
        ('{"a": 1, "b": 2}\n', "no known format: its records hold a, b"),
        ("[1, 2]\n", "none of 1 records gave a usable row"),
    ],
)
def test_sources_that_give_nothing_are_named(tmp_path: Path, run: Run, content: str, message: str) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(TraceError, match=message):
        run(tmp_path / "a.jsonl")
    assert not (tmp_path / "out.parquet").exists()
    assert not (tmp_path / "out.parquet.ingest").exists()
