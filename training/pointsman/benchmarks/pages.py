"""Pages whose figures are written by the commands that measure them, between two marks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["rewrite"]


def rewrite(page: Path, part: str, command: str, text: str) -> None:
    """Put a text between the marks of a part; it says which command wrote it.

    Raises
    ------
    SystemExit
        Where the page has no such part.
    """
    begin, end = f"<!-- {part}: written by {command} -->", f"<!-- end of {part} -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{page}: has no part between {begin} and {end}")
    page.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}", encoding="utf-8")
