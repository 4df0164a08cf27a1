"""Groups of intents: which intents have enough requests for thresholds of their own, and what those are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pointsman.rules import LadderRule, Rule, ValueRule
from pointsman.tried import rank

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointsman.rules import Groups
    from pointsman.tried import Bench

__all__ = ["intent_groups", "with_groups"]

MIN_GROUP_REQUESTS = 200
"""Requests from which an intent has a group of its own: a share measured on 200 is known to 7 points (95 %)."""

MAX_GROUPS = 6
"""Groups at most: each is one more number that the tuning requests can be fitted too closely with."""

FACTORS = (4.0, 2.0)
"""Steps of a group's factor, coarse ones first."""

SHIFTS = (0.1, 0.05)
"""Steps of a group's shift, coarse ones first."""

WIDTH = 2.0
"""How far the price of usefulness may follow a changed factor, up or down."""

HALVINGS = 5
"""How often the bracket around that price is halved (on a log scale)."""


def intent_groups(
    counts: Sequence[int], names: Sequence[str], at_least: int = MIN_GROUP_REQUESTS, at_most: int = MAX_GROUPS
) -> dict[str, tuple[str, ...]]:
    """Return a group for each of the most frequent intents; the others share what is tuned on all requests.

    Parameters
    ----------
    counts : sequence of int
        Tuning requests believed to be of each intent.
    names : sequence of str
        Of the same intents; a group has the name of its intent.
    at_least : int
        Requests that an intent needs for a group of its own.
    at_most : int
        Groups at most.

    Returns
    -------
    dict of str to tuple of str
        The most frequent intent first; empty where only one intent has requests: it is what the thresholds are for.
    """
    if sum(count > 0 for count in counts) < 2:
        return {}
    frequent = [index for index, count in enumerate(counts) if count >= at_least]
    frequent.sort(key=lambda index: -counts[index])
    return {names[index]: (names[index],) for index in frequent[:at_most]}


def with_groups(rule: Rule, groups: Groups, bench: Bench) -> Rule:
    """Change the shared thresholds for one group after the other, wherever that makes the rule better.

    Where beliefs are calibrated one price of usefulness is best for every request (it is the Lagrangian's multiplier),
    and there is nothing to gain. Where the candidates of some intents differ less, or more, than is believed, the price
    is too high, or too low, for these alone: that is what a group's factor corrects. Coordinate descent, coarse steps
    first; the shared price follows each step, because a constraint that just holds would break without it.

    Parameters
    ----------
    rule : Rule
        With the best shared thresholds.
    groups : mapping of str to tuple of str
        See `intent_groups`.
    bench : Bench
        Remembers every rule tried.

    Returns
    -------
    Rule
        The given one where no group's change makes it better.
    """
    if not groups or not isinstance(rule, ValueRule | LadderRule):
        return rule
    best: ValueRule | LadderRule
    if isinstance(rule, ValueRule):
        best, steps = replace(rule, groups=groups, factor=dict.fromkeys(groups, 1.0)), FACTORS
    else:
        best, steps = replace(rule, groups=groups, shift=dict.fromkeys(groups, 0.0)), SHIFTS
    for step in steps:
        for name in groups:
            for sign in (-1, 1):
                other = _stepped(best, name, step, sign, bench)
                if rank(bench(other).evaluation) < rank(bench(best).evaluation):
                    best = other
    return best if rank(bench(best).evaluation) < rank(bench(rule).evaluation) else rule


def _stepped(rule: ValueRule | LadderRule, name: str, step: float, sign: int, bench: Bench) -> ValueRule | LadderRule:
    """Move one group's change by a step up or down."""
    if isinstance(rule, LadderRule):
        return replace(rule, shift={**rule.shift, name: rule.shift[name] + sign * step})
    return _followed(replace(rule, factor={**rule.factor, name: rule.factor[name] * step**sign}), bench)


def _followed(rule: ValueRule, bench: Bench) -> ValueRule:
    """Let the price of usefulness follow: halve the bracket around it and go on in the better half."""
    best, width = rule, WIDTH
    for _ in range(HALVINGS):
        prices = [best.useful_value_usd * change for change in (1 / width, 1.0, width)]
        tried = [replace(best, useful_value_usd=price) for price in prices]
        best = min(tried, key=lambda one: rank(bench(one).evaluation))
        width **= 0.5
    return best
