"""Reads MLflow traces: rows of ``mlflow.search_traces()`` (MLflow 2 and 3) and ``Trace.to_json()``, with feedback."""

from __future__ import annotations

import base64
import binascii
import json
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
from pointsman.readers.reader import AROUND, ASKED, LABELS, TOKENS, WHO, SpanReader
from pointsman.readers.usage import Usage, body_usage
from pointsman.spans import EMBEDDING, FEEDBACK, LLM, OTHER, RERANKER, RETRIEVAL, TOOL, Score, Span

__all__ = ["READER"]

_KINDS = {
    "LLM": LLM,
    "CHAT_MODEL": LLM,
    "RETRIEVER": RETRIEVAL,
    "RERANKER": RERANKER,
    "EMBEDDING": EMBEDDING,
    "TOOL": TOOL,
}
# HUMAN is whoever gave the feedback, and source_id is free text: that it was the user who asked cannot be told.
_BY = {"HUMAN": "human", "LLM_JUDGE": "judge", "AI_JUDGE": "judge", "CODE": "code"}
_UNTYPED = frozenset({"", "UNKNOWN"})
_METADATA = ("trace_metadata", "request_metadata")


def _fits(record: Mapping[str, Any]) -> bool:
    info, data = record.get("info"), record.get("data")
    if isinstance(info, Mapping) and isinstance(data, Mapping):
        return "spans" in data and ("trace_id" in info or "request_id" in info)
    if not ("trace_id" in record or "request_id" in record):
        return False
    return ("trace_metadata" in record or "request_metadata" in record) and ("spans" in record or "trace" in record)


def _read(record: Mapping[str, Any]) -> list[Span]:
    trace = _trace(record)
    spans = trace["spans"]
    if not isinstance(spans, list) or not all(isinstance(one, Mapping) for one in spans):
        raise ValueError(f"spans: must be a list of spans (got {type(spans).__name__})")
    if not spans:
        raise ValueError("spans: must hold at least one span (got none; export with include_spans=True)")
    trace_id = text(at(trace, "trace_id", "request_id"))
    metadata, tags = trace["metadata"], trace["tags"]
    if tags.get("mlflow.trace.sourceScorer") is not None:
        return []  # a judge's own trace, no request of a user
    labels = {key: word for key, word in short_tags(metadata, tags).items() if not key.startswith("mlflow.")}
    conversation, user = text(metadata.get("mlflow.trace.session")), text(metadata.get("mlflow.trace.user"))
    request_id = text(trace.get("client_request_id"))
    found = [_span(one) for one in spans]
    scores, loose = _scores(trace["assessments"])
    for span in found:
        span.trace_id = trace_id
        span.request_id = request_id
        span.conversation_id = conversation or span.conversation_id
        span.user_id = user or span.user_id
        span.tags = dict(labels)
        span.scores = scores.pop(span.span_id or "", [])
    # Judgements of spans that the trace does not show are judgements of the trace.
    loose.extend(score for rest in scores.values() for score in rest)
    if loose:
        found.append(Span(kind=FEEDBACK, trace_id=trace_id, request_id=request_id, scores=loose))
    return found


def _trace(record: Mapping[str, Any]) -> dict[str, Any]:
    """Bring the layouts together: the columns of a frame where they kept their type, else the JSON in ``trace``."""
    info = record.get("info")
    if isinstance(info, Mapping):
        held, spans = info, at(record, "data.spans")
    else:
        held, spans = record, parsed(record.get("spans"))
        trace = record.get("trace")
        # Writing to Parquet or CSV may have turned lists into Python's own text; the trace column stays JSON.
        lost = isinstance(trace, str) and not isinstance(parsed(record.get("assessments")), list)
        if lost or not isinstance(spans, list):
            whole_trace = parsed(trace)
            if isinstance(whole_trace, Mapping) and isinstance(whole_trace.get("info"), Mapping):
                return _trace(whole_trace)
    assessments = parsed(held.get("assessments"))
    return {
        "trace_id": at(held, "trace_id", "request_id"),
        "client_request_id": held.get("client_request_id"),
        "metadata": mapping(at(held, *_METADATA)),
        "tags": mapping(held.get("tags")),
        "assessments": assessments if isinstance(assessments, list) else [],
        "spans": spans,
    }


def _span(one: Mapping[str, Any]) -> Span:
    attributes = mapping(one.get("attributes"))
    word = str(_decoded(attributes.get("mlflow.spanType")) or "").upper()
    usage = _decoded(attributes.get("mlflow.chat.tokenUsage"))
    kind = _KINDS.get(word, LLM if word in _UNTYPED and isinstance(usage, Mapping) else OTHER)
    start = microseconds(at(one, "start_time_unix_nano", "start_time_ns", "start_time"), "ns")
    span = Span(
        kind=kind,
        span_id=_identifier(at(one, "span_id", "context.span_id")),
        parent_id=_identifier(at(one, "parent_span_id", "parent_id")),
        name=text(one.get("name")),
        start_us=start,
        end_us=microseconds(at(one, "end_time_unix_nano", "end_time_ns", "end_time"), "ns"),
        status=_status(one),
        conversation_id=text(_decoded(attributes.get("session.id"))),
        user_id=text(_decoded(attributes.get("user.id"))),
    )
    if kind != OTHER:
        cost = number(at(_decoded(attributes.get("mlflow.llm.cost")), "total_cost"))
        span.cost_usd = cost if cost is not None and cost >= 0 else None
    if kind in {LLM, EMBEDDING, RERANKER} or span.parent_id is None:
        _fill(span, one, attributes, usage)
    return span


