"""Ingest: exports of any format in, one trace table, a quarantine file and the counts of both out."""

from __future__ import annotations

import gc
import hashlib
import json
import pickle
import shutil
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.columns import COLUMNS
from pointsman.errors import TraceError
from pointsman.faults import near
from pointsman.formats import FORMATS, detected
from pointsman.ingestion.aside import merge_aside
from pointsman.ingestion.engines import engine
from pointsman.ingestion.finish import write_in_time_order
from pointsman.ingestion.intake import Intake, intake_of
from pointsman.ingestion.joined import check_join_columns
from pointsman.ingestion.plan import JOINED, Plan, Tally
from pointsman.ingestion.sources import Partition, chunks, partitions, source_files
from pointsman.ingestion.stages import STAGES, watches
from pointsman.ingestion.task import ASSEMBLED, SETTLED, SPANS, TIMED, UNPLACED, files_of
from pointsman.readers.table import mapped
from pointsman.trace_files import Chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pointsman.ingest_config import IngestConfig
    from pointsman.pricing.prices import PriceTable

__all__ = ["Intake", "ingest"]

_LAYOUT = 1
"""Of the intermediate files; another release does not go on with those of this one."""

_BUCKET_BYTES = 96 << 20
_PART_ROWS = 150_000
"""Rows of a part of the exchanges and of the table: what is held in memory at once."""
_LOOK_AT = 50
"""Records of each file by which its format is told."""


