"""The classifier: intent and P(useful | candidate) as linear heads on a frozen embedding and a bag of word pieces.

Usefulness starts from the intent's average and adds per-query evidence in log-odds. That evidence is split into what
all candidates share (difficulty, which cancels in a choice between them) and what sets one apart; the second is
penalised by itself, with a strength chosen on held-out *decisions* (`pointsman.decision_area`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from pointsman.averages import intent_table
from pointsman.calibration import sigmoid_temperature, softmax_temperature
from pointsman.decide import Reading
from pointsman.decision_area import bought, decision_area, most_careful
from pointsman.errors import TraceError
from pointsman.heads import TABLE_MARGIN, Heads
from pointsman.length_head import cross_fit_lengths
from pointsman.lexical import Lexicon

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pointsman.encoders import Encoder
    from pointsman.structure import Structure

__all__ = ["CrossFit", "Features", "RequestClassifier", "cross_fit", "read"]

Floats = NDArray[np.floating[Any]]
Codes = NDArray[np.intp]

NEVER_SEEN = -20.0
"""Log-odds of an intent that was in no training row."""

DEVIATIONS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Penalties tried for what sets one candidate apart."""

ENOUGH = 50
"""Requests with usefulness and cost of every candidate from which on the penalty is chosen by decisions."""


@dataclass(frozen=True, eq=False)
class Features:
    """What the heads read of n prompts.

    Attributes
    ----------
    embeddings : (n, d) float32 array
        With the columns of `pointsman.structure.Structure` behind them where there are any.
    pieces : (n, v) float32 sparse array
        See `pointsman.lexical.Lexicon`.
    """

    embeddings: NDArray[np.float32]
    pieces: sparse.csr_array

    @classmethod
    def of(
        cls,
        embeddings: NDArray[np.float32],
        ids: Sequence[Sequence[int]],
        lexicon: Lexicon,
        structure: Structure | None = None,
    ) -> Features:
        """Return the features of n prompts of which the embeddings and the word pieces read are known."""
        if structure is not None:
            embeddings = np.hstack([embeddings, structure.transform(ids)])
        return cls(embeddings, lexicon.transform(ids))

    def take(self, at: Any) -> Features:
        """Return the prompts at an index, mask or slice."""
        return Features(self.embeddings[at], self.pieces[at])


