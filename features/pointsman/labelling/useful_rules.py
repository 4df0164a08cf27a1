"""The rules of usefulness that a configuration may hold, with their parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from pointsman.documents import Number, Share, Strict, described

if TYPE_CHECKING:
    from pointsman.yaml_lines import Key

__all__ = [
    "AbandonedRule",
    "FailedRule",
    "FlagRule",
    "HallucinatedSpec",
    "Named",
    "PlainRule",
    "RefundRule",
    "Rule",
    "ScoreRule",
    "Word",
]

Word = Annotated[str, Field(strict=True, min_length=1)]
Words = Annotated[list[Word], Field(min_length=1)]
By = Annotated[list[Literal["user", "human", "judge", "code", "unknown"]], Field(min_length=1)]
_NAMES = "a name of scores or tags, or a list of such names"


class Named(Strict):
    """A mapping in which one name may stand for a list of one."""

    @model_validator(mode="before")
    @classmethod
    def _one_name(cls, document: Any) -> Any:
        if not isinstance(document, Mapping):
            return document
        alone = {key: [document[key]] for key in ("names", "from", "tags") if isinstance(document.get(key), str)}
        return {**document, **alone}


class PlainRule(Strict):
    """A rule without parameters."""


class FlagRule(Named):
    """An answer of which a score or a tag of one of these names is there and not false has this usefulness."""

    names: Words = Field(description=_NAMES)
    useful: Share = described("a number from 0 to 1", 0.0)


class RefundRule(Named):
    """An answer that was paid back for is useless."""

    names: Words = described(_NAMES, ["refund", "refunded", "chargeback", "money_back"])

    @property
    def useful(self) -> float:
        """Usefulness of such an answer."""
        return 0.0


class FailedRule(Strict):
    """An answer that did not come is useless: its status is one of these; by default words of failure, 4xx and 5xx."""

    statuses: Words | None = described("a list of words of the column status")


class AbandonedRule(Named):
    """An answer that the user did not wait for is useless: a status, or a score or tag that is there and not false."""

    names: Words = described(_NAMES, ["abandoned", "abandonment"])
    statuses: Words = described(
        "a list of words of the column status",
        ["cancelled", "canceled", "aborted", "abandoned", "client_closed", "client_disconnected", "499"],
    )

    @property
    def useful(self) -> float:
        """Usefulness of such an answer."""
        return 0.0


class ScoreRule(Named):
    """How scores of some names are read; the mean where several apply.

    At most one reading: a threshold (`at_least`, `at_most`: 1 where it holds, else 0); a scale (from `low`, 0, to
    `high`, 1, graded between; a `low` above `high` turns it round); `words` with the usefulness of each. Without one:
    values that speak for themselves.
    """

    names: Words = Field(description=_NAMES)
    by: By | None = described("a list of user, human, judge, code, unknown")
    at_least: Number | None = described("a number")
    at_most: Number | None = described("a number")
    low: Number | None = described("a number, with high")
    high: Number | None = described("a number other than low")
    words: dict[str, Share] | None = described("a mapping of words to numbers from 0 to 1")

    def faults(self) -> Iterator[tuple[Key, str]]:
        """Give what does not fit together, by its key."""
        if (self.low is None) != (self.high is None):
            there, gone = ("low", "high") if self.high is None else ("high", "low")
            yield (gone,), f"is missing beside {there}; allowed: a number other than {there}"
        elif self.low is not None and self.low == self.high:
            yield ("high",), f"is {self.high:g}, the same as low; allowed: a number other than low"
        readings = {"at_least": self.at_least, "at_most": self.at_most, "high": self.high, "words": self.words}
        held = [name for name, value in readings.items() if value is not None]
        if len(held) > 1:
            yield (held[1],), f"stands beside {held[0]}; allowed: one of at_least, at_most, low and high, words"


class HallucinatedSpec(Named):
    """Which scores tell that an answer was hallucinated: where the threshold holds, or at a word of `words`."""

    names: Words = Field(description=_NAMES)
    by: By | None = described("a list of user, human, judge, code, unknown")
    at_least: Number | None = described("a number")
    at_most: Number | None = described("a number")
    words: Words | None = described("a list of the words that tell a hallucination")

    def faults(self) -> Iterator[tuple[Key, str]]:
        """Give what does not fit together, by its key."""
        held = [name for name in ("at_least", "at_most", "words") if getattr(self, name) is not None]
        if len(held) != 1:
            path, what = ((held[1],), f"stands beside {held[0]}") if held else ((), "tells no threshold and no words")
            yield path, f"{what}; allowed: one of at_least, at_most, words"


class Rule(Strict):
    """One rule of usefulness: a word, or a mapping of one word to its parameters."""

    logged: PlainRule | None = None
    """The usefulness that the source holds itself."""
    feedback: PlainRule | None = None
    """What users or annotators said, where it speaks for itself."""
    judge: PlainRule | None = None
    """What a judge model or a check said, where it speaks for itself."""
    score: ScoreRule | None = None
    flag: FlagRule | None = None
    refund: RefundRule | None = None
    failed: FailedRule | None = None
    abandoned: AbandonedRule | None = None

    @model_validator(mode="before")
    @classmethod
    def _word_alone(cls, document: Any) -> Any:
        return {document: {}} if isinstance(document, str) else document

    @property
    def kind(self) -> str:
        """The word of the rule."""
        return next(iter(self.model_fields_set))

    @property
    def body(self) -> Any:
        """The rule's parameters."""
        return getattr(self, self.kind)

    @property
    def name(self) -> str:
        """What `useful_by` says: the word, with the names that were given."""
        names = getattr(self.body, "names", ()) if "names" in self.body.model_fields_set else ()
        return f"{self.kind}:{','.join(names)}" if names else self.kind

    def faults(self) -> Iterator[tuple[Key, str]]:
        """Give what does not fit together, by its key."""
        if len(self.model_fields_set) != 1:
            kinds = ", ".join(type(self).model_fields)
            yield (), f"has the keys {', '.join(sorted(self.model_fields_set)) or 'none'}; allowed: one of {kinds}"
        elif self.body is None:
            yield (self.kind,), f"is nothing; allowed: a mapping of parameters, or the word {self.kind} alone"
        elif isinstance(self.body, ScoreRule):
            yield from (((self.kind, *path), text) for path, text in self.body.faults())
