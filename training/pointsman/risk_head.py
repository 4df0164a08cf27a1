"""P(hallucinated | candidate): learned as usefulness is, from the answers that were labelled."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pointsman.averages import intent_table
from pointsman.calibration import sigmoid_temperature
from pointsman.heads import RiskHead

if TYPE_CHECKING:
    from pointsman.classifier import Features
    from pointsman.heads import Heads

__all__ = ["LEAST", "fit_risk"]

Floats = NDArray[np.floating[Any]]

LEAST = 10
"""Answers of either kind that a head is learned from, at least."""

PENALTIES = {"common": 3.0, "deviation": 10.0, "pieces": 30.0}
"""Careful ones: few answers are hallucinated, and the candidates' risks are alike."""


def fit_risk(
    start: Heads,
    features: Features,
    intent: NDArray[Any],
    hallucinated: tuple[Floats, Floats | None],
    calibrate: Features,
    calibrate_on: Floats | None,
) -> RiskHead | None:
    """Return the head; None where fewer than ten answers are labelled hallucinated, or fewer than ten not.

    Parameters
    ----------
    start : Heads
        Fitted on all n requests, calibrated.
    features : Features
        Of n requests.
    intent
        See `pointsman.averages.Intents`.
    hallucinated : tuple of (n, m) float array
        0 or 1, NaN where unknown; and the weight of each, or None.
    calibrate : Features
        Of requests that trained nothing.
    calibrate_on : (c, m) float array or None
        Whether their answers were hallucinated, NaN where unknown.
    """
    from pointsman.classifier import RequestClassifier

    values, weights = hallucinated
    if min((values >= 0.5).sum(), (values < 0.5).sum()) < LEAST:
        return None
    k = len(start.intent_bias)
    blank = replace(start, table=intent_table(values, intent, k, weights=weights))
    fitted = RequestClassifier(k, **PENALTIES).fit_useful(blank, features, intent, values, weights)
    head = RiskHead(fitted.table, fitted.useful_weight, fitted.useful_bias, fitted.useful_pieces)
    if calibrate_on is None or not np.isfinite(calibrate_on).any():
        return head
    read = calibrate.embeddings, calibrate.pieces
    return replace(head, temperature=sigmoid_temperature(head.logits(*read, start.intent_probs(*read)), calibrate_on))
