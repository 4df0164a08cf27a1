"""One module a command: ``NAME``, ``HELP``, ``EXAMPLE``, ``add_arguments``, ``run``; heavy imports wait for ``run``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from pointsman.commands import (
    audit,
    benchmark,
    compare,
    discover,
    explain,
    export,
    fit,
    ingest,
    intents,
    keygen,
    load,
    policy,
    promote,
    quickstart,
    replay,
    report,
    rerun,
    retrain,
    route,
    runs,
    serve,
    sign,
    spec,
    tune_worker,
)

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

__all__ = ["COMMANDS", "Command"]


class Command(Protocol):
    """What a command module offers."""

    NAME: str
    HELP: str
    EXAMPLE: str

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare its options."""

    def run(self, args: Namespace) -> int:
        """Do it; return the exit code."""


COMMANDS = cast(
    "tuple[Command, ...]",
    (
        quickstart,
        ingest,
        spec,
        fit,
        runs,
        rerun,
        replay,
        load,
        report,
        compare,
        retrain,
        promote,
        discover,
        audit,
        route,
        explain,
        intents,
        benchmark,
        policy,
        tune_worker,
        serve,
        export,
        keygen,
        sign,
    ),
)
