"""``pointsman benchmark WHAT``: measure on data of your own what pointsman says of itself."""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from typing import TYPE_CHECKING

from pointsman.commands import (
    benchmark_accuracy,
    benchmark_latency,
    benchmark_new_candidate,
    benchmark_outcomes,
)

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

NAME = "benchmark"
HELP = "Measure on data of your own what pointsman says of itself, beside its rivals in the same run."
EXAMPLE = benchmark_outcomes.EXAMPLE

BENCHMARKS = (benchmark_latency, benchmark_accuracy, benchmark_outcomes, benchmark_new_candidate)
"""One module a benchmark, in the form of a command."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the benchmarks."""
    parts = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    for module in BENCHMARKS:
        sub = parts.add_parser(
            module.NAME,
            help=module.HELP,
            description=module.HELP,
            epilog=f"example:\n  {module.EXAMPLE}",
            formatter_class=RawDescriptionHelpFormatter,
        )
        module.add_arguments(sub)
        sub.set_defaults(measure=module.run)


def run(args: Namespace) -> int:
    """Run the one that was asked for."""
    return int(args.measure(args))
