"""Reading a trace table from a file: Parquet, JSON lines, CSV. What cannot be parsed is put aside line by line."""

from __future__ import annotations

import csv
import json
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

import pandas as pd

from pointsman.columns import COLUMNS, LINE, REASON, SOURCE_ROW, said
from pointsman.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

__all__ = ["READERS", "refuse_disguise"]


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


def _broken(lines: Iterable[tuple[int, str, str]]) -> pd.DataFrame:
    frame = pd.DataFrame(lines, columns=[SOURCE_ROW, REASON, LINE], dtype=object)
    return frame.astype({SOURCE_ROW: "int64"})


def _objects(records: list[Any], numbers: list[int], columns: list[str] | None = None) -> pd.DataFrame:
    """Return parsed records as a frame that keeps every value as it was parsed: no int becomes a float."""
    index = pd.Index(numbers, dtype="int64", name=SOURCE_ROW)
    return pd.DataFrame(records, index=index, columns=columns, dtype=object)


def _read_jsonl(file: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    records: list[dict[str, Any]] = []
    numbers: list[int] = []
    broken: list[tuple[int, str, str]] = []
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            data = line.removeprefix(BOM_UTF8) if number == 1 else line
            if not data.strip():
                continue
            try:
                records.append(_json_object(data))
                numbers.append(number)
            except (ValueError, TypeError, RecursionError) as error:
                text = data.decode("utf-8", "backslashreplace").rstrip("\r\n")
                broken.append((number, f"line: must be a JSON object in UTF-8 (got {said(text)}: {error})", text))
    return _objects(records, numbers), _broken(broken)


def _json_object(line: bytes) -> dict[str, Any]:
    record = json.loads(line.decode("utf-8"), object_pairs_hook=_distinct)
    if not isinstance(record, dict):
        raise TypeError(f"it is a JSON {type(record).__name__}")
    return record


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        key = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"key {key!r} stands there twice")
    return record


def _read_csv(file: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    records: list[list[str]] = []
    numbers: list[int] = []
    broken: list[tuple[int, str, str]] = []
    limit = csv.field_size_limit(2**31 - 1)  # a prompt may be longer than the module's 128 KiB
    try:
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            cells = _CsvRecords(lines)
            header = next(cells, (0, []))[1]
            if header is None:
                raise TraceError(f"{file}: not a readable .csv table: the quotes of its header line are broken")
            for number, record in cells:
                if record is None or len(record) != len(header):
                    said = "broken quotes" if record is None else f"{len(record)} cells"
                    reason = f"line: must be {len(header)} cells, quotes closed (got {said})"
                    broken.append((number, reason, cells.reread()))
                else:
                    records.append(record)
                    numbers.append(number)
    finally:
        csv.field_size_limit(limit)
    frame = _objects(records, numbers, header) if records else pd.DataFrame(columns=header)
    for name, column in COLUMNS.items():
        if column.kind == "text" and name != "prompt" and header.count(name) == 1:
            frame[name] = frame[name].mask(frame[name].isin(["", "NaN", "nan", "null", "None"]), None)
    return frame, _broken(broken)


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


def _read_parquet(file: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as stored:  # pandas would notice a damaged text only where it is used
        for batch in stored.iter_batches():
            batch.validate(full=True)
    return pd.read_parquet(file, dtype_backend="numpy_nullable"), pd.DataFrame()


READERS: dict[str, Callable[[Path], tuple[pd.DataFrame, pd.DataFrame]]] = {
    ".parquet": _read_parquet,
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
}
