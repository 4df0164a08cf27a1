"""What is put aside: JSON lines by partition and bucket, merged into one quarantine file in the order of the source."""

from __future__ import annotations

import heapq
import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from pointsman.traces import as_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["merge_aside", "order_of", "source_of", "write_aside"]

_SHIFT = 40
"""Bits of an order that hold the row of the source; those above hold the partition."""


def order_of(partition: int, source_row: int) -> int:
    """Return one number that orders rows of all partitions as they stand in the sources."""
    return (partition << _SHIFT) + source_row


def source_of(order: int) -> tuple[int, int]:
    """Return the partition and the row of the source."""
    return order >> _SHIFT, order & ((1 << _SHIFT) - 1)


def write_aside(path: Path, entries: Iterable[tuple[int, Mapping[str, Any]]]) -> int:
    """Write (order, what was put aside) sorted by order; return how many there are."""
    lines = sorted(
        (order, index, json.dumps({key: as_json(value) for key, value in entry.items()}))
        for index, (order, entry) in enumerate(entries)
    )
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{order:020d}\t{line}\n" for order, _, line in lines)
    return len(lines)


def merge_aside(paths: Sequence[Path], out: Path) -> int:
    """Merge sorted files into one without their orders; return how many lines there are. No line, no file."""
    draft = out.with_name(f"{out.name}.partial")
    with ExitStack() as stack:
        merged: Iterator[str] = heapq.merge(*(stack.enter_context(path.open(encoding="utf-8")) for path in paths))
        count = 0
        with draft.open("w", encoding="utf-8") as file:
            for line in merged:
                file.write(line.partition("\t")[2])
                count += 1
    if count:
        draft.replace(out)
    else:
        draft.unlink()
        out.unlink(missing_ok=True)
    return count
