"""Cross-fitting: final heads, and for the learn slice what heads that never saw a request say of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pointsman.averages import intent_table, labelled
from pointsman.borrowing import borrow, poorly_known
from pointsman.calibration import sigmoid_temperature, softmax_temperature
from pointsman.classifier import RequestClassifier
from pointsman.decide import Reading
from pointsman.decision_area import bought, decision_area, most_careful
from pointsman.errors import TraceError
from pointsman.heads import pooled
from pointsman.label_noise import mislabelled
from pointsman.length_head import cross_fit_lengths
from pointsman.risk_head import fit_risk
from pointsman.scope import ScopeChoice, fit_scope, out_of_fold_levels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pointsman.classifier import Features
    from pointsman.heads import Heads
    from pointsman.lexical import Lexicon
    from pointsman.structure import Structure

__all__ = ["CrossFit", "Extra", "advantage_error", "calibrated", "cross_fit"]

Floats = NDArray[np.floating[Any]]
Codes = NDArray[np.intp]
Intents = NDArray[Any]
"""See `pointsman.averages.Intents`."""

DEVIATIONS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Penalties tried for what sets one candidate apart."""

LEVELS = ((0.3, 3.0), (3.0, 30.0), (10.0, 30.0))
"""Penalties tried on what all candidates share, each with that on word pieces."""

ENOUGH = 50
"""Requests with usefulness and cost of every candidate from which on the penalty is chosen by decisions."""


@dataclass(frozen=True, eq=False)
class CrossFit:
    """Final heads and, for the learn slice, what heads that never saw a request say of it.

    Attributes
    ----------
    heads : Heads
        Fitted on the whole learn slice, calibrated.
    reading : Reading
        Out of fold, with the same temperatures.
    intent_useful : (n, m) float array
        The intents' expected average usefulness, out of fold: an average that held the request itself would flatter it.
    deviation : float
        The penalty chosen.
    decision_area : dict of float to float
        What the penalty was chosen by: see `pointsman.decision_area`, out of fold, by penalty. Empty where fewer than
        50 requests have every candidate's outcome.
    advantage_error : dict of float to float
        What it was chosen by then: out-of-fold mean squared error of differences between candidates, by penalty.
    folds : (n,) int array
        Of the learn slice.
    level : tuple of float
        The penalties of what all candidates share and of word pieces, chosen by `level_loss`.
    level_loss : dict of tuple to float
        Out-of-fold cross-entropy of usefulness by these penalties.
    scope : ScopeChoice or None
        How the score of being out of scope was chosen.
    mislabelled : int
        Requests whose intent was not learned, for it is probably wrong.
    weighed : bool
        Whether answers were weighed; so only where that predicts held-out answers better.
    borrowers : tuple of int
        Candidates with so few answers that they borrow from the others (`pointsman.borrowing`).
    """

    heads: Heads
    reading: Reading
    intent_useful: Floats
    deviation: float
    decision_area: dict[float, float]
    advantage_error: dict[float, float]
    folds: Codes
    level: tuple[float, float] = LEVELS[0]
    level_loss: dict[tuple[float, float], float] = field(default_factory=dict)
    scope: ScopeChoice | None = None
    mislabelled: int = 0
    weighed: bool = False
    borrowers: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Extra:
    """What else is known of a slice's n requests; each may be None.

    Attributes
    ----------
    outside : (n,) bool array
        Labelled out of scope.
    weights : (n, m) float array
        Of each answer: inverse propensities, where only what production chose is known.
    hallucinated : (n, m) float array
        NaN where unknown.
    """

    outside: NDArray[np.bool_] | None = None
    weights: Floats | None = None
    hallucinated: Floats | None = None

    def take(self, at: Any) -> Extra:
        """Return the requests at an index, mask or slice."""
        return Extra(**{name: None if part is None else part[at] for name, part in vars(self).items()})


