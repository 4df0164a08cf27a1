"""The stages of an ingest, each a function of the plan and a number: the same on one core, many, or a cluster.

    read      a partition of a source: records to spans or checked rows; spans go by trace, rows by request
    place     judgements that name a step but no trace get the trace of that step
    assemble  a bucket of traces: spans to rows, checked and priced; rows go by request
    settle    a bucket of requests: contradictions put aside, labels; rows go by time, or by conversation
    behave    a bucket of conversations: what users did next tells what served them; rows go by time

A stage writes its files and then its tally: where the tally is, the stage is done and is not repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pointsman.assembling.assembly import assemble
from pointsman.columns import REASON, SOURCE_ROW
from pointsman.ingestion.exchange import read_bucket, read_columns
from pointsman.ingestion.joined import completed, lacking
from pointsman.ingestion.plan import JOINED
from pointsman.ingestion.reading import read_partition, renamed
from pointsman.ingestion.span_table import TRACE, spans_of
from pointsman.ingestion.task import ASSEMBLED, SETTLED, SPANS, UNPLACED, Task, files_of
from pointsman.labelling.behaviour import behave
from pointsman.labelling.usefulness import label
from pointsman.pricing.prices import price_rows, price_spans
from pointsman.row_checks import contradictions
from pointsman.spans import LLM

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pointsman.ingest_config import IngestConfig
    from pointsman.ingestion.plan import Plan, Tally
    from pointsman.spans import Span

__all__ = ["STAGES", "watches"]


def place(plan: Plan, number: int) -> Tally:
    """Give judgements the traces of the steps that they name: one pass over all steps."""
    task = Task(plan, "place", number)
    tables = [read_bucket(files_of(plan, UNPLACED), bucket) for bucket in range(plan.buckets)]
    unplaced = [one for table in tables if table is not None for one in spans_of(table)]
    wanted = {one.parent_id for one in unplaced}
    found: dict[str, str] = {}
    for path in files_of(plan, SPANS):
        for ids, traces in read_columns(path, ("span_id", TRACE)):
            found.update((one, trace) for one, trace in zip(ids, traces, strict=True) if one in wanted and trace)
    for one in unplaced:
        one.trace_id = found.get(one.parent_id or "")
    task.put_spans(SPANS, unplaced)
    return task.done()


def assemble_bucket(plan: Plan, number: int) -> Tally:
    """Turn a bucket of spans into rows."""
    task = Task(plan, "assemble", number)
    spans = task.spans(SPANS)
    # What records of the same call tell together is known once they are assembled: calls are counted then.
    price_spans([one for one in spans if one.kind == LLM], plan.prices)
    task.tell(price_spans([one for one in spans if one.kind != LLM], plan.prices))
    assembled = assemble(spans)
    task.put_aside("spans_left", [(one.source_row, {REASON: why, **_facts(one)}) for one, why in assembled.left])
    if assembled.rows:
        frame = renamed(pd.DataFrame(assembled.rows, dtype=object).set_index(SOURCE_ROW), plan)
        task.tally.add("rows", count=len(frame))
        rows, unpriced = price_rows(task.checked(frame, "rows_aside", plan.later, int), plan.prices)
        task.tell(unpriced)
        task.put_rows(ASSEMBLED, rows)
    return task.done()


def _facts(span: Span) -> dict[str, Any]:
    """Return what a span tells, without what it does not."""
    names = ("kind", TRACE, "span_id", "parent_id", "name", "model", "status", "prompt")
    facts = {name: getattr(span, name) for name in names if getattr(span, name) is not None}
    scores = [[one.name, one.value, one.by] for one in span.scores]
    return {**facts, "scores": scores} if scores else facts


def settle_bucket(plan: Plan, number: int) -> Tally:
    """Complete requests from joined tables, put aside what contradicts, and label what is left."""
    task = Task(plan, "settle", number)
    rows = _completed(task, task.rows(ASSEMBLED))
    if rows is None:
        return task.done()
    rows = _put_aside(task, rows, lacking(rows))
    rows = _put_aside(task, rows, contradictions(rows))
    if plan.config.cached_answers == "put_aside" and "cache_hit" in rows:
        cached = rows["cache_hit"].fillna(False).to_numpy(dtype=bool)
        reason = "cache_hit: must be the model's own answer (got one from a cache)"
        rows = _put_aside(task, rows, np.where(cached, reason, "").astype(object))
    labelled = label(rows, plan.config, plan.survey)
    task.tally.labels.merge(labelled.counts)
    if watches(plan.config):
        task.put_by_conversation(labelled.rows)
    else:
        task.put_by_time(labelled.rows)
    return task.done()


def _completed(task: Task, rows: pd.DataFrame | None) -> pd.DataFrame | None:
    joined = task.rows(JOINED)
    if joined is None:
        return rows
    matched = np.zeros(len(joined), dtype=bool)
    if rows is not None:
        rows, matched = completed(rows, joined)
    task.tally.add("joined", count=int(matched.sum()))
    task.put_rows_aside("joined_aside", joined[~matched], "request_id: must be that of a request in the sources")
    return rows


def _put_aside(task: Task, rows: pd.DataFrame, reasons: NDArray[np.object_]) -> pd.DataFrame:
    """Put aside the rows that have a reason; return the others."""
    against = reasons != ""
    task.put_rows_aside("rows_aside", rows[against], reasons[against])
    left: pd.DataFrame = rows[~against].reset_index(drop=True)
    return left


def watches(config: IngestConfig) -> bool:
    """Tell whether what users did next is looked at."""
    return config.behaviour.user_retry is not None or config.behaviour.left is not None


def behave_bucket(plan: Plan, number: int) -> Tally:
    """Label what users did next, in a bucket of conversations."""
    task = Task(plan, "behave", number)
    rows = task.rows(SETTLED)
    if rows is not None:
        labelled = behave(rows, plan.config)
        task.tally.labels.merge(labelled.counts)
        task.put_by_time(labelled.rows)
    return task.done()


STAGES = {
    "read": read_partition,
    "place": place,
    "assemble": assemble_bucket,
    "settle": settle_bucket,
    "behave": behave_bucket,
}
"""Functions of (plan, number) by name, in order."""
