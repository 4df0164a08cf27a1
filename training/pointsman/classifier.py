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

from pointsman.averages import as_shares, intent_table, labelled
from pointsman.heads import TABLE_MARGIN, Heads
from pointsman.lexical import Lexicon

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointsman.decide import Reading
    from pointsman.encoders import Encoder
    from pointsman.structure import Structure

__all__ = ["Features", "RequestClassifier", "read"]

Floats = NDArray[np.floating[Any]]
Codes = NDArray[np.intp]
Intents = NDArray[Any]
"""See `pointsman.averages.Intents`."""

NEVER_SEEN = -20.0
"""Log-odds of an intent that was in no training row."""


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

    def fit(
        self, lexicon: Lexicon, features: Features, intent: Intents, useful: Floats, weights: Floats | None = None
    ) -> RequestClassifier:
        """Fit both heads.

        Parameters
        ----------
        lexicon : Lexicon
            That made the features.
        features : Features
            Of n prompts.
        intent : (n,) int array
            -1 where unknown; or where a request may have several, shares (see `pointsman.averages.Intents`).
        useful : (n, m) float array
            In 0..1; NaN where the candidate did not answer.
        weights : (n, m) float array, optional
            Of each answer.
        """
        start = self.fit_intent(lexicon, features, intent, useful, weights)
        self.heads_ = self.fit_useful(start, features, intent, useful, weights)
        return self

    def fit_intent(
        self, lexicon: Lexicon, features: Features, intent: Intents, useful: Floats, weights: Floats | None = None
    ) -> Heads:
        """Return heads with the intent head fitted and no per-query evidence of usefulness yet."""
        d, v, k, m = features.embeddings.shape[1], len(lexicon.idf), self.n_intents, useful.shape[1]
        weight = np.zeros((d + v, k), dtype=np.float32)
        bias = np.full(k, NEVER_SEEN, dtype=np.float32)
        several, told = intent.ndim == 2, labelled(intent)
        present = np.flatnonzero(intent.any(axis=0)) if several else np.unique(intent[told])
        if len(present) < 2:  # nothing to tell apart; without any label every intent is as probable
            bias[present if len(present) else slice(None)] = 0.0
        else:
            known = np.flatnonzero(lexicon.idf)
            rows = sparse.hstack([sparse.csr_array(features.embeddings), features.pieces[:, known]], format="csr")
            if several:
                coefficients, intercepts = self._one_by_one(rows[told], intent[told][:, present] > 0)
            else:
                with threadpool_limits(1, user_api="blas"):
                    model = LogisticRegression(C=self.inverse_penalty, max_iter=300).fit(rows[told], intent[told])
                coefficients, intercepts = model.coef_, model.intercept_
            if len(present) == 2 and not several:  # one row stands for the second class
                coefficients = np.vstack([-coefficients / 2, coefficients / 2])
                intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
            weight[np.ix_(np.concatenate([np.arange(d), d + known]), present)] = coefficients.T
            bias[present] = intercepts
        return Heads(
            intent_weight=weight[:d],
            intent_bias=bias,
            intent_temperature=1.0,
            table=intent_table(useful, intent, k, self.prior_rows, weights),
            useful_weight=np.zeros((d, m), dtype=np.float32),
            useful_bias=np.zeros(m, dtype=np.float32),
            useful_temperature=1.0,
            idf=lexicon.idf,
            intent_pieces=weight[d:],
            useful_pieces=np.zeros((v, m), dtype=np.float32),
            several=several,
        )

    def _one_by_one(self, rows: sparse.csr_array, members: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Return the weights of one logistic regression per intent; an intent that all have, or none, gets none."""
        weights, intercepts = np.zeros((members.shape[1], rows.shape[1])), np.full(members.shape[1], NEVER_SEEN)
        for column, has in enumerate(members.T):
            if has.all():
                intercepts[column] = -NEVER_SEEN
            elif has.any():
                with threadpool_limits(1, user_api="blas"):
                    model = LogisticRegression(C=self.inverse_penalty, max_iter=300).fit(rows, has)
                weights[column], intercepts[column] = model.coef_[0], model.intercept_[0]
        return weights, intercepts

    def fit_useful(
        self, start: Heads, features: Features, intent: Intents, useful: Floats, weights: Floats | None = None
    ) -> Heads:
        """Add per-query evidence: cross-entropy of soft labels over known cells, by L-BFGS in double precision.

        With weights W of candidate m = s + a_m, s shared, the penalty ``common·M·|s|² + deviation·Σ|a_m|²`` is smallest
        at ``s = deviation/(common + deviation)·mean(W)``: only W is searched for. The intercepts b are penalised by
        ``common·|b|²``, which tells only where few cells are known or all are alike: they stay finite.
        """
        believed = start.intent_probs(features.embeddings, features.pieces)
        intents = np.where(labelled(intent)[:, None], as_shares(intent, self.n_intents), believed)
        average = np.clip(intents @ start.table, TABLE_MARGIN, 1 - TABLE_MARGIN)
        offset = np.log(average / (1 - average)).astype(np.float64)
        used = np.flatnonzero(start.idf)
        rows = features.embeddings.astype(np.float64)
        bags = features.pieces[:, used].astype(np.float64)
        columns = bags.T.tocsr()
        known: NDArray[Any] = np.isfinite(useful)
        known, target = known if weights is None else known * weights, np.nan_to_num(useful)
        d, m = rows.shape[1], useful.shape[1]
        scale = np.concatenate([np.ones(d), np.full(len(used), self.pieces)])[:, None]
        share = self.deviation / (self.common + self.deviation)

        def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            slopes, bias = flat[:-m].reshape(-1, m), flat[-m:]
            logits = rows @ slopes[:d] + bags @ slopes[d:] + bias + offset
            shared = share * slopes.mean(axis=1, keepdims=True)
            apart = slopes - shared
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
        learned = found[:-m].reshape(-1, m).astype(np.float32)
        pieces = np.zeros((len(start.idf), m), dtype=np.float32)
        pieces[used] = learned[d:]
        bias = found[-m:].astype(np.float32)
        return replace(start, useful_weight=learned[:d], useful_bias=bias, useful_pieces=pieces)


def read(encoder: Encoder, heads: Heads, prompts: Sequence[str]) -> Reading:
    """Return what the heads read in n prompts, by the training path."""
    lexicon = Lexicon(heads.idf)
    features = Features.of(encoder.encode(prompts), encoder.token_ids(prompts), lexicon, heads.structure)
    return heads(features.embeddings, features.pieces)
