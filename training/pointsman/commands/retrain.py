"""``pointsman retrain``: fresh traces in, decision out; the champion serves throughout."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from pointsman.retraining.champion import Pointer

NAME = "retrain"
HELP = (
    "Look at fresh traces for changes and drift, fit a challenger, and promote it only if the spec's gate holds. Exit "
    "code 0: promoted, or nothing to do; 1: the champion should be replaced and the gate does not hold; 2: bad input; "
    "3: another retrain of this champion runs."
)
EXAMPLE = (
    "pointsman retrain --champion exported/bundles/champion --traces week2.parquet --old week1.parquet "
    "--spec spec.yaml --out exported/bundles/week2"
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    from pointsman.commands.fit import add_encoder_arguments, positive

    parser.add_argument(
        "--champion",
        required=True,
        help="what serves: a link to a bundle (moved on promotion), a bundle's folder (nothing is moved), or "
        "models:/NAME@champion of MLflow's registry",
    )
    parser.add_argument("--traces", type=Path, required=True, help="fresh trace table")
    parser.add_argument("--spec", type=Path, required=True, help="routing spec; its key promotion is the gate")
    parser.add_argument("--out", type=Path, required=True, help="folder of the challenger")
    parser.add_argument("--old", type=Path, help="traces of the champion's fit: for drift, and to learn from")
    parser.add_argument("--labels", type=Path, help="more intent labels: CSV with the columns request_id and intent")
    parser.add_argument("--confirm-labels", action="store_true", help="a person has looked at the labels")
    parser.add_argument("--no-promote", action="store_true", help="decide, and move nothing")
    parser.add_argument("--trials", type=positive, default=200, help="Optuna trials (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    parser.add_argument("--alpha", type=float, default=0.05, help="false alarms of all drift tests (default 0.05)")
    add_encoder_arguments(parser)
    parser.add_argument(
        "--cache", type=Path, default=Path("~/.cache/pointsman"), help="folder of embeddings (default %(default)s)"
    )
    parser.add_argument("--wait", type=float, default=0.0, help="seconds to wait for another retrain (default 0)")
    parser.add_argument("--tracking-uri", help="MLflow store (default: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db)")
    parser.add_argument("--experiment", default="pointsman", help="MLflow experiment (default %(default)s)")
    parser.add_argument("--no-tracking", action="store_true", help="do not log to MLflow")
    parser.add_argument("--json", type=Path, help="write everything that was found here")


def run(args: Namespace) -> int:
    """Retrain, show, promote where the gate holds."""
    from pointsman.commands.fit import encoder_of
    from pointsman.console import Phases
    from pointsman.fit import FitOptions
    from pointsman.retraining.champion import LinkPointer, pointer_of
    from pointsman.retraining.lock import alone, lock_of, sweep
    from pointsman.retraining.mixing import with_intents
    from pointsman.retraining.naming import read_labels
    from pointsman.retraining.record import write_record
    from pointsman.retraining.retrain import RetrainOptions, retrain
    from pointsman.retraining.view import show_retrained
    from pointsman.router import Router
    from pointsman.spec import load_spec
    from pointsman.traces import read_traces
    from pointsman.tracking import Tracker

    spec = load_spec(args.spec)
    with alone(lock_of(args.champion, args.out), args.wait):
        sweep(args.out)
        pointer: Pointer = pointer_of(args.champion, args.out.parent, args.tracking_uri)
        champion = Router.load(pointer.bundle(), threads=0)
        traces = with_intents(read_traces(args.traces), read_labels(args.labels))
        if len(traces.quarantine):
            sys.stderr.write(
                f"pointsman: warning: {len(traces.quarantine):,} of {traces.rows_in:,} rows are put aside: not usable\n"
            )
        old = None if args.old is None else read_traces(args.old)
        kind, encoder = encoder_of(args)
        options = RetrainOptions(
            FitOptions(
                trials=args.trials, seed=args.seed, cache=args.cache.expanduser(), kind=kind, fine_tune=args.fine_tune
            ),
            args.alpha,
            args.confirm_labels,
        )
        tracker = None if args.no_tracking else Tracker(args.tracking_uri, args.experiment)
        with Phases() as phases:
            found = retrain(
                champion, traces, spec, args.out, encoder, options, old=old, tracker=tracker, progress=phases,
                source=args.traces,
            )  # fmt: skip
        show_retrained(found)
        record = write_record(args.out, found, champion.version)
        sys.stdout.write(f"\nrecord: {record}\n")
        if args.json:
            args.json.write_text(json.dumps(found.to_dict(), indent=2) + "\n", encoding="utf-8")
        if found.decision == "promote":
            if args.no_promote or (isinstance(pointer, LinkPointer) and not pointer.link.is_symlink()):
                sys.stdout.write(f"promote it: pointsman promote --bundle {args.out} --champion LINK\n")
            else:
                sys.stdout.write(pointer.promote(args.out) + "\n")
        return 1 if found.decision == "hold" else 0
