"""The rule families: how beliefs about each candidate become a choice. One dataclass each, thresholds in plain units.

Standard library and numpy only. Arrays are laid out (m, n), one candidate a row: the loop over candidates is short,
the one over requests runs inside numpy.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from pointsman.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LadderRule", "Rule", "ValueRule", "rule_from_dict"]

Floats = NDArray[np.floating[Any]]


class Rule(Protocol):
    """Turns beliefs into a choice.

    Attributes
    ----------
    trust : float
        Weight of per-query evidence, 0..1; the rest is the intent's average. 0 routes by intent alone.
    """

    kind: ClassVar[str]

    @property
    def trust(self) -> float:
        """Weight of per-query evidence."""
        ...

    def choose(self, useful: Floats, cost_usd: Floats, late: Floats, eligible: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Return the chosen candidate of each request, (n,); arrays are (m, n), candidates cheap to dear."""
        ...

    def check(self, models: tuple[str, ...]) -> None:
        """Raise BundleError where the thresholds do not fit the candidates."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as plain JSON values."""
        ...


@dataclass(frozen=True)
class ValueRule:
    """Go where ``useful_value_usd · P(useful) − cost − late_cost_usd · P(late)`` is largest (the Lagrangian's argmax).

    Attributes
    ----------
    trust : float
        See `Rule`.
    useful_value_usd : float
        What one more useful response may cost, USD.
    late_cost_usd : float
        What one response later than the limit counts as, USD.
    """

    trust: float
    useful_value_usd: float
    late_cost_usd: float = 0.0

    kind: ClassVar[str] = "value"

    def choose(self, useful: Floats, cost_usd: Floats, late: Floats, eligible: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Return the candidate of largest net value; the cheaper one where two are equal."""
        score = self.useful_value_usd * useful - cost_usd
        if self.late_cost_usd:
            score -= self.late_cost_usd * late
        best = np.where(eligible[0], score[0], -np.inf)
        chosen = np.zeros(best.shape, dtype=np.intp)
        for index in range(1, len(score)):
            better = (score[index] > best) & eligible[index]
            np.copyto(chosen, index, where=better)
            np.copyto(best, score[index], where=better)
        return chosen

    def check(self, models: tuple[str, ...]) -> None:  # noqa: ARG002
        """Raise BundleError where a threshold is out of range."""
        _within("trust", self.trust, 0, 1)
        _within("useful_value_usd", self.useful_value_usd, 0, np.inf)
        _within("late_cost_usd", self.late_cost_usd, 0, np.inf)

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as plain JSON values."""
        return {"kind": self.kind, **vars(self)}


@dataclass(frozen=True)
class LadderRule:
    """Climb from cheap to dear; take the first candidate that is good enough and not too often late.

    Where none is, the eligible candidate with the largest P(useful) among those not too often late is taken (among all
    eligible ones where every one is too often late).

    Attributes
    ----------
    trust : float
        See `Rule`.
    min_p_useful : mapping of str to float
        The P(useful) from which each candidate is taken, 0..1; 1 or more never takes it on the way up.
    max_p_late : float
        Candidates whose P(late) is above this are passed over, 0..1.
    """

    trust: float
    min_p_useful: Mapping[str, float] = field(default_factory=dict)
    max_p_late: float = 1.0

    kind: ClassVar[str] = "ladder"

    def choose(self, useful: Floats, cost_usd: Floats, late: Floats, eligible: NDArray[np.bool_]) -> NDArray[np.intp]:  # noqa: ARG002
        """Return the first candidate, cheap to dear, that clears its threshold."""
        usable = eligible
        if self.max_p_late < 1:
            punctual = eligible & (late <= self.max_p_late)
            usable = punctual | (eligible & ~punctual.any(axis=0))
        chosen = np.full(useful.shape[1], -1, dtype=np.int16)  # narrow while it is written again and again
        thresholds = list(self.min_p_useful.values())
        for index in range(len(useful) - 1, -1, -1):
            np.copyto(chosen, index, where=usable[index] & (useful[index] >= thresholds[index]))
        rest = np.flatnonzero(chosen < 0)
        chosen[rest] = np.where(usable[:, rest], useful[:, rest], -np.inf).argmax(axis=0)
        return chosen.astype(np.intp)

    def check(self, models: tuple[str, ...]) -> None:
        """Raise BundleError where a threshold is out of range or a candidate has none."""
        _within("trust", self.trust, 0, 1)
        _within("max_p_late", self.max_p_late, 0, 1)
        if tuple(self.min_p_useful) != models:
            raise BundleError(f"policy: rule.min_p_useful names {list(self.min_p_useful)}; {list(models)} is needed")
        for name, threshold in self.min_p_useful.items():
            _within(f"min_p_useful.{name}", threshold, 0, 2)

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as plain JSON values."""
        thresholds = {name: float(value) for name, value in self.min_p_useful.items()}
        return {"kind": self.kind, "trust": self.trust, "min_p_useful": thresholds, "max_p_late": self.max_p_late}


_FAMILIES: dict[str, type[ValueRule] | type[LadderRule]] = {"value": ValueRule, "ladder": LadderRule}


def rule_from_dict(document: Mapping[str, Any]) -> Rule:
    """Build a rule from plain JSON values; raise BundleError where its kind or a key is unknown."""
    values = dict(document)
    kind = values.pop("kind", None)
    if kind not in _FAMILIES:
        raise BundleError(f"policy: rule.kind is {kind!r}; allowed: {', '.join(_FAMILIES)}")
    needed = tuple(entry.name for entry in fields(_FAMILIES[kind]))
    if set(values) != set(needed):
        raise BundleError(f"policy: rule has the keys {', '.join(map(str, values))}; needed: {', '.join(needed)}")
    return _FAMILIES[kind](**values)


def _within(name: str, value: Any, low: float, high: float) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high or value == np.inf:
        raise BundleError(f"policy: rule.{name} is {value!r}; a number from {low:g} to {high:g} is needed")
