"""Outcome sets for benchmarks: what every candidate did with every request, beside frozen embeddings; splits of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pointsman.encoders import TransformerEncoder, cached_encode
from pointsman.outcomes import Outcomes, outcomes_of
from pointsman.pricing.price_files import read_prices
from pointsman.slices import prompt_folds
from pointsman.traces import read_traces

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pointsman.costs import Price

__all__ = ["OutcomeSet", "RememberingEncoder", "Split", "read_set", "splits"]

TRAIN = 0.6
"""Share of the requests that a split trains on."""


class RememberingEncoder(TransformerEncoder):
    """The packaged encoder; what it is told to remember it does not compute again for each split."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, tuple[NDArray[np.float32], list[int]]] = {}

    def remember(self, prompts: Sequence[str], cache: Path | None) -> NDArray[np.float32]:
        """Return the embeddings of prompts, (n, d), and keep them and their word pieces; see `cached_encode`."""
        self._known = {}
        embeddings, ids = cached_encode(self, prompts, cache), self.token_ids(prompts)
        self._known = dict(zip(prompts, zip(embeddings, ids, strict=True), strict=True))
        return embeddings

    def encode(self, prompts: Sequence[str], progress: Callable[[int, int], None] | None = None) -> NDArray[np.float32]:
        """Return embeddings, (n, d) float32 of unit length."""
        if not self._known:
            return super().encode(prompts, progress)
        return np.stack([self._known[prompt][0] for prompt in prompts])

    def token_ids(self, prompts: Sequence[str]) -> list[list[int]]:
        """Return the word pieces read of each prompt."""
        return [self._known[prompt][1] for prompt in prompts] if self._known else super().token_ids(prompts)


@dataclass(frozen=True, eq=False)
class OutcomeSet:
    """An outcome set, its requests in order of time, its candidates from cheap to dear.

    Attributes
    ----------
    name : str
    outcomes : Outcomes
        Of n requests that every candidate answered.
    embeddings : (n, d) float32 array
        Frozen, of unit length: all methods read the same.
    prices : dict of str to Price
    """

    name: str
    outcomes: Outcomes
    embeddings: NDArray[np.float32]
    prices: dict[str, Price]


@dataclass(frozen=True, eq=False)
class Split:
    """Positions of the requests a method learns from, in order of time, and of those it is judged on.

    Attributes
    ----------
    train, test : (a,), (b,) intp array
    folds : (a,) intp array
        Folds of the training requests; equal prompts share one.
    """

    train: NDArray[np.intp]
    test: NDArray[np.intp]
    folds: NDArray[np.intp]


def read_set(folder: Path, encoder: RememberingEncoder, cache: Path | None) -> OutcomeSet:
    """Read ``traces.parquet`` and ``candidates.csv`` of a folder and embed the prompts, which the encoder remembers."""
    table = read_prices(folder / "candidates.csv")
    prices = table.candidates(table.models)
    outcomes = outcomes_of(read_traces(folder / "traces.parquet").rows, prices)
    outcomes = outcomes.take(outcomes.complete)
    order = np.argsort(outcomes.cost_usd.mean(axis=0), kind="stable")
    outcomes = outcomes.reorder([outcomes.models[index] for index in order])
    return OutcomeSet(folder.name, outcomes, encoder.remember(list(outcomes.prompt), cache), prices)


def splits(outcomes: Outcomes, count: int, seed: int = 0) -> list[Split]:
    """Return `count` random splits, 60/40."""
    n, first = len(outcomes), int(TRAIN * len(outcomes))
    orders = [np.random.default_rng([seed, one]).permutation(n) for one in range(count)]
    parts = [(np.sort(order[:first]), np.sort(order[first:])) for order in orders]
    return [Split(train, test, prompt_folds(outcomes.prompt[train])) for train, test in parts]
