"""Outcomes estimated from logs: what every candidate would have done, where only the served one's answer is known.

The doubly robust score of a request and a candidate has the right mean whether or not the candidate served it. So the
search, the certificate and the report may go on as if every outcome were known, as long as they use means only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.offpolicy import FLOOR, doubly_robust_table, late_table, out_of_fold_means
from pointsman.outcomes import Outcomes
from pointsman.propensity import Propensities, hash_folds, propensities_of, served_columns
from pointsman.replay import Served
from pointsman.scores import sample_of, score_bounds
from pointsman.support import support_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pointsman.decide import Beliefs, Reading

__all__ = ["as_logged", "doubts", "estimated_outcomes", "from_logs", "production", "surely_best", "usable"]


def usable(outcomes: Outcomes) -> NDArray[np.bool_]:
    """Return, (n,), which requests have the outcome of every candidate, or of the one that served them."""
    served = served_columns(outcomes)
    answered = outcomes.answered[np.arange(len(outcomes)), np.maximum(served, 0)]
    return np.asarray(outcomes.complete | ((served >= 0) & answered))


def from_logs(outcomes: Outcomes) -> bool:
    """Return whether outcomes must be estimated: fewer than half of the usable requests have every outcome."""
    return bool(outcomes.complete.sum() * 2 < usable(outcomes).sum())


def production(outcomes: Outcomes, reading: Reading) -> Propensities:
    """Return with which probability production chose; estimated where unsaid.

    From what was read in the prompt, its label and its length: what production looked at is not known, and whatever it
    shares with the outcomes must be among them.
    """
    length = np.log1p([len(prompt) for prompt in outcomes.prompt])
    labelled = (outcomes.intent[:, None] == np.unique(outcomes.intent.astype(np.str_))).astype(np.float64)
    features = np.column_stack([np.asarray(reading.intent_probs, dtype=np.float64), labelled, length])
    return propensities_of(outcomes, features, hash_folds(outcomes))


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
        The kept requests with ``late`` and ``importance`` filled, in the candidates' order; `latency_ms` is an average
        where unknown, and no answer counts as failed: what a fallback would have done is not in the logs.
    """
    models = {"useful": beliefs.query_useful.T.astype(np.float64), "cost_usd": beliefs.cost_usd.T.astype(np.float64)}
    if late_limit_ms is not None:
        models["late"] = beliefs.late.T.astype(np.float64)
    if np.isfinite(outcomes.hallucinated).any():
        folds = hash_folds(outcomes)
        models["hallucinated"] = out_of_fold_means(outcomes.hallucinated, beliefs.intent, folds, len(beliefs.intents))
    scores = doubly_robust_table(outcomes, propensities, models, late_limit_ms)
    late = scores.pop("late", np.zeros_like(outcomes.latency_ms))
    known = np.isfinite(outcomes.latency_ms)
    overall = float(outcomes.latency_ms[known].mean()) if known.any() else 0.0
    usual = np.nansum(outcomes.latency_ms, axis=0) / np.maximum(known.sum(axis=0), 1)
    latency = np.where(known, outcomes.latency_ms, np.where(known.any(axis=0), usual, overall))
    failure = np.full(outcomes.failure.shape, "", dtype=object)
    kept = np.isfinite(scores["useful"]).all(axis=1) & np.isfinite(scores["cost_usd"]).all(axis=1)
    kept &= np.isfinite(late).all(axis=1)
    importance = np.zeros(late.shape)
    rows = np.flatnonzero(propensities.logged >= 0)
    columns = propensities.logged[rows]
    importance[rows, columns] = 1 / np.maximum(propensities.probability[rows], FLOOR)
    importance[outcomes.complete] = 1.0
    parts: dict[str, Any] = {
        **vars(outcomes),
        **scores,
        "latency_ms": latency,
        "late": late,
        "failure": failure,
        "importance": importance,
    }
    return Outcomes(**parts).take(kept), np.asarray(kept)


def as_logged(outcomes: Outcomes, propensities: Propensities, late_limit_ms: float | None) -> Served:
    """Return what production itself got, as measured; `late` is told, as it is of estimated outcomes."""
    served = replace(Served.by(outcomes, propensities.logged), importance=np.ones(len(outcomes)))
    if late_limit_ms is None:
        return replace(served, late=np.zeros(len(outcomes)))
    rows = np.arange(len(outcomes))
    return replace(served, late=late_table(outcomes, late_limit_ms)[rows, propensities.logged])


def surely_best(outcomes: Outcomes, confidence: float) -> str:
    """Return the candidate with the highest usefulness that estimated outcomes prove with a one-sided confidence.

    The highest estimate would be that of a candidate about which little is known.
    """
    if outcomes.importance is None:
        return outcomes.models[int(outcomes.useful.mean(axis=0).argmax())]
    columns = zip(outcomes.useful.T, outcomes.importance.T, strict=True)
    proven = [score_bounds(useful, sample_of(weight), confidence, (0.0, 1.0))[0] for useful, weight in columns]
    return outcomes.models[int(np.argmax(proven))]


def doubts(
    outcomes: Outcomes,
    beliefs: Beliefs,
    propensities: Propensities,
    choices: Sequence[NDArray[np.intp]],
    before: NDArray[np.intp] | None,
    before_name: str,
) -> list[str | None]:
    """Return why the logs cannot tell what each of some policies does, or the one before; None where they can.

    Outcomes have no say in it (see `pointsman.support`), so that certificates may leave out what cannot be told.

    Parameters
    ----------
    outcomes : Outcomes
        n requests.
    beliefs : Beliefs
    propensities : Propensities
    choices : sequence of (n,) intp array
    before : (n,) intp array or None
        None where production itself is compared with.
    before_name : str
    """
    intents = np.array([beliefs.intents[code] for code in beliefs.intent], dtype=object)
    old = () if before is None else support_of(outcomes, before, propensities, intents).reasons
    found: list[str | None] = []
    for chosen in choices:
        reasons = [*support_of(outcomes, chosen, propensities, intents).reasons, *(f"{before_name}: {w}" for w in old)]
        found.append(reasons[0] if reasons else None)
    return found
