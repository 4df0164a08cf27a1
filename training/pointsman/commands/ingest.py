"""``pointsman ingest``: read a trace table, validate it, put aside what cannot be used."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

NAME = "ingest"
HELP = "Validate a trace table (Parquet, JSON lines or CSV) and write it as Parquet; bad rows go to a quarantine file."
EXAMPLE = "pointsman ingest week.jsonl --out week.parquet"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("source", type=Path, help="a .parquet, .jsonl or .csv trace table")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file of the usable rows")
    parser.add_argument("--json", type=Path, help="write the counts here")


def run(args: Namespace) -> int:
    """Validate and write; print what was kept and put aside."""
    from pointsman.traces import fingerprint, read_traces

    table = read_traces(args.source)
    table.write(args.out)
    aside = table.write_quarantine(args.out.with_suffix(".quarantine.jsonl"))
    counts = {
        "rows_in": table.rows_in,
        "kept": len(table.rows),
        "put_aside": len(table.quarantine),
        "reasons": table.reasons,
        "requests": int(table.rows["request_id"].nunique()),
        "models": {str(name): int(count) for name, count in table.rows["model"].value_counts().items()},
        "first": table.rows["timestamp"].min().isoformat(),
        "last": table.rows["timestamp"].max().isoformat(),
        "fingerprint": fingerprint(table.rows),
    }
    if args.json:
        args.json.write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(
        f"{table.rows_in:,} rows read, {len(table.rows):,} kept in {args.out}, {len(table.quarantine):,} put aside\n"
    )
    for reason, count in table.reasons.items():
        sys.stdout.write(f"  {count:,} × {reason}\n")
    if aside:
        sys.stdout.write(f"put aside: {aside}\n")
    return 0
