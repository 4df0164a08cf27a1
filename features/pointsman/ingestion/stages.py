"""The stages of an ingest, each a function of the plan and a number: the same on one core, many, or a cluster.

    read      a partition of a source: records to spans or checked rows; spans go by trace, rows by request
    place     judgements that name a step but no trace get the trace of that step
    assemble  a bucket of traces: spans to rows, checked and priced; rows go by request
    settle    a bucket of requests: contradictions put aside, labels; rows go by time, or by conversation
    behave    a bucket of conversations: what users did next tells what served them; rows go by time

A stage writes its files and then its tally: where the tally is, the stage is done and is not repeated.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pointsman.assembling.assembly import assemble
from pointsman.columns import COLUMNS, LINE, REASON, SOURCE_ROW
from pointsman.formats import FORMATS
from pointsman.ingestion.aside import order_of, source_of, write_aside
from pointsman.ingestion.exchange import bucket_of, read_bucket, read_columns, write_buckets
from pointsman.ingestion.joined import KEY, completed, lacking
from pointsman.ingestion.plan import JOINED, Plan, Tally
from pointsman.ingestion.privacy import Redaction
from pointsman.ingestion.row_table import arrow_rows, pandas_rows
from pointsman.ingestion.sources import chunks
from pointsman.ingestion.span_table import TRACE, span_table, spans_of
from pointsman.labelling.behaviour import behave
from pointsman.labelling.usefulness import label
from pointsman.pricing.prices import Unpriced, price_rows, price_spans
from pointsman.readers.reader import SpanReader, TableReader
from pointsman.readers.table import absent_sources
from pointsman.row_checks import checked_rows, contradictions
from pointsman.spans import FEEDBACK, LLM

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from pointsman.ingest_config import IngestConfig
    from pointsman.spans import Span
    from pointsman.trace_files import Chunk

__all__ = ["ASSEMBLED", "SETTLED", "SPANS", "STAGES", "TIMED", "UNPLACED", "watches"]

SPANS, UNPLACED = "spans", "unplaced"
"""The exchanges of spans, by trace; judgements whose trace is not told wait in the second."""

ASSEMBLED, SETTLED, TIMED = "rows", "settled", "timed"
"""The exchanges of rows: by request, by conversation, by time."""

_ORDER = "order"
_SAMPLE = 256
"""Timestamps kept of each chunk to tell where to cut the table by time."""

Entry = tuple[int, dict[str, Any]]


def read(plan: Plan, number: int) -> Tally:
    """Read a partition."""
    partition, tally = plan.partitions[number], Tally()
    joins, redaction = plan.formats[number] == JOINED, Redaction(plan.config.redactions)
    reader = FORMATS["table" if joins else plan.formats[number]]
    for part, chunk in enumerate(chunks(partition, repeats=isinstance(reader, SpanReader))):
        tally.add("chunks")
        tally.add("records", count=len(chunk))
        aside = [(order_of(number, row), {REASON: why, LINE: line}) for row, why, line in chunk.broken]
        name = f"{number:05d}-{part:05d}"
        if isinstance(reader, SpanReader):
            spans = list(_spans(reader, chunk, number, aside))
            tally.add("records_aside", count=len(aside))
            tally.add("spans", count=len(spans))
            redaction.of_spans(spans)
            for score in (score for span in spans for score in span.scores):
                tally.survey.note(score.name, score.value, score.by)
            _sample(tally, [one.start_us for one in spans if one.start_us is not None])
            _put_spans(plan, SPANS, name, [one for one in spans if not _is_unplaced(one)])
            _put_spans(plan, UNPLACED, name, [one for one in spans if _is_unplaced(one)])
        else:
            tally.add("records_aside", count=len(aside))
        if joins and chunk.numbers:
            rows, more = _typed_rows(chunk.frame(), set(COLUMNS) - {KEY}, lambda row: order_of(number, row))
            aside += more
            tally.add("joined_aside", count=len(more))
            rows["prompt"] = rows["prompt"].mask(rows["prompt"] == "")
            redaction.of_rows(rows)
            _put_rows(plan, JOINED, name, rows)
        elif isinstance(reader, TableReader) and chunk.numbers:
            frame = chunk.frame()
            tally.add_all("absent", Counter(absent_sources(frame, plan.config.mapping)))
            rows, more = _checked(reader.rows(frame, plan.config), plan, tally, lambda row: order_of(number, row))
            aside += more
            rows, unpriced = price_rows(rows, plan.prices)
            _tell(tally, unpriced)
            redaction.of_rows(rows)
            if "scores" in rows:
                tally.survey.read(rows["scores"].dropna())
            _sample(tally, rows["timestamp"].astype("int64").tolist())
            _put_rows(plan, ASSEMBLED, name, rows)
        _put_aside(plan, "read", name, aside, tally, redaction)
    tally.add_all("redacted", redaction.counts)
    return tally


def _spans(reader: SpanReader, chunk: Chunk, number: int, aside: list[Entry]) -> Iterator[Span]:
    """Give the spans of a chunk's records; what holds none is put aside."""
    for row, record in zip(chunk.numbers, chunk.records(), strict=True):
        order = order_of(number, row)
        try:
            found = reader.read(record)
        except (ValueError, RecursionError) as error:
            aside.append((order, {REASON: str(error), LINE: record}))
            continue
        if not found:
            aside.append((order, {REASON: "record: must hold a step of a request", LINE: record}))
        for span in found:
            span.source_row = order
            yield span


