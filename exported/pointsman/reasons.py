"""Why a request goes where it goes, in one sentence. Read by people; decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pointsman.rules import LadderRule, ValueRule

if TYPE_CHECKING:
    from pointsman.policy import Policy

__all__ = ["Case", "reason"]


class Case(NamedTuple):
    """One decided request; lists hold one value per candidate.

    Attributes
    ----------
    intent, confidence : str, float
        The most probable intent and its probability.
    modality, tokens : str, int
        See `pointsman.decide.Facts`.
    chosen : int
    useful, cost_usd, late : list of float
        Blended P(useful), expected cost in USD, P(late).
    eligible : list of int
        Candidates that the rule could choose from.
    capable : bool
        Whether the chosen one can read the request (modality, context window).
    out_of_scope : float or None
        See `pointsman.decide.Reading`.
    """

    intent: str
    confidence: float
    modality: str
    tokens: int
    chosen: int
    useful: list[float]
    cost_usd: list[float]
    late: list[float]
    eligible: list[int]
    capable: bool
    out_of_scope: float | None = None


def reason(case: Case, policy: Policy) -> str:
    """Return the sentence that goes with a decision."""
    if len(case.eligible) == 1:
        why = _only(case, policy)
    elif (doubt := _abstained(case, policy)) is not None:
        why = doubt
    elif isinstance(policy.rule, ValueRule):
        why = _value(case, policy.models, policy.rule)
    elif isinstance(policy.rule, LadderRule):
        why = _ladder(case, policy.models, policy.rule)
    else:
        why = f"the rule {policy.rule.kind!r} chose {policy.models[case.chosen]}"
    return f"{case.intent} ({case.confidence:.2f}): {why}"


def _abstained(case: Case, policy: Policy) -> str | None:
    """Return why the rule was not asked, where it was not."""
    abstain = policy.rule.abstain
    if abstain is None or policy.models.index(abstain.model) not in case.eligible:
        return None
    # Compared in float32, as `pointsman.decide.doubtful` does.
    if np.float32(case.confidence) >= np.float32(abstain.below_confidence):
        above, scope = abstain.above_out_of_scope, case.out_of_scope
        if above is None or scope is None or np.float32(scope) <= np.float32(above):
            return None
        return f"more unlike what was learned from than {scope:.1%} of that was; such requests go to {abstain.model}"
    return f"less sure of the intent than {abstain.below_confidence:.2f}; doubtful requests go to {abstain.model}"


def _only(case: Case, policy: Policy) -> str:
    name = policy.models[case.chosen]
    request = f"{'an' if case.modality[0] in 'ai' else 'a'} {case.modality} request of {case.tokens} tokens"
    if not case.capable:
        return f"no candidate can take {request}; it goes to the safe model {name}"
    if policy.pinned_intents.get(case.intent) == name:
        return f"this intent is pinned to {name}"
    if policy.pinned_modalities.get(case.modality) == name:
        return f"{case.modality} requests are pinned to {name}"
    if policy.long_context == name and case.tokens > policy.long_context_tokens and len(policy.models) > 1:
        return f"requests of more than {policy.long_context_tokens} tokens go to {name}; this one has {case.tokens}"
    if len(policy.models) == 1:
        return f"{name} is the only candidate"
    return f"only {name} can take {request}"


def _value(case: Case, names: tuple[str, ...], rule: ValueRule) -> str:
    chosen, useful, cost = case.chosen, case.useful, case.cost_usd
    others = [index for index in case.eligible if index != chosen]
    best = max(others, key=useful.__getitem__)
    if useful[best] > useful[chosen]:
        snag = "price" if cost[best] > cost[chosen] else "delay"
        return (
            f"{_believed(case, chosen, names)}, {names[best]} {useful[best]:.2f}; "
            f"the difference is not worth its {snag}"
        )
    cheap = min(others, key=cost.__getitem__)
    if cost[cheap] >= cost[chosen]:
        return f"{_believed(case, chosen, names)}; no other is believed better or cheaper"
    value = rule.useful_value_usd * _change(case, rule, 1.0)
    gain = value * (useful[chosen] - useful[cheap])
    worth = "is" if gain >= cost[chosen] - cost[cheap] else "and the shorter wait are together"
    both = f"{_believed(case, cheap, names)}, {names[chosen]} {useful[chosen]:.2f}"
    return f"{both}; the difference {worth} worth its price"


def _ladder(case: Case, names: tuple[str, ...], rule: LadderRule) -> str:
    chosen, useful = case.chosen, case.useful
    # Compared in float32, as the rule does.
    shift = np.float32(_change(case, rule, 0.0))
    thresholds = [float(np.float32(rule.min_p_useful[name])) for name in names]
    reached = [float(np.float32(value) - shift) for value in useful]
    cleared = [p >= threshold and threshold <= 1 for p, threshold in zip(reached, thresholds, strict=True)]
    limit = float(np.float32(rule.max_p_late))
    in_time = [index for index in case.eligible if case.late[index] <= limit]
    if not cleared[chosen]:
        among = "in time " if in_time and len(in_time) < len(case.eligible) else ""
        return f"no candidate {among}clears its threshold; {_believed(case, chosen, names)}, the most"
    clears = f"clears its {thresholds[chosen] + shift:.2f}"
    below = [index for index in case.eligible if index < chosen]
    if not below:
        return f"{_believed(case, chosen, names)} and {clears}"
    first = below[0]
    if in_time and first not in in_time:
        return f"{names[first]} is too often late; {_believed(case, chosen, names)} and {clears}"
    return (
        f"{_believed(case, first, names)}, below its {thresholds[first] + shift:.2f}; "
        f"{names[chosen]} {useful[chosen]:.2f} {clears}"
    )


def _change(case: Case, rule: LadderRule | ValueRule, neutral: float) -> float:
    """Return what the group of the case's intent changes."""
    changes = rule.by_intent((case.intent,))
    return neutral if changes is None else float(changes[0])


def _believed(case: Case, index: int, names: tuple[str, ...]) -> str:
    return f"{names[index]} is believed useful {case.useful[index]:.2f}"
