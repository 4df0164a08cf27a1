"""`pointsman.decide` for one request at a time, without the price of arrays of one.

What is arithmetic is the same call on the same arrays, so every number is the same to the last bit; what is a choice
among a few candidates (who can take it, who is eligible, which one) is a short walk in Python. That it chooses as
`believe` and `decide` do is a property test over random policies. Standard library and numpy only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.decide import Floats, Reading, blended
from pointsman.policy import MODALITIES

if TYPE_CHECKING:
    from pointsman.expected import Averages
    from pointsman.policy import Policy

__all__ = ["One", "OneByOne"]


class One:
    """One request, decided.

    Attributes
    ----------
    intent : int
        The most probable intent.
    column : int
        The candidate that the rule chooses.
    eligible : tuple of int
        The candidates that it could choose from.
    reading : Reading
        What it was decided by.
    """

    __slots__ = ("_averages", "_by", "_tokens", "column", "eligible", "intent", "reading")

    def __init__(
        self, by: OneByOne, reading: Reading, averages: Averages, tokens: Any, intent: int, eligible: tuple[int, ...]
    ) -> None:
        self._by, self.reading, self._averages, self._tokens = by, reading, averages, tokens
        self.intent, self.eligible = intent, eligible
        self.column = by.choose(self)

    @property
    def confidence(self) -> float:
        """Probability of the intent, 0..1."""
        reading = self.reading
        return float(reading.intent_probs[0, self.intent] if reading.intent_labels is None else reading.confidence[0])

    @property
    def doubtful(self) -> bool:
        """Whether the rule abstains, where it can."""
        abstain, scope = self._by.rule.abstain, self.reading.out_of_scope
        if abstain is None:
            return False
        if self.confidence < np.float32(abstain.below_confidence):
            return True
        above = abstain.above_out_of_scope
        return above is not None and scope is not None and bool(scope[0, 0] > np.float32(above))

    @property
    def useful(self) -> Floats:
        """Blended P(useful) of each candidate, (m, 1) float32."""
        return blended(self.reading.useful_probs.T, self._averages.useful, self._by.trust)

    @property
    def cost_usd(self) -> Floats:
        """Expected full cost of each candidate, USD, (m, 1) float32."""
        return self._by.expected.cost_of(self._averages, self._tokens, self.reading.output_tokens)

    @property
    def late(self) -> Floats:
        """P(later than the limit) of each candidate, (m, 1) float32."""
        return self._by.expected.late_of(self._averages, self._tokens, self.reading.output_tokens)


class OneByOne:
    """A policy, prepared to decide requests one by one.

    Parameters
    ----------
    policy : Policy
    """

    def __init__(self, policy: Policy) -> None:
        self.expected = policy.expected
        self.rule = policy.rule
        self.trust = np.float32(policy.rule.trust)
        self._changes = policy.rule.by_intent(policy.intents)
        self._needs = tuple(name in policy.rule.needs for name in ("cost_usd", "late"))
        column = {name: at for at, name in enumerate(policy.models)}
        self._able = {
            modality: tuple(
                (at, one.context_window) for at, one in enumerate(policy.candidates) if modality in one.modalities
            )
            for modality in MODALITIES
        }
        self._long = policy.long_context_tokens
        self._pinned_long = None if policy.long_context is None else column[policy.long_context]
        self._pinned_modality = {modality: column[model] for modality, model in policy.pinned_modalities.items()}
        self._pinned_intent = {policy.intents.index(name): column[to] for name, to in policy.pinned_intents.items()}
        self._safe = (column[policy.safe_model],)
        self._abstain = None if policy.rule.abstain is None else column[policy.rule.abstain.model]

    def decide(self, reading: Reading, modality: str, tokens: int) -> One:
        """Decide one request.

        Parameters
        ----------
        reading : Reading
            Of one prompt, float32.
        modality : str
            text, image or audio.
        tokens : int
            To read (see `pointsman.decide.Facts`).
        """
        probs = reading.intent_probs
        intent = int(probs.argmax())
        read = np.array((tokens,), dtype=np.float32)
        return One(self, reading, self.expected.averages(probs), read, intent, self._eligible(intent, modality, tokens))

    def choose(self, one: One) -> int:
        """Return the column that the rule chooses."""
        if self._abstain is not None and self._abstain in one.eligible and one.doubtful:
            return self._abstain
        if len(one.eligible) == 1:
            return one.eligible[0]
        changes, (cost, late) = self._changes, self._needs
        by_group = None if changes is None else changes[one.intent : one.intent + 1]
        return self.rule.choose_one(
            one.useful, one.cost_usd if cost else None, one.late if late else None, one.eligible, by_group
        )

    def _eligible(self, intent: int, modality: str, tokens: int) -> tuple[int, ...]:
        """Return what `pointsman.decide.eligibility` gives, as columns."""
        able = tuple([at for at, window in self._able[modality] if window is None or tokens <= window])
        pins = (
            self._pinned_intent.get(intent),
            self._pinned_modality.get(modality),
            self._pinned_long if tokens > self._long else None,
        )
        for pin in pins:  # the strongest first
            if pin is not None and pin in able:
                return (pin,)
        return able or self._safe
