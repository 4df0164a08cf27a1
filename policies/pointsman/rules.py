"""The rule families: how beliefs about each candidate become a choice. One dataclass each, thresholds in plain units.

Standard library and numpy only. Arrays are laid out (m, n), one candidate a row: the loop over candidates is short,
the one over requests runs inside numpy.

Thresholds are shared by all intents. A rule may name groups of intents and move the shared thresholds for each by one
number: that is one parameter a group instead of one for each group and candidate, so a group needs few requests, a
search few trials, and a person edits one line. Intents in no group keep the shared thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from pointsman.errors import BundleError
from pointsman.values import exactly, members, text, texts

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Abstain", "Groups", "LadderRule", "Rule", "ValueRule", "rule_from_dict"]

Floats = NDArray[np.floating[Any]]
MOST_USD = 1e12
"""Largest price of a rule, USD: its products with the largest factor and cost are within float32."""

Groups = Mapping[str, tuple[str, ...]]
"""Names of groups, each with its intents; an intent is in one group at most."""


@dataclass(frozen=True)
class Abstain:
    """Where a request goes whose intent is too doubtful for the rule, or which is like nothing that was learned from.

    Attributes
    ----------
    below_confidence : float
        The rule abstains where the most probable intent is less probable than this, 0..1; 0 for never.
    model : str
        The candidate that gets the request, unless it cannot take it or a fixed rule sends it elsewhere.
    above_out_of_scope : float or None
        The rule also abstains where ``out_of_scope`` is above this, 0..1: 0.95 sends 5 % of the requests in scope there
        in error. None for never.
    """

    below_confidence: float
    model: str
    above_out_of_scope: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        found: dict[str, Any] = {"below_confidence": self.below_confidence, "model": self.model}
        return found if self.above_out_of_scope is None else {**found, "above_out_of_scope": self.above_out_of_scope}

    @classmethod
    def from_value(cls, value: Any, key: str) -> Abstain:
        """Read what `to_dict` wrote; raise BundleError where it is not in that form."""
        document = {"above_out_of_scope": None, **value} if isinstance(value, Mapping) else value
        readers: dict[str, Any] = {"below_confidence": _as_is, "model": text, "above_out_of_scope": _as_is}
        return cls(**exactly(document, key, **readers))


class Rule(Protocol):
    """Turns beliefs into a choice.

    Attributes
    ----------
    trust : float
        Weight of per-query evidence, 0..1; the rest is the intent's average. 0 routes by intent alone.
    abstain : Abstain or None
        Where doubtful requests go; executed by `pointsman.decide.decide`.
    """

    kind: ClassVar[str]

    @property
    def trust(self) -> float:
        """Weight of per-query evidence."""
        ...

    @property
    def abstain(self) -> Abstain | None:
        """Where doubtful requests go."""
        ...

    def by_intent(self, intents: Sequence[str]) -> Floats | None:
        """Return what each intent's group changes, (k,) float32; None where there are no groups."""
        ...

    def choose(
        self,
        useful: Floats,
        cost_usd: Floats,
        late: Floats,
        eligible: NDArray[np.bool_],
        by_group: Floats | None = None,
    ) -> NDArray[np.intp]:
        """Return the chosen candidate of each request, (n,).

        Parameters
        ----------
        useful, cost_usd, late : (m, n) float array
            Candidates cheap to dear.
        eligible : (m, n) bool array
        by_group : (n,) float array, optional
            What the group of each request's intent changes: `by_intent` at the believed intent.
        """
        ...

    def choose_one(
        self,
        useful: Floats,
        cost_usd: Floats | None,
        late: Floats | None,
        eligible: Sequence[int],
        by_group: Any = None,
    ) -> int:
        """Return what `choose` returns, of one request.

        Parameters
        ----------
        useful, cost_usd, late : (m, 1) float32 array
            The latter two may be None where `needs` does not name them.
        eligible : sequence of int
            The eligible candidates, ascending; at least one.
        by_group : (1,) float32 array, optional
        """
        ...

    @property
    def needs(self) -> frozenset[str]:
        """What else than usefulness moves a choice: cost_usd, late."""
        ...

    def check(self, models: tuple[str, ...], intents: tuple[str, ...] = ()) -> None:
        """Raise BundleError where the thresholds do not fit the candidates and intents."""
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
    groups, factor : mapping
        Groups of intents, and what `useful_value_usd` is multiplied by in each, above 0; 1 changes nothing.
    abstain : Abstain or None
        See `Rule`.
    """

    trust: float
    useful_value_usd: float
    late_cost_usd: float = 0.0
    groups: Groups = field(default_factory=dict)
    factor: Mapping[str, float] = field(default_factory=dict)
    abstain: Abstain | None = None

    kind: ClassVar[str] = "value"

    def by_intent(self, intents: Sequence[str]) -> Floats | None:
        """Return the factor of each intent, (k,) float32; None where there are no groups."""
        return _by_intent(self.groups, self.factor, intents, 1.0)

    def choose(
        self,
        useful: Floats,
        cost_usd: Floats,
        late: Floats,
        eligible: NDArray[np.bool_],
        by_group: Floats | None = None,
    ) -> NDArray[np.intp]:
        """Return the candidate of largest net value; the cheaper one where two are equal."""
        score = self._score(useful, cost_usd, late, by_group)
        best = np.where(eligible[0], score[0], -np.inf)
        chosen = np.zeros(best.shape, dtype=np.intp)
        for index in range(1, len(score)):
            better = (score[index] > best) & eligible[index]
            np.copyto(chosen, index, where=better)
            np.copyto(best, score[index], where=better)
        return chosen

    def choose_one(
        self,
        useful: Floats,
        cost_usd: Floats | None,
        late: Floats | None,
        eligible: Sequence[int],
        by_group: Any = None,
    ) -> int:
        """Return what `choose` returns, of one request."""
        score = self._score(useful, cost_usd, late, by_group).ravel().tolist()
        return max(eligible, key=score.__getitem__)  # the first, so the cheaper one, where two are equal

    @property
    def needs(self) -> frozenset[str]:
        """What else than usefulness moves a choice."""
        return frozenset(("cost_usd", "late")) if self.late_cost_usd else frozenset(("cost_usd",))

    def _score(self, useful: Floats, cost_usd: Any, late: Any, by_group: Floats | None) -> Floats:
        worth = self.useful_value_usd if by_group is None else self.useful_value_usd * by_group
        score: Floats = worth * useful - cost_usd
        if self.late_cost_usd:
            score -= self.late_cost_usd * late
        return score

    def check(self, models: tuple[str, ...], intents: tuple[str, ...] = ()) -> None:
        """Raise BundleError where a threshold is out of range, or a group or the abstention names what is not there."""
        _within("trust", self.trust, 0, 1)
        _within("useful_value_usd", self.useful_value_usd, 0, MOST_USD)
        _within("late_cost_usd", self.late_cost_usd, 0, MOST_USD)
        for name, factor in _checked_groups(self.groups, self.factor, "factor", intents).items():
            _within(f"factor.{name}", factor, 1e-6, 1e6)
        _check_abstain(self.abstain, models)

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as plain JSON values; groups and abstention only where there are any."""
        values = {"trust": self.trust, "useful_value_usd": self.useful_value_usd, "late_cost_usd": self.late_cost_usd}
        return {"kind": self.kind, **values, **_optional(self, "factor")}


