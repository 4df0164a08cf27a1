"""Outcome sets for benchmarks: what every candidate did with every request, beside frozen embeddings; splits of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pointsman.costs import Price
from pointsman.encoders import TransformerEncoder, cached_encode
from pointsman.outcomes import Outcomes, outcomes_of
from pointsman.slices import prompt_folds
from pointsman.traces import read_traces

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["OutcomeSet", "Split", "read_set", "splits"]

TRAIN = 0.6
"""Share of the requests that a split trains on."""


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
    name : str
    train, test : (a,), (b,) intp array
    folds : (a,) intp array
        Folds of the training requests; equal prompts share one.
    """

    name: str
    train: NDArray[np.intp]
    test: NDArray[np.intp]
    folds: NDArray[np.intp]


def read_set(folder: Path, encoder: TransformerEncoder, cache: Path | None) -> OutcomeSet:
    """Read ``traces.parquet`` and ``candidates.csv`` of a folder and embed the prompts."""
    listed = pd.read_csv(folder / "candidates.csv").set_index("model")
    prices = {
        str(model): Price(float(row["input_usd_per_mtok"]), float(row["output_usd_per_mtok"]))
        for model, row in listed.iterrows()
    }
    outcomes = outcomes_of(read_traces(folder / "traces.parquet").rows, prices)
    outcomes = outcomes.take(outcomes.complete)
    order = np.argsort(outcomes.cost_usd.mean(axis=0), kind="stable")
    outcomes = outcomes.reorder([outcomes.models[index] for index in order])
    return OutcomeSet(folder.name, outcomes, cached_encode(encoder, list(outcomes.prompt), cache), prices)


def splits(outcomes: Outcomes, count: int, seed: int = 0) -> list[Split]:
    """Return the split by time, 60/40, and `count` random ones of the same size."""
    n, first = len(outcomes), int(TRAIN * len(outcomes))
    found = [("time", np.arange(n))]
    found += [(f"random {one}", np.random.default_rng([seed, one]).permutation(n)) for one in range(count)]
    parts = [(name, np.sort(order[:first]), np.sort(order[first:])) for name, order in found]
    return [Split(name, train, test, prompt_folds(outcomes.prompt[train])) for name, train, test in parts]
