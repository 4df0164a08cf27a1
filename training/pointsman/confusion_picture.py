"""The confusion matrix as a picture: shares of each labelled intent, by what it was taken for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.confusion import Confusion

__all__ = ["confusion_picture"]

NAMED = 40
"""Up to so many intents their names stand at the axes."""

WRITTEN = 16
"""Up to so many intents the requests are written into the cells."""


def confusion_picture(found: Confusion, path: Path) -> Path:
    """Draw the matrix and save the picture; return its path.

    A cell's colour is its share of the row: the diagonal is recall. Intents without a request are left out.
    """
    kept = np.flatnonzero(found.matrix.sum(axis=0) + found.matrix.sum(axis=1))
    matrix = found.matrix[np.ix_(kept, kept)]
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    names = [found.intents[at] for at in kept]
    side = min(max(4.0, 0.42 * len(names)), 12.0) + 2
    with mpl.rc_context({"font.size": 9, "svg.hashsalt": "pointsman"}):
        figure = Figure(figsize=(side, side - 1), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        if len(names) <= NAMED:
            axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
            axes.set_yticks(range(len(names)), names)
        if len(names) <= WRITTEN:
            for (row, column), count in np.ndenumerate(matrix):
                if count:
                    colour = "white" if share[row, column] > 0.5 else "black"
                    axes.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=8)
        axes.set_xlabel("taken for")
        axes.set_ylabel("labelled")
        figure.colorbar(image, ax=axes, label="share of the labelled", shrink=0.7)
        value, low, high = found.accuracy
        axes.set_title(f"{matrix.sum():,} requests: {value:.1%} right [{low:.1%}, {high:.1%}]", loc="left", fontsize=10)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Software": None} if path.suffix == ".png" else None)
    return path
