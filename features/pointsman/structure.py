"""Structural evidence: how long a prompt is and how many numbers it holds, as a few columns beside the embedding.

Mean pooling and unit length hide both from an embedding, and requests that only a dear model gets right are often
longer and hold more numbers. All is computed from piece ids, so the ONNX graph has it from the gather and the sum that
it makes for the word pieces anyhow. What a long prompt holds in its middle is not counted: the encoder reads the
characters that `pointsman.text.Clip` keeps of head and tail, and of those at most 128 pieces.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["COLUMNS", "COUNTS", "FARTHEST", "Structure"]

COUNTS = ("pieces", "numbers", "characters")
"""What is counted of a prompt: its pieces, those with a digit, and all characters."""

COLUMNS = ("ln pieces", "(ln pieces)²", "ln(1 + numbers)", "numbers/pieces", "ln(characters/pieces)")
"""What is made of the counts; each is then centred, scaled and clipped."""

WEIGHT = 0.15
"""Value of a column one standard deviation off: about that of the larger coordinates of an embedding of unit length."""

FARTHEST = 3.0
"""Standard deviations at which a column is clipped: a prompt longer than any that was learned from is a long one."""


@dataclass(frozen=True, eq=False)
class Structure:
    """Counts of pieces as scaled columns.

    Attributes
    ----------
    counted : (v, 3) float32 array
        What each piece adds to the `COUNTS`; 0 for special pieces.
    mean, scale : (5,) float32 array
        The `COLUMNS` become ``clip((x − mean)·scale, ±FARTHEST·WEIGHT)``; the scale is 0 where all prompts were alike.
    """

    counted: NDArray[np.float32]
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]

    @classmethod
    def fit(
        cls, ids: Sequence[Sequence[int]], vocabulary: Mapping[str, int], special: Collection[int] = ()
    ) -> Structure:
        """Read off what each piece adds, and scale the columns by n prompts.

        Parameters
        ----------
        ids : sequence of sequences of int
            Piece ids of n prompts.
        vocabulary : mapping of str to int
            Ids of the v pieces, 0 to v − 1. The marks by which tokenizers glue pieces (``##``, ``▁``, ``Ġ``) are not
            counted.
        special : collection of int
            Ids that stand for no text (sentence marks, padding).
        """
        counted = np.zeros((len(vocabulary), len(COUNTS)), dtype=np.float32)
        for piece, index in vocabulary.items():
            text = piece.removeprefix("##").lstrip("▁Ġ")
            counted[index] = 1, any(map(str.isdigit, text)), len(text)
        counted[list(special)] = 0
        columns = _columns(_sums(counted, ids))
        spread = columns.std(axis=0)
        scale = np.divide(WEIGHT, spread, out=np.zeros_like(spread), where=spread > 1e-6)
        return cls(counted, columns.mean(axis=0).astype(np.float32), scale.astype(np.float32))

    def transform(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Return the columns of n prompts, (n, 5) float32."""
        farthest = FARTHEST * WEIGHT
        scaled = (_columns(_sums(self.counted, ids)) - self.mean) * self.scale
        return np.clip(scaled, -farthest, farthest).astype(np.float32)


def _sums(counted: NDArray[np.float32], ids: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    lengths = np.array([len(row) for row in ids], dtype=np.int64)
    found = counted[np.fromiter(chain.from_iterable(ids), dtype=np.int64, count=int(lengths.sum()))]
    rows = np.repeat(np.arange(len(ids)), lengths)
    return np.stack([np.bincount(rows, weights=one, minlength=len(ids)) for one in found.T], axis=1)


def _columns(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    pieces, numbers, characters = np.maximum(sums, [1, 0, 1]).T
    length = np.log(pieces)
    return np.stack([length, length**2, np.log1p(numbers), numbers / pieces, np.log(characters / pieces)], axis=1)
