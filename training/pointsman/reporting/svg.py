"""Pictures of the report as SVG: drawn small enough for a phone, with title and description, told apart by shape."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from pointsman.reporting.numbers import UNKNOWN, share, usd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["frontier", "reliability_diagram"]

WIDTH, HEIGHT = 360, 300
LEFT, RIGHT, TOP, BOTTOM = 40, 10, 12, 40
PLACES = ((7, -6, "start"), (7, 13, "start"), (-7, -6, "end"), (-7, 13, "end"), (0, -10, "middle"), (0, 19, "middle"))
"""Where a label may stand beside its mark; the first that meets no other is taken."""
LETTER = 6.0
"""Width of a letter, units of the picture: enough for what fonts differ by."""

MARKS = {"before": "square", "after": "diamond", "oracle": "star", "best_per_intent": "triangle"}


def frontier(report: Mapping[str, Any], numbers: Mapping[str, int]) -> Markup:
    """Draw mean cost of a request (log scale) against useful answers: before, after with its interval, the baselines.

    Parameters
    ----------
    report : mapping
        See `pointsman.report.before_after`.
    numbers : mapping of str to int
        What ``always:MODEL`` baselines are labelled with; the table beside the picture names them.
    """
    sides = {"before": report["before"], "after": report["after"]}
    baselines = {name: one for name, one in report["baselines"].items() if one is not None}
    points = {name: _point(one) for name, one in {**baselines, **sides}.items()}
    least = min((x for x, _ in points.values() if x > 0), default=1.0)
    points = {name: (max(x, least / 2), y) for name, (x, y) in points.items()}
    cost, useful = report["change"]["cost_usd"], report["change"]["useful_rate"]
    x0, y0 = points["before"]
    x1, y1 = points["after"]
    bars = None
    if cost is not None and useful is not None and "ratio" in cost:
        bars = (x0 * cost["ratio_low"], x0 * cost["ratio_high"], y0 + 100 * useful["low"], y0 + 100 * useful["high"])
    xs = [x for x, _ in points.values()] + ([bars[0], bars[1]] if bars else [])
    ys = [y for _, y in points.values()] + ([bars[2], bars[3]] if bars else [])
    scale = _Scale(xs, ys)
    parts = [*scale.axes("mean cost of a request, USD (log scale)", "useful answers, %")]
    hull = _mixtures([points[name] for name in baselines if name.startswith("always:")])
    if len(hull) > 1:
        path = " ".join(f"{scale.x(x):.1f},{scale.y(y):.1f}" for x, y in hull)
        parts.append(f'<polyline class="mix" points="{path}"/>')
    way = f"M{scale.x(x0):.1f} {scale.y(y0):.1f}L{scale.x(x1):.1f} {scale.y(y1):.1f}"
    parts.append(f'<path class="way" d="{way}"/>')
    if bars:
        low, high, down, up = bars
        parts.append(
            f'<path class="bars" d="M{scale.x(max(low, least / 2)):.1f} {scale.y(y1):.1f}H{scale.x(high):.1f}"/>'
        )
        parts.append(f'<path class="bars" d="M{scale.x(x1):.1f} {scale.y(down):.1f}V{scale.y(up):.1f}"/>')
    names = {"before": "before", "after": "after", "oracle": "oracle", "best_per_intent": "best per intent"}
    names |= {"random_same_cost": "random mix"} | {name: str(number) for name, number in numbers.items()}
    taken = [(scale.x(x) - 5, scale.y(y) - 5, scale.x(x) + 5, scale.y(y) + 5) for x, y in points.values()]
    for name in sorted(points, key=lambda one: one not in sides):
        x, y = scale.x(points[name][0]), scale.y(points[name][1])
        kind = "single" if name in numbers else "rival" if name not in sides else name
        told = (
            f"{name.removeprefix('always:')}: {share(points[name][1] / 100)} useful, {usd(points[name][0])} a request"
        )
        parts.append(f'<g class="{kind}"><title>{escape(told)}</title>{_mark(MARKS.get(name, "circle"), x, y)}')
        parts.append(f"{_label(names.get(name, name), x, y, taken)}</g>")
    ends = [f"{side}: {share(points[side][1] / 100)} useful at {usd(points[side][0])} a request." for side in sides]
    said = f"{' '.join(ends)} The table below has the numbers of every point."
    return _svg("Cost against usefulness", said, WIDTH, HEIGHT, parts)


def reliability_diagram(entry: Mapping[str, Any]) -> Markup:
    """Draw believed against measured usefulness of one candidate (see `pointsman.reliability`)."""
    size, edge = 150, 26

    def x(value: float) -> float:
        return edge + value * (size - edge - 6)

    def y(value: float) -> float:
        return 6 + (1 - value) * (size - edge - 6)

    parts = [f'<rect class="frame" x="{x(0)}" y="{y(1)}" width="{x(1) - x(0)}" height="{y(0) - y(1)}"/>']
    parts.append(f'<line class="mix" x1="{x(0)}" y1="{y(0)}" x2="{x(1)}" y2="{y(1)}"/>')
    for value in (0, 0.5, 1):
        parts.append(f'<text x="{x(value):.1f}" y="{size - 12}" text-anchor="middle">{100 * value:.0f}</text>')
        parts.append(f'<text x="{edge - 4}" y="{y(value) + 3.5:.1f}" text-anchor="end">{100 * value:.0f}</text>')
    parts.append(f'<text x="{x(0.5):.1f}" y="{size - 1}" text-anchor="middle">believed, %</text>')
    off, counted = 0.0, 0
    for one in entry["bins"]:
        told = (
            f"believed {share(one['believed'])}, useful {share(one['useful'])} "
            f"({share(one['low'])} to {share(one['high'])}), {one['answers']:,} answers"
        )
        at = x(one["believed"])
        parts.append(f'<g class="after"><title>{escape(told)}</title>')
        parts.append(f'<path class="bars" d="M{at:.1f} {y(one["low"]):.1f}V{y(one["high"]):.1f}"/>')
        parts.append(f'<circle cx="{at:.1f}" cy="{y(one["useful"]):.1f}" r="3"/></g>')
        off += one["answers"] * abs(one["believed"] - one["useful"])
        counted += one["answers"]
    apart = share(off / counted) if counted else UNKNOWN
    said = f"{entry['answers']:,} answers; believed and measured differ by {apart} on average."
    return _svg(f"Reliability of {entry['model']}", said, size, size, parts)


class _Scale:
    """A logarithmic axis across and a linear one up, with room around the points."""

    def __init__(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        logs = [math.log10(x) for x in xs if x > 0]
        self._low, self._high = min(logs), max(logs)
        room = max(0.08 * (self._high - self._low), 0.03)
        self._low, self._high = self._low - room, self._high + 1.6 * room
        self._down, self._up = min(ys), max(ys)
        room = max(0.08 * (self._up - self._down), 0.5)
        self._down, self._up = self._down - room, self._up + room

    def x(self, cost: float) -> float:
        part = (math.log10(max(cost, 1e-300)) - self._low) / (self._high - self._low)
        return LEFT + min(max(part, 0.0), 1.0) * (WIDTH - LEFT - RIGHT)

    def y(self, useful: float) -> float:
        part = (useful - self._down) / (self._up - self._down)
        return TOP + (1 - min(max(part, 0.0), 1.0)) * (HEIGHT - TOP - BOTTOM)

    def axes(self, across: str, up: str) -> list[str]:
        size = f'width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"'
        parts = [f'<rect class="frame" x="{LEFT}" y="{TOP}" {size}/>']
        last = -math.inf
        for value in self._costs():
            x = self.x(value)
            if x - last < 8 * LETTER:
                continue
            last = x
            parts.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}"/>')
            text = f"{value:.10f}".rstrip("0").rstrip(".")
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 13}" text-anchor="middle">{text}</text>')
        for value in _round_steps(self._down, self._up):
            y = self.y(value)
            parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
            parts.append(f'<text x="{LEFT - 4}" y="{y + 3.5:.1f}" text-anchor="end">{value:g}</text>')
        parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{across}</text>')
        middle = (TOP + HEIGHT - BOTTOM) / 2
        parts.append(f'<text transform="translate(10 {middle}) rotate(-90)" text-anchor="middle">{up}</text>')
        return parts

    def _costs(self) -> list[float]:
        powers = range(math.floor(self._low), math.ceil(self._high) + 1)
        values = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
        return [value for value in values if self._low <= math.log10(value) <= self._high]


def _round_steps(low: float, high: float, about: int = 5) -> list[float]:
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= raw)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _point(summary: Mapping[str, Any]) -> tuple[float, float]:
    return summary["cost_usd"] / summary["requests"], 100 * summary["useful_rate"]


def _mixtures(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return what mixing candidates at random reaches: the upper hull, bent as a logarithmic axis bends it."""
    hull: list[tuple[float, float]] = []
    for x, y in sorted(points):
        if hull and y <= hull[-1][1]:
            continue
        while len(hull) > 1:
            (xa, ya), (xb, yb) = hull[-2:]
            if (yb - ya) * (x - xa) > (y - ya) * (xb - xa):
                break
            hull.pop()
        hull.append((x, y))
    steps = hull[:1]
    for (xa, ya), (xb, yb) in itertools.pairwise(hull):
        steps += [(xa + (xb - xa) * part / 12, ya + (yb - ya) * part / 12) for part in range(1, 13)]
    return steps


