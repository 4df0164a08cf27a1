"""The report's part under load: P95 against the request rate, where the cliff is, and the same in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import escape

from pointsman.reporting.numbers import UNKNOWN, ms, share
from pointsman.reporting.scale import WIDTH, Scale, picture

if TYPE_CHECKING:
    from collections.abc import Mapping

    from markupsafe import Markup

__all__ = ["load_curve", "load_lines", "load_rows"]

SIDES = ("before", "after")
HIGHEST = 20.0
"""Latencies beyond so many times the lowest are drawn at the upper edge: what is past the cliff has no limit."""


def load_lines(load: Mapping[str, Any]) -> list[str]:
    """Return what a load replay says, in sentences (see `pointsman.load.questions.rate_curve` and ``one_run``)."""
    found = []
    rate = load.get("rate_per_s")
    if "under_load" in load:
        pairs = {name: [load[name][side]["p95_ms"] for side in SIDES] for name in ("under_load", "alone")}
        queued, alone = (f"{ms(pair[1])} after and {ms(pair[0])} before" for pair in pairs.values())
        found.append(f"At {_rate(rate)}, P95 is {queued} with queues and guards; without queues, {alone}.")
    if "rates_per_s" in load:
        kept = [load[side]["keeps_limit_to_per_s"] for side in SIDES]
        if load.get("limit_ms") is not None:
            ends = f"{_until(kept[1])} after, {_until(kept[0])} before"
            found.append(f"P95 keeps its limit of {ms(load['limit_ms'])} {ends}; today it is {_rate(rate)}.")
        cliffs = [load[side]["cliff_per_s"] for side in SIDES]
        found.append(f"The cliff (P95 doubles, or one request in a hundred is lost) comes {_at(cliffs)}.")
    if load.get("modelled"):
        modelled = load["modelled"]
        words = ", ".join(modelled) if isinstance(modelled, list | tuple) else str(modelled)
        found.append(f"Modelled: {words}.")
    return found


def load_rows(load: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the points of the curves as rows: rate, P95 and errors before and after; empty without curves."""
    if "rates_per_s" not in load:
        return []
    rows = []
    for at, rate in enumerate(load["rates_per_s"]):
        row = {"rate": f"{rate:.3g}"}
        for side in SIDES:
            row |= {f"{side}_p95": ms(load[side]["p95_ms"][at]), f"{side}_errors": share(load[side]["error_rate"][at])}
        rows.append(row)
    return rows


def load_curve(load: Mapping[str, Any]) -> Markup | None:
    """Draw P95 against the request rate, both on logarithmic scales; None without curves."""
    if "rates_per_s" not in load:
        return None
    rates = load["rates_per_s"]
    values = [value for side in SIDES for value in load[side]["p95_ms"] if value]
    if not values:
        return None
    limit, today = load.get("limit_ms"), load.get("rate_per_s")
    top = max(HIGHEST * min(values), 1.5 * (limit or 0))
    ys = [min(value, top) for value in values] + ([limit] if limit else [])
    scale = Scale([*rates, *([today] if today else [])], ys, log_y=True)
    parts = scale.axes("requests a second (log scale)", "P95 latency, ms (log scale)")
    if limit:
        y = scale.y(limit)
        parts.append(f'<path class="mix" d="M{scale.x(min(rates)):.1f} {y:.1f}H{WIDTH - 10}"/>')
        parts.append(f'<text x="{WIDTH - 12}" y="{y - 4:.1f}" text-anchor="end">limit</text>')
    if today:
        x = scale.x(today)
        parts.append(f'<path class="mix" d="M{x:.1f} 12V260"/><text x="{x + 4:.1f}" y="22">today</text>')
    for side in SIDES:
        points = [(rate, min(p95, top)) for rate, p95 in zip(rates, load[side]["p95_ms"], strict=True) if p95]
        path = "L".join(f"{scale.x(rate):.1f} {scale.y(p95):.1f}" for rate, p95 in points)
        parts.append(f'<g class="{side}"><path class="line" d="M{path}"/>')
        for rate, p95 in points:
            x, y = scale.x(rate), scale.y(p95)
            told = f"<title>{escape(f'{side}, {rate:.3g} a second: P95 {ms(p95)}')}</title>"
            square = f'<rect x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6"/>'
            mark = square if side == "before" else f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>'
            parts.append(f"<g>{told}{mark}</g>")
        rate, p95 = points[len(points) // 2]
        dy = -8 if side == "before" else 16
        parts.append(
            f'<text x="{scale.x(rate):.1f}" y="{scale.y(p95) + dy:.1f}" text-anchor="middle">{side}</text></g>'
        )
    return picture("P95 latency under load", " ".join(load_lines(load)), WIDTH, 300, parts)


def _rate(rate: float | None) -> str:
    return UNKNOWN if rate is None else f"{rate:.3g} requests a second"


def _until(rate: float | None) -> str:
    if rate is None:
        return "at every rate asked"
    return f"up to {rate:.3g} requests a second" if rate > 0 else "at no rate asked"


def _at(cliffs: list[float | None]) -> str:
    before, after = (
        "beyond every rate asked" if rate is None else f"at {rate:.3g} requests a second" for rate in cliffs
    )
    return f"{after} after, {before} before"
