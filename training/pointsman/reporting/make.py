"""A bundle's report page: the replay, the bundle's identity, and its own overhead measured."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pointsman.manifest import CONFORMANCE
from pointsman.reporting.overhead import routing_overhead
from pointsman.reporting.page import report_page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pointsman.bundle import Bundle

__all__ = ["bundle_page"]


def bundle_page(
    bundle: Bundle,
    report: Mapping[str, Any],
    prompts: Sequence[str] | None = None,
    *,
    overhead: bool = True,
    audit: Mapping[str, Any] | None = None,
    load: Mapping[str, Any] | None = None,
    examples: Sequence[Mapping[str, Any]] = (),
    notes: Sequence[str] = (),
) -> str:
    """Return the page of a bundle (see `pointsman.reporting.page.report_page`).

    Parameters
    ----------
    bundle : Bundle
    report : mapping
        Its replay.
    prompts : sequence of str, optional
        To time it with; its conformance prompts where there are none.
    overhead : bool
        Measure how long it takes to decide.
    audit, load, examples, notes
        As of the page.
    """
    measured = None
    if overhead:
        vectors = bundle.read(CONFORMANCE).decode().splitlines()
        own = [str(json.loads(line)["prompt"]) for line in vectors] if not prompts else list(prompts)
        measured = routing_overhead(bundle.path, own) if own else None
    parts: dict[str, Any] = {"audit": audit, "load": load, "examples": examples, "notes": notes}
    return report_page(report, bundle.manifest, overhead=measured, **parts)
