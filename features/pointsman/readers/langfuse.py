"""Reads Langfuse: observations, traces and scores of its API, SDK models, exports from the UI and to blob storage."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pointsman.readers.fields import flag, mapping, microseconds, number, parsed, short_tags, text
from pointsman.readers.langfuse_usage import cost, first_token, tokens
from pointsman.readers.messages import asked
from pointsman.readers.reader import AROUND, ASKED, LABELS, TOKENS, WHO, SpanReader
from pointsman.spans import EMBEDDING, FEEDBACK, LLM, OTHER, RETRIEVAL, TOOL, Score, Span

__all__ = ["READER"]

_KINDS = {
    "GENERATION": LLM,
    "EMBEDDING": EMBEDDING,
    "RETRIEVER": RETRIEVAL,
    "TOOL": TOOL,
    **dict.fromkeys(("SPAN", "EVENT", "AGENT", "CHAIN", "EVALUATOR", "GUARDRAIL"), OTHER),
}
# Feedback of end users arrives as API, and so does all else that a program sends: by whom cannot be told.
_BY = {"ANNOTATION": "human", "EVAL": "judge", "API": ""}
_TRACE_ONLY = frozenset({"htmlPath", "html_path", "bookmarked"})
_TRACE_MARKS = frozenset({"public", "release", "observations", "scores", "environment", "projectId", "project_id"})
_TRACE_OWNERS = frozenset({"sessionId", "userId"})
# Lists of the UI's export that are no scores; it gives each score a column of its own, which holds a list of values.
_UI_MARKS = frozenset({"traceTimestamp", "observationCount", "inputUsage"})
_UI_LISTS = frozenset({"traceTags", "tags", "toolCalls", "toolCallNames", "input", "output", "metadata"})
_FREE_TEXT = frozenset({"TEXT", "CORRECTION"})


@cache
def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _of(record: Mapping[str, Any], name: str) -> Any:
    """Return a field by its name with underscores (SDK, blob storage) or in camel case (API, UI)."""
    value = record.get(name)
    return value if value is not None else record.get(_camel(name))


def _is_observation(record: Mapping[str, Any]) -> bool:
    if not ("traceId" in record or "trace_id" in record) or "id" not in record:
        return False
    return ("startTime" in record or "start_time" in record) and str(record.get("type")).upper() in _KINDS


def _is_score(record: Mapping[str, Any]) -> bool:
    if not ("name" in record and ("value" in record or _of(record, "string_value") is not None)):
        return False
    about = ("trace_id", "session_id", "observation_id", "dataset_run_id", "subject")
    return str(record.get("source")).upper() in _BY and any(name in record or _camel(name) in record for name in about)


def _is_trace(record: Mapping[str, Any]) -> bool:
    if not ("id" in record and "timestamp" in record) or "traceId" in record or "trace_id" in record:
        return False
    if "model" in record or "prompt" in record:
        return False
    keys = record.keys()
    if not _TRACE_ONLY.isdisjoint(keys) or len(_TRACE_MARKS & keys) > 1:
        return True
    return "input" in record and "output" in record and not _TRACE_OWNERS.isdisjoint(keys)


def _fits(record: Mapping[str, Any]) -> bool:
    page, traces = record.get("data"), record.get("traces")
    if isinstance(page, list) and isinstance(record.get("meta"), Mapping):
        return bool(page) and isinstance(page[0], Mapping) and _fits(page[0])
    if isinstance(traces, list) and _of(record, "created_at") is not None:
        return bool(traces) and isinstance(traces[0], Mapping) and _is_trace(traces[0])
    return _is_observation(record) or _is_score(record) or _is_trace(record)


def _read(record: Mapping[str, Any]) -> list[Span]:
    if str(record.get("environment")).startswith("langfuse-"):
        return []  # Langfuse's own work, such as its judges; the name is reserved
    if _is_observation(record):
        return [_observation(record)]
    if _is_score(record):
        return _feedback(record)
    if _is_trace(record):
        return _whole_trace(record)
    for page in (record.get("data"), record.get("traces")):
        if isinstance(page, list):
            return [span for one in page if isinstance(one, Mapping) for span in _read(one)]
    raise ValueError("type: must be that of an observation, or the record a trace or a score (got neither)")


def _observation(record: Mapping[str, Any]) -> Span:
    kind = _KINDS[str(record["type"]).upper()]
    start = microseconds(_of(record, "start_time"))
    if start is None:
        raise ValueError(f"startTime: must be a date with time (got {_of(record, 'start_time')!r:.80})")
    end = microseconds(_of(record, "end_time"))
    span = Span(
        kind=kind,
        trace_id=text(_of(record, "trace_id")),
        span_id=text(record.get("id")),
        parent_id=text(_of(record, "parent_observation_id")),
        name=text(record.get("name")),
        start_us=start,
        end_us=end,
        status=_status(record),
        conversation_id=text(_of(record, "session_id")),
        user_id=text(_of(record, "user_id")),
        scores=_flat_scores(record),
        tags=_tags(record),
    )
    if end is None:
        # Seconds in the API; the UI writes milliseconds, but there an end always stands beside it.
        seconds = number(record.get("latency"))
        span.duration_ms = seconds * 1e3 if seconds is not None and seconds >= 0 else None
    if kind != OTHER:
        span.cost_usd = cost(record)
    if kind in {LLM, EMBEDDING} or span.parent_id is None:
        request = asked(record.get("input"))
        if request.prompt is not None:
            span.prompt, span.modality = request.prompt, request.modality
    if kind in {LLM, EMBEDDING}:
        span.model = text(_of(record, "model")) or text(_of(record, "provided_model_name"))
        counts = tokens(record)
        span.input_tokens, span.output_tokens = counts.read, counts.wrote
        span.cached_input_tokens, span.cache_write_tokens = counts.cached, counts.written
        span.reasoning_tokens = counts.reasoning
        span.context_tokens = request.context_tokens(span.input_tokens)
        span.first_token_ms = first_token(record, start, end)
    return span


def _whole_trace(record: Mapping[str, Any]) -> list[Span]:
    """Return the trace as a span of its own, then its observations where they stand in it."""
    start, seconds = microseconds(record.get("timestamp")), number(record.get("latency"))
    request = asked(record.get("input"))
    trace = Span(
        kind=OTHER,
        trace_id=text(record.get("id")),
        span_id=text(record.get("id")),
        name=text(record.get("name")),
        start_us=start,
        # -1 where the API was asked to leave it out.
        duration_ms=seconds * 1e3 if seconds is not None and seconds >= 0 else None,
        prompt=request.prompt,
        modality=request.modality if request.prompt is not None else None,
        conversation_id=text(_of(record, "session_id")),
        user_id=text(_of(record, "user_id")),
        scores=_flat_scores(record),
        tags=_tags(record),
    )
    held = parsed(record.get("observations"))
    inside = [one for one in held if isinstance(one, Mapping)] if isinstance(held, list) else []
    steps = [_observation(one) for one in inside if _is_observation(one)]
    by_id = {step.span_id: step for step in steps}
    for step in steps:
        step.trace_id = trace.trace_id
        step.conversation_id = step.conversation_id or trace.conversation_id
        step.user_id = step.user_id or trace.user_id
        step.tags = {**trace.tags, **step.tags}
    listed = parsed(record.get("scores"))
    for one in listed if isinstance(listed, list) else ():
        score = _score(one) if isinstance(one, Mapping) else None
        if score is not None:
            by_id.get(text(_of(one, "observation_id")), trace).scores.append(score)
    return [trace, *steps]


def _feedback(record: Mapping[str, Any]) -> list[Span]:
    """Return a score of a trace, an observation or a session; a score of a dataset's run is about no request."""
    subject = mapping(record.get("subject"))
    about, of = subject.get("kind"), text(subject.get("id"))
    trace_id = text(_of(record, "trace_id")) or text(_of(subject, "trace_id")) or (of if about == "trace" else None)
    observation = text(_of(record, "observation_id")) or (of if about == "observation" else None)
    session = text(_of(record, "session_id")) or (of if about == "session" else None)
    score = _score(record)
    if score is None or not (trace_id or observation or session):
        return []
    return [
        Span(
            kind=FEEDBACK,
            trace_id=trace_id,
            span_id=text(record.get("id")),
            parent_id=observation,
            start_us=microseconds(record.get("timestamp")),
            conversation_id=session,
            scores=[score],
        )
    ]


