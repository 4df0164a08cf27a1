"""The span: what every reader makes of its source, one step of one request; the common ground of all formats."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["EMBEDDING", "FEEDBACK", "LLM", "OTHER", "RERANKER", "RETRIEVAL", "TOOL", "Score", "Span"]

LLM = "llm"
RETRIEVAL = "retrieval"
RERANKER = "reranker"
EMBEDDING = "embedding"
TOOL = "tool"
FEEDBACK = "feedback"
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Score:
    """One judgement of an answer.

    Attributes
    ----------
    name : str
        As the source calls it: ``thumbs``, ``correctness``, ``refund``.
    value : float or str
        Numbers and flags (1.0, 0.0) as float, words as they came.
    by : str
        ``user`` (explicit feedback of who asked), ``human`` (an annotator), ``judge`` (a model), ``code`` (a check),
        "" where the source does not tell.
    """

    name: str
    value: float | str
    by: str = ""


@dataclass(slots=True)
class Span:
    """One step of a request as a source recorded it; None is «not told», never 0.

    Attributes
    ----------
    kind : str
        ``llm`` (a model wrote an answer), ``retrieval``, ``reranker``, ``embedding``, ``tool``, ``feedback`` (only
        judgements of the span that `parent_id` names, or of the whole trace), ``other`` (chains, agents, servers).
    trace_id : str or None
        Steps of one trace share it; None: this step is a request of its own.
    span_id, parent_id : str or None
    name : str or None
        Of the step: a function, an operation.
    start_us, end_us : int or None
        Unix time, microseconds; the end is that of the last token.
    duration_ms : float or None
        Where the source tells a duration by itself; else it is the distance of the two times.
    first_token_ms : float or None
        From the start to the first token.
    status : str or None
        ``ok``, ``timeout``, ``error`` or the source's own word; None: ok.
    model : str or None
        The model that answered; the one asked for where that is not told.
    prompt : str or None
        Text of the last message of the user: what a router sees.
    modality : str or None
        ``text``, ``image``, ``audio``.
    context_tokens : int or None
        History, documents and instructions beyond the prompt.
    input_tokens : int or None
        All that the model read, tokens from a cache and tokens written to one included.
    cached_input_tokens, cache_write_tokens : int or None
        The part of them that came from the provider's prompt cache, or was written to it.
    output_tokens : int or None
        All that the model wrote, reasoning included.
    reasoning_tokens : int or None
        The part of them that was reasoning.
    cost_usd : float or None
        Of this step alone.
    cache_hit : bool or None
        A response cache of the gateway answered, no model.
    retries : int or None
        Attempts before this one that the source counts but does not show as spans.
    retry_cost_usd, retrieval_cost_usd, connector_cost_usd : float or None
        Where the source sums up what was spent around the answer.
    request_id : str or None
        The source's own name of the request, where it is not the trace.
    conversation_id, user_id, intent : str or None
    chosen : bool or None
        Production served this answer; None: it did.
    propensity : float or None
        Probability with which production chose this model.
    hallucinated : bool or None
    useful : float or None
        Where the source itself holds a usefulness, 0..1.
    scores : list of Score
    tags : dict of str to str
        Short labels and metadata of the source; a tag without a value has "".
    """

    kind: str = LLM
    trace_id: str | None = None
    span_id: str | None = None
    parent_id: str | None = None
    name: str | None = None
    start_us: int | None = None
    end_us: int | None = None
    duration_ms: float | None = None
    first_token_ms: float | None = None
    status: str | None = None
    model: str | None = None
    prompt: str | None = None
    modality: str | None = None
    context_tokens: int | None = None
    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None
    cache_hit: bool | None = None
    retries: int | None = None
    retry_cost_usd: float | None = None
    retrieval_cost_usd: float | None = None
    connector_cost_usd: float | None = None
    request_id: str | None = None
    conversation_id: str | None = None
    user_id: str | None = None
    intent: str | None = None
    chosen: bool | None = None
    propensity: float | None = None
    hallucinated: bool | None = None
    useful: float | None = None
    scores: list[Score] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    source_row: int = 0
    """Set by the engine: line of the source (row, element) that the span stands in, from 1."""
