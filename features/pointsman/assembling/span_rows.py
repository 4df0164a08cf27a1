"""The row of the trace table that one span makes, once it tells a whole request."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pointsman.assembling.trace_tree import times

if TYPE_CHECKING:
    from pointsman.spans import Span

__all__ = ["row_of"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def row_of(span: Span) -> dict[str, Any]:
    """Return the row of a span that tells a whole request: columns of the trace table, not validated yet.

    Beside them stand ``scores`` (JSON text of a list of [name, value, by]; None where there are none), ``tags`` (JSON
    text of an object, or None), ``cache_hit`` and ``source_row``. A request without any name gets one from its content.
    """
    start, end = times(span)
    latency = span.duration_ms
    if latency is None or not latency >= 0:
        latency = None if start is None or end is None else (end - start) / 1000
    cost = span.cost_usd
    return {
        "request_id": span.request_id or span.trace_id or span.span_id or _content_id(span),
        "timestamp": None if start is None else _moment(start),
        "prompt": span.prompt,
        "model": span.model,
        "latency_ms": latency,
        "useful": span.useful,
        "input_tokens": span.input_tokens,
        "output_tokens": span.output_tokens,
        "cached_input_tokens": span.cached_input_tokens,
        "cache_write_tokens": span.cache_write_tokens,
        "reasoning_tokens": span.reasoning_tokens,
        "first_token_ms": span.first_token_ms,
        # Nobody is paid for an answer out of the gateway's own cache.
        "cost_usd": 0.0 if cost is None and span.cache_hit else cost,
        "retries": span.retries,
        "retry_cost_usd": span.retry_cost_usd,
        "retrieval_cost_usd": span.retrieval_cost_usd,
        "connector_cost_usd": span.connector_cost_usd,
        "status": span.status,
        "hallucinated": span.hallucinated,
        "intent": span.intent,
        "modality": span.modality,
        "context_tokens": span.context_tokens,
        "conversation_id": span.conversation_id,
        "user_id": span.user_id,
        "chosen": span.chosen,
        "propensity": span.propensity,
        "scores": json.dumps([(one.name, one.value, one.by) for one in span.scores]) if span.scores else None,
        "tags": json.dumps(span.tags) if span.tags else None,
        "cache_hit": span.cache_hit,
        "source_row": span.source_row,
    }


def _moment(start_us: int) -> datetime | int:
    """Return a time as UTC datetime; one beyond the calendar stays a number, which validation refuses."""
    try:
        return _EPOCH + timedelta(microseconds=start_us)
    except OverflowError:
        return start_us


def _content_id(span: Span) -> str:
    told = (
        span.start_us,
        span.end_us,
        span.duration_ms,
        span.model,
        span.prompt,
        span.input_tokens,
        span.output_tokens,
    )
    said = repr((*told, span.conversation_id, span.user_id, span.cost_usd))
    return hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
