"""Pairs of models on one prompt: RouteLLM's evaluations and judged answers, and the battles of Chatbot Arena."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pointsman.errors import TraceError
from pointsman.readers.benchmarks import PROMPTS, is_model, long_rows, named, outcome
from pointsman.readers.fields import flag, number
from pointsman.readers.outcome_matrix import scored
from pointsman.readers.reader import TableReader

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import pandas as pd

__all__ = ["READER", "pair_rows"]

_TITLE = "pairs"
_SIDES = ("model_a", "model_b")
_VOTES = ("winner_model_a", "winner_model_b", "winner_tie")
_WON = {
    **dict.fromkeys(("model_a", "a"), (1.0, 0.0)),
    **dict.fromkeys(("model_b", "b"), (0.0, 1.0)),
    "tie": (0.5, 0.5),
    **dict.fromkeys(("tie (bothbad)", "both_bad", "bothbad"), (0.0, 0.0)),
}
"""Usefulness of both sides by the winner; users of the arena may say that both answers are bad."""
_STARS = 5
"""RouteLLM's judge gives 1 to 5."""


def _battle(columns: Collection[str]) -> bool:
    return all(name in columns for name in _SIDES) and ("winner" in columns or all(vote in columns for vote in _VOTES))


def _judged(columns: Collection[str]) -> dict[str, str]:
    """Return the models of answers ``MODEL_response`` of which at least one has a ``MODEL_score``: its column or ""."""
    names = [name.removesuffix("_response") for name in columns if name.endswith("_response")]
    scores = {name: f"{name}_score" if f"{name}_score" in columns else "" for name in names}
    return scores if len(scores) == 2 and any(scores.values()) else {}


def _fits(columns: Collection[str]) -> bool:
    if named(columns, PROMPTS) is None or "model" in columns or any("|" in name for name in columns):
        return False
    return _battle(columns) or bool(_judged(columns)) or sum(is_model(name) for name in columns) == 2


def pair_rows(frame: pd.DataFrame, assume: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return two rows per prompt, one for each model.

    A battle makes the winner's answer useful (1) and the other not (0); a tie counts half for both, «both bad» nothing.
    A judge's 1 to 5 becomes 0 to 1; an answer that was not judged has no `useful`.

    Parameters
    ----------
    frame : pandas.DataFrame
        A prompt and two columns of flags that are called as the models; or ``MODEL_response`` twice with a
        ``MODEL_score`` of 1 to 5; or ``model_a``, ``model_b`` and ``winner`` (or ``winner_model_a``,
        ``winner_model_b``, ``winner_tie``).
    assume : mapping, optional
        As in `pointsman.readers.outcome_matrix.matrix_rows`.

    Raises
    ------
    TraceError
        Where the columns are none of these, or latency or time is neither told nor assumed.
    """
    columns = [str(name) for name in frame.columns]
    answers: dict[str, dict[str, Any]] = {}
    if _battle(columns):
        won = _verdicts(frame)
        for side, name in enumerate(_SIDES):
            useful = [verdict if isinstance(verdict, str) else verdict and verdict[side] for verdict in won]
            answers[name] = {"model": frame[name].tolist(), "useful": useful, "judged": [v is not None for v in won]}
    elif _judged(columns):
        for name, column in _judged(columns).items():
            scores = frame[column].tolist() if column else [None] * len(frame)
            judged = [_stars(score) for score in scores]
            answers[name] = {"useful": judged, "judged": [score is not None for score in judged]}
    else:
        models = scored(frame)
        if len(models) != 2:
            found = f"{', '.join(models)} hold outcomes, more is for --format outcome_matrix" if models else "none"
            raise TraceError(f"{_TITLE}: two columns called as models are needed; found: {found}")
        for model in models:
            answers[model] = {"useful": [outcome(value) for value in frame[model].tolist()]}
    return long_rows(frame, answers, assume, _TITLE)


def _verdicts(frame: pd.DataFrame) -> list[Any]:
    """Return both sides' usefulness of each battle; None where nobody voted, the word where it is not known."""
    if "winner" in frame.columns:
        words = frame["winner"].tolist()
        return [_WON.get(word.strip().lower(), word) if isinstance(word, str) else None for word in words]
    votes = zip(*([flag(value) or number(value) == 1.0 for value in frame[vote]] for vote in _VOTES), strict=True)
    by_vote = {(True, False, False): (1.0, 0.0), (False, True, False): (0.0, 1.0), (False, False, True): (0.5, 0.5)}
    return [by_vote.get(vote) for vote in votes]


def _stars(score: Any) -> Any:
    found = number(score)
    if found is None or math.isnan(found):
        return None
    return (found - 1) / (_STARS - 1)


READER = TableReader(
    "routellm_pairs",
    "Two models on each prompt: RouteLLM evaluations and judge scores, Chatbot Arena battles",
    _fits,
    lambda frame, config: pair_rows(frame, config.assumptions),
    ("request_id", "timestamp", "prompt", "model", "latency_ms", "useful", "intent"),
)