def cross_fit(
    lexicon: Lexicon,
    learn: tuple[Features, Intents, Floats],
    calibrate: tuple[Features, Intents, Floats],
    folds: Codes,
    n_intents: int,
    deviations: Sequence[float] = DEVIATIONS,
    progress: Callable[[int, int], None] | None = None,
    output_tokens: Floats | None = None,
    cost_usd: Floats | None = None,
    structure: Structure | None = None,
    extras: tuple[Extra, Extra] = (Extra(), Extra()),
    families: tuple[tuple[int, ...], ...] = (),
    seed: int = 0,
) -> CrossFit:
    """Fit the heads, choose the penalty out of fold, calibrate on a slice of their own.

    Parameters
    ----------
    lexicon : Lexicon
        That made the features.
    learn, calibrate : tuple of Features, (n,) intents, (n, m) usefulness
    folds : (n,) int array
        Of the learn slice.
    n_intents : int
    deviations : sequence of float
        Penalties to choose from.
    progress : callable, optional
        Called with (fits done, fits in all).
    output_tokens : (n, m) float array, optional
        Lengths of the learn slice's answers, NaN where unknown; no head for them without any.
    cost_usd : (n, m) float array, optional
        Of the learn slice's answers, NaN where unknown: what decisions weigh usefulness against.
    structure : Structure, optional
        That made the last columns of the features' embeddings.
    extras : tuple of Extra
        Of the slices to learn from and to calibrate on.
    families : tuple of tuple of int
        See `pointsman.heads.Heads`.
    seed : int

    Raises
    ------
    TraceError
        Where all requests are in one fold.
    """
    features, intent, useful = learn
    names = np.unique(folds)
    if len(names) < 2:
        raise TraceError("all prompts to learn from are the same, or nearly all: there is nothing to tell apart")
    extra, n_learn = extras[0], len(useful)
    level, weigh, level_loss = _level(lexicon, learn, extra.weights, folds, n_intents)
    extra = extra if weigh else replace(extra, weights=None)
    penalties: dict[str, Any] = {"n_intents": n_intents, "common": level[0], "pieces": level[1]}
    fitted: dict[float, dict[int, Heads]] = {deviation: {} for deviation in deviations}
    probs = {deviation: np.empty(useful.shape) for deviation in deviations}
    cost_usd = np.full(useful.shape, np.nan) if cost_usd is None else cost_usd
    expected_usd = np.empty(useful.shape)
    for done, fold in enumerate(names):
        if progress is not None:
            progress(done, len(names) + 1)
        inside = folds != fold
        weights = None if extra.weights is None else extra.weights[inside]
        part, outside = (features.take(inside), intent[inside], useful[inside], weights), features.take(~inside)
        start = replace(RequestClassifier(n_intents).fit_intent(lexicon, *part), families=families)
        start = replace(start, table=pooled(start.table, families))
        believed = start.intent_probs(outside.embeddings, outside.pieces)
        expected_usd[~inside] = believed @ intent_table(cost_usd[inside], intent[inside], n_intents)
        for deviation in deviations:
            heads = RequestClassifier(**penalties, deviation=deviation).fit_useful(start, *part)
            heads = borrow(heads, part[0], part[2], cost_usd[inside])
            fitted[deviation][int(fold)] = heads
            probs[deviation][~inside] = heads(outside.embeddings, outside.pieces).useful_probs
    errors = {deviation: advantage_error(probs[deviation], useful) for deviation in deviations}
    whole = (np.isfinite(useful) & np.isfinite(cost_usd)).all(axis=1)
    areas: dict[float, float] = {}
    if whole.sum() >= ENOUGH:
        happened = expected_usd[whole], useful[whole], cost_usd[whole]
        gets = {deviation: bought(probs[deviation][whole], *happened) for deviation in deviations}
        areas = {deviation: decision_area(gets[deviation], useful[whole]) for deviation in deviations}
        best = most_careful(gets)
    else:  # where nothing tells, the most careful
        best = min(errors, key=lambda deviation: (errors[deviation], -deviation))
    wrong, believed = np.zeros(n_learn, dtype=np.bool_), np.empty((n_learn, n_intents))
    for fold, out_of_fold in fitted[best].items():
        part_of = features.take(folds == fold)
        believed[folds == fold] = out_of_fold.intent_probs(part_of.embeddings, part_of.pieces)
    if intent.ndim == 1:
        wrong = mislabelled(believed, intent)
    final = RequestClassifier(**penalties, deviation=best)
    start = final.fit_intent(lexicon, features, np.where(wrong, -1, intent) if wrong.any() else intent, useful)
    start = replace(start, table=pooled(intent_table(useful, intent, n_intents, weights=extra.weights), families))
    heads = final.fit_useful(replace(start, families=families), features, intent, useful, extra.weights)
    heads = borrow(heads, features, useful, cost_usd)
    heads = calibrated(heads, *calibrate)
    intent_probs, useful_probs = np.empty((len(useful), n_intents)), np.empty(useful.shape)
    intent_useful = np.empty(useful.shape)
    intent_labels = np.empty((len(useful), n_intents)) if intent.ndim == 2 else None
    temperatures = {name: getattr(heads, name) for name in ("intent_temperature", "useful_temperature")}
    of_folds = {fold: replace(out_of_fold, **temperatures) for fold, out_of_fold in fitted[best].items()}
    for fold, out_of_fold in of_folds.items():
        at = folds == fold
        part_of = features.take(at)
        reading = out_of_fold(part_of.embeddings, part_of.pieces)
        intent_probs[at], useful_probs[at] = reading.intent_probs, reading.useful_probs
        if intent_labels is not None and reading.intent_labels is not None:
            intent_labels[at] = reading.intent_labels
        intent_useful[at] = intent_probs[at] @ out_of_fold.table
    expected_tokens = None
    if output_tokens is not None:
        found = cross_fit_lengths(heads, of_folds, features, intent, output_tokens, folds)
        if found is not None:
            lengths, expected_tokens = found
            heads = replace(heads, lengths=lengths)
    main = intent if intent.ndim == 1 else np.where(labelled(intent), intent.argmax(axis=1), -1)
    strange, in_scope = _no(extras[0].outside, n_learn), ~_no(extras[1].outside, len(calibrate[2]))
    scope = fit_scope(
        heads,
        features,
        main,
        strange,
        folds,
        calibrate[0].take(in_scope),
        lambda part, codes: RequestClassifier(n_intents).fit_intent(lexicon, part, codes, np.ones((len(codes), 1))),
        of_folds,
        seed,
    )
    levels = None
    if scope is not None:
        levels = out_of_fold_levels(scope[0], scope[1].score, of_folds, features, main, strange, folds)
    risk = None
    if extra.hallucinated is not None:
        risk = fit_risk(
            heads, features, intent, (extra.hallucinated, extra.weights), calibrate[0], extras[1].hallucinated
        )
    heads = replace(heads, structure=structure, scope=None if scope is None else scope[0], hallucination=risk)
    if progress is not None:
        progress(len(names) + 1, len(names) + 1)
    reading = Reading(intent_probs, useful_probs, expected_tokens, levels, intent_labels=intent_labels)
    choice = None if scope is None else scope[1]
    borrowers = tuple(map(int, poorly_known(useful)[0]))
    chosen = (best, areas, errors, folds, level, level_loss)
    return CrossFit(heads, reading, intent_useful, *chosen, choice, int(wrong.sum()), weigh, borrowers)


