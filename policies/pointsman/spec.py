"""The routing spec (contract 2): what the user wants, in YAML; errors name the line, the key and what is allowed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from pointsman.documents import (
    Count,
    MisfitError,
    Money,
    Number,
    Positive,
    Share,
    Strict,
    checked,
    described,
    read_file,
)
from pointsman.errors import SpecError
from pointsman.faults import at, near, said
from pointsman.guards_spec import Guards
from pointsman.yaml_lines import Key, Lines, write_yaml

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "Constraints",
    "FreeFailureWarning",
    "LoadSpec",
    "Promotion",
    "RelativeRate",
    "RoutingSpec",
    "load_spec",
    "parse_spec",
]

AS_LOGGED = "as_logged"
BEST_SINGLE = "best_single"

Modality = Literal["text", "image", "audio"]
Certificate = Literal["auto", "split", "cross_fitted", "none"]
"""What proves the constraints: split is the certify slice alone, exact for any number of requests; cross_fitted is the
folds of the learn slice, for few requests; none proves nothing; auto takes what the requests suffice for."""


class FreeFailureWarning(UserWarning):
    """The spec lets useless responses be free: the cheapest model always wins."""


class _MisfitError(MisfitError, SpecError):
    """Parts of a spec that do not fit each other."""


class CandidateSpec(Strict):
    """A model that requests may go to: prices in USD per million tokens, its limits.

    Cached and written input costs the input rate where it has no own, reasoning the output rate.
    """

    input_usd_per_mtok: Money | None = described("a number of at least 0")
    output_usd_per_mtok: Money | None = described("a number of at least 0")
    cached_input_usd_per_mtok: Money | None = described("a number of at least 0")
    cache_write_usd_per_mtok: Money | None = described("a number of at least 0")
    reasoning_usd_per_mtok: Money | None = described("a number of at least 0")
    modalities: Annotated[list[Modality], Field(min_length=1)] = described(
        "a list of at least one of text, image, audio", ["text"]
    )
    context_window: Count | None = described("a whole number above 0")
    timeout_ms: Positive | None = described("a number above 0")
    concurrency: Count | None = described("a whole number above 0")


class Objective(Strict):
    """What the search minimises."""

    minimise: Literal["cost_per_useful_response"] = described("cost_per_useful_response", "cost_per_useful_response")
    useless_response_usd: Money = described("a number of at least 0", 0.0)


class RelativeRate(Strict):
    """A useful rate no more than `margin` below the baseline's."""

    relative_to: Literal["baseline"] = described("baseline", "baseline")
    margin: Annotated[Number, Field(ge=-1, le=1)] = described("a number from -1 to 1", 0.0)


def _is_relative(value: Any) -> str:
    return "relative" if isinstance(value, Mapping | RelativeRate) else "absolute"


def _is_number(value: Any) -> str:
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else "word"


class Constraints(Strict):
    """What must hold, and with which confidence."""

    p95_latency_ms: Positive | None = described("a number above 0")
    latency: Literal["alone", "under_load"] = described("alone, under_load", "alone")
    """Which latency the P95 is of: the traces' own, or with queues at the places and the rate of ``load``."""
    useful_rate: (
        Annotated[
            Annotated[Share, Tag("absolute")] | Annotated[RelativeRate, Tag("relative")], Discriminator(_is_relative)
        ]
        | None
    ) = described("a number from 0 to 1, or a mapping {relative_to: baseline, margin: a number from -1 to 1}")
    hallucination_rate: Share | None = described("a number from 0 to 1")
    budget_usd_per_day: Positive | None = described("a number above 0")
    confidence: Annotated[Number, Field(ge=0.5, lt=1)] = described("a number of at least 0.5 and below 1", 0.95)
    holds_over_requests: Count | None = described("a whole number above 0")
    """Coming requests over which the measured value must keep the limit too; by default half as many as certify it."""


class LatencySpec(Strict):
    """How long a model takes, where traces do not tell; see `pointsman.load.latency`."""

    base_ms: Money = Field(description="a number of at least 0")
    ms_per_input_token: Money = described("a number of at least 0", 0.0)
    ms_per_output_token: Money = described("a number of at least 0", 0.0)
    slowdown: Money = described("a number of at least 0", 0.0)