class RequestClassifier(BaseEstimator):  # type: ignore[misc]
    """Intent and usefulness from an embedding and a bag of word pieces.

    Parameters
    ----------
    n_intents : int
        Number of intents, k.
    inverse_penalty : float
        C of the intent head's logistic regression.
    common : float
        L2 penalty on the evidence that all candidates share.
    deviation : float
        L2 penalty on each candidate's deviation from it.
    pieces : float
        How much more the weights of word pieces are penalised than those of the embedding.
    prior_rows : float
        Rows of the overall average mixed into each intent's average.

    Attributes
    ----------
    heads_ : Heads
        The fitted heads, uncalibrated (temperatures 1).
    """

    def __init__(
        self,
        n_intents: int = 1,
        inverse_penalty: float = 10.0,
        common: float = 0.3,
        deviation: float = 3.0,
        pieces: float = 3.0,
        prior_rows: float = 5.0,
    ) -> None:
        self.n_intents = n_intents
        self.inverse_penalty = inverse_penalty
        self.common = common
        self.deviation = deviation
        self.pieces = pieces
        self.prior_rows = prior_rows

    def fit(self, lexicon: Lexicon, features: Features, intent: Codes, useful: Floats) -> RequestClassifier:
        """Fit both heads.

        Parameters
        ----------
        lexicon : Lexicon
            That made the features.
        features : Features
            Of n prompts.
        intent : (n,) int array
            -1 where unknown.
        useful : (n, m) float array
            In 0..1; NaN where the candidate did not answer.
        """
        self.heads_ = self.fit_useful(self.fit_intent(lexicon, features, intent, useful), features, intent, useful)
        return self

    def fit_intent(self, lexicon: Lexicon, features: Features, intent: Codes, useful: Floats) -> Heads:
        """Return heads with the intent head fitted and no per-query evidence of usefulness yet."""
        d, v, k, m = features.embeddings.shape[1], len(lexicon.idf), self.n_intents, useful.shape[1]
        weight = np.zeros((d + v, k), dtype=np.float32)
        bias = np.full(k, NEVER_SEEN, dtype=np.float32)
        labelled = intent >= 0
        present = np.unique(intent[labelled])
        if len(present) < 2:  # nothing to tell apart; without any label every intent is as probable
            bias[present if len(present) else slice(None)] = 0.0
        else:
            known = np.flatnonzero(lexicon.idf)
            rows = sparse.hstack([sparse.csr_array(features.embeddings), features.pieces[:, known]], format="csr")
            with threadpool_limits(1, user_api="blas"):
                model = LogisticRegression(C=self.inverse_penalty, max_iter=300).fit(rows[labelled], intent[labelled])
            coefficients, intercepts = model.coef_, model.intercept_
            if len(present) == 2:  # one row stands for the second class
                coefficients = np.vstack([-coefficients / 2, coefficients / 2])
                intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
            weight[np.ix_(np.concatenate([np.arange(d), d + known]), present)] = coefficients.T
            bias[present] = intercepts
        return Heads(
            intent_weight=weight[:d],
            intent_bias=bias,
            intent_temperature=1.0,
            table=intent_table(useful, intent, k, self.prior_rows),
            useful_weight=np.zeros((d, m), dtype=np.float32),
            useful_bias=np.zeros(m, dtype=np.float32),
            useful_temperature=1.0,
            idf=lexicon.idf,
            intent_pieces=weight[d:],
            useful_pieces=np.zeros((v, m), dtype=np.float32),
        )

    def fit_useful(self, start: Heads, features: Features, intent: Codes, useful: Floats) -> Heads:
        """Add per-query evidence: cross-entropy of soft labels over known cells, by L-BFGS in double precision.

        With weights W of candidate m = s + a_m, s shared, the penalty ``common·M·|s|² + deviation·Σ|a_m|²`` is smallest
        at ``s = deviation/(common + deviation)·mean(W)``: only W is searched for. The intercepts b are penalised by
        ``common·|b|²``, which tells only where few cells are known or all are alike: they stay finite.
        """
        believed = start.intent_probs(features.embeddings, features.pieces)
        intents = np.where((intent >= 0)[:, None], np.eye(self.n_intents)[intent], believed)
        average = np.clip(intents @ start.table, TABLE_MARGIN, 1 - TABLE_MARGIN)
        offset = np.log(average / (1 - average)).astype(np.float64)
        used = np.flatnonzero(start.idf)
        rows = features.embeddings.astype(np.float64)
        bags = features.pieces[:, used].astype(np.float64)
        columns = bags.T.tocsr()
        known, target = np.isfinite(useful), np.nan_to_num(useful)
        d, m = rows.shape[1], useful.shape[1]
        scale = np.concatenate([np.ones(d), np.full(len(used), self.pieces)])[:, None]
        share = self.deviation / (self.common + self.deviation)

        def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            weights, bias = flat[:-m].reshape(-1, m), flat[-m:]
            logits = rows @ weights[:d] + bags @ weights[d:] + bias + offset
            shared = share * weights.mean(axis=1, keepdims=True)
            apart = weights - shared
            penalty = scale * (self.common * m * shared**2 + self.deviation * (apart**2).sum(axis=1, keepdims=True))
            errors = (known * (np.logaddexp(0, logits) - target * logits)).sum()
            value = errors + penalty.sum() + self.common * bias @ bias
            slope = known * (expit(logits) - target)
            by_weight = np.concatenate([rows.T @ slope, columns @ slope]) + 2 * self.deviation * scale * apart
            by_bias = slope.sum(axis=0) + 2 * self.common * bias
            return float(value) / len(rows), np.concatenate([by_weight.ravel(), by_bias]) / len(rows)

        zero = np.zeros((d + len(used) + 1) * m)
        # Many small products: several BLAS threads would spend their time waiting for each other.
        with threadpool_limits(1, user_api="blas"):
            found = minimize(loss, zero, jac=True, method="L-BFGS-B", options={"maxiter": 200, "gtol": 1e-6}).x
        weights = found[:-m].reshape(-1, m).astype(np.float32)
        pieces = np.zeros((len(start.idf), m), dtype=np.float32)
        pieces[used] = weights[d:]
        bias = found[-m:].astype(np.float32)
        return replace(start, useful_weight=weights[:d], useful_bias=bias, useful_pieces=pieces)


