"""``pointsman export``: a bundle's policy as another gateway's configuration. Needs the slim install only."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from pointsman.gateways.render import Rendered
    from pointsman.policy import Policy

NAME = "export"
HELP = "Write a bundle's policy as another gateway's configuration; tells what that gateway cannot express."
EXAMPLE = "pointsman export --to portkey --bundle exported/bundles/week --out portkey.json"

TARGETS = ("litellm", "vllm-sr", "portkey", "envoy-ai-gateway")


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--to", choices=TARGETS, required=True, help="the gateway")
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the bundle")
    parser.add_argument("--out", type=Path, help="file to write (default: standard output)")


def run(args: Namespace) -> int:
    """Render, write, and tell what is missing on standard error."""
    from pointsman.bundle import load_bundle
    from pointsman.errors import PointsmanError

    rendered = _render(args.to, load_bundle(args.bundle).policy, args.bundle)
    if args.out is None:
        sys.stdout.write(rendered.text)
    else:
        try:
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(rendered.text, encoding="utf-8")
        except OSError as error:
            raise PointsmanError(f"{args.out}: cannot be written: {error.strerror}") from error
        sys.stderr.write(f"wrote {args.out}\n")
    if rendered.missing:
        sys.stderr.write(f"{args.to} cannot express {len(rendered.missing)} things that the policy says:\n")
        sys.stderr.writelines(f"- {line}\n" for line in rendered.missing)
    return 0


def _render(target: str, policy: Policy, bundle: Path) -> Rendered:
    if target == "litellm":
        from pointsman.gateways.render_litellm import render_litellm

        return render_litellm(policy, bundle=str(bundle))
    if target == "vllm-sr":
        from pointsman.gateways.render_vllm_sr import render_vllm_sr

        return render_vllm_sr(policy)
    if target == "portkey":
        from pointsman.gateways.render_portkey import render_portkey

        return render_portkey(policy)
    from pointsman.gateways.render_envoy_ai_gateway import render_envoy_ai_gateway

    return render_envoy_ai_gateway(policy)
