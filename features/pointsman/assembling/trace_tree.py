"""The spans of one trace as a tree: each step once, in order of time, with what stands above it."""

from __future__ import annotations

import math
from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING

from pointsman.spans import FEEDBACK, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["TraceTree", "combined", "copied", "encloses", "in_order", "same_or_untold", "set_times", "times"]

_SLACK_US = 1000
"""Sources round their times."""
_LONGEST_MS = 1e14
_DEEPEST = 200
"""Steps above a step that are looked at: a source that links each message to the one before makes endless chains."""
_LOOKED_BACK = 8
"""Steps of one id that a record is compared with: a source that gives all its steps one id has no end of them."""
_WEIGHED = ("model", "prompt", "input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens", "cost_usd")
_SPECIAL = frozenset({"kind", "start_us", "end_us", "duration_ms", "first_token_ms", "status", "scores", "tags"})
_ALL = tuple(field.name for field in fields(Span))
_PLAIN = tuple(name for name in _ALL if name not in _SPECIAL)
_values = attrgetter(*_ALL)


def times(span: Span) -> tuple[int | None, int | None]:
    """Return start and end of a span, Unix microseconds; no end where it would lie before the start.

    A duration that the source tells by itself wins over the distance of the times.
    """
    start, end, duration = span.start_us, span.end_us, span.duration_ms
    if duration is not None and 0 <= duration < _LONGEST_MS:
        if start is not None:
            return start, start + round(duration * 1000)
        if end is not None:
            return end - round(duration * 1000), end
    if start is not None and end is not None and end < start:
        return start, None
    return start, end


def copied(span: Span) -> Span:
    """Return a copy of a span, six times as fast as `dataclasses.replace`."""
    return Span(*_values(span))


def encloses(outer: Span, spans: Iterable[Span]) -> bool:
    """Tell whether a step with a start and an end reaches around all these steps, give or take 1 ms."""
    start, end = times(outer)
    if start is None or end is None:
        return False
    for span in spans:
        first, last = times(span)
        if (first is not None and first < start - _SLACK_US) or (last is not None and last > end + _SLACK_US):
            return False
    return True


def set_times(span: Span, start: int, end: int | None) -> None:
    """Move a span to other times, in place; the time to its first token counts from the new start."""
    own = times(span)[0]
    span.start_us, span.end_us = start, end
    span.duration_ms = None if end is None or end < start else (end - start) / 1000
    if span.first_token_ms is not None:
        span.first_token_ms = None if own is None else span.first_token_ms + (own - start) / 1000


def in_order(spans: Iterable[Span]) -> list[Span]:
    """Return spans in order of their start; those without one by their end, those without both last."""

    def key(span: Span) -> tuple[float, float, str]:
        start, end = times(span)
        late = math.inf if end is None else end
        return late if start is None else start, late, span.span_id or ""

    return sorted(spans, key=key)


def combined(layers: Sequence[Span], lead: Span | None = None) -> Span:
    """Return one span of several records of the same step, the outermost first: nothing counts twice.

    `lead`, by default the record that tells most (of equal ones the innermost), leads; the others fill what it leaves
    open. The times reach over all of them, and the status is that of the outermost that tells one: an inner failure was
    made good.
    """
    if len(layers) == 1:
        return layers[0]
    inner_first = list(reversed(layers))
    if lead is None:
        lead = max(inner_first, key=lambda one: sum(getattr(one, name) is not None for name in _WEIGHED))
    whole = copied(lead)
    for name in _PLAIN:
        if getattr(whole, name) is None:
            told = (value for one in inner_first if (value := getattr(one, name)) is not None)
            setattr(whole, name, next(told, None))
    both = [times(one) for one in layers]
    whole.start_us = min((start for start, _ in both if start is not None), default=None)
    whole.end_us = max((end for _, end in both if end is not None), default=None)
    durations = [one.duration_ms for one in layers if one.duration_ms is not None]
    whole.duration_ms = max(durations, default=None) if whole.start_us is None or whole.end_us is None else None
    whole.first_token_ms = next((token for one in inner_first if (token := _token(one, whole)) is not None), None)
    whole.status = next((one.status for one in layers if one.status is not None), None)
    whole.scores = list(dict.fromkeys(score for one in inner_first for score in one.scores))
    whole.tags = {key: word for one in layers for key, word in one.tags.items()}
    return whole


def _token(span: Span, whole: Span) -> float | None:
    """Return the time to the first token of a layer, from the start of the whole, ms."""
    start = times(span)[0]
    if span.first_token_ms is None or start is None or whole.start_us is None:
        return span.first_token_ms
    return span.first_token_ms + (start - whole.start_us) / 1000


def same_or_untold(one: object, other: object) -> bool:
    """Tell whether two values do not contradict each other."""
    return one is None or other is None or one == other


class TraceTree:
    """The spans of one trace.

    Attributes
    ----------
    spans : list of Span
        Each step once, in order of time, without feedback. A step that was recorded more than once (a create and an
        update event, an export sent twice) is combined.
    feedback : list of Span
        In order of time.
    """

    def __init__(self, spans: Sequence[Span]) -> None:
        self.feedback = in_order(span for span in spans if span.kind == FEEDBACK)
        self.spans = in_order(span for span in spans if span.kind != FEEDBACK)
        named = [span.span_id for span in self.spans if span.span_id is not None]
        if len(set(named)) < len(named):
            self.spans = in_order(_distinct(self.spans))
        self._by_id: dict[str, Span] = {}
        for span in self.spans:
            if span.span_id is not None:
                self._by_id.setdefault(span.span_id, span)
        self._parents = self._cut({id(span): self.named(span.parent_id) for span in self.spans})

    def _cut(self, parents: dict[int, Span | None]) -> dict[int, Span | None]:
        """Cut each circle of parents where the walk up from its earliest span closes it."""
        settled: set[int] = set()
        for span in self.spans:
            path, last, above = {id(span)}, span, parents[id(span)]
            while above is not None and id(above) not in settled:
                if id(above) in path:
                    parents[id(last)] = None
                    break
                path.add(id(above))
                last, above = above, parents[id(above)]
            settled |= path
        return parents

    def named(self, span_id: str | None) -> Span | None:
        """Return the step of that id."""
        return None if span_id is None else self._by_id.get(span_id)

    def parent(self, span: Span) -> Span | None:
        """Return the step above; None for a root and where the parent is not in the trace."""
        return self._parents[id(span)]

    def ancestors(self, span: Span) -> list[Span]:
        """Return the steps above (200 at most), the nearest first."""
        found: list[Span] = []
        above = self.parent(span)
        while above is not None and len(found) < _DEEPEST:
            found.append(above)
            above = self.parent(above)
        return found

    @property
    def roots(self) -> list[Span]:
        """Steps with nothing above."""
        return [span for span in self.spans if self.parent(span) is None]


def _distinct(spans: Iterable[Span]) -> Iterable[Span]:
    """Give each step once; records of the same id that contradict each other are steps of their own."""
    known: dict[str, list[list[Span]]] = {}
    for span in spans:
        if span.span_id is None:
            yield span
            continue
        steps = known.setdefault(span.span_id, [])
        for records in steps[-_LOOKED_BACK:]:
            if _same_step(records[0], span) and _same_step(records[-1], span):
                records.append(span)
                break
        else:
            steps.append([span])
    for steps in known.values():
        for records in steps:
            yield combined(records)


def _same_step(one: Span, other: Span) -> bool:
    return one.kind == other.kind and all(
        same_or_untold(getattr(one, name), getattr(other, name)) for name in ("start_us", "model", "prompt")
    )
