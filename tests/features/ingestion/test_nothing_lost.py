"""Of a corpus of broken lines nothing is lost: what was read is kept or put aside, and the counts add up exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from fuzzed_lines import broken_lines

from pointsman.errors import TraceError
from pointsman.formats import FORMATS
from pointsman.readers.reader import SpanReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.ingestion.intake import Intake

BARE = {
    "envoy_ai_gateway",
    "langfuse_v2_listed",
    "langfuse_v3_listed",
    "langfuse_v5_scores",
    "litellm_spend_no_prompts",
    "openinference_phoenix_annotations",
}
"""Exports that hold scores alone, or logs without prompts: they need another file beside them."""

EXPORTS = sorted(Path(__file__).parent.parent.glob("exports/*.jsonl"))


def check(intake: Intake, folder: Path, corpus: list[bytes]) -> list[dict[str, Any]]:
    read = sum(
        bool(line.removeprefix(b"\xef\xbb\xbf" if not index else b"").strip()) for index, line in enumerate(corpus)
    )
    quarantine = folder / "out.quarantine.jsonl"
    aside = [json.loads(line) for line in quarantine.read_text().splitlines()] if quarantine.exists() else []
    assert intake.records == read
    assert intake.kept == len(pd.read_parquet(folder / "out.parquet"))
    assert intake.rows == intake.kept + intake.rows_aside
    assert len(aside) == intake.put_aside == intake.records_aside + intake.spans_left + intake.rows_aside
    assert sum(intake.reasons.values()) == intake.put_aside
    assert all(entry["reason"] and entry["source"] == "a.jsonl" for entry in aside)
    assert all(corpus[entry["source_row"] - 1].strip() for entry in aside)
    return aside


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("small_parts")
def test_of_a_plain_table(tmp_path: Path, run: Callable[..., Intake], lines: list[bytes], seed: int) -> None:
    corpus = broken_lines(lines, seed, 0.2)
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(corpus))
    intake = run(tmp_path / "a.jsonl", format_name="table")
    aside = check(intake, tmp_path, corpus)
    assert intake.records == intake.records_aside + intake.rows
    rows = [entry["source_row"] for entry in aside]
    assert rows == sorted(set(rows))
    whole = {number for number, line in enumerate(corpus, start=1) if line == lines[number - 1]}
    # Only a line that was broken is put aside, or one that a broken line before it contradicts.
    assert all("first" in entry["reason"] for entry in aside if entry["source_row"] in whole)


@pytest.mark.parametrize("export", EXPORTS, ids=[path.stem for path in EXPORTS])
def test_of_exports(tmp_path: Path, run: Callable[..., Intake], export: Path) -> None:
    lines = [line for line in export.read_bytes().splitlines() if line.strip()]
    corpus = broken_lines(lines * (1 + 60 // len(lines)), 7, 0.2)
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(corpus))
    known = [
        name for name, reader in FORMATS.items() if isinstance(reader, SpanReader) and reader.fits(json.loads(lines[0]))
    ]
    assert len(known) == 1
    if export.stem in BARE:
        with pytest.raises(TraceError, match="gave a usable row"):
            run(tmp_path / "a.jsonl", format_name=known[0])
        assert (tmp_path / "out.quarantine.jsonl").read_text()
        return
    check(run(tmp_path / "a.jsonl", format_name=known[0]), tmp_path, corpus)
