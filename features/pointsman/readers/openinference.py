"""Reader of OpenInference: spans within OTLP, and what Phoenix exports (frames of spans, REST spans, annotations)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pointsman.columns import COLUMNS
from pointsman.readers.fields import at, microseconds, number, parsed, text, whole
from pointsman.readers.messages import Asked, asked
from pointsman.readers.otel import Step, first, flat, gathered, identity, list_of, span_of, whole_usage
from pointsman.readers.otel_genai import first_token_ms
from pointsman.readers.otel_names import labelled, own, told_by
from pointsman.readers.reader import SpanReader
from pointsman.spans import EMBEDDING, FEEDBACK, LLM, OTHER, RERANKER, RETRIEVAL, TOOL, Score, Span

__all__ = ["READER", "SPAN_KIND", "spans_of"]

SPAN_KIND = "openinference.span.kind"
_KINDS = {"LLM": LLM, "RETRIEVER": RETRIEVAL, "RERANKER": RERANKER, "EMBEDDING": EMBEDDING, "TOOL": TOOL}
_MODEL = (
    "llm.response.model_name",
    "llm.model_name",
    "llm.request.model_name",
    "embedding.model_name",
    "reranker.model_name",
)
_PARAMETERS = ("llm.invocation_parameters", "embedding.invocation_parameters")
_CACHED = ("llm.token_count.prompt_details.cache_read", "llm.token_count.prompt_details.cache_input")
_BY = {"HUMAN": "human", "LLM": "judge", "CODE": "code"}
_ON_SPAN = ("annotations", "evaluations")
_ON_TRACE = ("trace.annotations", "trace.evaluations")
_SPAN_ID = ("span_id", "context.span_id")
_TRACE_ID = ("trace_id", "context.trace_id")


def spans_of(step: Step) -> list[Span]:
    """Return the span of a step with OpenInference attributes, and a second one for judgements of its trace."""
    held = step.attributes
    told = told_by(held)
    role = str(held.get(SPAN_KIND)).upper()
    kind = _KINDS.get(role, OTHER)
    span = span_of(step, kind)
    if kind != OTHER:
        _spent(span, held, told)
    if kind in {LLM, OTHER}:
        request = _asked(held)
        span.prompt = request.prompt
        span.modality = request.modality if request.prompt is not None else None
        span.context_tokens = request.context_tokens(span.input_tokens)
    if kind == LLM:
        span.first_token_ms = first_token_ms(step, told)
    labelled(span, held, told, step.resource)
    if kind == OTHER and role != "NONE":
        # Tells calls of a model that judge or guard from those that answer.
        span.tags[SPAN_KIND] = role
    own(span, held)
    if not any(name.startswith((*_ON_SPAN, *_ON_TRACE)) for name in held):
        return [span]
    span.scores = [score for name in _ON_SPAN for score in _scores(held, name)]
    of_trace = [score for name in _ON_TRACE for score in _scores(held, name)]
    return [span, Span(kind=FEEDBACK, trace_id=step.trace_id, scores=of_trace)] if of_trace else [span]


def _spent(span: Span, held: Mapping[str, Any], told: Mapping[str, Any]) -> None:
    """Fill in the model, its tokens and what they cost."""
    span.model = text(first(held, _MODEL))
    if span.model is None:
        # A call that failed has only what was asked for.
        asked_for = parsed(first(held, _PARAMETERS))
        span.model = text(asked_for.get("model")) if isinstance(asked_for, Mapping) else None
    span.input_tokens = whole(held.get("llm.token_count.prompt"))
    span.output_tokens = whole(held.get("llm.token_count.completion"))
    span.cached_input_tokens = whole(first(held, _CACHED))
    span.cache_write_tokens = whole(held.get("llm.token_count.prompt_details.cache_write"))
    span.reasoning_tokens = whole(held.get("llm.token_count.completion_details.reasoning"))
    whole_usage(span, whole(held.get("llm.token_count.total")))
    span.cost_usd = number(told.get("cost_usd"))


def _asked(held: Mapping[str, Any]) -> Asked:
    messages = held.get("llm.input_messages") or gathered(held, "llm.input_messages")
    if not messages:
        messages = held.get("llm.prompts") or [one.get("prompt.text") for one in gathered(held, "llm.prompts")]
    return asked(messages if messages else held.get("input.value"))


def _scores(held: Mapping[str, Any], prefix: str) -> list[Score]:
    """Return judgements that stand among the attributes of a span."""
    listed = held.get(prefix)
    rows = [flat(one) for one in listed if isinstance(one, Mapping)] if isinstance(listed, list | tuple) else []
    word = prefix.rpartition(".")[2].removesuffix("s")
    scores = [_score(row, f"{word}.", f"{word}.") for row in rows or gathered(held, prefix)]
    return [score for score in scores if score is not None]


def _score(row: Mapping[str, Any], named: str, valued: str) -> Score | None:
    """Return one judgement; its number counts before its label."""
    value = number(first(row, (f"{valued}score", "score")))
    judged: float | str | None = value if value is not None else text(first(row, (f"{valued}label", "label")))
    if judged is None:
        return None
    name = text(first(row, ("annotation_name", f"{named}name", "name", "eval_name"))) or "evaluation"
    by = _BY.get(str(first(row, ("annotator_kind", f"{named}annotator_kind"))).upper(), "")
    # Phoenix knows annotators, not users; feedback of who asked goes by this name in its documentation.
    return Score(name, judged, "user" if by == "human" and name.lower().startswith("user") else by)


def _fits(record: Mapping[str, Any]) -> bool:
    if "annotator_kind" in record:
        return any(key in record for key in (*_SPAN_ID, *_TRACE_ID))
    if "context.span_id" in record or "context.trace_id" in record:
        return True
    context = record.get("context")
    return isinstance(context, Mapping) and "span_id" in context and "span_kind" in record


def _read(record: Mapping[str, Any]) -> list[Span]:
    if "annotator_kind" in record or ("start_time" not in record and ("score" in record or "label" in record)):
        return _annotation(record)
    spans = spans_of(_exported(record))
    for one in list_of(record, "annotations", "span_annotations"):
        if isinstance(one, Mapping) and (score := _score(flat(one), "annotation.", "result.")) is not None:
            spans[0].scores.append(score)
    return spans


def _annotation(record: Mapping[str, Any]) -> list[Span]:
    """Read a judgement that stands apart from its span, from REST or from a row of a frame."""
    held = flat(record)
    span_id, trace_id = identity(first(held, _SPAN_ID)), identity(first(held, _TRACE_ID))
    if span_id is None and trace_id is None:
        raise ValueError(f"span_id: must be the id of the span that is judged (got {record.get('span_id')!r})")
    score = _score(held, "annotation.", "result.")
    return [] if score is None else [Span(kind=FEEDBACK, trace_id=trace_id, parent_id=span_id, scores=[score])]


def _exported(record: Mapping[str, Any]) -> Step:
    """Decode a span as Phoenix exports it: attributes nested, or flat, or as columns ``attributes.…``."""
    columns = {key[len("attributes.") :]: value for key, value in record.items() if key.startswith("attributes.")}
    held = _flat(record.get("attributes")) | flat(columns)
    if (kind := text(record.get("span_kind"))) is not None:
        held.setdefault(SPAN_KIND, kind)
    span_id, trace_id = identity(at(record, *_SPAN_ID)), identity(at(record, *_TRACE_ID))
    if span_id is None and trace_id is None:
        raise ValueError(f"context.span_id: must be the id of a span (got {at(record, *_SPAN_ID)!r})")
    code = text(record.get("status_code"))
    return Step(
        name=text(record.get("name")),
        trace_id=trace_id,
        span_id=span_id,
        parent_id=identity(record.get("parent_id")),
        start_us=microseconds(record.get("start_time")),
        end_us=microseconds(record.get("end_time")),
        attributes=held,
        events=[
            (text(event.get("name")) or "", microseconds(event.get("timestamp")), _flat(event.get("attributes")))
            for event in list_of({"events": parsed(record.get("events"))}, "events")
            if isinstance(event, Mapping)
        ],
        failed=code == "ERROR",
        succeeded=code == "OK",
        message=text(record.get("status_message")) or "",
    )


def _flat(held: Any) -> dict[str, Any]:
    found = parsed(held)
    return flat(found) if isinstance(found, Mapping) else {}


READER = SpanReader(
    name="openinference",
    title="OpenInference as Phoenix exports it: frames of spans (Parquet), REST spans and annotations (JSON lines)",
    fits=_fits,
    read=_read,
    gives=tuple(COLUMNS),
)
