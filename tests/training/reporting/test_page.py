"""The report page: self-contained, escaped, well formed, without prompts, and honest about what it does not know."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from pointsman.errors import PointsmanError, TraceError
from pointsman.reporting.page import report_page, write_page

NOW = datetime(2026, 3, 12, 8, 0, tzinfo=UTC)
VOID = {"br", "meta"}
EVIL = "<script>alert('&')</script>"


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
        assert self.open.pop() == tag, tag

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.found if name == tag]


def test_it_needs_nothing_from_elsewhere_and_runs_nothing(nine_models: Any, identity: Any) -> None:
    text = report_page(nine_models, identity, now=NOW)
    assert not re.search(r"https?:|\bsrc=|\bhref=|@import|url\(|<script|<link|\bon\w+=", text)
    assert "@media print" in text
    assert "prefers-color-scheme: dark" in text


def test_it_is_well_formed_and_can_be_read_aloud(nine_models: Any, identity: Any) -> None:
    page = Page(report_page(nine_models, identity, now=NOW))
    assert page.of("html") == [{"lang": "en"}]
    assert len(page.of("h1")) == 1
    levels = [int(tag[1]) for tag, _ in page.found if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert len(page.of("caption")) == len(page.of("table")) >= 5
    assert all(attrs.get("scope") in {"col", "row"} for attrs in page.of("th"))
    pictures = page.of("svg")
    assert len(pictures) == 1 + len(nine_models["reliability"])
    assert all(attrs.get("role") == "img" and attrs.get("aria-label") for attrs in pictures)
    assert len(page.of("desc")) == len(pictures)
    ids = [attrs["id"] for _, attrs in page.found if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert all(attrs["aria-labelledby"] in ids for _, attrs in page.found if "aria-labelledby" in attrs)
    assert all(attrs.get("tabindex") == "0" for _, attrs in page.found if attrs.get("class") == "scroll")


def test_every_name_is_escaped(make_replay: Any, identity: Any) -> None:
    evil = make_replay((EVIL, "b"))
    text = report_page(evil, {**identity, "name": EVIL}, now=NOW, notes=[EVIL])
    assert "<script" not in text
    Page(text)


def test_it_says_who_and_when_and_no_prompt(nine_models: Any, identity: Any) -> None:
    text = report_page(nine_models, identity, now=NOW)
    for said in ("ab" * 8, "run123", "numpy 2.4.6", "2026-02-01 00:00", "10 days older than this report", "week"):
        assert said in text, said
    assert "secret" not in text
    assert "No prompt stands in this report" in text
    example = {"kind": "lost", "prompt": "a secret prompt", "intent": "chat", "from": "a", "to": "b"}
    shown = report_page(
        nine_models, identity, now=NOW, examples=[{**example, "useful": [1.0, 0.0], "cost_usd": [0.1, 0.01]}]
    )
    assert "a secret prompt" in shown
    assert "this page holds what users wrote" in shown
    assert "No prompt stands" not in shown


def test_every_figure_stands_with_its_interval(nine_models: Any, identity: Any) -> None:
    text = report_page(nine_models, identity, now=NOW)
    for name in ("Useful answers", "Cost a month", "Cost of 1,000 useful answers", "Median latency", "P95 latency"):
        assert f'<th scope="row">{name}<small>measured</small></th>' in text, name
    assert f"{100 * nine_models['after']['useful_rate']:.1f} %" in text
    for model in nine_models["moved"]["models"]:
        assert model in text


def test_what_was_modelled_is_marked(make_replay: Any, identity: Any) -> None:
    text = report_page(make_replay(modelled=["latency_ms", "output_tokens"]), identity, now=NOW)
    assert "Median latency<small>modelled: latency_ms</small>" in text
    assert "Cost a month<small>modelled: output_tokens</small>" in text
    assert "Useful answers<small>measured</small>" in text


def test_what_was_not_looked_at_is_said(nine_models: Any, identity: Any) -> None:
    text = report_page(nine_models, identity, now=NOW)
    for said in ("Not replayed under load", "Not audited", "Not measured for this report"):
        assert said in text
    audit = {
        "verdict": "1 RED FLAG in spec.yaml: no fallback.",
        "findings": [{"severity": "high", "what": "No fallback.", "why": "A failure ends there.", "fix": "Name one."}],
    }
    assert "A failure ends there. Name one." in report_page(nine_models, identity, now=NOW, audit=audit)


RATES = [1.0, 10.0, 100.0]
LOAD = {
    "rate_per_s": 5.0,
    "limit_ms": 220.0,
    "rates_per_s": RATES,
    "modelled": ["latency"],
    "before": {"p95_ms": [600.0, 700.0, 90_000.0], "error_rate": [0.0, 0.0, 0.5]},
    "after": {"p95_ms": [180.0, 190.0, 400.0], "error_rate": [0.0, 0.0, 0.01]},
}
LOAD["before"] |= {"keeps_limit_to_per_s": 0.0, "cliff_per_s": 40.0}  # type: ignore[operator]
LOAD["after"] |= {"keeps_limit_to_per_s": 33.3, "cliff_per_s": None}  # type: ignore[operator]


def test_the_part_under_load_says_where_the_cliff_is(nine_models: Any, identity: Any) -> None:
    text = report_page(nine_models, identity, now=NOW, load=LOAD)
    page = Page(text)
    assert len(page.of("svg")) == 2 + len(nine_models["reliability"])
    for said in (
        "P95 keeps its limit of 220 ms up to 33.3 requests a second after, at no rate asked before",
        "comes beyond every rate asked after, at 40 requests a second before",
        "90.0 s",
        "50.0 %",
    ):
        assert said in text, said
    with pytest.raises(PointsmanError, match="pointsman load"):
        report_page(nine_models, identity, load={"rates_per_s": [1.0]})


def test_a_replay_of_an_older_release_is_refused_in_a_line(nine_models: Any, identity: Any) -> None:
    older = {key: value for key, value in nine_models.items() if key != "intents"}
    with pytest.raises(PointsmanError, match="no 'intents': an older release"):
        report_page(older, identity)


def test_it_is_written_or_says_why_not(tmp_path: Any) -> None:
    assert write_page("<!doctype html>", tmp_path / "new" / "r.html").read_text() == "<!doctype html>"
    with pytest.raises(TraceError, match="cannot be written"):
        write_page("", tmp_path)
