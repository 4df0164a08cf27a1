"""Time-ordered slices: learn, calibrate, certify. Nothing of a later slice is seen while an earlier one is used."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pointsman.errors import TraceError
from pointsman.text import same_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FOLDS", "MIN_REQUESTS", "Slices", "prompt_folds", "time_slices"]

FOLDS = 5
"""Folds in which the learn slice is cross-fitted: each request is tuned on with heads that never saw its prompt."""

MIN_REQUESTS = 100
"""Requests with the outcome of every candidate that a fit needs."""


@dataclass(frozen=True, eq=False)
class Slices:
    """Positions of requests by use, in order of time.

    Attributes
    ----------
    learn : (a,) intp array
        Trains the heads; out of fold, the search tunes the policy on it.
    calibrate : (b,) intp array
        Fits the temperatures.
    certify : (c,) intp array
        Looked at once, after the search: the before/after of the bundle.
    """

    learn: NDArray[np.intp]
    calibrate: NDArray[np.intp]
    certify: NDArray[np.intp]


def time_slices(timestamp: NDArray[np.datetime64], learn: float = 0.7, calibrate: float = 0.1) -> Slices:
    """Cut n requests into slices by arrival.

    Parameters
    ----------
    timestamp : (n,) datetime64 array
    learn, calibrate : float
        Shares of the requests; the rest certifies.

    Raises
    ------
    TraceError
        Where there are fewer than 100 requests.
    """
    n = len(timestamp)
    if n < MIN_REQUESTS:
        raise TraceError(f"{n} requests have the outcome of every candidate; at least {MIN_REQUESTS} are needed to fit")
    order = np.argsort(timestamp, kind="stable")
    first, second = round(learn * n), round((learn + calibrate) * n)
    return Slices(order[:first], order[first:second], order[second:])


def prompt_folds(prompts: NDArray[np.object_], folds: int = FOLDS) -> NDArray[np.intp]:
    """Return a fold for each prompt, (n,): by its hash, so that equal prompts share one.

    Prompts are equal where `pointsman.text.same_text` of them is.
    """
    digests = [hashlib.blake2b(same_text(p).encode("utf-8", "replace"), digest_size=8).digest() for p in prompts]
    return (np.frombuffer(b"".join(digests), dtype="<u8") % folds).astype(np.intp)