def read(encoder: Encoder, heads: Heads, prompts: Sequence[str]) -> Reading:
    """Return what the heads read in n prompts, by the training path."""
    lexicon = Lexicon(heads.idf)
    features = Features.of(encoder.encode(prompts), encoder.token_ids(prompts), lexicon, heads.structure)
    return heads(features.embeddings, features.pieces)


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
    """

    heads: Heads
    reading: Reading
    intent_useful: Floats
    deviation: float
    decision_area: dict[float, float]
    advantage_error: dict[float, float]
    folds: Codes


def cross_fit(
    lexicon: Lexicon,
    learn: tuple[Features, Codes, Floats],
    calibrate: tuple[Features, Codes, Floats],
    folds: Codes,
    n_intents: int,
    deviations: Sequence[float] = DEVIATIONS,
    progress: Callable[[int, int], None] | None = None,
    output_tokens: Floats | None = None,
    cost_usd: Floats | None = None,
    structure: Structure | None = None,
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

    Raises
    ------
    TraceError
        Where all requests are in one fold.
    """
    features, intent, useful = learn
    names = np.unique(folds)
    if len(names) < 2:
        raise TraceError("all prompts to learn from are the same, or nearly all: there is nothing to tell apart")
    fitted: dict[float, dict[int, Heads]] = {deviation: {} for deviation in deviations}
    probs = {deviation: np.empty(useful.shape) for deviation in deviations}
    cost_usd = np.full(useful.shape, np.nan) if cost_usd is None else cost_usd
    expected_usd = np.empty(useful.shape)
    for done, fold in enumerate(names):
        if progress is not None:
            progress(done, len(names) + 1)
        inside = folds != fold
        part, outside = (features.take(inside), intent[inside], useful[inside]), features.take(~inside)
        start = RequestClassifier(n_intents).fit_intent(lexicon, *part)
        believed = start.intent_probs(outside.embeddings, outside.pieces)
        expected_usd[~inside] = believed @ intent_table(cost_usd[inside], intent[inside], n_intents)
        for deviation in deviations:
            heads = RequestClassifier(n_intents, deviation=deviation).fit_useful(start, *part)
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
    heads = calibrated(RequestClassifier(n_intents, deviation=best).fit(lexicon, *learn).heads_, *calibrate)
    intent_probs, useful_probs = np.empty((len(useful), n_intents)), np.empty(useful.shape)
    intent_useful = np.empty(useful.shape)
    temperatures = {name: getattr(heads, name) for name in ("intent_temperature", "useful_temperature")}
    of_folds = {fold: replace(out_of_fold, **temperatures) for fold, out_of_fold in fitted[best].items()}
    for fold, out_of_fold in of_folds.items():
        at = folds == fold
        part_of = features.take(at)
        reading = out_of_fold(part_of.embeddings, part_of.pieces)
        intent_probs[at], useful_probs[at] = reading.intent_probs, reading.useful_probs
        intent_useful[at] = intent_probs[at] @ out_of_fold.table
    expected_tokens = None
    if output_tokens is not None:
        found = cross_fit_lengths(heads, of_folds, features, intent, output_tokens, folds)
        if found is not None:
            lengths, expected_tokens = found
            heads = replace(heads, lengths=lengths)
    heads = replace(heads, structure=structure)
    if progress is not None:
        progress(len(names) + 1, len(names) + 1)
    reading = Reading(intent_probs, useful_probs, expected_tokens)
    return CrossFit(heads, reading, intent_useful, best, areas, errors, folds)


def advantage_error(probs: Floats, useful: Floats) -> float:
    """Return the mean squared error of each candidate's advantage over the mean of all; what they share cancels.

    Counts where two candidates or more are known; 0 where that is nowhere.
    """
    known = np.isfinite(useful)
    known &= known.sum(axis=1, keepdims=True) > 1
    errors = np.where(known, probs - useful, 0.0)
    shared = errors.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    return float(np.square(errors - shared)[known].mean()) if known.any() else 0.0


def calibrated(heads: Heads, features: Features, intent: Codes, useful: Floats) -> Heads:
    """Return the heads with temperatures fitted on a slice that trained nothing."""
    labelled = intent >= 0
    read = features.embeddings, features.pieces
    if len(heads.intent_bias) > 1 and labelled.any():
        temperature = softmax_temperature(heads.intent_logits(*read)[labelled], intent[labelled])
        heads = replace(heads, intent_temperature=temperature)
    logits = heads.useful_logits(*read, heads.intent_probs(*read))
    return replace(heads, useful_temperature=sigmoid_temperature(logits, useful))
