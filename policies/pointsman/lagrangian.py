"""The Lagrangian's solutions: a grid over the prices of usefulness and lateness, bisection, Dinkelbach's iteration."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from pointsman.tried import rank

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pointsman.rules import ValueRule
    from pointsman.space import Space
    from pointsman.tried import Bench

__all__ = ["TRUSTS", "lagrangian_rules"]

TRUSTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Weights of per-query evidence that the grid tries."""

HALVINGS = 8
"""How often the bracket around a price is halved: to a two-hundredth of a grid step."""

COARSE = 5
"""The same for a first look."""

ITERATIONS = 8
"""Steps of Dinkelbach's iteration at most; it converges superlinearly."""

Price = Literal["useful_value_usd", "late_cost_usd"]


def lagrangian_rules(space: Space, bench: Bench) -> list[ValueRule]:
    """Try the Lagrangian's rules and return the best one of each trust, the best of all first.

    For one trust the rule family is the argmax of ``value · P(useful) − cost − late cost · P(late)`` per request: the
    minimiser of the Lagrangian of «mean cost, subject to a mean usefulness and a share late» (Everett 1963). What is
    not known are the prices. A grid finds the region; halving the bracket between the neighbours of the best point
    finds the price at which a constraint just holds. Where no usefulness constraint binds the price is the ratio's own:
    ``price of a useless response + cost per useful response`` at the optimum, found by iterating it (Dinkelbach 1967).

    Parameters
    ----------
    space : Space
    bench : Bench
        Remembers every rule tried.
    """
    found = [_refined(_grid_best(space, bench, trust), space, bench) for trust in TRUSTS]
    found.sort(key=lambda rule: rank(bench(rule).evaluation))
    return [_with_trust_between(found[0], space, bench), *found[1:]]


def _grid_best(space: Space, bench: Bench, trust: float) -> ValueRule:
    """Return the best rule of the grid, each proportion of the two prices followed to where it is best.

    The grid is too coarse to tell the proportions apart before.
    """
    found = []
    for share in space.late_shares:
        best = _best((space.along(trust, value, share) for value in space.steps()), bench)
        width = _step(space)
        for _ in range(COARSE):
            width, centre = width**0.5, best.useful_value_usd
            around = (space.along(trust, value, share) for value in (centre / width, centre * width))
            best = _best([best, *around], bench)
        found.append(best)
    return _best(found, bench)


def _step(space: Space) -> float:
    """Return the ratio of the grid's neighbouring prices of usefulness."""
    steps = space.steps()
    return steps[1] / steps[0]


def _refined(rule: ValueRule, space: Space, bench: Bench) -> ValueRule:
    """Improve a rule by the ratio's own price, then by halving both prices' brackets in turn."""
    rule = _dinkelbach(rule, space, bench)
    rule = _halved(rule, "useful_value_usd", space, bench)
    if not rule.late_cost_usd:
        return rule
    return _halved(_halved(rule, "late_cost_usd", space, bench), "useful_value_usd", space, bench)


def _dinkelbach(rule: ValueRule, space: Space, bench: Bench) -> ValueRule:
    """Set the price of usefulness to what the last rule's ratio says it is worth, until the ratio stays."""
    useless = bench.objective.spec.objective.useless_response_usd
    best, at = rule, rule
    for _ in range(ITERATIONS):
        ratio = bench(at).evaluation.cost_per_useful
        value = float(np.clip(useless + ratio, *space.prices))
        if value == at.useful_value_usd:
            break
        at = replace(at, useful_value_usd=value)
        best = _best([best, at], bench)
    return best


def _halved(rule: ValueRule, price: Price, space: Space, bench: Bench, halvings: int = HALVINGS) -> ValueRule:
    """Halve the bracket around one price, on a log scale, and go on in the better half."""
    width = _step(space) if price == "useful_value_usd" else 10**0.5
    best = rule
    for _ in range(halvings):
        width, centre = width**0.5, getattr(best, price)
        around = [min(max(value, space.prices[0]), space.prices[1]) for value in (centre / width, centre * width)]
        best = _best([best, *(replace(best, **{price: value}) for value in around)], bench)
    return best


def _with_trust_between(rule: ValueRule, space: Space, bench: Bench) -> ValueRule:
    """Look between the grid's trusts, the price of usefulness following."""
    best = rule
    for width in (0.125, 0.0625):
        trusts = [trust for trust in (best.trust - width, best.trust + width) if 0 <= trust <= 1]
        near = [_halved(replace(best, trust=trust), "useful_value_usd", space, bench, 6) for trust in trusts]
        best = _best([best, *near], bench)
    return best


def _best(rules: Iterable[ValueRule], bench: Bench) -> ValueRule:
    return min(rules, key=lambda rule: rank(bench(rule).evaluation))
