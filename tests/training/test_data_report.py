"""The data report on a terminal: findings first, within 100 columns, and names that cannot steer it."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from pointsman.data_report import show_data_report
from pointsman.profile.data_profile import DataProfile
from pointsman.traces import validate_traces


def shown(models: list[str], requests: int = 90, **intake: object) -> str:
    """Return what is printed for a log over some models."""
    at = np.arange(requests)
    frame = pd.DataFrame(
        {
            "request_id": at.astype(str),
            "timestamp": pd.Timestamp("2026-03-02", tz="UTC") + pd.to_timedelta(at, unit="h"),
            "prompt": [f"a secret question {i}" for i in at],
            "model": [models[i % len(models)] for i in at],
            "latency_ms": 120.0,
            "useful": (at % 2).astype(float),
            "intent": [f"intent {i % 20}" for i in at],
        }
    )
    data = DataProfile()
    data.update(validate_traces(frame).rows)
    out = io.StringIO()
    show_data_report(data.report(intake), Console(file=out, width=100))
    return out.getvalue()


@pytest.mark.parametrize("models", [["a", "b"], [f"a-provider/a-model-with-a-long-name-{n}" for n in range(9)]])
def test_it_fits_100_columns(models: list[str]) -> None:
    text = shown(models, aside={"request_id, model: must be one row per request and model, the first is kept": 4})
    assert max(map(len, text.splitlines())) <= 100


def test_findings_come_before_tables() -> None:
    text = shown(["a", "b"])
    assert text.startswith("90 rows kept, 90 requests (logs), 2 models, 20 intents")
    assert text.index("high") < text.index("latency" if "latency" in text else "P50, ms")
    assert "Requests by hour" in text or "Requests by 2 hours" in text
    assert "and 8 more" in text
    assert "secret" not in text


def test_names_are_shown_as_they_are_but_steer_nothing() -> None:
    text = shown(["[red]a[/red]", "b\x1b[2J"])
    assert "[red]a[/red]" in text
    assert "\x1b" not in text


def test_nothing_kept_is_one_finding() -> None:
    out = io.StringIO()
    show_data_report(DataProfile().report(), Console(file=out, width=100))
    assert "No row was kept." in out.getvalue()