class LoadSpec(Strict):
    """The traffic of load replays, and what models can take."""

    rate_per_s: Positive | None = described("a number above 0")
    arrivals: str = described("own, poisson, or the path of a trace (.csv as Azure's, .jsonl as Mooncake's)", "poisson")
    concurrency: dict[str, Count] = described("a mapping of candidates to whole numbers above 0", {})
    """Requests that a model really serves at once; the candidate's own ``concurrency`` where it is left out."""
    latency: dict[str, LatencySpec] = described("a mapping of candidates to base_ms, ms_per_input_token, …", {})


class Promotion(Strict):
    """When a challenger may take the champion's place (see `pointsman.retraining.gate`)."""

    min_gain_usd: Money = described("a number of at least 0", 0.0)
    """Net value of a request that the challenger is proven to gain more than."""
    useful_margin: Share = described("a number from 0 to 1", 0.02)
    """How much of the useful rate it is allowed to lose, proven."""
    intent_margin: Share = described("a number from 0 to 1", 0.05)
    """How much any single intent may seem to lose."""
    confidence: Annotated[Number, Field(ge=0.5, lt=1)] = described("a number of at least 0.5 and below 1", 0.95)
    certificate: Literal["required", "not_refuted"] = described("required, not_refuted", "required")
    label_jump: Share = described("a number from 0 to 1", 0.15)
    """How far the labelled usefulness of a model may move before a person must look at the labels."""
    label_noise: Share = described("a number from 0 to 1", 0.15)
    """Which share of intent labels may be suspicious before a person must look at them."""
    gate_share: Annotated[Number, Field(ge=0.1, le=0.6)] = described("a number from 0.1 to 0.6", 0.3)
    """Newest share of the fresh requests, kept from the fit, on which champion and challenger are compared."""


class AbstainSpec(Strict):
    """Where a request goes whose most probable intent is less probable than a limit, which may be searched for.

    Or which is out of scope: unlike what was learned from, by a threshold that so many requests in scope exceed.
    """

    below_confidence: Annotated[
        Annotated[Share, Tag("number")] | Annotated[Literal["searched"], Tag("word")], Discriminator(_is_number)
    ] = described("a number from 0 to 1, or searched", "searched")
    model: str = Field(description="the name of a candidate")
    out_of_scope_false_alarms: Annotated[Number, Field(gt=0, lt=1)] | None = described("a number between 0 and 1")


class Rules(Strict):
    """Fixed rules: intents, modalities, long or doubtful requests that always go to one candidate."""

    intents: dict[str, str] = described("a mapping of intents to candidates", {})
    modalities: dict[Modality, str] = described("a mapping of text, image, audio to candidates", {})
    long_context: str | None = described("the name of a candidate")
    abstain: AbstainSpec | None = described(
        "a mapping with the keys below_confidence, model, out_of_scope_false_alarms"
    )


class FallbackSpec(Strict):
    """Where a request goes when the model it was sent to failed (see `pointsman.policy.Fallback`)."""

    model: str = Field(description="the name of a candidate")
    when: list[str] = described("a list of intents, text, image, audio, long_context, timeout, error", [])
    cost_threshold_ms: Positive | None = described("a number above 0")


