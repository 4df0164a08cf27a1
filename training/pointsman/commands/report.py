"""``pointsman report``: what a bundle changes, at what risk, and what to do next, as one HTML page."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman.errors import PointsmanError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

NAME = "report"
HELP = (
    "Write what a bundle changes, at what risk and what to do next as one HTML page, for a phone, a screen or paper. "
    "Exit code 1: the verdict is anything but that it holds."
)
EXAMPLE = (
    "pointsman report --bundle exported/bundles/week --traces next_week.parquet --spec spec.yaml --out report.html"
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the bundle")
    parser.add_argument(
        "--traces", type=Path, help="trace table to replay it on; requests used to fit the bundle are left out"
    )
    parser.add_argument("--spec", type=Path, help="routing spec, needed with --traces")
    parser.add_argument("--replay", type=Path, help="instead of traces: what pointsman replay or fit wrote with --json")
    parser.add_argument(
        "--audit",
        type=Path,
        help="red flags: what pointsman audit wrote with --json (default: with --traces, spec and traces are audited)",
    )
    parser.add_argument("--no-audit", action="store_true", help="do not look for red flags")
    parser.add_argument("--load", type=Path, help="under load: what pointsman load rate wrote with --json")
    parser.add_argument(
        "--under-load", action="store_true", help="replay the traces under load, too, from little to beyond the cliff"
    )
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="the page (default %(default)s)")
    parser.add_argument("--examples", action="store_true", help="show a few prompts of the traces (with --traces)")
    parser.add_argument("--no-overhead", action="store_true", help="do not measure how long the bundle takes to decide")
    parser.add_argument("--run-id", help="put page and figures into this MLflow run; the fit's own: fit")
    parser.add_argument("--tracking-uri", help="MLflow store (default: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default 0)")


def run(args: Namespace) -> int:
    """Write the page and print its first line; exit code 1 unless it holds."""
    from pointsman.audit.audit import together
    from pointsman.auditing import AuditOptions, audit_paths
    from pointsman.bundle import load_bundle
    from pointsman.load.questions import rate_curve
    from pointsman.loading import load_scene
    from pointsman.reporting.make import bundle_page
    from pointsman.reporting.page import write_page
    from pointsman.reporting.state import state_of
    from pointsman.reporting.words import headline
    from pointsman.spec import load_spec
    from pointsman.traces import read_traces

    if (args.traces is None) == (args.replay is None):
        raise PointsmanError("give either --traces with --spec, or --replay")
    if args.traces is not None and args.spec is None:
        raise PointsmanError("--traces needs --spec: prices, baseline, constraints")
    if args.under_load and (args.traces is None or args.load is not None):
        raise PointsmanError("--under-load needs --traces, and no --load beside it")
    if args.examples and args.traces is None:
        raise PointsmanError("--examples needs --traces: a replay holds no prompt")
    bundle = load_bundle(args.bundle)
    report, prompts, examples = _replayed(args) if args.traces is not None else (_read(args.replay), None, [])
    parts: dict[str, Any] = {
        name: None if (path := getattr(args, name)) is None else _read(path) for name in ("audit", "load")
    }
    if args.traces is not None and args.audit is None and not args.no_audit:
        parts["audit"] = together(audit_paths([args.spec, args.traces], AuditOptions(args.spec))).to_dict()
    if args.under_load:
        parts["load"] = rate_curve(load_scene(args.bundle, read_traces(args.traces), load_spec(args.spec)))
    text = bundle_page(bundle, report, prompts, examples=examples, overhead=not args.no_overhead, **parts)
    path = write_page(text, args.out)
    sys.stdout.write(f"{headline(report)}\nreport: {path}\n")
    if args.run_id:
        from pointsman.tracking.reports import log_report

        run_id = bundle.manifest["provenance"].get("run_id") if args.run_id == "fit" else args.run_id
        if not run_id:
            raise PointsmanError("--run-id fit: the bundle knows no run; name one")
        log_report(args.tracking_uri, run_id, path, report)
        sys.stdout.write(f"logged to run {run_id}\n")
    return 0 if state_of(report) == "holds" else 1


def _replayed(args: Namespace) -> tuple[dict[str, Any], list[str], list[dict[str, Any]]]:
    """Replay the traces; return the report, the prompts to time the bundle with, and examples where asked for."""
    from pointsman.console import Phases
    from pointsman.replaying import replay_examples
    from pointsman.spec import load_spec
    from pointsman.traces import read_traces

    spec, traces = load_spec(args.spec), read_traces(args.traces)
    with Phases() as phases:
        report, prompts, examples = replay_examples(args.bundle, traces, spec, args.seed, phases)
    return report, prompts, examples if args.examples else []


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PointsmanError(f"{path}: cannot be read: {error}") from error
    except ValueError as error:
        raise PointsmanError(f"{path}: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise PointsmanError(f"{path}: a JSON object is needed, got {type(document).__name__}")
    return document
