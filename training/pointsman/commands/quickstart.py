"""``pointsman quickstart``: the main job on the embedded sample week."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

NAME = "quickstart"
HELP = "Run the main job on the embedded, simulated sample week: fit, before/after, a picture, a few routed prompts."
EXAMPLE = "pointsman quickstart --out quickstart"

PROMPTS = (
    ("opening hours of the museum on sunday?", "text"),
    ("Write a sonnet about a lighthouse keeper who is afraid of the dark", "text"),
    ("my order never arrived and nobody answers, I want my money back!!", "text"),
    (
        "Weigh these three rollout plans against each other: cost, risk and staffing over two years, and recommend one",
        "text",
    ),
    ("what is written on the sign in this photo", "image"),
)


SIMULATED = "The sample week is simulated by pointsman itself: no company's traffic."


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--out", type=Path, default=Path("quickstart"), help="folder for everything (default %(default)s)"
    )
    parser.add_argument("--requests", type=int, default=6000, help="requests of the week (default 6000)")
    parser.add_argument("--trials", type=int, default=200, help="Optuna trials (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the week and the fit (default 0)")


def run(args: Namespace) -> int:
    """Generate, fit, show."""
    from pointsman.bundle import load_bundle
    from pointsman.console import Phases, show_report
    from pointsman.encoders import TransformerEncoder
    from pointsman.fit import FitOptions
    from pointsman.pictures import cost_and_usefulness
    from pointsman.reporting.make import bundle_page
    from pointsman.reporting.page import write_page
    from pointsman.router import Router
    from pointsman.sample_week import sample_week
    from pointsman.spec import parse_spec
    from pointsman.traces import validate_traces
    from pointsman.tracked import tracked_fit
    from pointsman.tracking import Tracker

    out = args.out
    out.mkdir(parents=True, exist_ok=True)
    with Phases() as phases:
        phases("generate", 0, 1)
        week = sample_week(args.seed, args.requests)
        traces = validate_traces(week.traces, source="sample week")
        spec = parse_spec(week.spec, source="sample week")
        traces.write(out / "traces.parquet")
        (out / "spec.yaml").write_text(spec.to_yaml(), encoding="utf-8")
        phases("generate", 1, 1)
        options = FitOptions(args.trials, args.seed, cache=out / "cache")
        tracker = Tracker(f"sqlite:///{(out / 'mlflow.db').resolve()}", "quickstart")
        fixed = (traces, spec, out / "bundle", TransformerEncoder(), options, tracker, phases, "sample-week")
        result = tracked_fit(*fixed, source=out / "traces.parquet")
    picture = cost_and_usefulness(result.report, out / "cost_and_usefulness.png")
    (out / "report.json").write_text(json.dumps(result.report, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(f"\n{SIMULATED} The README shows real outcomes beside it.\n")
    show_report(result.report)
    sys.stdout.write("\nFive prompts, routed by the bundle:\n")
    router = Router.load(result.bundle)
    for text, modality in PROMPTS:
        decision = router.route(text, modality=modality)
        sys.stdout.write(
            f"  {text!r}{'' if modality == 'text' else f' + {modality}'}\n    → {decision.model}: {decision.reason}\n"
        )
    text = bundle_page(load_bundle(result.bundle), result.report, notes=[SIMULATED])
    page = write_page(text, out / "report.html")
    sys.stdout.write(f"\npicture: {picture}\nfigures: {out / 'report.json'}\nbundle:  {out / 'bundle'}\n")
    sys.stdout.write(f"report, to read first: {page}\n")
    mlflow = Path(sys.executable).with_name("mlflow")
    sys.stdout.write(f"compare experiments: {mlflow} ui --backend-store-uri sqlite:///{out / 'mlflow.db'}\n")
    return 0 if result.holds else 1
