"""The before/after report as a table: one set of cells for terminals, model cards and the README alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "UNKNOWN",
    "change_lines",
    "comparison_cells",
    "constraint_lines",
    "flow_cells",
    "intent_cells",
    "markdown",
    "metric_cells",
    "metric_table",
    "usd",
]

UNKNOWN = "–"


def metric_cells(report: Mapping[str, Any]) -> list[list[str]]:
    """Return before, after, their change with its interval, and the baselines; the first row is the head."""
    month = report["after"]["cost_usd_per_month"] is not None
    money = "USD a month" if month else "cost, USD"
    cells = [["", "useful", "USD per useful response", money, "P50, ms", "P95, ms", "hallucinated"]]
    cells += [_row(f"before ({report['baseline']})", report["before"], month), _row("after", report["after"], month)]
    cells.append(_change_row(report["change"]))
    cells += [_row(name, summary, month) for name, summary in report["baselines"].items() if summary is not None]
    return _known_columns(cells)


def comparison_cells(report: Mapping[str, Any]) -> list[list[str]]:
    """Return both sides of a comparison, their change with its interval, and today; the first row is the head."""
    month = report["after"]["cost_usd_per_month"] is not None
    money = "USD a month" if month else "cost, USD"
    cells = [["", "useful", "USD per useful response", money, "P50, ms", "P95, ms", "hallucinated"]]
    cells += [_row(report["names"][side], report[side], month) for side in ("before", "after")]
    cells.append(_change_row(report["change"]))
    if report["today"] is not None:
        cells.append(_row("today, by the spec", report["today"], month))
    return _known_columns(cells)


def flow_cells(report: Mapping[str, Any], most: int = 12) -> list[list[str]]:
    """Return the ways on which requests go elsewhere, at most so many; the first row is the head."""
    cells = [["from", "to", "requests", "useful", "USD a request", "lost / gained", "mostly"]]
    for flow in report["moved"]["flows"][:most]:
        useful = " → ".join(f"{100 * value:.1f}" for value in flow["useful"])
        cost = " → ".join(usd(value) for value in flow["cost_usd"])
        both = UNKNOWN if flow["lost"] is None else f"{flow['lost']:,.3g} / {flow['gained']:,.3g}"
        mostly = ", ".join(f"{name or 'no intent'} {count:,}" for name, count in list(flow["intents"].items())[:2])
        row = [flow["from"], flow["to"], f"{flow['requests']:,}", f"{useful} %", cost, both, mostly]
        cells.append(row)
    return cells


def intent_cells(report: Mapping[str, Any], most: int = 30) -> list[list[str]]:
    """Return what changes in each intent, the largest first, at most so many; the first row is the head."""
    cells = [["intent", "requests", "elsewhere", "useful, points", "cost of a request", "proven"]]
    for one in report["intents"][:most]:
        useful, cost = one["change"]["useful_rate"], one["change"]["cost_usd"]
        row = [one["intent"] or "no intent", f"{one['requests']:,}", f"{one['moved']:,}"]
        row += [_change_cell("useful_rate", useful), _change_cell("cost_usd", cost)]
        cells.append([*row, "" if one["stands"] == "level" else one["stands"]])
    return cells


def change_lines(report: Mapping[str, Any]) -> str:
    """Return one line for each change of the policy, with how many requests it moves alone."""
    lines = []
    for change in report["policy_changes"]:
        alone = "" if change["moved"] is None else f" Alone it moves {change['moved']:,} requests."
        lines.append(f"- {change['text']}{alone}")
    return "\n".join(lines)


def _known_columns(cells: list[list[str]]) -> list[list[str]]:
    """Leave out columns of which nothing is known."""
    known = [any(row[at] != UNKNOWN for row in cells[1:]) for at in range(len(cells[0]))]
    return [[cell for cell, keep in zip(row, known, strict=True) if keep] for row in cells]


def markdown(cells: Sequence[Sequence[str]]) -> str:
    """Return cells as a Markdown table; the first column is left-aligned, the others right."""
    head, *rows = ([cell.replace("|", r"\|") for cell in row] for row in cells)
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *rows])


def metric_table(report: Mapping[str, Any]) -> str:
    """Return the cells of the report as a Markdown table."""
    return markdown(metric_cells(report))


def constraint_lines(report: Mapping[str, Any]) -> str:
    """Return one line for each constraint: what was measured, what is certain, what is allowed."""
    confidence = _percent(report["change"]["confidence"])
    return "\n".join(
        f"- {entry['name']}: {entry['verdict']}: {entry['unit']} {entry['value']:.4f}, with {confidence} confidence at "
        f"most {entry['bound']:.4f}; allowed {entry['limit']:.4f}"
        for entry in report["constraints"]
    )


def usd(value: float | None) -> str:
    """Return an amount with three significant digits."""
    if value is None:
        return UNKNOWN
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-4 or value == 0 else f"{value:.2e}"


def _row(name: str, summary: Mapping[str, Any], month: bool) -> list[str]:
    hallucinated = summary["hallucination_rate"]
    return [
        name,
        f"{100 * summary['useful_rate']:.1f} %",
        usd(summary["cost_per_useful"]),
        usd(summary["cost_usd_per_month" if month else "cost_usd"]),
        *(UNKNOWN if summary[key] is None else f"{summary[key]:,.0f}" for key in ("p50_ms", "p95_ms")),
        UNKNOWN if hallucinated is None else f"{100 * hallucinated:.1f} %",
    ]


def _change_row(change: Mapping[str, Any]) -> list[str]:
    names = ("useful_rate", "cost_per_useful", "cost_usd", "p50_ms", "p95_ms", "hallucination_rate")
    return [f"change [{_percent(change['confidence'])}]", *(_change_cell(name, change[name]) for name in names)]


def _change_cell(name: str, entry: Mapping[str, float] | None) -> str:
    if entry is None:
        return UNKNOWN
    if "ratio" in entry:
        change_of = (100 * (entry[key] - 1) for key in ("ratio", "ratio_low", "ratio_high"))
        return "{:+.0f} % [{:+.0f}, {:+.0f}]".format(*change_of)
    # Rates in points; a cost or latency that was 0 has no ratio, and stays in its own unit.
    scale, form = (100, "+.1f") if name in {"useful_rate", "hallucination_rate"} else (1, "+.3g")
    difference, low, high = (format(scale * entry[key], form) for key in ("difference", "low", "high"))
    return f"{difference} [{low}, {high}]"


def _percent(share: float) -> str:
    return f"{100 * share:g}%"
