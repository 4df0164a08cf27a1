"""A suspicion: one statistical test that an audit made, before it is known how many it made in all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pointsman.audit.finding import Finding, Measure, Place
from pointsman.audit.multiplicity import equal_shares, holm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointsman.audit.check import Check

__all__ = ["Suspicion", "confirmed"]


@dataclass(frozen=True)
class Suspicion:
    """One hypothesis that was tested.

    Attributes
    ----------
    check : Check
    p : float
        Of the test alone.
    severity : str
        What it is where it is confirmed.
    large : bool
        Whether the effect is large enough to matter; a small one is never a finding, however sure.
    what, key : str
    numbers : tuple of Measure
    examples : tuple of str
    fix : str or None
    """

    check: Check
    p: float
    severity: str
    large: bool
    what: str
    key: str
    numbers: tuple[Measure, ...] = ()
    examples: tuple[str, ...] = ()
    fix: str | None = None


def confirmed(suspicions: Sequence[Suspicion], file: str, alpha: float) -> list[Finding]:
    """Return the suspicions that hold and matter as findings, with their p-values after correction.

    Weighted Holm over all of them: each check has the same share of `alpha`, however many models or intents it asks
    about. With probability at least 1 - `alpha` none of the findings is false.
    """
    adjusted = holm([one.p for one in suspicions], equal_shares([one.check.code for one in suspicions]))
    found = []
    for one, p in zip(suspicions, adjusted.tolist(), strict=True):
        if p <= alpha and one.large:
            numbers = (*one.numbers, Measure("p", p, unit="p"))
            found.append(
                one.check.found(one.severity, one.what, Place(file, None, one.key), numbers, one.examples, one.fix)
            )
    return found
