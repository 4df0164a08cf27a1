"""A finding of the data report: one sentence about the data, and what a person should do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["SEVERITIES", "Finding", "Report", "named", "share_text"]

SEVERITIES = ("high", "medium", "low")

Report = Mapping[str, Any]
"""What `pointsman.profile.DataProfile.report` returns."""


@dataclass(frozen=True)
class Finding:
    """One sentence, and what to do about it.

    Attributes
    ----------
    severity : str
        ``high`` (in the way of the result), ``medium`` (makes it worse or wider), ``low`` (good to know).
    code : str
        Stays the same from release to release.
    text, action : str
        Plain text; names of models and intents stand in it as they are.
    weight : float
        Orders findings of one severity; a share, mostly.
    """

    severity: str
    code: str
    text: str
    action: str
    weight: float = 0.0


def share_text(share: float | None) -> str:
    """Return a share as a percentage that is 0 or 100 only where it is so."""
    if share is None:
        return "–"
    percent = 100 * share
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    if percent in {0, 100}:
        return f"{percent:.0f} %"
    return f"{percent:.1f} %" if percent < 10 or percent > 99 else f"{percent:.0f} %"


def named(names: Sequence[str], most: int = 3) -> str:
    """Return the first names in a row, shortened, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(name if len(name) <= 60 else f"{name[:60]}…" for name in names[:most]) + more
