"""Lexical evidence: which word pieces a prompt holds, weighted by how rare they are.

A sentence embedding blurs wording; the exact pieces (a format, a product, a verb) often tell an intent better. The
features are those of a bag of word pieces, computable inside the ONNX graph by one gather and one sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

__all__ = ["Lexicon"]


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Inverse document frequencies of word pieces.

    A prompt with pieces t₁…t_s becomes ``Σ idf(tᵢ)·e(tᵢ) / sqrt(Σ idf(tᵢ)²)`` (Sparck Jones 1972; repeated pieces count
    again), the zero vector where no piece is known.

    Attributes
    ----------
    idf : (v,) float32 array
        By piece id; 0 for special, unseen and rare pieces, which add nothing.
    """

    idf: NDArray[np.float32]

    @classmethod
    def fit(cls, ids: Sequence[Sequence[int]], size: int, special: Collection[int] = (), min_count: int = 2) -> Lexicon:
        """Count in how many prompts each piece occurs.

        Parameters
        ----------
        ids : sequence of sequences of int
            Piece ids of n prompts.
        size : int
            Of the vocabulary, v.
        special : collection of int
            Ids that carry no meaning (sentence marks, padding).
        min_count : int
            Pieces in fewer prompts are left out.
        """
        counts = np.zeros(size, dtype=np.int64)
        for row in ids:
            counts[np.unique(np.asarray(row, dtype=np.int64))] += 1
        counts[list(special)] = 0
        idf = np.log((1 + len(ids)) / (1 + counts)) + 1
        return cls(np.where(counts >= min_count, idf, 0.0).astype(np.float32))

    def transform(self, ids: Sequence[Sequence[int]]) -> sparse.csr_array:
        """Return the features of n prompts, (n, v) float32."""
        lengths = np.array([len(row) for row in ids], dtype=np.int64)
        pieces = np.fromiter(chain.from_iterable(ids), dtype=np.int64, count=int(lengths.sum()))
        weight = self.idf[pieces]
        rows = np.repeat(np.arange(len(ids)), lengths)
        norm = np.sqrt(np.bincount(rows, weights=np.square(weight, dtype=np.float64), minlength=len(ids)))
        scaled = weight / np.maximum(norm[rows], 1e-12).astype(np.float32)
        kept = weight > 0
        entries = (scaled[kept].astype(np.float32), (rows[kept], pieces[kept]))
        return sparse.csr_array(entries, shape=(len(ids), len(self.idf)))
