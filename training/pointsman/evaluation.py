"""How good the classifier is on requests it never saw: accuracy, ranking and calibration, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from pointsman.calibration import expected_calibration_error
from pointsman.labels import needed_compute

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.labels import IntentLabels
    from pointsman.outcomes import Outcomes

__all__ = ["evaluate"]

Floats = NDArray[np.floating[Any]]

RESAMPLES = 300


def evaluate(
    outcomes: Outcomes, intent_probs: Floats, useful_probs: Floats, labels: IntentLabels, seed: int = 0
) -> dict[str, Any]:
    """Evaluate calibrated probabilities against what happened.

    Parameters
    ----------
    outcomes : Outcomes
        n requests, candidates in the order of `useful_probs`; a candidate is judged where its usefulness is known.
    intent_probs, useful_probs : (n, k), (n, m) float array
    labels : IntentLabels
        The intents as learned.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        ``intent``: accuracy with its 95 % Wilson interval, majority share, expected calibration error; None where fewer
        than two intents are known. ``useful``: by candidate AUC (of a usefulness of at least 0.5; None where all
        outcomes are alike), Brier score and calibration error, each ``[value, low, high]`` with a 95 % bootstrap
        interval, widened to hold the value where resampling shifts it (as it does a calibration error, which noise can
        only increase). ``needed_compute``: share of the requests with every outcome known, by the cheapest candidate
        that was useful, ``none`` where none was; empty where there are no such requests.
    """
    generator, useful = np.random.default_rng(seed), {}
    for column, model in enumerate(outcomes.models):
        known = np.isfinite(outcomes.useful[:, column])
        probs, wanted = useful_probs[known, column].astype(np.float64), outcomes.useful[known, column]
        resamples = generator.integers(0, max(len(wanted), 1), size=(RESAMPLES, len(wanted)))
        useful[model] = {
            "auc": _interval(_auc, probs, wanted, resamples),
            "brier": _interval(_brier, probs, wanted, resamples),
            "calibration_error": _interval(expected_calibration_error, probs, wanted, resamples),
        }
    complete = outcomes.complete
    needed = needed_compute(outcomes.useful[complete], outcomes.cost_usd[complete])
    shares: dict[str, float] = {}
    if len(needed):
        shares = {model: float((needed == column).mean()) for column, model in enumerate(outcomes.models)}
        shares["none"] = float((needed < 0).mean())
    return {
        "requests": len(outcomes),
        "intent": _intent(outcomes, intent_probs, labels),
        "useful": useful,
        "needed_compute": shares,
    }


def _intent(outcomes: Outcomes, intent_probs: Floats, labels: IntentLabels) -> dict[str, Any] | None:
    codes = labels.code(outcomes.intent)
    known = codes >= 0
    if len(labels.names) < 2 or not known.any():
        return None
    right = intent_probs[known].argmax(axis=1) == codes[known]
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(0.95, method="wilson")
    confidence = intent_probs[known].max(axis=1)
    return {
        "accuracy": [float(right.mean()), float(interval.low), float(interval.high)],
        "majority": float(np.bincount(codes[known]).max() / known.sum()),
        "calibration_error": expected_calibration_error(confidence, right.astype(np.float64)),
        "intents": len(labels.names),
    }


def _auc(probs: Floats, wanted: Floats) -> float | None:
    positive = wanted >= 0.5
    return None if positive.all() or not positive.any() else float(roc_auc_score(positive, probs))


def _brier(probs: Floats, wanted: Floats) -> float:
    return float(np.mean((probs - wanted) ** 2))


def _interval(
    measure: Callable[[Floats, Floats], float | None], probs: Floats, wanted: Floats, resamples: NDArray[np.int64]
) -> list[float] | None:
    """Return [value, low, high]; None where nothing is known, or there is no such value."""
    value = measure(probs, wanted) if len(wanted) else None
    if value is None:
        return None
    drawn = [found for at in resamples if (found := measure(probs[at], wanted[at])) is not None]
    low, high = np.quantile([*drawn, value], [0.025, 0.975])
    return [value, min(float(low), value), max(float(high), value)]
