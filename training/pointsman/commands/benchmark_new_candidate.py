"""``pointsman benchmark new-candidate``: what a candidate with few answers gains by borrowing from the others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

NAME = "new-candidate"
HELP = (
    "Each candidate of an outcome set in turn is new and has few answers: its Brier score and AUC, and what choices "
    "buy, where it borrows from the others, beside heads of its own."
)
EXAMPLE = "pointsman benchmark new-candidate --data ../shared/data/routing/reasoning_eight_models"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="folders of outcome sets")
    parser.add_argument("--rows", type=int, nargs="+", default=[20, 50, 200], help="its answers (default 20 50 200)")
    parser.add_argument(
        "--cache", type=Path, default=Path("~/.cache/pointsman"), help="folder of embeddings (default %(default)s)"
    )
    parser.add_argument("--page", type=Path, help="write the table into the marked part «new candidates» of this page")


def run(args: Namespace) -> int:
    """Measure and show."""
    from pointsman.benchmarks.new_candidate import measure_new
    from pointsman.benchmarks.outcomes import read_outcomes
    from pointsman.benchmarks.pages import rewrite
    from pointsman.console import Phases
    from pointsman.encoders import TransformerEncoder, cached_encode
    from pointsman.tables import markdown

    encoder = TransformerEncoder()
    table = [["outcomes", "answers", "method", "Brier", "behind borrowed", "AUC", "decision area", "borrowed better"]]
    with Phases() as phases:
        for folder in args.data:
            outcomes = read_outcomes(folder)
            prompts, name = list(outcomes.prompt), folder.resolve().name
            embeddings = cached_encode(
                encoder, prompts, args.cache.expanduser(), lambda done, total: phases("encode", done, total)
            )
            pieces = (encoder.token_ids(prompts), encoder.vocabulary, encoder.special_ids)

            def say(done: int, total: int, name: str = name) -> None:
                phases(name, done, total)

            found = measure_new(outcomes, embeddings, *pieces, args.rows, progress=say)
            own = {one.rows: one.brier for one in found if one.method == "borrowed"}
            table += [
                [
                    name.replace("_", " "),
                    str(one.rows),
                    one.method,
                    f"{one.brier:.4f}",
                    "–" if one.method == "borrowed" else f"{one.brier - own[one.rows]:+.4f} ± {one.error:.4f}",
                    f"{one.auc:.3f}",
                    f"{one.area:+.4f}",
                    "–" if one.method == "borrowed" else f"{one.wins} of {len(outcomes.models)}",
                ]
                for one in found
            ]
    text = markdown(table)
    sys.stdout.write(f"{text}\n")
    if args.page:
        rewrite(args.page, "new candidates", "pointsman benchmark new-candidate", text)
    return 0
