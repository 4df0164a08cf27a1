"""What public benchmark layouts share: names of columns, prompts in lists, and what nobody measured."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import blake2s
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pointsman.errors import TraceError
from pointsman.readers.fields import flag, microseconds, number, parsed
from pointsman.readers.messages import asked

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

__all__ = [
    "INTENTS",
    "MODELLED",
    "PROMPTS",
    "is_answer",
    "is_known",
    "is_model",
    "long_rows",
    "named",
    "outcome",
    "prompts",
]

MODELLED = "modelled"
"""Column that names, in every row, the columns that were assumed and not measured."""

PROMPTS = ("prompt", "question", "query", "instruction", "user_prompt", "conversation_a")
INTENTS = ("intent", "eval_name", "task", "task_name", "category", "subject", "domain", "dataset", "benchmark")
_IDS = ("request_id", "sample_id", "question_id", "id")
_TIMES = ("timestamp", "created_at", "tstamp")
_MODEL = re.compile(
    r"(?:^|[/_\s-])(?:gpt|chatgpt|o[134](?=-|$)|claude|gemini|gemma|palm|llama|code-?(?:llama|gemma|qwen)|codestral|vicuna"
    r"|alpaca|koala|mistral|mixtral|ministral|magistral|qwen|qwq|yi-|phi-|deepseek|falcon|mpt-|dolly|wizard|zephyr|command"
    r"|cohere|grok|nova-|titan|jamba|jurassic|j2-|dbrx|arctic|olmo|solar|granite|nemotron|internlm|baichuan|chatglm|glm-"
    r"|glm4|kimi|minimax|starcoder|starling|tulu|hermes|openchat|oasst|stablelm|rwkv|smollm|exaone|text-davinci|davinci"
    r"|meta/|mistralai/)",
    re.IGNORECASE,
)
_KNOWN = {*PROMPTS, *INTENTS, *_IDS, *_TIMES, "", "unnamed: 0", "index", "idx", "label", "labels", "answer", "target"}
_BLANK = frozenset({"", "nan", "none", "null"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def named(columns: Collection[str], names: Sequence[str]) -> str | None:
    """Return the first of some names that is a column."""
    return next((name for name in names if name in columns), None)


def is_model(column: str) -> bool:
    """Tell whether a column is called as a language model is, alone or as ``organisation/model``."""
    return bool(_MODEL.search(column)) and "|" not in column and not is_answer(column)


def is_answer(column: str) -> bool:
    """Tell whether a column is called as the answers of a model are."""
    return column.endswith(("_response", "_score"))


def is_known(column: str) -> bool:
    """Tell whether a column is one that benchmarks have beside the scores."""
    return column.lower() in _KNOWN


def outcome(value: Any) -> Any:
    """Return an outcome as 0..1 where it is a flag; what is none of both stays, to be put aside with its value."""
    if isinstance(value, str) and number(value) is None:
        said = flag(value)
        return float(said) if said is not None else None if value.strip().lower() in _BLANK else value
    return float(value) if isinstance(value, bool) else value


def prompts(cells: Sequence[Any]) -> list[Any]:
    """Return what each request asks: texts as they are, of a list of turns (also as its text) the last of the user."""
    return [_prompt(cell) for cell in cells]


def _prompt(cell: Any) -> Any:
    if isinstance(cell, str) and not cell.lstrip().startswith("["):
        return cell
    held = parsed(_plain(cell))
    if isinstance(held, str):
        try:  # RouterBench writes the list as Python does
            held = ast.literal_eval(held.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return cell
    if isinstance(held, list | tuple) and held and all(isinstance(turn, str) for turn in held):
        return held[-1]
    if isinstance(held, list | tuple | Mapping):
        said = asked(held).prompt
        return cell if said is None and isinstance(cell, str) else said
    return cell


def _plain(value: Any) -> Any:
    """Return arrays, as Parquet's lists arrive, as lists."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return {key: _plain(one) for key, one in value.items()} if isinstance(value, dict) else value


