"""From spans to rows of the trace table: one row per question that a model answered, with all it cost and took.

What belongs together is decided within a trace:

- Wrapper libraries record one call in several nested spans: one call. Failed, repeated and hedged calls for one
  question are one request (see `pointsman.assembling.attempts`); the attempt that answered gives model, tokens, cost
  and status, the others sum up in ``retries`` and ``retry_cost_usd``.
- Retrieval, reranker and embedding spans cost ``retrieval_cost_usd``, tools ``connector_cost_usd``. Inside a model's
  span they belong to that request, else to the first that starts at or after their end, else to the last before.
- ``latency_ms`` reaches from the earliest start of all this to the last token of the answer. Where the trace holds one
  request and one root span around everything, the root's own duration is what the user felt.
- Names of the conversation and the user come from the nearest span above, else from any span of the trace; a trace of
  several requests is a conversation. The prompt comes from the call, else from an event below it, else from above;
  intents from above, else from the spans of the trace that are no call; tags from above and from the roots.
- Judgements count for the answer they name, those of a span above for the last request below it, those of the trace for
  its last request.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pointsman.assembling.attempts import Call, Request, requests_of
from pointsman.assembling.framed_call import framed_call
from pointsman.assembling.span_rows import row_of
from pointsman.assembling.trace_tree import TraceTree, copied, encloses, set_times, times
from pointsman.spans import EMBEDDING, FEEDBACK, LLM, OTHER, RERANKER, RETRIEVAL, TOOL, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Assembled", "assemble"]

_NO_CALL = "trace: must hold a model call"
_AROUND = {
    RETRIEVAL: "retrieval_cost_usd",
    RERANKER: "retrieval_cost_usd",
    EMBEDDING: "retrieval_cost_usd",
    TOOL: "connector_cost_usd",
}


@dataclass(frozen=True)
class Assembled:
    """Rows made of spans, and the spans that no row used.

    Attributes
    ----------
    rows : list of dict
        See `row_of`; ``source_row`` is that of the answering span.
    left : list of (Span, str)
        Spans that no row used, each with the reason.
    """

    rows: list[dict[str, Any]]
    left: list[tuple[Span, str]]


def assemble(spans: Sequence[Span]) -> Assembled:
    """Make rows of the spans of whole traces, in any order; a span without ``trace_id`` is a trace of its own.

    Rows of a trace are in order of time, traces in the order of their first span. Nothing is invented: what no span
    tells is None, and so is a latency whose end lies before its start.
    """
    rows: list[dict[str, Any]] = []
    left: list[tuple[Span, str]] = []
    for trace in _traces(spans):
        if len(trace) == 1 and trace[0].kind == LLM:
            rows.append(row_of(trace[0]))
        elif (request := framed_call(trace)) is not None:
            rows.append(row_of(request))
        else:
            rows.extend(map(row_of, _answers(trace, left)))
    return Assembled(rows, left)


def _traces(spans: Iterable[Span]) -> Iterable[list[Span]]:
    traces: dict[str | int, list[Span]] = {}
    for number, span in enumerate(spans):
        key = number if span.trace_id is None else span.trace_id
        held = traces.get(key)
        if held is None:
            traces[key] = [span]
        else:
            held.append(span)
    return traces.values()


@dataclass(eq=False)
class _Parts:
    """A request and what else of its trace belongs to it."""

    request: Request
    around: list[Span] = field(default_factory=list)
    judged: list[Span] = field(default_factory=list)


def _answers(trace: list[Span], left: list[tuple[Span, str]]) -> list[Span]:
    """Return the requests of a trace, each told by one span; add to `left` what belongs to none."""
    tree = TraceTree(trace)
    parts = [_Parts(request) for request in requests_of(tree)]
    if not parts:
        for span in trace:
            lone = span.kind == FEEDBACK
            reason = (
                "feedback: must have an answer in its trace (got none)" if lone else f"{_NO_CALL} (got {span.kind})"
            )
            left.append((span, reason))
        return []
    places = {id(layer): at for at, one in enumerate(parts) for call in one.request.attempts for layer in call.layers}
    below: dict[int, int] = {}
    """The last request under each span above one."""
    for at, one in enumerate(parts):
        for call in one.request.attempts:
            below.update((id(above), at) for above in tree.ancestors(call.layers[0]))
    _share_around(tree, parts, places)
    for span in tree.spans:
        if id(span) not in places and span.kind not in _AROUND:
            parts[below.get(id(span), -1)].judged.append(span)
    for span in tree.feedback:
        judged = tree.named(span.parent_id)
        if judged is not None and judged.kind in _AROUND and id(judged) not in below:
            left.append((span, f"feedback: must judge an answer (got one of a {judged.kind} step)"))
            continue
        at = -1 if judged is None else places.get(id(judged), below.get(id(judged), -1))
        parts[at].judged.append(span)
    return _told(tree, parts)


def _share_around(tree: TraceTree, parts: list[_Parts], places: dict[int, int]) -> None:
    """Give each retrieval and tool span to its request."""
    starts = [one.request.start_us for one in parts]
    known = sorted((start, at) for at, start in enumerate(starts) if start is not None)
    for span in tree.spans:
        if span.kind not in _AROUND:
            continue
        above = tree.ancestors(span)
        inside = next((places[id(one)] for one in above if id(one) in places), None)
        # A wrapper that repeats the cost of the step it wraps would count it twice.
        again = span.cost_usd is not None and any(
            one.kind == span.kind and one.cost_usd == span.cost_usd for one in above
        )
        start, end = times(span)
        moment = end if end is not None else start
        if inside is None and moment is not None and known:
            after = bisect_left(known, (moment, -1))
            inside = known[after if after < len(known) else after - 1][1]
        parts[-1 if inside is None else inside].around.append(replace(span, cost_usd=None) if again else span)


def _told(tree: TraceTree, parts: list[_Parts]) -> list[Span]:
    """Return each request as one span."""
    common = _common(tree, parts)
    root = _felt(tree) if len(parts) == 1 else None
    names = _names(parts)
    if len(parts) > 1 and common.conversation_id is None:
        common.conversation_id = parts[0].request.answer.span.trace_id
    events = {one.parent_id: one for one in tree.spans if one.kind == OTHER and one.prompt is not None}
    return [_whole(one, tree, common, events, name, root) for one, name in zip(parts, names, strict=True)]


def _common(tree: TraceTree, parts: list[_Parts]) -> Span:
    """Return what holds for every request of a trace."""
    calls = {id(layer) for one in parts for call in one.request.attempts for layer in call.layers}
    everyone = [*tree.spans, *tree.feedback]
    roots = [span for span in tree.roots if span.kind == OTHER]
    asked = next((root for root in roots if root.prompt is not None), Span())
    return Span(
        kind=OTHER,
        prompt=asked.prompt,
        modality=asked.modality,
        conversation_id=_first("conversation_id", everyone),
        user_id=_first("user_id", everyone),
        intent=_first("intent", (span for span in everyone if id(span) not in calls)),
        tags={key: word for root in roots for key, word in root.tags.items()},
    )


def _whole(
    parts: _Parts,
    tree: TraceTree,
    common: Span,
    events: Mapping[str | None, Span],
    name: str | None,
    root: Span | None,
) -> Span:
    answer = parts.request.answer
    others = [call.span for call in parts.request.attempts if call is not answer]
    near = [answer.span, *others, *tree.ancestors(answer.layers[0]), common]
    told = [events[layer.span_id] for layer in answer.layers if layer.span_id in events]
    asked = next((one for one in [answer.span, *told, *near] if one.prompt is not None), answer.span)
    whole = copied(answer.span)
    whole.request_id, whole.prompt = name, asked.prompt
    whole.modality = _first("modality", [answer.span, asked])
    for key in ("conversation_id", "user_id", "intent"):
        setattr(whole, key, _first(key, near))
    whole.context_tokens = _first("context_tokens", [answer.span, *others])
    given = [one for one in parts.judged if one.kind == FEEDBACK]
    whole.tags = {key: word for one in [*given, *reversed(near)] for key, word in one.tags.items()}
    judged = [answer.span, *parts.judged]
    whole.scores = list(dict.fromkeys(score for one in judged for score in one.scores))
    whole.useful = _first("useful", [answer.span, *reversed(parts.judged)])
    whole.hallucinated = _first("hallucinated", [answer.span, *reversed(parts.judged)])
    _sum_up(whole, parts, others)
    _time(whole, answer, parts, root)
    return whole


def _sum_up(whole: Span, parts: _Parts, others: list[Span]) -> None:
    """Add what was spent around the answer; where nobody tells of any, it stays None."""
    attempts = [whole, *others]
    counted = [one.retries for one in attempts if one.retries is not None]
    if others or counted:
        # A gateway that counts its attempts on the answer may also have recorded them as steps.
        whole.retries = max(len(others), whole.retries or 0) + sum(one.retries or 0 for one in others)
    whole.retry_cost_usd = _sum([*(one.cost_usd for one in others), *(one.retry_cost_usd for one in attempts)])
    for column in ("retrieval_cost_usd", "connector_cost_usd"):
        spent = [span.cost_usd for span in parts.around if _AROUND[span.kind] == column]
        setattr(whole, column, _sum([*spent, *(getattr(one, column) for one in attempts)]))


def _time(whole: Span, answer: Call, parts: _Parts, root: Span | None) -> None:
    """Set start, latency and the time to the first token as the user felt them."""
    own, end = times(answer.span)
    around = [start for span in parts.around if (start := times(span)[0]) is not None]
    first = parts.request.start_us
    start = min(around if first is None else [first, *around], default=None)
    if root is not None:
        start, end = times(root)
    if start is None or (own == start and root is None):
        return
    set_times(whole, start, end)


def _felt(tree: TraceTree) -> Span | None:
    """Return the root whose duration the user felt: the only one, around everything else."""
    roots = tree.roots
    return roots[0] if len(roots) == 1 and encloses(roots[0], tree.spans) else None


def _names(parts: list[_Parts]) -> list[str | None]:
    """Return the id of each request of a trace; None: the trace's own."""
    replay = any(one.request.answer.span.chosen is False for one in parts)
    named = [
        _first("request_id", (call.span for call in (one.request.answer, *one.request.attempts)))
        or (one.request.answer.span.trace_id if replay else None)
        for one in parts
    ]
    if len(parts) == 1:
        return named
    shared: dict[str | None, list[Span]] = {}
    for name, one in zip(named, parts, strict=True):
        shared.setdefault(name, []).append(one.request.answer.span)
    replayed = {name for name, spans in shared.items() if name is not None and _is_replay(spans)}
    taken: Counter[str] = Counter()
    names: list[str | None] = []
    for name, one in zip(named, parts, strict=True):
        span = one.request.answer.span
        if name in replayed:
            names.append(name)
            continue
        if name is None or len(shared[name]) > 1:
            name = f"{name or span.trace_id}/{span.span_id or ''}"
        taken[name] += 1
        names.append(f"{name}#{taken[name]}" if taken[name] > 1 or name.endswith("/") else name)
    return names


def _is_replay(spans: list[Span]) -> bool:
    """Tell whether the calls of one name are one question to several models."""
    return 1 < len(spans) == len({span.model for span in spans}) and len({span.prompt for span in spans}) == 1


def _first(name: str, spans: Iterable[Span]) -> Any:
    return next((value for span in spans if (value := getattr(span, name)) is not None), None)


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
