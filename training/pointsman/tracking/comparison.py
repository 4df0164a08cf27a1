"""Runs side by side as cells of a table: many by what counts, two by everything in which they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointsman.tables import UNKNOWN, usd
from pointsman.tracking.names import METRICS
from pointsman.tracking.store import TrackingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pointsman.tracking.reading import FitRun

__all__ = ["SORTS", "difference", "difference_cells", "run_cells", "sort_runs"]

SORTS: dict[str, tuple[str, bool]] = {
    "useful": ("after/useful_rate", True),
    "cost": ("after/cost_per_useful", False),
    "p95": ("after/p95_ms", False),
    "seconds": ("seconds/fit", False),
}
"""Short names to sort by: the metric, and whether more of it is better. The best stands first."""

HEADLINES = ("after/useful_rate", "after/cost_per_useful", "after/p95_ms", "seconds/fit")


def sort_runs(runs: Sequence[FitRun], by: str) -> list[FitRun]:
    """Return runs by `when` (newest first), a name of `SORTS` (best first) or a metric (largest first).

    Runs without the figure stand last.

    Raises
    ------
    TrackingError
        Where no run has it.
    """
    if by == "when":
        return sorted(runs, key=lambda one: one.began, reverse=True)
    metric, descending = SORTS.get(by, (by, True))
    if runs and not any(metric in one.metrics for one in runs):
        known = ", ".join(("when", *SORTS))
        raise TrackingError(f"--sort {by}: no run has such a metric; allowed: {known}, or a name of runs --names")
    sign = -1 if descending else 1
    return sorted(runs, key=lambda one: (metric not in one.metrics, sign * one.metrics.get(metric, 0.0)))


def run_cells(runs: Sequence[FitRun], aliases: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return one row a run; the first row is the head. `aliases` says by run id what its bundle is in the registry."""
    head = ["run", "when, UTC", "encoder", "traces", "days", "verdict", "useful", "USD per useful", "P95, ms"]
    rows = [[*head, "certified", "fit, s"]]
    for one in runs:
        names = f" ({', '.join(aliases[one.run_id])})" if one.run_id in aliases else ""
        found = one.metrics
        rows.append(
            [
                f"{one.short} {_cut(one.name, 32)}{names}",
                f"{one.began:%m-%d %H:%M}",
                one.params.get("encoder", UNKNOWN),
                one.traces or UNKNOWN,
                one.span or UNKNOWN,
                verdict(one),
                *(_figure(name, found.get(name)) for name in HEADLINES[:3]),
                {1.0: "yes", 0.0: "no"}.get(found.get("certificate/certified", -1.0), UNKNOWN),
                _figure("seconds/fit", found.get("seconds/fit")),
            ]
        )
    return rows


def verdict(run: FitRun) -> str:
    """Return in a few words what became of a fit."""
    if run.status != "FINISHED":
        return run.status.lower()
    holds = {"True": "holds", "False": "fails"}.get(run.tags.get("holds", ""), "")
    return ", ".join(word for word in (holds, run.tags.get("standing", "")) if word) or UNKNOWN


def difference(one: FitRun, other: FitRun) -> dict[str, Any]:
    """Return the difference of two runs: parameters and tags that differ, as pairs; metrics of both with theirs."""

    def pairs(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, list[Any]]:
        names = dict.fromkeys((*first, *second))
        return {n: [first.get(n), second.get(n)] for n in names if first.get(n) != second.get(n)}

    tags = [
        {name: value for name, value in run.tags.items() if name.startswith("data/") or name in {"holds", "standing"}}
        for run in (one, other)
    ]
    shared = [name for name in one.metrics if name in other.metrics]
    return {
        "runs": [one.run_id, other.run_id],
        "same_traces": one.tags.get("data/fingerprint") == other.tags.get("data/fingerprint"),
        "params": pairs(one.params, other.params),
        "tags": pairs(*tags),
        "metrics": {
            name: {
                "a": one.metrics[name],
                "b": other.metrics[name],
                "difference": other.metrics[name] - one.metrics[name],
            }
            for name in sorted(shared, key=_place)
        },
    }


def difference_cells(one: FitRun, other: FitRun, *, everything: bool = False) -> list[list[str]]:
    """Return name, both values and the difference, row by row: what was given, then what came of it.

    Metrics in which the runs agree are left out; intervals, limits and baselines too, unless `everything` is wanted.
    """
    found = difference(one, other)
    rows = [["", f"{one.short} {one.name}", f"{other.short} {other.name}", "difference"]]
    for part in ("params", "tags"):
        rows += [[name, _cut(a), _cut(b), ""] for name, (a, b) in found[part].items()]
    for name, entry in found["metrics"].items():
        if entry["difference"] != 0 and (everything or _counts(name)):
            change = _figure(name, entry["difference"], sign=True)
            if entry["a"] and not _is_share(name):
                change += f" ({100 * (entry['b'] / entry['a'] - 1):+.0f} %)"
            rows.append([name, _figure(name, entry["a"]), _figure(name, entry["b"]), change])
    return rows


def _pair(a: float, b: float) -> dict[str, float]:
    return {"a": a, "b": b, "difference": b - a}


def _counts(name: str) -> bool:
    """Whether a metric is a figure of its own, not an interval's end, a limit or a rival's."""
    section, last = name.partition("/")[0], name.rpartition("/")[2]
    return section not in {"rival", "change"} and not last.endswith(("low", "high", "limit", "bound"))


def _place(name: str) -> tuple[int, str]:
    return next((number for number, one in enumerate(METRICS) if one.fits(name)), len(METRICS)), name


def _is_share(name: str) -> bool:
    return next((one.unit == "0..1" for one in METRICS if one.fits(name)), False)


def _figure(name: str, value: float | None, *, sign: bool = False) -> str:
    """Return a metric's value with its unit's digits."""
    if value is None:
        return UNKNOWN
    unit = next((one.unit for one in METRICS if one.fits(name)), "")
    plus = "+" if sign else ""
    if unit == "0..1":
        return f"{100 * value:{plus}.1f}{' points' if sign else ' %'}"
    if unit == "USD":
        return f"{'+' if sign and value > 0 else ''}{usd(value)}"
    if unit in {"ms", "s"}:
        return f"{value:{plus},.{0 if unit == 'ms' else 1}f}"
    return f"{value:{plus},.4g}"


def _cut(value: Any, most: int = 40) -> str:
    text = UNKNOWN if value is None else str(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"
