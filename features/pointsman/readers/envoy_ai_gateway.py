"""Envoy AI Gateway: access logs as JSON lines, with the token counts that ``llmRequestCosts`` puts into them.

The fields of an access log are configured; this reads the names of the project's documentation, of its first versions
(``genai_model_name``, ``genai_tokens_input``) and of the later ones (``gen_ai.request.model``,
``gen_ai.usage.input_tokens``), and Envoy's own operators beside them. One line is one request: what Envoy retried is a
number (``%UPSTREAM_REQUEST_ATTEMPT_COUNT%``), not a line.

No access log holds the prompt, so that its rows alone are put aside. Join a table of ``request_id`` (the
``x-request-id`` that the application sends or gets back) and ``prompt`` on the way in. Lines of the MCP proxy are calls
of tools.

The model is the one that was asked for; the name that the backend knows it by (``model_name_override``) and the backend
stand in tags.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointsman.readers.fields import microseconds, number, text, whole
from pointsman.readers.reader import TOKENS, WHO, SpanReader
from pointsman.spans import EMBEDDING, LLM, OTHER, RERANKER, TOOL, Span

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["READER"]

_NAMES: dict[str, tuple[str, ...]] = {
    "model": ("genai_model_name", "gen_ai.request.model", "genai_request_model", "x-ai-eg-model"),
    "override": (
        "genai_model_name_override",
        "gen_ai.request.model_override",
        "genai_response_model",
        "gen_ai.response.model",
    ),
    "backend": ("genai_backend_name", "gen_ai.provider.name"),
    "read": ("genai_tokens_input", "gen_ai.usage.input_tokens", "llm_input_token", "genai_input_tokens"),
    "wrote": ("genai_tokens_output", "gen_ai.usage.output_tokens", "llm_output_token", "genai_output_tokens"),
    "cached": (
        "genai_tokens_cached_input",
        "genai_tokens_input_cached",
        "gen_ai.usage.cached_input_tokens",
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.input_tokens.cached",
        "llm_cached_input_token",
    ),
    "written": (
        "genai_tokens_cache_creation_input",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "llm_cache_creation_input_token",
    ),
    "reasoning": (
        "genai_tokens_reasoning",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.reasoning.output_tokens",
        "llm_reasoning_token",
    ),
    "start": ("start_time", "timestamp", "@timestamp"),
    "first": ("response_duration", "genai_time_to_first_token", "gen_ai.server.time_to_first_token"),
    "id": ("x-request-id", "request_id", "x_request_id"),
    "attempts": ("upstream_request_attempt_count", "request_attempt_count"),
    "session": ("session.id", "session_id", "gen_ai.conversation.id"),
    "user": ("user.id", "user_id", "enduser.id", "x-user-id"),
    "path": ("x-envoy-origin-path", "x-envoy-original-path", "path"),
    "mcp": ("mcp_method", "mcp.method.name"),
}
_MARKS = (*_NAMES["model"][:2], *_NAMES["backend"][:1], *_NAMES["mcp"])
_TIMEOUT_FLAGS = frozenset({"UT", "SI", "DT", "UMSDR"})
"""Upstream request timeout, stream idle timeout, duration timeout, max stream duration reached."""


def _get(record: Mapping[str, Any], what: str) -> Any:
    """Return the value under the first name that holds one; Envoy writes "-" for what is not there."""
    for name in _NAMES[what]:
        value = record.get(name)
        if value is not None and value != "-":
            return value
    return None


def _fits(record: Mapping[str, Any]) -> bool:
    return "response_code" in record and "duration" in record and any(mark in record for mark in _MARKS)


def _read(record: Mapping[str, Any]) -> list[Span]:
    start = microseconds(_get(record, "start"))
    if start is None:
        raise ValueError(f"start_time: must be a time (got {_get(record, 'start')!r})")
    attempts = whole(_get(record, "attempts"))
    # Some providers take their key as a parameter of the query.
    path = (text(_get(record, "path")) or "").partition("?")[0] or None
    status = _status(record)
    read, wrote = whole(_get(record, "read")), whole(_get(record, "wrote"))
    if status is not None and not read and not wrote:
        read = wrote = None
    model, override = text(_get(record, "model")), text(_get(record, "override"))
    tags = {}
    for key, value in (
        ("model_override", override),
        ("backend", text(_get(record, "backend"))),
        ("path", path),
        ("response_code", text(record.get("response_code"))),
        ("response_flags", text(record.get("response_flags"))),
    ):
        if value is not None and value != "-" and len(value) <= 200:
            tags[f"envoy.{key}"] = value
    return [
        Span(
            kind=_kind(record, model, path),
            request_id=text(_get(record, "id")),
            span_id=text(_get(record, "id")),
            name=text(_get(record, "mcp")),
            start_us=start,
            duration_ms=number(record.get("duration")),
            first_token_ms=number(_get(record, "first")),
            status=status,
            model=model or override,
            input_tokens=read,
            cached_input_tokens=whole(_get(record, "cached")),
            cache_write_tokens=whole(_get(record, "written")),
            output_tokens=wrote,
            reasoning_tokens=whole(_get(record, "reasoning")),
            retries=attempts - 1 if attempts is not None and attempts >= 1 else None,
            conversation_id=text(_get(record, "session")),
            user_id=text(_get(record, "user")),
            tags=tags,
        )
    ]


def _kind(record: Mapping[str, Any], model: str | None, path: str | None) -> str:
    method = text(_get(record, "mcp"))
    if method is not None:
        return TOOL if method == "tools/call" else OTHER
    if path is not None and "embeddings" in path:
        return EMBEDDING
    if path is not None and "rerank" in path:
        return RERANKER
    return OTHER if model is None else LLM


def _status(record: Mapping[str, Any]) -> str | None:
    flags = set((text(record.get("response_flags")) or "").replace(" ", "").split(","))
    code = whole(record.get("response_code"))
    if flags & _TIMEOUT_FLAGS or code in {408, 504}:
        return "timeout"
    # 0: the client left before a response began.
    return "error" if code is not None and (code == 0 or code >= 400) else None


READER = SpanReader(
    name="envoy-ai-gateway",
    title="Envoy AI Gateway access logs (JSON lines); they hold no prompt: join it by request_id",
    fits=_fits,
    read=_read,
    gives=(*TOKENS, *WHO, "request_id", "timestamp", "model", "latency_ms", "first_token_ms", "retries", "status"),
)
