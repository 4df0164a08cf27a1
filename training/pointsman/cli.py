"""The command line: ``pointsman COMMAND``; exit code 0, 1 (it does not hold) or 2 (bad usage or input, in one line)."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from typing import TYPE_CHECKING

from pointsman.commands import COMMANDS
from pointsman.errors import MissingExtraError, PointsmanError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    # Worker threads that wait without spinning: on shared cores spinning ones take the time of those that work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    parser = argparse.ArgumentParser(
        prog="pointsman",
        description="Learn from labelled production traces which model each LLM request needs; prove it; ship it.",
        epilog="Start with: pointsman quickstart. Each command has its own --help with an example.",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        sub = commands.add_parser(
            command.NAME,
            help=command.HELP,
            description=command.HELP,
            epilog=f"example:\n  {command.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    args = parser.parse_args(argv)
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    try:
        return int(args.run(args))
    except PointsmanError as error:
        return _fail(error, args.debug)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in {"", "pointsman"}:
            raise
        return _fail(MissingExtraError(missing, "train"), args.debug)
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        sys.stderr.write("pointsman: interrupted\n")
        return 130


def _fail(error: PointsmanError, debug: bool) -> int:
    if debug:
        raise error
    sys.stderr.write(f"pointsman: {' '.join(str(error).split())}\n")
    return error.exit_code


def _show_warning(message: Warning | str, category: type[Warning], *place: object) -> None:
    """Print pointsman's own warnings in one line; leave out those of libraries."""
    del place
    if category.__module__.startswith("pointsman"):
        sys.stderr.write(f"pointsman: warning: {message}\n")


if __name__ == "__main__":
    sys.exit(main())
