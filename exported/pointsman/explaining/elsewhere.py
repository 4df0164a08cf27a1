"""What would have to be different for a request to go elsewhere: one thing at a time, asked of `decide` itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pointsman.decide import Facts, Reading, believe, blend, decide
from pointsman.policy import MODALITIES
from pointsman.rules import LadderRule, ValueRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pointsman.decide import Beliefs
    from pointsman.policy import Policy
    from pointsman.rules import Rule

__all__ = ["Elsewhere", "elsewhere"]

STEPS = 64
"""Points looked at between a value and its end before the nearest change is closed in on."""

WIDEST = 1e4
"""How far a price is moved at most, as a factor."""


@dataclass(frozen=True)
class Elsewhere:
    """One change that would send the request elsewhere.

    Attributes
    ----------
    kind : str
        belief, threshold, context, modality or intent.
    change : str
        What would have to be so, in words.
    model : str
        Where the request would go then.
    value : float or None
        The nearest such value of what is named, where it is a number.
    """

    kind: str
    change: str
    model: str
    value: float | None = None


def elsewhere(reading: Reading, facts: Facts, policy: Policy, intents: int = 5) -> list[Elsewhere]:
    """Return single changes that would send a request elsewhere.

    Parameters
    ----------
    reading, facts : Reading, Facts
        Of the one request.
    policy : Policy
    intents : int
        How many of the most probable other intents are tried; the prompt's own evidence is kept.
    """
    beliefs = believe(reading, facts, policy)
    here = int(decide(beliefs, policy.rule)[0])
    return [
        *_beliefs(beliefs, policy, here),
        *_thresholds(beliefs, policy, here),
        *_contexts(reading, facts, policy, here),
        *_modalities(reading, facts, policy, here),
        *_intents(reading, facts, policy, here, intents),
    ]


def _beliefs(beliefs: Beliefs, policy: Policy, here: int) -> Iterator[Elsewhere]:
    """Move P(useful) of one candidate: the others' up, the chosen one's down."""
    useful = blend(beliefs, policy.rule)[:, 0]
    for column, name in enumerate(policy.models):
        if not beliefs.eligible[column, 0] or beliefs.eligible[:, 0].sum() == 1:
            continue

        def go(value: float, column: int = column) -> int:
            moved = [part.copy() for part in (beliefs.query_useful, beliefs.intent_useful)]
            for part in moved:
                part[column, 0] = value
            return int(decide(replace(beliefs, query_useful=moved[0], intent_useful=moved[1]), policy.rule)[0])

        start, end = float(useful[column]), 0.0 if column == here else 1.0
        found = _nearest(go, start, end)
        if found is not None:
            word = "at most" if column == here else "at least"
            change = f"P(useful) of {name} {word} {found[0]:.3f} instead of {start:.3f}"
            yield Elsewhere("belief", change, policy.models[found[1]], found[0])


def _thresholds(beliefs: Beliefs, policy: Policy, here: int) -> Iterator[Elsewhere]:
    """Move one threshold of the rule, both ways."""

    def tell(key: str, start: float, ends: tuple[float, ...], rule_at: Callable[[float], Rule]) -> Iterator[Elsewhere]:
        for end in ends:
            found = _nearest(lambda value: int(decide(beliefs, rule_at(value))[0]), start, end, ratio=start > 0)
            if found is not None and found[1] != here:
                word = "at most" if end < start else "at least"
                change = f"rule.{key} {word} {found[0]:.4g} instead of {start:.4g}"
                yield Elsewhere("threshold", change, policy.models[found[1]], found[0])

    rule = policy.rule
    if isinstance(rule, ValueRule):
        for key in ("useful_value_usd", "late_cost_usd"):
            start = float(getattr(rule, key))
            ends: tuple[float, ...] = (start / WIDEST, start * WIDEST) if start > 0 else (1.0,)
            yield from tell(key, start, ends, lambda value, key=key: replace(rule, **{key: value}))  # type: ignore[misc]
    elif isinstance(rule, LadderRule):
        for name, start in rule.min_p_useful.items():
            ends = tuple(end for end in (0.0, 1.01) if end != start)

            def moved(value: float, name: str = name) -> Rule:
                return replace(rule, min_p_useful={**rule.min_p_useful, name: value})

            yield from tell(f"min_p_useful.{name}", float(start), ends, moved)


def _contexts(reading: Reading, facts: Facts, policy: Policy, here: int) -> Iterator[Elsewhere]:
    """Let the request grow past each limit that the policy has for tokens to read."""
    limits = {one.context_window for one in policy.candidates if one.context_window is not None}
    if policy.long_context is not None:
        limits.add(policy.long_context_tokens)
    last = here
    for limit in sorted(limit for limit in limits if limit >= facts.tokens[0]):
        grown = Facts(facts.modality, np.array([limit + 1], dtype=np.int64))
        column = int(decide(believe(reading, grown, policy), policy.rule)[0])
        if column != last:
            change = f"more than {limit:,} tokens to read instead of {int(facts.tokens[0]):,}"
            yield Elsewhere("context", change, policy.models[column], float(limit))
            last = column


def _modalities(reading: Reading, facts: Facts, policy: Policy, here: int) -> Iterator[Elsewhere]:
    for modality in MODALITIES:
        column = int(decide(believe(reading, Facts(np.array([modality]), facts.tokens), policy), policy.rule)[0])
        if column != here:
            yield Elsewhere("modality", f"modality {modality} instead of {facts.modality[0]}", policy.models[column])


def _intents(reading: Reading, facts: Facts, policy: Policy, here: int, count: int) -> Iterator[Elsewhere]:
    probs = reading.intent_probs[0]
    for intent in np.argsort(-probs, kind="stable")[: count + 1].tolist():
        if intent == int(probs.argmax()):
            continue
        sure = replace(reading, intent_probs=np.eye(len(probs), dtype=np.float32)[[intent]])
        column = int(decide(believe(sure, facts, policy), policy.rule)[0])
        if column != here:
            change = f"intent surely {policy.intents[intent]} instead of {policy.intents[int(probs.argmax())]}"
            yield Elsewhere("intent", change, policy.models[column])


def _nearest(go: Callable[[float], int], start: float, end: float, ratio: bool = False) -> tuple[float, int] | None:
    """Return the value nearest to `start`, on the way to `end`, at which `go` says another column, and that column."""
    here = go(start)
    ways = np.geomspace(start, end, STEPS + 1) if ratio and start > 0 < end else np.linspace(start, end, STEPS + 1)
    for low, high in zip(ways[:-1].tolist(), ways[1:].tolist(), strict=True):
        if go(high) == here:
            continue
        same, other = low, high
        for _ in range(40):
            middle = (same + other) / 2
            same, other = (middle, other) if go(middle) == here else (same, middle)
        return other, go(other)
    return None
