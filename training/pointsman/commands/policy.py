"""``pointsman policy``: show a bundle's thresholds, and overrule them by hand. Needs the slim install only."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

NAME = "policy"
HELP = "Show a bundle's thresholds and what each moved; overrule them by hand, written down with who and when."
EXAMPLE = (
    "pointsman policy --bundle exported/bundles/week --set rule.useful_value_usd=0.01 --why 'budget cut'\n"
    "  pointsman policy --bundle exported/bundles/week --from edited_policy.json"
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the bundle")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="a path in policy.json and its new value, JSON or a plain name; may be given again; null removes a pin",
    )
    parser.add_argument("--from", dest="edited", type=Path, metavar="FILE", help="an edited copy of policy.json")
    parser.add_argument("--who", help="who overrules (default: the user's name)")
    parser.add_argument("--why", default="", help="kept with the change")
    parser.add_argument("--json", type=Path, help="write the thresholds, or what was changed, here")


def run(args: Namespace) -> int:
    """Show, or change and say what was changed."""
    from pointsman.bundle import load_bundle
    from pointsman.overruling import changed_policy, overrule

    policy = load_bundle(args.bundle).policy
    if not args.set and args.edited is None:
        entries = policy.evidence.get("thresholds", [])
        rule = json.dumps(policy.rule.to_dict(), indent=2, ensure_ascii=False)
        sys.stdout.write("\n".join(map(_line, entries)) + "\n" if entries else f"{rule}\n")
        _write(args.json, entries)
        return 0
    document = policy.to_dict() if args.edited is None else _read(args.edited)
    document = changed_policy(document, dict(map(_change, args.set)))
    changed = overrule(args.bundle, document, args.who or _user(), args.why)
    for entry in changed:
        old, new = (json.dumps(entry[key], ensure_ascii=False) for key in ("from", "to"))
        sys.stdout.write(f"{entry['path']}: {old} -> {new}\n")
    sys.stdout.write("no certificate holds for the changed policy: replay it, or fit again\n")
    _write(args.json, changed)
    return 0


def _line(entry: dict[str, Any]) -> str:
    value = entry["value"] if isinstance(entry["value"], str) else f"{entry['value']:.4g}"
    return (
        f"{entry['where']} = {value} ({entry['unit']}): moved {entry['moved']:,} of {entry['of']:,}. "
        f"{entry['overrule']}"
    )


def _change(text: str) -> tuple[str, Any]:
    from pointsman.errors import BundleError

    path, equals, value = text.partition("=")
    if not equals or not path:
        raise BundleError(f"policy: --set {text!r} has no value; allowed: PATH=VALUE, as in rule.trust=0.5")
    try:
        return path, json.loads(value)
    except ValueError:
        return path, value


def _read(path: Path) -> Any:
    from pointsman.errors import BundleError

    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path}: not a policy: {error}") from error
    if not isinstance(document, dict):
        raise BundleError(f"{path}: a JSON object is needed, got {type(document).__name__}")
    return document


def _write(path: Path | None, value: Any) -> None:
    if path is not None:
        path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
