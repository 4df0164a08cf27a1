"""Helicone: request logs of its exporter (JSON lines, JSON, CSV) and of ``POST /v1/request/query-clickhouse``.

One record is one call, and a request of its own: Helicone answers retries inside the gateway and logs the last attempt.
The prompt is there where bodies were exported (``--include-body``); else the body only says that it lies elsewhere.
The exporter's CSV has no request id (the response's is taken) and doubles the quotes within bodies; both are read.

Helicone's own input count leaves out what a prompt cache read or wrote. The usage in the response body, where it was
exported, is taken before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pointsman.readers.fields import (
    at,
    flag,
    input_total,
    mapping,
    microseconds,
    number,
    parsed,
    short_tags,
    text,
    whole,
)
from pointsman.readers.messages import asked
from pointsman.readers.reader import ASKED, TOKENS, WHO, SpanReader
from pointsman.readers.usage import Usage, body_usage
from pointsman.spans import EMBEDDING, LLM, OTHER, RERANKER, RETRIEVAL, TOOL, Score, Span

__all__ = ["READER"]

_FEEDBACK = "helicone-score-feedback"
_FLAG = "-hcone-bool"
_NO_CACHE = "00000000-0000-0000-0000-000000000000"
_TIMEOUTS = frozenset({408, 504, 524})
_LEFT_OUT = frozenset({"system", "instructions", "systemInstruction", "system_instruction"})


def _fits(record: Mapping[str, Any]) -> bool:
    return (
        "request_created_at" in record
        and "response_status" in record
        and ("request_id" in record or "response_id" in record)
    )


def _read(record: Mapping[str, Any]) -> list[Span]:
    start = microseconds(record.get("request_created_at"))
    if start is None:
        raise ValueError(f"request_created_at: must be a time (got {record.get('request_created_at')!r})")
    request, response = _body(record.get("request_body")), _body(record.get("response_body"))
    code = whole(record.get("response_status"))
    if code in {0, -2} or (code is None and text(record.get("response_created_at")) is None):
        raise ValueError(f"response_status: must be that of a finished request (got {record.get('response_status')!r})")
    properties = _mapping(at(record, "request_properties", "properties"))
    status = _status(code, response)
    counts = _counts(record, response, status)
    latency = number(at(record, "delay_ms", "latency"))
    cost = number(at(record, "cost", "costUSD", "cost_usd"))
    hit = _cached(record)
    kind = _kind(record, request)
    first = number(record.get("time_to_first_token"))
    span = Span(
        kind=kind,
        span_id=text(at(record, "request_id", "response_id")),
        request_id=text(record.get("request_id")) or text(record.get("response_id")),
        start_us=start,
        end_us=None if latency is not None else microseconds(record.get("response_created_at")),
        duration_ms=latency,
        first_token_ms=first or None,
        status=status,
        model=text(record.get("model_override"))
        or text(record.get("response_model"))
        or text(record.get("request_model"))
        or text(record.get("model"))
        or text(at(response, "model"))
        or text(at(request, "model")),
        input_tokens=counts.read,
        cached_input_tokens=counts.cached,
        cache_write_tokens=counts.written,
        output_tokens=counts.wrote,
        reasoning_tokens=counts.reasoning,
        # Helicone writes 0 for an answer of a model that it has no price for.
        cost_usd=None if cost == 0 and hit is not True and (counts.read or counts.wrote) else cost,
        cache_hit=hit,
        conversation_id=_property(properties, "Helicone-Session-Id"),
        user_id=text(record.get("request_user_id")) or text(record.get("user_id")),
        scores=_scores(record),
        tags=short_tags(properties),
    )
    provider = text(record.get("provider"))
    if provider is not None:
        span.tags["helicone.provider"] = provider
    if kind == LLM and isinstance(request, Mapping):
        held = at(request, "messages", "input", "contents", "prompt")
        words = asked(held, *(request[key] for key in _LEFT_OUT if key in request))
        span.prompt, span.modality = words.prompt, words.modality if words.prompt is not None else None
        span.context_tokens = words.context_tokens(counts.read)
    return [span]


def _body(held: Any) -> Any:
    """Return a body; the exporter's CSV doubles each quote of its JSON once more than CSV does."""
    found = parsed(held)
    if isinstance(found, str) and found.startswith(('{""', '[{""')):
        return parsed(found.replace('""', '"'))
    return found


def _mapping(held: Any) -> Mapping[str, Any]:
    return mapping(_body(held))


def _property(properties: Mapping[str, Any], name: str) -> str | None:
    """Return a property whatever the case of its name: they come from HTTP headers."""
    found = text(properties.get(name))
    if found is not None:
        return found
    return next((text(value) for key, value in properties.items() if str(key).lower() == name.lower()), None)


def _kind(record: Mapping[str, Any], request: Any) -> str:
    logged = at(request, "_type")
    if logged == "tool":
        return TOOL
    if logged == "vector_db":
        return RETRIEVAL
    path = f"{record.get('request_path') or ''} {record.get('target_url') or ''}".lower()
    if "embed" in path or "embed" in str(at(request, "model")).lower():
        return EMBEDDING
    if "rerank" in path:
        return RERANKER
    return OTHER if any(word in path for word in ("/moderations", "/images", "/files", "/batches", "/audio")) else LLM


def _status(code: int | None, response: Any) -> str | None:
    if code is None or 200 <= code < 300:
        return "error" if isinstance(at(response, "error"), Mapping) else None
    return "timeout" if code in _TIMEOUTS else "error"


def _counts(record: Mapping[str, Any], response: Any, status: str | None) -> Usage:
    told = body_usage(response)
    cached, written = whole(record.get("prompt_cache_read_tokens")), whole(record.get("prompt_cache_write_tokens"))
    read, wrote = whole(record.get("prompt_tokens")), whole(record.get("completion_tokens"))
    if told.read is not None:
        return Usage(
            told.read, told.cached, told.written, told.wrote if told.wrote is not None else wrote, told.reasoning
        )
    if status is not None and not read and not wrote:
        return Usage()
    return Usage(input_total(read, cached, written), cached, written, wrote)


def _cached(record: Mapping[str, Any]) -> bool | None:
    """Tell whether Helicone's cache answered: the record then names the request whose answer it was."""
    if "cache_reference_id" not in record:
        return flag(record.get("is_cached"))
    source = text(record.get("cache_reference_id"))
    return source is not None and source not in (_NO_CACHE, record.get("request_id"))


def _scores(record: Mapping[str, Any]) -> list[Score]:
    scores = []
    rating = flag(record.get("feedback_rating"))
    for name, held in _mapping(record.get("scores")).items():
        value = number(at(held, "value") if isinstance(held, Mapping) else held)
        if value is None:
            continue
        if name == _FEEDBACK:
            rating = bool(value) if rating is None else rating
        else:
            scores.append(Score(str(name).removesuffix(_FLAG), value))
    if rating is not None:
        scores.insert(0, Score("feedback", float(rating), "user"))
    return scores


READER = SpanReader(
    name="helicone",
    title="Helicone request logs (exporter: JSON lines, JSON, CSV; REST API), prompts where bodies were exported",
    fits=_fits,
    read=_read,
    gives=(
        *ASKED,
        *TOKENS,
        *WHO,
        "useful",
        "first_token_ms",
        "cost_usd",
        "status",
        "modality",
        "context_tokens",
        "intent",
    ),
)
