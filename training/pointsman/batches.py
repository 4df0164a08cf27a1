"""Batches of token ids of like length, so that little is spent on padding; the same order for the same seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["Padded", "by_length", "padded", "shuffled"]

POOL = 20
"""Batches that are sorted by length together: within such a pool the order of requests is not random."""


@dataclass(frozen=True, eq=False)
class Padded:
    """Token ids of a batch.

    Attributes
    ----------
    at : (n,) intp array
        Positions of the prompts.
    ids, mask : (n, tokens) int64 tensor
    """

    at: NDArray[np.intp]
    ids: torch.Tensor
    mask: torch.Tensor


def padded(rows: Sequence[Sequence[int]], at: NDArray[np.intp], pad: int) -> Padded:
    """Return the rows at `at`, padded to the longest."""
    chosen = [rows[index] for index in at.tolist()]
    ids = np.full((len(chosen), max(map(len, chosen))), pad, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, one in enumerate(chosen):
        ids[row, : len(one)] = one
        mask[row, : len(one)] = 1
    return Padded(at, torch.from_numpy(ids), torch.from_numpy(mask))


def by_length(lengths: NDArray[np.int64], tokens: int) -> Iterator[NDArray[np.intp]]:
    """Yield positions in batches of at most `tokens` tokens, padding counted, the longest first."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, tokens // max(int(lengths[order[start]]), 1))
        yield order[start : start + size]
        start += size


def shuffled(
    lengths: NDArray[np.int64], size: int, generator: np.random.Generator, among: NDArray[np.intp] | None = None
) -> list[NDArray[np.intp]]:
    """Return one epoch's positions in batches of `size`: drawn at random, then sorted by length within pools."""
    drawn = generator.permutation(np.arange(len(lengths)) if among is None else among)
    batches: list[NDArray[np.intp]] = []
    for start in range(0, len(drawn), POOL * size):
        pool = drawn[start : start + POOL * size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[at : at + size] for at in range(0, len(pool), size)]
    return [batches[index] for index in generator.permutation(len(batches)).tolist()]
