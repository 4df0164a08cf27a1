"""The rules of the trace table: row by row, and between the rows of a request; each told with the bad value."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pandera.pandas as pa

from pointsman.columns import COLUMNS, LINE, REASON, SOURCE_ROW, absent, coerced, given, said
from pointsman.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

__all__ = [
    "Verdicts",
    "check_columns",
    "checked_rows",
    "contradictions",
    "flat",
    "put_aside_contradictions",
    "quarantined",
    "typed",
]


def checked_rows(frame: pd.DataFrame, later: Collection[str] = ()) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Check each row of a part of a table by itself: the usable rows, typed, and those put aside (see `TraceTable`).

    The rows keep their order and gain the column ``source_row``; a required column that the part lacks is missing on
    all of its rows. Columns named in `later` may be missing: something else will tell them.
    """
    raw, numbers = flat(frame)
    rows, verdicts = typed(raw, later)
    usable = verdicts.usable
    aside = quarantined(raw[~usable], numbers[~usable], verdicts.reasons[~usable], pd.DataFrame())
    return rows[usable].assign(**{SOURCE_ROW: numbers[usable]}).reset_index(drop=True), aside


def contradictions(rows: pd.DataFrame) -> NDArray[np.object_]:
    """Return, (n,), why each checked row contradicts an earlier row of its request; "" where it does not."""
    verdicts = Verdicts(len(rows))
    put_aside_contradictions(rows, verdicts)
    return verdicts.reasons


def typed(raw: pd.DataFrame, later: Collection[str] = ()) -> tuple[pd.DataFrame, Verdicts]:
    """Return every row with the contract's columns in their types, and the verdict on each."""
    columns = {name: coerced(raw[name], column) for name, column in COLUMNS.items() if name in raw}
    filled = {name: absent(len(raw), column) for name, column in COLUMNS.items() if name not in raw}
    extra = {name: raw[name] for name in raw.columns if name not in COLUMNS}
    typed = columns | filled
    rows = pd.DataFrame({**{name: typed[name] for name in COLUMNS}, **extra}, copy=False)
    verdicts = Verdicts(len(raw))
    outside = _outside(rows[list(columns)])
    for name, column in COLUMNS.items():
        required = column.required and name not in later
        if name not in raw and not required:
            continue
        came = raw[name] if name in raw else rows[name]
        rule, missing = f"{name}: must be {column.rule()}", rows[name].isna().to_numpy(dtype=bool)
        unfit = missing if required else missing & given(came, missing)
        verdicts.put_aside(unfit | outside.get(name, False), rule, came)
    return rows, verdicts


class Verdicts:
    """The first reason against each of n rows."""

    def __init__(self, count: int) -> None:
        self.usable = np.ones(count, dtype=bool)
        self.reasons = np.full(count, "", dtype=object)

    def put_aside(self, at: NDArray[np.bool_], rule: str, values: pd.Series) -> None:
        """Put aside those rows of a mask that are still usable, with the rule and their value."""
        rows = np.flatnonzero(at & self.usable)
        self.reasons[rows] = [f"{rule} (got {said(value)})" for value in values.iloc[rows].tolist()]
        self.usable[rows] = False


def put_aside_contradictions(rows: pd.DataFrame, verdicts: Verdicts) -> None:
    """Put aside usable rows that contradict an earlier usable row of their request."""
    at = np.flatnonzero(verdicts.usable)
    if not len(at):
        return
    request = pd.factorize(rows["request_id"].iloc[at])[0]
    model = pd.factorize(rows["model"].iloc[at])[0]
    again = np.zeros(len(rows), dtype=bool)
    again[at] = pd.Series(request * (int(model.max()) + 1) + model).duplicated().to_numpy()
    rule = "request_id, model: must be one row per request and model, the first is kept"
    verdicts.put_aside(again, rule, rows["request_id"] + ", " + rows["model"])

    _, heads = np.unique(request, return_index=True)
    first = at[heads][request]
    prompt = pd.factorize(rows["prompt"])[0]
    other = np.zeros(len(rows), dtype=bool)
    other[at] = prompt[at] != prompt[first]
    verdicts.put_aside(other, "prompt: must be that of the first row of its request_id", rows["prompt"])

    chosen = rows["chosen"].fillna(False).to_numpy(dtype=bool) & verdicts.usable
    twice = np.zeros(len(rows), dtype=bool)
    twice[np.flatnonzero(chosen)] = rows.loc[chosen, "request_id"].duplicated().to_numpy()
    said = "chosen: must be true on one row of a request_id, the first is kept"
    verdicts.put_aside(twice, said, rows["chosen"])


