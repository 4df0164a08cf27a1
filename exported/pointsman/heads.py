"""The trained heads as plain arrays: from what was read of a prompt to calibrated probabilities and expected lengths.

This numpy pass is the definition; the ONNX graph (`pointsman.graph`) is built from the same arrays and tested
against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pointsman.decide import Reading

if TYPE_CHECKING:
    from pointsman.structure import Structure

__all__ = ["Heads", "LengthHead", "Pieces", "softmax"]

Floats = NDArray[np.floating[Any]]
Pieces = Any
"""(n, v) float array, dense or scipy sparse."""

TABLE_MARGIN = 0.02
"""Intent averages are kept this far from 0 and 1 before their log-odds are taken."""


@dataclass(frozen=True, eq=False)
class LengthHead:
    """A linear head for ``ln(1 + tokens)`` of each candidate's answer; it starts from the intent's average.

    Attributes
    ----------
    table : (k, m) float32
        Average logarithm per intent.
    weight, bias : (d, m), (m,) float32
        Per-query evidence; the bias holds the smearing factor's logarithm.
    pieces : (v, m) float32
        What a word piece adds.
    shortest, longest : (m,) float32
        The range of logarithms that was seen: nothing is expected outside of it.
    """

    table: NDArray[np.float32]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    pieces: NDArray[np.float32]
    shortest: NDArray[np.float32]
    longest: NDArray[np.float32]

    def logs(self, embeddings: Floats, pieces: Pieces, intent_probs: Floats) -> Floats:
        """Return ``ln(1 + tokens)``, (n, m), before it is held within the range."""
        return np.asarray(intent_probs @ self.table + embeddings @ self.weight + pieces @ self.pieces + self.bias)

    def tokens(self, logs: Floats) -> Floats:
        """Return tokens, (n, m), of their logarithms."""
        return np.asarray(np.expm1(np.clip(logs, self.shortest, self.longest)))


@dataclass(frozen=True, eq=False)
class Heads:
    """Linear heads on an embedding and a bag of word pieces; usefulness starts from the intent's average.

    The d coordinates of an embedding here are the encoder's and, behind them, the columns of `structure`.

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
    idf : (v,) float32
        Weight of each word piece (`pointsman.lexical.Lexicon`).
    intent_pieces, useful_pieces : (v, k), (v, m) float32
        What a word piece adds to the logits.
    lengths : LengthHead or None
        Of the answers; None where the traces did not tell.
    structure : Structure or None
        Makes the last columns of the embeddings; None where they are the encoder's alone.
    """

    intent_weight: NDArray[np.float32]
    intent_bias: NDArray[np.float32]
    intent_temperature: float
    table: NDArray[np.float32]
    useful_weight: NDArray[np.float32]
    useful_bias: NDArray[np.float32]
    useful_temperature: float
    idf: NDArray[np.float32]
    intent_pieces: NDArray[np.float32]
    useful_pieces: NDArray[np.float32]
    lengths: LengthHead | None = None
    structure: Structure | None = None

    def intent_logits(self, embeddings: Floats, pieces: Pieces) -> Floats:
        """Return uncalibrated intent logits, (n, k), of (n, d) embeddings and (n, v) piece features."""
        return np.asarray(embeddings @ self.intent_weight + pieces @ self.intent_pieces + self.intent_bias)

    def intent_probs(self, embeddings: Floats, pieces: Pieces) -> Floats:
        """Return calibrated intent probabilities, (n, k), rows summing to 1."""
        return softmax(self.intent_logits(embeddings, pieces) / self.intent_temperature)

    def useful_logits(self, embeddings: Floats, pieces: Pieces, intent_probs: Floats) -> Floats:
        """Return uncalibrated log-odds of usefulness, (n, m)."""
        average = np.clip(intent_probs @ self.table, TABLE_MARGIN, 1 - TABLE_MARGIN)
        evidence = embeddings @ self.useful_weight + pieces @ self.useful_pieces + self.useful_bias
        return np.asarray(np.log(average / (1 - average)) + evidence)

    def __call__(self, embeddings: Floats, pieces: Pieces) -> Reading:
        """Return what the heads read in n prompts, calibrated."""
        intent = self.intent_probs(embeddings, pieces)
        logits = self.useful_logits(embeddings, pieces, intent) / self.useful_temperature
        tokens = None
        if self.lengths is not None:
            tokens = self.lengths.tokens(self.lengths.logs(embeddings, pieces, intent))
        return Reading(intent, np.exp(-np.logaddexp(0, -logits)), tokens)  # a sigmoid that cannot overflow


def softmax(logits: Floats) -> Floats:
    """Return the softmax of each row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
