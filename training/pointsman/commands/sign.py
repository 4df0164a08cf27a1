"""``pointsman sign``: sign a bundle, so that gateways may refuse every other. Needs the slim install and ``[sign]``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

NAME = "sign"
HELP = "Sign a bundle with an ed25519 key; gateways that require the signature refuse every other bundle."
EXAMPLE = "pointsman sign --bundle exported/bundles/week --key pointsman.key"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the bundle; it gets manifest.sig")
    key = parser.add_mutually_exclusive_group(required=True)
    key.add_argument("--key", type=Path, help="the private key (PEM), as pointsman keygen writes it")
    key.add_argument("--check", type=Path, metavar="PUBLIC_KEY", help="sign nothing; say whether its owner has signed")


def run(args: Namespace) -> int:
    """Sign, or check."""
    from pointsman.bundle import load_bundle
    from pointsman.signature import read_private_key, read_public_key, sign_bundle

    if args.check is not None:
        load_bundle(args.bundle, read_public_key(args.check))
        sys.stdout.write(f"{args.bundle}: signed by the owner of {args.check}\n")
        return 0
    sys.stdout.write(f"{sign_bundle(args.bundle, read_private_key(args.key))}\n")
    return 0
