"""The tables of the comparison with peers, in Markdown: one glance first, every figure with its interval behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import t

from pointsman.tables import markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["over_splits", "render"]

Runs = list[dict[str, Any]]
OWN = "pointsman"


def render(found: Mapping[str, Runs], margins: Sequence[float]) -> str:
    """Return all tables; `found` holds the splits of each outcome set."""
    parts = []
    for margin in margins:
        asked = "no less useful" if margin == 0 else f"at most {100 * margin:g} point less useful"
        said = f"Deployed, asked for «{asked} than the best single model»: cost saved (Δ usefulness in points; splits"
        parts += [f"{said} in which that promise broke).", markdown(_deployed(found, margin))]
    said = "Predictions alone, the knob set in hindsight for everybody: pointsman's area under the frontier minus the"
    parts += [f"{said} peer's, points.", markdown(_areas(found)), _count(found)]
    return "\n" + "\n\n".join(parts) + "\n\n" + "".join(_details(*item, margins) for item in found.items()) + "\n"


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


def stands(low: float, high: float) -> str:
    """Say how pointsman stands where its difference lies in an interval."""
    return "ahead" if low > 0 else "behind" if high < 0 else "level"


def _deployed(found: Mapping[str, Runs], margin: float) -> list[list[str]]:
    key = f"{margin:g}"
    rows = [["", *map(_words, found)]]
    for name in _named(found, "deployed"):
        row = [name]
        for runs in found.values():
            points = [run["methods"][name]["deployed"][key] for run in runs]
            saving, change = (100 * np.mean([point[part] for point in points]) for part in ("saved", "useful"))
            broken = sum(point["broken"] for point in points)
            row.append(f"{saving:.0f} % ({change:+.1f}; {broken} of {len(runs)})")
        rows.append(row)
    counts = [sum(run["methods"][OWN]["deployed"][key]["certified"] for run in runs) for runs in found.values()]
    rows.insert(
        2,
        ["splits certified", *(f"{count} of {len(runs)}" for count, runs in zip(counts, found.values(), strict=True))],
    )
    return rows


def _areas(found: Mapping[str, Runs]) -> list[list[str]]:
    rows = [["pointsman minus", *map(_words, found)]]
    for name in _peers(found):
        cells = []
        for runs in found.values():
            gap = _gap(runs, name, _hindsight("area"))
            cells.append(f"{_apart(*gap)} {stands(*gap[1:])}")
        rows.append([name, *cells])
    return rows


def _count(found: Mapping[str, Runs]) -> str:
    """Say how often pointsman's predictions are ahead."""
    verdicts = [stands(*_gap(runs, name, _hindsight("area"))[1:]) for name in _peers(found) for runs in found.values()]
    said = ", ".join(f"{word} in {verdicts.count(word)}" for word in ("ahead", "level", "behind"))
    return f"Of these {len(verdicts)} comparisons pointsman's predictions are {said}."


def _details(name: str, runs: Runs, margins: Sequence[float]) -> str:
    measures = {
        **{f"saved:{margin:g}": f"saved at −{100 * margin:g}, %" for margin in margins},
        "area": "area, points",
    }
    head = [""]
    for margin in margins:
        head += [f"Δ useful, asked −{100 * margin:g}", "cost saved, %"]
    deployed = [head]
    for method in _named({name: runs}, "deployed"):
        row = [method]
        for margin in margins:
            row += [_apart(*_mean(runs, method, _deployed_part(margin, part))) for part in ("useful", "saved")]
        deployed.append(row)
    hindsight = [["", *(word for title in measures.values() for word in (title, "pointsman minus it"))]]
    for method in _named({name: runs}, "hindsight"):
        row = [method]
        for key in measures:
            gap = _apart(*_gap(runs, method, _hindsight(key)))
            row += [f"{100 * _mean(runs, method, _hindsight(key))[0]:.1f}", "" if method == OWN else gap]
        hindsight.append(row)
    first = runs[0]
    title = f"{name}: {first['train']:,} requests to learn from, {first['test']:,} unseen"
    return (
        f"<details><summary>{title}</summary>\n\nDeployed:\n\n{markdown(deployed)}\n\n"
        f"Hindsight:\n\n{markdown(hindsight)}\n\n</details>\n"
    )


def _hindsight(key: str) -> Callable[[dict[str, Any]], float]:
    return lambda entry: float(entry["hindsight"][key])


def _deployed_part(margin: float, part: str) -> Callable[[dict[str, Any]], float]:
    return lambda entry: float(entry["deployed"][f"{margin:g}"][part])


def _mean(runs: Runs, method: str, part: Callable[[dict[str, Any]], float]) -> tuple[float, float, float]:
    return over_splits([part(run["methods"][method]) for run in runs], runs[0]["train"], runs[0]["test"])


def _gap(runs: Runs, method: str, part: Callable[[dict[str, Any]], float]) -> tuple[float, float, float]:
    apart = [part(run["methods"][OWN]) - part(run["methods"][method]) for run in runs]
    return over_splits(apart, runs[0]["train"], runs[0]["test"])


def _named(found: Mapping[str, Runs], part: str) -> list[str]:
    return [name for name, entry in next(iter(found.values()))[0]["methods"].items() if part in entry]


def _peers(found: Mapping[str, Runs]) -> list[str]:
    return [name for name in _named(found, "hindsight") if name not in {OWN, "oracle"}]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _apart(mean: float, low: float, high: float) -> str:
    if not np.isfinite(low):
        return f"{100 * mean:+.1f}"
    return f"{100 * mean:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
