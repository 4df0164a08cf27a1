"""How good the classifier is on requests it never saw: accuracy, ranking and calibration, with intervals."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from pointsman.calibration import expected_calibration_error
from pointsman.calibration_check import by_intent, reliability_bins
from pointsman.labels import needed_compute, out_of_scope
from pointsman.text import same_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from pointsman.labels import IntentLabels
    from pointsman.outcomes import Outcomes

__all__ = ["evaluate", "recall_at_false_alarms"]

Floats = NDArray[np.floating[Any]]

RESAMPLES = 300


def evaluate(
    outcomes: Outcomes,
    intent_probs: Floats,
    useful_probs: Floats,
    labels: IntentLabels,
    seed: int = 0,
    *,
    scope: Floats | None = None,
    risk: Floats | None = None,
    seen: Collection[str] = (),
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
    scope : (n, 1) float array, optional
        How far out of scope each request is said to be.
    risk : (n, m) float array, optional
        P(hallucinated).
    seen : collection of str
        Prompts that were learned from (`pointsman.text.same_text`): requests that repeat one are not judged, where at
        least half of the requests do not.

    Returns
    -------
    dict
        ``intent``: accuracy with its 95 % Wilson interval, majority share, expected calibration error; None where fewer
        than two intents are known. ``useful``: by candidate AUC (of a usefulness of at least 0.5; None where all
        outcomes are alike), Brier score and calibration error, each ``[value, low, high]`` with a 95 % bootstrap
        interval, widened to hold the value where resampling shifts it (as it does a calibration error, which noise can
        only increase). ``needed_compute``: share of the requests with every outcome known, by the cheapest candidate
        that was useful, ``none`` where none was; empty where there are no such requests. ``repeated``: requests whose
        prompt was learned from, and whether they were judged. ``out_of_scope``: AUROC and recall at 5 % false alarms
        where such requests are labelled, else None. ``hallucination``: as ``useful``, None where nothing is labelled.
        ``reliability``: bins of `pointsman.calibration_check`; ``by_intent``: P(useful) among each intent's requests.
    """
    new = np.array([same_text(prompt) not in seen for prompt in outcomes.prompt], dtype=np.bool_)
    repeated, left_out = int((~new).sum()), bool(len(new) and not new.all() and new.mean() >= 0.5)
    if left_out:
        outcomes, intent_probs, useful_probs = outcomes.take(new), intent_probs[new], useful_probs[new]
        scope, risk = (None if part is None else part[new] for part in (scope, risk))
    generator = np.random.default_rng(seed)
    useful = _candidates(outcomes.models, useful_probs, outcomes.useful, generator)
    hallucination = None
    if risk is not None and np.isfinite(outcomes.hallucinated).any():
        hallucination = _candidates(outcomes.models, risk, outcomes.hallucinated, generator)
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
        "repeated": {"requests": repeated, "judged": not left_out},
        "out_of_scope": None if scope is None else _scope(scope[:, 0], out_of_scope(outcomes.intent), generator),
        "hallucination": hallucination,
        "reliability": _reliability(outcomes, intent_probs, useful_probs, labels),
        "by_intent": [
            asdict(one) for one in by_intent(useful_probs, outcomes.useful, labels.code(outcomes.intent), labels.names)
        ],
    }


def _candidates(
    models: Sequence[str], probs: Floats, wanted: Floats, generator: np.random.Generator
) -> dict[str, dict[str, Any]]:
    """Return AUC, Brier score and calibration error of each candidate, with intervals."""
    found = {}
    for column, model in enumerate(models):
        known = np.isfinite(wanted[:, column])
        stated, happened = probs[known, column].astype(np.float64), wanted[known, column]
        resamples = generator.integers(0, max(len(happened), 1), size=(RESAMPLES, len(happened)))
        found[model] = {
            "auc": _interval(_auc, stated, happened, resamples),
            "brier": _interval(_brier, stated, happened, resamples),
            "calibration_error": _interval(expected_calibration_error, stated, happened, resamples),
        }
    return found


def _scope(scores: Floats, outside: NDArray[np.bool_], generator: np.random.Generator) -> dict[str, Any] | None:
    """Return how well requests labelled out of scope are told; None where there are none, or no others."""
    if not outside.any() or outside.all():
        return None
    resamples = generator.integers(0, len(scores), size=(RESAMPLES, len(scores)))
    truth, values = outside.astype(np.float64), scores.astype(np.float64)
    return {
        "auroc": _interval(_auc, values, truth, resamples),
        "recall_at_5_percent": _interval(recall_at_false_alarms, values, truth, resamples),
        "false_alarms_above_95": float((values[~outside] > 0.95).mean()),
        "requests": int(outside.sum()),
    }


def recall_at_false_alarms(scores: Floats, outside: Floats, rate: float = 0.05) -> float | None:
    """Return the share of requests out of scope that score higher than all but `rate` of the others; None without any.

    Parameters
    ----------
    scores, outside : (n,) float array
        The latter 1 for requests out of scope, 0 for others.
    rate : float
    """
    is_outside = outside >= 0.5
    if is_outside.all() or not is_outside.any():
        return None
    return float((scores[is_outside] > np.quantile(scores[~is_outside], 1 - rate, method="higher")).mean())


def _reliability(
    outcomes: Outcomes, intent_probs: Floats, useful_probs: Floats, labels: IntentLabels
) -> list[dict[str, Any]]:
    found = []
    codes = labels.code(outcomes.intent)
    known = codes >= 0
    if len(labels.names) > 1 and known.any():
        right = (intent_probs[known].argmax(axis=1) == codes[known]).astype(np.float64)
        found.append(("the believed intent is right", intent_probs[known].max(axis=1).astype(np.float64), right))
    for column, model in enumerate(outcomes.models):
        told = np.isfinite(outcomes.useful[:, column])
        found.append((f"useful: {model}", useful_probs[told, column].astype(np.float64), outcomes.useful[told, column]))
    return [{"of": name, "bins": [asdict(one) for one in reliability_bins(*parts)]} for name, *parts in found]


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