def _mark(kind: str, x: float, y: float) -> str:
    if kind == "square":
        return f'<rect x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9"/>'
    corners = {
        "diamond": ((0, -6.5), (6.5, 0), (0, 6.5), (-6.5, 0)),
        "triangle": ((0, -5), (5, 4), (-5, 4)),
        "star": ((0, -6), (1.6, -1.6), (6, 0), (1.6, 1.6), (0, 6), (-1.6, 1.6), (-6, 0), (-1.6, -1.6)),
    }.get(kind)
    if corners is None:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'
    return f'<polygon points="{" ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)}"/>'


def _label(text: str, x: float, y: float, taken: list[tuple[float, float, float, float]]) -> str:
    """Place a label where it meets the fewest others, and inside the picture."""
    best, text_at, chosen = math.inf, (x, y, "start"), (x, y, x, y)
    for dx, dy, anchor in PLACES:
        width = LETTER * len(text)
        left = x + dx - (0 if anchor == "start" else width if anchor == "end" else width / 2)
        box = (left, y + dy - 9, left + width, y + dy + 2)
        met = sum(_shared(box, other) for other in taken)
        outside = max(LEFT - left, 0) + max(left + width - WIDTH, 0) + max(10 - y - dy, 0)
        if met + 20 * outside < best:
            best, text_at, chosen = met + 20 * outside, (x + dx, y + dy, anchor), box
    taken.append(chosen)
    return f'<text x="{text_at[0]:.1f}" y="{text_at[1]:.1f}" text-anchor="{text_at[2]}">{escape(text)}</text>'


def _shared(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0)


def _svg(title: str, description: str, width: int, height: int, parts: Sequence[str]) -> Markup:
    """Return the whole picture; the parts are safe already."""
    label = escape(f"{title}. {description}")
    return Markup(  # noqa: S704 - every name in it was escaped
        f'<svg class="picture" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>{''.join(parts)}</svg>"
    )