def _is_unplaced(span: Span) -> bool:
    """Tell whether a judgement names the step it is about, but not the trace of that step."""
    return span.kind == FEEDBACK and span.trace_id is None and span.parent_id is not None


def place(plan: Plan, number: int) -> Tally:
    """Give judgements the traces of the steps that they name: one pass over all steps."""
    tables = [read_bucket(_files(plan, UNPLACED), bucket) for bucket in range(plan.buckets)]
    unplaced = [one for table in tables if table is not None for one in spans_of(table)]
    wanted = {one.parent_id for one in unplaced}
    found: dict[str, str] = {}
    for path in _files(plan, SPANS):
        for ids, traces in read_columns(path, ("span_id", TRACE)):
            found.update((one, trace) for one, trace in zip(ids, traces, strict=True) if one in wanted and trace)
    for one in unplaced:
        one.trace_id = found.get(one.parent_id or "")
    _put_spans(plan, SPANS, f"p{number:05d}", unplaced)
    return Tally()


def assemble_bucket(plan: Plan, number: int) -> Tally:
    """Turn a bucket of spans into rows."""
    tally, redaction = Tally(), Redaction(plan.config.redactions)
    table = read_bucket(_files(plan, SPANS), number)
    if table is None or not len(table):
        return tally
    spans = spans_of(table)
    # What records of the same call tell together is known once they are assembled: calls are counted then.
    price_spans([one for one in spans if one.kind == LLM], plan.prices)
    _tell(tally, price_spans([one for one in spans if one.kind != LLM], plan.prices))
    assembled = assemble(spans)
    tally.add("spans_left", count=len(assembled.left))
    aside = [(one.source_row, {REASON: why, **_facts(one)}) for one, why in assembled.left]
    if assembled.rows:
        frame = pd.DataFrame(assembled.rows, dtype=object).set_index(SOURCE_ROW)
        rows, more = _checked(frame, plan, tally, lambda order: order)
        aside += more
        rows, unpriced = price_rows(rows, plan.prices)
        _tell(tally, unpriced)
        _put_rows(plan, ASSEMBLED, f"a{number:05d}", rows)
    _put_aside(plan, "assemble", f"{number:05d}", aside, tally, redaction)
    return tally


def _tell(tally: Tally, unpriced: Unpriced) -> None:
    tally.add_all("unpriced", unpriced.missing)
    tally.add_all("priced_early", unpriced.early)


