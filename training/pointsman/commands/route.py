"""``pointsman route``: one decision, or one for each line of standard input, as JSON. Needs the slim install only."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

NAME = "route"
HELP = "Route a prompt, or each line of standard input, with a bundle; prints one JSON object a line."
EXAMPLE = 'pointsman route --bundle exported/bundles/week "compare these two contracts"'


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the bundle")
    parser.add_argument(
        "text", nargs="?", default="-", help="the prompt; - (default) reads one a line from standard input"
    )
    parser.add_argument("--modality", default="text", help="text (default), image or audio")
    parser.add_argument(
        "--context-tokens", type=int, default=0, help="history and documents beyond the prompt (default 0)"
    )
    parser.add_argument(
        "--require-signature", type=Path, metavar="PUBLIC_KEY", help="refuse a bundle that its owner did not sign"
    )


def run(args: Namespace) -> int:
    """Route and print."""
    from pointsman.router import Router

    router = Router.load(args.bundle, require_signature=args.require_signature)
    lines = sys.stdin.buffer if args.text == "-" else [args.text]
    for line in lines:
        text = line.rstrip(b"\r\n") if isinstance(line, bytes) else line
        decision = router.route(text, modality=args.modality, context_tokens=args.context_tokens)
        sys.stdout.write(json.dumps(decision.to_dict(), ensure_ascii=False) + "\n")
        sys.stdout.flush()
    return 0
