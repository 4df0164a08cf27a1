"""What a reader is: the one small pure function that a source format needs, with what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    import pandas as pd

    from pointsman.ingest_config import IngestConfig
    from pointsman.spans import Span

__all__ = ["AROUND", "ASKED", "LABELS", "TOKENS", "WHO", "SpanReader", "TableReader"]

ASKED = ("request_id", "timestamp", "prompt", "model", "latency_ms")
TOKENS = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")
AROUND = ("retries", "retry_cost_usd", "retrieval_cost_usd", "connector_cost_usd")
LABELS = ("useful", "hallucinated", "intent")
WHO = ("conversation_id", "user_id")
"""Columns that formats give together: who was asked what, what was read and written, spent around, judged, by whom."""


@dataclass(frozen=True)
class SpanReader:
    """Reads a format whose records are spans, calls or logs: one record in, its spans out.

    Attributes
    ----------
    name : str
        The word of ``--format``.
    title : str
        In the documentation: product, layout, versions.
    fits : callable
        Whether a record (a JSON object, or a row of a table as one) has this layout; it looks at keys, not at values
        that any format might hold.
    read : callable
        The spans of a record. An empty list: the record holds no step of a request. Raises ValueError with
        ``field: must be … (got …)`` where the record cannot be used; the engine puts it aside with that reason.
    gives : tuple of str
        Columns of the trace table that the format can fill.
    """

    name: str
    title: str
    fits: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Mapping[str, Any]], list[Span]]
    gives: tuple[str, ...]


@dataclass(frozen=True)
class TableReader:
    """Reads a format that is a table of answers: a frame in, rows of the trace table out (not validated yet).

    Attributes
    ----------
    name, title : str
    fits : callable
        Whether columns of these names have this layout.
    rows : callable
        The frame and the configuration of ingest to a frame with columns of the contract. Its index is ``source_row``
        and is kept (repeated where one row of the source holds several answers). Raises TraceError where the layout
        cannot be read at all.
    gives : tuple of str
    """

    name: str
    title: str
    fits: Callable[[Collection[str]], bool]
    rows: Callable[[pd.DataFrame, IngestConfig], pd.DataFrame]
    gives: tuple[str, ...]
