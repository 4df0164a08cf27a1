"""The full cost of a response."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pointsman.costs import Price, full_cost_usd
from pointsman.errors import TraceError
from pointsman.traces import validate_traces

PRICE = {"m": Price(2.0, 10.0)}


def rows(*cells: dict[str, Any]) -> pd.DataFrame:
    base = {"timestamp": "2026-01-05", "prompt": "p", "model": "m", "latency_ms": 1.0}
    return validate_traces(pd.DataFrame([{"request_id": f"r{i}", **base, **one} for i, one in enumerate(cells)])).rows


def test_a_given_cost_wins_over_tokens_and_price() -> None:
    assert full_cost_usd(rows({"cost_usd": 0.5, "input_tokens": 9, "output_tokens": 9}), PRICE).tolist() == [0.5]


def test_else_tokens_times_price_per_million() -> None:
    assert full_cost_usd(rows({"input_tokens": 1_000_000, "output_tokens": 100_000}), PRICE).tolist() == [3.0]


def test_retries_retrieval_and_connectors_are_added() -> None:
    around = {"retry_cost_usd": 0.25, "retrieval_cost_usd": 0.125, "connector_cost_usd": 1.0}
    assert full_cost_usd(rows({"cost_usd": 0.5, **around}, {"cost_usd": 0.0}), {}).tolist() == [1.875, 0.0]


def test_unknown_stays_missing_also_where_something_was_spent_around() -> None:
    found = full_cost_usd(rows({"cost_usd": 1.0}, {"retry_cost_usd": 2.0, "input_tokens": 5}), PRICE)
    assert found[0] == 1.0
    assert np.isnan(found[1])


def test_context_tokens_alone_price_nothing() -> None:
    found = full_cost_usd(rows({"cost_usd": 1.0}, {"context_tokens": 5, "output_tokens": 5}), PRICE)
    assert np.isnan(found[1])


def test_the_index_does_not_matter() -> None:
    table = rows({"cost_usd": 1.0}, {"input_tokens": 1_000_000, "output_tokens": 0}).set_axis([7, 7])
    assert full_cost_usd(table, PRICE).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("price", "lack"),
    [
        (Price(1.0, 1.0), "none of its rows carries both input_tokens and output_tokens"),
        (Price(1.0), "the spec has no output_usd_per_mtok for it"),
        (Price(), "the spec has no input_usd_per_mtok and no output_usd_per_mtok for it"),
    ],
)
def test_a_model_without_any_cost_is_an_error_that_says_what_lacks(price: Price, lack: str) -> None:
    with pytest.raises(TraceError, match=f"^model 'm' has no cost_usd, and {lack}: give one of the two$"):
        full_cost_usd(rows({"output_tokens": 5}), {"m": price})
