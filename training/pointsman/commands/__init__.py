"""One module a command: ``NAME``, ``HELP``, ``EXAMPLE``, ``add_arguments`` and ``run``; heavy imports wait for ``run``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Protocol, cast

from pointsman.commands import fit, ingest, quickstart, replay, route, spec

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


COMMANDS = cast("tuple[Command, ...]", (quickstart, ingest, spec, fit, replay, route))
