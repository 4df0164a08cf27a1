"""Outcomes: the trace table as arrays, one request a row and one candidate a column. Unknown stays NaN."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pointsman.costs import Price, full_cost_usd
from pointsman.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ANSWERED", "Outcomes", "hash_requests", "outcomes_of", "request_hashes", "requests_of"]

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
    useful, cost_usd, latency_ms, hallucinated, output_tokens : (n, m) float64 array
        NaN where the candidate did not answer the request, or the trace does not say.
    failure : (n, m) object array
        "" where the answer came, else ``timeout`` or ``error``.
    logged : (n,) intp array
        Column that production served, -1 where unknown.
    propensity : (n,) float64 array
        Probability, 0 to 1, with which production chose what it served; NaN where unknown.
    cluster : (n,) object array
        ``user:ID`` or else ``conversation:ID``, whose requests are alike; "" where neither is known: a cluster of its
        own.
    late : (n, m) float64 array or None
        Where outcomes are estimated from logs (see `pointsman.estimated`): whether the answer is later than the limit,
        estimated too. None where outcomes are known.
    importance : (n, m) float64 array or None
        With `late`: for how many requests the candidate's own answer stands, 0 where only a model speaks for it.
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
    output_tokens: Floats
    failure: NDArray[np.object_]
    logged: NDArray[np.intp]
    propensity: Floats = field(default_factory=lambda: np.array(np.nan))
    cluster: NDArray[np.object_] = field(default_factory=lambda: np.array("", dtype=object))
    late: Floats | None = None
    importance: Floats | None = None

    def __post_init__(self) -> None:
        """Let a propensity or a cluster that is not given be unknown for each request."""
        for name in ("propensity", "cluster"):
            object.__setattr__(self, name, np.broadcast_to(getattr(self, name), self.logged.shape))

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
        parts = {key: value if key == "models" or value is None else value[at] for key, value in vars(self).items()}
        return Outcomes(**parts)

    def reorder(self, models: Sequence[str]) -> Outcomes:
        """Return the same requests with these candidates, in this order; `logged` is -1 where another one served."""
        columns = [self.models.index(model) for model in models]
        position = np.full(len(self.models) + 1, -1, dtype=np.intp)
        position[columns] = np.arange(len(columns))
        parts: dict[str, Any] = {
            key: value[:, columns] if isinstance(value, np.ndarray) and value.ndim == 2 else value
            for key, value in vars(self).items()
        }
        return Outcomes(**{**parts, "models": tuple(models), "logged": position[self.logged]})


def outcomes_of(
    rows: pd.DataFrame, prices: Mapping[str, Price], timeouts_ms: Mapping[str, float] | None = None
) -> Outcomes:
    """Spread a validated trace table over its candidates, the requests in order of time and then of id.

    A request's time is its earliest row's; its intent, modality, context, conversation and user are the first known, by
    time, of its rows.

    Parameters
    ----------
    rows : pandas.DataFrame
        Validated rows; those of models not in `prices` tell only of the request.
    prices : mapping of str to Price
        The candidates, in the order of the columns.
    timeouts_ms : mapping of str to float, optional
        An answer later than its candidate's timeout counts as a failure of that length.

    Raises
    ------
    TraceError
        Where a candidate has no rows or no known cost, or every answer failed.
    """
    models = tuple(prices)
    present = sorted(map(str, rows["model"].unique()))
    absent = [model for model in models if model not in present]
    if absent:
        s, have = "s" * (len(absent) > 1), "have" if len(absent) > 1 else "has"
        named = ", ".join(map(repr, absent))
        raise TraceError(f"candidate{s} {named} {have} no rows in the traces; models there: {', '.join(present)}")
    heads = _heads(rows, models)
    rows = rows[rows["model"].isin(models)]
    n, m = len(heads), len(models)
    request = heads.index.get_indexer(pd.Index(rows["request_id"].to_numpy(dtype=object)))
    at = (request, pd.Index(models, dtype=object).get_indexer(pd.Index(rows["model"].to_numpy(dtype=object))))

    def spread(values: pd.Series) -> Floats:
        out = np.full((n, m), np.nan)
        out[at] = values.to_numpy(dtype=np.float64, na_value=np.nan)
        return out

    latency, useful = spread(rows["latency_ms"]), spread(rows["useful"])
    failure = np.full((n, m), "", dtype=object)
    failure[at] = _failures(rows["status"])
    for column, model in enumerate(models):
        limit = (timeouts_ms or {}).get(model)
        if limit is not None:
            late = latency[:, column] > limit
            failure[late, column], latency[late, column] = "timeout", limit
    # A failed answer serves nobody, whether or not somebody labelled it.
    useful[failure != ""] = 0.0
    logged = np.full(n, -1, dtype=np.intp)
    chosen = rows["chosen"].fillna(False).to_numpy(dtype=bool)
    logged[at[0][chosen]] = at[1][chosen]
    stated = spread(rows["propensity"])
    # A request with one row, on which nobody says `chosen`, was served by that row.
    propensity = stated[np.arange(n), np.where(logged >= 0, logged, np.isfinite(stated).argmax(axis=1))]
    return Outcomes(
        request_id=heads.index.to_numpy(dtype=object),
        prompt=heads["prompt"].to_numpy(dtype=object),
        intent=heads["intent"].fillna("").to_numpy(dtype=object),
        modality=heads["modality"].fillna("text").to_numpy(dtype=object),
        timestamp=heads["timestamp"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="datetime64[us]"),
        context_tokens=heads["context_tokens"].fillna(0).to_numpy(dtype=np.int64),
        models=models,
        useful=useful,
        cost_usd=spread(full_cost_usd(rows, prices)),
        latency_ms=latency,
        hallucinated=spread(rows["hallucinated"]),
        output_tokens=spread(rows["output_tokens"]),
        failure=failure,
        logged=logged,
        propensity=propensity,
        cluster=_clusters(heads),
    )


ANSWERED = frozenset({"ok", "success", "succeeded", "completed", "complete", "done", "200"})
_TIMEOUT = frozenset({"timeout", "timed_out", "timed out", "timedout", "deadline_exceeded", "408", "504"})


def requests_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what is known of each request of a validated trace table, whatever answered it, in order of time.

    Parameters
    ----------
    rows : pandas.DataFrame

    Returns
    -------
    pandas.DataFrame
        By request_id: ``timestamp`` (UTC, naive), ``prompt``, ``intent`` ("" where unknown), ``modality``,
        ``context_tokens`` and the ids of conversation and user.
    """
    heads = _heads(rows, tuple(map(str, rows["model"].unique())))
    heads["timestamp"] = heads["timestamp"].dt.tz_convert("UTC").dt.tz_localize(None)
    heads["intent"] = heads["intent"].fillna("")
    return heads


