"""The data report on a terminal: findings first, then compact tables of at most 100 columns."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pointsman.profile.finding import share_text
from pointsman.tables import UNKNOWN, usd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["show_data_report"]

_STYLES = {"high": "bold red", "medium": "yellow", "low": "cyan"}
_WIDTH = 100
_LINES = 12
_MODELS = 5
_BLOCKS = "▁▂▃▄▅▆▇█"
_SPARK = 60


def show_data_report(report: Mapping[str, Any], console: Console | None = None) -> None:
    """Print a report (see `pointsman.profile.DataProfile.report`).

    Parameters
    ----------
    report : mapping
    console : rich.console.Console, optional
        Standard output where it is not given.
    """
    if console is None:
        console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)
    console.print(_headline(report), end="\n\n")
    _show_findings(console, report)
    if not report["rows"]:
        return
    for title, cells in (
        ("", _aside(report)),
        ("", _models(report)),
        ("", _intents(report)),
        ("Answers by intent and model (*: fewer than 30 labelled, cannot be judged)", _tries(report)),
        ("", _rules(report)),
        ("", _slices(report)),
    ):
        if len(cells) > 1:
            if title:
                console.print(Text(title, style="bold"))
            console.print(_table(cells))
            console.print()
    for line in (_rhythm(report), _coverage(report)):
        if line:
            console.print(line)


def _headline(report: Mapping[str, Any]) -> Text:
    time, labels = report["time"], report["labels"]
    parts = [
        f"{_many(report['rows'], 'row')} kept",
        f"{_many(report['requests'], 'request')} ({report['kind']})",
        _many(len(report["models"]), "model"),
        _many(sum(entry["intent"] is not None for entry in report["intents"]), "intent"),
    ]
    if labels["labelled"]:
        parts.append(
            f"{share_text(1 - labels['unlabelled_share'])} labelled, {share_text(labels['useful_rate'])} useful"
        )
    if time["first"]:
        parts.append(f"{time['first'][:10]} to {time['last'][:10]}")
    return Text(", ".join(parts), style="bold")


def _many(count: int, name: str) -> str:
    return f"{count:,} {name}{'s' * (count != 1)}"


def _show_findings(console: Console, report: Mapping[str, Any]) -> None:
    if not report["findings"]:
        console.print(Text("Nothing stands in the way."), end="\n\n")
        return
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for one in report["findings"]:
        text = Text(_clean(one["text"]))
        text.append(f"\n{one['action']}", style="dim")
        grid.add_row(Text(one["severity"], style=_STYLES[one["severity"]]), text)
    console.print(grid)
    console.print()


def _aside(report: Mapping[str, Any]) -> list[list[str]]:
    aside: dict[str, int] = report["intake"].get("aside") or {}
    whole = report["rows"] + sum(aside.values())
    rows = [[reason, f"{n:,}", share_text(n / whole)] for reason, n in sorted(aside.items(), key=lambda one: -one[1])]
    return [["put aside", "rows", "share"], *_first(rows)]


def _models(report: Mapping[str, Any]) -> list[list[str]]:
    return [
        ["model", "rows", "served", "labelled", "useful", "USD", "P50, ms", "P95, ms"],
        *_first(
            [
                one["model"],
                f"{one['rows']:,}",
                share_text(one["served_share"]),
                share_text(one["labelled"] / one["rows"]),
                share_text(one["useful_rate"]),
                usd(one["cost_usd"]),
                *(UNKNOWN if one[name] is None else f"{one[name]:,.0f}" for name in ("p50_ms", "p95_ms")),
            ]
            for one in report["models"]
        ),
    ]


def _intents(report: Mapping[str, Any]) -> list[list[str]]:
    return [
        ["intent", "requests", "share", "labelled", "useful"],
        *_first(
            [
                _intent(one["intent"]),
                f"{one['requests']:,}",
                share_text(one["share"]),
                share_text(one["labelled"] / one["rows"]),
                share_text(one["useful_rate"]),
            ]
            for one in report["intents"]
        ),
    ]


def _tries(report: Mapping[str, Any]) -> list[list[str]]:
    """Return the cells of the overlap; only the head where every request has all answers."""
    overlap = report["overlap"]
    head = ["intent", *overlap["models"][:_MODELS]]
    if len(overlap["models"]) > _MODELS:
        head[-1:] = [f"and {len(overlap['models']) - _MODELS + 1} more"]
    shown = len(head) - 1 if len(overlap["models"]) <= _MODELS else len(head) - 2
    if report["kind"] not in {"logs", "mixed"}:
        return [head]
    rows = []
    for entry in overlap["intents"]:
        cells = entry["cells"]
        counts = [f"{cell['rows']:,}{'' if cell['verdict'] == 'judged' else '*'}" for cell in cells[:shown]]
        rest = [f"{sum(cell['rows'] for cell in cells[shown:]):,}"] if shown < len(cells) else []
        rows.append([_intent(entry["intent"]), *counts, *rest])
    return [head, *_first(rows)]


def _rules(report: Mapping[str, Any]) -> list[list[str]]:
    return [
        ["labelled by", "rows", "share", "useful"],
        *_first(
            [one["rule"], f"{one['rows']:,}", share_text(one["share"]), share_text(one["useful_rate"])]
            for one in report["labels"]["by_rule"]
        ),
    ]


def _slices(report: Mapping[str, Any]) -> list[list[str]]:
    return [
        ["slice of time", "requests", "prompt stands in an earlier one"],
        *([one["name"], f"{one['requests']:,}", share_text(one["share"])] for one in report["slices"][1:]),
    ]


def _rhythm(report: Mapping[str, Any]) -> Text | None:
    counts: list[int] = report["time"]["counts"]
    if len(counts) < 3:
        return None
    step = -(-len(counts) // _SPARK)
    sums = [sum(counts[at : at + step]) for at in range(0, len(counts), step)]
    highest = max(sums)
    blocks = "".join(_BLOCKS[min(7, 8 * value // (highest + 1))] if value else " " for value in sums)
    unit = report["time"]["unit"]
    return Text(f"Requests by {unit if step == 1 else f'{step} {unit}s'}: {blocks} (at most {highest:,})")


def _coverage(report: Mapping[str, Any]) -> Text | None:
    partly = [f"{one['column']} {share_text(one['present'])}" for one in report["coverage"] if 0 < one["present"] < 1]
    never = [one["column"] for one in report["coverage"] if one["present"] == 0]
    parts = [f"known in part: {', '.join(partly)}"] * bool(partly) + [f"not at all: {', '.join(never)}"] * bool(never)
    text = "; ".join(parts)
    return Text(f"Columns {text}.") if text else None


def _first(rows: Any) -> list[list[str]]:
    """Return the first rows, and a last one that says how many more there are."""
    every = list(rows)
    if len(every) <= _LINES + 1:
        return every
    return [*every[:_LINES], [f"and {len(every) - _LINES} more", *[""] * (len(every[0]) - 1)]]


def _table(cells: Sequence[Sequence[str]]) -> Table:
    head, *rows = cells
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, name in enumerate(head):
        table.add_column(Text(_clean(name)), justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_clean(cell)) for cell in row))
    return table


def _intent(name: str | None) -> str:
    return "(not given)" if name is None else name


def _clean(text: str) -> str:
    """Return a text without what would steer the terminal; names come from other people's systems."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
