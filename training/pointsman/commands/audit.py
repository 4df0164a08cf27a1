"""``pointsman audit``: red flags in configurations, traces and bundles; exit code 1 where there is one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

NAME = "audit"
HELP = (
    "Look for red flags in a configuration (ours, a bundle's policy, LiteLLM's), in traces and in a bundle; exit code "
    "1 where there is one."
)
EXAMPLE = "pointsman audit litellm.yaml week.parquet exported/bundles/week --spec spec.yaml --json audit.json"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="PATH",
        help="configuration (.yaml, .json), trace table (.parquet, .jsonl, .csv) or folder of a bundle",
    )
    parser.add_argument("--spec", type=Path, help="routing spec: prices of models whose traces carry no cost, baseline")
    parser.add_argument(
        "--evaluation", type=Path, help="prompts on which models are judged: do they look like production's?"
    )
    parser.add_argument(
        "--bundle", type=Path, action="append", default=[], help="folder of a bundle, as among the paths"
    )
    parser.add_argument(
        "--prompts", type=Path, action="append", default=[], help="set of prompts with expected routes, for the bundle"
    )
    parser.add_argument("--group", metavar="COLUMN", help="column of the traces with groups of users, for the bundle")
    parser.add_argument(
        "--sample", type=int, default=100, help="prompts of the traces that are perturbed for the bundle (default 100)"
    )
    parser.add_argument("--alpha", type=float, default=0.05, help="false alarms of all tests of traces (default 0.05)")
    parser.add_argument("--seed", type=int, default=0, help="of permutations and bootstraps (default 0)")
    parser.add_argument("--json", type=Path, help="write everything that was found and measured here")
    parser.add_argument("--checks", action="store_true", help="print the table of all checks and stop")


def run(args: Namespace) -> int:
    """Audit and show; exit code 1 where there is a red flag."""
    from pointsman.audit.audit import together
    from pointsman.audit.catalogue import as_markdown
    from pointsman.audit_view import show_audit
    from pointsman.auditing import AuditOptions, audit_paths

    if args.checks:
        sys.stdout.write(as_markdown() + "\n")
        return 0
    options = AuditOptions(
        spec=args.spec,
        evaluation=args.evaluation,
        alpha=args.alpha,
        prompts=tuple(args.prompts),
        group=args.group,
        sample=args.sample,
        seed=args.seed,
    )
    audit = together(audit_paths([*args.paths, *args.bundle], options))
    show_audit(audit)
    if args.json:
        args.json.write_text(json.dumps(audit.to_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if audit.red_flags else 0