def _facts(span: Span) -> dict[str, Any]:
    """Return what a span tells, without what it does not."""
    names = ("kind", TRACE, "span_id", "parent_id", "name", "model", "status", "prompt")
    facts = {name: getattr(span, name) for name in names if getattr(span, name) is not None}
    scores = [[one.name, one.value, one.by] for one in span.scores]
    return {**facts, "scores": scores} if scores else facts


def _checked(frame: pd.DataFrame, plan: Plan, tally: Tally, order: Any) -> tuple[pd.DataFrame, list[Entry]]:
    """Check rows as they came; the usable ones with their order, and those put aside."""
    tally.add("rows", count=len(frame))
    models = plan.config.models
    if models and "model" in frame:
        frame = frame.assign(model=frame["model"].map(lambda name: models.get(name, name)))
    rows, entries = _typed_rows(frame, plan.later, order)
    tally.add("rows_aside", count=len(entries))
    return rows, entries


def _typed_rows(frame: pd.DataFrame, later: Collection[str], order: Any) -> tuple[pd.DataFrame, list[Entry]]:
    rows, aside = checked_rows(frame, later)
    rows[_ORDER] = [order(row) for row in rows.pop(SOURCE_ROW)]
    return rows, _entries(aside, order)


def _entries(aside: pd.DataFrame, order: Any) -> list[Entry]:
    """Return rows put aside as (order, what is given of them)."""
    names = [str(name) for name in aside.columns if name != SOURCE_ROW]
    cells = [aside[name].astype(object).tolist() for name in names]
    return [
        (order(int(row)), {name: value for name, value in zip(names, values, strict=True) if _is_given(value)})
        for row, values in zip(aside[SOURCE_ROW], zip(*cells, strict=True), strict=True)
    ]


def _is_given(value: Any) -> bool:
    return not (value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value))


def settle_bucket(plan: Plan, number: int) -> Tally:
    """Put aside what contradicts an earlier row of its request, and label what is left."""
    tally, redaction = Tally(), Redaction(plan.config.redactions)
    table, joined = read_bucket(_files(plan, ASSEMBLED), number), read_bucket(_files(plan, JOINED), number)
    entries: list[Entry] = []
    rows = _in_order(table) if table is not None and len(table) else None
    if joined is not None and len(joined):
        more = _in_order(joined)
        matched = np.zeros(len(more), dtype=bool)
        if rows is not None:
            rows, matched = completed(rows, more)
        tally.add("joined", count=int(matched.sum()))
        tally.add("joined_aside", count=int((~matched).sum()))
        entries += _against(more[~matched], "request_id: must be that of a request in the sources")
    if rows is None:
        _put_aside(plan, "settle", f"{number:05d}", entries, tally, redaction)
        return tally
    lacks = lacking(rows)
    entries += _against(rows[lacks != ""], lacks[lacks != ""])
    tally.add("rows_aside", count=int((lacks != "").sum()))
    rows = rows[lacks == ""].reset_index(drop=True)
    reasons = contradictions(rows)
    if plan.config.cached_answers == "put_aside" and "cache_hit" in rows:
        cached = rows["cache_hit"].fillna(False).astype(bool).to_numpy()
        reasons[cached & (reasons == "")] = "cache_hit: must be the model's own answer (got one from a cache)"
    against = reasons != ""
    tally.add("rows_aside", count=int(against.sum()))
    entries += _against(rows[against], reasons[against])
    _put_aside(plan, "settle", f"{number:05d}", entries, tally, redaction)
    labelled = label(rows[~against].reset_index(drop=True), plan.config, plan.survey)
    tally.labels.merge(labelled.counts)
    kept = labelled.rows
    if watches(plan.config):
        key = kept["conversation_id"].fillna(kept["user_id"]).fillna(kept["request_id"])
        _put(plan, SETTLED, f"{number:05d}", arrow_rows(kept), bucket_of(key, plan.buckets))
    elif len(kept):
        _put_by_time(plan, number, kept)
    return tally