class RoutingSpec(Strict):
    """The whole routing spec."""

    candidates: Annotated[dict[str, CandidateSpec], Field(min_length=1)] = Field(
        description="a mapping of at least one model name to its prices and limits ({} for none)"
    )
    baseline: str = described(f"the name of a candidate, {AS_LOGGED} or {BEST_SINGLE}", BEST_SINGLE)
    safe_model: str = Field(description="the name of a candidate")
    requests_per_month: Positive | None = described("a number above 0")
    objective: Objective = described("cost_per_useful_response, or a mapping", Objective())
    constraints: Constraints = described(None, Constraints())
    certificate: Certificate = described("auto, split, cross_fitted, none", "auto")
    promotion: Promotion = described(None, Promotion())
    rules: Rules = described(None, Rules())
    fallbacks: list[FallbackSpec] | None = described("a list of mappings, each with a model")
    families: dict[str, Annotated[list[str], Field(min_length=2)]] = described(
        "a mapping of names to lists of at least two candidates, the least able first", {}
    )
    """Candidates of one family, in order: P(useful) never falls along it."""
    long_context_tokens: Count = described("a whole number above 0", 8000)
    guards: Guards = described(None, Guards())
    load: LoadSpec = described(None, LoadSpec())
    modelled: list[str] = described("a list of columns of the trace table", [])

    @model_validator(mode="before")
    @classmethod
    def _short_objective(cls, document: Any) -> Any:
        if isinstance(document, Mapping) and isinstance(document.get("objective"), str):
            return {**document, "objective": {"minimise": document["objective"]}}
        return document

    def model_post_init(self, _context: Any, /) -> None:
        """Check that every model named is a candidate, and that what belongs together is there."""
        faults = list(self._faults())
        if faults:
            raise _MisfitError(faults)

    def _faults(self) -> Iterator[tuple[Key, str]]:
        names = ", ".join(self.candidates)
        for name in self.candidates:
            if name in {AS_LOGGED, BEST_SINGLE}:
                yield ("candidates", name), "is a word of baseline, not a model; any other name is allowed"
            if not name.strip():
                yield ("candidates",), f"has the name {name!r}; a name of at least one letter is allowed"
        for path, model in self._named():
            if model not in self.candidates:
                allowed = f"{names}; or {AS_LOGGED}, {BEST_SINGLE}" if path == ("baseline",) else names
                meant = near(model, self.candidates)
                yield path, f"is {model!r}, which is no candidate{meant}; allowed: {allowed}"
        for modality, model in self.rules.modalities.items():
            if model in self.candidates and modality not in self.candidates[model].modalities:
                able = [name for name, one in self.candidates.items() if modality in one.modalities]
                takes = ", ".join(self.candidates[model].modalities)
                allowed = ", ".join(able) or f"no candidate; give one of them {modality} under modalities"
                yield ("rules", "modalities", modality), f"is {model!r}, which takes only {takes}; allowed: {allowed}"
        placed: set[str] = set()
        for family, members in self.families.items():
            twice = [model for at, model in enumerate(members) if model in placed or model in members[:at]]
            if twice:
                yield ("families", family), f"names {twice[0]!r}, which has a place in a family; one place is allowed"
            placed |= set(members)
        long_context = self.candidates.get(self.rules.long_context or "")
        window = long_context.context_window if long_context else None
        if window is not None and window <= self.long_context_tokens:
            roomy = [
                name
                for name, one in self.candidates.items()
                if one.context_window is None or one.context_window > self.long_context_tokens
            ]
            allowed = ", ".join(roomy) or "no candidate; lower long_context_tokens or give one a larger context_window"
            too_small = (
                f"is {self.rules.long_context!r}, whose context_window of {window} takes no request of more than "
            )
            yield (
                ("rules", "long_context"),
                f"{too_small}long_context_tokens ({self.long_context_tokens}); allowed: {allowed}",
            )
        if self.constraints.budget_usd_per_day is not None and self.requests_per_month is None:
            path, budget = ("constraints", "budget_usd_per_day"), self.constraints.budget_usd_per_day
            yield path, f"is {budget:g}, but requests_per_month is missing: a budget is for a traffic; give both"

        yield from self._load_faults()

    def _load_faults(self) -> Iterator[tuple[Key, str]]:
        """Give what is missing where the P95 is meant under load."""
        if self.constraints.latency != "under_load":
            return
        path = ("constraints", "latency")
        if self.constraints.p95_latency_ms is None:
            yield path, "is under_load, but there is no limit to keep: give constraints.p95_latency_ms"
        if self.load.rate_per_s is None and self.requests_per_month is None:
            yield path, "is under_load, but nothing says how many requests come: give load.rate_per_s"
        seated = {*self.load.concurrency, *(name for name, one in self.candidates.items() if one.concurrency)}
        if not seated:
            yield (
                path,
                "is under_load, but no candidate has a concurrency, so nothing ever waits: give load.concurrency",
            )
        if self.load.arrivals == "own":
            yield (
                ("load", "arrivals"),
                "is own, which constraints.latency under_load cannot take; allowed: poisson, a path",
            )

    def _named(self) -> Iterator[tuple[Key, str]]:
        """Give each place that names a candidate."""
        for part in ("concurrency", "latency"):
            for model in getattr(self.load, part):
                yield ("load", part, model), model
        yield ("safe_model",), self.safe_model
        if self.baseline not in {AS_LOGGED, BEST_SINGLE}:
            yield ("baseline",), self.baseline
        for intent, model in self.rules.intents.items():
            yield ("rules", "intents", intent), model
        for modality, model in self.rules.modalities.items():
            yield ("rules", "modalities", modality), model
        if self.rules.long_context is not None:
            yield ("rules", "long_context"), self.rules.long_context
        if self.rules.abstain is not None:
            yield ("rules", "abstain", "model"), self.rules.abstain.model
        for index, fallback in enumerate(self.fallbacks or []):
            yield ("fallbacks", str(index), "model"), fallback.model
        for family, members in self.families.items():
            for index, model in enumerate(members):
                yield ("families", family, str(index)), model
        if self.guards.simpler_model is not None:
            yield ("guards", "simpler_model"), self.guards.simpler_model

    def warn(self) -> None:
        """Warn where cost per useful response alone decides, with failures free.

        A useful rate that every model meets (0, or a margin of 1) is no constraint.
        """
        rate = self.constraints.useful_rate
        free = rate.margin >= 1 if isinstance(rate, RelativeRate) else not rate
        if free and self.objective.useless_response_usd == 0:
            warnings.warn(
                "cost alone is a trap: without constraints.useful_rate or a price for failure "
                "(objective.useless_response_usd) the cheapest model always wins on cost per useful response, because "
                "failures are free",
                FreeFailureWarning,
                stacklevel=2,
            )

    def to_yaml(self) -> str:
        """Return the spec as YAML: what was said in it, not the defaults."""
        document = self.model_dump(exclude_unset=True, mode="json")
        return write_yaml(document)


