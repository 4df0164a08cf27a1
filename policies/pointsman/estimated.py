"""Outcomes estimated from logs: what every candidate would have done, where only the served one's answer is known.

The doubly robust score of a request and a candidate has the right mean whether or not the candidate served it. So the
search, the certificate and the report may go on as if every outcome were known, as long as they use means only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pointsman.offpolicy import doubly_robust_table, late_table, out_of_fold_means
from pointsman.outcomes import Outcomes, request_hashes
from pointsman.propensity import Propensities, propensities_of, served_columns
from pointsman.replay import Served

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pointsman.decide import Beliefs, Reading

__all__ = ["as_logged", "estimated_outcomes", "from_logs", "production", "usable"]

FOLDS = 5


def usable(outcomes: Outcomes) -> NDArray[np.bool_]:
    """Return, (n,), which requests have the outcome of every candidate, or of the one that served them."""
    served = served_columns(outcomes)
    answered = outcomes.answered[np.arange(len(outcomes)), np.maximum(served, 0)]
    return np.asarray(outcomes.complete | ((served >= 0) & answered))


def from_logs(outcomes: Outcomes) -> bool:
    """Return whether outcomes must be estimated: fewer than half of the usable requests have every outcome."""
    return bool(outcomes.complete.sum() * 2 < usable(outcomes).sum())


def production(outcomes: Outcomes, reading: Reading) -> Propensities:
    """Return with which probability production chose; estimated from what was read in the prompt where unsaid."""
    length = np.log1p([len(prompt) for prompt in outcomes.prompt])
    features = np.column_stack([np.asarray(reading.intent_probs, dtype=np.float64), length])
    return propensities_of(outcomes, features, (request_hashes(outcomes) % FOLDS).astype(np.intp))


def estimated_outcomes(
    outcomes: Outcomes, beliefs: Beliefs, propensities: Propensities, late_limit_ms: float | None
) -> tuple[Outcomes, NDArray[np.bool_]]:
    """Return doubly robust scores in the place of outcomes, and of which requests there are any.

    Parameters
    ----------
    outcomes : Outcomes
        n requests; where every outcome of one is known, its scores are those.
    beliefs : Beliefs
        Of the same requests, by a classifier that never saw them: the outcome models.
    propensities : Propensities
    late_limit_ms : float or None

    Returns
    -------
    Outcomes, (n,) bool array
        The kept requests with ``late`` filled, in the candidates' order; `latency_ms` is an average where unknown, and
        no answer counts as failed: what a fallback would have done is not in the logs.
    """
    models = {"useful": beliefs.query_useful.T.astype(np.float64), "cost_usd": beliefs.cost_usd.T.astype(np.float64)}
    if late_limit_ms is not None:
        models["late"] = beliefs.late.T.astype(np.float64)
    if np.isfinite(outcomes.hallucinated).any():
        folds = (request_hashes(outcomes) % FOLDS).astype(np.intp)
        models["hallucinated"] = out_of_fold_means(outcomes.hallucinated, beliefs.intent, folds, len(beliefs.intents))
    scores = doubly_robust_table(outcomes, propensities, models, late_limit_ms)
    late = scores.pop("late", np.zeros_like(outcomes.latency_ms))
    usual = np.nan_to_num(np.nanmean(outcomes.latency_ms, axis=0), nan=float(np.nanmean(outcomes.latency_ms)))
    latency = np.where(np.isfinite(outcomes.latency_ms), outcomes.latency_ms, usual)
    failure = np.full(outcomes.failure.shape, "", dtype=object)
    kept = np.isfinite(scores["useful"]).all(axis=1) & np.isfinite(scores["cost_usd"]).all(axis=1)
    kept &= np.isfinite(late).all(axis=1)
    found = replace(outcomes, **scores, latency_ms=latency, late=late, failure=failure)
    return found.take(kept), kept


def as_logged(outcomes: Outcomes, propensities: Propensities, late_limit_ms: float | None) -> Served:
    """Return what production itself got, as measured; `late` is told, as it is of estimated outcomes."""
    served = Served.by(outcomes, propensities.logged)
    if late_limit_ms is None:
        return replace(served, late=np.zeros(len(outcomes)))
    rows = np.arange(len(outcomes))
    return replace(served, late=late_table(outcomes, late_limit_ms)[rows, propensities.logged])
