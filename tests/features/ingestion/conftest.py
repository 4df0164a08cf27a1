"""Sources of every kind, small, and an ingest cut into many small parts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pointsman.ingest_config import IngestConfig
from pointsman.ingestion import ingest as module
from pointsman.ingestion import sources
from pointsman.ingestion.ingest import ingest
from pointsman.pricing.prices import PriceTable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pointsman.ingestion.intake import Intake


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut sources, exchanges and the table into many small parts."""
    monkeypatch.setattr(sources, "_PARTITION_BYTES", 60_000)
    monkeypatch.setattr(sources, "_BYTES", 25_000)
    monkeypatch.setattr(module, "_BUCKET_BYTES", 90_000)
    monkeypatch.setattr(module, "_PART_ROWS", 300)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Intake]:
    """Ingest into ``out.parquet`` of the test's folder, with the defaults."""

    def go(*files: Path, config: IngestConfig | None = None, out: str = "out.parquet", **more: Any) -> Intake:
        return ingest(files, tmp_path / out, config or IngestConfig(), PriceTable({}), **more)

    return go


def record(number: int) -> dict[str, Any]:
    """Return one row of a trace table."""
    rng = np.random.default_rng(number)
    return {
        "request_id": f"r{number // 2}",
        "timestamp": f"2026-01-{1 + number // 2 * 7 % 28:02d}T{number // 2 % 24:02d}:00:00Z",
        "prompt": f"prompt {number // 2} " + "word " * (number // 2 % 30),
        "model": "ab"[number % 2],
        "latency_ms": float(rng.integers(1, 900)),
        "useful": int(rng.integers(0, 2)),
        "user_id": f"u{number % 9}",
    }


@pytest.fixture
def lines() -> list[bytes]:
    """Give 1,200 lines of a plain table: two answers for each of 600 requests."""
    return [json.dumps(record(number)).encode() for number in range(1200)]
