"""Which words of a prompt moved the choice: each is left out in turn (occlusion; Zeiler and Fergus 2014)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pointsman.decide import believe, blend, decide
from pointsman.text import valid_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pointsman.decide import Facts, Reading
    from pointsman.policy import Policy

__all__ = ["MOST_PARTS", "Word", "words_that_moved"]

MOST_PARTS = 48
"""Parts that a prompt is cut into at most: several neighbouring words a part in long ones."""

_WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class Word:
    """One word, or several neighbours, and what changes with it.

    Attributes
    ----------
    text : str
    start, stop : int
        Code points of the prompt.
    advantage : float
        What it adds to P(useful | chosen) - P(useful | the next in line), both as the rule blends them; where there is
        no other candidate, to P(useful | chosen).
    confidence : float
        What it adds to the probability of the intent.
    model_without : str
        Where the request goes without it.
    """

    text: str
    start: int
    stop: int
    advantage: float
    confidence: float
    model_without: str


def words_that_moved(
    prompt: str | bytes | None,
    read: Callable[[Sequence[str]], Reading],
    facts: Facts,
    policy: Policy,
    chosen: int,
    other: int | None,
) -> list[Word]:
    """Return the words of a prompt, those that moved the choice most first.

    Parameters
    ----------
    prompt : str, bytes or None
    read : callable
        The classifier: n texts to their reading.
    facts : Facts
        Of the one request; they stay as they are, so that only the text tells.
    policy : Policy
    chosen, other : int, int or None
        Columns of the chosen candidate and of the next in line.
    """
    text = valid_text(prompt)
    spans = _spans(text)
    if not spans:
        return []
    texts = [text, *(f"{text[:start]} {text[stop:]}" for start, stop in spans)]
    reading = read(texts)
    beliefs = believe(reading, facts.take([0] * len(texts)), policy)
    useful = blend(beliefs, policy.rule)
    advantage = useful[chosen] if other is None else useful[chosen] - useful[other]
    models = [policy.models[column] for column in decide(beliefs, policy.rule).tolist()]
    confidence = reading.intent_probs[:, beliefs.intent[0]]
    words = [
        Word(
            text[start:stop],
            start,
            stop,
            float(advantage[0] - advantage[at]),
            float(confidence[0] - confidence[at]),
            models[at],
        )
        for at, (start, stop) in enumerate(spans, start=1)
    ]
    return sorted(words, key=lambda word: -abs(word.advantage))


def _spans(text: str) -> list[tuple[int, int]]:
    """Return where the parts stand, at most `MOST_PARTS`."""
    found = [match.span() for match in _WORD.finditer(text)]
    size = -(-len(found) // MOST_PARTS) if found else 1
    return [(part[0][0], part[-1][1]) for part in (found[at : at + size] for at in range(0, len(found), size))]
