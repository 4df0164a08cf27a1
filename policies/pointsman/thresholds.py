"""What each threshold of a policy does: its value, how many requests it moves, and what to edit to overrule it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.decide import decide, eligibility
from pointsman.rules import LadderRule, ValueRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pointsman.decide import Beliefs, Facts
    from pointsman.policy import Policy

__all__ = ["explain_thresholds"]


@dataclass(frozen=True, eq=False)
class _Threshold:
    where: str
    value: float | str
    unit: str
    neutral: float | None
    without: Callable[[], Policy]
    overrule: str


def explain_thresholds(beliefs: Beliefs, policy: Policy, facts: Facts) -> list[dict[str, Any]]:
    """Return one entry for each threshold and fixed rule of a policy, in the order of the file.

    Parameters
    ----------
    beliefs : Beliefs
        Of n requests, under this policy's fixed rules.
    policy : Policy
    facts : Facts
        Of the same requests.

    Returns
    -------
    list of dict
        Plain JSON values. ``where``: the path in policy.json. ``value``. ``unit``: probability, share, USD, factor or
        candidate. ``neutral``: the value that switches it off (null: the key removed, or null). ``moved``: requests
        that are decided otherwise while only this one is switched off, before any fallback. ``of``: n. ``overrule``:
        what a person edits, in one sentence.
    """
    chosen = decide(beliefs, policy.rule)
    found = []
    for one in (*_of_the_rule(policy), *_fixed(policy)):
        without = one.without()
        eligible = beliefs.eligible
        if without.rule is policy.rule:
            eligible = eligibility(beliefs.intent, facts, without)
        other = decide(replace(beliefs, eligible=eligible), without.rule)
        found.append(
            {
                "where": one.where,
                "value": one.value,
                "unit": one.unit,
                "neutral": one.neutral,
                "moved": int(np.count_nonzero(other != chosen)),
                "of": len(chosen),
                "overrule": one.overrule,
            }
        )
    return found


def _of_the_rule(policy: Policy) -> Iterator[_Threshold]:
    rule: Any = policy.rule

    def number(name: str, unit: str, neutral: float, overrule: str) -> _Threshold:
        where = f"rule.{name}"
        text = f"Set {where} to {overrule}"
        return _Threshold(where, getattr(rule, name), unit, neutral, _changed(policy, {name: neutral}), text)

    def entries(name: str, unit: str, neutral: float, overrule: str) -> Iterator[_Threshold]:
        table: Mapping[str, float] = getattr(rule, name)
        for key, value in table.items():
            where = f"rule.{name}.{key}"
            text = f"Set {where} to {overrule.format(key)}"
            without = _changed(policy, {name: {**table, key: neutral}})
            yield _Threshold(where, float(value), unit, neutral, without, text)

    yield number(
        "trust", "share", 0.0, "0 to route by the intent alone, or up to 1 to go by the prompt alone where they differ."
    )
    if isinstance(rule, ValueRule):
        text = "0 to let cost and lateness decide alone; a higher amount buys more useful answers."
        yield number("useful_value_usd", "USD", 0.0, text)
        text = "0 to let lateness count nothing; a higher amount avoids more late answers."
        yield number("late_cost_usd", "USD", 0.0, text)
        text = "1 to value useful answers in group {} as elsewhere; above 1 buys more of them, below 1 fewer."
        yield from entries("factor", "factor", 1.0, text)
    if isinstance(rule, LadderRule):
        text = "0 to take {0} whenever the climb reaches it, or to 2 never to take it on the way up."
        yield from entries("min_p_useful", "probability", 0.0, text)
        text = "1 to pass over no candidate for being late; a lower share passes over more."
        yield number("max_p_late", "share", 1.0, text)
        text = "0 to ask in group {} what is asked elsewhere; above 0 sends more of it up the ladder, below 0 less."
        yield from entries("shift", "probability", 0.0, text)
    if rule.abstain is not None:
        scope = rule.abstain.above_out_of_scope
        if scope is not None:
            where = "rule.abstain.above_out_of_scope"
            without = _changed(policy, {"abstain": replace(rule.abstain, above_out_of_scope=None)})
            text = (
                f"Set {where} to 1 never to abstain for that; a lower one sends more requests to {rule.abstain.model}."
            )
            yield _Threshold(where, scope, "share of requests in scope", 1.0, without, text)
        where = "rule.abstain.below_confidence"
        without = _changed(policy, {"abstain": None if scope is None else replace(rule.abstain, below_confidence=0.0)})
        text = f"Set {where} to 0 never to abstain; a higher one sends more requests to {rule.abstain.model}."
        yield _Threshold(where, rule.abstain.below_confidence, "probability", 0.0, without, text)


def _fixed(policy: Policy) -> Iterator[_Threshold]:
    names = ", ".join(policy.models)
    if policy.long_context is not None:
        text = f"Set long_context to null to let the rule decide, or to another candidate ({names})."
        without = _changed(policy, long_context=None)
        yield _Threshold("long_context", policy.long_context, "candidate", None, without, text)
    for field in ("pinned_intents", "pinned_modalities"):
        pins: Mapping[str, str] = getattr(policy, field)
        for key, model in pins.items():
            where = f"{field}.{key}"
            text = f"Remove {where} to let the rule decide, or set it to another candidate ({names})."
            rest = {name: pinned for name, pinned in pins.items() if name != key}
            yield _Threshold(where, model, "candidate", None, _changed(policy, **{field: rest}), text)


def _changed(policy: Policy, rule: Mapping[str, Any] | None = None, **changes: Any) -> Callable[[], Policy]:
    """Return what makes the policy with a part of it, or of its rule, changed."""

    def make() -> Policy:
        if rule is None:
            return replace(policy, **changes)
        return replace(policy, rule=replace(policy.rule, **rule))  # type: ignore[type-var]

    return make
