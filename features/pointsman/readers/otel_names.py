"""Names of OpenTelemetry attributes by what they tell: the GenAI conventions of all versions and those of the field.

The first name that is there counts. Sources: the OpenTelemetry GenAI semantic conventions (1.27 to 1.41 and their own
repository since), OpenLLMetry, the Vercel AI SDK, LiteLLM, vLLM, OpenLIT, Pydantic AI, Sentry, Strands, Google ADK.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pointsman.readers.fields import flag, number, short_tags, text, whole
from pointsman.readers.otel import first

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pointsman.spans import Span

__all__ = ["labelled", "own", "told_by", "vector_search"]

_NAMES = {
    "operation": ("gen_ai.operation.name", "llm.request.type", "gen_ai.operation.type"),
    "model": (
        "gen_ai.response.model",
        "gen_ai.request.model",
        "ai.response.model",
        "ai.model.id",
        "llm.response.model",
    ),
    "input_tokens": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "ai.usage.inputTokens",
        "ai.usage.promptTokens",
        "llm.usage.prompt_tokens",
        "ai.usage.tokens",
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "ai.usage.outputTokens",
        "ai.usage.completionTokens",
        "llm.usage.completion_tokens",
    ),
    "total_tokens": ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "ai.usage.totalTokens"),
    "cached_input_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.cache_read_tokens",
        "gen_ai.usage.cached_tokens",
        "gen_ai.usage.input_tokens.cached",
        "gen_ai.usage.details.cache_read_tokens",
        "gen_ai.usage.details.cache_read_input_tokens",
        "gen_ai.usage.details.cached_tokens",
        "ai.usage.cachedInputTokens",
        "ai.usage.inputTokenDetails.cacheReadTokens",
    ),
    "cache_write_tokens": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_input_tokens",
        "gen_ai.usage.cache_write_tokens",
        "gen_ai.usage.cache_creation_tokens",
        "gen_ai.usage.input_tokens.cache_write",
        "gen_ai.usage.details.cache_write_tokens",
        "gen_ai.usage.details.cache_creation_input_tokens",
        "ai.usage.inputTokenDetails.cacheWriteTokens",
    ),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.output_tokens.reasoning",
        "gen_ai.usage.details.reasoning_tokens",
        "llm.usage.reasoning_tokens",
        "ai.usage.reasoningTokens",
        "ai.usage.outputTokenDetails.reasoningTokens",
    ),
    "cost_usd": (
        "gen_ai.usage.cost",
        "gen_ai.usage.cost_usd",
        "gen_ai.usage.total_cost",
        "gen_ai.usage.cost.total",
        "gen_ai.cost.total_cost",
        "gen_ai.cost.total",
        "llm.usage.cost",
        "llm.usage.total_cost",
        "llm.cost.total",
        "litellm.cost.total",
        "operation.cost",
    ),
    "messages": (
        "gen_ai.input.messages",
        "gen_ai.request.messages",
        "ai.prompt.messages",
        "pydantic_ai.all_messages",
        "all_messages_events",
        "gen_ai.prompt",
        "ai.prompt",
        "gcp.vertex.agent.llm_request",
    ),
    "first_token_s": (
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.server.time_to_first_token",
        "gen_ai.latency.time_to_first_token",
    ),
    "first_token_ms": ("ai.response.msToFirstChunk", "ai.stream.msToFirstChunk"),
    "conversation_id": (
        "gen_ai.conversation.id",
        "session.id",
        "gen_ai.session.id",
        "traceloop.association.properties.session_id",
        "traceloop.association.properties.conversation_id",
        "traceloop.association.properties.thread_id",
        "traceloop.association.properties.chat_id",
        "ai.telemetry.metadata.sessionId",
        "ai.telemetry.metadata.threadId",
        "langfuse.session.id",
        "langsmith.trace.session_id",
    ),
    "user_id": (
        "user.id",
        "enduser.id",
        "enduser.pseudo.id",
        "gen_ai.user.id",
        "gen_ai.user",
        "llm.user",
        "traceloop.association.properties.user_id",
        "traceloop.association.properties.userId",
        "ai.telemetry.metadata.userId",
        "langfuse.user.id",
        "metadata.user_api_key_end_user_id",
    ),
}
"""What attributes tell, and the names by which they do, the first to count first."""

_FACTS = {name: (fact, rank) for fact, names in _NAMES.items() for rank, name in enumerate(names)}

_LABELS = (
    "service.name",
    "deployment.environment.name",
    "deployment.environment",
    "gen_ai.agent.name",
    "gen_ai.workflow.name",
    "gen_ai.prompt.name",
    "gen_ai.provider.name",
    "gen_ai.system",
    "llm.provider",
    "agent.name",
    "traceloop.workflow.name",
    "traceloop.entity.name",
    "ai.telemetry.functionId",
    "openinference.project.name",
)
_METADATA = ("metadata.", "traceloop.association.properties.", "ai.telemetry.metadata.")
_KEYED = ("metadata", "tag.tags", "langfuse.trace.tags", "ai.telemetry.metadata.tags")
_GENERATIVE = {"ai", "gen_ai", "hidden_params", "litellm", "llm", "mcp", "openai", "openinference", "pydantic_ai"}
_STEPS = {
    "agent",
    "decision",
    "embedding",
    "graph",
    "prompt",
    "reranker",
    "retrieval",
    "tool",
    "tool_call",
    "traceloop",
}
_CONTENT = {"audio", "document", "events", "image", "input", "message", "metadata", "output", "tag"}
_JUDGED = {"annotation", "annotations", "evaluation", "evaluations", "trace"}
_CALLS = {"client", "code", "db", "error", "event", "exception", "http", "messaging", "net", "network", "operation"}
_CALLERS = {"enduser", "otel", "peer", "rpc", "server", "session", "telemetry", "thread", "url", "user", "user_agent"}
_PLACES = {"aws", "az", "cloud", "container", "deployment", "faas", "gcp", "host", "k8s", "os", "process", "service"}
_CONVENTIONS = frozenset().union(_GENERATIVE, _STEPS, _CONTENT, _JUDGED, _CALLS, _CALLERS, _PLACES, {"pointsman"})
_OWN_TYPES: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(
        ("intent", "model", "request_id", "conversation_id", "user_id", "prompt", "modality", "status"), text
    ),
    **dict.fromkeys(("propensity", "useful", "cost_usd", "first_token_ms"), number),
    **dict.fromkeys(("retry_cost_usd", "retrieval_cost_usd", "connector_cost_usd"), number),
    **dict.fromkeys(("retries", "context_tokens", "input_tokens", "output_tokens"), whole),
    **dict.fromkeys(("cached_input_tokens", "cache_write_tokens", "reasoning_tokens"), whole),
    **dict.fromkeys(("chosen", "hallucinated", "cache_hit"), flag),
}
_OWN_FIELDS = {f"pointsman.{name}": (name, read) for name, read in _OWN_TYPES.items()}
_VECTOR_STORES = frozenset({"chroma", "chromadb", "lancedb", "marqo", "milvus", "pinecone", "qdrant"}) | frozenset(
    {"turbopuffer", "vertexaivectorsearch", "vespa", "weaviate"}
)
_SEARCH_ENGINES = frozenset({"elasticsearch", "opensearch", "azure.ai.search", "typesense", "meilisearch"})
_LOOKS_UP = ("query", "search", "retriev", "get", "fetch", "recommend", "scroll", "select", "near", "hybrid")
_NEAREST = ("<->", "<=>", "<#>", "$vectorsearch", "ft.search", "vector_distance", "vector_search", "cosinedistance")


def told_by(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of attributes by what they tell (``model``, ``input_tokens``, …), whatever their name."""
    told: dict[str, Any] = {}
    ranks: dict[str, int] = {}
    for name, value in attributes.items():
        if name in _FACTS and value is not None:
            fact, rank = _FACTS[name]
            if fact not in told or rank < ranks[fact]:
                told[fact], ranks[fact] = value, rank
    return told