def _fill(span: Span, one: Mapping[str, Any], attributes: Mapping[str, Any], usage: Any) -> None:
    """Fill in what a call of a model, or the root of a trace, tells beyond its time."""
    inputs = _decoded(attributes.get("mlflow.spanInputs"))
    request = asked(inputs)
    span.prompt, span.modality = request.prompt, request.modality if request.prompt is not None else None
    if span.kind == OTHER:
        return
    raw = attributes.get("mlflow.spanOutputs")
    outputs = _decoded(raw) if not isinstance(raw, str) or "model" in raw or "usage" in raw else None
    span.model = text(
        at(outputs, "model", "model_name", "llm_output.model_name", "response_metadata.model_name")
        or _decoded(attributes.get("mlflow.llm.model"))
        or at(inputs, "model", "model_name")
        or at(_decoded(attributes.get("invocation_params")), "model", "model_name")
        or _decoded(attributes.get("model"))
    )
    _count(span, usage, body_usage(outputs))
    span.context_tokens = request.context_tokens(span.input_tokens)
    span.first_token_ms = _first_token(span.start_us, one.get("events"))


def _count(span: Span, usage: Any, answered: Usage) -> None:
    """Read MLflow's token counts, whose input includes what a prompt cache read and wrote, else the answer's own."""
    span.reasoning_tokens = answered.reasoning
    if not isinstance(usage, Mapping):
        span.input_tokens, span.cached_input_tokens, span.cache_write_tokens, span.output_tokens, _ = answered
        return
    read, wrote = whole(usage.get("input_tokens")), whole(usage.get("output_tokens"))
    cached, written = whole(usage.get("cache_read_input_tokens")), whole(usage.get("cache_creation_input_tokens"))
    if read is not None and (cached or 0) + (written or 0) > read:
        # Only a count without the cached part can be smaller than it.
        read = input_total(read, cached, written)
    span.input_tokens, span.cached_input_tokens, span.cache_write_tokens = read, cached, written
    span.output_tokens = wrote


def _first_token(start: int | None, events: Any) -> float | None:
    """Find the first chunk of a streamed answer among the events of its span."""
    for event in events if start is not None and isinstance(events, list) else ():
        if isinstance(event, Mapping) and event.get("name") == "mlflow.chunk.item.0":
            when = microseconds(at(event, "time_unix_nano", "timestamp"), "ns")
            return None if when is None or start is None or when < start else (when - start) / 1e3
    return None


def _status(one: Mapping[str, Any]) -> str | None:
    code = str(at(one, "status.code", "status_code") or "").upper().removeprefix("STATUS_CODE_")
    if code != "ERROR":
        return "ok" if code == "OK" else None
    events = one.get("events")
    raised = [at(at(event, "attributes"), "exception.type") for event in events] if isinstance(events, list) else []
    words = " ".join(str(word) for word in (at(one, "status.message", "status_message"), *raised) if word).lower()
    return "timeout" if "timeout" in words or "timed out" in words else "error"


def _scores(assessments: list[Any]) -> tuple[dict[str, list[Score]], list[Score]]:
    """Return the judgements by span, and those of the whole trace; expectations and overridden ones are none."""
    scores: dict[str, list[Score]] = {}
    loose: list[Score] = []
    for one in assessments:
        name, value = text(at(one, "assessment_name", "name")), at(one, "feedback.value")
        if name is None or value is None or flag(at(one, "valid")) is False:
            continue
        judged: float | str | None = text(value) if isinstance(value, str) else number(value)
        if isinstance(value, bool):
            judged = float(value)
        if judged is None:
            continue
        score = Score(name, judged, _BY.get(str(at(one, "source.source_type")).upper(), ""))
        span_id = _identifier(at(one, "span_id"))
        (loose if span_id is None else scores.setdefault(span_id, [])).append(score)
    return scores, loose


def _identifier(value: Any) -> str | None:
    """Return the id of a span as 16 hex digits, from base64 (``Span.to_dict``) or ``0x…`` (MLflow 2)."""
    word = text(value)
    if word is not None and len(word) == 12 and word.endswith("="):
        try:
            return base64.b64decode(word, validate=True).hex()
        except (ValueError, binascii.Error):
            return word
    return None if word is None else word.removeprefix("0x")


def _decoded(value: Any) -> Any:
    """Return the value of an attribute, which MLflow keeps as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


READER = SpanReader(
    name="mlflow",
    title="MLflow traces (`search_traces` as JSON lines or Parquet, `Trace.to_json`), MLflow 2 and 3",
    fits=_fits,
    read=_read,
    gives=(
        *ASKED,
        *TOKENS,
        *AROUND,
        *LABELS,
        *WHO,
        "first_token_ms",
        "cost_usd",
        "status",
        "modality",
        "context_tokens",
    ),
)
