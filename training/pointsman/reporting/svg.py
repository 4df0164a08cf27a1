"""Pictures of the report as SVG: drawn small enough for a phone, with title and description, told apart by shape."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

from markupsafe import escape

from pointsman.reporting.numbers import UNKNOWN, share, usd
from pointsman.reporting.scale import HEIGHT, LEFT, LETTER, WIDTH, Scale, picture

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

__all__ = ["frontier", "reliability_diagram"]

PLACES = ((7, -6, "start"), (7, 13, "start"), (-7, -6, "end"), (-7, 13, "end"), (0, -10, "middle"), (0, 19, "middle"))
"""Where a label may stand beside its mark; the first that meets no other is taken."""
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
    scale = Scale(xs, ys)
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
    return picture("Cost against usefulness", said, WIDTH, HEIGHT, parts)


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
        parts.append(f'<text x="{x(value):.1f}" y="{size - 12}" text-anchor="{_at(value)}">{100 * value:.0f}</text>')
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
    return picture(f"Reliability of {entry['model']}", said, size, size, parts)


def _at(share: float) -> str:
    """Return how a number stands beneath its mark: inside the picture at the right end."""
    return "end" if share == 1 else "middle"


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
