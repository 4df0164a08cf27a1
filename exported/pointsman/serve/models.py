"""What the sidecar takes and gives: strict forms with examples, of which the OpenAPI document is made."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from pointsman.decision import Decision
from pointsman.incoming import MAX_CONTEXT_TOKENS, MAX_ID_CHARS

__all__ = [
    "AdminRequest",
    "BatchAnswer",
    "BatchRequest",
    "DecisionForm",
    "NextAnswer",
    "NextRequest",
    "Problem",
    "ReloadRequest",
    "ReportRequest",
    "RouteRequest",
]


def _prompt(value: Any) -> Any:
    if value is not None and not isinstance(value, str):
        raise PydanticCustomError("prompt_type", "input should be a text or null")
    return value


# Not pydantic's str, which refuses a text with half a surrogate pair: every prompt gets a decision.
PromptText = Annotated[
    str | None, PlainValidator(_prompt), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "null"}]})
]
Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARS)]
Tokens = Annotated[int, Field(ge=0, le=MAX_CONTEXT_TOKENS)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
# As the router computed it, in float32: it may miss 0 or 1 by a rounding.
Probability = Annotated[float, Field(ge=-1e-5, le=1.00001, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=512)]

EXAMPLE_DECISION: dict[str, Any] = {
    "model": "small-precise",
    "intent": "short_answer",
    "tier": 0,
    "confidence": 0.97,
    "p_useful": 0.94,
    "fallbacks": ["big-decoder-v2"],
    "timeout_ms": 8000.0,
    "reason": "short_answer (0.97): small-precise is useful in 0.94 of such requests and the cheapest",
    "request_id": "4c1f0a9be2d3",
    "version": "9f86d081884c7d65",
    "fallback_steps": [{"model": "big-decoder-v2", "failures": ["timeout"], "within_ms": 4000.0}],
    "decided_at": 1767225600.0,
}


class Form(BaseModel):
    """No conversions, no unknown keys."""

    model_config = ConfigDict(strict=True, extra="forbid")


class RouteRequest(Form):
    """One request to be routed."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": "Why does this loop never end?", "context_tokens": 1200}]}
    )
    text: PromptText = Field(description="What the user asks; null where there is no text.")
    modality: Literal["text", "image", "audio"] = "text"
    context_tokens: Tokens = Field(0, description="History and documents beyond the prompt, tokens.")
    request_id: Id | None = Field(None, description="The header X-Request-ID where not given.")
    user_id: Id | None = Field(None, description="For the log alone.")


class BatchRequest(Form):
    """Several requests, all decided by the same bundle."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"requests": [{"text": "What is 2 + 2?"}, {"text": "Who is this?", "modality": "image"}]}]
        }
    )
    requests: list[RouteRequest]


class StepForm(Form):
    """A fallback: for which failures (none: all), and until when, ms."""

    model: Name
    failures: Annotated[list[Literal["timeout", "error"]], Field(max_length=2)] = []
    within_ms: Amount | None = None


class DecisionForm(Form):
    """A decision: where the request goes and why. Hand it back as it is to /report and /next."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_DECISION]})
    model: Name
    intent: Name | None
    tier: Annotated[int, Field(ge=0, le=10_000)]
    confidence: Probability | None
    p_useful: Probability | None
    fallbacks: Annotated[list[Name], Field(max_length=1000)]
    timeout_ms: Amount | None
    reason: str
    request_id: Annotated[str, Field(max_length=MAX_ID_CHARS)] = ""
    version: Annotated[str, Field(max_length=64)] = ""
    modality: Literal["text", "image", "audio"] = "text"
    context_tokens: Tokens = 0
    propensity: Probability | None = 1.0
    explored: bool = False
    expected_cost_usd: Amount | None = None
    barred: dict[Name, str] = {}
    degraded: Literal["simpler_model", "safe_model"] | None = None
    cached_answer: Name | None = None
    killed: bool = False
    retry_delays_ms: Annotated[list[Amount], Field(max_length=20)] = []
    fallback_steps: Annotated[list[StepForm], Field(max_length=1000)] = []
    tried: Annotated[list[Name], Field(max_length=1000)] = []
    delay_ms: Amount = 0.0
    decided_at: Annotated[float, Field(ge=0, le=253_402_300_799, allow_inf_nan=False)] = 0.0
    out_of_scope: Probability | None = None
    p_hallucinated: Probability | None = None

    def decision(self) -> Decision:
        """Return it as the router knows it."""
        return Decision.from_dict(self.model_dump())

    @property
    def names(self) -> Sequence[str]:
        """Every model that it names."""
        return [self.model, *self.fallbacks, *self.tried, *self.barred, *(step.model for step in self.fallback_steps)]


class BatchAnswer(Form):
    """The decisions, in the order of the requests."""

    decisions: list[DecisionForm]


class ReportRequest(Form):
    """What came of a decision."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"decision": EXAMPLE_DECISION, "status": "ok", "latency_ms": 840.0, "cost_usd": 0.0004}]
        }
    )
    decision: DecisionForm = Field(description="As /route or /next gave it.")
    ok: bool | None = Field(None, description="Whether the model answered; the status tells where not given.")
    status: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        None, description="ok, timeout, error or the gateway's own word."
    )
    latency_ms: Amount | None = Field(None, description="Of this attempt, end to end, ms.")
    cost_usd: Amount | None = Field(None, description="Full cost of the answer, USD.")
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    useful: Share | None = Field(None, description="Whether the answer served the user, 0..1.")


class NextRequest(Form):
    """An attempt that failed."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"decision": EXAMPLE_DECISION, "failure": "timeout"}]})
    decision: DecisionForm
    failure: Literal["timeout", "error"]
    elapsed_ms: Amount | None = Field(
        None, description="How long the request has been under way, ms; since its first decision where not given."
    )


class NextAnswer(Form):
    """The next attempt, after its delay_ms; null where nothing is left to try."""

    decision: DecisionForm | None


class AdminRequest(Form):
    """Who does it and why: it is logged, and told in every decision."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"who": "ana", "why": "wrong prices since 14:00"}]})
    who: Annotated[str, Field(max_length=200)] = ""
    why: Annotated[str, Field(max_length=300)] = ""


class ReloadRequest(Form):
    """The bundle to serve."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"path": "/srv/bundles/week-32"}]})
    path: Annotated[str, Field(min_length=1, max_length=4096)] | None = Field(
        None, description="Its folder on the sidecar's machine; the one that it was started with where not given."
    )


class Problem(Form):
    """What is wrong, in one line."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"error": "modality: input should be 'text', 'image' or 'audio'"}]}
    )
    error: str
    safe_model: str | None = Field(None, description="Where there is no decision: the model to ask instead.")
