"""Pictures of load replays: against the rate, against the budget, outages side by side, the kill-switch over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from pointsman.pictures import AFTER, BEFORE, INK, MUTED, RIVAL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from matplotlib.axes import Axes

__all__ = ["PICTURES"]

COLOURS = {
    "before": BEFORE,
    "nothing": MUTED,
    "fallbacks": RIVAL,
    "breakers": "#c08a1e",
    "fallbacks and breakers": AFTER,
}


def rate_picture(found: Mapping[str, Any], path: Path) -> Path:
    """Draw P95, requests without an answer, and cost per useful response against the request rate."""
    with _style():
        figure, (late, lost, cost) = _panels(
            3, f"Under load: {found['arrivals']} arrivals, {found['bodies']:,} requests over and over"
        )
        rates = found["rates_per_s"]
        for side, colour in (("before", BEFORE), ("after", AFTER)):
            part = found[side]
            name = f"before: {found['baseline']}" if side == "before" else "after: pointsman"
            late.plot(rates, part["p95_ms"], "o-", color=colour, markersize=4, label=name)
            lost.plot(rates, [100 * one for one in part["error_rate"]], "o-", color=colour, markersize=4, label=name)
            known = [(rate, usd) for rate, usd in zip(rates, part["cost_per_useful"], strict=True) if usd is not None]
            cost.plot(*zip(*known, strict=True), "o-", color=colour, markersize=4, label=name)
            if part["cliff_per_s"] is not None:
                for axes in (late, lost, cost):
                    axes.axvline(part["cliff_per_s"], color=colour, linewidth=1, linestyle="--")
                late.annotate(
                    f"cliff {part['cliff_per_s']:,.3g}/s",
                    (part["cliff_per_s"], 0.35),
                    xycoords=("data", "axes fraction"),
                    xytext=(-3, 0),
                    textcoords="offset points",
                    rotation=90,
                    ha="right",
                    color=colour,
                    fontsize=8,
                )
        if found["limit_ms"] is not None:
            late.axhline(found["limit_ms"], color=INK, linewidth=1, linestyle=":")
            late.annotate(
                f"limit {found['limit_ms']:g} ms",
                (1, found["limit_ms"]),
                xycoords=("axes fraction", "data"),
                xytext=(-3, 3),
                textcoords="offset points",
                ha="right",
                fontsize=8,
            )
        for axes in (late, lost, cost):
            axes.axvline(found["rate_per_s"], color=MUTED, linewidth=1, linestyle=":")
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
            axes.set_xlabel("requests per second (log scale)")
        late.annotate(
            "today",
            (found["rate_per_s"], 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, -10),
            textcoords="offset points",
            color=MUTED,
            fontsize=8,
        )
        late.set_yscale("log")
        late.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        late.set_ylabel("P95 latency, ms (log scale)")
        lost.set_ylabel("requests without an answer, %")
        cost.set_yscale("log")
        cost.set_ylabel("USD per useful response (log scale)")
        late.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, 0.93))
        return _save(figure, path)


def budget_picture(found: Mapping[str, Any], path: Path) -> Path:
    """Draw usefulness, cost per useful response and throttled requests against the budget of a day."""
    with _style():
        figure, (useful, cost, spent) = _panels(3, f"A budget, at {found['rate_per_s']:.3g} requests a second")
        runs, free = found["runs"], found["free"]
        days = [one["usd_per_day"] for one in runs]
        useful.plot(days, [100 * one["useful_rate"] for one in runs], "o-", color=AFTER, markersize=4)
        useful.axhline(100 * free["useful_rate"], color=MUTED, linestyle=":", linewidth=1)
        useful.set_ylabel("useful responses, % (dotted: no budget)")
        cost.plot(days, [1000 * one["cost_per_useful"] for one in runs], "o-", color=AFTER, markersize=4)
        cost.axhline(1000 * free["cost_per_useful"], color=MUTED, linestyle=":", linewidth=1)
        cost.set_ylabel("USD per 1,000 useful responses (dotted: no budget)")
        spent.plot(
            days, [1440 * one["spent_per_minute"] for one in runs], "o-", color=AFTER, markersize=4, label="spent"
        )
        spent.plot(days, days, color=MUTED, linestyle=":", linewidth=1, label="allowed")
        spent.set_ylabel("USD a day")
        spent.legend(frameon=False, fontsize=8)
        for axes in (useful, cost, spent):
            axes.set_xlabel("budget, USD a day")
        return _save(figure, path)


def outage_picture(found: Mapping[str, Any], path: Path) -> Path:
    """Draw, per model that is out, requests without an answer, P95 and usefulness, by how one is protected."""
    with _style():
        how = "hangs" if found["hangs"] else "fails at once"
        figure, (lost, late, useful) = _panels(
            3, f"An outage of {found['minutes']:g} minutes ({how}), requests that arrive in it"
        )
        parts = {"none": found["quiet"], **found["models"]}
        sides = list(COLOURS)
        for at, side in enumerate(sides):
            x = np.arange(len(parts)) + (at - 2) * 0.16
            name = f"before: {found['baseline']}" if side == "before" else f"policy, {side}"
            for axes, key, scale in (
                (lost, "error_rate", 100.0),
                (late, "p95_ms", 1.0),
                (useful, "useful_rate", 100.0),
            ):
                axes.bar(x, [scale * part[side][key] for part in parts.values()], 0.15, color=COLOURS[side], label=name)
        for axes in (lost, late, useful):
            axes.set_xticks(np.arange(len(parts)), list(parts), rotation=25, ha="right", fontsize=8)
            axes.set_xlabel("model that is out")
        lost.set_ylabel("requests without an answer, %")
        late.set_yscale("log")
        late.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        late.set_ylabel("P95 latency, ms (log scale)")
        useful.set_ylabel("useful responses, %")
        lost.legend(frameon=False, fontsize=7, loc="upper left")
        return _save(figure, path)


def kill_picture(found: Mapping[str, Any], path: Path) -> Path:
    """Draw P95, usefulness and cost over time, with and without the kill-switch."""
    with _style():
        figure, panels = _panels(
            3, f"The kill-switch: everything to {found['safe_model']}, at {found['rate_per_s']:.3g} requests a second"
        )
        keys = (
            ("p95_ms", 1.0, "P95 latency, ms"),
            ("useful_rate", 100.0, "useful responses, %"),
            ("cost_usd_per_request", 1000.0, "USD per 1,000 requests"),
        )
        for axes, (key, scale, words) in zip(panels, keys, strict=True):
            for name, colour, label in (("running", AFTER, "the policy"), ("killed", BEFORE, "with the kill-switch")):
                values = [np.nan if one[key] is None else scale * one[key] for one in found["series"][name]]
                axes.plot(found["series"]["minutes"], values, color=colour, linewidth=1.3, label=label)
            axes.axvspan(found["at_s"] / 60, found["until_s"] / 60, color=MUTED, alpha=0.15, linewidth=0)
            axes.set_xlabel("minutes (grey: the switch is on)")
            axes.set_ylabel(words)
        panels[0].legend(frameon=False, fontsize=8)
        return _save(figure, path)


def replay_picture(found: Mapping[str, Any], path: Path) -> Path:
    """Draw P50, P95 and P99, before and after, under load and with no limit of places."""
    with _style():
        rate = found["under_load"]["before"]["rate_per_s"]
        figure, (axes, use) = _panels(2, f"One run at {rate:.3g} requests a second")
        keys, x = ("p50_ms", "p95_ms", "p99_ms"), np.arange(3)
        bars = (
            ("before", "under_load", BEFORE, 1.0),
            ("before", "alone", BEFORE, 0.4),
            ("after", "under_load", AFTER, 1.0),
            ("after", "alone", AFTER, 0.4),
        )
        for at, (side, how, colour, alpha) in enumerate(bars):
            label = f"{side}, {'under load' if how == 'under_load' else 'no limit of places'}"
            axes.bar(
                x + (at - 1.5) * 0.2,
                [found[how][side][key] for key in keys],
                0.19,
                color=colour,
                alpha=alpha,
                label=label,
            )
        axes.set_xticks(x, ["P50", "P95", "P99"])
        axes.set_ylabel("latency, ms")
        axes.legend(frameon=False, fontsize=8)
        models = list(found["places"])
        for at, (side, colour) in enumerate((("before", BEFORE), ("after", AFTER))):
            uses = [100 * (found["under_load"][side]["models"][name]["utilisation"] or 0) for name in models]
            use.bar(np.arange(len(models)) + (at - 0.5) * 0.35, uses, 0.34, color=colour, label=side)
        use.set_xticks(np.arange(len(models)), models, rotation=25, ha="right", fontsize=8)
        use.set_ylabel("places in use, %")
        return _save(figure, path)


def _style() -> Any:
    return mpl.rc_context({"font.size": 9, "axes.edgecolor": MUTED, "svg.hashsalt": "pointsman"})


def _panels(count: int, title: str) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(4.2 * count, 4.2), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    panels = [figure.add_subplot(1, count, at + 1) for at in range(count)]
    for axes in panels:
        axes.grid(visible=True, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure, panels


def _save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None} if path.suffix == ".png" else None)
    return path


PICTURES: dict[str, Callable[[Mapping[str, Any], Path], Path]] = {
    "replay": replay_picture,
    "rate": rate_picture,
    "budget": budget_picture,
    "outage": outage_picture,
    "kill": kill_picture,
}
