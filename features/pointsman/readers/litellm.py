"""LiteLLM: standard logging payloads of its callbacks, and rows of the proxy's spend logs.

Both tell of one call to a deployment. A payload is what custom loggers get and what the S3, GCS, Datadog and webhook
loggers write; every attempt has one, and retries and fallbacks share the ``trace_id``. A row of ``LiteLLM_SpendLogs``
comes from the database (JSON lines, CSV with texts throughout, Parquet) or from ``GET /spend/logs``; attempts that
have a row of their own share the ``session_id``, the others are only counted (``metadata.attempted_retries`` and
``attempted_fallbacks``).

The model is the ``model_group``: the name under which the gateway offers a deployment is what a router chooses among.
The provider's name stands in the tag ``litellm.model``. Where an auto-router of LiteLLM was called, it is the model
that it chose. Without a Router the model is the provider's.

A row of spend logs holds the prompt only where the proxy runs with ``store_prompts_in_spend_logs``. A failed call
that counts 0 tokens tells none, and a cost of 0 for an answer with tokens, not from a cache, says that LiteLLM knows
no price of the model: both stay unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pointsman.readers.fields import at, flag, mapping, microseconds, number, parsed, short_tags, text, whole
from pointsman.readers.messages import Asked, asked
from pointsman.readers.reader import AROUND, ASKED, TOKENS, WHO, SpanReader
from pointsman.readers.usage import Usage, usage
from pointsman.spans import EMBEDDING, LLM, OTHER, RERANKER, RETRIEVAL, TOOL, Score, Span

__all__ = ["READER"]

_ANSWERS = frozenset(
    {
        "",
        "_arealtime",
        "acompletion",
        "agenerate_content",
        "agenerate_content_stream",
        "aanthropic_messages",
        "anthropic_messages",
        "aresponses",
        "atext_completion",
        "completion",
        "generate_content",
        "generate_content_stream",
        "pass_through_endpoint",
        "responses",
        "text_completion",
    }
)
_REDACTED = "redacted-by-litellm"
_TIMEOUT_CODES = frozenset({"408", "504", "524"})


def _record(held: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the payload itself, out of Datadog's envelope or the arguments of a callback."""
    inside = held.get("standard_logging_object")
    if inside is None and "ddsource" in held:
        inside = held.get("message")
    if inside is None:
        return held
    inside = parsed(inside)
    return inside if isinstance(inside, Mapping) else held


def _fits(held: Mapping[str, Any]) -> bool:
    record = _record(held)
    if "call_type" not in record or "startTime" not in record:
        return False
    return ("response_cost" in record and "id" in record) or ("spend" in record and "request_id" in record)


def _read(held: Mapping[str, Any]) -> list[Span]:
    record = _record(held)
    start = microseconds(record.get("startTime"))
    if start is None:
        raise ValueError(f"startTime: must be a time (got {record.get('startTime')!r})")
    end = microseconds(record.get("endTime"))
    kind = _kind(record.get("call_type"))
    metadata = mapping(record.get("metadata"))
    failed = _status(record, metadata)
    hit = flag(record.get("cache_hit"))
    counts = _counts(record, metadata, failed is not None)
    span = Span(
        kind=kind,
        trace_id=text(at(record, "trace_id", "session_id")),
        span_id=text(at(record, "id", "request_id")),
        request_id=text(at(record, "id", "request_id")),
        name=text(record.get("call_type")),
        start_us=start,
        end_us=end,
        duration_ms=number(record.get("request_duration_ms")) if end is None else None,
        first_token_ms=_first_token(record, start, end),
        status=failed,
        input_tokens=counts.read,
        cached_input_tokens=counts.cached,
        cache_write_tokens=counts.written,
        output_tokens=counts.wrote,
        reasoning_tokens=counts.reasoning,
        cost_usd=_cost(record, counts, free=failed is not None or hit is True),
        cache_hit=hit,
        user_id=text(record.get("end_user"))
        or text(at(metadata, "user_api_key_end_user_id", "user_api_key_user_id"))
        or text(record.get("user")),
    )
    if kind == LLM:
        words = _asked(record)
        span.prompt, span.modality = words.prompt, words.modality if words.prompt is not None else None
        span.context_tokens = words.context_tokens(counts.read)
    _name(span, record, metadata)
    return [span]


def _kind(call: Any) -> str:
    word = call if isinstance(call, str) else ""
    if word in _ANSWERS:
        return LLM
    if "embedding" in word:
        return EMBEDDING
    if "rerank" in word:
        return RERANKER
    if word in {"search", "asearch"} or word.endswith("vector_store_search"):
        return RETRIEVAL
    return TOOL if "mcp_tool" in word else OTHER


def _status(record: Mapping[str, Any], metadata: Mapping[str, Any]) -> str | None:
    """Return None for an answered call, ``timeout`` or ``error``."""
    status = text(record.get("status")) or text(metadata.get("status"))
    fault = _fault(record, metadata)
    if status == "success" or (
        status is None and text(record.get("error_str")) is None and not at(fault, "error_class")
    ):
        return None
    slow = "timeout" in str(at(fault, "error_class")).lower() or str(at(fault, "error_code")) in _TIMEOUT_CODES
    return "timeout" if slow else "error"


