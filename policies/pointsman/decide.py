"""The one function that turns probabilities, request facts and a policy into a model.

The search, the replay and the router all call it, on the same arrays: what was tuned is what is served. Standard
library and numpy only. Arrays of beliefs are (m, n): one candidate a row, one request a column.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pointsman.policy import Policy
    from pointsman.rules import Rule

__all__ = [
    "CHARS_PER_TOKEN",
    "Beliefs",
    "Facts",
    "Reading",
    "believe",
    "blend",
    "blended",
    "can_take",
    "decide",
    "doubtful",
    "eligibility",
    "fallback_allowed",
]

CHARS_PER_TOKEN = 4
"""Code points counted as one token of a candidate's context window: an estimate that needs no tokenizer."""

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Reading:
    """What the classifier reads in n prompts.

    Attributes
    ----------
    intent_probs : (n, k) float array
        Rows sum to 1.
    useful_probs : (n, m) float array
        P(the candidate's response is useful).
    output_tokens : (n, m) float array or None
        Expected length of each candidate's answer, tokens; None where the traces did not tell.
    out_of_scope : (n, 1) float array or None
        Share of the requests learned from that were less unlike the others than this one.
    hallucination_probs : (n, m) float array or None
        P(the candidate's response is hallucinated); None where no trace was labelled.
    intent_labels : (n, k) float array or None
        P(the prompt has the intent), where prompts may have several: `intent_probs` are then expected shares of it.
    """

    intent_probs: Floats
    useful_probs: Floats
    output_tokens: Floats | None = None
    out_of_scope: Floats | None = None
    hallucination_probs: Floats | None = None
    intent_labels: Floats | None = None

    @property
    def confidence(self) -> Floats:
        """The probability of the most probable intent, (n,)."""
        probs = self.intent_probs if self.intent_labels is None else self.intent_labels
        return np.asarray(probs.max(axis=1))

    def take(self, at: Any) -> Reading:
        """Return the prompts at an index, mask or slice."""
        parts: dict[str, Any] = {name: None if part is None else part[at] for name, part in vars(self).items()}
        return Reading(**parts)


