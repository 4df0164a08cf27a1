"""``pointsman keygen``: make a pair of keys for signing bundles. Needs the slim install and ``[sign]``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

NAME = "keygen"
HELP = "Make a pair of ed25519 keys for signing bundles; existing files are never overwritten."
EXAMPLE = "pointsman keygen --out pointsman.key"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("pointsman.key"),
        help="file of the private key, which stays with whoever signs; the public one is OUT.pub",
    )


def run(args: Namespace) -> int:
    """Make the keys and say where they are."""
    from pointsman.signature import write_keys

    private, public = write_keys(args.out)
    sys.stdout.write(f"{private}: the private key; keep it to yourself\n")
    sys.stdout.write(f"{public}: the public key; gateways require its signature\n")
    return 0
