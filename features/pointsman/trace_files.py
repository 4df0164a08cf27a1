"""Parsing Parquet, JSON lines and CSV chunk by chunk: what cannot be parsed is put aside line by line."""

from __future__ import annotations

import csv
import json
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pointsman.columns import COLUMNS, LINE, REASON, SOURCE_ROW, said
from pointsman.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = ["READERS", "Chunk", "csv_chunks", "json_chunks", "parquet_chunks", "refuse_disguise", "whole_file"]

_NULLABLE = {
    pa.bool_(): pd.BooleanDtype(),
    pa.string(): pd.StringDtype(),
    pa.large_string(): pd.StringDtype(),
    pa.float32(): pd.Float32Dtype(),
    pa.float64(): pd.Float64Dtype(),
    **{
        getattr(pa, f"{sign}int{bits}")(): getattr(pd, f"{sign.upper()}Int{bits}Dtype")()
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
}
"""Types that hold «missing» beside their values, so that no int becomes a float."""


@dataclass
class Chunk:
    """Consecutive records of a file as they were parsed.

    Attributes
    ----------
    numbers : list of int
        Line (in Parquet: row; in a JSON array: element) of each record, from 1.
    parsed : list of dict, list of list of str, or pyarrow.Table
    broken : list of (int, str, str)
        Line, reason and text of what could not be parsed.
    header : list of str or None
        Of a CSV.
    """

    numbers: list[int] = field(default_factory=list)
    parsed: Any = field(default_factory=list)
    broken: list[tuple[int, str, str]] = field(default_factory=list)
    header: list[str] | None = None

    def __len__(self) -> int:
        """Count what was read, parsed or not."""
        return len(self.numbers) + len(self.broken)

    def frame(self) -> pd.DataFrame:
        """Return the parsed records as a frame that keeps every value as it was parsed: no int becomes a float."""
        index = pd.Index(self.numbers, dtype="int64", name=SOURCE_ROW)
        if isinstance(self.parsed, pa.Table):
            frame: pd.DataFrame = self.parsed.to_pandas(types_mapper=_NULLABLE.get)
            names = [name for name in frame.index.names if name is not None]
            return (frame.reset_index(names) if names else frame).set_axis(index)
        if self.header is not None:
            frame = pd.DataFrame(self.parsed or None, index=index, columns=self.header, dtype=object)
            return _without_blanks(frame)
        return pd.DataFrame(self.parsed, index=index, dtype=object)

    def records(self) -> list[dict[str, Any]]:
        """Return the parsed records as mappings; an empty cell of a CSV is None."""
        if isinstance(self.parsed, pa.Table):
            found: list[dict[str, Any]] = self.parsed.to_pylist()
            return found
        if self.header is not None:
            return [{k: v or None for k, v in zip(self.header, row, strict=True)} for row in self.parsed]
        return list(self.parsed)


def refuse_disguise(file: Path) -> None:
    """Raise where the first bytes tell that the file is of another kind than its suffix."""
    with file.open("rb") as opened:
        head = opened.read(4)
    utf16, gzip, archive = "UTF-16", "gzip", "a ZIP archive"
    kinds = {b"PAR1": "Parquet", BOM_UTF16_LE: utf16, BOM_UTF16_BE: utf16, b"\x1f\x8b": gzip, b"PK\x03\x04": archive}
    for magic, kind in kinds.items():
        if head.startswith(magic) and not (kind == "Parquet" and file.suffix.lower() == ".parquet"):
            text = "UTF-8 text" if file.suffix.lower() != ".parquet" else "Parquet"
            raise TraceError(f"{file}: not a readable {file.suffix} table: it is {kind}; {text} is needed")


def json_chunks(
    lines: Iterable[tuple[int, bytes]], size: int | None = None, *, repeats: bool = False
) -> Iterator[Chunk]:
    """Parse numbered lines of JSON, `size` lines a chunk; blank ones are no records.

    Where `repeats` are let pass, of a key that stands twice in an object the last counts; else the line is broken. To
    let them pass is several times faster.
    """
    lines = iter(lines)
    while taken := list(islice(lines, size)):
        chunk = Chunk()
        for number, line in taken:
            data = line.removeprefix(BOM_UTF8) if number == 1 else line
            if not data.strip():
                continue
            try:
                chunk.parsed.append(_fast_object(data) if repeats else _json_object(data))
                chunk.numbers.append(number)
            except (ValueError, TypeError, RecursionError) as error:
                text = data.decode("utf-8", "backslashreplace").rstrip("\r\n")
                reason = f"line: must be a JSON object in UTF-8 (got {said(text)}: {error})"
                chunk.broken.append((number, reason, text))
        yield chunk


def _json_object(line: bytes) -> dict[str, Any]:
    record = json.loads(line.decode("utf-8"), object_pairs_hook=_distinct)
    if not isinstance(record, dict):
        raise TypeError(f"it is a JSON {type(record).__name__}")
    return record


def _fast_object(line: bytes) -> dict[str, Any]:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:  # it takes no NaN and no integer of more than 64 bits
        return _json_object(line)
    return record if isinstance(record, dict) else _json_object(line)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        key = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"key {key!r} stands there twice")
    return record


