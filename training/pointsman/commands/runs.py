"""``pointsman runs``: the fits of an experiment side by side, or two of them in everything that differs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from pointsman.tracking import Store

NAME = "runs"
HELP = "Compare the fits that MLflow holds: a table of the newest, or what differs between two of them."
EXAMPLE = "pointsman runs --sort cost\n  pointsman runs 27ccc82b a0a236dc"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run_ids", nargs="*", metavar="RUN", help="two runs to hold against each other: ids or names")
    parser.add_argument("--experiment", help="MLflow experiment (default: all)")
    parser.add_argument(
        "--sort", default="when", help="when (newest first, default), useful, cost, p95, seconds, or any metric"
    )
    parser.add_argument("--limit", type=int, default=20, help="how many of the newest fits (default 20)")
    parser.add_argument("--all", action="store_true", help="of two runs: intervals, limits and baselines too")
    parser.add_argument("--names", action="store_true", help="print what every metric, parameter and tag means")
    parser.add_argument("--json", nargs="?", const="-", help="print as JSON instead, or write it to this file")
    parser.add_argument("--tracking-uri", help="MLflow store (default: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db)")


def run(args: Namespace) -> int:
    """Show runs, or the difference of two."""
    from pointsman.console import show_table
    from pointsman.errors import PointsmanError
    from pointsman.tracking import Store
    from pointsman.tracking.comparison import difference, difference_cells, run_cells, sort_runs
    from pointsman.tracking.names import names_table
    from pointsman.tracking.reading import find_fit, list_fits

    if args.names:
        sys.stdout.write(names_table() + "\n")
        return 0
    if len(args.run_ids) not in {0, 2}:
        raise PointsmanError(f"{len(args.run_ids)} runs are named; allowed: none for a table, two for a difference")
    if args.limit < 1:
        raise PointsmanError(f"--limit {args.limit}: a whole number of at least 1 is needed")
    store = Store(args.tracking_uri, create=False)
    if args.run_ids:
        one, other = (find_fit(store, name) for name in args.run_ids)
        if args.json:
            return _put(difference(one, other), args.json)
        show_table(difference_cells(one, other, everything=args.all))
        if not difference(one, other)["same_traces"]:
            sys.stdout.write("\nThe runs have other traces: a difference may be the traces', not the fit's.\n")
        return 0
    runs = sort_runs(list_fits(store, args.experiment, args.limit), args.sort)
    if args.json:
        return _put([one.to_dict() for one in runs], args.json)
    if not runs:
        sys.stdout.write(f"no fit in {store.shown}{f', experiment {args.experiment!r}' if args.experiment else ''}\n")
        return 0
    show_table(run_cells(runs, store.aliases()))
    sys.stdout.write(f"\n{_page(store)}\n")
    return 0


def _put(document: Any, place: str) -> int:
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    if place == "-":
        sys.stdout.write(text)
    else:
        Path(place).write_text(text, encoding="utf-8")
    return 0


def _page(store: Store) -> str:
    """Return where MLflow's own page shows the same runs: its list holds trials too, this filter leaves them out."""
    look = "tags.kind = 'fit' leaves trials and phases out of the list"
    if store.remote:
        return f"in MLflow's page, {store.shown}: {look}"
    mlflow = Path(sys.executable).with_name("mlflow")
    return f"in MLflow's page ({mlflow} ui --backend-store-uri {store.shown}): {look}"
