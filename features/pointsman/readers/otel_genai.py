"""From OpenTelemetry GenAI attributes of all generations to a span: kind, model, tokens, prompt, scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pointsman.readers.fields import number, parsed, text, whole
from pointsman.readers.messages import Asked, asked
from pointsman.readers.otel import Step, first, gathered, span_of, whole_usage
from pointsman.readers.otel_names import labelled, own, told_by, vector_search
from pointsman.spans import EMBEDDING, FEEDBACK, LLM, OTHER, RERANKER, RETRIEVAL, TOOL, Score, Span

__all__ = ["event_spans", "first_token_ms", "genai_span"]

_OPERATIONS = {
    **dict.fromkeys(("chat", "completion", "text_completion", "generate_content", "responses", "messages"), LLM),
    **dict.fromkeys(("acompletion", "atext_completion", "aresponses", "anthropic_messages", "agenerate_content"), LLM),
    **dict.fromkeys(("generate_text", "stream_text", "generate_object", "stream_object"), LLM),
    **dict.fromkeys(("embeddings", "embedding", "aembedding"), EMBEDDING),
    **dict.fromkeys(("retrieval", "search_memory", "vector_db_retrieve"), RETRIEVAL),
    **dict.fromkeys(("rerank", "arerank", "reranking"), RERANKER),
    **dict.fromkeys(("execute_tool", "tool"), TOOL),
    # Their tokens are sums over the calls below them, which are spans of their own.
    **dict.fromkeys(("invoke_agent", "create_agent", "invoke_workflow", "plan", "agent", "execute_task"), OTHER),
    **dict.fromkeys(("fetch_response", "handoff", "create_memory", "update_memory", "upsert_memory"), OTHER),
    **dict.fromkeys(("delete_memory", "create_memory_store", "delete_memory_store"), OTHER),
}
_TRACELOOP = {"tool": TOOL, "workflow": OTHER, "task": OTHER, "agent": OTHER}
_SYSTEM = "gen_ai.system_instructions"
_SPELLED = ("gen_ai.prompt", "llm.prompts")
_DETAILS = "gen_ai.client.inference.operation.details"
_WHOLE_REQUEST = frozenset({_DETAILS, "gen_ai.content.prompt"})
_EVALUATION = frozenset({"gen_ai.evaluation.result", "gen_ai.evaluation"})
_FIRST_EVENTS = frozenset(
    {
        "gen_ai.content.completion.chunk",
        "llm.content.completion.chunk",
        "ai.stream.firstChunk",
        "First Token Stream Event",
    }
)


def genai_span(step: Step) -> Span:
    """Return the span of a step with GenAI attributes; one without any is of kind ``other``."""
    held = step.attributes
    if not held and not step.events:
        span = span_of(step, OTHER)
        labelled(span, held, {}, step.resource)
        return span
    told = told_by(held)
    kind = _kind(held, told, step.name)
    span = span_of(step, kind)
    if kind != OTHER:
        _spent(span, told)
    if kind in {LLM, OTHER}:
        request = _asked(step, told)
        span.prompt = request.prompt
        span.modality = request.modality if request.prompt is not None else None
        span.context_tokens = request.context_tokens(span.input_tokens)
    if kind == LLM:
        span.first_token_ms = first_token_ms(step, told)
    span.scores = [one for name, _, said in step.events if name in _EVALUATION for one in _scores(said)]
    span.scores += _scores(held)
    labelled(span, held, told, step.resource)
    own(span, held)
    return span


def event_spans(step: Step) -> list[Span]:
    """Return what an event that stands apart from its span tells of it: a judgement, its messages, or nothing.

    Parameters
    ----------
    step : Step
        The name, the time and the attributes of the event; `parent_id` is the span that it belongs to.
    """
    name = step.name or ""
    if name in _EVALUATION:
        scores = _scores(step.attributes)
        if not scores or (step.trace_id is None and step.parent_id is None):
            return []
        return [Span(kind=FEEDBACK, trace_id=step.trace_id, parent_id=step.parent_id, scores=scores)]
    if step.parent_id is None:
        return []
    if name == _DETAILS:
        # A second record of the same span: it has all but the times.
        return [genai_span(Step(trace_id=step.trace_id, span_id=step.parent_id, attributes=step.attributes))]
    request = _asked(Step(events=[(name, None, step.attributes)]), {})
    if request.prompt is None:
        return []
    span = Span(kind=OTHER, trace_id=step.trace_id, parent_id=step.parent_id, name=name, start_us=step.start_us)
    span.prompt, span.modality = request.prompt, request.modality
    return [span]


def first_token_ms(step: Step, told: Mapping[str, Any]) -> float | None:
    """Return the time to the first token, told by an attribute or by the first event of a stream.

    `told` is what the attributes of the step tell, see `told_by`.
    """
    found = _token_ms(told)
    if found is not None or not step.events:
        return found
    for _, _, held in step.events:
        if (found := _token_ms(told_by(held))) is not None:
            return found
    times = [time for name, time, _ in step.events if name in _FIRST_EVENTS and time is not None]
    return (min(times) - step.start_us) / 1000 if times and step.start_us is not None else None


def _token_ms(told: Mapping[str, Any]) -> float | None:
    seconds = number(told.get("first_token_s"))
    return number(told.get("first_token_ms")) if seconds is None else seconds * 1000


def _kind(held: Mapping[str, Any], told: Mapping[str, Any], name: str | None) -> str:
    vercel = text(held.get("ai.operationId"))
    if vercel is not None:
        return _vercel(vercel)
    operation = text(told.get("operation"))
    known = _OPERATIONS.get(operation.lower()) if operation is not None else None
    if known is not None:
        return known
    if vector_search(held, name):
        return RETRIEVAL
    if held.get("mcp.method.name") == "tools/call":
        return TOOL
    role = held.get("traceloop.span.kind")
    if isinstance(role, str) and role in _TRACELOOP:
        return _TRACELOOP[role]
    return LLM if text(told.get("model")) is not None else OTHER


def _vercel(operation: str) -> str:
    """Return the kind of an AI SDK operation; only the inner ones (``….doGenerate``) are calls of a model."""
    inner = operation.rpartition(".")[2]
    if inner in {"doGenerate", "doStream"}:
        return LLM
    if inner == "doEmbed":
        return EMBEDDING
    if inner == "doRerank":
        return RERANKER
    return TOOL if inner == "toolCall" else OTHER


def _spent(span: Span, told: Mapping[str, Any]) -> None:
    """Fill in the model, its tokens and what they cost."""
    span.model = text(told.get("model"))
    span.input_tokens = whole(told.get("input_tokens"))
    span.output_tokens = whole(told.get("output_tokens"))
    span.cached_input_tokens = whole(told.get("cached_input_tokens"))
    span.cache_write_tokens = whole(told.get("cache_write_tokens"))
    span.reasoning_tokens = whole(told.get("reasoning_tokens"))
    whole_usage(span, whole(told.get("total_tokens")))
    span.cost_usd = number(told.get("cost_usd"))


def _asked(step: Step, told: Mapping[str, Any]) -> Asked:
    """Read the messages, wherever this generation of the conventions puts them."""
    held = step.attributes
    if (messages := told.get("messages")) is not None:
        return asked(messages, held.get(_SYSTEM))
    for name, _, said in step.events:
        if name in _WHOLE_REQUEST and (messages := told_by(said).get("messages")) is not None:
            return asked(messages, said.get(_SYSTEM))
    for prefix in _SPELLED:
        if f"{prefix}.0.role" in held or f"{prefix}.0.content" in held:
            return asked(gathered(held, prefix))
    turns = [
        _turn(name, said) for name, _, said in step.events if name.startswith("gen_ai.") and name.endswith(".message")
    ]
    if turns:
        return asked(turns, held.get(_SYSTEM))
    logged = held.get("events")
    return asked(logged, held.get(_SYSTEM)) if isinstance(logged, str) and "gen_ai." in logged else Asked()


def _turn(name: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message of one event: ``gen_ai.user.message`` and its like."""
    content: Any = first(told, ("content", "gen_ai.event.content", "gen_ai.prompt"))
    inner = parsed(content)
    if isinstance(inner, Mapping) and inner.get("content") is not None:
        content = inner["content"]
    elif isinstance(inner, list):
        content = inner
    return {"role": name.split(".")[1], "content": content}


def _scores(told: Mapping[str, Any]) -> list[Score]:
    value = number(told.get("gen_ai.evaluation.score.value"))
    judged = value if value is not None else text(told.get("gen_ai.evaluation.score.label"))
    if judged is None:
        return []
    return [Score(text(told.get("gen_ai.evaluation.name")) or "evaluation", judged)]