def ingest(
    sources: Sequence[Path],
    out: Path,
    config: IngestConfig,
    prices: PriceTable,
    format_name: str = "auto",
    joins: Sequence[Path] = (),
    engine_name: str = "local",
    workers: int = 1,
    scheduler: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Intake:
    """Read sources into one trace table.

    Memory is bounded by the size of a partition and of a bucket, not by that of the sources. A crash leaves no
    half-written table; the same call again goes on where it stopped.

    Parameters
    ----------
    sources : sequence of Path
        Files, or folders of them.
    out : Path
        Parquet file of the usable rows; what is put aside goes to ``OUT.quarantine.jsonl`` beside it.
    config : IngestConfig
    prices : PriceTable
    format_name : str
        A format, or ``auto``: told for each file by its first records.
    joins : sequence of Path
        Tables with ``request_id`` and what the sources lack (labels, prompts, intents).
    engine_name, workers, scheduler
        See `pointsman.ingestion.engines.engine`.
    progress : callable, optional
        Called with a phase, steps done and steps in all.

    Raises
    ------
    TraceError
        Where a source cannot be read, its format is unknown, or no row is usable.
    """
    say = progress or _silent
    files, tables = source_files(sources), source_files(joins)
    cut = partitions([*files, *(one for one in tables if one not in files)])
    if not cut:
        raise TraceError(f"{', '.join(map(str, files))}: nothing to read; at least one record is needed")
    later = frozenset(name for table in tables for name in _columns(table, cut) if name in COLUMNS)
    formats = {
        file: JOINED if file in tables else _format(file, cut, format_name, config, later)
        for file in dict.fromkeys(one.file for one in cut)
    }
    plan = Plan(
        partitions=tuple(cut),
        formats=tuple(formats[one.file] for one in cut),
        config=config,
        prices=prices,
        buckets=1 + max(sum(one.size for one in cut) // _BUCKET_BYTES, sum(one.rows for one in cut) // _PART_ROWS),
        work=out.with_name(f"{out.name}.ingest"),
        later=later,
    )
    _prepare(plan)
    with engine(engine_name, workers, scheduler) as run:
        stage = partial(_stage, run=run, say=say)
        tallies = [stage(plan, "read", len(cut))]
        _check_mapping(plan, tallies[0])
        plan = replace(plan, cuts=_cuts(tallies[0]), survey=tallies[0].survey)
        if any(plan.folder(UNPLACED).iterdir()):
            tallies.append(stage(plan, "place", 1))
        if any(plan.folder(SPANS).iterdir()):
            tallies.append(stage(plan, "assemble", plan.buckets))
        tallies.append(stage(plan, "settle", plan.buckets))
        if watches(config):
            tallies.append(stage(plan, "behave", plan.buckets))
    whole = Tally.sum(tallies)
    quarantine = out.with_suffix(".quarantine.jsonl")
    timed = files_of(plan, TIMED)
    put_aside = merge_aside(sorted(plan.folder("aside").glob("*.jsonl")), quarantine)
    if not timed:
        shutil.rmtree(plan.work)
        raise TraceError(_none_usable(files, whole, put_aside, quarantine))
    kept, fingerprint = write_in_time_order(timed, len(plan.cuts) + 1, out, partial(say, "write"))
    shutil.rmtree(plan.work)
    return intake_of(whole, formats, prices.models, (kept, fingerprint), (put_aside, quarantine))


def _silent(phase: str, done: int, total: int) -> None:
    """Show no progress."""


def _format(file: Path, cut: Sequence[Partition], name: str, config: IngestConfig, later: frozenset[str]) -> str:
    if name != "auto":
        if name not in FORMATS:
            raise TraceError(f"--format is {name!r}{near(name, FORMATS)}; allowed: auto, {', '.join(FORMATS)}")
        return name
    if config.columns:
        return "table"
    for partition in cut:
        if partition.file == file:
            for chunk in chunks(partition, _LOOK_AT):
                records = chunk.records()
                if records:
                    return detected(records[:_LOOK_AT], str(file), later).name
    # Nothing in it can be parsed: every line will be put aside with its reason.
    return next(iter(FORMATS))


def _columns(file: Path, cut: Sequence[Partition]) -> list[str]:
    """Return the columns of a table that is joined, as its first records have them."""
    first = next(
        (chunk for one in cut if one.file == file for chunk in chunks(one, _LOOK_AT) if chunk.numbers), Chunk()
    )
    columns = [str(name) for name in first.frame().columns]
    check_join_columns(columns, str(file))
    return columns


def _check_mapping(plan: Plan, tally: Tally) -> None:
    """Raise TraceError where a mapped column of the source is in none of its parts."""
    if tally.total("chunks") in tally.by_name("absent").values():
        first = next(chunk for one in plan.partitions for chunk in chunks(one) if chunk.numbers)
        mapped(first.frame(), plan.config.mapping)


def _prepare(plan: Plan) -> None:
    """Make the work folder; keep what an earlier run of the same plan left there."""
    facts = [(str(one.file.resolve()), *_facts(one.file)) for one in plan.partitions]
    said = pickle.dumps((_LAYOUT, facts, replace(plan, work=plan.work.resolve())))
    key = {"plan": hashlib.sha256(said).hexdigest()}
    try:
        if plan.work.exists() and _held(plan.folder("plan.json")) != key:
            shutil.rmtree(plan.work)
        for stage in (*STAGES, "aside", SPANS, UNPLACED, JOINED, ASSEMBLED, SETTLED, TIMED):
            plan.folder(stage).mkdir(parents=True, exist_ok=True)
        plan.folder("plan.json").write_text(json.dumps(key), encoding="utf-8")
    except OSError as error:
        raise TraceError(f"{plan.work}: cannot be written: {error.strerror or error}") from error


def _facts(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _held(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _stage(
    plan: Plan, name: str, count: int, run: Callable[..., Iterator[Tally]], say: Callable[[str, int, int], None]
) -> Tally:
    """Run the tasks of a stage that are not done yet; return what all of them counted."""
    marks = [plan.folder(name) / f"{number:05d}.json" for number in range(count)]
    left = [number for number, mark in enumerate(marks) if not mark.exists()]
    done = count - len(left)
    for _ in run(_task, ((name, plan, number) for number in left)):
        done += 1
        say(name, done, count)
    return Tally.sum(Tally.read(mark) for mark in marks)


def _task(name: str, plan: Plan, number: int) -> None:
    # Records hold no cycles: without the search for them, reading nested JSON takes a third less time.
    collects = gc.isenabled()
    gc.disable()
    try:
        STAGES[name](plan, number).write(plan.folder(name) / f"{number:05d}.json")
    finally:
        if collects:
            gc.enable()


def _cuts(tally: Tally) -> tuple[int, ...]:
    """Return the times that cut the table into parts of about equal size."""
    parts = sum(count for count, _ in tally.times) // _PART_ROWS
    if not parts:
        return ()
    moments = np.concatenate([np.asarray(sample) for _, sample in tally.times])
    weights = np.concatenate([np.full(len(sample), count / len(sample)) for count, sample in tally.times])
    order = np.argsort(moments, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    at = np.searchsorted(reached, np.arange(1, parts + 1) / (parts + 1))
    return tuple(sorted({int(moments[order][index]) for index in at}))


def _none_usable(files: Sequence[Path], whole: Tally, put_aside: int, quarantine: Path) -> str:
    source = str(files[0]) if len(files) == 1 else f"{len(files)} files"
    reason, count = next(iter(whole.by_name("aside").items()), ("no reason", 0))
    return (
        f"{source}: none of {whole.total('records'):,} records gave a usable row; most frequent reason ({count:,} of "
        f"{put_aside:,} put aside in {quarantine}): {reason}"
    )
