"""A red flag: what was found, where, why it hurts, what to do, by which reference, with its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pointsman.profile.finding import SEVERITIES

__all__ = ["SEVERITIES", "SUBJECTS", "Finding", "Measure", "Place"]

SUBJECTS = ("configuration", "traces", "bundle")
"""What an audit looks at."""


@dataclass(frozen=True)
class Place:
    """Where something stands.

    Attributes
    ----------
    file : str
        As the user named it.
    line : int or None
        Counted from 1; None where the file has no lines, or the thing is missing from it.
    key : str
        Of a configuration, dotted; a column, model, intent or slice elsewhere; "" for the whole file.
    """

    file: str
    line: int | None = None
    key: str = ""

    def __str__(self) -> str:
        """Return ``FILE:LINE KEY``, without what is unknown."""
        head = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{head} {self.key}".strip()


@dataclass(frozen=True)
class Measure:
    """A number of a finding, with its confidence interval where it has one.

    Attributes
    ----------
    name : str
        A few words.
    value : float
    low, high : float or None
        Of the interval; None for a number that was counted or set.
    unit : str
        ``share`` (0..1, shown as a percentage), ``points`` (a difference of shares, shown in percentage points),
        ``usd``, ``ms``, ``tokens``, ``ratio``, ``p`` (a p-value, after the correction for the number of tests) or "".
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""

    def __str__(self) -> str:
        """Return the number as a person reads it, its interval in brackets."""
        told = _told(self.value, self.unit)
        if self.low is None or self.high is None:
            return f"{self.name} {told}"
        return f"{self.name} {told} [{_told(self.low, self.unit)}, {_told(self.high, self.unit)}]"


@dataclass(frozen=True)
class Finding:
    """One red flag, or one thing worth knowing.

    Attributes
    ----------
    check : str
        Code of the check; stays the same from release to release (see `pointsman.audit.catalogue`).
    subject : str
        One of `SUBJECTS`.
    severity : str
        ``high``: users or money are lost as things stand; ``medium``: they will be when something goes wrong;
        ``low``: worth knowing, no red flag.
    what : str
        One sentence.
    place : Place
    why, fix, reference : str
        Why it hurts, what to do, whose finding or standard it is.
    numbers : tuple of Measure
    examples : tuple of str
        A few, the worst first.
    """

    check: str
    subject: str
    severity: str
    what: str
    place: Place
    why: str
    fix: str
    reference: str
    numbers: tuple[Measure, ...] = ()
    examples: tuple[str, ...] = ()

    @property
    def red(self) -> bool:
        """Whether it is a red flag: what makes the audit exit with 1."""
        return self.severity != "low"

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as plain JSON values."""
        plain = {**vars(self), "place": vars(self.place).copy(), "red": self.red}
        return {**plain, "numbers": [vars(one).copy() for one in self.numbers], "examples": list(self.examples)}


def _told(value: float, unit: str) -> str:
    if unit == "share":
        return f"{100 * value:.1f} %"
    if unit == "points":
        return f"{100 * value:+.1f} points"
    if unit in {"ms", "tokens"}:
        return f"{value:,.0f} {unit}"
    if unit == "usd":
        return f"{value:.3g} USD"
    if unit == "p":
        return "< 0.001" if value < 0.001 else f"{value:.3f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
