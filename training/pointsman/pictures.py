"""Pictures: cost against usefulness, of a report with its baselines, and of the front of all that was tried."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.axes import Axes

    from pointsman.front import Front, FrontPoint

__all__ = ["cost_and_usefulness", "front_picture"]

INK, MUTED, BEFORE, AFTER, RIVAL = "#222222", "#8a8a8a", "#b5452c", "#0b6e4f", "#3b5b92"


def cost_and_usefulness(report: Mapping[str, Any], path: Path) -> Path:
    """Draw mean cost per request against the useful rate and save the picture; return its path.

    Before and after are labelled; the bars of after are the intervals of its paired difference from before.
    """
    with mpl.rc_context({"font.size": 10, "axes.edgecolor": MUTED, "svg.hashsalt": "pointsman"}):
        figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        _singles(axes, report)
        for name, marker in (("random_same_cost", "D"), ("best_per_intent", "s"), ("oracle", "*")):
            summary = report["baselines"].get(name)
            if summary is not None:
                x, y = _point(summary)
                axes.plot(x, y, marker, color=RIVAL, markersize=11 if marker == "*" else 6, linestyle="none")
                _label(axes, x, y, name.replace("_", " "), RIVAL, "right" if name == "random_same_cost" else "left")
        _after(axes, report)
        modelled = f"; modelled: {', '.join(report['modelled'])}" if report["modelled"] else ""
        title = f"Cost against usefulness, {report['requests']:,} unseen requests{modelled}"
        return _finished(figure, axes, title, 0.14, path)


def front_picture(front: Front, chosen: FrontPoint, path: Path, labels: int = 25) -> Path:
    """Draw the front of all rules tried, coloured by P95 latency, and save the picture; return its path.

    Numbers are those that ``pointsman fit --pick`` takes; a long front has every so many of them written. Full marks
    keep every constraint on the tuning requests, hollow ones do not; the chosen point has a ring.
    """
    points = front.points
    with mpl.rc_context({"font.size": 10, "axes.edgecolor": MUTED, "svg.hashsalt": "pointsman"}):
        figure = Figure(figsize=(9, 5.5), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        scale = Normalize(min(point.p95_ms for point in points), max(point.p95_ms for point in points))
        colours = ScalarMappable(scale, "viridis_r")
        for point in points:
            colour = colours.to_rgba(np.array(point.p95_ms))
            face = colour if point.feasible else "white"
            x, y = point.cost_usd, 100 * point.useful_rate
            axes.plot(x, y, "o", markersize=6, markeredgecolor=colour, markerfacecolor=face, linestyle="none")
        ring: dict[str, Any] = {
            "markersize": 15,
            "markeredgewidth": 2,
            "markerfacecolor": "none",
            "markeredgecolor": AFTER,
        }
        axes.plot(chosen.cost_usd, 100 * chosen.useful_rate, "o", **ring)
        for point in {point.number: point for point in (*front.spread(labels), chosen)}.values():
            strong: dict[str, Any] = {"color": AFTER, "fontweight": "bold"} if point is chosen else {"color": INK}
            at = (point.cost_usd, 100 * point.useful_rate)
            place: dict[str, Any] = {"xytext": (5, -12), "textcoords": "offset points", "fontsize": 8}
            axes.annotate(str(point.number), at, **place, **strong)
        figure.colorbar(colours, ax=axes, label="P95 latency, ms")
        title = f"{len(points):,} rules that no other beats; chosen: {chosen.number}; hollow: misses a constraint"
        return _finished(figure, axes, title, 0.06, path)


def _finished(figure: Figure, axes: Axes, title: str, margin: float, path: Path) -> Path:
    """Write the axes' words, of cost and usefulness, and save the picture; return its path."""
    axes.set_xscale("log")
    for ticks in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        ticks(FuncFormatter(_tick))
    axes.tick_params(axis="x", which="both", labelsize=9)
    axes.set_xlabel("mean full cost of a request, USD (log scale)")
    axes.set_ylabel("useful responses, %")
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(visible=True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(margin)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None} if path.suffix == ".png" else None)
    return path


def _point(summary: Mapping[str, Any]) -> tuple[float, float]:
    return summary["cost_usd"] / summary["requests"], 100 * summary["useful_rate"]


def _singles(axes: Axes, report: Mapping[str, Any]) -> None:
    """Draw every candidate on its own, and what mixing them at random can reach."""
    points = {
        name.partition(":")[2]: _point(one) for name, one in report["baselines"].items() if name.startswith("always:")
    }
    hull: list[tuple[float, float]] = []
    for x, y in sorted(points.values()):
        if hull and y <= hull[-1][1]:
            continue
        while len(hull) > 1 and (hull[-1][1] - hull[-2][1]) * (x - hull[-2][0]) <= (y - hull[-2][1]) * (
            hull[-1][0] - hull[-2][0]
        ):
            hull.pop()
        hull.append((x, y))
    steps: list[tuple[float, float]] = hull[:1]
    for (x0, y0), (x1, y1) in itertools.pairwise(hull):
        steps += [(x0 + (x1 - x0) * part / 40, y0 + (y1 - y0) * part / 40) for part in range(1, 41)]
    axes.plot(*zip(*steps, strict=True), color=MUTED, linestyle=":", linewidth=1.2, zorder=1)
    for name, (x, y) in points.items():
        axes.plot(x, y, "o", color=MUTED, markersize=6)
        if name != report["baseline"]:
            _label(axes, x, y, name, INK, "below")


def _after(axes: Axes, report: Mapping[str, Any]) -> None:
    """Draw before, after and the way between them."""
    x0, y0 = _point(report["before"])
    x1, y1 = _point(report["after"])
    cost, useful = report["change"]["cost_usd"], report["change"]["useful_rate"]
    axes.annotate(
        "", (x1, y1), (x0, y0), arrowprops={"arrowstyle": "->", "color": AFTER, "lw": 1.5, "shrinkA": 6, "shrinkB": 6}
    )
    axes.plot(x0, y0, "o", color=BEFORE, markersize=10)
    _label(axes, x0, y0, f"before: {report['baseline']}", BEFORE, "above")
    low, high = x0 * cost.get("ratio_low", x1 / x0), x0 * cost.get("ratio_high", x1 / x0)
    across = [[max(x1 - low, 0.0)], [max(high - x1, 0.0)]]
    up = [[max(y1 - y0 - 100 * useful["low"], 0.0)], [max(y0 + 100 * useful["high"] - y1, 0.0)]]
    axes.errorbar(x1, y1, xerr=across, yerr=up, fmt="o", color=AFTER, markersize=10, capsize=3, lw=1.5)
    _label(axes, x1, y1, "after: pointsman", AFTER, "corner")


PLACES: dict[str, tuple[tuple[int, int], str]] = {
    "above": ((0, 11), "center"),
    "below": ((0, -16), "center"),
    "left": ((-9, -3), "right"),
    "right": ((9, -12), "left"),
    "corner": ((9, 9), "left"),
}
"""Where a label stands beside its point: offset in points of type, horizontal alignment."""


def _label(axes: Axes, x: float, y: float, text: str, colour: str, place: str) -> None:
    offset, align = PLACES[place]
    axes.annotate(text, (x, y), xytext=offset, textcoords="offset points", ha=align, color=colour, fontsize=9)


def _tick(value: float, _position: int) -> str:
    """Write an amount out where its first digit is 1, 2 or 5."""
    digit = f"{value:e}"[0]
    return f"{value:.10f}".rstrip("0").rstrip(".") if digit in "125" and float(f"{value:.0e}") == value else ""
