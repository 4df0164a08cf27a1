"""Needed compute on an outcome set: how well each method tells which candidates are useful, on requests it never saw.

Any folder with ``traces.parquet`` (a trace table in which every candidate answered) and ``candidates.csv`` will do.
Each seed is a random split, 60/40; every method reads the same frozen embeddings, and what it has to choose it chooses
inside the training part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from pointsman.classifier import Features
from pointsman.cross_fitting import cross_fit
from pointsman.errors import TraceError
from pointsman.labels import intent_labels
from pointsman.lexical import Lexicon
from pointsman.outcomes import outcomes_of
from pointsman.pricing.price_files import read_prices
from pointsman.slices import prompt_folds
from pointsman.structure import Structure
from pointsman.text import same_text
from pointsman.traces import read_traces

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pointsman.outcomes import Outcomes

__all__ = ["METHODS", "Measured", "MethodScore", "apgr", "measure", "read_outcomes"]

Floats = NDArray[np.floating[Any]]
Codes = NDArray[np.intp]

TRAIN = 0.6
"""Share of the requests that a split trains on."""

METHODS = ("pointsman", "intent average", "logistic regression", "kNN")
RESAMPLES = 200
NEIGHBOURS = (10, 30, 100)
PENALTIES = (0.03, 0.3, 3.0)
"""C of the logistic regressions tried."""

LEAST = 100
"""Requests that a set needs."""


@dataclass(frozen=True)
class MethodScore:
    """What one method reaches on a set.

    Attributes
    ----------
    method : str
    apgr : tuple of float
        By seed; see `apgr`.
    auc, brier : dict of str to (value, low, high)
        By candidate: means over the seeds of the value and of the ends of its 95 % bootstrap interval in one split. An
        AUC is missing where all answers of a test part are alike.
    """

    method: str
    apgr: tuple[float, ...]
    auc: dict[str, tuple[float, float, float]]
    brier: dict[str, tuple[float, float, float]]

    @property
    def mean_apgr(self) -> float:
        """Mean over the seeds."""
        return float(np.mean(self.apgr))

    @property
    def mean_auc(self) -> float:
        """Mean over the candidates."""
        return float(np.mean([one[0] for one in self.auc.values()]))

    @property
    def mean_brier(self) -> float:
        """Mean over the candidates."""
        return float(np.mean([one[0] for one in self.brier.values()]))


@dataclass(frozen=True)
class Measured:
    """An outcome set, measured.

    Attributes
    ----------
    name : str
    requests, seeds, left_out : int
        `left_out` counts test requests, over all seeds, whose prompt is in the training part, too.
    strong, weak : str
        The most useful candidate, and the cheapest one: what APGR chooses between.
    scores : tuple of MethodScore
    """

    name: str
    requests: int
    seeds: int
    left_out: int
    strong: str
    weak: str
    scores: tuple[MethodScore, ...]


def read_outcomes(folder: Path) -> Outcomes:
    """Return the requests of a folder that every candidate answered, candidates cheap to dear.

    Raises
    ------
    TraceError
        Where fewer than 100 requests or 2 candidates are left.
    """
    table = read_prices(folder / "candidates.csv")
    outcomes = outcomes_of(read_traces(folder / "traces.parquet").rows, table.candidates(table.models))
    outcomes = outcomes.take(outcomes.complete)
    if len(outcomes) < LEAST or len(outcomes.models) < 2:
        found = f"{len(outcomes)} requests with the outcome of each of {len(outcomes.models)} candidates"
        raise TraceError(f"{folder}: {found}; at least {LEAST} requests and 2 candidates are needed")
    order = np.argsort(outcomes.cost_usd.mean(axis=0), kind="stable")
    return outcomes.reorder([outcomes.models[index] for index in order])


def apgr(score: Floats, advantage: Floats) -> float:
    """Return the average performance gap recovered (Ong et al. 2024, "RouteLLM"); 0.5 is what chance reaches.

    The share of the gap between always-weak and always-strong that is recovered where the requests of largest score go
    to the strong candidate, averaged over every number of them. Equal scores share their place.

    Parameters
    ----------
    score : (n,) float array
        How much is expected of sending a request to the strong candidate.
    advantage : (n,) float array
        Usefulness of the strong candidate's answer less that of the weak one's.

    Raises
    ------
    TraceError
        Where the strong candidate is not the more useful one: there is no gap.
    """
    gap = float(advantage.sum())
    if gap <= 0:
        raise TraceError("APGR: the strong candidate is not more useful than the weak one on these requests")
    values, group = np.unique(-score, return_inverse=True)
    means = np.bincount(group, weights=advantage) / np.bincount(group, minlength=len(values))
    order = np.argsort(group, kind="stable")
    recovered = np.concatenate([[0.0], np.cumsum(means[group[order]])]) / gap
    return float((recovered[1:] + recovered[:-1]).mean() / 2)


def measure(
    name: str,
    outcomes: Outcomes,
    embeddings: NDArray[np.float32],
    ids: Sequence[Sequence[int]],
    vocabulary: dict[str, int],
    special: Sequence[int],
    seeds: int = 5,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Measure every method on `seeds` random splits.

    Parameters
    ----------
    name : str
    outcomes : Outcomes
        n requests that every candidate answered, cheap to dear.
    embeddings : (n, d) float32 array
    ids : sequence of sequences of int
        Word pieces of the prompts.
    vocabulary, special
        See `pointsman.structure.Structure.fit`.
    seeds : int
    progress : callable, optional
        Called with (seeds done, seeds).
    """
    strong, weak = int(outcomes.useful.mean(axis=0).argmax()), 0
    if strong == weak:
        weak = 1
    texts = np.array([same_text(prompt) for prompt in outcomes.prompt], dtype=object)
    found: dict[str, list[tuple[float, Floats, Floats]]] = {method: [] for method in METHODS}
    left_out = 0
    for seed in range(seeds):
        if progress is not None:
            progress(seed, seeds)
        order = np.random.default_rng([0, seed]).permutation(len(outcomes))
        train, test = np.sort(order[: int(TRAIN * len(order))]), np.sort(order[int(TRAIN * len(order)) :])
        repeats = np.isin(test, np.flatnonzero(np.isin(texts, np.unique(texts[train].astype(str)))))
        left_out, test = left_out + int(repeats.sum()), test[~repeats]
        truth = outcomes.useful[test]
        said = _predictions(outcomes, embeddings, ids, vocabulary, special, train, test)
        resamples = np.random.default_rng(seed).integers(0, len(test), size=(RESAMPLES, len(test)))
        for method, probs in said.items():
            area = apgr(probs[:, strong] - probs[:, weak], truth[:, strong] - truth[:, weak])
            found[method].append((area, *_scores(probs, truth, resamples)))
    scores = []
    for method, parts in found.items():
        tables = [np.mean([part[1] for part in parts], axis=0), np.mean([part[2] for part in parts], axis=0)]
        auc, brier = (
            {
                model: (float(row[0]), float(row[1]), float(row[2]))
                for model, row in zip(outcomes.models, table, strict=True)
                if np.isfinite(row[0])
            }
            for table in tables
        )
        scores.append(MethodScore(method, tuple(part[0] for part in parts), auc, brier))
    if progress is not None:
        progress(seeds, seeds)
    models = outcomes.models
    return Measured(name, len(outcomes), seeds, left_out, models[strong], models[weak], tuple(scores))


