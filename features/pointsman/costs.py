"""The full cost of a response: the model's own price and what was spent around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pointsman.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AROUND", "Price", "full_cost_usd"]

AROUND = ("retry_cost_usd", "retrieval_cost_usd", "connector_cost_usd")
"""Columns of cost around an answer; a missing one adds nothing, because the trace knows of none."""


@dataclass(frozen=True)
class Price:
    """List price of a candidate, USD per million tokens."""

    input_usd_per_mtok: float | None = None
    output_usd_per_mtok: float | None = None

    @property
    def known(self) -> bool:
        """Whether both rates are given."""
        return self.input_usd_per_mtok is not None and self.output_usd_per_mtok is not None


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
    cost, tokens_in, tokens_out = (
        rows[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in ("cost_usd", "input_tokens", "output_tokens")
    )
    cost = cost.copy()
    for model in pd.unique(models):
        at, price = models == model, prices.get(str(model), Price())
        if price.input_usd_per_mtok is not None and price.output_usd_per_mtok is not None:
            priced = (tokens_in[at] * price.input_usd_per_mtok + tokens_out[at] * price.output_usd_per_mtok) / 1e6
            cost[at] = np.where(np.isnan(cost[at]), priced, cost[at])
        if np.isnan(cost[at]).all():
            raise TraceError(f"model {model!r} has no cost_usd, and {_lack(price)}: give one of the two")
    around = rows[list(AROUND)].to_numpy(dtype=np.float64, na_value=np.nan)
    return pd.Series(cost + np.nansum(around, axis=1), index=rows.index)


def _lack(price: Price) -> str:
    """Say what is missing to price a model's tokens."""
    if price.known:
        return "none of its rows carries both input_tokens and output_tokens"
    missing = [f"no {name}" for name, rate in vars(price).items() if rate is None]
    return f"the spec has {' and '.join(missing)} for it"
