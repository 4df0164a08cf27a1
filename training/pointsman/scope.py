"""Learn what is out of scope: the score that tells best is taken, its scale is set on a slice of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from pointsman.scope_head import RawScope, ScopeHead

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.classifier import Features
    from pointsman.heads import Heads

__all__ = ["MANY", "ScopeChoice", "fit_scope", "mahalanobis", "out_of_fold_levels"]

Floats = NDArray[np.floating[Any]]
Codes = NDArray[np.intp]
Bools = NDArray[np.bool_]

MANY = 20
"""Examples that a score is chosen by, learned from or calibrated on, at least."""

CLEARLY = 0.005
"""AUROC by which a score has to be better than energy, which costs next to nothing."""

SHRINKAGE = 0.1
"""Share of a multiple of the identity in the intents' covariance (Ledoit and Wolf 2004)."""

AT_MOST = 3000
"""Requests that stand for all where intents are held out."""


@dataclass(frozen=True)
class ScopeChoice:
    """How a score was chosen.

    Attributes
    ----------
    score : str
        ``energy``, ``mahalanobis``, ``both`` (their sum, each by its own spread), or ``learned`` (with the embedding,
        from labelled examples).
    auroc : dict of str to float
        Of each score tried; empty where there was nothing to choose by.
    chosen_by : str
        ``labelled`` (examples out of scope), ``held_out`` (intents that the classifier was not told of) or ``default``.
    examples : int
        Examples out of scope that it was chosen by.
    """

    score: str
    auroc: dict[str, float]
    chosen_by: str
    examples: int


def fit_scope(
    heads: Heads,
    features: Features,
    intent: Codes,
    outside: Bools,
    folds: Codes,
    calibrate: Features,
    refit: Callable[[Features, Codes], Heads],
    of_folds: dict[int, Heads] | None = None,
    seed: int = 0,
) -> tuple[ScopeHead, ScopeChoice] | None:
    """Choose a score and set its scale; None where fewer than 20 requests are left to set it.

    Parameters
    ----------
    heads : Heads
        Fitted on all n requests.
    features : Features
        Of n requests.
    intent : (n,) int array
        -1 where unknown.
    outside : (n,) bool array
        Requests that were labelled out of scope.
    folds : (n,) int array
    calibrate : Features
        Of requests in scope that trained nothing: the share of them that scores lower is what the head says.
    refit : callable
        Fits heads on features and intents: called where intents are held out.
    of_folds : dict of int to Heads, optional
        By fold, fitted on the others.
    seed : int
        Of the draw of intents that are held out.
    """
    if len(calibrate.embeddings) < MANY:
        return None
    inside = ~outside
    if outside.sum() >= MANY and of_folds is not None:
        tried = _out_of_fold(of_folds, features, intent, outside, folds)
        chosen_by, examples = "labelled", int(outside.sum())
    else:
        tried, examples = _held_out(features.take(inside), intent[inside], refit, seed)
        chosen_by = "held_out" if tried else "default"
    best = max(tried, key=lambda name: tried[name]) if tried else "energy"
    if best != "energy" and tried[best] < tried["energy"] + CLEARLY:
        best = "energy"
    if not tried and len(heads.intent_bias) < 2:  # energy tells nothing where there is one intent
        best = "mahalanobis"
    raw = _raws(heads, features, intent, outside, learned=best == "learned")[best]
    scores = raw(calibrate.embeddings, heads.intent_logits(calibrate.embeddings, calibrate.pieces))
    return ScopeHead.calibrated(raw, scores), ScopeChoice(best, tried, chosen_by, examples)


def out_of_fold_levels(
    head: ScopeHead,
    score: str,
    of_folds: dict[int, Heads],
    features: Features,
    intent: Codes,
    outside: Bools,
    folds: Codes,
) -> NDArray[np.float64]:
    """Return what the head's score, fitted on the other folds, says of each request, (n, 1): what the search sees.

    Arguments are those of `fit_scope`; `score` is the one chosen.
    """
    levels = np.empty((len(folds), 1))
    for fold, heads in of_folds.items():
        at = folds == fold
        part, rest = features.take(at), features.take(~at)
        learned = score == "learned"
        if learned and not outside[~at].any():
            raw = head.raw
        else:
            raw = _raws(heads, rest, intent[~at], outside[~at], learned=learned)[score]
        scores = raw(part.embeddings, heads.intent_logits(part.embeddings, part.pieces))
        inside = scores[~outside[at]]
        # Scores of heads fitted apart are on scales of their own; shares of the requests in scope are not.
        scale = ScopeHead.calibrated(raw, inside) if len(inside) >= MANY else head
        levels[at, 0] = scale.level(scores)
    return levels


