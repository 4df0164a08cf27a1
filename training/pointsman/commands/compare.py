"""``pointsman compare``: two bundles on the same unseen requests, with paired intervals."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

NAME = "compare"
HELP = (
    "Compare two bundles on requests that neither was fitted on: paired intervals, intent by intent, who moves where. "
    "Exit code 1: something is proven against the second, or the logs cannot tell."
)
EXAMPLE = "pointsman compare exported/bundles/week1 exported/bundles/week2 --traces week3.parquet --spec spec.yaml"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("before", type=Path, metavar="A", help="folder of the bundle that serves today")
    parser.add_argument("after", type=Path, metavar="B", help="folder of the bundle that may take its place")
    parser.add_argument(
        "--traces", type=Path, required=True, help="trace table; requests used to fit either are left out"
    )
    parser.add_argument(
        "--spec", type=Path, help="routing spec: prices, traffic, constraints (default: prices in the policies)"
    )
    parser.add_argument(
        "--gone", action="append", default=[], metavar="MODEL", help="a candidate that can no longer be called"
    )
    parser.add_argument("--json", type=Path, help="write the comparison here")
    parser.add_argument("--changelog", type=Path, help="write it to the top of this policy changelog (.md)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default 0)")


def run(args: Namespace) -> int:
    """Compare and show; exit code 1 where something is proven against the second bundle."""
    from pointsman.changelog import changelog_entry, write_changelog
    from pointsman.comparing import compare_bundles
    from pointsman.console import Phases, show_comparison
    from pointsman.spec import load_spec
    from pointsman.traces import read_traces

    spec = None if args.spec is None else load_spec(args.spec)
    traces = read_traces(args.traces)
    if len(traces.quarantine):
        sys.stderr.write(
            f"pointsman: warning: {len(traces.quarantine):,} of {traces.rows_in:,} rows are put aside: not usable\n"
        )
    with Phases() as phases:
        report = compare_bundles(args.before, args.after, traces, spec, args.seed, phases, gone=args.gone)
    for name, words in (
        ("seen_by_before", f"took part in the fit of {report['names']['before']}"),
        ("seen_by_after", f"took part in the fit of {report['names']['after']}"),
        ("incomplete", "lack the outcome of a candidate"),
    ):
        if report["left_out"][name]:
            sys.stderr.write(f"pointsman: {report['left_out'][name]:,} requests {words} and are left out\n")
    show_comparison(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if args.changelog:
        sys.stdout.write(f"changelog: {write_changelog(args.changelog, changelog_entry(report))}\n")
    return 1 if report["against"] else 0
