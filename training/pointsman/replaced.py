"""What a fit replaces: the older bundle, kept in memory, compared with the new one, and the changelog's next entry."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from pointsman.changelog import changelog_entry, write_changelog
from pointsman.comparing import compare_bundles
from pointsman.errors import BundleError, PointsmanError
from pointsman.manifest import MANIFEST
from pointsman.router import Router

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.spec import RoutingSpec
    from pointsman.traces import TraceTable

__all__ = ["NotComparedWarning", "note_changes", "previous_bundle"]


class NotComparedWarning(UserWarning):
    """An older bundle is there, and cannot be compared with the new one."""


def previous_bundle(named: Path | None, out: Path) -> Router | None:
    """Load the bundle that a fit is compared with: the one named, else the one it replaces; None where there is none.

    It is loaded before the fit, which writes a new bundle in its place. One that was not named and does not load is
    warned of: the fit goes on without it.

    Raises
    ------
    BundleError
        Where the one named does not load.
    """
    if named is not None:
        return Router.load(named, threads=0)
    if not (out / MANIFEST).exists():
        return None
    try:
        return Router.load(out, threads=0)
    except BundleError as error:
        warnings.warn(f"no changelog: the bundle that is replaced does not load: {error}", NotComparedWarning, 2)
        return None


def note_changes(
    previous: Router, bundle: Path, traces: TraceTable, spec: RoutingSpec, changelog: Path, seed: int = 0
) -> dict[str, Any] | None:
    """Compare the new bundle with the previous one on what neither has seen, write the changelog, return the report.

    Candidates of the previous bundle that the spec no longer names, or the traces no longer have, count as gone. Where
    nothing can be compared, that is warned of and nothing is written.
    """
    there = set(map(str, traces.rows["model"].unique()))
    gone = [name for name in previous.policy.models if name not in spec.candidates or name not in there]
    path = previous.bundle.path
    old = "the bundle before" if path == bundle.resolve() else path.name
    try:
        names = (old, bundle.name)
        report = compare_bundles(previous, bundle, traces, spec, seed, gone=gone, names=names)
        write_changelog(changelog, changelog_entry(report))
    except PointsmanError as error:
        warnings.warn(f"no changelog: {error}", NotComparedWarning, 2)
        return None
    return report
