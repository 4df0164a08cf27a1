"""The data report as HTML: one file that needs nothing else, says everything, and trusts no name."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from pointsman.errors import TraceError
from pointsman.profile.data_profile import DataProfile
from pointsman.profile.html import html_report, write_html
from pointsman.traces import validate_traces

if TYPE_CHECKING:
    from pathlib import Path

EVIL = "<script>alert('&')</script>"
VOID = {"br", "meta"}


class Page(HTMLParser):
    """Collects elements, and refuses tags that do not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.found if name == tag]


def report(model: str = "large", **intake: Any) -> dict[str, Any]:
    """Return the report of a small log."""
    n = 60
    frame = pd.DataFrame(
        {
            "request_id": [str(i) for i in range(n)],
            "timestamp": pd.Timestamp("2026-03-02", tz="UTC") + pd.to_timedelta(np.arange(n), unit="h"),
            "prompt": [f"a secret question {i % 50}" for i in range(n)],
            "model": np.where(np.arange(n) % 3, model, "small"),
            "latency_ms": 120.0,
            "useful": np.where(np.arange(n) % 2, 1.0, np.nan),
            "useful_by": [model if i % 2 else None for i in range(n)],
            "intent": np.where(np.arange(n) % 5, model, "lookup"),
            "propensity": 0.5,
        }
    )
    data = DataProfile()
    data.update(validate_traces(frame).rows)
    return data.report(intake)


def test_every_name_is_escaped() -> None:
    text = html_report(
        report(EVIL, sources=[EVIL], format=EVIL, fingerprint=EVIL, aside={EVIL: 2}, redactions={EVIL: 1}, created=EVIL)
    )
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    Page(text)


def test_it_needs_nothing_from_elsewhere() -> None:
    text = html_report(report())
    assert not re.search(r"https?:|\bsrc=|\bhref=|@import|url\(|<script|<link", text)
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_it_is_well_formed_and_accessible() -> None:
    page = Page(html_report(report(aside={"a rule": 3}, rows_in=63, kept=60)))
    assert page.of("html") == [{"lang": "en"}]
    assert len(page.of("caption")) == len(page.of("table")) >= 7
    assert all(attrs.get("scope") in {"col", "row"} for attrs in page.of("th"))
    assert all(attrs.get("aria-label") or attrs.get("aria-hidden") for attrs in page.of("svg"))
    ids = {attrs["id"] for _, attrs in page.found if "id" in attrs}
    assert all(attrs["aria-labelledby"] in ids for _, attrs in page.found if "aria-labelledby" in attrs)


def test_it_shows_the_figures_and_no_prompt() -> None:
    text = html_report(
        report(sources=["gateway.jsonl"], fingerprint="abc123", aside={"a rule": 3}, redactions={"email": 7})
    )
    for said in ("gateway.jsonl", "abc123", "a rule", "4.8 %", "50 % of the rows have no useful", "redacted: email"):
        assert said in text
    assert "secret" not in text


def test_the_intake_bar_holds_every_row() -> None:
    aside = {f"rule {n}": n for n in range(1, 9)}
    text = html_report(report(aside=aside))
    parts = re.findall(r'<rect class="(?:kept|part\d)" x="([\d.]+)" width="([\d.]+)" height="26">', text)
    assert len(parts) == 7
    assert sum(float(width) for _, width in parts) == pytest.approx(1000, abs=0.1)
    assert "3 more reasons" in text


def test_a_report_of_nothing_is_a_page_too() -> None:
    Page(html_report(DataProfile().report({"aside": {"a rule": 3}, "rows_in": 3, "kept": 0})))
    Page(html_report(DataProfile().report()))


def test_it_is_written_or_says_why_not(tmp_path: Path) -> None:
    file = write_html(report(), tmp_path / "new" / "report.html")
    assert file.read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(TraceError, match="cannot be written"):
        write_html(report(), tmp_path)