@dataclass(frozen=True, eq=False)
class Facts:
    """What a gateway knows of each request beside its text.

    Attributes
    ----------
    modality : (n,) str array
        text, image or audio.
    tokens : (n,) int array
        Estimated tokens a model must read: ``ceil(code points / 4) + context_tokens``.
    """

    modality: NDArray[np.str_]
    tokens: NDArray[np.int64]

    @classmethod
    def of(cls, prompt_chars: Any, modality: Any, context_tokens: Any) -> Facts:
        """Build the facts from code points, modalities and context tokens, each (n,) or a scalar."""
        chars = np.atleast_1d(np.asarray(prompt_chars, dtype=np.int64))
        tokens = -(-chars // CHARS_PER_TOKEN) + np.asarray(context_tokens, dtype=np.int64)
        return cls(*np.broadcast_arrays(np.asarray(modality, dtype=np.str_), tokens))

    def take(self, at: Any) -> Facts:
        """Return the requests at an index, mask or slice."""
        return Facts(self.modality[at], self.tokens[at])


@dataclass(frozen=True, eq=False)
class Beliefs:
    """What is believed of each candidate for each request, before any threshold.

    Attributes
    ----------
    intent : (n,) int array
        The most probable intent.
    query_useful, intent_useful : (m, n) float32 array
        P(useful) from this prompt, and from its intent alone.
    cost_usd, late : (m, n) float32 array
        Expected full cost, USD, and P(later than the limit).
    eligible : (m, n) bool array
        Whether the candidate can take the request at all (modality, context window, fixed rules).
    confidence : (n,) float32 array
        The probability of that intent.
    models, intents : tuple of str
        Names of the m candidates and the k intents: what a rule's names stand for.
    out_of_scope : (n,) float32 array or None
        See `Reading`; None where the classifier does not tell.
    """

    intent: NDArray[np.intp]
    query_useful: NDArray[np.float32]
    intent_useful: NDArray[np.float32]
    cost_usd: NDArray[np.float32]
    late: NDArray[np.float32]
    eligible: NDArray[np.bool_]
    confidence: NDArray[np.float32]
    models: tuple[str, ...]
    intents: tuple[str, ...]
    out_of_scope: NDArray[np.float32] | None = None

    def take(self, at: Any) -> Beliefs:
        """Return the requests at an index, mask or slice."""
        arrays: dict[str, Any] = {
            name: part[..., at] for name, part in vars(self).items() if isinstance(part, np.ndarray)
        }
        return replace(self, **arrays)


def believe(reading: Reading, facts: Facts, policy: Policy) -> Beliefs:
    """Combine what the classifier reads with the policy's tables and hard rules.

    Parameters
    ----------
    reading : Reading
        Of n prompts.
    facts : Facts
        Of the same n requests.
    policy : Policy
        With k intents and m candidates.
    """
    weights = np.asarray(reading.intent_probs, dtype=np.float32)
    expected, answers = policy.expected, reading.output_tokens
    averages = expected.averages(weights)
    intent = weights.argmax(axis=1)
    return Beliefs(
        intent=intent,
        query_useful=np.ascontiguousarray(np.asarray(reading.useful_probs, dtype=np.float32).T),
        intent_useful=averages.useful,
        cost_usd=expected.cost_of(averages, facts.tokens, answers),
        late=expected.late_of(averages, facts.tokens, answers),
        eligible=eligibility(intent, facts, policy),
        confidence=np.asarray(reading.confidence, dtype=np.float32),
        models=policy.models,
        intents=policy.intents,
        out_of_scope=None if reading.out_of_scope is None else np.asarray(reading.out_of_scope[:, 0], dtype=np.float32),
    )


def blend(beliefs: Beliefs, rule: Rule) -> Floats:
    """Return P(useful), (m, n) float32: per-query evidence by the rule's trust, the rest the intent's average."""
    return blended(beliefs.query_useful, beliefs.intent_useful, np.float32(rule.trust))


def blended(query_useful: Floats, intent_useful: Floats, trust: np.float32) -> Floats:
    """Return per-query evidence by the trust in it, the rest the intent's average; (m, n) float32."""
    useful = query_useful - intent_useful
    useful *= trust
    useful += intent_useful
    return useful


def decide(beliefs: Beliefs, rule: Rule) -> NDArray[np.intp]:
    """Return the chosen candidate of each request, (n,).

    A doubtful request goes where the rule abstains to, unless that candidate is not eligible: what a fixed rule sends
    elsewhere, or the candidate cannot take, is not abstained from.
    """
    changes = rule.by_intent(beliefs.intents)
    by_group = None if changes is None else changes[beliefs.intent]
    chosen = rule.choose(blend(beliefs, rule), beliefs.cost_usd, beliefs.late, beliefs.eligible, by_group)
    if rule.abstain is not None:
        row = beliefs.models.index(rule.abstain.model)
        chosen[doubtful(beliefs, rule) & beliefs.eligible[row]] = row
    return chosen


def doubtful(beliefs: Beliefs, rule: Rule) -> NDArray[np.bool_]:
    """Return, (n,), whose most probable intent is less probable than the rule asks for, or who are out of scope.

    Compared in float32.
    """
    least = 0.0 if rule.abstain is None else rule.abstain.below_confidence
    doubt = beliefs.confidence < np.float32(least)
    if rule.abstain is not None and rule.abstain.above_out_of_scope is not None and beliefs.out_of_scope is not None:
        doubt = doubt | (beliefs.out_of_scope > np.float32(rule.abstain.above_out_of_scope))
    return doubt


def fallback_allowed(beliefs: Beliefs, facts: Facts, policy: Policy) -> NDArray[np.bool_]:
    """Return, (f, n), which fallbacks each request may use: their conditions hold, their model can take it."""
    allowed = np.zeros((len(policy.fallbacks), len(beliefs.intent)), dtype=np.bool_)
    able = can_take(facts, policy)
    for row, fallback in enumerate(policy.fallbacks):
        fits = np.full(allowed.shape[1], not fallback.requests)
        for word in fallback.requests:
            if word == "long_context":
                fits |= facts.tokens > policy.long_context_tokens
            if word in policy.intents:
                fits |= beliefs.intent == policy.intents.index(word)
            fits |= facts.modality == word
        allowed[row] = fits & able[policy.models.index(fallback.model)]
    return allowed


def can_take(facts: Facts, policy: Policy) -> NDArray[np.bool_]:
    """Return, (m, n), which candidate can read the request: modality and context window."""
    able = np.zeros((len(policy.candidates), len(facts.tokens)), dtype=np.bool_)
    for row, candidate in enumerate(policy.candidates):
        for modality in candidate.modalities:  # three times as fast as np.isin for one request
            able[row] |= facts.modality == modality
        if candidate.context_window is not None:
            able[row] &= facts.tokens <= candidate.context_window
    return able


def eligibility(intent: NDArray[np.intp], facts: Facts, policy: Policy) -> NDArray[np.bool_]:
    """Return, (m, n), which candidate each request may go to by the hard rules alone.

    First who can take it. Among those a pinned intent wins over a pinned modality, and that over the long-context
    model; a fixed rule whose model cannot take the request is passed over. The safe model where nobody can take it.
    """
    able = can_take(facts, policy)
    pins = []
    if policy.long_context is not None:
        pins.append((facts.tokens > policy.long_context_tokens, policy.long_context))
    pins += [(facts.modality == modality, model) for modality, model in policy.pinned_modalities.items()]
    pins += [(intent == policy.intents.index(name), model) for name, model in policy.pinned_intents.items()]
    eligible = able.copy()
    for at, model in pins:
        row = policy.models.index(model)
        pinned = at & able[row]
        eligible[:, pinned] = False
        eligible[row, pinned] = True
    nobody = ~eligible.any(axis=0)
    eligible[policy.models.index(policy.safe_model), nobody] = True
    return eligible
