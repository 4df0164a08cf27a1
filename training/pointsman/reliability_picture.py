"""A picture of reliability: stated probability against what happened, with intervals, for intent and candidates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pointsman.pictures import AFTER, INK, MUTED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["reliability_picture"]

ACROSS = 4


def reliability_picture(evaluation: Mapping[str, Any], path: Path) -> Path:
    """Draw the bins of `pointsman.evaluation.evaluate`, a panel for the intent and one for each candidate.

    On the diagonal what is stated is what happens; a bar that does not reach it is off by more than chance explains in
    19 of 20 cases.
    """
    panels: list[tuple[str, Sequence[Mapping[str, float]]]] = [
        (one["of"], one["bins"]) for one in evaluation["reliability"]
    ]
    across = min(len(panels), ACROSS)
    down = -(-len(panels) // across)
    with mpl.rc_context({"font.size": 9, "axes.edgecolor": MUTED, "svg.hashsalt": "pointsman"}):
        figure = Figure(figsize=(3.0 * across, 3.2 * down), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        for at, (title, bins) in enumerate(panels):
            axes = figure.add_subplot(down, across, at + 1)
            axes.plot([0, 1], [0, 1], color=MUTED, linestyle=":", linewidth=1)
            stated, observed = ([one[key] for one in bins] for key in ("stated", "observed"))
            bars = [
                [max(one["observed"] - one["low"], 0.0) for one in bins],
                [max(one["high"] - one["observed"], 0.0) for one in bins],
            ]
            axes.errorbar(stated, observed, yerr=bars, fmt="o", color=AFTER, markersize=4, capsize=2, linewidth=1)
            axes.set_xlim(-0.02, 1.02)
            axes.set_ylim(-0.02, 1.02)
            axes.set_title(title if len(title) < 36 else f"{title[:34]}…", loc="left", fontsize=9, color=INK)
            axes.set_xlabel("stated")
            axes.set_ylabel("happened")
            axes.spines[["top", "right"]].set_visible(False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Software": None} if path.suffix == ".png" else None)
    return path
