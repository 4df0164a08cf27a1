"""Reader of OpenTelemetry spans: OTLP as JSON (requests, batches, single spans) and spans as the SDKs print them.

Names of attributes are the matter of :mod:`pointsman.readers.otel_genai`; a span with OpenInference attributes goes to
:mod:`pointsman.readers.openinference`, so that one record may hold both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pointsman.columns import COLUMNS, said
from pointsman.readers import openinference, otel_genai
from pointsman.readers.fields import microseconds, text
from pointsman.readers.otel import Step, attributes, either, first, identity, list_of
from pointsman.readers.reader import SpanReader

if TYPE_CHECKING:
    from pointsman.spans import Span

__all__ = ["READER"]

_REQUESTS = ("resourceSpans", "resource_spans", "resourceLogs", "resource_logs")
_SCOPES = (
    "scopeSpans",
    "scope_spans",
    "instrumentationLibrarySpans",
    "instrumentation_library_spans",
    "scopeLogs",
    "scope_logs",
)
_RECORDS = ("spans", "logRecords", "log_records")
_LOGS = frozenset({"resourceLogs", "resource_logs", "scopeLogs", "scope_logs", "logRecords", "log_records"})


def _fits(record: Mapping[str, Any]) -> bool:
    if any(key in record for key in (*_REQUESTS, *_SCOPES)):
        return True
    if "startTimeUnixNano" in record or "start_time_unix_nano" in record:
        # MLflow writes such times too, with its attributes as an object.
        return not isinstance(record.get("attributes"), Mapping)
    context = record.get("context")
    return (
        isinstance(context, Mapping)
        and "trace_id" in context
        and "start_time" in record
        and "kind" in record
        and "span_kind" not in record
    )


def _read(record: Mapping[str, Any]) -> list[Span]:
    if "startTimeUnixNano" in record or "start_time_unix_nano" in record:
        return _spans_of(_step(record, {}))
    if "context" in record and "start_time" in record:
        return _spans_of(_printed(record))
    spans: list[Span] = []
    for batch, where in _batches(record):
        resource = attributes(batch["resource"].get("attributes")) if isinstance(batch.get("resource"), dict) else {}
        for scopes in _there(batch, _SCOPES):
            for scope in _objects(batch, scopes, where):
                for records in _there(scope, _RECORDS):
                    for held in _objects(scope, records, f"{where}{scopes}."):
                        spans += _logged(held) if records in _LOGS else _spans_of(_step(held, resource))
    return spans


def _there(held: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    return [name for name in names if name in held]


def _batches(record: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], str]]:
    """Return the batches of a request, each with the field it stands in; a batch on a line of its own is one."""
    if not record.keys().isdisjoint(_SCOPES):
        return [(record, "")]
    requests = _there(record, _REQUESTS)
    if record and not requests:
        raise ValueError("resourceSpans: must be a list of batches (got nothing)")
    return [(batch, f"{key}.") for key in requests for batch in _objects(record, key, "")]


def _objects(held: Mapping[str, Any], key: str, where: str) -> list[Mapping[str, Any]]:
    found = held.get(key)
    if found is None:
        return []
    if not (isinstance(found, list) and all(isinstance(one, dict) for one in found)):
        raise ValueError(f"{where}{key}: must be a list of objects (got {said(found)})")
    return found


def _spans_of(step: Step) -> list[Span]:
    return openinference.spans_of(step) if openinference.SPAN_KIND in step.attributes else [otel_genai.genai_span(step)]


def _step(held: Mapping[str, Any], resource: dict[str, Any]) -> Step:
    """Decode a span of OTLP."""
    step = Step(
        name=text(held.get("name")),
        trace_id=identity(either(held, "traceId", "trace_id")),
        span_id=identity(either(held, "spanId", "span_id")),
        parent_id=identity(either(held, "parentSpanId", "parent_span_id")),
        start_us=_nanoseconds(either(held, "startTimeUnixNano", "start_time_unix_nano")),
        end_us=_nanoseconds(either(held, "endTimeUnixNano", "end_time_unix_nano")),
        attributes=attributes(held.get("attributes")),
        resource=resource,
    )
    if "events" in held:
        step.events = [_event(event) for event in list_of(held, "events") if isinstance(event, dict)]
    if isinstance(state := held.get("status"), dict):
        step.failed = state.get("code") in (2, "2", "STATUS_CODE_ERROR")
        step.succeeded = state.get("code") in (1, "1", "STATUS_CODE_OK")
        step.message = text(state.get("message")) or ""
    return step


def _event(held: Mapping[str, Any]) -> tuple[str, int | None, dict[str, Any]]:
    time = _nanoseconds(either(held, "timeUnixNano", "time_unix_nano"))
    return text(held.get("name")) or "", time, attributes(held.get("attributes"))


def _nanoseconds(value: Any) -> int | None:
    """Return microseconds; 0 is «not set» in protobuf."""
    if isinstance(value, str) and value.isdigit() and value.isascii() and len(value) < 20:
        return int(value) // 1000 or None
    return microseconds(value, "ns") or None


def _printed(held: Mapping[str, Any]) -> Step:
    """Decode a span as the SDK's ``to_json`` and console exporter print it."""
    context = held["context"] if isinstance(held["context"], Mapping) else {}
    state = held.get("status")
    state = state if isinstance(state, dict) else {"status_code": state}
    resource = held.get("resource")
    return Step(
        name=text(held.get("name")),
        trace_id=identity(context.get("trace_id")),
        span_id=identity(context.get("span_id")),
        parent_id=identity(held.get("parent_id")),
        start_us=microseconds(held.get("start_time")),
        end_us=microseconds(held.get("end_time")),
        attributes=attributes(held.get("attributes")),
        resource=attributes(resource.get("attributes")) if isinstance(resource, dict) else {},
        events=[
            (text(event.get("name")) or "", microseconds(event.get("timestamp")), attributes(event.get("attributes")))
            for event in list_of(held, "events")
            if isinstance(event, dict)
        ],
        failed=state.get("status_code") == "ERROR",
        succeeded=state.get("status_code") == "OK",
        message=text(state.get("description")) or "",
    )


def _logged(held: Mapping[str, Any]) -> list[Span]:
    """Read a log record: an event that belongs to a span, with its messages or a judgement of it."""
    known = attributes(held.get("attributes"))
    body = attributes([{"key": "body", "value": held.get("body")}]).get("body")
    name = text(either(held, "eventName", "event_name")) or text(known.get("event.name")) or ""
    time = _nanoseconds(
        first(held, ("timeUnixNano", "time_unix_nano", "observedTimeUnixNano", "observed_time_unix_nano"))
    )
    if isinstance(body, Mapping):
        known = {**body, **known}
    elif body is not None:
        known.setdefault("content", body)
    step = Step(
        name=name,
        trace_id=identity(either(held, "traceId", "trace_id")),
        parent_id=identity(either(held, "spanId", "span_id")),
        start_us=time,
        attributes=known,
    )
    return otel_genai.event_spans(step)


READER = SpanReader(
    name="otlp",
    title="OpenTelemetry spans: OTLP JSON lines, SDK JSON; GenAI conventions of all versions, OpenLLMetry, AI SDK",
    fits=_fits,
    read=_read,
    gives=tuple(COLUMNS),
)