def _score(record: Mapping[str, Any]) -> Score | None:
    name, kind = text(record.get("name")), str(_of(record, "data_type")).upper()
    if name is None or kind in _FREE_TEXT:
        return None
    value, word = record.get("value"), text(_of(record, "string_value"))
    if kind == "BOOLEAN" and flag(word if value is None else value) is not None:
        judged: float | str | None = float(flag(word if value is None else value) or 0)
    elif kind == "CATEGORICAL":
        judged = word or text(value)
    else:
        judged = number(value) if not isinstance(value, bool) else float(value)
        judged = judged if judged is not None else word or text(value)
    return None if judged is None else Score(name, judged, _BY.get(str(record.get("source")).upper(), ""))


def _flat_scores(record: Mapping[str, Any]) -> list[Score]:
    """Read the score columns of an export from the UI; their source is not told."""
    if _UI_MARKS.isdisjoint(record.keys()):
        return []
    scores = []
    for name, cell in record.items():
        held = parsed(cell) if name not in _UI_LISTS else None
        if isinstance(held, list):
            values = [one if isinstance(one, str) else number(one) for one in held]
            scores += [Score(name, value) for value in values if value is not None and value != ""]
    return scores


def _status(record: Mapping[str, Any]) -> str | None:
    level = text(record.get("level"))
    if level is None or level.upper() != "ERROR":
        return None if level is None else "ok"
    said = str(_of(record, "status_message")).lower()
    return "timeout" if "timeout" in said or "timed out" in said else "error"


def _tags(record: Mapping[str, Any]) -> dict[str, str]:
    about = {name: _of(record, name) for name in ("environment", "release", "trace_name", "prompt_name")}
    return short_tags(about, mapping(record.get("metadata")), _of(record, "trace_tags"), record.get("tags"))


READER = SpanReader(
    name="langfuse",
    title="Langfuse observations, traces and scores (API and SDK 2 to 5, export from the UI, blob storage)",
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
