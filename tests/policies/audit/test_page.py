"""The page of the checks is what the command prints."""

from __future__ import annotations

from pathlib import Path

from pointsman.audit.catalogue import as_markdown

PAGE = Path(__file__).parents[3] / "policies" / "AUDIT.md"


def test_the_page_holds_the_table_of_checks_as_printed() -> None:
    begin, end = "<!-- checks: written by pointsman audit --checks -->", "<!-- end of checks -->"
    part = PAGE.read_text(encoding="utf-8").partition(begin)[2].partition(end)[0]
    assert part.strip() == as_markdown().strip()
