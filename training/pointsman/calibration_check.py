"""Reliability: what was stated against what happened, in bins and per intent; which gaps chance does not explain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, false_discovery_control, norm

__all__ = ["Bin", "IntentCalibration", "by_intent", "reliability_bins"]

Floats = NDArray[np.floating[Any]]

ALARM = 0.05
"""Share of false alarms among the intents called off (Benjamini and Hochberg 1995)."""

LEAST = 20
"""Probabilities of an intent from which on it is judged."""


@dataclass(frozen=True)
class Bin:
    """Requests of about the same stated probability.

    Attributes
    ----------
    stated, observed : float
        Mean probability, and share or mean of what happened.
    low, high : float
        95 % interval of the latter (Wilson).
    count : int
    """

    stated: float
    observed: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class IntentCalibration:
    """What was stated of one intent's requests, and what happened.

    Attributes
    ----------
    intent : str
    count : int
        Probabilities: requests times candidates of which the outcome is known.
    stated, observed : float
        Means.
    p_value : float
        How often chance alone makes a gap as wide; requests count once, however many candidates answered.
    off : bool
        Whether it is called off, with at most 5 % false alarms among all that are.
    """

    intent: str
    count: int
    stated: float
    observed: float
    p_value: float
    off: bool


def reliability_bins(probs: Floats, targets: Floats, count: int = 10) -> list[Bin]:
    """Return up to `count` bins of equal size.

    Parameters
    ----------
    probs, targets : (n,) float array
        Targets in 0..1, none missing.
    """
    if len(probs) == 0:
        return []
    bins = []
    for at in np.array_split(np.argsort(probs, kind="stable"), min(count, len(probs))):
        happened = float(targets[at].sum())
        interval = binomtest(round(happened), len(at)).proportion_ci(0.95, method="wilson")
        bins.append(
            Bin(float(probs[at].mean()), happened / len(at), float(interval.low), float(interval.high), len(at))
        )
    return bins


def by_intent(
    probs: Floats, targets: Floats, intent: NDArray[np.intp], names: tuple[str, ...]
) -> list[IntentCalibration]:
    """Return how P(useful) is calibrated among each intent's requests, the least likely by chance first.

    Parameters
    ----------
    probs, targets : (n, m) float array
        Targets NaN where unknown.
    intent : (n,) int array
        -1 where unknown: such requests are not judged.
    """
    known = np.isfinite(targets)
    gaps = np.where(known, np.nan_to_num(targets) - probs, 0.0).sum(axis=1)  # of one request: its answers are alike
    found = []
    for index, name in enumerate(names):
        at = (intent == index) & known.any(axis=1)
        count = int(known[at].sum())
        if count < LEAST or at.sum() < 2:
            continue
        error = gaps[at].std(ddof=1) * np.sqrt(at.sum())
        score = abs(float(gaps[at].sum())) / max(float(error), 1e-12)
        stated, observed = (float(values[at][known[at]].mean()) for values in (probs, targets))
        found.append((name, count, stated, observed, float(2 * norm.sf(score))))
    if not found:
        return []
    off = false_discovery_control([one[-1] for one in found]) <= ALARM
    judged = [IntentCalibration(*one, bool(called)) for one, called in zip(found, off, strict=True)]
    return sorted(judged, key=lambda one: (one.p_value, one.intent))
