"""Tables that complete requests: labels, prompts or intents that are kept elsewhere, by ``request_id``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pointsman.columns import COLUMNS, said
from pointsman.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

__all__ = ["KEY", "check_join_columns", "completed", "lacking"]

KEY = "request_id"


def check_join_columns(columns: Collection[str], source: str) -> None:
    """Raise TraceError where a table has nothing to be joined by, or nothing to give."""
    if KEY not in columns:
        have = ", ".join(list(columns)[:12]) or "none"
        raise TraceError(f"{source}: missing column {KEY}, by which a table is joined; it has {have}")
    gives = set(columns) & set(COLUMNS) - {KEY, "model"}
    if not gives:
        raise TraceError(f"{source}: nothing to join; allowed beside {KEY}: {', '.join(COLUMNS)}")


def completed(rows: pd.DataFrame, joined: pd.DataFrame) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """Fill what rows lack from a table of the same requests.

    Where the table says ``model`` on a row, that row completes the answer of this model only; else all answers of the
    request. What the rows know themselves stays. Of several rows for one answer the first that tells a value gives it.

    Parameters
    ----------
    rows : (n,) DataFrame
        Checked rows.
    joined : (k,) DataFrame
        Checked rows of the table, in the order of the source; all but ``request_id`` may be missing.

    Returns
    -------
    DataFrame, (k,) bool array
        The rows, completed; which rows of the table named an answer among them.
    """
    answer = rows[KEY] + "\0" + rows["model"]
    key = (joined[KEY] + "\0" + joined["model"]).fillna(joined[KEY])
    known = set(answer) | set(rows[KEY])
    out = rows.copy(deep=False)
    for name in COLUMNS:
        if name in {KEY, "model"} or name not in joined:
            continue
        told = joined[name].notna().to_numpy(dtype=bool)
        values = pd.Series(joined.loc[told, name].array, index=key[told]).pipe(lambda one: one[~one.index.duplicated()])
        if len(values):
            out[name] = rows[name].fillna(answer.map(values)).fillna(rows[KEY].map(values)).astype(rows[name].dtype)
    return out, key.isin(known).to_numpy(dtype=bool)


def lacking(rows: pd.DataFrame) -> NDArray[np.object_]:
    """Return, (n,), which required column a row still lacks, as a reason; "" where it lacks none."""
    reasons = np.full(len(rows), "", dtype=object)
    for name, column in COLUMNS.items():
        if column.required:
            missing = rows[name].isna().to_numpy(dtype=bool) & (reasons == "")
            reasons[missing] = f"{name}: must be {column.rule()} (got {said(None)})"
    return reasons
