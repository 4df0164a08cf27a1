"""Outcomes: the trace table as arrays, one request a row and one candidate a column. Unknown stays NaN."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pointsman.costs import Price, full_cost_usd
from pointsman.errors import TraceError

__all__ = ["Outcomes", "outcomes_of", "request_hashes"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What happened to n requests at m candidates.

    Attributes
    ----------
    request_id, prompt, intent, modality : (n,) object array
        `intent` is "" where unknown.
    timestamp : (n,) datetime64[us] array
        UTC.
    context_tokens : (n,) int64 array
        Beyond the prompt; 0 where the traces do not say.
    models : tuple of str
        Names of the columns.
    useful, cost_usd, latency_ms, hallucinated : (n, m) float64 array
        NaN where the candidate did not answer the request, or the trace does not say.
    failure : (n, m) object array
        "" where the answer came, else ``timeout`` or ``error``.
    logged : (n,) intp array
        Column that production served, -1 where unknown.
    """

    request_id: NDArray[np.object_]
    prompt: NDArray[np.object_]
    intent: NDArray[np.object_]
    modality: NDArray[np.object_]
    timestamp: NDArray[np.datetime64]
    context_tokens: NDArray[np.int64]
    models: tuple[str, ...]
    useful: Floats
    cost_usd: Floats
    latency_ms: Floats
    hallucinated: Floats
    failure: NDArray[np.object_]
    logged: NDArray[np.intp]

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.request_id)

    @property
    def answered(self) -> NDArray[np.bool_]:
        """(n, m): the candidate's usefulness, cost and latency are all known."""
        return np.isfinite(self.useful) & np.isfinite(self.cost_usd) & np.isfinite(self.latency_ms)

    @property
    def complete(self) -> NDArray[np.bool_]:
        """(n,): every candidate's outcome is known."""
        return np.asarray(self.answered.all(axis=1))

    def take(self, at: Any) -> Outcomes:
        """Return the requests at an index or mask, in that order."""
        parts = {key: value if key == "models" else value[at] for key, value in vars(self).items()}
        return Outcomes(**parts)

    def reorder(self, models: Sequence[str]) -> Outcomes:
        """Return the same requests with the candidates in another order."""
        columns = [self.models.index(model) for model in models]
        parts = {
            key: value[:, columns] if isinstance(value, np.ndarray) and value.ndim == 2 else value
            for key, value in vars(self).items()
        }
        position = np.array([columns.index(column) for column in range(len(columns))] + [-1], dtype=np.intp)
        return Outcomes(**{**parts, "models": tuple(models), "logged": position[self.logged]})


def outcomes_of(rows: pd.DataFrame, prices: Mapping[str, Price], timeouts_ms: Mapping[str, float] | None = None) -> Outcomes:
    """Spread a validated trace table over its candidates.

    Parameters
    ----------
    rows : pandas.DataFrame
        Validated rows; those of models not in `prices` are left out.
    prices : mapping of str to Price
        The candidates, in the order of the columns.
    timeouts_ms : mapping of str to float, optional
        An answer later than its candidate's timeout counts as a failure of that length.

    Raises
    ------
    TraceError
        Where a candidate has no rows or no known cost.
    """
    models = tuple(prices)
    present = set(rows["model"].unique())
    for model in models:
        if model not in present:
            have = ", ".join(sorted(map(str, present)))
            raise TraceError(f"candidate {model!r} has no rows in the traces; models there: {have}")
    rows = rows[rows["model"].isin(models)].assign(full_cost_usd=lambda frame: full_cost_usd(frame, prices))
    ids, first = np.unique(rows["request_id"].to_numpy(dtype=object).astype(str), return_index=True)
    heads = rows.iloc[np.sort(first)]
    order = pd.Index(heads["request_id"].astype(str))
    n, m = len(ids), len(models)
    at = (order.get_indexer(rows["request_id"].astype(str)), pd.Index(models).get_indexer(rows["model"].astype(str)))

    def spread(values: pd.Series) -> Floats:
        out = np.full((n, m), np.nan)
        out[at] = values.astype("float64").to_numpy(dtype=np.float64, na_value=np.nan)
        return out

    latency, useful = spread(rows["latency_ms"]), spread(rows["useful"])
    failure = np.full((n, m), "", dtype=object)
    status = rows["status"].fillna("ok").str.lower().to_numpy(dtype=object)
    failure[at] = np.where(status == "ok", "", np.where(status == "timeout", "timeout", "error"))
    for column, model in enumerate(models):
        limit = (timeouts_ms or {}).get(model)
        if limit is not None:
            late = latency[:, column] > limit
            failure[late, column], latency[late, column], useful[late, column] = "timeout", limit, 0.0
    # A failed answer serves nobody, whether or not somebody labelled it.
    useful[(failure != "") & np.isfinite(latency)] = 0.0
    logged = np.full(n, -1, dtype=np.intp)
    chosen = rows["chosen"].fillna(False).to_numpy(dtype=bool)
    logged[at[0][chosen]] = at[1][chosen]
    text = {name: heads[name].astype(object).where(heads[name].notna(), default).to_numpy(dtype=object) for name, default in _TEXT}
    return Outcomes(
        **text,
        timestamp=heads["timestamp"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="datetime64[us]"),
        context_tokens=heads["context_tokens"].fillna(0).to_numpy(dtype=np.int64),
        models=models,
        useful=useful,
        cost_usd=spread(rows["full_cost_usd"]),
        latency_ms=latency,
        hallucinated=spread(rows["hallucinated"]),
        failure=failure,
        logged=logged,
    )


_TEXT = (("request_id", ""), ("prompt", ""), ("intent", ""), ("modality", "text"))


def request_hashes(outcomes: Outcomes) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each request's id and time, (n,): recognises a request without storing it."""
    times = outcomes.timestamp.astype("int64")
    digests = [
        hashlib.blake2b(f"{request}|{time}".encode("utf-8", "replace"), digest_size=8).digest()
        for request, time in zip(outcomes.request_id, times, strict=True)
    ]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)
