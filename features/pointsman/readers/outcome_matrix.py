"""Wide outcome matrices of public benchmarks (RouterBench): one row a prompt, one column a model with its score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointsman.errors import TraceError
from pointsman.readers.benchmarks import PROMPTS, is_answer, is_known, is_model, long_rows, named, outcome
from pointsman.readers.fields import number, text
from pointsman.readers.reader import TableReader

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pandas as pd

__all__ = ["READER", "matrix_rows", "models_of", "scored"]

_TITLE = "outcome matrix"
_BESIDE = {
    "total_cost": "cost_usd",
    "cost": "cost_usd",
    "latency_ms": "latency_ms",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
}
"""What may stand beside a model's score as ``MODEL|NAME``, by column of the trace table."""
_COUNTED = ("input_tokens", "output_tokens", "cost_usd")
_ORACLE = "oracle_model_to_route_to"


def models_of(columns: Collection[str]) -> list[str]:
    """Return the columns that are models: all with a ``MODEL|…`` column beside them, else all with a model's name."""
    beside = {name.rpartition("|")[0] for name in columns if "|" in name}
    marked = [name for name in columns if name in beside]
    return marked or [name for name in columns if is_model(name)]


def _fits(columns: Collection[str]) -> bool:
    if named(columns, PROMPTS) is None or "model" in columns or "model_a" in columns:
        return False
    models = models_of(columns)
    return bool(models) and (len(models) > 2 or _ORACLE in columns or any(f"{models[0]}|" in name for name in columns))


def matrix_rows(
    frame: pd.DataFrame, assume: Mapping[str, Any] | None = None, models: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return one row per prompt and model; a model without a score for a prompt has no row there.

    Parameters
    ----------
    frame : pandas.DataFrame
        A prompt (``prompt``, ``question``, …), a column of scores (0..1, or flags) for each model, and, where they are
        told, ``MODEL|total_cost`` (USD), ``MODEL|latency_ms``, ``MODEL|input_tokens``, ``MODEL|output_tokens``, an id
        (``sample_id``, …), a task (``eval_name``, …), a time. The index numbers the rows of the source, from 1.
    assume : mapping, optional
        What no benchmark measured: ``latency_ms``, a number or one for each model, and ``timestamp``, the date of the
        first row or ``order`` (1970-01-01); the others follow a second apart. Columns so filled are named in the
        column ``modelled``.
    models : sequence of str, optional
        Columns that are models, where it cannot be told: by ``MODEL|…`` columns beside them, or, without those, by
        their names and by holding nothing but scores.

    Raises
    ------
    TraceError
        Where no column is a model, or latency or time is neither told nor assumed.
    """
    columns = [str(name) for name in frame.columns]
    chosen = scored(frame) if models is None else list(models)
    absent = [name for name in chosen if name not in columns]
    if absent or not chosen:
        what = f"no column {absent[0]!r}" if absent else "no column has the name of a model"
        raise TraceError(f"{_TITLE}: {what}; it has {', '.join(columns[:20])}")
    answers: dict[str, dict[str, Any]] = {}
    for model in chosen:
        answers[model] = {"useful": [outcome(value) for value in frame[model].tolist()]}
        for name, column in _BESIDE.items():
            if f"{model}|{name}" in columns and column not in answers[model]:
                answers[model][column] = [number(value) for value in frame[f"{model}|{name}"].tolist()]
    rows = long_rows(frame, answers, assume, _TITLE)
    if "intent" in rows:
        rows["intent"] = [text(value) for value in rows["intent"].tolist()]
    return rows


def scored(frame: pd.DataFrame) -> list[str]:
    """Return the columns that are models, those included that are called otherwise and hold outcomes alone.

    Left out, such a model would be missing from the table without a word.
    """
    columns = [str(name) for name in frame.columns]
    models = models_of(columns)
    if not models or any("|" in name for name in columns):
        return models
    return [
        name
        for name in columns
        if name in models or (not (is_known(name) or is_answer(name)) and _outcomes(frame[name]))
    ]


def _outcomes(cells: pd.Series) -> bool:
    """Tell whether a column holds numbers of 0..1 and flags, and at least one."""
    found = [outcome(cell) for cell in cells.dropna().tolist()]
    amounts = [number(cell) for cell in found if cell is not None]
    return bool(amounts) and all(amount is not None and 0 <= amount <= 1 for amount in amounts)


READER = TableReader(
    "outcome_matrix",
    "Wide outcome matrix of a benchmark: one column per model, optional MODEL|total_cost (RouterBench)",
    _fits,
    lambda frame, config: matrix_rows(frame, config.assumptions, config.outcome_columns or None),
    ("request_id", "timestamp", "prompt", "model", "latency_ms", "useful", *_COUNTED, "intent"),
)
