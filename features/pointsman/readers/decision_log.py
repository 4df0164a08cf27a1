"""The router's own decision log: what it decided and what came of it, with propensities; JSON lines.

A request is one trace, named by its id: its first decision is the step above, each reported attempt a model's call
below. Where a fallback answered, no propensity is told: what was drawn was the first choice. The classifier's intent is
a tag, not a label: nobody said that it is right. Prompts are there where the log was made with them; without, rows lack
one and are put aside, unless a joined source brings it. What shadows said was served to nobody and is no row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointsman.readers.fields import flag, microseconds, number, text, whole
from pointsman.readers.reader import ASKED, SpanReader
from pointsman.spans import FEEDBACK, LLM, OTHER, Span

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["READER"]

_LOG = "pointsman/"
_TAGS = {
    "intent": "pointsman.intent",
    "version": "pointsman.version",
    "explored": "pointsman.explored",
    "killed": "pointsman.killed",
    "degraded": "pointsman.degraded",
}


def _fits(record: Mapping[str, Any]) -> bool:
    log = record.get("log")
    return isinstance(log, str) and log.startswith(_LOG) and "event" in record and "request_id" in record


def _read(record: Mapping[str, Any]) -> list[Span]:
    request_id, moment = text(record.get("request_id")), microseconds(record.get("at"))
    if request_id is None:
        raise ValueError(f"request_id: must be a text (got {record.get('request_id')!r})")
    if moment is None:
        raise ValueError(f"at: must be a time (got {record.get('at')!r})")
    event = record.get("event")
    if event == "decision":
        return [_decision(record, request_id, moment)] if not whole(record.get("attempt")) else []
    if event == "outcome":
        return [_outcome(record, request_id, moment)]
    if event == "feedback":
        return [Span(kind=FEEDBACK, trace_id=request_id, start_us=moment, useful=number(record.get("useful")))]
    if event == "shadow":
        return []
    raise ValueError(f"event: must be decision, outcome, feedback or shadow (got {event!r})")


def _decision(record: Mapping[str, Any], request_id: str, moment: int) -> Span:
    prompt = record.get("prompt")
    return Span(
        kind=OTHER,
        trace_id=request_id,
        span_id=f"{request_id}/decision",
        start_us=moment,
        prompt=prompt if isinstance(prompt, str) else None,
        modality=text(record.get("modality")),
        user_id=text(record.get("user_id")),
    )


def _outcome(record: Mapping[str, Any], request_id: str, moment: int) -> Span:
    model = text(record.get("model"))
    if model is None:
        raise ValueError(f"model: must be a text (got {record.get('model')!r})")
    latency = number(record.get("latency_ms"))
    tags = {}
    for key, name in _TAGS.items():
        value = record.get(key)
        word = str(value).lower() if isinstance(value, bool) else text(value)
        if word is not None and value is not False:
            tags[name] = word
    ok, status = flag(record.get("ok")), text(record.get("status"))
    return Span(
        kind=LLM,
        trace_id=request_id,
        span_id=f"{request_id}/{whole(record.get('attempt')) or 0}",
        parent_id=f"{request_id}/decision",
        start_us=None if latency is None else moment - round(latency * 1000),
        end_us=moment,
        duration_ms=latency,
        status=status or (None if ok is None else "ok" if ok else "error"),
        model=model,
        modality=text(record.get("modality")),
        context_tokens=whole(record.get("context_tokens")),
        input_tokens=whole(record.get("input_tokens")),
        output_tokens=whole(record.get("output_tokens")),
        cost_usd=number(record.get("cost_usd")),
        propensity=number(record.get("propensity")),
        useful=number(record.get("useful")),
        tags=tags,
    )


READER = SpanReader(
    name="pointsman",
    title="pointsman's decision log (JSON lines)",
    fits=_fits,
    read=_read,
    gives=(
        *ASKED,
        "useful",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "retries",
        "retry_cost_usd",
        "status",
        "modality",
        "context_tokens",
        "chosen",
        "propensity",
    ),
)
