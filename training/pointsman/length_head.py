"""The third head: how long each candidate's answer is expected to be, by ridge regression of its logarithm.

Squared errors of ``ln(1 + tokens)`` around the intent's average; a smearing factor per candidate (Duan 1983) makes an
expected number of tokens of it, for which the exponential of a mean logarithm would be too small.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pointsman.averages import as_shares, intent_table, labelled
from pointsman.heads import LengthHead

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scipy import sparse

    from pointsman.classifier import Features
    from pointsman.heads import Heads

__all__ = ["PENALTIES", "cross_fit_lengths", "fit_length_head"]

Floats = NDArray[np.floating[Any]]
Codes = NDArray[np.intp]

PENALTIES = (300.0, 100.0, 30.0, 10.0, 3.0)
"""L2 penalties tried, from strong to weak: each solution is a good start for the next."""

PIECES = 3.0
"""How much more the weights of word pieces are penalised than those of the embedding."""


def fit_length_head(
    start: Heads, features: Features, intent: Codes, output_tokens: Floats, penalties: Sequence[float] = PENALTIES
) -> list[LengthHead]:
    """Fit one head per penalty; none of them is smeared yet.

    Parameters
    ----------
    start : Heads
        Whose intents are believed where the label is unknown.
    features : Features
        Of n prompts.
    intent : (n,) int array
        -1 where unknown.
    output_tokens : (n, m) float array
        NaN where unknown.
    penalties : sequence of float
    """
    believed = start.intent_probs(features.embeddings, features.pieces)
    k, m = len(start.intent_bias), output_tokens.shape[1]
    intents = np.where(labelled(intent)[:, None], as_shares(intent, k), believed)
    logs = np.log1p(output_tokens)
    table = intent_table(logs, intent, k)
    known = np.isfinite(logs)
    missing = np.where(known, np.nan_to_num(logs) - intents @ table, 0.0)
    used = np.flatnonzero(start.idf)
    d = features.embeddings.shape[1]
    dense = np.column_stack([features.embeddings, np.ones(len(intent))]).astype(np.float64)
    bags = features.pieces[:, used].astype(np.float64) / np.sqrt(PIECES)
    least, most = np.nanmin(logs), np.nanmax(logs)
    shortest = np.where(known, logs, np.inf).min(axis=0, initial=np.inf)
    longest = np.where(known, logs, -np.inf).max(axis=0, initial=-np.inf)
    weights = np.zeros((d + 1 + len(used), m))
    heads = []
    # Many small products: several BLAS threads would spend their time waiting for each other.
    with threadpool_limits(1, user_api="blas"):
        for penalty in penalties:
            weights = _ridge(dense, bags, missing, known, penalty, weights)
            pieces = np.zeros((len(start.idf), m), dtype=np.float32)
            pieces[used] = weights[d + 1 :] / np.sqrt(PIECES)
            head = LengthHead(
                table=table,
                weight=weights[:d].astype(np.float32),
                bias=weights[d].astype(np.float32),
                pieces=pieces,
                shortest=np.where(np.isfinite(shortest), shortest, least).astype(np.float32),
                longest=np.where(np.isfinite(longest), longest, most).astype(np.float32),
            )
            heads.append(head)
    return heads


def cross_fit_lengths(
    heads: Heads,
    of_folds: Mapping[int, Heads],
    features: Features,
    intent: Codes,
    output_tokens: Floats,
    folds: Codes,
    penalties: Sequence[float] = PENALTIES,
) -> tuple[LengthHead, Floats] | None:
    """Return the head and the lengths that heads which never saw a request expect of its answers, (n, m) tokens.

    None where there is nothing to learn: too few lengths are known, or each candidate's are all the same.

    Parameters
    ----------
    heads : Heads
        Fitted on all n requests, calibrated.
    of_folds : mapping of int to Heads
        By fold, fitted on the others, calibrated.
    features, intent, output_tokens
        See `fit_length_head`.
    folds : (n,) int array
    penalties : sequence of float
        To choose from, out of fold.
    """
    known = np.isfinite(output_tokens)
    if any(not known[folds != fold].any() for fold in of_folds) or not _varies(output_tokens):
        return None
    logs = np.empty((len(penalties), *output_tokens.shape))
    for fold, start in of_folds.items():
        inside = folds != fold
        outside = features.take(~inside)
        believed = start.intent_probs(outside.embeddings, outside.pieces)
        tried = fit_length_head(start, features.take(inside), intent[inside], output_tokens[inside], penalties)
        for at, head in enumerate(tried):
            logs[at, ~inside] = head.logs(outside.embeddings, outside.pieces, believed)
    errors = np.where(known, np.log1p(output_tokens) - logs, 0.0)
    best = int(np.square(errors).sum(axis=(1, 2)).argmin())
    count = known.sum(axis=0)
    smearing = np.where(known, np.exp(errors[best]), 0.0).sum(axis=0) / np.maximum(count, 1)
    shift = np.log(np.where(count > 0, smearing, 1.0))
    head = fit_length_head(heads, features, intent, output_tokens, penalties[: best + 1])[-1]
    head = replace(head, bias=(head.bias + shift).astype(np.float32))
    return head, head.tokens(logs[best] + shift)


def _varies(output_tokens: Floats) -> bool:
    known = np.isfinite(output_tokens)
    lowest = np.where(known, output_tokens, np.inf).min(axis=0)
    return bool((np.where(known, output_tokens, -np.inf).max(axis=0) > lowest).any())


def _ridge(
    dense: Floats, bags: sparse.csr_array, target: Floats, known: NDArray[np.bool_], penalty: float, start: Floats
) -> Floats:
    """Solve the m ridge regressions over known cells together, by conjugate gradients (Hestenes and Stiefel 1952)."""
    d, columns = dense.shape[1], bags.T.tocsr()

    def back(values: Floats) -> Floats:
        return np.concatenate([dense.T @ values, columns @ values])

    def curvature(weights: Floats) -> Floats:
        return np.asarray(back(known * (dense @ weights[:d] + bags @ weights[d:])) + penalty * weights)

    goal = back(target)
    weights, rest = start.copy(), goal - curvature(start)
    direction, size = rest.copy(), np.square(rest).sum(axis=0)
    enough = 1e-6 * np.square(goal).sum(axis=0)
    for _ in range(200):
        if (size <= enough).all():
            break
        ahead = curvature(direction)
        step = size / np.maximum((direction * ahead).sum(axis=0), 1e-300)
        weights += step * direction
        rest -= step * ahead
        before, size = size, np.square(rest).sum(axis=0)
        direction = rest + size / np.maximum(before, 1e-300) * direction
    return weights