def mahalanobis(embeddings: Floats, intent: Codes) -> RawScope:
    """Return the distance to the nearest intent's mean, by the covariance that all intents share.

    Parameters
    ----------
    embeddings : (n, d) float array
    intent : (n,) int array
        Rows with -1 are left out; where all are, they are one intent.
    """
    rows, codes = np.asarray(embeddings, dtype=np.float64), intent
    if not (codes >= 0).any():
        codes = np.zeros(len(rows), dtype=np.intp)
    rows, codes = rows[codes >= 0], codes[codes >= 0]
    present, codes = np.unique(codes, return_inverse=True)
    counts = np.bincount(codes)
    means = np.zeros((len(present), rows.shape[1]))
    np.add.at(means, codes, rows)
    means /= counts[:, None]
    apart = rows - means[codes]
    covariance = apart.T @ apart / max(len(rows) - len(present), 1)
    level = max(float(np.trace(covariance)) / len(covariance), 1e-9)
    values, vectors = np.linalg.eigh((1 - SHRINKAGE) * covariance + SHRINKAGE * level * np.eye(len(covariance)))
    whitening = vectors / np.sqrt(values)
    whitening *= np.where(vectors[np.abs(vectors).argmax(axis=0), range(len(values))] < 0, -1, 1)  # one sign everywhere
    middle = rows.mean(axis=0)
    return RawScope(
        distance=1.0,
        whitening=whitening.astype(np.float32),
        centres=((means - middle) @ whitening).astype(np.float32),
        middle=middle.astype(np.float32),
    )


def _raws(
    heads: Heads, features: Features, intent: Codes, outside: Bools, *, learned: bool = False
) -> dict[str, RawScope]:
    """Return the scores by name, fitted on these requests."""
    inside = ~outside
    energy, far = RawScope(energy=1.0), mahalanobis(features.embeddings[inside], intent[inside])
    logits = heads.intent_logits(features.embeddings, features.pieces)
    by_energy, by_distance = energy(features.embeddings, logits), far(features.embeddings, logits)
    spread = [max(float(scores[inside].std()), 1e-9) for scores in (by_energy, by_distance)]
    both = replace(far, energy=1 / spread[0], distance=1 / spread[1])
    found = {"energy": energy, "mahalanobis": far, "both": both}
    if learned:
        columns = [features.embeddings, by_energy[:, None] / spread[0], by_distance[:, None] / spread[1]]
        with threadpool_limits(1, user_api="blas"):
            model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=500).fit(np.hstack(columns), outside)
        *direction, of_energy, of_distance = model.coef_[0].tolist()
        found["learned"] = RawScope(
            float(model.intercept_[0]),
            of_energy / spread[0],
            of_distance / spread[1],
            far.whitening,
            far.centres,
            np.array(direction, dtype=np.float32),
            far.middle,
        )
    return found


def _out_of_fold(
    of_folds: dict[int, Heads], features: Features, intent: Codes, outside: Bools, folds: Codes
) -> dict[str, float]:
    """Return each score's AUROC on requests that it was not fitted on."""
    scores: dict[str, NDArray[np.float64]] = {}
    for fold, heads in of_folds.items():
        at = folds == fold
        part = features.take(at)
        learned = bool(outside[~at].any())
        raws = _raws(heads, features.take(~at), intent[~at], outside[~at], learned=learned)
        logits = heads.intent_logits(part.embeddings, part.pieces)
        for name, raw in raws.items():
            scores.setdefault(name, np.full(len(folds), np.nan))[at] = raw(part.embeddings, logits)
    return {name: float(roc_auc_score(outside, values)) for name, values in scores.items() if np.isfinite(values).all()}


def _held_out(
    features: Features, intent: Codes, refit: Callable[[Features, Codes], Heads], seed: int
) -> tuple[dict[str, float], int]:
    """Return each score's AUROC where a third of the intents is new to it, and the requests that these have."""
    rows = np.flatnonzero(intent >= 0)
    names = np.unique(intent[rows])
    if len(names) < MANY_INTENTS or len(rows) < 3 * MANY:
        return {}, 0
    generator = np.random.default_rng(seed)
    rows = generator.permutation(rows)[:AT_MOST]
    new = np.isin(intent[rows], generator.permutation(names)[: len(names) // 3])
    known = rows[~new]
    learn, judged = known[: len(known) * 2 // 3], known[len(known) * 2 // 3 :]
    if len(np.unique(intent[learn])) < 2 or not new.any():
        return {}, 0
    part = features.take(learn)
    heads = refit(part, intent[learn])
    of = features.take(np.concatenate([judged, rows[new]]))
    truth = np.arange(len(of.embeddings)) >= len(judged)
    logits = heads.intent_logits(of.embeddings, of.pieces)
    raws = _raws(heads, part, intent[learn], np.zeros(len(learn), dtype=np.bool_))
    return {name: float(roc_auc_score(truth, raw(of.embeddings, logits))) for name, raw in raws.items()}, int(new.sum())


MANY_INTENTS = 6
"""Intents from which on a third of them can be held out."""
