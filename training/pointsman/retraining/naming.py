"""Names and labels that people give: of clusters, and of single requests."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from pointsman.errors import TraceError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_labels", "write_labels"]

HEAD = ("request_id", "intent")


def read_labels(path: Path | None) -> dict[str, str]:
    """Read a CSV with the columns request_id and intent; empty intents are skipped.

    Raises
    ------
    TraceError
        Where the file cannot be read, lacks a column, or labels a request twice.
    """
    if path is None:
        return {}
    found: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            lacking = [name for name in HEAD if name not in (rows.fieldnames or [])]
            if lacking:
                raise TraceError(f"{path}: column {lacking[0]} is missing; {', '.join(HEAD)} are needed")
            for row in rows:
                request, intent = (row["request_id"] or "").strip(), (row["intent"] or "").strip()
                if not intent:
                    continue
                if found.setdefault(request, intent) != intent:
                    raise TraceError(
                        f"{path}:{rows.line_num}: request {request!r} is labelled {found[request]!r} above"
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{path}: the labels cannot be read: {error}") from error
    return found


def write_labels(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write rows with at least request_id and intent as CSV, for people to fill in."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]) if rows else list(HEAD))
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise TraceError(f"{path}: the labels cannot be written: {error.strerror or error}") from error
    return path
