"""``pointsman fit``: train, tune, certify and export a bundle; one MLflow run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from pointsman.encoders import TransformerEncoder
    from pointsman.fit import FitResult

NAME = "fit"
HELP = (
    "Train on labelled traces (replayed, or only logged), search thresholds, certify, export a bundle. "
    "Exit code 1: nothing could be certified, or the certify slice refutes it."
)
EXAMPLE = "pointsman fit --traces week.parquet --spec spec.yaml --out exported/bundles/week"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--traces", type=Path, required=True, help="trace table (.parquet, .jsonl, .csv)")
    parser.add_argument("--spec", type=Path, required=True, help="routing spec (YAML)")
    parser.add_argument(
        "--out", type=Path, default=Path("exported/bundles/latest"), help="folder of the bundle (default %(default)s)"
    )
    parser.add_argument("--trials", type=positive, default=200, help="Optuna trials (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="same traces, spec and seed: same bundle (default 0)")
    add_encoder_arguments(parser)
    parser.add_argument(
        "--sampler",
        choices=("auto", "tpe", "gp", "nsga2"),
        default="auto",
        help="tpe (auto): all rules; gp: value rules, for few trials; nsga2: the whole front (default %(default)s)",
    )
    parser.add_argument(
        "--front", type=Path, help="draw cost, usefulness and P95 of all rules that no other beats here (.png, .svg)"
    )
    parser.add_argument(
        "--pick",
        type=positive,
        metavar="N",
        help="export point N of the front that the same traces, spec, seed, trials and sampler gave before",
    )
    parser.add_argument(
        "--storage",
        help="keep the study: journal:PATH, sqlite:///PATH or postgresql+psycopg://…; a fit cut off resumes, and "
        "tune-worker joins in (default: in memory)",
    )
    parser.add_argument(
        "--cache", type=Path, default=Path("~/.cache/pointsman"), help="folder of embeddings (default %(default)s)"
    )
    parser.add_argument("--tracking-uri", help="MLflow store (default: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db)")
    parser.add_argument("--experiment", default="pointsman", help="MLflow experiment (default %(default)s)")
    parser.add_argument(
        "--register",
        nargs="?",
        const="pointsman",
        metavar="NAME",
        help="make the bundle a version of this registered model (default name %(const)s): its champion where it holds "
        "and there is none yet, else its challenger",
    )
    parser.add_argument("--no-tracking", action="store_true", help="do not log to MLflow")
    parser.add_argument("--json", type=Path, help="write the certify slice's report here")
    parser.add_argument("--report", type=Path, help="write the report page here (.html)")
    parser.add_argument(
        "--previous", type=Path, help="bundle that the changelog compares with (default: the one that stood at --out)"
    )


def add_encoder_arguments(parser: ArgumentParser) -> None:
    """Declare what says which encoder reads the prompts."""
    parser.add_argument(
        "--encoder",
        default="static",
        help="static (default: look-ups distilled from the model, microseconds a prompt), transformer (the model "
        "itself, milliseconds), or the path or hub name of a sentence-transformers model, used as a transformer",
    )
    parser.add_argument(
        "--model",
        metavar="PATH_OR_NAME",
        help="sentence-transformers model to use or distil (default: the packaged all-MiniLM-L6-v2)",
    )
    parser.add_argument(
        "--fine-tune",
        choices=("auto", "never", "always"),
        default="auto",
        help="teach the model your labels first; auto: from 20,000 requests to learn from on (default %(default)s)",
    )


def encoder_of(args: Namespace) -> tuple[str, TransformerEncoder]:
    """Return the kind of encoder that the options ask for, and the model that it is made of."""
    from pointsman.encoders import TransformerEncoder
    from pointsman.encoding import KINDS

    if args.encoder in KINDS:
        return args.encoder, TransformerEncoder(args.model)
    return "transformer", TransformerEncoder(args.encoder)


def positive(text: str) -> int:
    """Parse a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def run(args: Namespace) -> int:
    """Fit and show what came of it; exit code 1 where no policy is certified, or the certify slice refutes it."""
    from pointsman.bundle import load_bundle
    from pointsman.changelog import changelog_of
    from pointsman.console import Phases, show_report
    from pointsman.errors import PointsmanError
    from pointsman.fit import FitOptions
    from pointsman.replaced import note_changes, previous_bundle
    from pointsman.reporting.make import bundle_page
    from pointsman.reporting.page import write_page
    from pointsman.spec import load_spec
    from pointsman.traces import read_traces
    from pointsman.tracked import tracked_fit
    from pointsman.tracking import Registry, Tracker

    spec = load_spec(args.spec)
    spec.warn()
    traces = read_traces(args.traces)
    if len(traces.quarantine):
        aside = traces.write_quarantine(args.out.parent / f"{args.out.name}.quarantine.jsonl")
        sys.stderr.write(
            f"pointsman: warning: {len(traces.quarantine):,} of {traces.rows_in:,} rows put aside in {aside}\n"
        )
        for reason, count in traces.reasons.items():
            sys.stderr.write(f"  {count:,} × {reason}\n")
    previous = previous_bundle(args.previous, args.out)
    kind, encoder = encoder_of(args)
    options = FitOptions(
        trials=args.trials,
        seed=args.seed,
        sampler=args.sampler,
        storage=args.storage,
        problem=None if args.storage is None else args.out.parent / f"{args.out.name}.problem.npz",
        pick=args.pick,
        cache=args.cache.expanduser(),
        kind=kind,
        fine_tune=args.fine_tune,
    )
    if args.register and args.no_tracking:
        raise PointsmanError("--register keeps the bundle in MLflow's registry: it does not go with --no-tracking")
    tracker = None if args.no_tracking else Tracker(args.tracking_uri, args.experiment)
    with Phases() as phases:
        result = tracked_fit(traces, spec, args.out, encoder, options, tracker, phases, source=args.traces)
    show_report(result.report)
    if args.front or args.pick or args.sampler == "nsga2":
        _show_front(result, args.front)
    if options.problem is not None:
        sys.stdout.write(f"tuning problem, for pointsman tune-worker: {options.problem}\n")
    sys.stdout.write(f"bundle: {result.bundle}\n")
    if previous is not None:
        changed = note_changes(previous, result.bundle, traces, spec, changelog_of(args.out), args.seed)
        if changed is not None:
            sys.stdout.write(f"{changed['verdict']}\nchangelog: {changelog_of(args.out)}\n")
    if args.report:
        page = write_page(bundle_page(load_bundle(result.bundle), result.report), args.report)
        sys.stdout.write(f"report: {page}\n")
    if tracker is not None:
        run_id = load_bundle(result.bundle).manifest["provenance"]["run_id"]
        sys.stdout.write(f"run: {run_id[:8]} in {tracker.store.shown}; pointsman runs compares\n")
        if args.register:
            version = Registry(tracker.store, args.register).take(run_id, holds=result.holds)
            sys.stdout.write(f"registered: {version.uri}, {', '.join(version.aliases)}\n")
    if args.json:
        args.json.write_text(json.dumps(result.report, indent=2) + "\n", encoding="utf-8")
    return 0 if result.holds else 1


def _show_front(result: FitResult, picture: Path | None) -> None:
    """Print points along the front by their numbers, the exported rule's strong, and draw all of them."""
    from pointsman.console import show_table

    front = result.front
    own = next((one for one in result.search.tried if one.rule == result.policy.rule), None)
    chosen = front.points[0] if own is None else front.nearest(own)
    few = sorted({point.number: point for point in (*front.spread(20), chosen)}.items())
    rows = [
        (f"{number:,}", f"{point.cost_usd:.3g}", f"{point.useful_rate:.1%}", f"{point.p95_ms:,.0f}")
        for number, point in few
    ]
    sys.stdout.write(f"front: {len(front.points):,} rules that no other beats on the requests tuned on\n")
    head = ("--pick", "USD a request", "useful", "P95 ms")
    show_table([head, *rows], strong=[1 + [number for number, _ in few].index(chosen.number)])
    if picture is not None:
        from pointsman.pictures import front_picture

        sys.stdout.write(f"front: {front_picture(front, chosen, picture)}\n")