def csv_chunks(lines: Iterator[str], name: str, size: int | None = None) -> Iterator[Chunk]:
    """Parse the lines of a CSV with one header line, `size` records a chunk.

    Where a quote opens and does not close, only the line that opens it is put aside; reading goes on with the next.

    Raises
    ------
    TraceError
        Where the header line is broken; `name` is the file's.
    """
    limit = csv.field_size_limit(2**31 - 1)  # a prompt may be longer than the module's 128 KiB
    try:
        cells = _CsvRecords(lines)
        header = next(cells, (0, []))[1]
        if header is None:
            raise TraceError(f"{name}: not a readable .csv table: the quotes of its header line are broken")
        chunk = Chunk(header=header)
        for number, record in cells:
            if record is None or len(record) != len(header):
                got = "broken quotes" if record is None else f"{len(record)} cells"
                reason = f"line: must be {len(header)} cells, quotes closed (got {got})"
                chunk.broken.append((number, reason, cells.reread()))
            else:
                chunk.parsed.append(record)
                chunk.numbers.append(number)
            if len(chunk) == size:
                yield chunk
                chunk = Chunk(header=header)
        yield chunk
    finally:
        csv.field_size_limit(limit)


def _without_blanks(frame: pd.DataFrame) -> pd.DataFrame:
    """Make cells of a CSV missing that stand in a text column and say nothing; an empty prompt is a prompt."""
    names = list(frame.columns)
    for name, column in COLUMNS.items():
        if column.kind == "text" and name != "prompt" and names.count(name) == 1:
            frame[name] = frame[name].mask(frame[name].isin(["", "NaN", "nan", "null", "None"]), None)
    return frame


class _CsvRecords:
    """Iterates over the records of a CSV: the line where each starts, its cells or None where quotes are broken."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._again: deque[str] = deque()
        self._read: list[str] = []
        self._number = 0
        self._reader = csv.reader(self._feed(), strict=True)

    def _feed(self) -> Iterator[str]:
        while True:
            line = self._again.popleft() if self._again else next(self._lines, None)
            if line is None:
                return
            self._read.append(line)
            self._number += 1
            yield line

    def __iter__(self) -> Iterator[tuple[int, list[str] | None]]:
        return self

    def __next__(self) -> tuple[int, list[str] | None]:
        while True:
            self._read.clear()
            first = self._number + 1
            try:
                cells = next(self._reader)
            except csv.Error:
                return first, None
            if len(cells) > 1 or "".join(cells).strip():
                return first, cells

    def reread(self) -> str:
        """Read on after the first line of the record, and return that line: an open quote swallows rows not its own."""
        self._again.extendleft(reversed(self._read[1:]))
        self._number -= len(self._read) - 1
        self._reader = csv.reader(self._feed(), strict=True)
        return self._read[0].rstrip("\r\n").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def parquet_chunks(file: Path, size: int | None = None, groups: Sequence[int] | None = None) -> Iterator[Chunk]:
    """Read a Parquet file, or some of its row groups, `size` rows a chunk; a damaged text raises where it is read."""
    with pq.ParquetFile(file) as stored:
        meta = stored.metadata
        sizes = [meta.row_group(index).num_rows for index in range(meta.num_row_groups)]
        chosen = list(range(len(sizes))) if groups is None else list(groups)
        row = 1 + sum(sizes[: chosen[0]]) if chosen else 1
        schema = stored.schema_arrow
        if size is None:
            table = stored.read_row_groups(chosen) if chosen else schema.empty_table()
            table.validate(full=True)
            yield Chunk(list(range(row, row + len(table))), table)
            return
        for batch in stored.iter_batches(size, row_groups=chosen):
            batch.validate(full=True)
            yield Chunk(list(range(row, row + len(batch))), pa.Table.from_batches([batch], schema))
            row += len(batch)


def _whole_jsonl(file: Path) -> Iterator[Chunk]:
    with file.open("rb") as lines:
        yield from json_chunks(enumerate(lines, start=1))


def _whole_csv(file: Path) -> Iterator[Chunk]:
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        yield from csv_chunks(lines, str(file))


READERS: dict[str, Callable[[Path], Iterator[Chunk]]] = {
    ".parquet": parquet_chunks,
    ".jsonl": _whole_jsonl,
    ".csv": _whole_csv,
}


def whole_file(file: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the records of a file as one frame, and its broken lines (``source_row``, ``reason``, ``line``)."""
    chunk = next(READERS[file.suffix.lower()](file), Chunk())
    broken = pd.DataFrame(chunk.broken, columns=[SOURCE_ROW, REASON, LINE], dtype=object)
    return chunk.frame(), broken.astype({SOURCE_ROW: "int64"})
