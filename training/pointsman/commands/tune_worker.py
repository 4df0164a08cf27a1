"""``pointsman tune-worker``: join a running search from another process or machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.commands.fit import positive

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

NAME = "tune-worker"
HELP = "Join a running search: run trials of a study that `pointsman fit --storage` keeps in a shared storage."
EXAMPLE = (
    "pointsman tune-worker --storage postgresql+psycopg://tuner@db.example/studies "
    "--problem exported/bundles/week.problem.npz"
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--storage", required=True, help="as given to fit: journal:PATH, sqlite:///PATH or postgresql+psycopg://…"
    )
    parser.add_argument("--problem", type=Path, required=True, help="the file that fit wrote for its workers")
    parser.add_argument(
        "--trials", type=positive, help="stop at this many finished trials of the study (default: as many as fit wants)"
    )


def run(args: Namespace) -> int:
    """Run trials until the study has enough; exit code 0."""
    from pointsman.console import Phases
    from pointsman.problem import load_problem
    from pointsman.search import join

    problem = load_problem(args.problem)
    mine = 0
    with Phases() as phases:

        def progress(done: int, total: int) -> None:
            nonlocal mine
            mine += 1
            phases("tune", done, total)

        trials = join(
            problem.beliefs,
            problem.objective(),
            problem.models,
            args.trials or problem.n_trials,
            args.storage,
            problem.study_name,
            progress,
            sampler=problem.sampler,
        )
    sys.stdout.write(f"study {problem.study_name}: {len(trials):,} finished trials, {mine:,} of them by this worker\n")
    return 0