def labelled(span: Span, attributes: Mapping[str, Any], told: Mapping[str, Any], resource: Mapping[str, Any]) -> None:
    """Give a span its user, its conversation and its tags: metadata, and attributes that are of no convention.

    `told` is what the attributes tell by their known names, see `told_by`.
    """
    span.user_id = text(told.get("user_id"))
    span.conversation_id = text(told.get("conversation_id"))
    labels: dict[str, Any] = {name: resource[name] for name in _LABELS if name in resource} if resource else {}
    for name, value in attributes.items():
        if (label := _label(name)) is not None:
            labels[label] = value
    keyed = [attributes[name] for name in _KEYED if name in attributes]
    if labels or keyed:
        span.tags = short_tags(labels, *keyed)


@lru_cache(maxsize=4096)
def _label(name: str) -> str | None:
    """Return the tag that an attribute becomes; None: a convention has its own place for it."""
    if name.startswith(_METADATA):
        return name.removeprefix(next(one for one in _METADATA if name.startswith(one)))
    return name if name.partition(".")[0] not in _CONVENTIONS or name in _LABELS else None


def own(span: Span, attributes: Mapping[str, Any]) -> None:
    """Overwrite fields of a span with what pointsman's own attributes tell (``pointsman.intent``, …)."""
    for name, value in attributes.items():
        if name in _OWN_FIELDS:
            field, read = _OWN_FIELDS[name]
            found = read(value)
            if found is not None:
                setattr(span, field, found)


def vector_search(attributes: Mapping[str, Any], name: str | None) -> bool:
    """Tell whether a database span looks up documents: a vector store, a search engine, a nearest-neighbour query."""
    system = text(first(attributes, ("db.system.name", "db.system")))
    if system is None:
        return False
    system = system.lower()
    operation = first(attributes, ("db.operation.name", "db.operation"))
    words = f"{text(operation) or ''} {name or ''}".lower()
    if system in _VECTOR_STORES or any(key.startswith("db.vector.") for key in attributes):
        return any(word in words for word in _LOOKS_UP)
    if system in _SEARCH_ENGINES:
        return "search" in words.replace(system, "")
    statement = text(first(attributes, ("db.query.text", "db.statement"))) or ""
    return any(mark in statement.lower() for mark in _NEAREST)
