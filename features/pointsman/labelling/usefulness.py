"""Usefulness, hallucination and intent of answers from what their source told: logged labels, scores, tags, status.

The rules of usefulness, in the order of the configuration; the first that applies to an answer decides:

========== ===========================================================================================================
logged     the column ``useful`` as the source holds it
feedback   scores by users and annotators that speak for themselves (`pointsman.labelling.verdicts`)
judge      the same by judge models and checks
score      scores of the given `names` (and `by`): `at_least` or `at_most` a threshold, from `low` (0) to `high` (1), or
           `words`; without any of these, values that speak for themselves
flag       a score or tag of the given `names` that is there and not false: `useful` (0)
refund     the same with names of refunds: 0
failed     the status tells that no answer came: 0
abandoned  the status, a score or a tag tells that the user did not wait for it: 0 (only where it is configured)
========== ===========================================================================================================

Without a configuration: logged, feedback, refund, failed, judge. Several scores of one rule are averaged. An answer
that no rule reaches stays unlabelled. What users did next is `pointsman.labelling.behaviour`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pointsman.columns import given
from pointsman.labelling.cells import Cells, column, filled
from pointsman.labelling.intent_labels import tagged_intents
from pointsman.labelling.useful_rules import AbandonedRule, FailedRule, FlagRule, RefundRule, ScoreRule
from pointsman.labelling.verdicts import (
    Survey,
    flagged,
    hallucination,
    is_feedback,
    number,
    plain,
    self_evident,
    verdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from pointsman.ingest_config import IngestConfig
    from pointsman.labelling.useful_rules import HallucinatedSpec, Rule
    from pointsman.labelling.verdicts import Numbers

    Floats = NDArray[np.float64]

__all__ = ["LabelCounts", "Labelled", "label"]

_FLAGS = FlagRule | RefundRule | AbandonedRule
_FAILED = frozenset(
    {"error", "errored", "failed", "failure", "exception", "rejected", "unavailable", "rate_limited"}
    | {"timeout", "timed_out", "timedout", "deadline_exceeded"}
)
_FAILED_CODE = re.compile(r"[45]\d\d")
_CLIENT_CLOSED = "499"


@dataclass
class LabelCounts:
    """How rows got their labels; counts of parts of a table are merged.

    Attributes
    ----------
    rows : int
    by_rule : Counter of str
        Rows labelled by each rule.
    unread : Counter of (str, str)
        Rows with a score of a name (by whom) whose value no rule reads.
    """

    rows: int = 0
    by_rule: Counter[str] = field(default_factory=Counter)
    unread: Counter[tuple[str, str]] = field(default_factory=Counter)

    def merge(self, other: LabelCounts) -> None:
        """Take in the counts of other rows."""
        self.rows += other.rows
        self.by_rule.update(other.by_rule)
        self.unread.update(other.unread)

    def report(self, survey: Survey) -> dict[str, Any]:
        """Return plain values: rows, unlabelled rows, share by rule, and a line for each unread score."""
        lines = []
        for (name, by), count in self.unread.most_common():
            seen, whose = survey.of(name, by), f" by {by}" if by else ""
            line = f"score {name!r}{whose}: no rule reads its value on {count:,} rows"
            if seen.count and seen.high > 1:
                hint = f"{{score: {{names: {json.dumps([name])}, at_least: …}}}}"
                line += f"; its numbers go from {seen}: give a threshold or a scale ({hint} under useful)"
            lines.append(line)
        return {
            "rows": self.rows,
            "unlabelled": self.rows - self.by_rule.total(),
            "by_rule": {
                name: {"rows": count, "share": count / max(self.rows, 1)} for name, count in self.by_rule.most_common()
            },
            "unread": lines,
        }


@dataclass(frozen=True)
class Labelled:
    """Labelled rows, and how they got their labels."""

    rows: pd.DataFrame
    counts: LabelCounts


def label(rows: pd.DataFrame, config: IngestConfig, survey: Survey | None = None) -> Labelled:
    """Label answers by the rules of a configuration.

    Parameters
    ----------
    rows : (n,) DataFrame
        Columns of the contract, not necessarily validated, with ``scores`` (JSON text ``[[name, value, by], …]``) and
        ``tags`` (JSON text of a mapping of texts), each missing where there is none. It is not changed.
    config : IngestConfig
    survey : Survey, optional
        The numbers seen in the whole source; by default those of these rows.

    Returns
    -------
    Labelled
        The rows with ``useful`` (0..1 or missing; what the source logged stays as it came, for the validation to
        judge), ``useful_by`` (name of the rule), and ``hallucinated`` and ``intent`` filled where they were missing.
    """
    cells = Cells(column(rows, "scores"))
    if survey is None:
        survey = Survey()
        survey.read(cells.texts)
    reading = _Reading(config, survey)
    told = [reading.of(scores) for scores in cells.parsed()]
    logged = column(rows, "useful")
    useful, by = np.full(len(rows), np.nan), np.full(len(rows), None, dtype=object)
    for index, rule in enumerate(config.useful):
        if rule.kind == "logged":
            # Any number will do: the value itself stays as it came.
            found = np.where(_given(logged), 1.0, np.nan)
        else:
            found = _applied(rule, rows, cells.spread([one.useful[index] for one in told]))
        new = np.isnan(useful) & ~np.isnan(found)
        useful[new], by[new] = found[new], rule.name
    kept = pd.Series(by == "logged", index=rows.index)
    labels = pd.Series(useful, index=rows.index)
    out = rows.copy(deep=False)
    came = logged.astype("float64" if pd.api.types.is_numeric_dtype(logged.dtype) else object)
    out["useful"] = came.where(kept, labels) if kept.any() else labels
    out["useful_by"] = pd.Series(by, index=rows.index, dtype="string")
    invented = cells.spread([one.hallucinated for one in told])
    out["hallucinated"] = filled(column(rows, "hallucinated"), _as_flags(invented))
    out["intent"] = tagged_intents(rows, config.intent)
    counts = LabelCounts(len(rows), Counter(by[~np.isnan(useful)].tolist()))
    for one, count in zip(told, cells.counts(), strict=True):
        counts.unread.update(dict.fromkeys(one.unread, count))
    return Labelled(out, counts)


@dataclass(frozen=True)
class _Told:
    """What the scores of one answer tell: by rule, NaN where nothing."""

    useful: list[float]
    hallucinated: float
    unread: list[tuple[str, str]]


class _Reading:
    """Reads scores by the rules of a configuration; each distinct score is read once."""

    def __init__(self, config: IngestConfig, survey: Survey) -> None:
        self.rules = config.useful
        self.kinds = [rule.kind for rule in self.rules]
        self.names = [frozenset(map(plain, getattr(rule.body, "names", ()))) for rule in self.rules]
        self.hallucinated = config.hallucinated
        self.invented = frozenset(map(plain, self.hallucinated.names)) if self.hallucinated else frozenset()
        self.survey = survey
        self.known: dict[tuple[str, float | str, str], _Told] = {}

    def of(self, scores: list[tuple[str, float | str, str]]) -> _Told:
        """Return the mean of what the scores of an answer tell; a tie is a hallucination."""
        told = [self._one(name, value, by) for name, value, by in scores]
        useful = [_mean(values) for values in zip(*(one.useful for one in told), strict=True)]
        invented = _mean(one.hallucinated for one in told)
        unread = [key for one in told for key in one.unread]
        return _Told(useful or [np.nan] * len(self.rules), invented, unread)

    def _one(self, name: str, value: float | str, by: str) -> _Told:
        key = (name, value, by)
        if key not in self.known:
            seen = self.survey.of(name, by)
            useful = [self._useful(index, name, value, by, seen) for index in range(len(self.rules))]
            invented = self._hallucinated(name, value, by, seen)
            flag = any(plain(name) in names and isinstance(rule.body, _FLAGS) for names, rule in self._named())
            read = flag or invented is not None or any(one is not None for one in useful)
            numbers = [np.nan if one is None else one for one in useful]
            told = np.nan if invented is None else invented
            self.known[key] = _Told(numbers, told, [] if read else [(plain(name), by)])
        return self.known[key]

    def _named(self) -> Iterator[tuple[frozenset[str], Rule]]:
        return zip(self.names, self.rules, strict=True)

    def _useful(self, index: int, name: str, value: float | str, by: str, seen: Numbers) -> float | None:
        kind = self.kinds[index]
        if kind in {"feedback", "judge"}:
            return verdict(name, value, by, seen) if is_feedback(name, by) == (kind == "feedback") else None
        if plain(name) not in self.names[index]:
            return None
        rule = self.rules[index]
        if isinstance(rule.body, ScoreRule):
            return _scored(rule.body, value, seen) if _by(rule.body, by) else None
        return rule.body.useful if flagged(value) else None

    def _hallucinated(self, name: str, value: float | str, by: str, seen: Numbers) -> float | None:
        spec = self.hallucinated
        if spec is None:
            return hallucination(name, value, seen)
        if plain(name) not in self.invented or not _by(spec, by):
            return None
        if spec.words is not None:
            return float(plain(str(value)) in map(plain, spec.words))
        return _threshold(spec, value)


def _by(rule: ScoreRule | HallucinatedSpec, by: str) -> bool:
    return rule.by is None or (by or "unknown") in rule.by


def _scored(rule: ScoreRule, value: float | str, seen: Numbers) -> float | None:
    """Return what a score tells by the reading of its rule; None for an unknown word or a number off the scale."""
    if rule.words is not None:
        return next((useful for word, useful in rule.words.items() if plain(word) == plain(str(value))), None)
    if rule.low is not None and rule.high is not None:
        found = number(value)
        share = np.nan if found is None else (found - rule.low) / (rule.high - rule.low)
        return float(share) if 0 <= share <= 1 else None
    if rule.at_least is None and rule.at_most is None:
        return self_evident(value, seen)
    return _threshold(rule, value)


def _threshold(rule: ScoreRule | HallucinatedSpec, value: float | str) -> float | None:
    found = number(value)
    if found is None:
        return None
    return float(found >= rule.at_least if rule.at_least is not None else found <= (rule.at_most or 0.0))


def _applied(rule: Rule, rows: pd.DataFrame, useful: Floats) -> Floats:
    """Return what a rule says of each row, (n,), NaN where it does not apply: by scores, then tags, then the status."""
    if isinstance(rule.body, _FLAGS):
        names = frozenset(map(plain, rule.body.names))
        tags = Cells(column(rows, "tags"), names)
        there = [any(plain(key) in names and flagged(value) for key, value in held.items()) for held in tags.parsed()]
        useful = np.where(np.isnan(useful) & (tags.spread(there) == 1), rule.body.useful, useful)
    if isinstance(rule.body, AbandonedRule | FailedRule):
        words = column(rows, "status").astype("string")
        matching = [word for word in words.dropna().unique() if _status(rule.body.statuses, word)]
        useful = np.where(np.isnan(useful) & words.isin(matching).to_numpy(dtype=bool), 0.0, useful)
    return useful


def _status(statuses: list[str] | None, word: str) -> bool:
    if statuses is not None:
        return plain(word) in map(plain, statuses)
    return plain(word) in _FAILED or (_FAILED_CODE.fullmatch(word.strip()) is not None and word != _CLIENT_CLOSED)


def _given(values: pd.Series) -> NDArray[np.bool_]:
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.notna().to_numpy(dtype=bool)
    return given(values, np.ones(len(values), dtype=bool))


def _as_flags(values: Floats) -> NDArray[np.object_]:
    flags = (values >= 0.5).astype(object)
    flags[np.isnan(values)] = None
    return flags


def _mean(values: Iterable[float]) -> float:
    told = [value for value in values if value == value]
    return sum(told) / len(told) if told else np.nan
