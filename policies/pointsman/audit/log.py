"""The rows of a trace table as arrays: what the checks of traces look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pointsman.costs import AROUND, Price, full_cost_usd
from pointsman.decide import CHARS_PER_TOKEN
from pointsman.errors import TraceError
from pointsman.outcomes import ANSWERED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["Log", "log_of"]

_GROUNDED = ("grounded", "retrieved", "with_retrieval")
"""Columns beyond the contract that tell of retrieval, where a table has one."""


@dataclass(frozen=True, eq=False)
class Log:
    """n rows of a trace table. Unknown numbers are NaN.

    Attributes
    ----------
    request : (n,) int array
        Numbers of the requests, 0 to r - 1.
    model, intent, modality : (n,) int array
        Positions in the names; -1 where unknown.
    models, intents, modalities : tuple of str
    useful, cost_usd, latency_ms, retries, hallucinated, tokens : (n,) float array
        `tokens` are those read and written, `cost_usd` the full cost.
    around_usd : (n,) float array
        The part of it that is not the model's own.
    grounded : (n,) float array
        Whether something was retrieved for the answer, 0 or 1.
    size : (n,) float array
        Tokens of the request, estimated where the table does not say.
    failed : (n,) bool array
    served : (n,) bool array
        What production served; every row where no request has two.
    prompt : (n,) object array
    says_status, says_served : bool
        Whether the table tells of failures, and of what production served.
    """

    request: NDArray[np.intp]
    model: NDArray[np.intp]
    intent: NDArray[np.intp]
    modality: NDArray[np.intp]
    models: tuple[str, ...]
    intents: tuple[str, ...]
    modalities: tuple[str, ...]
    useful: NDArray[np.float64]
    cost_usd: NDArray[np.float64]
    around_usd: NDArray[np.float64]
    latency_ms: NDArray[np.float64]
    retries: NDArray[np.float64]
    hallucinated: NDArray[np.float64]
    tokens: NDArray[np.float64]
    grounded: NDArray[np.float64]
    size: NDArray[np.float64]
    failed: NDArray[np.bool_]
    served: NDArray[np.bool_]
    prompt: NDArray[np.object_]
    says_status: bool
    says_served: bool

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.model)


def log_of(rows: pd.DataFrame, prices: Mapping[str, Price] | None = None) -> Log:
    """Return the rows of a validated trace table as arrays.

    Parameters
    ----------
    rows : pandas.DataFrame
    prices : mapping of str to Price, optional
        Of models whose rows carry no cost.
    """
    request = pd.factorize(rows["request_id"].astype(str))[0]
    model, models = _coded(rows["model"])
    intent, intents = _coded(rows["intent"])
    modality, modalities = _coded(rows["modality"].fillna("text"))
    words = rows["status"].astype("string").str.strip().str.lower()
    failed = words.notna().to_numpy(dtype=bool) & ~words.isin(ANSWERED).to_numpy(dtype=bool, na_value=False)
    chosen = rows["chosen"].fillna(False).to_numpy(dtype=bool)
    read, wrote = _numbers(rows, "input_tokens"), _numbers(rows, "output_tokens")
    around = np.nansum(rows[list(AROUND)].to_numpy(dtype=np.float64, na_value=np.nan), axis=1)
    single = len(np.unique(request)) == len(rows)
    return Log(
        request=request,
        model=model,
        intent=intent,
        modality=modality,
        models=models,
        intents=intents,
        modalities=modalities,
        useful=np.where(failed, 0.0, _numbers(rows, "useful")),
        cost_usd=_costs(rows, prices or {}),
        around_usd=around,
        latency_ms=_numbers(rows, "latency_ms"),
        retries=_numbers(rows, "retries"),
        hallucinated=rows["hallucinated"].to_numpy(dtype=np.float64, na_value=np.nan),
        tokens=read + wrote,
        grounded=_grounded(rows),
        size=_sizes(rows, read, model, failed),
        failed=failed,
        served=np.ones(len(rows), dtype=bool) if single else chosen,
        prompt=rows["prompt"].to_numpy(dtype=object),
        says_status=bool(words.notna().any()),
        says_served=single or bool(chosen.any()),
    )


def _coded(values: pd.Series) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    codes, names = pd.factorize(values.astype("string"), sort=True)
    return codes.astype(np.intp), tuple(map(str, names))


def _numbers(rows: pd.DataFrame, column: str) -> NDArray[np.float64]:
    return rows[column].to_numpy(dtype=np.float64, na_value=np.nan)


def _costs(rows: pd.DataFrame, prices: Mapping[str, Price]) -> NDArray[np.float64]:
    """Return the full cost of each row; NaN for models without cost or price."""
    cost = np.full(len(rows), np.nan)
    models = rows["model"].to_numpy(dtype=object)
    for model in pd.unique(models):
        at = models == model
        try:
            cost[at] = full_cost_usd(rows[at], prices).to_numpy(dtype=np.float64)
        except TraceError:
            continue
    return cost


def _sizes(
    rows: pd.DataFrame, read: NDArray[np.float64], model: NDArray[np.intp], failed: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the tokens of each request: as counted where failed answers are counted too, else estimated.

    Where a source counts tokens of answers only, leaving out the rest would leave out the very requests that failed.
    """
    chars = rows["prompt"].str.len().to_numpy(dtype=np.float64, na_value=0.0)
    context = np.nan_to_num(_numbers(rows, "context_tokens"))
    size: Any = np.ceil(chars / CHARS_PER_TOKEN) + context
    for code in np.unique(model):
        at = model == code
        told = np.isfinite(read)
        if told[at].mean() >= 0.99 and (not failed[at].any() or told[at & failed].mean() >= 0.99):
            size[at & told] = read[at & told]
    return np.asarray(size, dtype=np.float64)


def _grounded(rows: pd.DataFrame) -> NDArray[np.float64]:
    for name in _GROUNDED:
        if name in rows.columns:
            flags = pd.to_numeric(rows[name].astype("object"), errors="coerce").to_numpy(dtype=np.float64)
            return np.where(np.isfinite(flags), (flags > 0).astype(np.float64), np.nan)
    paid = _numbers(rows, "retrieval_cost_usd")
    return np.where(np.isfinite(paid), (paid > 0).astype(np.float64), np.nan)
