"""``pointsman benchmark latency``: how fast a bundle routes, beside its peers in the same run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

NAME = "latency"
HELP = (
    "Time Router.route end to end (text in, decision out, guards included), loading, memory and batches of a bundle, "
    "beside LiteLLM's complexity router, semantic-router, SetFit, sentence-transformers and adaptive-classifier, each "
    "in an interpreter of its own, taking turns."
)
EXAMPLE = "pointsman benchmark latency --bundle exported/bundles/week --peer-python litellm=/opt/litellm/bin/python"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the bundle")
    parser.add_argument(
        "--peer-python",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="interpreter that has the peer of that name installed (default: this one); may be given again",
    )
    parser.add_argument("--peers", nargs="*", metavar="NAME", help="which peers (default: all)")
    parser.add_argument("--rounds", type=int, default=9, help="turns that each takes (default %(default)s)")
    parser.add_argument("--calls", type=int, default=40, help="prompts of each length in a turn (default %(default)s)")
    parser.add_argument("--page", type=Path, help="write the table into the marked part «latency» of this page")
    parser.add_argument("--json", type=Path, help="write every figure here")


def run(args: Namespace) -> int:
    """Measure and show."""
    from pointsman.benchmarks.latency import INSTALL, LENGTHS, cells, document, measure, prompts_of
    from pointsman.benchmarks.pages import rewrite
    from pointsman.bundle import load_bundle
    from pointsman.console import Phases
    from pointsman.errors import PointsmanError
    from pointsman.sample_week import sample_week
    from pointsman.tables import markdown

    for name, value in {"--rounds": args.rounds, "--calls": args.calls}.items():
        if value < 1:
            raise PointsmanError(f"{name} is {value}; a whole number of at least 1 is needed")
    given = dict(one.partition("=")[::2] for one in args.peer_python)
    wanted = list(INSTALL) if args.peers is None else args.peers
    for name in (*given, *wanted):
        if name not in INSTALL:
            raise PointsmanError(f"peer {name!r} is unknown; allowed: {', '.join(INSTALL)}")
    for python in given.values():
        if not Path(python).is_file():
            raise PointsmanError(f"--peer-python {python}: no such interpreter")
    bundle = load_bundle(args.bundle)
    texts = sorted(sample_week(requests=600).traces["prompt"].dropna().unique())
    tokenizer = bundle.read("tokenizer.json").decode()
    prompts = {tokens: prompts_of(texts, tokenizer, tokens, args.calls) for tokens in LENGTHS}
    with Phases() as phases:
        speeds = measure(
            bundle.path,
            prompts,
            {name: given.get(name, sys.executable) for name in wanted},
            args.rounds,
            lambda done, total: phases("take turns", done, total),
        )
    found = document(speeds, sum(one.stat().st_size for one in bundle.path.iterdir()))
    of, load = found["machine"], found["machine"]["load_average"]
    said = (
        f"P50 / P99 of one call in µs of wall time, and median CPU time; {args.rounds} rounds of {args.calls} "
        f"prompts of each length, one thread. Batches: 1,024 prompts of {LENGTHS[0]} tokens, prompts a second of CPU "
        f"time, no model's places limited. Bundle {found['bundle_bytes'] / 1e6:.1f} MB. {of['processor']}, "
        f"{of['cores']} cores, Python {of['python']}"
        + ("" if load is None else f", load average {load:.1f}")
        + ". A call of pointsman includes its report; transformers stop at 256 tokens."
    )
    text = f"{markdown(cells(speeds))}\n\n{said}"
    sys.stdout.write(f"{text}\n")
    if args.page:
        rewrite(args.page, "latency", "pointsman benchmark latency", text)
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0
