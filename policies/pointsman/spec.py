"""The routing spec (contract 2): what the user wants, read from YAML; errors name the line, the key and what is allowed."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pointsman.errors import SpecError

__all__ = ["Constraints", "FreeFailureWarning", "RelativeRate", "RoutingSpec", "load_spec", "parse_spec"]

AS_LOGGED = "as_logged"
BEST_SINGLE = "best_single"

Money = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Modality = Literal["text", "image", "audio"]


class FreeFailureWarning(UserWarning):
    """The spec lets useless responses be free: the cheapest model always wins."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CandidateSpec(_Strict):
    """A model that requests may go to: prices in USD per million tokens, its limits."""

    input_usd_per_mtok: Money | None = None
    output_usd_per_mtok: Money | None = None
    modalities: Annotated[list[Modality], Field(min_length=1)] = ["text"]
    context_window: Annotated[int, Field(gt=0)] | None = None
    timeout_ms: Positive | None = None
    concurrency: Annotated[int, Field(gt=0)] | None = None


class Objective(_Strict):
    """What the search minimises."""

    minimise: Literal["cost_per_useful_response"] = "cost_per_useful_response"
    useless_response_usd: Money = 0.0


class RelativeRate(_Strict):
    """A useful rate no more than `margin` below the baseline's."""

    relative_to: Literal["baseline"] = "baseline"
    margin: Annotated[float, Field(ge=-1, le=1)] = 0.0


class Constraints(_Strict):
    """What must hold, and with which confidence."""

    p95_latency_ms: Positive | None = None
    useful_rate: Share | RelativeRate | None = None
    hallucination_rate: Share | None = None
    budget_usd_per_day: Positive | None = None
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95


class Rules(_Strict):
    """Fixed rules: an intent or a modality always goes to one candidate."""

    intents: dict[str, str] = {}
    modalities: dict[Modality, str] = {}


class FallbackSpec(_Strict):
    """Where a request goes when the model it was sent to failed (see `pointsman.policy.Fallback`)."""

    model: str
    when: list[str] = []
    cost_threshold_ms: Positive | None = None


class Guards(_Strict):
    """What the gateway does when things go wrong; carried in the policy."""

    retry_policy: Literal["none", "exponential_backoff"] | dict[str, float] | None = None
    breaker: dict[str, float] | None = None
    budget_usd_per_day: Positive | None = None
    cached_answer: str | None = None
    simpler_model: str | None = None


class RoutingSpec(_Strict):
    """The whole routing spec."""

    candidates: Annotated[dict[str, CandidateSpec], Field(min_length=1)]
    baseline: str = BEST_SINGLE
    safe_model: str
    requests_per_month: Positive | None = None
    objective: Objective = Objective()
    constraints: Constraints = Constraints()
    rules: Rules = Rules()
    fallbacks: list[FallbackSpec] | None = None
    long_context_tokens: Annotated[int, Field(gt=0)] = 8000
    guards: Guards = Guards()
    modelled: list[str] = []

    @model_validator(mode="before")
    @classmethod
    def _short_objective(cls, document: Any) -> Any:
        if isinstance(document, Mapping) and isinstance(document.get("objective"), str):
            return {**document, "objective": {"minimise": document["objective"]}}
        return document

    def model_post_init(self, context: Any, /) -> None:
        """Check that every model named is a candidate."""
        names = ", ".join(self.candidates)
        named = {"safe_model": self.safe_model, "guards.simpler_model": self.guards.simpler_model}
        if self.baseline not in {AS_LOGGED, BEST_SINGLE}:
            named["baseline"] = self.baseline
        named |= {f"rules.intents.{intent}": model for intent, model in self.rules.intents.items()}
        named |= {f"rules.modalities.{modality}": model for modality, model in self.rules.modalities.items()}
        named |= {f"fallbacks.{index}.model": fallback.model for index, fallback in enumerate(self.fallbacks or [])}
        for key, model in named.items():
            if model is not None and model not in self.candidates:
                allowed = f"{names}; or {AS_LOGGED}, {BEST_SINGLE}" if key == "baseline" else names
                raise SpecError(f"{key} is {model!r}, which is no candidate{_near(model, self.candidates)}; allowed: {allowed}")
        for modality, model in self.rules.modalities.items():
            if modality not in self.candidates[model].modalities:
                takes = ", ".join(self.candidates[model].modalities)
                raise SpecError(f"rules.modalities.{modality} is {model!r}, which takes only {takes}")

        if self.constraints.budget_usd_per_day is not None and self.requests_per_month is None:
            raise SpecError("constraints.budget_usd_per_day needs requests_per_month beside it: a budget is for a traffic")

    def warn(self) -> None:
        """Warn where cost per useful response alone decides, with failures free."""
        if self.constraints.useful_rate is None and self.objective.useless_response_usd == 0:
            warnings.warn(
                "cost alone is a trap: without constraints.useful_rate or objective.useless_response_usd the cheapest "
                "model wins on cost per useful response, because useless responses are free",
                FreeFailureWarning,
                stacklevel=2,
            )

    def to_yaml(self) -> str:
        """Return the spec as YAML: what was said in it, not the defaults."""
        return yaml.safe_dump(self.model_dump(exclude_unset=True, mode="json"), sort_keys=False, allow_unicode=True)


