"""A task at work: what a stage's function on one partition or bucket counts, puts aside, reads and writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pointsman.columns import REASON, SOURCE_ROW
from pointsman.ingestion.aside import source_of, write_aside
from pointsman.ingestion.exchange import bucket_of, read_bucket, write_buckets
from pointsman.ingestion.plan import Tally
from pointsman.ingestion.privacy import Redaction
from pointsman.ingestion.row_table import arrow_rows, pandas_rows
from pointsman.ingestion.span_table import span_table, spans_of
from pointsman.row_checks import checked_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from pointsman.ingestion.plan import Plan
    from pointsman.pricing.prices import Unpriced
    from pointsman.spans import Span

__all__ = ["ASSEMBLED", "SETTLED", "SPANS", "TIMED", "UNPLACED", "Task", "files_of"]

SPANS, UNPLACED = "spans", "unplaced"
"""The exchanges of spans, by trace; judgements whose trace is not told wait in the second."""

ASSEMBLED, SETTLED, TIMED = "rows", "settled", "timed"
"""The exchanges of rows: by request, by conversation, by time."""

_ORDER = "order"
"""Column of rows on their way: one number that orders them as they stand in the sources."""

_SAMPLE = 256
"""Timestamps kept of each part to tell where to cut the table by time."""


def files_of(plan: Plan, exchange: str) -> list[Path]:
    """Return the files of an exchange in their order."""
    return sorted(plan.folder(exchange).glob("*.arrow"))


class Task:
    """One task of a stage.

    Parameters
    ----------
    plan : Plan
    stage : str
    number : int
        Of the partition or bucket.
    """

    def __init__(self, plan: Plan, stage: str, number: int) -> None:
        self.plan = plan
        self.number = number
        self.tally = Tally()
        self.redaction = Redaction(plan.config.redactions)
        self._stage, self._part = stage, 0
        self._aside: list[tuple[int, Mapping[str, Any]]] = []

    def next_part(self) -> None:
        """Write what was put aside so far; what follows is another part of the task."""
        shown = []
        for order, entry in self._aside:
            partition, row = source_of(order)
            self.tally.add("aside", str(entry[REASON]).split(" (got ", 1)[0])
            where = {"source": self.plan.partitions[partition].file.name, SOURCE_ROW: row}
            own = {f"given_{key}" if key in where else key: value for key, value in entry.items() if key != _ORDER}
            shown.append((order, self.redaction.of_entry({**where, **own})))
        if shown:
            write_aside(self.plan.folder("aside") / f"{self._stage}-{self._name}.jsonl", shown)
        self._aside = []
        self._part += 1

    def done(self) -> Tally:
        """Return what was counted."""
        self.next_part()
        self.tally.add_all("redacted", self.redaction.counts)
        return self.tally

    def put_aside(self, kind: str, entries: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
        """Put aside (order, what is known of it with its reason), counted under a kind."""
        before = len(self._aside)
        self._aside += entries
        self.tally.add(kind, count=len(self._aside) - before)

    def put_rows_aside(self, kind: str, rows: pd.DataFrame, reason: str | NDArray[np.object_]) -> None:
        """Put aside checked rows."""
        if len(rows):
            self.put_aside(kind, _entries(rows.assign(**{REASON: reason}), rows[_ORDER].tolist()))

    def checked(
        self, frame: pd.DataFrame, kind: str, later: Collection[str], order: Callable[[int], int]
    ) -> pd.DataFrame:
        """Return the usable rows of a frame in their types; the others are put aside under a kind.

        `later` names columns that may be missing still; `order` makes orders of the frame's ``source_row``.
        """
        rows, aside = checked_rows(frame, later)
        rows[_ORDER] = [order(row) for row in rows.pop(SOURCE_ROW)]
        numbers = [order(int(row)) for row in aside[SOURCE_ROW]] if len(aside) else []
        self.put_aside(kind, _entries(aside.drop(columns=SOURCE_ROW, errors="ignore"), numbers))
        return rows

    def tell(self, unpriced: Unpriced) -> None:
        """Count models without a price."""
        self.tally.add_all("unpriced", unpriced.missing)
        self.tally.add_all("priced_early", unpriced.early)

    def sample(self, moments: NDArray[np.int64]) -> None:
        """Keep a sample of timestamps, Unix microseconds."""
        if len(moments):
            ordered = np.sort(moments)
            at = np.linspace(0, len(ordered) - 1, min(_SAMPLE, len(ordered))).round().astype(int)
            self.tally.times.append((len(ordered), ordered[at].tolist()))

    def spans(self, exchange: str) -> list[Span]:
        """Return the spans of this task's bucket."""
        table = read_bucket(files_of(self.plan, exchange), self.number)
        return [] if table is None else spans_of(table)

    def rows(self, exchange: str) -> pd.DataFrame | None:
        """Return the rows of this task's bucket as they stand in the sources; None where there are none."""
        table = read_bucket(files_of(self.plan, exchange), self.number)
        if table is None or not len(table):
            return None
        return pandas_rows(table).sort_values(_ORDER, kind="stable", ignore_index=True)

    def put_spans(self, exchange: str, spans: list[Span]) -> None:
        """Send spans on by trace; a step without one goes where the line that it stands in sends it."""
        if spans:
            keys = pd.Series([one.trace_id or f"\0{one.source_row}" for one in spans])
            self._put(exchange, span_table(spans), bucket_of(keys, self.plan.buckets), self.plan.buckets)

    def put_rows(self, exchange: str, rows: pd.DataFrame) -> None:
        """Send rows on by request."""
        self._put_by(exchange, rows, rows["request_id"])

    def put_by_conversation(self, rows: pd.DataFrame) -> None:
        """Send rows on by conversation, else by user, else by request."""
        self._put_by(SETTLED, rows, rows["conversation_id"].fillna(rows["user_id"]).fillna(rows["request_id"]))

    def put_by_time(self, rows: pd.DataFrame) -> None:
        """Send rows on by time."""
        if len(rows):
            moments = rows["timestamp"].astype("int64").to_numpy()
            parts = np.searchsorted(self.plan.cuts, moments, "right")
            self._put(TIMED, arrow_rows(rows.drop(columns=_ORDER)), parts, len(self.plan.cuts) + 1)

    def _put_by(self, exchange: str, rows: pd.DataFrame, keys: pd.Series) -> None:
        if len(rows):
            self._put(exchange, arrow_rows(rows), bucket_of(keys, self.plan.buckets), self.plan.buckets)

    def _put(self, exchange: str, table: pa.Table, bucket: NDArray[np.intp], buckets: int) -> None:
        write_buckets(self.plan.folder(exchange) / f"{self._stage}-{self._name}.arrow", table, bucket, buckets)

    @property
    def _name(self) -> str:
        return f"{self.number:05d}-{self._part:05d}"


def _entries(rows: pd.DataFrame, orders: list[int]) -> list[tuple[int, dict[str, Any]]]:
    """Return rows as (order, what is given of them)."""
    names = [str(name) for name in rows.columns]
    cells = [rows[name].astype(object).tolist() for name in names]
    return [
        (order, {name: value for name, value in zip(names, values, strict=True) if _is_given(value)})
        for order, values in zip(orders, zip(*cells, strict=True), strict=True)
    ]


def _is_given(value: Any) -> bool:
    return not (value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value))
