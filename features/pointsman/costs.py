"""The full cost of a response: the model's own price and what was spent around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pointsman.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["AROUND", "RATES", "TOKENS", "Price", "full_cost_usd", "tokens_usd"]

AROUND = ("retry_cost_usd", "retrieval_cost_usd", "connector_cost_usd")
"""Columns of cost around an answer; a missing one adds nothing, because the trace knows of none."""

TOKENS = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")
"""Columns of tokens, in the order of `RATES`."""

RATES = (
    "input_usd_per_mtok",
    "output_usd_per_mtok",
    "cached_input_usd_per_mtok",
    "cache_write_usd_per_mtok",
    "reasoning_usd_per_mtok",
)


@dataclass(frozen=True)
class Price:
    """List price of a candidate, USD per million tokens.

    Attributes
    ----------
    input_usd_per_mtok, output_usd_per_mtok : float or None
    cached_input_usd_per_mtok, cache_write_usd_per_mtok : float or None
        Of input tokens that the provider's prompt cache held, or was given; None: the input rate.
    reasoning_usd_per_mtok : float or None
        Of output tokens that were reasoning; None: the output rate.
    """

    input_usd_per_mtok: float | None = None
    output_usd_per_mtok: float | None = None
    cached_input_usd_per_mtok: float | None = None
    cache_write_usd_per_mtok: float | None = None
    reasoning_usd_per_mtok: float | None = None

    @property
    def known(self) -> bool:
        """Whether the rates of input and output are given."""
        return self.input_usd_per_mtok is not None and self.output_usd_per_mtok is not None

    @property
    def rates(self) -> tuple[float, float, float, float, float]:
        """The rates in force, in the order of `RATES`; NaN where unknown."""
        read = np.nan if self.input_usd_per_mtok is None else self.input_usd_per_mtok
        wrote = np.nan if self.output_usd_per_mtok is None else self.output_usd_per_mtok
        cached, written, reasoned = (
            self.cached_input_usd_per_mtok,
            self.cache_write_usd_per_mtok,
            self.reasoning_usd_per_mtok,
        )
        return (
            read,
            wrote,
            read if cached is None else cached,
            read if written is None else written,
            wrote if reasoned is None else reasoned,
        )


def tokens_usd(tokens: NDArray[np.float64], rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what tokens cost, USD.

    Cached and written tokens are part of the input, reasoning tokens part of the output; the rest of each has its own
    rate. Where a source counts more of a part than of the whole, the rest is 0.

    Parameters
    ----------
    tokens : (n, 5) float64 array
        In the order of `TOKENS`; NaN where unknown. An unknown part is priced with its whole.
    rates : (n, 5) or (5,) float64 array
        USD per million, in the order of `RATES`; NaN where unknown.

    Returns
    -------
    (n,) float64 array
        NaN where the input or the output tokens, or the rate of either, are unknown.
    """
    whole, parts = tokens[:, :2], np.nan_to_num(tokens[:, 2:], nan=0.0)
    fresh = np.maximum(whole - np.column_stack([parts[:, 0] + parts[:, 1], parts[:, 2]]), 0.0)
    usd: NDArray[np.float64] = (np.column_stack([fresh, parts]) * rates).sum(axis=1) / 1e6
    return usd


def full_cost_usd(rows: pd.DataFrame, prices: Mapping[str, Price]) -> pd.Series:
    """Return each row's full cost, USD: ``cost_usd``, else tokens times price, plus retries, retrieval, connectors.

    Parameters
    ----------
    rows : pandas.DataFrame
        Validated trace rows.
    prices : mapping of str to Price
        By model.

    Returns
    -------
    pandas.Series of float64
        Missing where the model's own cost is unknown.

    Raises
    ------
    TraceError
        Where not a single row of a model has a known cost.
    """
    models = rows["model"].to_numpy(dtype=object)
    cost = rows["cost_usd"].to_numpy(dtype=np.float64, na_value=np.nan).copy()
    tokens = rows[list(TOKENS)].to_numpy(dtype=np.float64, na_value=np.nan)
    for model in pd.unique(models):
        at, price = models == model, prices.get(str(model), Price())
        if price.known:
            cost[at] = np.where(np.isnan(cost[at]), tokens_usd(tokens[at], np.array(price.rates)), cost[at])
        if np.isnan(cost[at]).all():
            raise TraceError(f"model {model!r} has no cost_usd, and {_lack(price)}: give one of the two")
    around = rows[list(AROUND)].to_numpy(dtype=np.float64, na_value=np.nan)
    return pd.Series(cost + np.nansum(around, axis=1), index=rows.index)


def _lack(price: Price) -> str:
    """Say what is missing to price a model's tokens."""
    if price.known:
        return "none of its rows carries both input_tokens and output_tokens"
    missing = [f"no {name}" for name in RATES[:2] if getattr(price, name) is None]
    return f"the spec has {' and '.join(missing)} for it"
