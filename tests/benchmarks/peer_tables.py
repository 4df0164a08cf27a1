"""The tables of the comparison with peers, in Markdown: by split and over random splits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import t

from pointsman.tables import markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["over_splits", "render"]

Runs = list[dict[str, Any]]


def render(name: str, runs: Runs, margins: Sequence[float]) -> str:
    """Return the tables of one outcome set: the first run is the split by time, the others are random."""
    first, rest = runs[0], runs[1:]
    text = f"\n## {name}: {first['train']:,} requests to learn from, {first['test']:,} unseen\n"
    text += f"\n### Split by {first['split']}\n\nDeployed (the knob set on the training part):\n\n"
    text += (
        markdown(_deployed([first], margins)) + "\n\nHindsight (the knob set on the unseen part, for all alike):\n\n"
    )
    text += markdown(_hindsight(first, margins)) + "\n"
    if rest:
        text += (
            f"\n### {len(rest)} random splits\n\nDeployed, means over splits:\n\n{markdown(_deployed(rest, margins))}\n"
        )
        text += f"\nHindsight, means over splits:\n\n{markdown(_over_splits(rest, margins))}\n"
    return text


def over_splits(differences: Sequence[float], train: int, test: int) -> tuple[float, float, float]:
    """Return the mean over random splits of the same requests, with its 95 % interval.

    Splits overlap: their variance is corrected by ``1/r + test/train`` (Nadeau and Bengio 2003).
    """
    values = np.asarray(differences, dtype=np.float64)
    mean, count = float(values.mean()), len(values)
    if count < 2:
        return mean, -np.inf, np.inf
    error = np.sqrt(values.var(ddof=1) * (1 / count + test / train))
    half = float(t.ppf(0.975, count - 1) * error)
    return mean, mean - half, mean + half


def _deployed(runs: Runs, margins: Sequence[float]) -> list[list[str]]:
    head = ["method"]
    for margin in margins:
        asked = f"margin {100 * margin:g}"
        head += [f"{asked}: Δ useful, points", "cost saved", "promise broken"]
    rows = [head]
    for name, entry in runs[0]["methods"].items():
        if "deployed" not in entry:
            continue
        row = [name]
        for margin in margins:
            points = [run["methods"][name]["deployed"][f"{margin:g}"] for run in runs]
            change = f"{100 * np.mean([point['useful'] for point in points]):+.1f}"
            if len(points) == 1:
                change += f" [{100 * points[0]['low']:+.1f}, {100 * points[0]['high']:+.1f}]"
            broken = sum(point["broken"] for point in points)
            saving = f"{100 * np.mean([point['saved'] for point in points]):.0f} %"
            row += [change, saving, ("yes" if broken else "no") if len(points) == 1 else f"{broken} of {len(points)}"]
        rows.append(row)
    return rows


def _keys(margins: Sequence[float]) -> dict[str, str]:
    return {**{f"saved:{margin:g}": f"saved at −{100 * margin:g}, %" for margin in margins}, "area": "area, points"}


def _hindsight(run: dict[str, Any], margins: Sequence[float]) -> list[list[str]]:
    keys = _keys(margins)
    rows = [["method", "setting", *(word for title in keys.values() for word in (title, "pointsman minus it"))]]
    for name, entry in run["methods"].items():
        row = [name, entry["setting"]]
        for key in keys:
            gap = entry["pointsman_minus"][key]
            apart = gap["mean"], gap["low"], gap["high"]
            row += [f"{100 * entry['hindsight'][key]:.1f}", "" if name == "pointsman" else _apart(*apart)]
        rows.append(row)
    return rows


def _over_splits(runs: Runs, margins: Sequence[float]) -> list[list[str]]:
    keys = _keys(margins)
    rows = [["method", *(word for title in keys.values() for word in (title, "pointsman minus it"))]]
    for name in runs[0]["methods"]:
        row = [name]
        for key in keys:
            theirs, ours = (
                [run["methods"][method]["hindsight"][key] for run in runs] for method in (name, "pointsman")
            )
            gap = over_splits(np.subtract(ours, theirs).tolist(), runs[0]["train"], runs[0]["test"])
            row += [f"{100 * np.mean(theirs):.1f}", "" if name == "pointsman" else _apart(*gap)]
        rows.append(row)
    return rows


def _apart(mean: float, low: float, high: float) -> str:
    return f"{100 * mean:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
