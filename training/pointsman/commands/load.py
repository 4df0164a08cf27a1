"""``pointsman load``: capacity questions, one command each: rate, budget, outage, kill-switch, one run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from pointsman.load.latency import LatencyModel
    from pointsman.load.scene import Scene

NAME = "load"
HELP = (
    "Replay a bundle like production: models with a finite number of places, queues, timeouts, retries, fallbacks, "
    "breakers, budgets, the kill-switch."
)
EXAMPLE = (
    "pointsman load rate --bundle exported/bundles/week --traces next_week.parquet --spec spec.yaml --picture p.png"
)

QUESTIONS = {
    "replay": "one run at one rate: P50, P95, P99, errors, cost, each model's use and queue, before and after",
    "rate": "P95, errors and cost per useful response against the request rate: where the cliff is",
    "budget": "usefulness, cost and P95 against a budget",
    "outage": "what an outage of each model does, with and without breakers and fallbacks",
    "kill": "what the kill-switch costs",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the questions and their options."""
    questions = parser.add_subparsers(dest="question", metavar="QUESTION", required=True)
    for name, words in QUESTIONS.items():
        one = questions.add_parser(name, help=words, description=f"{words[:1].upper()}{words[1:]}.")
        week = Path("quickstart")
        of_week = "(default: of `pointsman quickstart`, %(default)s)"
        one.add_argument("--bundle", type=Path, default=week / "bundle", help=f"folder of the bundle {of_week}")
        one.add_argument("--traces", type=Path, default=week / "traces.parquet", help=f"trace table {of_week}")
        one.add_argument("--spec", type=Path, default=week / "spec.yaml", help=f"routing spec {of_week}")
        one.add_argument(
            "--rate",
            type=float,
            help="requests per second (default: the spec's load.rate_per_s, its requests_per_month, or as logged)",
        )
        one.add_argument(
            "--arrivals",
            help="own (their own times, thickened to the rate), poisson (default), or a trace "
            "in Azure's (.csv) or Mooncake's (.jsonl) layout, whose lengths count too",
        )
        one.add_argument(
            "--places",
            action="append",
            default=[],
            metavar="MODEL=N",
            help="requests that a model really serves at once (default: its concurrency)",
        )
        one.add_argument(
            "--latency",
            action="append",
            default=[],
            metavar="MODEL=FILE",
            help="latency of a model from a file of the llmperf leaderboard (default: fitted on the traces)",
        )
        one.add_argument("--requests", type=int, default=20_000, help="requests of each run (default 20,000)")
        one.add_argument("--seed", type=int, default=0, help="of all that is drawn (default 0)")
        one.add_argument("--all", action="store_true", help="also requests that took part in the fit")
        one.add_argument("--json", type=Path, help="write everything that was found here")
        one.add_argument("--picture", type=Path, help="draw it here (.png, .svg)")
        if name == "rate":
            one.add_argument(
                "--rates", help="requests per second to ask, as 1,2,5,10 (default: twelve up to the cliff)"
            )
        if name == "replay":
            one.add_argument(
                "--exact", action="store_true", help="with the gateway's own guards, not their compiled mirror"
            )
        if name == "outage":
            one.add_argument("--minutes", type=float, default=10.0, help="length of the outage (default 10)")
            one.add_argument(
                "--hangs", action="store_true", help="calls hang until their timeout; else they fail at once"
            )


def run(args: Namespace) -> int:
    """Build the scene, ask, show; exit code 1 where `replay` does not keep the spec's P95 under load."""
    from pointsman.console import Phases
    from pointsman.errors import PointsmanError
    from pointsman.load.questions import budget_curve, kill_switch, one_run, outages, rate_curve
    from pointsman.load_pictures import PICTURES
    from pointsman.load_tables import load_sentence, show_load

    if args.requests < 100:
        raise PointsmanError(f"--requests is {args.requests}; at least 100 are needed")
    how: dict[str, Any] = {"n": args.requests, "seed": args.seed}
    rates = _rates(args.rates) if args.question == "rate" and args.rates else None
    with Phases() as phases:
        scene = _scene(args, phases)
        phases("load", 0, 1)
        if args.question == "replay":
            found = one_run(scene, **how, exact=args.exact)
        elif args.question == "rate":
            found = rate_curve(scene, rates, **how, say=phases)
        elif args.question == "budget":
            found = budget_curve(scene, **how, say=phases)
        elif args.question == "outage":
            found = outages(scene, args.minutes, hangs=args.hangs, seed=args.seed, say=phases)
        else:
            found = kill_switch(scene, **how)
        phases("load", 1, 1)
    show_load(args.question, found)
    if args.json:
        head = {"question": args.question, "verdict": load_sentence(args.question, found)}
        args.json.write_text(json.dumps({**head, **found}, indent=2) + "\n", encoding="utf-8")
    if args.picture:
        PICTURES[args.question](found, args.picture)
        sys.stdout.write(f"picture: {args.picture}\n")
    if args.question != "replay" or scene.limit_ms is None:
        return 0
    return 0 if found["under_load"]["after"]["p95_ms"] <= scene.limit_ms else 1


def _scene(args: Namespace, phases: Any) -> Scene:
    from pointsman.errors import BundleError
    from pointsman.loading import load_scene
    from pointsman.spec import load_spec
    from pointsman.traces import read_traces

    if not args.bundle.is_dir():
        raise BundleError(
            f"{args.bundle}: no such folder; name --bundle, --traces and --spec, or run pointsman quickstart here first"
        )
    spec = load_spec(args.spec)
    return load_scene(
        args.bundle,
        read_traces(args.traces),
        spec,
        rate=args.rate,
        arrivals=args.arrivals,
        places={model: _whole(model, value) for model, value in map(_pair, args.places)},
        latency={model: _llmperf(value) for model, value in map(_pair, args.latency)},
        every=args.all,
        progress=phases,
    )


def _pair(text: str) -> tuple[str, str]:
    from pointsman.errors import PointsmanError

    model, equals, value = text.rpartition("=")
    if not equals or not model:
        raise PointsmanError(f"{text!r} is not of the form MODEL=VALUE")
    return model, value


def _whole(model: str, value: str) -> int:
    from pointsman.errors import PointsmanError

    if not value.isdigit():
        raise PointsmanError(f"--places {model}={value}: a whole number is needed; 0 for no limit")
    return int(value)


def _llmperf(path: str) -> LatencyModel:
    from pointsman.load.latency import read_llmperf

    return read_llmperf(path)


def _rates(text: str) -> list[float]:
    from pointsman.errors import PointsmanError

    try:
        rates = sorted(float(one) for one in text.split(","))
    except ValueError:
        rates = []
    if not rates or not all(0 < rate < float("inf") for rate in rates):
        raise PointsmanError(f"--rates is {text!r}; numbers above 0 are needed, as 1,2,5,10")
    return rates
