"""What the command line shows: phases with progress on standard error, tables on standard output."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

__all__ = ["Phases", "show_comparison", "show_report", "show_table"]

NAMES = {
    "generate": "generate the sample week",
    "fine-tune": "fine-tune the encoder",
    "teach": "ask the teacher",
    "distil": "distil the static encoder",
    "encode": "encode prompts",
    "train": "train and cross-fit",
    "tune": "search thresholds",
    "export": "export the bundle",
    "certify": "replay unseen requests",
    "compare": "replay by the second",
    "prove": "certify out of fold",
    "look": "look at fresh traces",
    "track": "log to MLflow",
    "load": "replay under load",
}


class Phases:
    """Progress of named phases: bars on a terminal, one line a phase elsewhere (every 15 s on long ones)."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        console = Console(stderr=True)
        columns = (TextColumn("{task.description:<26}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console)
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self._said = time.monotonic()

    def __enter__(self) -> Phases:
        """Start to show."""
        if self._live:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to show."""
        if self._live:
            self._progress.stop()

    def __call__(self, phase: str, done: int, total: int) -> None:
        """Say that `done` of `total` steps of a phase are done."""
        name, now = NAMES.get(phase, phase), time.monotonic()
        started = self._started.setdefault(phase, now)
        if self._live:
            if phase not in self._tasks:
                self._tasks[phase] = self._progress.add_task(name, total=total)
            self._progress.update(self._tasks[phase], completed=done, total=total)
        elif done >= total or now - self._said > 15:
            self._said = now
            sys.stderr.write(f"{name}: {done:,}/{total:,} ({now - started:.0f} s)\n")
            sys.stderr.flush()


def show_table(cells: Sequence[Sequence[str]], strong: Sequence[int] = ()) -> None:
    """Print cells as a table; the first row is the head, `strong` rows (counted from 1) stand out."""
    head, *rows = cells
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, name in enumerate(head):
        table.add_column(name, justify="left" if index == 0 else "right", no_wrap=index == 0)
    for number, row in enumerate(rows, start=1):
        table.add_row(*row, style="bold" if number in strong else None)
    console = Console() if sys.stdout.isatty() else Console(width=150)
    console.print(table)


def show_report(report: Mapping[str, Any]) -> None:
    """Print the verdict, the before/after table and the constraints."""
    from pointsman.tables import constraint_lines, metric_cells

    console = Console() if sys.stdout.isatty() else Console(width=150)
    console.print(Text(report["verdict"], style="bold"), end="\n\n")
    show_table(metric_cells(report), strong=(2, 3))
    if report["constraints"]:
        console.print(Text("\n" + constraint_lines(report)))
    if report["certificate"] is not None:
        console.print(Text("\n" + _sentence(report["certificate"]["sentence"] + ".")))
    if report["off_policy"] is not None:
        console.print(Text("\n" + _sentence(report["off_policy"]["verdict"])))
    if report["modelled"]:
        console.print(Text(f"Modelled, not measured: {', '.join(report['modelled'])}."))


def show_comparison(report: Mapping[str, Any]) -> None:
    """Print what changes between two bundles: the verdict, both sides, who moves where, by intent, in the policy."""
    from pointsman.tables import change_lines, comparison_cells, flow_cells, intent_cells

    console = Console() if sys.stdout.isatty() else Console(width=150)
    console.print(Text(report["verdict"], style="bold"), end="\n\n")
    show_table(comparison_cells(report), strong=(1, 2, 3))
    moved, confidence = report["moved"], 100 * report["confidence"]
    if moved["flows"]:
        console.print(Text(f"\n{moved['requests']:,} of {report['requests']:,} requests go elsewhere:"))
        show_table(flow_cells(report))
    if len(report["intents"]) > 1:
        held = f"intervals hold in all {len(report['intents'])} intents at once, with {confidence:g} %"
        console.print(Text(f"\nBy intent ({held}; proven by Holm-adjusted exact tests):"))
        show_table(intent_cells(report))
    if report["policy_changes"]:
        console.print(Text("\nChanged in the policy:\n" + change_lines(report)))
    if report["off_policy"] is not None:
        console.print(Text("\n" + _sentence(report["off_policy"]["verdict"])))
    if report["modelled"]:
        console.print(Text(f"\nModelled, not measured: {', '.join(report['modelled'])}."))


def _sentence(text: str) -> str:
    """Return a text with a capital first letter; names in it stay as they are."""
    return text[:1].upper() + text[1:]