def _heads(rows: pd.DataFrame, models: tuple[str, ...]) -> pd.DataFrame:
    """Return what is known of each request that has a row of a candidate, in order of time."""
    facts = ["timestamp", "prompt", "intent", "modality", "context_tokens", "conversation_id", "user_id"]
    asked = rows.loc[rows["model"].isin(models), "request_id"].unique()
    told = rows.loc[rows["request_id"].isin(asked), ["request_id", *facts]]
    told = told.sort_values(["timestamp", "request_id"], kind="stable")
    heads = told.groupby("request_id", sort=False)[facts].first()
    return heads.set_axis(pd.Index(heads.index.to_numpy(dtype=object)))


def _clusters(heads: pd.DataFrame) -> NDArray[np.object_]:
    """Return the user, or else the conversation, of each request, (n,); "" where neither is known."""
    user, conversation = (kind + ":" + heads[f"{kind}_id"].astype("string") for kind in ("user", "conversation"))
    return user.fillna(conversation).fillna("").to_numpy(dtype=object)


def _failures(status: pd.Series) -> NDArray[np.object_]:
    """Return "", ``timeout`` or ``error`` for each answer; a missing status is an answer that came."""
    words = status.fillna("ok").astype("string").str.strip().str.lower()
    ok, late = words.isin(ANSWERED).to_numpy(dtype=bool), words.isin(_TIMEOUT).to_numpy(dtype=bool)
    if len(words) and not ok.any():
        said = ", ".join(f"{word!r} ({count})" for word, count in words.value_counts().head(5).items())
        allowed = ", ".join(sorted(ANSWERED))
        raise TraceError(f"column status: no answer came, by its words {said}; an answer that came says {allowed}")
    return np.where(ok, "", np.where(late, "timeout", "error")).astype(object)


def request_hashes(outcomes: Outcomes) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each request's id and time, (n,): recognises a request without storing it."""
    return hash_requests(outcomes.request_id, outcomes.timestamp)


def hash_requests(request_id: NDArray[np.object_], timestamp: NDArray[np.datetime64]) -> NDArray[np.uint64]:
    """Return the hashes of requests by their ids and times (UTC, microseconds), (n,) each."""
    digests = [
        hashlib.blake2b(f"{request}|{time}".encode("utf-8", "replace"), digest_size=8).digest()
        for request, time in zip(request_id, timestamp.astype("datetime64[us]").astype("int64"), strict=True)
    ]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)
