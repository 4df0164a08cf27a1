"""The trained heads as plain arrays: from an embedding to calibrated intent and usefulness probabilities.

This numpy pass is the definition; the ONNX graph (`pointsman.graph`) is built from the same arrays and tested
against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Heads"]

Floats = NDArray[np.floating[Any]]

TABLE_MARGIN = 0.02
"""Intent averages are kept this far from 0 and 1 before their log-odds are taken."""


@dataclass(frozen=True, eq=False)
class Heads:
    """Two linear heads on one embedding; usefulness starts from the intent's average.

    Attributes
    ----------
    intent_weight, intent_bias : (d, k), (k,) float32
    intent_temperature : float
        Logits are divided by it before the softmax.
    table : (k, m) float32
        Average usefulness of each candidate per intent.
    useful_weight, useful_bias : (d, m), (m,) float32
        Per-query evidence: added to the log-odds of the intents' expected average.
    useful_temperature : float
        The log-odds are divided by it before the sigmoid.
    """

    intent_weight: NDArray[np.float32]
    intent_bias: NDArray[np.float32]
    intent_temperature: float
    table: NDArray[np.float32]
    useful_weight: NDArray[np.float32]
    useful_bias: NDArray[np.float32]
    useful_temperature: float

    def intent_logits(self, embeddings: Floats) -> Floats:
        """Return uncalibrated intent logits, (n, k)."""
        return np.asarray(embeddings @ self.intent_weight + self.intent_bias)

    def intent_probs(self, embeddings: Floats) -> Floats:
        """Return calibrated intent probabilities, (n, k), rows summing to 1."""
        return softmax(self.intent_logits(embeddings) / self.intent_temperature)

    def useful_logits(self, embeddings: Floats, intent_probs: Floats) -> Floats:
        """Return uncalibrated log-odds of usefulness, (n, m)."""
        average = np.clip(intent_probs @ self.table, TABLE_MARGIN, 1 - TABLE_MARGIN)
        return np.asarray(np.log(average / (1 - average)) + embeddings @ self.useful_weight + self.useful_bias)

    def __call__(self, embeddings: Floats) -> tuple[Floats, Floats]:
        """Return (intent_probs (n, k), useful_probs (n, m)), calibrated."""
        intent = self.intent_probs(embeddings)
        logits = self.useful_logits(embeddings, intent) / self.useful_temperature
        return intent, np.asarray(0.5 * (1 + np.tanh(logits / 2)))  # the sigmoid, without overflow


def softmax(logits: Floats) -> Floats:
    """Return the softmax of each row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
