"""``pointsman promote``: let a bundle serve whose gate held, keep the one before; ``--back`` undoes it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from pointsman.retraining.champion import Pointer

NAME = "promote"
HELP = (
    "Let a bundle serve: move the champion's link or alias, and keep the one before; --back undoes it. A bundle needs "
    "the record of a retrain whose gate held (exit code 1: it did not), unless nothing serves yet, or --force."
)
EXAMPLE = "pointsman promote --bundle exported/bundles/week2 --champion exported/bundles/champion"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--bundle", type=Path, help="folder of the bundle that is to serve")
    what.add_argument("--back", action="store_true", help="let the previous champion serve again")
    parser.add_argument("--champion", required=True, help="a link to a bundle, or models:/NAME@champion")
    parser.add_argument("--force", action="store_true", help="without a record, or though the gate did not hold")
    parser.add_argument("--wait", type=float, default=0.0, help="seconds to wait for a retrain to end (default 0)")
    parser.add_argument("--tracking-uri", help="MLflow store (default: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db)")


def run(args: Namespace) -> int:
    """Promote, or go back."""
    from pointsman.bundle import load_bundle
    from pointsman.errors import BundleError
    from pointsman.retraining.champion import LinkPointer, pointer_of
    from pointsman.retraining.lock import alone, lock_of
    from pointsman.retraining.record import check_record

    near = Path(args.champion).parent if args.bundle is None else args.bundle.resolve().parent
    with alone(lock_of(args.champion, near / "x"), args.wait):
        pointer: Pointer = pointer_of(args.champion, near, args.tracking_uri)
        if args.back:
            sys.stdout.write(pointer.back() + "\n")
            return 0
        load_bundle(args.bundle)
        if not args.force:
            if isinstance(pointer, LinkPointer) and not pointer.link.exists():
                present = None
            else:
                try:
                    present = str(load_bundle(pointer.bundle()).manifest["sha256"])
                except BundleError:
                    present = None
            if present is not None and present != load_bundle(args.bundle).manifest["sha256"]:
                check_record(args.bundle, present)
        sys.stdout.write(pointer.promote(args.bundle) + "\n")
        return 0
