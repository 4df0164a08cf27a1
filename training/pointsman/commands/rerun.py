"""``pointsman rerun``: the fit of a run once more, from what it logged; the same bundle, or what differs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

NAME = "rerun"
HELP = "Run a logged fit again and hold its bundle against the one it made. Exit code 1: more than the date differs."
EXAMPLE = "pointsman rerun 27ccc82b --traces archive/week.parquet"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run_id", metavar="RUN", help="id of the run, or how it begins; or its name")
    parser.add_argument("--traces", type=Path, help="where the run's traces lie now (default: where they lay)")
    parser.add_argument("--encoder", help="where the run's encoder lies now (default: where it lay)")
    parser.add_argument(
        "--out", type=Path, help="folder of the new bundle (default exported/bundles/rerun-RUN/NAME OF THE OLD ONE)"
    )
    parser.add_argument(
        "--cache", type=Path, default=Path("~/.cache/pointsman"), help="folder of embeddings (default %(default)s)"
    )
    parser.add_argument("--tracking-uri", help="MLflow store (default: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db)")


def run(args: Namespace) -> int:
    """Fit again and say whether it came out the same."""
    from pointsman.console import Phases
    from pointsman.rerun import rerun
    from pointsman.tracking import Store
    from pointsman.tracking.reading import find_fit

    store = Store(args.tracking_uri, create=False)
    found = find_fit(store, args.run_id)
    out = args.out or Path("exported/bundles") / f"rerun-{found.short}" / found.tags.get("bundle_name", "bundle")
    with Phases() as phases:
        again = rerun(store, found, out, args.traces, args.encoder, args.cache.expanduser(), phases)
    sys.stdout.write(f"{again.result.report['verdict']}\nbundle: {again.result.bundle}\n")
    if again.differences is None:
        sys.stdout.write(f"run {found.short} had made no bundle: nothing to compare with\n")
        return 0
    if not again.differences:
        sys.stdout.write(f"the same as that of run {found.short}, to the byte, apart from the date\n")
        return 0
    sys.stdout.write(f"differs from that of run {found.short}:\n")
    sys.stdout.writelines(f"- {line}\n" for line in again.differences)
    return 1
