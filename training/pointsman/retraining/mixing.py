"""Which requests a challenger learns from: the fresh ones but the newest, and old ones as far as they still hold."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from pointsman.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Collection

    from pointsman.traces import TraceTable

__all__ = ["apart", "mixed", "with_intents"]

_MOST_OLD = 0.9
"""Old requests for each fresh one at most: an incomplete half would make `fit` estimate what it knows."""


def apart(traces: TraceTable, share: float) -> tuple[TraceTable, TraceTable]:
    """Return the older requests, to fit on, and the newest `share` of them, for the gate.

    Raises
    ------
    TraceError
        Where either part would be empty.
    """
    times = traces.rows.groupby("request_id")["timestamp"].min().sort_values(kind="stable")
    kept = round(len(times) * (1 - share))
    if kept in {0, len(times)}:
        raise TraceError(f"{len(times)} fresh requests are too few to fit on some and to compare on others")
    newest = set(times.index[kept:])
    of_gate = traces.rows["request_id"].isin(newest)
    older, newer = (traces.rows[side].reset_index(drop=True) for side in (~of_gate, of_gate))
    return replace(traces, rows=older), replace(traces, rows=newer)


def mixed(
    fresh: TraceTable, old: TraceTable, *, moved: Collection[str], repriced: Collection[str], models: Collection[str]
) -> TraceTable:
    """Return the fresh requests with the newest old ones before them.

    At most 0.9 old requests for each fresh one. Old answers of a model that has drifted in usefulness or latency are
    left out, for they tell of another model; those of a model whose price changed are priced anew by the spec, from
    their tokens; models that are no candidates any more are left out.

    Parameters
    ----------
    fresh, old : TraceTable
    moved, repriced, models : collection of str
        Models that drifted, whose price changed, and all candidates.
    """
    there = set(fresh.rows["request_id"])
    rows = old.rows[old.rows["model"].isin(set(models) - set(moved)) & ~old.rows["request_id"].isin(there)]
    times = rows.groupby("request_id")["timestamp"].min().sort_values(kind="stable")
    most = int(_MOST_OLD * fresh.rows["request_id"].nunique())
    rows = rows[rows["request_id"].isin(set(times.index[max(len(times) - most, 0) :]))].copy()
    dearer = rows["model"].isin(set(repriced))
    # What an answer cost at another price says nothing of what it costs now.
    rows.loc[dearer, "cost_usd"] = float("nan")
    both = pd.concat([rows, fresh.rows], ignore_index=True)
    both = both.sort_values(["timestamp", "request_id", "model"], kind="stable", ignore_index=True)
    return replace(fresh, rows=both)


def with_intents(traces: TraceTable, named: dict[str, str]) -> TraceTable:
    """Return the table with the intents that people gave to requests, by request_id."""
    if not named:
        return traces
    rows = traces.rows.copy(deep=False)
    given = rows["request_id"].map(named)
    rows["intent"] = rows["intent"].where(given.isna(), given)
    return replace(traces, rows=rows)
