"""One request explained: intents, candidates with what each would cost, the words that moved it, the way elsewhere."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.decide import believe, blend, can_take, decide
from pointsman.explaining.elsewhere import Elsewhere, elsewhere
from pointsman.explaining.words import Word, words_that_moved
from pointsman.incoming import checked_facts, checked_prompts
from pointsman.rules import LadderRule, ValueRule

if TYPE_CHECKING:
    from pointsman.decide import Beliefs, Facts
    from pointsman.decision import Decision
    from pointsman.live import LiveBundle
    from pointsman.policy import Policy
    from pointsman.session import Prompt

__all__ = ["CandidateView", "Explanation", "explain"]


@dataclass(frozen=True)
class CandidateView:
    """What the policy holds of one candidate for this request.

    Attributes
    ----------
    model : str
    p_useful : float
        As the rule blends it, 0..1.
    from_prompt, from_intent : float
        Its two parts: by this prompt, and by the intents' averages.
    cost_usd, p_late : float
        Expected full cost, USD; P(later than the limit).
    usd_per_useful : float or None
        Expected cost over P(useful); None where that is 0.
    bar : float or None
        P(useful) that it has to clear under a ladder; its net value in USD under a value rule; None where it never can.
    eligible : bool
    why_not : str
        Why it is not eligible; "" where it is.
    """

    model: str
    p_useful: float
    from_prompt: float
    from_intent: float
    cost_usd: float
    p_late: float
    usd_per_useful: float | None
    bar: float | None
    eligible: bool
    why_not: str


@dataclass(frozen=True)
class Explanation:
    """Why a request goes where it goes.

    Attributes
    ----------
    decision : Decision
        The bundle's own, guards and exploration aside.
    next_in_line : str or None
        Where it would go if that model were not there; None where nobody else may take it.
    rule : str
        value or ladder.
    intents : tuple of (str, float)
        The most probable intents, labels only, with their probabilities.
    candidates : tuple of CandidateView
        Cheap to dear.
    words : tuple of Word
        Those that moved the choice most first.
    elsewhere : tuple of Elsewhere
        Single changes that would send it elsewhere.
    """

    decision: Decision
    next_in_line: str | None
    rule: str
    intents: tuple[tuple[str, float], ...]
    candidates: tuple[CandidateView, ...]
    words: tuple[Word, ...]
    elsewhere: tuple[Elsewhere, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as plain JSON values."""
        return {
            "decision": self.decision.to_dict(),
            "next_in_line": self.next_in_line,
            "rule": self.rule,
            "intents": [{"intent": name, "probability": probability} for name, probability in self.intents],
            "candidates": [asdict(one) for one in self.candidates],
            "words": [asdict(one) for one in self.words],
            "elsewhere": [asdict(one) for one in self.elsewhere],
        }


def explain(
    live: LiveBundle, prompt: Prompt, *, modality: str = "text", context_tokens: int = 0, intents: int = 5
) -> Explanation:
    """Explain where a bundle sends one request; guards, exploration and the kill-switch are left aside.

    Parameters
    ----------
    live : LiveBundle
    prompt : str, bytes or None
    modality : str
        text, image or audio.
    context_tokens : int
        History and documents beyond the prompt.
    intents : int
        How many intents are named.

    Raises
    ------
    PointsmanError
        Where the modality is unknown or context_tokens is negative.
    """
    prompts = checked_prompts([prompt])
    facts, policy = checked_facts(prompts, modality, context_tokens), live.policy
    reading = live.session.read(prompts)
    beliefs = believe(reading, facts, policy)
    chosen = int(decide(beliefs, policy.rule)[0])
    other = _next(beliefs, policy, chosen)
    probs = reading.intent_probs[0]
    likely = np.argsort(-probs, kind="stable")[:intents].tolist()
    return Explanation(
        decision=live.decide_alone(prompts, facts, [context_tokens], ["explain"])[0],
        next_in_line=None if other is None else policy.models[other],
        rule=policy.rule.kind,
        intents=tuple((policy.intents[at], float(probs[at])) for at in likely),
        candidates=tuple(_views(beliefs, facts, policy)),
        words=tuple(words_that_moved(prompt, live.session.read, facts, policy, chosen, other)),
        elsewhere=tuple(elsewhere(reading, facts, policy, intents)),
    )


def _next(beliefs: Beliefs, policy: Policy, chosen: int) -> int | None:
    """Return who gets the request where the chosen candidate may not; None where nobody else may."""
    eligible = beliefs.eligible.copy()
    eligible[chosen] = False
    return int(decide(replace(beliefs, eligible=eligible), policy.rule)[0]) if eligible.any() else None


def _views(beliefs: Beliefs, facts: Facts, policy: Policy) -> list[CandidateView]:
    useful, able = blend(beliefs, policy.rule)[:, 0], can_take(facts, policy)[:, 0]
    changes = policy.rule.by_intent(policy.intents)
    change = None if changes is None else float(changes[beliefs.intent[0]])
    views = []
    for column, model in enumerate(policy.models):
        cost, p_useful = float(beliefs.cost_usd[column, 0]), float(useful[column])
        eligible = bool(beliefs.eligible[column, 0])
        late = float(beliefs.late[column, 0])
        views.append(
            CandidateView(
                model=model,
                p_useful=p_useful,
                from_prompt=float(beliefs.query_useful[column, 0]),
                from_intent=float(beliefs.intent_useful[column, 0]),
                cost_usd=cost,
                p_late=late,
                usd_per_useful=cost / p_useful if p_useful > 0 else None,
                bar=_bar(policy, model, change, p_useful, cost, late),
                eligible=eligible,
                why_not="" if eligible else _why_not(policy, column, facts, bool(able[column])),
            )
        )
    return views


def _bar(policy: Policy, model: str, change: float | None, p_useful: float, cost: float, late: float) -> float | None:
    """Return the threshold of a ladder, or the net value under a value rule."""
    rule = policy.rule
    if isinstance(rule, LadderRule):
        threshold = rule.min_p_useful[model]
        return None if threshold > 1 else threshold + (change or 0.0)
    if isinstance(rule, ValueRule):
        return rule.useful_value_usd * (1.0 if change is None else change) * p_useful - cost - rule.late_cost_usd * late
    return None


def _why_not(policy: Policy, column: int, facts: Facts, able: bool) -> str:
    candidate, modality, tokens = policy.candidates[column], str(facts.modality[0]), int(facts.tokens[0])
    if modality not in candidate.modalities:
        return f"takes no {modality}"
    if not able:
        return f"reads at most {candidate.context_window:,} tokens; the request has {tokens:,}"
    return "a fixed rule sends the request elsewhere"
