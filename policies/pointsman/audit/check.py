"""A check of the audit: what it looks for, why that hurts, how it is computed, from where on it is a red flag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pointsman.audit.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pointsman.audit.finding import Measure, Place

__all__ = ["Check"]


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes
    ----------
    code : str
        Stays the same from release to release.
    subject : str
        ``configuration``, ``traces`` or ``bundle``.
    title : str
        What is looked for, in a few words.
    why, how, threshold, fix, reference : str
        Why it hurts; how it is computed; from where on it is a red flag; what to do; whose finding or standard it is.
    """

    code: str
    subject: str
    title: str
    why: str
    how: str
    threshold: str
    fix: str
    reference: str

    def found(
        self,
        severity: str,
        what: str,
        place: Place,
        numbers: Iterable[Measure] = (),
        examples: Iterable[str] = (),
        fix: str | None = None,
    ) -> Finding:
        """Return a finding of this check; `fix` where it is not the usual one."""
        return Finding(
            check=self.code,
            subject=self.subject,
            severity=severity,
            what=what,
            place=place,
            why=self.why,
            fix=self.fix if fix is None else fix,
            reference=self.reference,
            numbers=tuple(numbers),
            examples=tuple(examples),
        )
