"""The outcome of an audit: its findings, what was checked, what could not be, and the verdict in one line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pointsman.audit.finding import SEVERITIES, Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Audit", "Skipped", "together"]


@dataclass(frozen=True)
class Skipped:
    """A check that could not be made, and why."""

    check: str
    why: str


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes
    ----------
    sources : tuple of str
        What was looked at, as the user named it.
    findings : tuple of Finding
        The gravest first.
    checked : tuple of str
        Codes of the checks that were made.
    skipped : tuple of Skipped
    notes : tuple of str
        Sentences about how it was done.
    tables : mapping of str to tuple of mapping
        All that was measured, flagged or not, by a check's code: rows of plain JSON values.
    """

    sources: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    checked: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    tables: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)

    @property
    def red_flags(self) -> tuple[Finding, ...]:
        """The findings that are red flags."""
        return tuple(finding for finding in self.findings if finding.red)

    @property
    def verdict(self) -> str:
        """One line: how many red flags, and the gravest in words."""
        red = self.red_flags
        if not red:
            made = len(set(self.checked))
            return f"No red flag in {', '.join(self.sources)} ({made} check{'s' * (made != 1)} made)."
        by_check: dict[str, list[str]] = {}
        for finding in red:
            by_check.setdefault(finding.check, []).append(finding.what.rstrip("."))
        words = [f"{of[0]} (and {len(of) - 1} more like it)" if len(of) > 1 else of[0] for of in by_check.values()]
        shown = "; ".join(words[:_SHOWN])
        more = f"; and {len(words) - _SHOWN} more kinds" if len(words) > _SHOWN else ""
        return f"{len(red)} RED FLAG{'S' * (len(red) != 1)} in {', '.join(self.sources)}: {shown}{more}."

    def to_dict(self) -> dict[str, Any]:
        """Return the audit as plain JSON values."""
        return {
            "verdict": self.verdict,
            "red_flags": len(self.red_flags),
            "sources": list(self.sources),
            "findings": [finding.to_dict() for finding in self.findings],
            "checked": list(self.checked),
            "skipped": [vars(one).copy() for one in self.skipped],
            "notes": list(self.notes),
            "tables": {code: [dict(row) for row in rows] for code, rows in self.tables.items()},
        }


_SHOWN = 5


def together(audits: Iterable[Audit]) -> Audit:
    """Return several audits as one, the gravest findings first."""
    parts = tuple(audits)
    findings = sorted(
        (finding for part in parts for finding in part.findings), key=lambda one: SEVERITIES.index(one.severity)
    )
    return Audit(
        sources=tuple(dict.fromkeys(name for part in parts for name in part.sources)),
        findings=tuple(findings),
        checked=tuple(dict.fromkeys(code for part in parts for code in part.checked)),
        skipped=tuple(dict.fromkeys(one for part in parts for one in part.skipped)),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        tables={code: rows for part in parts for code, rows in part.tables.items()},
    )
