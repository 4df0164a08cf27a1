"""Source files as partitions that can be read alone, each in chunks of bounded size."""

from __future__ import annotations

import gzip
import json
from codecs import BOM_UTF8
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

import ijson
import pyarrow.parquet as pq

from pointsman.errors import TraceError
from pointsman.trace_files import Chunk, csv_chunks, json_chunks, parquet_chunks, refuse_disguise

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import BinaryIO

__all__ = ["CONTAINERS", "Partition", "chunks", "partitions", "source_files"]

CONTAINERS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".json": "lines",
    ".log": "lines",
    ".txt": "lines",
}
"""Kinds of file by suffix; .gz may follow that of a text. A .json may also hold one array or object."""

_ALLOWED = f"{', '.join(CONTAINERS)}, texts also .gz"

_LISTS = ("data", "traces", "observations", "items", "results", "spans", "requests", "rows", "scores")
"""Keys under which an export or the answer of an API holds its list of records."""

_ROWS, _BYTES = 50_000, 16 << 20
_SMALL = 32 << 20
_PARTITION_ROWS, _PARTITION_BYTES = 400_000, 64 << 20


@dataclass(frozen=True)
class Partition:
    """A part of a source file that is read alone.

    Attributes
    ----------
    number : int
        Its place among all partitions, from 0.
    file : Path
    container : str
        ``parquet``, ``csv``, ``lines``, ``document``.
    start, stop : int
        Bytes of JSON lines, row groups of a Parquet file; 0, 0 for a whole file.
    first : int
        Number of its first line.
    size : int
        Bytes, uncompressed as far as known.
    rows : int
        Lines or rows, as far as known.
    """

    number: int
    file: Path
    container: str
    start: int = 0
    stop: int = 0
    first: int = 1
    size: int = 0
    rows: int = 0


def source_files(sources: Sequence[Path]) -> list[Path]:
    """Return the files that sources name; a folder stands for all files in it whose suffix is known, sorted.

    Raises
    ------
    TraceError
        Where a source does not exist, is of no known kind, or a folder holds nothing to read.
    """
    files: list[Path] = []
    for source in sources:
        if source.is_dir():
            inside = [one for one in sorted(source.rglob("*")) if one.is_file() and _suffix(one) in CONTAINERS]
            if not inside:
                raise TraceError(f"{source}: holds no file to read; allowed: {_ALLOWED}")
            files += inside
        elif not source.is_file():
            raise TraceError(f"{source}: no such file")
        elif _suffix(source) not in CONTAINERS:
            raise TraceError(f"{source}: cannot tell the kind from {source.suffix!r}; allowed: {_ALLOWED}")
        else:
            files.append(source)
    return list(dict.fromkeys(files))


def _suffix(file: Path) -> str:
    return Path(file.stem).suffix.lower() if file.suffix.lower() == ".gz" else file.suffix.lower()


def _packed(file: Path) -> bool:
    return file.suffix.lower() == ".gz"


def partitions(files: Sequence[Path]) -> list[Partition]:
    """Cut files into partitions; JSON lines at line ends, Parquet at row groups, anything else stays whole.

    Raises
    ------
    TraceError
        Where a file cannot be read, or is of another kind than its suffix says.
    """
    found: list[Partition] = []
    for file in files:
        with readable(file):
            found += [replace(one, number=number) for number, one in enumerate(_cut(file), start=len(found))]
    return found


class readable:  # noqa: N801 - reads as a statement
    """Turn whatever goes wrong while a file is read into one TraceError that names it."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Say what went wrong."""
        if isinstance(error, Exception) and not isinstance(error, TraceError | MemoryError):
            reason = " ".join((getattr(error, "strerror", None) or str(error)).split()) or type(error).__name__
            raise TraceError(f"{self.file}: not a readable {_suffix(self.file)} file: {reason[:300]}") from error


def _cut(file: Path) -> Iterator[Partition]:
    container = CONTAINERS[_suffix(file)]
    if _packed(file):
        whole = "document" if container == "lines" and _is_document(file) else container
        yield Partition(0, file, whole, size=8 * file.stat().st_size)
        return
    refuse_disguise(file)
    if container == "parquet":
        yield from _row_groups(file)
    elif container == "csv":
        yield Partition(0, file, container, size=file.stat().st_size)
    elif _is_document(file):
        yield Partition(0, file, "document", size=file.stat().st_size)
    else:
        yield from _line_ranges(file)


def _row_groups(file: Path) -> Iterator[Partition]:
    meta = pq.read_metadata(file)
    start = rows = size = 0
    for index in range(meta.num_row_groups):
        group = meta.row_group(index)
        rows, size = rows + group.num_rows, size + group.total_byte_size
        if rows >= _PARTITION_ROWS or size >= 4 * _PARTITION_BYTES or index == meta.num_row_groups - 1:
            yield Partition(0, file, "parquet", start, index + 1, size=size, rows=rows)
            start, rows, size = index + 1, 0, 0


def _line_ranges(file: Path) -> Iterator[Partition]:
    with file.open("rb") as opened:
        start, first, position, line = 0, 1, 0, 1
        while block := opened.read(_PARTITION_BYTES):
            at_end = len(block) < _PARTITION_BYTES
            end = len(block) if at_end else block.rfind(b"\n") + 1
            if end:
                stop = position + end
                next_line = line + block.count(b"\n")
                yield Partition(0, file, "lines", start, stop, first, stop - start, next_line - first)
                start, first = stop, next_line
            line += block.count(b"\n")
            position += len(block)
        if position > start:
            yield Partition(0, file, "lines", start, position, first, position - start, line - first)


