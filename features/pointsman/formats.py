"""The formats by name, and which of them a file has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointsman.columns import COLUMNS
from pointsman.errors import TraceError
from pointsman.readers import (
    decision_log,
    envoy_ai_gateway,
    helicone,
    langfuse,
    litellm,
    mlflow_traces,
    openinference,
    otlp,
    outcome_matrix,
    routellm_pairs,
    table,
    vllm_sr,
)
from pointsman.readers.reader import SpanReader, TableReader
from pointsman.row_checks import check_columns

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

__all__ = ["FORMATS", "detected", "fields_table"]

FORMATS: dict[str, SpanReader | TableReader] = {
    reader.name: reader
    for reader in (
        table.READER,
        decision_log.READER,
        otlp.READER,
        openinference.READER,
        litellm.READER,
        langfuse.READER,
        mlflow_traces.READER,
        helicone.READER,
        vllm_sr.READER,
        envoy_ai_gateway.READER,
        outcome_matrix.READER,
        routellm_pairs.READER,
    )
}
"""Readers by the word of ``--format``."""

_MEANT = 3
"""Required columns that a file has whose author meant it to be a trace table."""


def detected(
    records: Sequence[Mapping[str, Any]], source: str, joined: Collection[str] = ()
) -> SpanReader | TableReader:
    """Return the reader of a file, told by its first records.

    Parameters
    ----------
    records : sequence of mapping
    source : str
        Named in errors.
    joined : collection of str
        Columns that other tables will bring.

    Raises
    ------
    TraceError
        Where no reader knows the layout, or several do.
    """
    own = list(dict.fromkeys(str(key) for record in records for key in record))
    columns = list(dict.fromkeys([*own, *joined])) if own else []
    votes = {
        name: sum(reader.fits(record) for record in records)
        if isinstance(reader, SpanReader)
        else len(records) * reader.fits(columns)
        for name, reader in FORMATS.items()
    }
    most = max(votes.values(), default=0)
    best = [name for name, count in votes.items() if count == most and count]
    if len(best) == 1:
        return FORMATS[best[0]]
    if best:
        raise TraceError(f"{source}: may be any of {', '.join(best)}; say which with --format")
    if sum(COLUMNS[name].required for name in columns if name in COLUMNS) >= _MEANT:
        check_columns(columns, source)
    have = ", ".join(own[:12]) or "nothing"
    more = f" and {len(own) - 12} more" if len(own) > 12 else ""
    raise TraceError(
        f"{source}: no known format: its records hold {have}{more}; name one with --format "
        f"({', '.join(FORMATS)}), or map its columns with --config"
    )


def fields_table() -> list[list[str]]:
    """Return, as cells with a head, which columns of the trace table each format can fill."""
    names = list(COLUMNS)
    head = ["", *FORMATS]
    return [head, *([name, *("●" if name in one.gives else "" for one in FORMATS.values())] for name in names)]