def _predictions(
    outcomes: Outcomes,
    embeddings: NDArray[np.float32],
    ids: Sequence[Sequence[int]],
    vocabulary: dict[str, int],
    special: Sequence[int],
    train: Codes,
    test: Codes,
) -> dict[str, Floats]:
    """Return P(useful) by every method, (t, m) each, of the test requests."""
    learned = [ids[index] for index in train]
    lexicon = Lexicon.fit(learned, len(vocabulary), special)
    structure = Structure.fit(learned, vocabulary, special)
    features = Features.of(embeddings, ids, lexicon, structure)
    part = outcomes.take(train)
    labels, folds = intent_labels(part.intent), prompt_folds(part.prompt)
    slice_of = features.take(train), labels.taught, part.useful
    # Temperatures do not change APGR and AUC; the heads' own, on training requests, would flatter: a fold stands aside.
    aside = folds == folds.max()
    kept = (slice_of[0].take(~aside), slice_of[1][~aside], slice_of[2][~aside])
    held = (slice_of[0].take(aside), slice_of[1][aside], slice_of[2][aside])
    crossed = cross_fit(lexicon, kept, held, folds[~aside], len(labels.names), cost_usd=part.cost_usd[~aside])
    judged = features.take(test)
    reading = crossed.heads(judged.embeddings, judged.pieces)
    inner = (embeddings[train], part.useful, folds)
    return {
        "pointsman": reading.useful_probs,
        "intent average": reading.intent_probs @ crossed.heads.table,
        "logistic regression": _chosen(_logistic, PENALTIES, *inner, embeddings[test]),
        "kNN": _chosen(_neighbours, NEIGHBOURS, *inner, embeddings[test]),
    }