def load_spec(path: str | Path) -> RoutingSpec:
    """Read a routing spec from a YAML file.

    Raises
    ------
    SpecError
        Where the file cannot be read, is no YAML, or breaks the schema.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{file}: cannot be read: {error}") from error
    try:
        document = yaml.safe_load(text)
        lines = _lines(yaml.compose(text))
    except yaml.YAMLError as error:
        raise SpecError(f"{file}: not YAML: {' '.join(str(error).split())}") from error
    return parse_spec(document, source=str(file), lines=lines)


def parse_spec(document: Any, source: str = "spec", lines: Mapping[tuple[str, ...], int] | None = None) -> RoutingSpec:
    """Build a spec from plain values, in the full or in the short (``routing:``) form.

    Raises
    ------
    SpecError
        Where the document breaks the schema; one line for the first fault, and the number of further ones.
    """
    if not isinstance(document, Mapping):
        raise SpecError(f"{source}: a mapping with the key 'candidates' is needed, got {type(document).__name__}")
    if set(document) == {"routing"}:
        document = _from_short_form(document["routing"], source)
    try:
        return RoutingSpec.model_validate(document)
    except SpecError as error:
        key = tuple(str(error).split(" ", 1)[0].split("."))
        raise SpecError(f"{source}{_at(key, lines)}: {error}") from error
    except ValidationError as error:
        raise SpecError(_message(error, source, lines)) from error


def _from_short_form(routing: Any, source: str) -> dict[str, Any]:
    """Spell out the short form: a default model, fallbacks, a retry policy."""
    allowed = ("default_model", "fallbacks", "retry_policy")
    if not isinstance(routing, Mapping):
        raise SpecError(f"{source}: routing is {routing!r}; a mapping with {', '.join(allowed)} is needed")
    for key in routing:
        if key not in allowed:
            raise SpecError(f"{source}: routing.{key} is unknown{_near(str(key), allowed)}; allowed: {', '.join(allowed)}")
    default = routing.get("default_model")
    if not isinstance(default, str):
        raise SpecError(f"{source}: routing.default_model is {default!r}; a model name is needed")
    fallbacks = routing.get("fallbacks") or []
    if not isinstance(fallbacks, list) or not all(isinstance(f, Mapping) and isinstance(f.get("model"), str) for f in fallbacks):
        raise SpecError(f"{source}: routing.fallbacks must be a list of mappings, each with a model")
    names = dict.fromkeys([default, *(fallback["model"] for fallback in fallbacks)])
    document: dict[str, Any] = {"candidates": {name: {} for name in names}, "safe_model": default, "fallbacks": fallbacks}
    if routing.get("retry_policy") is not None:
        document["guards"] = {"retry_policy": routing["retry_policy"]}
    return document


def _message(error: ValidationError, source: str, lines: Mapping[tuple[str, ...], int] | None) -> str:
    faults = error.errors()
    # A union (a share or a relative rate) reports every branch: the deepest says most.
    fault = max(faults, key=lambda entry: (entry["type"] == "extra_forbidden", -faults.index(entry)))
    path = tuple(str(part) for part in fault["loc"] if not _is_branch(str(part)))
    key = ".".join(path)
    more = len({entry["loc"][:2] for entry in faults}) - 1
    tail = f" ({more} more)" if more > 0 else ""
    where = f"{source}{_at(path, lines)}"
    if fault["type"] == "extra_forbidden":
        allowed = _allowed_keys(path[:-1])
        return f"{where}: unknown key {key}{_near(path[-1], allowed)}; allowed: {', '.join(allowed)}{tail}"
    if fault["type"] == "missing":
        return f"{where}: {key} is missing{tail}"
    value = "nothing" if fault["input"] is None else repr(fault["input"])[:80]
    return f"{where}: {key} is {value}; {fault['msg'][0].lower()}{fault['msg'][1:]}{tail}"


def _is_branch(part: str) -> bool:
    """Tell pydantic's names of union branches from keys."""
    return part in {"RelativeRate", "float", "constrained-float", "none"} or part.startswith(("literal[", "dict[", "list["))


def _allowed_keys(path: tuple[str, ...]) -> list[str]:
    models: dict[str, type[BaseModel]] = {
        "candidates": CandidateSpec,
        "objective": Objective,
        "constraints": Constraints,
        "rules": Rules,
        "fallbacks": FallbackSpec,
        "guards": Guards,
    }
    model: type[BaseModel] = models.get(path[0], RoutingSpec) if path else RoutingSpec
    if path[:2] == ("constraints", "useful_rate"):
        model = RelativeRate
    return list(model.model_fields)


def _near(word: str, allowed: Any) -> str:
    match = difflib.get_close_matches(word, list(allowed), n=1)
    return f" (did you mean {match[0]}?)" if match else ""


def _at(path: tuple[str, ...], lines: Mapping[tuple[str, ...], int] | None) -> str:
    while lines and path:
        if path in lines:
            return f", line {lines[path]}"
        path = path[:-1]
    return ""


def _lines(node: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], int]:
    """Map each key's path to its line, counted from 1."""
    lines: dict[tuple[str, ...], int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            lines[here] = key.start_mark.line + 1
            lines |= _lines(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            here = (*path, str(index))
            lines[here] = value.start_mark.line + 1
            lines |= _lines(value, here)
    return lines
