"""``pointsman replay``: before and after of a bundle on traces it has not seen."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

NAME = "replay"
HELP = "Replay a bundle on traces: before/after with intervals, beside the content-blind baselines and the oracle."
EXAMPLE = (
    "pointsman replay --bundle exported/bundles/week --traces next_week.parquet --spec spec.yaml --json report.json"
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the bundle")
    parser.add_argument(
        "--traces", type=Path, required=True, help="trace table; requests used to fit the bundle are left out"
    )
    parser.add_argument("--spec", type=Path, required=True, help="routing spec: prices, baseline, constraints")
    parser.add_argument("--json", type=Path, help="write the report here")
    parser.add_argument("--picture", type=Path, help="draw cost against usefulness here (.png, .svg)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default 0)")


def run(args: Namespace) -> int:
    """Replay and show; exit code 1 where a constraint does not hold."""
    from pointsman.console import Phases, show_report
    from pointsman.pictures import cost_and_usefulness
    from pointsman.replaying import replay_bundle
    from pointsman.spec import load_spec
    from pointsman.traces import read_traces

    spec = load_spec(args.spec)
    traces = read_traces(args.traces)
    if len(traces.quarantine):
        sys.stderr.write(
            f"pointsman: warning: {len(traces.quarantine):,} of {traces.rows_in:,} rows are put aside: not usable\n"
        )
    with Phases() as phases:
        report = replay_bundle(args.bundle, traces, spec, args.seed, phases)
    for name, words in (("seen", "took part in the fit"), ("incomplete", "lack the outcome of a candidate")):
        if report["left_out"][name]:
            sys.stderr.write(f"pointsman: {report['left_out'][name]:,} requests {words} and are left out\n")
    show_report(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if args.picture:
        cost_and_usefulness(report, args.picture)
    told = report["off_policy"] is None or report["off_policy"]["tellable"]
    return 0 if told and all(entry["held"] for entry in report["constraints"]) else 1
