"""The first stage: a partition of a source is read, its records become spans or checked rows."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from pointsman.columns import COLUMNS, LINE, REASON
from pointsman.formats import FORMATS
from pointsman.ingestion.aside import order_of
from pointsman.ingestion.joined import KEY
from pointsman.ingestion.plan import JOINED
from pointsman.ingestion.sources import chunks
from pointsman.ingestion.task import ASSEMBLED, SPANS, UNPLACED, Task
from pointsman.pricing.prices import price_rows
from pointsman.readers.reader import SpanReader
from pointsman.readers.table import absent_sources
from pointsman.spans import FEEDBACK

if TYPE_CHECKING:
    import pandas as pd

    from pointsman.ingestion.plan import Plan, Tally
    from pointsman.readers.reader import TableReader
    from pointsman.spans import Span
    from pointsman.trace_files import Chunk

__all__ = ["read_partition", "renamed"]


def read_partition(plan: Plan, number: int) -> Tally:
    """Read a partition: spans go on by trace, rows by request."""
    task, form = Task(plan, "read", number), plan.formats[number]
    reader = None if form == JOINED else FORMATS[form]
    for chunk in chunks(plan.partitions[number], repeats=isinstance(reader, SpanReader)):
        task.tally.add("chunks")
        task.tally.add("records", count=len(chunk))
        broken = [(order_of(number, row), {REASON: why, LINE: line}) for row, why, line in chunk.broken]
        task.put_aside("records_aside", broken)
        if isinstance(reader, SpanReader):
            _read_spans(task, reader, chunk)
        elif chunk.numbers and reader is None:
            _read_joined(task, chunk)
        elif chunk.numbers and reader is not None:
            _read_rows(task, reader, chunk)
        task.next_part()
    return task.done()


def renamed(frame: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Return rows as they came with the names of candidates for those of models."""
    models = plan.config.models
    if not models or "model" not in frame:
        return frame
    return frame.assign(model=frame["model"].map(lambda name: models.get(name, name)))


def _read_spans(task: Task, reader: SpanReader, chunk: Chunk) -> None:
    spans: list[Span] = []
    for row, record in zip(chunk.numbers, chunk.records(), strict=True):
        order, reason, found = order_of(task.number, row), "record: must hold a step of a request", []
        try:
            found = reader.read(record)
        except (ValueError, RecursionError) as error:
            reason = str(error)
        if not found:
            task.put_aside("records_aside", [(order, {REASON: reason, LINE: record})])
        for span in found:
            span.source_row = order
            spans.append(span)
    task.tally.add("spans", count=len(spans))
    task.redaction.of_spans(spans)
    for score in (score for span in spans for score in span.scores):
        task.tally.survey.note(score.name, score.value, score.by)
    task.sample(np.array([one.start_us for one in spans if one.start_us is not None], dtype=np.int64))
    task.put_spans(SPANS, [one for one in spans if not _is_unplaced(one)])
    task.put_spans(UNPLACED, [one for one in spans if _is_unplaced(one)])


def _is_unplaced(span: Span) -> bool:
    """Tell whether a judgement names the step it is about, but not the trace of that step."""
    return span.kind == FEEDBACK and span.trace_id is None and span.parent_id is not None


def _read_joined(task: Task, chunk: Chunk) -> None:
    rows = task.checked(chunk.frame(), "joined_aside", set(COLUMNS) - {KEY}, partial(order_of, task.number))
    # In a table that completes others, an empty cell tells nothing.
    rows["prompt"] = rows["prompt"].mask(rows["prompt"] == "")
    task.redaction.of_rows(rows)
    task.put_rows(JOINED, rows)


def _read_rows(task: Task, reader: TableReader, chunk: Chunk) -> None:
    config, frame = task.plan.config, chunk.frame()
    task.tally.add_all("absent", Counter(absent_sources(frame, config.mapping)))
    frame = renamed(reader.rows(frame, config), task.plan)
    task.tally.add("rows", count=len(frame))
    rows = task.checked(frame, "rows_aside", task.plan.later, partial(order_of, task.number))
    rows, unpriced = price_rows(rows, task.plan.prices)
    task.tell(unpriced)
    task.redaction.of_rows(rows)
    if "scores" in rows:
        task.tally.survey.read(rows["scores"].dropna())
    task.sample(np.asarray(rows["timestamp"].dropna().astype("int64"), dtype=np.int64))
    task.put_rows(ASSEMBLED, rows)
