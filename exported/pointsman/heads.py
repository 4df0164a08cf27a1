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
    from pointsman.scope_head import ScopeHead
    from pointsman.structure import Structure

__all__ = ["Heads", "LengthHead", "Pieces", "RiskHead", "pooled", "sigmoid", "softmax"]

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
class RiskHead:
    """P(hallucinated) of each candidate's answer: built as usefulness is, from the intent's average on.

    Attributes
    ----------
    table : (k, m) float32
        Share of hallucinated answers per intent.
    weight, bias : (d, m), (m,) float32
        Per-query evidence, added to the log-odds of the intents' expected average.
    pieces : (v, m) float32
    temperature : float
        The log-odds are divided by it before the sigmoid.
    """

    table: NDArray[np.float32]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    pieces: NDArray[np.float32]
    temperature: float = 1.0

    def logits(self, embeddings: Floats, pieces: Pieces, intent_probs: Floats) -> Floats:
        """Return uncalibrated log-odds, (n, m)."""
        evidence = embeddings @ self.weight + pieces @ self.pieces + self.bias
        return np.asarray(log_odds(intent_probs @ self.table) + evidence)

    def __call__(self, embeddings: Floats, pieces: Pieces, intent_probs: Floats) -> Floats:
        """Return P(hallucinated), (n, m), calibrated."""
        return sigmoid(self.logits(embeddings, pieces, intent_probs) / self.temperature)


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
    scope : ScopeHead or None
        Whether a prompt is like those learned from; None where that could not be told.
    hallucination : RiskHead or None
        Of the answers; None where no trace was labelled.
    several : bool
        A prompt may have several intents: each has a probability of its own (a sigmoid), and the probabilities of
        `intent_probs` are expected shares of the prompt.
    families : tuple of tuple of int
        Candidates of one family each, from the least able one on: P(useful) never falls along it (see `pooled`).
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
    scope: ScopeHead | None = None
    hallucination: RiskHead | None = None
    several: bool = False
    families: tuple[tuple[int, ...], ...] = ()

    def intent_logits(self, embeddings: Floats, pieces: Pieces) -> Floats:
        """Return uncalibrated intent logits, (n, k), of (n, d) embeddings and (n, v) piece features."""
        return np.asarray(embeddings @ self.intent_weight + pieces @ self.intent_pieces + self.intent_bias)

    def intent_probs(self, embeddings: Floats, pieces: Pieces) -> Floats:
        """Return calibrated intent probabilities, or expected shares, (n, k), rows summing to 1."""
        logits = self.intent_logits(embeddings, pieces) / self.intent_temperature
        return shares(sigmoid(logits)) if self.several else softmax(logits)

    def useful_logits(self, embeddings: Floats, pieces: Pieces, intent_probs: Floats) -> Floats:
        """Return uncalibrated log-odds of usefulness, (n, m)."""
        evidence = embeddings @ self.useful_weight + pieces @ self.useful_pieces + self.useful_bias
        return np.asarray(log_odds(intent_probs @ self.table) + evidence)

    def useful_probs(self, logits: Floats) -> Floats:
        """Return calibrated P(useful), (n, m), of uncalibrated log-odds; families in order."""
        return pooled(sigmoid(logits / self.useful_temperature), self.families)

    def __call__(self, embeddings: Floats, pieces: Pieces) -> Reading:
        """Return what the heads read in n prompts, calibrated."""
        logits = self.intent_logits(embeddings, pieces)
        labels = sigmoid(logits / self.intent_temperature) if self.several else None
        intent = softmax(logits / self.intent_temperature) if labels is None else shares(labels)
        lengths, risk = self.lengths, self.hallucination
        return Reading(
            intent_probs=intent,
            useful_probs=self.useful_probs(self.useful_logits(embeddings, pieces, intent)),
            output_tokens=None if lengths is None else lengths.tokens(lengths.logs(embeddings, pieces, intent)),
            out_of_scope=None if self.scope is None else self.scope(embeddings, logits),
            hallucination_probs=None if risk is None else risk(embeddings, pieces, intent),
            intent_labels=labels,
        )


def softmax(logits: Floats) -> Floats:
    """Return the softmax of each row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def sigmoid(logits: Floats) -> Floats:
    """Return the sigmoid of each value, without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0, -logits)))


def log_odds(averages: Floats) -> Floats:
    """Return the log-odds of averages, kept off 0 and 1."""
    held = np.clip(averages, TABLE_MARGIN, 1 - TABLE_MARGIN)
    return np.asarray(np.log(held / (1 - held)))


def shares(label_probs: Floats) -> Floats:
    """Return expected shares of the intents, (n, k), rows summing to 1, of the probability of each, (n, k)."""
    held = label_probs + LEAST_SHARE
    return np.asarray(held / held.sum(axis=1, keepdims=True))


LEAST_SHARE = 1e-6
"""Added to each label's probability before shares are taken: where no label is likely, shares are nearly even."""


def pooled(probs: Floats, families: tuple[tuple[int, ...], ...]) -> Floats:
    """Return probabilities, (n, m), that do not fall along any family: the nearest ones in squared distance.

    Isotonic regression by its min-max formula, ``max over j ≤ i of min over l ≥ i of mean(p_j … p_l)`` (Robertson,
    Wright and Dykstra 1988): a few means, minima and maxima, so that a graph of tensor operators has it, too.
    """
    if not families:
        return probs
    out = np.array(probs)
    for family in families:
        size = len(family)
        means = {
            (low, high): probs[:, list(family[low : high + 1])].mean(axis=1)
            for low in range(size)
            for high in range(low, size)
        }
        for at, column in enumerate(family):
            lows = [np.min([means[low, high] for high in range(at, size)], axis=0) for low in range(at + 1)]
            out[:, column] = np.max(lows, axis=0)
    return out
