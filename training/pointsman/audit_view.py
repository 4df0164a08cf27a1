"""An audit as a person reads it: the verdict in one line, then each red flag with where, why and what to do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from pointsman.audit.audit import Audit
    from pointsman.audit.finding import Finding

__all__ = ["show_audit"]

_STYLES = {"high": "bold red", "medium": "bold yellow", "low": "bold"}
_WIDTH = 120


def show_audit(audit: Audit) -> None:
    """Print an audit on standard output."""
    console = Console(soft_wrap=False) if sys.stdout.isatty() else Console(width=_WIDTH)
    # The verdict is one line, however long: a log or a grep takes it whole.
    console.print(Text(audit.verdict, style="bold"), soft_wrap=True)
    by_check: dict[tuple[str, str], list[Finding]] = {}
    for finding in audit.red_flags:
        by_check.setdefault((finding.check, finding.fix), []).append(finding)
    for alike in by_check.values():
        _show(console, alike)
    rest = [finding for finding in audit.findings if not finding.red]
    if rest:
        console.print("\nWorth knowing:")
        for finding in rest:
            console.print(Padding(Text(f"{finding.what} ({finding.place}). {finding.fix}"), (0, 0, 0, 2), expand=False))
    if audit.skipped:
        console.print("\nNot checked:")
        for one in audit.skipped:
            console.print(Padding(Text(f"{one.check}: {one.why}"), (0, 0, 0, 2), expand=False))
    for note in audit.notes:
        console.print(Text(f"\n{note}"))


def _show(console: Console, alike: list[Finding]) -> None:
    """Print findings of one check: each with its place and numbers, then once why it hurts and what to do."""
    first = alike[0]
    console.print()
    for finding in alike:
        head = Text(f"{finding.severity.upper():<7}", style=_STYLES[finding.severity])
        console.print(head + Text(finding.what, style="bold"))
        rows = [("where", str(finding.place))]
        if finding.numbers:
            rows.append(("", "; ".join(map(str, finding.numbers))))
        _rows(console, [*rows, *(("such as" if not at else "", one) for at, one in enumerate(finding.examples))])
    _rows(console, [("why", first.why), ("fix", first.fix), ("check", f"{first.check}: {first.reference}")])


def _rows(console: Console, rows: list[tuple[str, str]]) -> None:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=7, no_wrap=True)
    table.add_column(overflow="fold")
    for name, words in rows:
        table.add_row(Text(name, style="dim"), Text(words))
    console.print(Padding(table, (0, 0, 0, 7), expand=False))