@dataclass(frozen=True)
class LadderRule:
    """Climb from cheap to dear; take the first candidate that is good enough and not too often late.

    With groups, a candidate is good enough where P(useful) reaches ``min_p_useful[candidate] + shift[group]``.

    Where none is, the eligible candidate with the largest P(useful) among those not too often late is taken (among all
    eligible ones where every one is too often late).

    Attributes
    ----------
    trust : float
        See `Rule`.
    min_p_useful : mapping of str to float
        The P(useful) from which each candidate is taken, 0..1; above 1 it is never taken on the way up, in any group.
    max_p_late : float
        Candidates whose P(late) is above this are passed over, 0..1.
    groups, shift : mapping
        Groups of intents, and what is added to every threshold in each, -1..1; 0 changes nothing.
    abstain : Abstain or None
        See `Rule`.
    """

    trust: float
    min_p_useful: Mapping[str, float] = field(default_factory=dict)
    max_p_late: float = 1.0
    groups: Groups = field(default_factory=dict)
    shift: Mapping[str, float] = field(default_factory=dict)
    abstain: Abstain | None = None

    kind: ClassVar[str] = "ladder"

    def by_intent(self, intents: Sequence[str]) -> Floats | None:
        """Return the shift of each intent, (k,) float32; None where there are no groups."""
        return _by_intent(self.groups, self.shift, intents, 0.0)

    def choose(
        self,
        useful: Floats,
        cost_usd: Floats,  # noqa: ARG002
        late: Floats,
        eligible: NDArray[np.bool_],
        by_group: Floats | None = None,
    ) -> NDArray[np.intp]:
        """Return the first candidate, cheap to dear, that clears its threshold."""
        usable = eligible
        if self.max_p_late < 1:
            punctual = eligible & (late <= self.max_p_late)
            usable = punctual | (eligible & ~punctual.any(axis=0))
        chosen = np.full(useful.shape[1], -1, dtype=np.int16)  # narrow while it is written again and again
        thresholds = list(self.min_p_useful.values())
        for index in range(len(useful) - 1, -1, -1):
            if thresholds[index] > 1:
                continue
            reached = useful[index] if by_group is None else useful[index] - by_group
            np.copyto(chosen, index, where=usable[index] & (reached >= thresholds[index]))
        rest = np.flatnonzero(chosen < 0)
        chosen[rest] = np.where(usable[:, rest], useful[:, rest], -np.inf).argmax(axis=0)
        return chosen.astype(np.intp)

    def choose_one(
        self,
        useful: Floats,
        cost_usd: Floats | None,  # noqa: ARG002
        late: Floats | None,
        eligible: Sequence[int],
        by_group: Any = None,
    ) -> int:
        """Return what `choose` returns, of one request."""
        usable, limits = eligible, self._limits
        if late is not None and self.max_p_late < 1:
            delay, most = late.ravel().tolist(), limits[-1]
            usable = [column for column in eligible if delay[column] <= most] or eligible
        reached = (useful if by_group is None else useful - by_group).ravel().tolist()
        for column in usable:
            if reached[column] >= limits[column]:
                return column
        believed = useful.ravel().tolist()
        return max(usable, key=believed.__getitem__)  # the first, so the cheaper one, where two are equal

    @property
    def needs(self) -> frozenset[str]:
        """What else than usefulness moves a choice."""
        return frozenset(("late",)) if self.max_p_late < 1 else frozenset()

    @cached_property
    def _limits(self) -> tuple[float, ...]:
        """The thresholds as `choose` compares them, in single precision (inf: never taken), and `max_p_late` behind."""
        single = [inf if value > 1 else float(np.float32(value)) for value in self.min_p_useful.values()]
        return (*single, float(np.float32(self.max_p_late)))

    def check(self, models: tuple[str, ...], intents: tuple[str, ...] = ()) -> None:
        """Raise BundleError where a threshold is out of range, a candidate has none, or a name is not there."""
        _within("trust", self.trust, 0, 1)
        _within("max_p_late", self.max_p_late, 0, 1)
        if tuple(self.min_p_useful) != models:
            raise BundleError(f"policy: rule.min_p_useful names {list(self.min_p_useful)}; {list(models)} is needed")
        for name, threshold in self.min_p_useful.items():
            _within(f"min_p_useful.{name}", threshold, 0, 2)
        for name, shift in _checked_groups(self.groups, self.shift, "shift", intents).items():
            _within(f"shift.{name}", shift, -1, 1)
        _check_abstain(self.abstain, models)

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as plain JSON values."""
        thresholds = {name: float(value) for name, value in self.min_p_useful.items()}
        values = {"trust": self.trust, "min_p_useful": thresholds, "max_p_late": self.max_p_late}
        return {"kind": self.kind, **values, **_optional(self, "shift")}


_FAMILIES: dict[str, type[ValueRule] | type[LadderRule]] = {"value": ValueRule, "ladder": LadderRule}


def rule_from_dict(document: Mapping[str, Any]) -> Rule:
    """Build a rule from plain JSON values; raise BundleError where its kind or a key is unknown."""
    values = dict(document)
    kind = values.pop("kind", None)
    if kind not in _FAMILIES:
        raise BundleError(f"policy: rule.kind is {kind!r}; allowed: {', '.join(_FAMILIES)}")
    known = [entry.name for entry in fields(_FAMILIES[kind])]
    needed, free = known[:3], known[3:]
    if not set(needed) <= set(values) <= set(known):
        said = f"needed: {', '.join(needed)}; allowed too: {', '.join(free)}"
        raise BundleError(f"policy: rule has the keys {', '.join(map(str, values))}; {said}")
    if "groups" in values:
        groups = members(values["groups"], "rule.groups")
        values["groups"] = {name: texts(intents, f"rule.groups.{name}") for name, intents in groups.items()}
    if values.get("abstain") is not None:
        values["abstain"] = Abstain.from_value(values["abstain"], "rule.abstain")
    return _FAMILIES[kind](**values)


def _by_intent(groups: Groups, changes: Mapping[str, float], intents: Sequence[str], neutral: float) -> Floats | None:
    if not groups:
        return None
    known = {intent: changes[name] for name, grouped in groups.items() for intent in grouped}
    return np.array([known.get(intent, neutral) for intent in intents], dtype=np.float32)


def _optional(rule: ValueRule | LadderRule, key: str) -> dict[str, Any]:
    """Return groups and abstention as plain JSON values, where there are any."""
    found: dict[str, Any] = {}
    if rule.groups:
        changes = {name: float(value) for name, value in vars(rule)[key].items()}
        found = {"groups": {name: list(intents) for name, intents in rule.groups.items()}, key: changes}
    if rule.abstain is not None:
        found["abstain"] = rule.abstain.to_dict()
    return found


def _checked_groups(
    groups: Groups, changes: Mapping[str, float], key: str, intents: tuple[str, ...]
) -> Mapping[str, float]:
    if list(groups) != list(members(changes, f"rule.{key}")):
        raise BundleError(f"policy: rule.{key} names {list(changes)}; the groups {list(groups)} are needed")
    placed: set[str] = set()
    for name, grouped in groups.items():
        for intent in grouped:
            if intent not in intents:
                raise BundleError(f"policy: rule.groups.{name} names {intent!r}; allowed: {', '.join(intents)}")
            if intent in placed:
                raise BundleError(f"policy: rule.groups.{name} names {intent!r}, which has a place; one is allowed")
            placed.add(intent)
    return changes


def _check_abstain(abstain: Abstain | None, models: tuple[str, ...]) -> None:
    if abstain is None:
        return
    _within("abstain.below_confidence", abstain.below_confidence, 0, 1)
    if abstain.above_out_of_scope is not None:
        _within("abstain.above_out_of_scope", abstain.above_out_of_scope, 0, 1)
    if abstain.model not in models:
        raise BundleError(f"policy: rule.abstain.model is {abstain.model!r}; allowed: {', '.join(models)}")


def _as_is(value: Any, _key: str) -> Any:
    return value


def _within(name: str, value: Any, low: float, high: float) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        raise BundleError(f"policy: rule.{name} is {value!r}; a number from {low:g} to {high:g} is needed")
