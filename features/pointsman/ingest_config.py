"""The configuration of ingest, in YAML: which column is what, what counts as useful, where intents come from, prices.

Every key may be left out; the empty configuration is the documented default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from pointsman.columns import COLUMNS
from pointsman.documents import Count, MisfitError, Money, Number, Positive, Strict, checked, described, read_file
from pointsman.errors import ConfigError
from pointsman.faults import near, said
from pointsman.labelling.useful_rules import HallucinatedSpec, Named, Rule, Word

if TYPE_CHECKING:
    from pointsman.yaml_lines import Key, Lines

__all__ = [
    "REDACTIONS",
    "BehaviourSpec",
    "IngestConfig",
    "IntentSpec",
    "LeftSpec",
    "SelfTrainingSpec",
    "UserRetrySpec",
    "load_ingest_config",
    "parse_ingest_config",
]

Redaction = Literal["email", "phone", "key", "card", "iban", "ip"]
REDACTIONS: tuple[str, ...] = ("email", "phone", "key", "card", "iban", "ip")
_RULES = f"one of {', '.join(Rule.model_fields)}, alone or with its parameters"


class _MisfitError(MisfitError, ConfigError):
    """Parts of a configuration that do not fit each other."""


def _shape(value: Any) -> str:
    return "mapping" if isinstance(value, Mapping | Strict) else "plain"


class SelfTrainingSpec(Strict):
    """Fills intents that are not told by a model trained on those that are."""

    precision: Annotated[Number, Field(ge=0.5, lt=1)] = described("a number of at least 0.5 and below 1", 0.9)


class IntentSpec(Named):
    """Where an intent comes from when the source has no field for it."""

    keys: list[Word] = Field(["intent"], alias="from", description="a key of tags or metadata, or a list of such keys")
    tags: list[Word] = described("a tag that is an intent, or a list of such tags", [])
    self_training: SelfTrainingSpec | None = described("a mapping with the key precision, or {}")


class UserRetrySpec(Strict):
    """The user asked nearly the same again soon after the answer."""

    within_s: Positive = described("a number above 0", 120.0)
    similarity: Annotated[Number, Field(gt=0, le=1)] = described("a number above 0 and at most 1", 0.8)
    min_characters: Count = described("a whole number above 0", 12)


class LeftSpec(Strict):
    """The conversation ended with an answer that took long."""

    after_ms: Positive = Field(description="a number above 0")


class BehaviourSpec(Strict):
    """What users did next, as a label where there is no other."""

    user_retry: UserRetrySpec | None = described("a mapping with the keys within_s, similarity, min_characters, or {}")
    left: LeftSpec | None = described("a mapping with the key after_ms")


class ColumnSpec(Strict):
    """A column of the source that holds a time since 1970 or a duration in a unit."""

    column: Word
    unit: Literal["s", "ms", "us", "ns"] = Field(description="s, ms, us, ns")


class AssumeSpec(Strict):
    """What a benchmark did not measure and the trace table needs; such columns are marked as modelled."""

    latency_ms: (
        Annotated[Annotated[Money, Tag("plain")] | Annotated[dict[str, Money], Tag("mapping")], Discriminator(_shape)]
        | None
    ) = described("a number of at least 0, or a mapping of models to such numbers")
    timestamp: Word | None = described("order, or the date of the first row (ISO 8601)")


def _is_list(value: Any) -> str:
    return "word" if isinstance(value, str) else "list"


class IngestConfig(Strict):
    """The whole configuration of ingest.

    Attributes
    ----------
    columns : dict
        For plain JSON lines, CSV and Parquet: a column of the trace table (or ``scores.NAME``, ``tags.NAME``) to a
        column or dotted path of the source, or to ``{column, unit}`` for times since 1970 and durations.
    outcome_columns : list of str
        Columns of a wide outcome matrix that are models, where their names do not tell.
    assume : AssumeSpec
        Latency and time, where a benchmark tells none.
    models : dict
        Names of models in the source to names of candidates.
    intent : IntentSpec
    useful : list of Rule
        The first that applies to an answer decides.
    hallucinated : HallucinatedSpec or None
        None: by scores named hallucination, faithfulness or groundedness.
    cached_answers : str
        ``put_aside`` or ``keep``: answers from a response cache, which no model gave.
    prices : str or None
        File of the price table; `load_ingest_config` resolves it beside the configuration.
    redact : tuple of str or str
        What is blanked in prompts.
    behaviour : BehaviourSpec
        Off by default.
    """

    columns: dict[
        str,
        Annotated[Annotated[Word, Tag("plain")] | Annotated[ColumnSpec, Tag("mapping")], Discriminator(_shape)],
    ] = described("a mapping of columns of the trace table to columns of the source, or to {column, unit}", {})
    outcome_columns: list[Word] = described("a list of columns that are models", [])
    assume: AssumeSpec = described("a mapping with the keys latency_ms, timestamp", AssumeSpec())
    models: dict[str, Word] = described("a mapping of model names to candidates", {})
    intent: IntentSpec = described("a mapping with the keys from, tags, self_training", IntentSpec.model_validate({}))
    useful: list[Annotated[Rule, Field(description=_RULES)]] = described(
        f"a list of rules, each {_RULES}",
        [Rule.model_validate(word) for word in ("logged", "feedback", "refund", "failed", "judge")],
    )
    hallucinated: HallucinatedSpec | None = described("a mapping with names and one of at_least, at_most, words")
    cached_answers: Literal["put_aside", "keep"] = described("put_aside, keep", "put_aside")
    prices: Word | None = described("the path of a price table")
    redact: Annotated[
        Annotated[Literal["all"], Tag("word")] | Annotated[list[Redaction], Tag("list")], Discriminator(_is_list)
    ] = described(f"all, or a list of {', '.join(REDACTIONS)}", [])
    behaviour: BehaviourSpec = described("a mapping with the keys user_retry, left", BehaviourSpec())

    def model_post_init(self, _context: Any, /) -> None:
        """Check what belongs together."""
        faults = list(self._faults())
        if faults:
            raise _MisfitError(faults)

    @property
    def redactions(self) -> tuple[str, ...]:
        """The kinds of `redact`, ``all`` spelt out."""
        return REDACTIONS if self.redact == "all" else tuple(self.redact)

    @property
    def mapping(self) -> dict[str, str | dict[str, str]]:
        """The columns as `pointsman.readers.table.mapped` takes them."""
        return {
            name: source if isinstance(source, str) else source.model_dump() for name, source in self.columns.items()
        }

    @property
    def assumptions(self) -> dict[str, Any]:
        """What is assumed, as `pointsman.readers.outcome_matrix.matrix_rows` takes it."""
        return self.assume.model_dump(exclude_none=True)

    def _faults(self) -> Iterator[tuple[Key, str]]:
        for name in self.columns:
            prefix, dot, rest = name.partition(".")
            if name not in COLUMNS and not (prefix in {"scores", "tags"} and dot and rest):
                allowed = ", ".join(COLUMNS)
                yield (
                    ("columns", name),
                    f"is an unknown key{near(name, COLUMNS)}; allowed: {allowed}, scores.NAME, tags.NAME",
                )
        for index, rule in enumerate(self.useful):
            yield from ((("useful", str(index), *path), text) for path, text in rule.faults())
        if self.hallucinated is not None:
            yield from ((("hallucinated", *path), text) for path, text in self.hallucinated.faults())


def load_ingest_config(path: str | Path) -> IngestConfig:
    """Read a configuration from a YAML file (plain values of YAML 1.2); an empty file is the default.

    Raises
    ------
    ConfigError
        Where the file cannot be read, is no YAML, gives a key twice, or breaks the schema.
    """
    document, lines = read_file(path, ConfigError)
    config = parse_ingest_config({} if document is None else document, source=str(path), lines=lines)
    if config.prices is None:
        return config
    return config.model_copy(update={"prices": str(Path(path).parent / config.prices)})


def parse_ingest_config(document: Any, source: str = "config", lines: Lines | None = None) -> IngestConfig:
    """Build a configuration from plain values.

    Raises
    ------
    ConfigError
        Where the document breaks the schema; one line for the first fault, and the number of further ones.
    """
    if not isinstance(document, Mapping):
        keys = ", ".join(IngestConfig.model_fields)
        raise ConfigError(f"{source}: the configuration is {said(document)}; allowed: a mapping with the keys {keys}")
    return checked(IngestConfig, document, source, lines or {}, ConfigError)
