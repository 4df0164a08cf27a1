"""``pointsman benchmark accuracy``: intents and out-of-scope prompts on any labelled set, by each kind of encoder."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from pointsman.benchmarks.accuracy import Measured

NAME = "accuracy"
HELP = (
    "Accuracy on an intent set (a table with text and intent for --train and --test, or CLINC's JSON), with intervals, "
    "out-of-scope AUROC and recall, time to fit and size of the graph, for each kind of encoder."
)
EXAMPLE = "pointsman benchmark accuracy --train banking77/train.csv --test banking77/test.csv"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--train", type=Path, required=True, help="table (.csv, .jsonl, .parquet), or CLINC's JSON")
    parser.add_argument("--test", type=Path, help="table; not with CLINC's JSON, which holds its own")
    parser.add_argument("--validation", type=Path, help="table (default: a tenth of the training part)")
    parser.add_argument(
        "--methods",
        nargs="+",
        metavar="METHOD",
        help="frozen, transformer, static, static-frozen (default: all four)",
    )
    parser.add_argument(
        "--model", metavar="PATH_OR_NAME", help="sentence-transformers model (default: packaged MiniLM)"
    )
    parser.add_argument("--shots", type=int, nargs="+", metavar="N", help="learning curve: N prompts an intent")
    parser.add_argument("--flip", type=float, default=0.0, help="share of training labels replaced by wrong ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--cache", type=Path, default=Path("~/.cache/pointsman"), help="folder of checkpoints (default %(default)s)"
    )
    parser.add_argument("--page", type=Path, help="write the table into the marked part «accuracy of SET» of this page")
    parser.add_argument("--json", type=Path, help="write every figure here")


def run(args: Namespace) -> int:
    """Measure and show."""
    from pointsman.benchmarks.accuracy import METHODS, measure
    from pointsman.benchmarks.intent_sets import read_intent_set
    from pointsman.benchmarks.pages import rewrite
    from pointsman.console import Phases
    from pointsman.encoders import TransformerEncoder
    from pointsman.errors import PointsmanError
    from pointsman.tables import markdown

    methods = tuple(args.methods or METHODS)
    for method in methods:
        if method not in METHODS:
            raise PointsmanError(f"--methods has {method!r}; allowed: {', '.join(METHODS)}")
    if not 0 <= args.flip < 1:
        raise PointsmanError(f"--flip is {args.flip}; a share from 0 to below 1 is needed")
    whole = read_intent_set(args.train, args.test, args.validation)
    given = whole.flipped(args.flip, args.seed) if args.flip else whole
    base, measured = TransformerEncoder(args.model), []
    with Phases() as phases:
        for shots in args.shots or [0]:
            part = given.few(shots, args.seed) if shots else given
            found = measure(part, base, methods, args.seed, args.cache.expanduser(), phases)
            measured += [(len(part.train.known.texts), one) for one in found]
    text = markdown(cells(measured))
    sys.stdout.write(f"{text}\n")
    if args.page:
        rewrite(args.page, f"accuracy of {whole.name}", "pointsman benchmark accuracy", text)
    if args.json:
        document = {
            "set": whole.name,
            "intents": len(whole.intents),
            "test": len(whole.test.known.texts),
            "out_of_scope": len(whole.test.strange),
            "flipped": args.flip,
            "seed": args.seed,
            "measured": [{"train": count, **asdict(one)} for count, one in measured],
        }
        args.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0


def cells(measured: list[tuple[int, Measured]]) -> list[list[str]]:
    """Return the table of methods."""
    strange = any(one.auroc is not None for _, one in measured)
    head = ["encoder", "trained on", "accuracy [95 %]", "exported graph"]
    head += ["out-of-scope AUROC [95 %]", "recall at 5 % refused"] if strange else []
    rows = [[*head, "fit, s", "graph, MB"]]
    for count, one in measured:
        row = [
            one.method,
            f"{count:,}",
            _percent(one.accuracy),
            "–" if one.graph is None else f"{100 * one.graph:.2f} %",
        ]
        if strange:
            area = "–" if one.auroc is None else "{:.3f} [{:.3f}, {:.3f}]".format(*one.auroc)
            row += [area, "–" if one.recall is None else f"{100 * one.recall:.1f} %"]
        rows.append([*row, f"{one.seconds:,.0f}", f"{one.megabytes:.1f}"])
    return rows


def _percent(share: tuple[float, float, float]) -> str:
    return "{:.2f} % [{:.2f}, {:.2f}]".format(*(100 * value for value in share))
