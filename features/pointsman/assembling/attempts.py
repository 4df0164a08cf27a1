"""From the model calls of a trace to its requests: which spans are one call, which calls are attempts at one answer."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pointsman.assembling.trace_tree import combined, in_order, same_or_untold, times
from pointsman.outcomes import ANSWERED
from pointsman.spans import LLM, OTHER

if TYPE_CHECKING:
    from pointsman.assembling.trace_tree import TraceTree
    from pointsman.spans import Span

__all__ = ["Call", "Request", "requests_of"]

_SLACK_US = 1000
"""Sources round their times; an attempt that starts this much before the end of the failed one came after it."""


@dataclass(eq=False)
class Call:
    """One call to a model.

    Attributes
    ----------
    span : Span
        What all layers tell together.
    layers : list of Span
        The spans of the tree that recorded it, the outermost first: wrapper libraries around the provider's own.
    """

    span: Span
    layers: list[Span]

    @property
    def failed(self) -> bool:
        """Whether no answer came; a source that tells no status had one."""
        return self.span.status is not None and self.span.status.strip().lower() not in ANSWERED


@dataclass(eq=False)
class Request:
    """One question and the attempts to answer it, in order of time.

    Attributes
    ----------
    attempts : list of Call
    answered : bool
        Whether one of them succeeded.
    """

    attempts: list[Call] = field(default_factory=list)
    answered: bool = False

    def add(self, call: Call) -> None:
        """Add a further attempt."""
        self.attempts.append(call)
        self.answered = self.answered or not call.failed

    @property
    def answer(self) -> Call:
        """The attempt that answered: of those that succeeded the first to end, else the last.

        After a success no further attempt begins, so several succeed only where they ran side by side (hedged).
        """
        came = [call for call in self.attempts if not call.failed]
        if not came:
            return self.attempts[-1]
        return min(came, key=lambda call: math.inf if (end := times(call.span)[1]) is None else end)

    @property
    def start_us(self) -> int | None:
        """Start of the first attempt."""
        return min((start for call in self.attempts if (start := times(call.span)[0]) is not None), default=None)


def requests_of(tree: TraceTree) -> list[Request]:
    """Return the requests of a trace, in order of time.

    A call continues an earlier request where the two prompts do not contradict each other and

    - the attempts before it failed, the last one ended before it started, and both stand under the same parent (or
      have the same prompt), or
    - it has the same prompt and the same parent and started while the attempt before it was under way (a hedge).

    Calls marked as not chosen, and calls of one ``request_id`` to several models, are replays: each stays a request.
    """
    calls, frames = _calls(tree)
    requests: list[Request] = []
    by_place: dict[int | None, Request] = {}
    by_prompt: dict[str, Request] = {}
    for call in calls:
        above, prompt = tree.parent(call.layers[0]), call.span.prompt
        place = None if above is None else id(above)
        near, alike = by_place.get(place), None if prompt is None else by_prompt.get(prompt)
        request = next((one for one in (near, alike) if one is not None and _continues(one, call, one is near)), None)
        if request is None:
            request = Request()
            requests.append(request)
        request.add(call)
        by_place[place] = request
        if prompt is not None:
            by_prompt[prompt] = request
    _complete(requests, frames)
    return requests


def _continues(request: Request, call: Call, beside: bool) -> bool:
    """Tell whether a call is a further attempt; `beside` tells that it stands under the parent of the one before."""
    before, now = request.attempts[-1].span, call.span
    if before.chosen is False or now.chosen is False or not same_or_untold(before.prompt, now.prompt):
        return False
    if before.request_id is not None and before.request_id == now.request_id and before.model != now.model:
        return False
    end, start = times(before)[1], times(now)[0]
    overlap = end is not None and start is not None and start < end - _SLACK_US
    if overlap:
        # Without the prompts, calls side by side are different questions. So are two of one model that read different
        # amounts: a guard that checks the question beside the one that answers it.
        alike = before.model != now.model or same_or_untold(before.input_tokens, now.input_tokens)
        return beside and before.prompt is not None and before.prompt == now.prompt and alike
    return not request.answered


def _calls(tree: TraceTree) -> tuple[list[Call], list[tuple[Span, list[Call]]]]:
    """Return the calls in order of time, and the model spans that only frame several calls, with these."""
    models = [span for span in tree.spans if span.kind == LLM]
    within: dict[int, list[Span]] = {}
    inner: set[int] = set()
    for span in models:
        wrapper = _wrapper(tree, span)
        if wrapper is not None:
            within.setdefault(id(wrapper), []).append(span)
    for wrapper in models:
        held = within.get(id(wrapper), [])
        if len(held) == 1 and _same_call(wrapper, held[0]):
            inner.add(id(held[0]))
    calls: dict[int, Call] = {}
    frames: list[tuple[Span, list[Span]]] = []
    for span in models:
        if id(span) in inner:
            continue
        layers = [span]
        while len(held := within.get(id(layers[-1]), [])) == 1 and id(held[0]) in inner:
            layers.append(held[0])
        if len(held) > 1:
            frames.append((combined(layers), held))
        else:
            calls[id(span)] = Call(combined(layers), layers)
    of = {id(call.span): call for call in calls.values()}
    return [of[id(span)] for span in in_order(call.span for call in calls.values())], [
        (frame, [calls[id(one)] for one in held if id(one) in calls]) for frame, held in frames
    ]


def _wrapper(tree: TraceTree, span: Span) -> Span | None:
    """Return the model span that this one stands in; what a tool or a retrieval calls is on its own."""
    for above in tree.ancestors(span):
        if above.kind == LLM:
            return above
        if above.kind != OTHER:
            return None
    return None


def _same_call(wrapper: Span, span: Span) -> bool:
    """Tell whether a span inside another is the same call: the same question, or not two different usages."""
    same_question = wrapper.prompt is not None and wrapper.prompt == span.prompt
    return same_question or same_or_untold(wrapper.output_tokens, span.output_tokens)


def _complete(requests: list[Request], frames: list[tuple[Span, list[Call]]]) -> None:
    """Let a span that frames all attempts of one request, and nothing else, tell what its answer leaves open."""
    owner = {id(call): request for request in requests for call in request.attempts}
    for frame, held in frames:
        owners = {id(owner[id(call)]): owner[id(call)] for call in held}
        if len(owners) == 1:
            request = next(iter(owners.values()))
            if len(held) == len(request.attempts):
                answer = request.answer
                answer.span = combined([frame, answer.span], lead=answer.span)
