"""What a score says by itself: which names judge an answer, and which of their values need no explanation.

A flag (true, 0 and 1, −1 and 1, yes, pass, 👍) or a number between 0 and 1 speaks for itself where the name is one that
judges the answer, such as ``user_feedback`` or ``correctness``. A value of 1 may also be the worst of 1 to 5: the
numbers seen in the whole source decide (`Survey`), and a rating is read only by a rule that says its scale.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Numbers", "Survey", "flagged", "hallucination", "is_feedback", "number", "plain", "self_evident", "verdict"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FEEDBACK = _words("feedback thumb thumbs thumbsup like liked likes vote upvote upvoted")
_RATING = _words("rating rated rate star stars csat nps score review")
_PRAISE = _words(
    "helpful helpfulness useful usefulness satisfaction satisfied correct correctness accuracy accurate "
    "quality good resolved resolution success successful succeeded accepted acceptance approved approval "
    "answered relevance relevancy relevant complete completeness completion pass passed verdict adherence "
    "following fulfilled fulfilment"
)
_BLAME = _words(
    "dislike disliked downvote downvoted thumbsdown down unhelpful useless incorrect incorrectness wrong "
    "bad poor negative complaint fail failed failure rejected unresolved irrelevant dissatisfied "
    "unsatisfied not"
)
_JUDGING = _FEEDBACK | _RATING | _PRAISE | _BLAME
_NEUTRAL = _words(
    "user users customer human end agent overall answer answers response output reply final model llm "
    "judge ai assistant eval evaluation metric is was the a an to of query question prompt request "
    "conversation thread session chat message qa task goal instruction instructions intent up positive "
    "explicit"
)
_GOOD_WORDS = _words(
    "1 true t yes y positive good great excellent up thumbs_up thumb_up thumbsup like liked upvote "
    "helpful useful correct right pass passed accept accepted approved satisfied resolved success "
    "successful relevant complete 👍 ✅"
)
_BAD_WORDS = _words(
    "0 false f no n negative bad poor terrible down thumbs_down thumb_down thumbsdown dislike disliked "
    "downvote unhelpful not_helpful useless not_useful incorrect wrong not_correct fail failed reject "
    "rejected unsatisfied dissatisfied unresolved not_resolved irrelevant unrelated not_relevant "
    "incomplete 👎 ❌"
)
_UNTRUE = _words("false f no n 0 off none null")
_INVENTED = _words("hallucination hallucinations hallucinated ungrounded unfaithful")
_GROUNDED = _words("faithfulness faithful groundedness grounded factuality factual")
_INVENTED_WORDS = _words("hallucinated hallucination unfaithful ungrounded not_grounded unsupported fail failed")
_GROUNDED_WORDS = _words("factual grounded faithful supported not_hallucinated no_hallucination pass passed")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_BREAK = re.compile(r"[\s_\-.:/]+")


@dataclass(slots=True)
class Numbers:
    """The numbers seen under one name."""

    count: int = 0
    low: float = math.inf
    high: float = -math.inf
    graded: bool = False
    """Some are no whole numbers."""

    def take(self, value: float) -> None:
        """Note one more number."""
        self.count += 1
        self.low, self.high = min(self.low, value), max(self.high, value)
        self.graded = self.graded or value != int(value)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


@dataclass
class Survey:
    """The numbers seen in the scores of a source, by (plain name, who judged); parts of a source are merged.

    The same score may be noted more than once.
    """

    numbers: dict[tuple[str, str], Numbers] = field(default_factory=dict)

    def note(self, name: str, value: float | str, by: str = "") -> None:
        """Take in one score."""
        found = number(value)
        if found is not None:
            self.numbers.setdefault((plain(name), by), Numbers()).take(found)

    def read(self, texts: Iterable[str]) -> None:
        """Take in cells of the column ``scores``: JSON texts ``[[name, value, by], …]``."""
        for text in texts:
            for name, value, by in json.loads(text):
                self.note(name, value, by)

    def merge(self, other: Survey) -> None:
        """Take in what another part of the source showed."""
        for key, seen in other.numbers.items():
            mine = self.numbers.setdefault(key, Numbers())
            mine.count += seen.count
            mine.low, mine.high = min(mine.low, seen.low), max(mine.high, seen.high)
            mine.graded = mine.graded or seen.graded

    def of(self, name: str, by: str) -> Numbers:
        """Return the numbers seen under a name."""
        return self.numbers.get((plain(name), by)) or Numbers()


@lru_cache(maxsize=4096)
def plain(name: str) -> str:
    """Return a name or a word in one spelling: ``User-Feedback``, ``userFeedback`` → ``user_feedback``."""
    return "_".join(part for part in _BREAK.split(_CAMEL.sub("_", name.strip()).lower()) if part)


def number(value: float | str) -> float | None:
    """Return a finite number, also from its text."""
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def flagged(value: float | str) -> bool:
    """Tell whether a score or a tag says yes; a tag without a value does."""
    found = number(value)
    return found != 0 if found is not None else str(value).strip().lower() not in _UNTRUE


@lru_cache(maxsize=4096)
def is_feedback(name: str, by: str) -> bool:
    """Tell whether a score is feedback of a person, not the verdict of a judge or a check."""
    if by:
        return by in {"user", "human"}
    return not _FEEDBACK.isdisjoint(_tokens(name)) or not _RATING.isdisjoint(_tokens(name))


def verdict(name: str, value: float | str, by: str, seen: Numbers) -> float | None:
    """Return the usefulness that a score tells by itself, 0..1; None where it tells none.

    Parameters
    ----------
    name : str
        Of the score. One with a word that neither judges nor is usual beside such words tells nothing (as in
        ``tool_accuracy``), nor does a false flag under a name of blame (no ``complaint`` is no praise).
    value : float or str
    by : str
        See `pointsman.spans.Score`.
    seen : Numbers
        Under this name in the whole source.
    """
    if not _judges(name, by):
        return None
    tokens = _tokens(name)
    found = self_evident(value, seen, rating=not _RATING.isdisjoint(tokens))
    if _BLAME.isdisjoint(tokens) or found is None:
        return found
    return 0.0 if found == 1 else None


def self_evident(value: float | str, seen: Numbers, rating: bool = False) -> float | None:
    """Return what a value says of usefulness whatever its name, 0..1; None where only its scale could tell.

    Parameters
    ----------
    value : float or str
        A word, a flag, or a number: graded where all numbers seen are within 0..1; 1 and −1 where they are −1, 0, 1.
    seen : Numbers
        Under this name in the whole source.
    rating : bool
        The name is one of scales: numbers count only where both ends of a flag were seen.
    """
    found = number(value)
    if found is None:
        word = plain(str(value))
        return 1.0 if word in _GOOD_WORDS else 0.0 if word in _BAD_WORDS else None
    low, high = min(seen.low, found), max(seen.high, found)
    if rating and not (low in {-1, 0} and high == 1):
        return None
    if low >= 0 and high <= 1:
        return found
    if low >= -1 and high <= 1 and not seen.graded and found in {-1.0, 1.0}:
        return float(found > 0)
    return None


def hallucination(name: str, value: float | str, seen: Numbers) -> float | None:
    """Return 1 where a score tells a hallucination, 0 where it tells there is none, None where it tells nothing.

    Names of hallucination tell it by true or from 0.5 on; names of faithfulness and groundedness by false or below 0.5.
    """
    tokens = _tokens(name)
    invented, grounded = not _INVENTED.isdisjoint(tokens), not _GROUNDED.isdisjoint(tokens)
    if invented == grounded:
        return None
    word = plain(str(value))
    if word in _INVENTED_WORDS or word in _GROUNDED_WORDS:
        return float(word in _INVENTED_WORDS)
    found = self_evident(value, seen)
    if found is None:
        return None
    return float(found >= 0.5) if invented else float(found < 0.5)


@lru_cache(maxsize=4096)
def _judges(name: str, by: str) -> bool:
    """Tell whether a name is about what the answer was worth."""
    tokens = _tokens(name)
    if _JUDGING.isdisjoint(tokens):
        return False
    # Whatever stands beside «feedback» in a name that a person fills: it is about the answer.
    return tokens <= _JUDGING | _NEUTRAL or (is_feedback(name, by) and not _FEEDBACK.isdisjoint(tokens))


@lru_cache(maxsize=4096)
def _tokens(name: str) -> frozenset[str]:
    return frozenset(plain(name).split("_"))