def load_spec(path: str | Path) -> RoutingSpec:
    """Read a routing spec from a YAML file.

    Plain values are those of YAML 1.2: ``Yes``, ``on``, ``1:30`` and ``2026-01-01`` are texts. Keys are texts as they
    were written, so that a model may be called ``1.50``; as a value such a name needs quotes.

    Raises
    ------
    SpecError
        Where the file cannot be read, is no YAML, gives a key twice, or breaks the schema.
    """
    document, lines = read_file(path, SpecError)
    if document is None:
        raise SpecError(f"{path}: the file is empty; a mapping with the keys candidates and safe_model is needed")
    return parse_spec(document, source=str(path), lines=lines)


def parse_spec(document: Any, source: str = "spec", lines: Lines | None = None) -> RoutingSpec:
    """Build a spec from plain values, in the full or in the short (``routing:``) form.

    Raises
    ------
    SpecError
        Where the document breaks the schema; one line for the first fault, and the number of further ones.
    """
    lines = lines or {}
    if not isinstance(document, Mapping):
        it_is = f"is {said(document)}"
        raise SpecError(f"{source}: the spec {it_is}; a mapping with the keys candidates and safe_model is needed")
    short = "routing" in document
    if short:
        document = _from_short_form(document, source, lines)
    return checked(RoutingSpec, document, source, lines, SpecError, shown=_short_path if short else tuple)


_SHORT_FORM = ("default_model", "fallbacks", "retry_policy")


def _from_short_form(document: Mapping[str, Any], source: str, lines: Lines) -> dict[str, Any]:
    """Spell out the short form: a default model, fallbacks, a retry policy."""
    allowed = ", ".join(_SHORT_FORM)
    beside = [str(key) for key in document if key != "routing"]
    if beside:
        where = f"{source}{at((beside[0],), lines)}"
        raise SpecError(f"{where}: {beside[0]} stands beside routing; the short form is routing alone, with {allowed}")
    routing, where = document["routing"], f"{source}{at(('routing',), lines)}"
    if not isinstance(routing, Mapping):
        raise SpecError(f"{where}: routing is {said(routing)}; allowed: a mapping with {allowed}")
    for key in map(str, routing):
        if key not in _SHORT_FORM:
            where = f"{source}{at(('routing', key), lines)}"
            raise SpecError(f"{where}: routing.{key} is unknown{near(key, _SHORT_FORM)}; allowed: {allowed}")
    if "default_model" not in routing:
        raise SpecError(f"{where}: routing.default_model is missing; allowed: a model name")
    default, fallbacks = routing["default_model"], routing.get("fallbacks")
    listed = fallbacks if isinstance(fallbacks, list) else []
    named = [default, *(one.get("model") for one in listed if isinstance(one, Mapping))]
    spelt: dict[str, Any] = {
        "candidates": {name: {} for name in named if isinstance(name, str)} or {"": {}},
        "safe_model": default,
        "fallbacks": [] if fallbacks is None else fallbacks,
    }
    if routing.get("retry_policy") is not None:
        spelt["guards"] = {"retry_policy": routing["retry_policy"]}
    return spelt


def _short_path(path: Key) -> Key:
    """Return where a key of the full form stands in the short one."""
    if path == ("safe_model",):
        return ("routing", "default_model")
    return ("routing", *(path[1:] if path[0] == "guards" else path))