def long_rows(
    frame: pd.DataFrame,
    answers: Mapping[str, Mapping[str, Any]],
    assume: Mapping[str, Any] | None,
    title: str,
) -> pd.DataFrame:
    """Return one row per request and model, in the order of the source.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per request. Its index numbers the rows of the source and is kept.
    answers : mapping of str to mapping
        For each model (or side of a battle) its columns, each a list of the frame's length: ``useful`` and others;
        ``model`` is the key where it is not among them. Where `useful` is missing altogether, there is no row.
    assume : mapping, optional
        See `pointsman.readers.outcome_matrix.matrix_rows`.
    title : str
        Of the layout, in errors.

    Raises
    ------
    TraceError
        Where latency or time is neither in the source nor assumed, or an assumption is none.
    """
    count = len(frame)
    prompt, identity = named(frame.columns, PROMPTS), named(frame.columns, _IDS)
    intent, time = named(frame.columns, INTENTS), named(frame.columns, _TIMES)
    asks = prompts(frame[prompt].tolist()) if prompt is not None else [None] * count
    ids = _row_names(frame.index, asks) if identity is None else frame[identity].tolist()
    shared: dict[str, list[Any]] = {"request_id": ids, "prompt": asks}
    if intent is not None:
        shared["intent"] = frame[intent].tolist()
    if time is not None:
        shared["timestamp"] = [_moment(value) for value in frame[time].tolist()]
    have = {*shared, *(name for columns in answers.values() for name in columns)}
    modelled = _assumed(shared, frame.index, assume or {}, have, title)
    parts = []
    for model, columns in answers.items():
        part = pd.DataFrame({**shared, "model": [model] * count, **columns}, index=frame.index, dtype=object)
        if "latency_ms" in modelled:
            part["latency_ms"] = [_latency((assume or {})["latency_ms"], str(name), title) for name in part["model"]]
        parts.append(part[part["useful"].notna() | part.get("judged", pd.Series(True, index=part.index)).eq(False)])
    rows = pd.concat(parts).drop(columns="judged", errors="ignore") if parts else pd.DataFrame(index=frame.index[:0])
    if modelled:
        rows[MODELLED] = ", ".join(modelled)
    return rows.sort_index(kind="stable")


def _row_names(rows: pd.Index, asks: Sequence[Any]) -> list[str]:
    """Name requests by their rows; rows of several files that are read together differ by their prompts."""
    marks = [blake2s(str(ask).encode("utf-8", "replace"), digest_size=4).hexdigest() for ask in asks]
    return [f"row-{row}-{mark}" for row, mark in zip(rows, marks, strict=True)]


def _assumed(
    shared: dict[str, list[Any]], rows: pd.Index, assume: Mapping[str, Any], have: Collection[str], title: str
) -> tuple[str, ...]:
    """Fill in the time where it is assumed; return the columns that the source does not have and that are."""
    unknown = [name for name in assume if name not in {"latency_ms", "timestamp"}]
    if unknown:
        raise TraceError(f"assume.{unknown[0]}: cannot be assumed; allowed: latency_ms, timestamp")
    lacking = [name for name in ("latency_ms", "timestamp") if name not in have]
    missing = [name for name in lacking if name not in assume]
    if missing:
        raise TraceError(
            f"{title}: it does not tell {' and '.join(missing)}, which the trace table needs; say in the configuration "
            "what to assume (the rows are marked as modelled), e.g. assume: {latency_ms: 1000, timestamp: order}"
        )
    if "timestamp" in lacking:
        start = _start(assume["timestamp"])
        shared["timestamp"] = [(start + timedelta(seconds=int(row) - 1)).isoformat() for row in rows]
    return tuple(lacking)


def _start(wish: Any) -> datetime:
    since = 0 if wish == "order" else microseconds(wish) if isinstance(wish, str) and number(wish) is None else None
    if since is None:
        raise TraceError(f"assume.timestamp: must be order, or the date of the first row (ISO 8601) (got {wish!r})")
    return _EPOCH + timedelta(microseconds=since)


def _latency(wish: Any, model: str, title: str) -> float:
    one = wish.get(model) if isinstance(wish, Mapping) else wish
    found = None if isinstance(one, str) else number(one)
    if found is None or found < 0:
        of = f".{model}" if isinstance(wish, Mapping) else ""
        raise TraceError(f"assume.latency_ms{of}: must be a number of at least 0, in ms, for {title} (got {one!r})")
    return found


def _moment(value: Any) -> Any:
    """Return a time as ISO 8601; benchmarks count seconds since 1970."""
    since = microseconds(value) if not isinstance(value, bool) else None
    try:
        return value if since is None else (_EPOCH + timedelta(microseconds=since)).isoformat()
    except OverflowError:
        return value