def _is_document(file: Path) -> bool:
    """Tell whether a JSON file holds values that span lines, rather than one value a line.

    Only a .json may be an array on one line; in any other file such a value starts with a line of its bracket alone,
    and the next line is indented.
    """
    with _binary(file) as opened:
        head = opened.readline(_BYTES).removeprefix(BOM_UTF8).strip()
        while not head:
            following = opened.readline(_BYTES)
            if not following:
                return False
            head = following.strip()
        if _suffix(file) != ".json":
            return head in {b"{", b"["} and opened.read(1).isspace()
        if head.startswith(b"["):
            return True
        try:
            held = json.loads(head)
        except ValueError:
            return True
        alone = not opened.read(1 << 16).strip()
    return alone and isinstance(held, dict) and any(isinstance(held.get(key), list) for key in _LISTS)


def _binary(file: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(file, "rb")) if _packed(file) else file.open("rb")


def chunks(partition: Partition, rows: int = _ROWS, *, repeats: bool = False) -> Iterator[Chunk]:
    """Read a partition, at most `rows` records and about 16 MB of text a chunk (`repeats`: see `json_chunks`).

    Raises
    ------
    TraceError
        Where the file cannot be read, with the reason.
    """
    file = partition.file
    with readable(file):
        if partition.container == "parquet":
            yield from parquet_chunks(file, rows, range(partition.start, partition.stop))
        elif partition.container == "csv":
            with _text(file) as texts:
                yield from csv_chunks(texts, str(file), rows)
        elif partition.container == "document":
            with _binary(file) as opened:
                yield from _document(opened, rows)
        else:
            with _binary(file) as opened:
                opened.seek(partition.start)
                lines = _until(opened, partition.stop - partition.start)
                for group in _grouped(enumerate(lines, start=partition.first), rows):
                    yield from json_chunks(group, repeats=repeats)


def _text(file: Path) -> TextIO:
    how: dict[str, Any] = {"encoding": "utf-8-sig", "errors": "surrogateescape", "newline": ""}
    return cast("TextIO", gzip.open(file, "rt", **how)) if _packed(file) else file.open(**how)


def _until(opened: BinaryIO, size: int) -> Iterator[bytes]:
    """Give lines up to so many bytes; 0: all."""
    left = size
    for line in opened:
        yield line
        left -= len(line)
        if size and left <= 0:
            return


def _grouped(lines: Iterable[tuple[int, bytes]], rows: int) -> Iterator[list[tuple[int, bytes]]]:
    group: list[tuple[int, bytes]] = []
    held = 0
    for number, line in lines:
        group.append((number, line))
        held += len(line)
        if len(group) >= rows or held >= _BYTES:
            yield group
            group, held = [], 0
    if group:
        yield group


def _document(opened: BinaryIO, rows: int) -> Iterator[Chunk]:
    """Read JSON values that span lines: elements of an array or of the list that an object holds, or objects."""
    begin = len(BOM_UTF8) if opened.read(len(BOM_UTF8)) == BOM_UTF8 else 0
    opened.seek(begin)
    prefix = _list_within(opened)
    opened.seek(begin)
    head = opened.read(_SMALL)
    if prefix is None or len(head) < _SMALL:
        try:  # the standard library also takes NaN, which some exporters write
            held = json.loads((head + opened.read()).decode("utf-8"))
        except (ValueError, RecursionError):
            pass
        else:
            inside = held if prefix == "item" else held[prefix.removesuffix(".item")] if prefix else [held]
            yield from _elements(iter(inside), rows)
            return
    opened.seek(begin)
    many = ijson.items(opened, prefix or "", use_float=True, multiple_values=prefix is None)
    yield from _elements(many, rows)


def _elements(values: Iterator[Any], rows: int) -> Iterator[Chunk]:
    chunk = Chunk()
    number = 0
    try:
        for number, held in enumerate(values, start=1):
            if isinstance(held, dict):
                chunk.parsed.append(held)
                chunk.numbers.append(number)
            else:
                reason = f"element: must be a JSON object (got a JSON {type(held).__name__})"
                chunk.broken.append((number, reason, json.dumps(held)))
            if len(chunk) >= rows:
                yield chunk
                chunk = Chunk()
    except (ijson.JSONError, UnicodeDecodeError) as error:
        reason = f"file: must be JSON to its end (got a fault after element {number}: {' '.join(str(error).split())})"
        chunk.broken.append((number + 1, reason, ""))
    yield chunk


def _list_within(opened: BinaryIO) -> str | None:
    """Return the path of the elements in ijson's words; None where the value is one record."""
    depth = 0
    key = ""
    try:
        for event, value in ijson.basic_parse(opened, use_float=True):
            if event == "start_array" and depth == 0:
                return "item"
            if event == "map_key" and depth == 1:
                key = value
            if event == "start_array" and depth == 1 and key in _LISTS:
                return f"{key}.item"
            if event in {"start_map", "start_array"}:
                depth += 1
            elif event in {"end_map", "end_array"}:
                depth -= 1
    except (ijson.JSONError, UnicodeDecodeError):
        return None
    return None