def _chosen(
    method: Callable[[Floats, Floats, Floats, Any], Floats],
    options: Sequence[Any],
    embeddings: Floats,
    useful: Floats,
    folds: Codes,
    at: Floats,
) -> Floats:
    """Return a rival's probabilities by the option of smallest Brier score on a fold of the training requests."""
    aside = folds == folds.min()
    errors = [
        float(np.square(method(embeddings[~aside], useful[~aside], embeddings[aside], option) - useful[aside]).mean())
        for option in options
    ]
    return method(embeddings, useful, at, options[int(np.argmin(errors))])


def _logistic(embeddings: Floats, useful: Floats, at: Floats, penalty: float) -> Floats:
    columns = []
    for values in useful.T:
        right = values >= 0.5
        if right.all() or not right.any():
            columns.append(np.full(len(at), float(right.mean())))
            continue
        with threadpool_limits(1, user_api="blas"):
            model = LogisticRegression(C=penalty, max_iter=300).fit(embeddings, right)
        columns.append(model.predict_proba(at)[:, 1])
    return np.stack(columns, axis=1)


def _neighbours(embeddings: Floats, useful: Floats, at: Floats, count: int) -> Floats:
    count = min(count, len(embeddings))
    out = np.empty((len(at), useful.shape[1]))
    with threadpool_limits(1, user_api="blas"):
        for start in range(0, len(at), 512):
            alike = at[start : start + 512] @ embeddings.T
            nearest = np.argpartition(-alike, count - 1, axis=1)[:, :count]
            out[start : start + 512] = useful[nearest].mean(axis=1)
    return out


def _scores(probs: Floats, truth: Floats, resamples: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return AUC and Brier score of each candidate with their intervals, (m, 3) each."""
    aucs, briers = np.full((probs.shape[1], 3), np.nan), np.empty((probs.shape[1], 3))
    for column in range(probs.shape[1]):
        stated, happened = probs[:, column], truth[:, column]
        errors = np.square(stated - happened)
        briers[column] = errors.mean(), *np.quantile(errors[resamples].mean(axis=1), [0.025, 0.975])
        right = happened >= 0.5
        if right.all() or not right.any():
            continue
        value = float(roc_auc_score(right, stated))
        drawn = [_auc(stated[at], right[at]) for at in resamples]
        aucs[column] = value, *np.nanquantile(drawn, [0.025, 0.975])
    return aucs, briers


def _auc(stated: Floats, right: NDArray[np.bool_]) -> float:
    """Return the AUC by ranks, ties in half; NaN where all are alike. Faster than scikit-learn's for resamples."""
    positive = int(right.sum())
    if positive in {0, len(right)}:
        return float("nan")
    values, group = np.unique(stated, return_inverse=True)
    ends = np.cumsum(np.bincount(group, minlength=len(values)))
    ranks = (ends + np.concatenate([[0], ends[:-1]]) + 1) / 2
    return float((ranks[group][right].sum() - positive * (positive + 1) / 2) / (positive * (len(right) - positive)))
