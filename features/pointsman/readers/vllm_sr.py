"""vLLM Semantic Router: replay records of its ``router_replay`` plugin and of ``GET /v1/router_replay``.

One record is one routed request: which signals fired, which decision and model they led to, and, where the plugin
captures them, the bodies. The model is ``selected_model``; the one that was asked for (``auto``) stands in the tag
``vllm_sr.original_model``. The intent is the category of the domain classifier, else its only matched domain signal.

Versions before ``duration_ms`` and ``ended_at`` tell no latency: their rows are put aside unless a table with it is
joined by ``request_id``. The prompt is read from ``request_body``, or is the captured ``prompt`` where the body is
missing or was cut off. Outcomes posted to the router become scores: ``user`` as feedback of who asked, ``operator`` as
a human's, ``eval`` and ``agent`` as a judge's; what providers and the router say of themselves is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pointsman.readers.fields import at, flag, microseconds, number, parsed, text, whole
from pointsman.readers.messages import asked
from pointsman.readers.reader import ASKED, LABELS, TOKENS, SpanReader
from pointsman.readers.usage import Usage, body_usage
from pointsman.spans import Score, Span

__all__ = ["READER"]

_WHO = {
    "user": "user",
    "api_key": "user",
    "delegated_inference_session": "user",
    "operator": "human",
    "eval": "judge",
    "agent": "judge",
}
_FIT = {"good_fit": 1.0, "overprovisioned": 1.0, "underpowered": 0.0, "failed": 0.0}
"""A model that was stronger than needed served the user all the same."""
_NOTES = (
    "decision",
    "recipe",
    "original_model",
    "reasoning_mode",
    "selection_method",
    "cache_hit_kind",
    "jailbreak_detected",
    "pii_blocked",
    "rag_backend",
)


def _fits(record: Mapping[str, Any]) -> bool:
    return "selected_model" in record and "timestamp" in record and ("signals" in record or "original_model" in record)


def _read(record: Mapping[str, Any]) -> list[Span]:
    start = microseconds(record.get("timestamp"))
    if start is None:
        raise ValueError(f"timestamp: must be a time (got {record.get('timestamp')!r})")
    if record.get("lifecycle_state") == "in_progress":
        raise ValueError("lifecycle_state: must be that of a finished request (got 'in_progress')")
    response = record.get("response_body")
    read, wrote = whole(record.get("prompt_tokens")), whole(record.get("completion_tokens"))
    # A body is long, and what else it tells stands in the record.
    needed = read is None or wrote is None or "reasoning_tokens" in str(response)
    told = body_usage(response) if needed else Usage()
    read = told.read if read is None else read
    cached, written = whole(record.get("cached_prompt_tokens")), whole(record.get("cache_write_tokens"))
    hit = flag(record.get("from_cache"))
    span = Span(
        # Turns of one session are requests of their own; a record shows no attempts.
        span_id=text(record.get("id")),
        request_id=text(record.get("request_id")) or text(record.get("id")),
        start_us=start,
        end_us=microseconds(record.get("ended_at")),
        duration_ms=number(record.get("duration_ms")),
        status=_status(record),
        model=text(record.get("selected_model")) or text(record.get("original_model")),
        input_tokens=read,
        cached_input_tokens=told.cached if cached is None else cached,
        cache_write_tokens=told.written if written is None else written,
        output_tokens=told.wrote if wrote is None else wrote,
        reasoning_tokens=told.reasoning,
        cost_usd=_cost(record),
        cache_hit=hit,
        conversation_id=text(record.get("conversation_id")) or text(record.get("session_id")),
        intent=_intent(record),
        hallucinated=_hallucinated(record),
        scores=_scores(record),
        tags=_tags(record),
    )
    _ask(span, record)
    return [span]


def _ask(span: Span, record: Mapping[str, Any]) -> None:
    body = parsed(record.get("request_body"))
    if isinstance(body, Mapping):
        held = at(body, "messages", "input", "contents", "prompt")
        words = asked(held, at(body, "system"), at(body, "instructions"))
        span.prompt, span.modality = words.prompt, words.modality if words.prompt is not None else None
        span.context_tokens = words.context_tokens(span.input_tokens)
    if span.prompt is None and flag(record.get("prompt_truncated")) is not True:
        span.prompt = text(record.get("prompt"))


def _status(record: Mapping[str, Any]) -> str | None:
    code = whole(record.get("response_status"))
    reason = (text(record.get("terminal_reason")) or "").lower()
    if code in {408, 504, 524} or "timeout" in reason or "deadline" in reason:
        return "timeout"
    if (code is not None and code >= 400) or text(record.get("lifecycle_state")) in {"failed", "aborted"}:
        return "error"
    return None


def _cost(record: Mapping[str, Any]) -> float | None:
    currency = text(record.get("currency"))
    return number(record.get("actual_cost")) if currency is None or currency.upper() == "USD" else None


def _intent(record: Mapping[str, Any]) -> str | None:
    category = text(record.get("category"))
    if category is not None:
        return category
    domains = at(parsed(record.get("signals")), "domain")
    return text(domains[0]) if isinstance(domains, list) and len(domains) == 1 else None


def _hallucinated(record: Mapping[str, Any]) -> bool | None:
    """Return the finding of the detector; None where it did not run, though it was switched on."""
    if flag(record.get("hallucination_detected")):
        return True
    ran = flag(record.get("hallucination_score_available")) or (number(record.get("hallucination_confidence")) or 0) > 0
    return False if flag(record.get("hallucination_enabled")) and ran else None


def _scores(record: Mapping[str, Any]) -> list[Score]:
    scores = []
    outcomes = parsed(record.get("outcomes"))
    for one in outcomes if isinstance(outcomes, list) else []:
        verdict, by = text(at(one, "verdict")), _WHO.get(str(at(one, "source")))
        if by is None or verdict is None or text(at(one, "target")) not in {None, "model", "route"}:
            continue
        scores.append(Score("outcome", _FIT.get(verdict, verdict), by))
    return scores


def _tags(record: Mapping[str, Any]) -> dict[str, str]:
    tags = {}
    for key in _NOTES:
        value = record.get(key)
        word = str(value).lower() if isinstance(value, bool) else text(value)
        if word is not None and word != "false":
            tags[f"vllm_sr.{key}"] = word
    signals = parsed(record.get("signals"))
    for kind, matched in signals.items() if isinstance(signals, Mapping) else ():
        if isinstance(matched, list) and matched:
            tags[f"signal.{kind}"] = ",".join(str(one) for one in matched)[:200]
    return tags


READER = SpanReader(
    name="vllm-sr",
    title="vLLM Semantic Router replay records (router_replay plugin and API); latency from the versions that log it",
    fits=_fits,
    read=_read,
    gives=(*ASKED, *TOKENS, *LABELS, "cost_usd", "status", "modality", "context_tokens", "conversation_id"),
)