def _in_order(table: pa.Table) -> pd.DataFrame:
    """Return rows as they stand in the sources."""
    return pandas_rows(table).sort_values(_ORDER, kind="stable", ignore_index=True)


def _against(rows: pd.DataFrame, reason: Any) -> list[Entry]:
    return _entries(rows.assign(**{REASON: reason}).rename(columns={_ORDER: SOURCE_ROW}), int)


def watches(config: IngestConfig) -> bool:
    """Tell whether what users did next is looked at."""
    return config.behaviour.user_retry is not None or config.behaviour.left is not None


def behave_bucket(plan: Plan, number: int) -> Tally:
    """Label what users did next, in a bucket of conversations."""
    tally = Tally()
    table = read_bucket(_files(plan, SETTLED), number)
    if table is not None and len(table):
        labelled = behave(_in_order(table), plan.config)
        tally.labels.merge(labelled.counts)
        _put_by_time(plan, number, labelled.rows)
    return tally


STAGES = {"read": read, "place": place, "assemble": assemble_bucket, "settle": settle_bucket, "behave": behave_bucket}
"""Functions of (plan, number) by name, in order."""


def _put_by_time(plan: Plan, number: int, rows: pd.DataFrame) -> None:
    moments = rows["timestamp"].astype("int64").to_numpy()
    _put(
        plan,
        TIMED,
        f"{number:05d}",
        arrow_rows(rows.drop(columns=_ORDER)),
        np.searchsorted(plan.cuts, moments, "right"),
    )


def _put_spans(plan: Plan, exchange: str, name: str, spans: list[Span]) -> None:
    if spans:
        # A step without a trace is one of its own; it goes where the line that it stands in sends it.
        keys = pd.Series([one.trace_id or f"\0{one.source_row}" for one in spans])
        _put(plan, exchange, name, span_table(spans), bucket_of(keys, plan.buckets))


def _put_rows(plan: Plan, exchange: str, name: str, rows: pd.DataFrame) -> None:
    if len(rows):
        _put(plan, exchange, name, arrow_rows(rows), bucket_of(rows["request_id"], plan.buckets))


def _put(plan: Plan, exchange: str, name: str, table: pa.Table, bucket: NDArray[np.intp]) -> None:
    parts = len(plan.cuts) + 1 if exchange == TIMED else plan.buckets
    write_buckets(plan.folder(exchange) / f"{name}.arrow", table, bucket, parts)


def _files(plan: Plan, exchange: str) -> list[Any]:
    return sorted(plan.folder(exchange).glob("*.arrow"))


def _put_aside(plan: Plan, stage: str, name: str, entries: Iterable[Entry], tally: Tally, redaction: Redaction) -> None:
    shown = []
    for order, entry in entries:
        partition, row = source_of(order)
        tally.add("aside", _rule(entry))
        where = {"source": plan.partitions[partition].file.name, SOURCE_ROW: row}
        shown.append((order, redaction.of_entry({**where, **_without(entry, where)})))
    if shown:
        write_aside(plan.folder("aside") / f"{stage}-{name}.jsonl", shown)


def _without(entry: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry whose keys of these names are called ``given_…``."""
    return {f"given_{key}" if key in names else key: value for key, value in entry.items() if key != _ORDER}


def _rule(entry: Mapping[str, Any]) -> str:
    """Return the reason without the bad value."""
    return str(entry[REASON]).split(" (got ", 1)[0]


def _sample(tally: Tally, moments: list[int]) -> None:
    if moments:
        ordered = np.sort(np.asarray(moments, dtype=np.int64))
        at = np.linspace(0, len(ordered) - 1, min(_SAMPLE, len(ordered))).round().astype(int)
        tally.times.append((len(ordered), ordered[at].tolist()))
