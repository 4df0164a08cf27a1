"""A retrain as a person reads it: verdict, changes, drift, the champion's promises, the gate, the comparison."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from pointsman.console import show_comparison, show_table

if TYPE_CHECKING:
    from pointsman.retraining.drift import DriftTest
    from pointsman.retraining.retrain import Retrained

__all__ = ["show_drift", "show_retrained"]


def show_retrained(found: Retrained) -> None:
    """Print what came of a retrain on standard output."""
    console = Console() if sys.stdout.isatty() else Console(width=150)
    console.print(Text(found.verdict, style="bold"), soft_wrap=True)
    if found.changed:
        console.print("\nWhat changed:")
        for one in found.changed:
            console.print(Text(f"  {one['text']}"))
    show_drift(console, found.drift)
    if found.promises:
        console.print("\nThe champion on fresh requests:")
        rows = [
            (one["unit"], f"{one['value']:.4g}", f"{one['bound']:.4g}", f"{one['limit']:.4g}", one["verdict"])
            for one in found.promises
        ]
        show_table([("constraint", "measured", "certain", "allowed", ""), *rows])
    console.print("\nThe gate:")
    for condition in found.gate.conditions:
        mark = Text("  holds  ", style="green") if condition.holds else Text("  FAILS  ", style="bold red")
        console.print(mark + Text(condition.text, style=""))
    for name in found.left_out:
        console.print(Text(f"\nNew model {name} answered too few requests to be a candidate."))
    if found.comparison is not None:
        console.print()
        show_comparison(found.comparison)


def show_drift(console: Console, tests: list[DriftTest]) -> None:
    """Print the tests, those that are proven and large enough in bold."""
    if not tests:
        return
    console.print("\nDrift (p adjusted by Holm over all tests; a drift is proven and at least as large as matters):")
    rows = [
        (
            one.what,
            f"{one.effect:+.3f}",
            f"{one.matters:g}",
            one.unit,
            _p(one.p_adjusted),
            "DRIFT" if one.drifted else "",
        )
        for one in tests
    ]
    strong = [number for number, one in enumerate(tests, start=1) if one.drifted]
    show_table([("what", "effect", "matters", "in", "p", ""), *rows], strong)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
