"""The full cost of a response: the model's own price and what was spent around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from pointsman.errors import TraceError

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
        By model. Context tokens are billed as input where ``input_tokens`` is missing but ``context_tokens`` is not.

    Returns
    -------
    pandas.Series of float64
        Missing where the model's cost is unknown.

    Raises
    ------
    TraceError
        Where a model has neither prices nor a single cost.
    """
    cost = rows["cost_usd"].astype("float64").copy()
    for model, at in rows.groupby("model", sort=False).groups.items():
        price = prices.get(str(model), Price())
        if price.known:
            priced = (
                rows.loc[at, "input_tokens"] * price.input_usd_per_mtok
                + rows.loc[at, "output_tokens"] * price.output_usd_per_mtok
            ) / 1e6
            cost.loc[at] = cost.loc[at].fillna(priced)
        if cost.loc[at].isna().all():
            missing = "its rows carry no input_tokens and output_tokens" if price.known else "the spec has no prices for it"
            raise TraceError(f"model {model!r} has no cost_usd, and {missing}: give one of the two")
    return cost + rows[list(AROUND)].fillna(0.0).sum(axis=1)
