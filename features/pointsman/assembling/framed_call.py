"""The commonest trace, one model call under one root, told by one span without the detour of a tree.

The rules are those of :mod:`pointsman.assembling.assembly`, to which every other trace is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.assembling.trace_tree import copied, encloses, set_times, times
from pointsman.spans import LLM, OTHER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointsman.spans import Span

__all__ = ["framed_call"]


def framed_call(trace: Sequence[Span]) -> Span | None:
    """Return the request of a trace of one model call and its parent, a root of kind ``other``; None for all others."""
    if len(trace) != 2:
        return None
    call, root = trace if trace[0].kind == LLM else (trace[1], trace[0])
    return _request(call, root) if _is_framed(call, root) else None


def _is_framed(call: Span, root: Span) -> bool:
    """Tell whether a root stands right above a model call that tells of no other spending."""
    return (
        call.kind == LLM
        and root.kind == OTHER
        and call.parent_id is not None
        and call.parent_id == root.span_id != call.span_id
        and (root.parent_id is None or root.parent_id not in (root.span_id, call.span_id))
        and call.retries is None
        and call.retry_cost_usd is None
        and call.retrieval_cost_usd is None
        and call.connector_cost_usd is None
    )


def _request(call: Span, root: Span) -> Span:
    """Return the call, completed by what its root tells."""
    whole = copied(call)
    if call.request_id is None and call.chosen is False:
        whole.request_id = call.trace_id
    if call.prompt is None and root.prompt is not None:
        whole.prompt = root.prompt
        if call.modality is None:
            whole.modality = root.modality
    if call.conversation_id is None:
        whole.conversation_id = root.conversation_id
    if call.user_id is None:
        whole.user_id = root.user_id
    if call.intent is None:
        whole.intent = root.intent
    if call.useful is None:
        whole.useful = root.useful
    if call.hallucinated is None:
        whole.hallucinated = root.hallucinated
    if call.scores or root.scores:
        whole.scores = list(dict.fromkeys([*call.scores, *root.scores]))
    if root.tags:
        whole.tags = {**root.tags, **call.tags}
    start, end = times(root)
    if start is not None and encloses(root, [call]):
        set_times(whole, start, end)
    return whole