def _no(mask: NDArray[np.bool_] | None, n: int) -> NDArray[np.bool_]:
    return np.zeros(n, dtype=np.bool_) if mask is None else mask


def _level(
    lexicon: Lexicon, learn: tuple[Features, Intents, Floats], weights: Floats | None, folds: Codes, n_intents: int
) -> tuple[tuple[float, float], bool, dict[tuple[float, float], float]]:
    """Return what predicts two folds best: penalties of what candidates share and of word pieces, and whether to weigh.

    They are levels, which probabilities must have right whatever is chosen by them; what sets candidates apart is
    chosen by decisions. Losses of answers are weighed where there are weights, whether or not heads learned with them:
    what counts is what would be lost on all requests.
    """
    features, intent, useful = learn
    losses = {(level, weigh): 0.0 for weigh in (False, *[True] * (weights is not None)) for level in LEVELS}
    for fold in np.unique(folds)[:2]:
        inside, outside = np.flatnonzero(folds != fold)[:LEVEL_ROWS], np.flatnonzero(folds == fold)[:LEVEL_ROWS]
        part = features.take(inside), intent[inside], useful[inside]
        judged, truth = features.take(outside), useful[outside]
        counted: Floats = np.isfinite(truth) * (1.0 if weights is None else weights[outside])
        blank = RequestClassifier(n_intents).fit_intent(lexicon, *part)
        believed = blank.intent_probs(judged.embeddings, judged.pieces)
        for (common, pieces), weigh in losses:
            weight = weights[inside] if weigh and weights is not None else None
            start = replace(blank, table=intent_table(part[2], part[1], n_intents, weights=weight))
            model = RequestClassifier(n_intents, common=common, deviation=common, pieces=pieces)
            heads = model.fit_useful(start, *part, weight)
            logits = heads.useful_logits(judged.embeddings, judged.pieces, believed)
            errors = np.logaddexp(0, logits) - np.nan_to_num(truth) * logits
            losses[(common, pieces), weigh] += float((counted * errors).sum())
    best, weigh = min(losses, key=lambda option: losses[option])
    return best, weigh, {level: losses[level, weigh] for level in LEVELS}


LEVEL_ROWS = 4000
"""Requests that stand for all where levels are chosen."""


def advantage_error(probs: Floats, useful: Floats) -> float:
    """Return the mean squared error of each candidate's advantage over the mean of all; what they share cancels.

    Counts where two candidates or more are known; 0 where that is nowhere.
    """
    known = np.isfinite(useful)
    known &= known.sum(axis=1, keepdims=True) > 1
    errors = np.where(known, probs - useful, 0.0)
    shared = errors.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    return float(np.square(errors - shared)[known].mean()) if known.any() else 0.0


def calibrated(heads: Heads, features: Features, intent: Intents, useful: Floats) -> Heads:
    """Return the heads with temperatures fitted on a slice that trained nothing."""
    told = labelled(intent)
    read = features.embeddings, features.pieces
    if len(heads.intent_bias) > 1 and told.any():
        logits = heads.intent_logits(*read)[told]
        if heads.several:
            temperature = sigmoid_temperature(logits, (intent[told] > 0).astype(np.float64))
        else:
            temperature = softmax_temperature(logits, intent[told])
        heads = replace(heads, intent_temperature=temperature)
    logits = heads.useful_logits(*read, heads.intent_probs(*read))
    return replace(heads, useful_temperature=sigmoid_temperature(logits, useful))