def flat(frame: pd.DataFrame) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Return the rows with plain column names and positions, and their numbers in the source."""
    numbers = np.arange(1, len(frame) + 1, dtype=np.int64)
    if frame.index.names == [SOURCE_ROW] and pd.api.types.is_integer_dtype(frame.index):
        numbers = frame.index.to_numpy(dtype=np.int64)
    raw = frame.copy(deep=False)
    raw.columns = pd.Index([str(name) for name in frame.columns], dtype=object)
    index = raw.index.to_frame(index=False)
    raw = raw.reset_index(drop=True)
    for name in index.columns:
        if isinstance(name, str) and name != SOURCE_ROW and name not in raw.columns:
            raw[name] = index[name]
    return raw, numbers


def check_columns(columns: Sequence[str], source: str) -> None:
    """Raise TraceError where a required column is missing or a column stands twice."""
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    if repeated:
        raise TraceError(f"{source}: column {', '.join(map(repr, repeated))} stands there twice; once is allowed")
    missing = [name for name, column in COLUMNS.items() if column.required and name not in columns]
    if missing:
        have = ", ".join(columns[:12]) or "none"
        more = f" and {len(columns) - 12} more" if len(columns) > 12 else ""
        s = "s" * (len(missing) > 1)
        raise TraceError(f"{source}: missing column{s} {', '.join(missing)}; it has {have}{more}")


def quarantined(
    aside: pd.DataFrame, numbers: NDArray[np.int64], reasons: NDArray[np.object_], broken: pd.DataFrame
) -> pd.DataFrame:
    """Return rows put aside with their numbers in the source and reasons; columns of these names are ``given_…``."""
    taken, names = {SOURCE_ROW, REASON, LINE, *aside.columns}, {}
    for name in (SOURCE_ROW, REASON, LINE):
        if name in aside.columns:
            names[name] = f"given_{name}"
            while names[name] in taken:
                names[name] = f"given_{names[name]}"
            taken.add(names[name])
    aside = aside.rename(columns=names)
    aside[SOURCE_ROW] = numbers
    aside[REASON] = pd.Series(reasons, index=aside.index, dtype=object)
    if len(broken):
        aside = pd.concat([aside, broken], ignore_index=True) if len(aside) else broken
    return aside.sort_values(SOURCE_ROW, kind="stable", ignore_index=True)


@cache
def _schema() -> pa.DataFrameSchema:
    """Build the pandera schema of ranges and allowed values."""
    columns = {}
    for name, column in COLUMNS.items():
        checks = []
        if column.low is not None:
            checks.append(pa.Check.ge(column.low))
        if column.high is not None:
            checks.append(pa.Check.le(column.high))
        if column.allowed:
            checks.append(pa.Check.isin(column.allowed))
        columns[name] = pa.Column(checks=checks, nullable=True, required=False)
    return pa.DataFrameSchema(columns)


def _outside(rows: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
    """Return, by column, the mask of values outside their range or list."""
    try:
        _schema().validate(rows, lazy=True)
    except pa.errors.SchemaErrors as failure:
        outside = {}
        for name, cases in failure.failure_cases.dropna(subset=["index"]).groupby("column"):
            outside[str(name)] = np.zeros(len(rows), dtype=bool)
            outside[str(name)][cases["index"].to_numpy(dtype=np.int64)] = True
        return outside
    return {}
