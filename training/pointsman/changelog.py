"""The policy changelog: what moved between two bundles, in words and in requests, the newest entry first."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pointsman.errors import BundleError
from pointsman.tables import change_lines, comparison_cells, flow_cells, intent_cells, markdown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["changelog_entry", "changelog_of", "write_changelog"]

HEAD = "# Policy changelog\n\nWhat moved from one bundle to the next, in words and in requests; the newest first.\n"


def changelog_of(bundle: Path) -> Path:
    """Return where a bundle's changelog lies: beside its folder, so that it outlives each bundle in it."""
    return bundle.with_name(f"{bundle.name}.CHANGELOG.md")


def changelog_entry(report: Mapping[str, Any], now: datetime | None = None) -> str:
    """Return a comparison (see `pointsman.comparing`) as an entry in Markdown, dated today unless `now` is given."""
    names, bundles, moved = report["names"], report["bundles"], report["moved"]
    date = (now or datetime.now(UTC)).date().isoformat()
    parts = [f"## {date}: {names['after']} after {names['before']}", report["verdict"]]
    parts += ["### What was changed", change_lines(report) or "Nothing in the policy; the classifier may differ."]
    parts += ["### What that does", markdown(comparison_cells(report))]
    share = f"{moved['requests']:,} of {report['requests']:,} unseen requests ({100 * moved['share']:.1f} %)"
    if moved["flows"]:
        parts += [f"{share} go elsewhere:", markdown(flow_cells(report))]
    else:
        parts.append(f"{share} go elsewhere.")
    touched = [one for one in report["intents"] if one["moved"] or one["stands"] != "level"]
    if len(report["intents"]) > 1 and touched:
        told = f"With {100 * report['confidence']:g} % confidence in all {len(report['intents'])} intents at once:"
        parts += [told, markdown(intent_cells({**report, "intents": touched}))]
    if report["gone"]:
        parts.append(f"Taken to be gone: {', '.join(report['gone'])}.")
    if report["modelled"]:
        parts.append(f"Modelled, not measured: {', '.join(report['modelled'])}.")
    lines = [f"- {names[side]}: {_identity(bundles[side])}" for side in ("before", "after")]
    traces = report["traces"]
    lines.append(f"- requests: {traces['first']} to {traces['last']} UTC, fingerprint `{traces['fingerprint'][:12]}`")
    return "\n\n".join([*parts, "\n".join(lines)]) + "\n"


def write_changelog(path: Path, entry: str) -> Path:
    """Put an entry on top of a changelog, which is begun where there is none, and return its path.

    Raises
    ------
    BundleError
        Where the file cannot be read or written, or is no changelog of a policy.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        old = path.read_text(encoding="utf-8") if path.exists() else HEAD
        if not old.startswith(HEAD):
            raise BundleError(f"{path}: is there and is no policy changelog; name another file")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(f"{HEAD}\n{entry}{old.removeprefix(HEAD)}", encoding="utf-8")
        partial.replace(path)
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: the changelog cannot be written: {error}") from error
    return path


def _identity(bundle: Mapping[str, Any]) -> str:
    data = bundle["data"]
    words = [f"version `{bundle['version'][:12]}`", f"written {bundle['created'][:16].replace('T', ' ')}"]
    if bundle["run_id"]:
        words.append(f"run `{bundle['run_id']}`")
    if data["first"]:
        words.append(f"fitted on {data['requests']:,} requests from {data['first'][:16]} to {data['last'][:16]} UTC")
    return ", ".join(words)
