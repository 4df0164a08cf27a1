"""The data report as one HTML file: no scripts, nothing from the net; for a screen, light or dark, and for paper."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman.errors import TraceError
from pointsman.page.environment import page_environment
from pointsman.profile.finding import share_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Environment

__all__ = ["html_report", "write_html"]

_UNKNOWN = "–"
_INTAKE = (
    *("sources", "format", "created", "fingerprint", "redactions", "aside"),
    *("records", "broken", "spans", "spans_without_call", "rows_in", "kept"),
)
_REASONS = 5
"""Reasons that get a part of the intake bar of their own."""


def html_report(report: Mapping[str, Any]) -> str:
    """Return a report (see `pointsman.profile.DataProfile.report`) as an HTML page; every name in it is escaped."""
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            **{**report, "intake": {**dict.fromkeys(_INTAKE), **report["intake"]}},
            flow=_flow(report),
            bars=_bars(report["time"]["counts"]),
            most=max((cell["rows"] for entry in report["overlap"]["intents"] for cell in entry["cells"]), default=0),
        )
    )


def write_html(report: Mapping[str, Any], path: str | Path) -> Path:
    """Write the page; its folder is made where it is missing.

    Raises
    ------
    TraceError
        Where the file cannot be written.
    """
    file = Path(path)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(html_report(report), encoding="utf-8")
    except OSError as error:
        raise TraceError(f"{file}: cannot be written: {error.strerror or error}") from error
    return file


@cache
def _environment() -> Environment:
    environment = page_environment(Path(__file__).parent)
    environment.filters |= {"share": share_text, "count": _count, "usd": _usd, "ms": _ms, "heat": _heat, "day": _day}
    return environment


def _flow(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the parts of the intake bar, the rows kept first: what, count, share, start (shares of the whole)."""
    aside: Mapping[str, int] = report["intake"].get("aside") or {}
    reasons = sorted(aside.items(), key=lambda item: -item[1])
    parts = [("kept", report["rows"]), *reasons[:_REASONS]]
    if len(reasons) > _REASONS:
        parts.append((f"{len(reasons) - _REASONS} more reasons", sum(count for _, count in reasons[_REASONS:])))
    whole = sum(count for _, count in parts) or 1
    flow, start = [], 0.0
    for what, count in parts:
        flow.append({"what": what, "count": count, "share": count / whole, "start": start})
        start += count / whole
    return flow


def _bars(counts: Sequence[int]) -> list[dict[str, float]]:
    """Return the bars of a sparkline as shares of its width and height, from the upper left."""
    highest = max(counts, default=0) or 1
    width = 1 / max(len(counts), 1)
    return [
        {"x": place * width, "y": 1 - count / highest, "width": 0.85 * width, "height": count / highest, "count": count}
        for place, count in enumerate(counts)
    ]


def _heat(cell: Mapping[str, Any], kind: str, most: int) -> float:
    """Return how strongly a cell is coloured, 0 to 1: by usefulness in replays, else by the root of its rows."""
    if kind == "replays":
        return float(cell["useful_rate"] or 0.0)
    return math.sqrt(cell["rows"] / most) if most else 0.0


def _count(value: int | None) -> str:
    return _UNKNOWN if value is None else f"{value:,}"


def _usd(value: float | None) -> str:
    if value is None:
        return _UNKNOWN
    return f"{value:,.2f}" if abs(value) >= 10 else f"{value:.2e}" if 0 < abs(value) < 1e-6 else f"{value:.3g}"


def _ms(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _day(iso: str | None) -> str:
    return _UNKNOWN if iso is None else iso[:16].replace("T", " ")
