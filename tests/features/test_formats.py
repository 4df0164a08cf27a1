"""Each export is known as what it is, and gives no column that the table of formats denies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from pointsman.columns import COLUMNS
from pointsman.errors import TraceError
from pointsman.formats import FORMATS, detected, fields_table
from pointsman.ingest_config import parse_ingest_config
from pointsman.ingestion.ingest import ingest
from pointsman.ingestion.sources import CONTAINERS, chunks, partitions
from pointsman.pricing.prices import PriceTable

if TYPE_CHECKING:
    from collections.abc import Iterator

EXPORTS = Path(__file__).parent / "exports"
FILES = sorted(path for path in EXPORTS.iterdir() if path.suffix in CONTAINERS and path.suffix != ".txt")
PREFIXES = {"openinference": "openinference", "otlp": "otlp", "litellm": "litellm", "langfuse": "langfuse"}
PREFIXES |= {"helicone": "helicone", "vllm_sr": "vllm-sr", "envoy": "envoy-ai-gateway"}


def records(path: Path) -> Iterator[dict[str, object]]:
    for part in partitions([path]):
        for chunk in chunks(part):
            yield from chunk.records()


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_an_export_is_known(path: Path) -> None:
    [expected] = [name for prefix, name in PREFIXES.items() if path.name.startswith(prefix)]
    assert detected(list(records(path)), path.name).name == expected


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_a_format_gives_what_its_table_says(path: Path, tmp_path: Path) -> None:
    config = parse_ingest_config({"cached_answers": "keep"})
    try:
        intake = ingest([path], tmp_path / "out.parquet", config, PriceTable({}))
    except TraceError:
        pytest.skip("needs another file beside it")
    rows = pd.read_parquet(tmp_path / "out.parquet")
    told = {name for name in COLUMNS if rows[name].notna().any()}
    reader = FORMATS[intake.files[str(path)]]
    assert told <= set(reader.gives)
    assert {"request_id", "timestamp", "prompt", "model", "latency_ms"} <= told


def test_the_table_of_formats_has_a_row_a_column() -> None:
    head, *rows = fields_table()
    assert head[1:] == list(FORMATS)
    assert [row[0] for row in rows] == list(COLUMNS)
    assert {cell for row in rows for cell in row[1:]} == {"●", ""}
