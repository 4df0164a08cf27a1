"""``pointsman spec``: a routing spec to start from, made of the traces and a price list."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

NAME = "spec"
HELP = (
    "Write a routing spec to start from: the candidates of the traces, their prices, the baseline's P95 as the limit."
)
EXAMPLE = "pointsman spec --traces week.parquet --prices candidates.csv --out spec.yaml"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--traces", type=Path, required=True, help="trace table (.parquet, .jsonl, .csv)")
    parser.add_argument("--prices", type=Path, help="CSV with model, input_usd_per_mtok, output_usd_per_mtok")
    parser.add_argument("--out", type=Path, required=True, help="YAML file to write")
    parser.add_argument("--baseline", default="best_single", help="a model, as_logged or best_single (default)")
    parser.add_argument("--margin", type=float, default=0.01, help="useful rate that may be lost, 0..1 (default 0.01)")
    parser.add_argument(
        "--confidence", type=float, default=0.95, help="with which constraints must hold (default 0.95)"
    )
    parser.add_argument("--modelled", nargs="*", default=[], help="columns that were modelled, not measured")


def run(args: Namespace) -> int:
    """Write the spec."""
    from pointsman.starter import starter_spec
    from pointsman.traces import read_traces

    made = starter_spec(
        read_traces(args.traces).rows,
        prices=args.prices,
        baseline=args.baseline,
        margin=args.margin,
        confidence=args.confidence,
        modelled=args.modelled,
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(made.to_yaml(), encoding="utf-8")
    sys.stdout.write(
        f"{args.out}: {len(made.candidates)} candidates, baseline {made.baseline}, safe model {made.safe_model}\n"
    )
    return 0