def _fault(record: Mapping[str, Any], metadata: Mapping[str, Any]) -> Any:
    return parsed(record.get("error_information") or metadata.get("error_information"))


def _counts(record: Mapping[str, Any], metadata: Mapping[str, Any], failed: bool) -> Usage:
    """Return the counts of the record, with what its usage object tells beyond them."""
    held, response = metadata.get("usage_object"), record.get("response")
    if isinstance(response, dict):
        held = response.get("usage") or held
    fine = usage(held or at(record, "hidden_params.usage_object") or at(parsed(response), "usage"))
    extra = metadata.get("additional_usage_values")
    if fine.cached is None and isinstance(extra, dict) and "cache_read_input_tokens" in extra:
        fine = usage({**extra, "prompt_tokens": fine.read, "completion_tokens": fine.wrote})
    read, wrote = whole(record.get("prompt_tokens")), whole(record.get("completion_tokens"))
    if not read and not wrote and (failed or fine.read is None):
        return Usage()
    # The record's own count is the fresh part alone where a provider's usage was passed through as it came.
    total = fine.read if fine.read is not None and (read is None or fine.read > read) else read
    apart = (fine.cached or 0) + (fine.written or 0)
    if fine.read is None and total is not None and apart > total:
        total += apart
    return Usage(total, fine.cached, fine.written, fine.wrote if wrote is None else wrote, fine.reasoning)


def _cost(record: Mapping[str, Any], counts: Usage, free: bool) -> float | None:
    cost = number(at(record, "response_cost", "spend"))
    return None if cost == 0 and not free and (counts.read or counts.wrote) else cost


def _first_token(record: Mapping[str, Any], start: int, end: int | None) -> float | None:
    """Return the time to the first token; LiteLLM sets it to the end where it did not stream."""
    first = microseconds(record.get("completionStartTime"))
    if first is None or first < start or (end is not None and first >= end):
        return None
    return (first - start) / 1000


def _asked(record: Mapping[str, Any]) -> Asked:
    held = parsed(record.get("messages"))
    aside = record.get("model_parameters")
    if not held or not isinstance(held, list | str | Mapping):
        request = parsed(record.get("proxy_server_request"))
        aside = parsed(at(request, "body") or request)
        held = at(aside, "messages", "input", "contents", "prompt")
    # The Anthropic and Responses calls keep their instructions beside the messages.
    words = asked(held, at(aside, "system"), at(aside, "instructions"))
    return Asked() if words.prompt == _REDACTED else words


def _name(span: Span, record: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    """Tell the model, the conversation, the tags and the judgements."""
    model, group = text(record.get("model")), text(record.get("model_group"))
    span.model = group or model
    said = metadata.get("requester_metadata")
    tags = short_tags(record.get("request_tags"), said, metadata.get("spend_logs_metadata"))
    if model is not None and model != span.model:
        tags["litellm.model"] = model
    routed = metadata.get("routing_decision")
    if isinstance(routed, Mapping) and group is not None and routed.get("router_model_name") == group:
        span.model = text(routed.get("routed_model")) or span.model
        tags["litellm.router"] = group
    for key, value in (
        ("litellm.provider", record.get("custom_llm_provider")),
        ("litellm.team", metadata.get("user_api_key_team_alias")),
        ("litellm.key", metadata.get("user_api_key_alias")),
        (
            "litellm.error",
            at(parsed(record.get("error_information") or metadata.get("error_information")), "error_class"),
        ),
    ):
        word = text(value)
        if word is not None:
            tags[key] = word
    span.tags = tags
    if not whole(metadata.get("attempted_fallbacks")):
        # pointsman's hook writes with which probability it chose; a fallback was not chosen.
        span.propensity = number(tags.get("pointsman.propensity"))
    span.conversation_id = text(record.get("session_id")) if "trace_id" in record else None
    if span.conversation_id is None:
        span.conversation_id = text(at(said, "session_id", "conversation_id"))
    if "request_id" in record and span.status is None:
        tried = whole(metadata.get("attempted_retries")), whole(metadata.get("attempted_fallbacks"))
        span.retries = sum(one or 0 for one in tried) or None
    for one in _listed(metadata.get("eval_information")):
        value = number(one.get("overall_score"))
        if value is not None:
            span.scores.append(Score(text(one.get("eval_name")) or "eval", value, "judge"))


def _listed(held: Any) -> list[Mapping[str, Any]]:
    held = parsed(held)
    return [one for one in (held if isinstance(held, list) else [held]) if isinstance(one, Mapping)]


READER = SpanReader(
    name="litellm",
    title="LiteLLM standard logging payloads (S3, GCS, Datadog, custom loggers) and spend logs (table, CSV, API)",
    fits=_fits,
    read=_read,
    gives=(
        *ASKED,
        *TOKENS,
        *AROUND,
        *WHO,
        "useful",
        "first_token_ms",
        "cost_usd",
        "status",
        "modality",
        "context_tokens",
        "intent",
        "propensity",
    ),
)
