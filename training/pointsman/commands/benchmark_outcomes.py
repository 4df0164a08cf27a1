"""``pointsman benchmark outcomes``: needed compute on any outcome set, beside simple rivals."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from pointsman.benchmarks.outcomes import Measured

NAME = "outcomes"
HELP = (
    "P(useful | candidate) on outcome sets (folders with traces.parquet and candidates.csv): AUC and Brier score per "
    "candidate, and the average performance gap recovered (APGR) over random splits, beside kNN, logistic regression "
    "and the intent's average on the same frozen embeddings."
)
EXAMPLE = "pointsman benchmark outcomes --data ../shared/data/routing/gsm8k_two_models"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="folders of outcome sets")
    parser.add_argument("--seeds", type=int, default=5, help="random splits, 60/40 (default %(default)s)")
    parser.add_argument(
        "--cache", type=Path, default=Path("~/.cache/pointsman"), help="folder of embeddings (default %(default)s)"
    )
    parser.add_argument("--page", type=Path, help="write the table into the marked part «outcomes» of this page")
    parser.add_argument("--json", type=Path, help="write every figure here")


def run(args: Namespace) -> int:
    """Measure and show."""
    from pointsman.benchmarks.outcomes import measure, read_outcomes
    from pointsman.benchmarks.pages import rewrite
    from pointsman.console import Phases
    from pointsman.encoders import TransformerEncoder, cached_encode
    from pointsman.errors import PointsmanError
    from pointsman.tables import markdown

    if args.seeds < 1:
        raise PointsmanError(f"--seeds is {args.seeds}; a whole number of at least 1 is needed")
    for folder in args.data:
        for name in ("traces.parquet", "candidates.csv"):
            if not (folder / name).is_file():
                said = "no such file; an outcome set has traces.parquet and candidates.csv"
                raise PointsmanError(f"{folder / name}: {said}")
    encoder = TransformerEncoder()
    measured = []
    with Phases() as phases:
        for folder in args.data:
            outcomes = read_outcomes(folder)
            prompts = list(outcomes.prompt)
            embeddings = cached_encode(
                encoder, prompts, args.cache.expanduser(), lambda done, total: phases("encode", done, total)
            )
            pieces = (encoder.token_ids(prompts), encoder.vocabulary, encoder.special_ids)
            name = folder.resolve().name

            def say(done: int, total: int, name: str = name) -> None:
                phases(name, done, total)

            measured.append(measure(name, outcomes, embeddings, *pieces, args.seeds, say))
    text = f"{markdown(summary(measured))}\n\n{markdown(candidates(measured))}"
    sys.stdout.write(f"{text}\n")
    if args.page:
        rewrite(args.page, "outcomes", "pointsman benchmark outcomes", text)
    if args.json:
        document = [asdict(one) for one in measured]
        args.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0


def summary(measured: list[Measured]) -> list[list[Any]]:
    """Return the table of sets and methods."""
    rows = [["outcomes", "strong / weak", "method", "APGR (spread of the seeds)", "mean AUC", "mean Brier"]]
    for one in measured:
        for at, score in enumerate(one.scores):
            low, high = min(score.apgr), max(score.apgr)
            first = [one.name.replace("_", " "), f"{one.strong} / {one.weak}"] if at == 0 else ["", ""]
            area = f"{score.mean_apgr:.3f} ({low:.3f} to {high:.3f})"
            rows.append([*first, score.method, area, f"{score.mean_auc:.3f}", f"{score.mean_brier:.4f}"])
    return rows


def candidates(measured: list[Measured]) -> list[list[Any]]:
    """Return the table of candidates, by pointsman's own heads."""
    rows = [["outcomes", "candidate", "AUC [95 %]", "Brier [95 %]", "Brier of the intent's average"]]
    for one in measured:
        own, average = one.scores[0], one.scores[1]
        for at, (model, brier) in enumerate(own.brier.items()):
            auc = own.auc.get(model)
            cells = ["–" if auc is None else f"{auc[0]:.3f} [{auc[1]:.3f}, {auc[2]:.3f}]"]
            cells.append(f"{brier[0]:.4f} [{brier[1]:.4f}, {brier[2]:.4f}]")
            name = one.name.replace("_", " ") if at == 0 else ""
            rows.append([name, model, *cells, f"{average.brier[model][0]:.4f}"])
    return rows
