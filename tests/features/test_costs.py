"""The full cost of a response."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pointsman.costs import RATES, TOKENS, Price, full_cost_usd, tokens_usd
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


ALL = {
    "input_tokens": 1_000_000,
    "output_tokens": 800_000,
    "cached_input_tokens": 500_000,
    "cache_write_tokens": 250_000,
    "reasoning_tokens": 200_000,
}


@pytest.mark.parametrize(
    ("price", "usd"),
    [
        (Price(2.0, 10.0, 0.5, 4.0, 20.0), 0.25 * 2 + 0.5 * 0.5 + 0.25 * 4 + 0.6 * 10 + 0.2 * 20),
        (Price(2.0, 10.0, cached_input_usd_per_mtok=0.0), 0.5 * 2 + 8),
        (Price(2.0, 10.0), 10.0),  # without their own rates they cost what the others do
    ],
)
def test_cached_written_and_reasoning_tokens_have_their_own_rate(price: Price, usd: float) -> None:
    assert full_cost_usd(rows(ALL), {"m": price}).tolist() == pytest.approx([usd])


def test_a_part_larger_than_its_whole_leaves_no_rest() -> None:
    price = Price(2.0, 10.0, 0.5, 4.0, 20.0)
    table = rows(
        {"input_tokens": 100, "cached_input_tokens": 1_000_000, "output_tokens": 9, "reasoning_tokens": 1_000_000}
    )
    assert full_cost_usd(table, {"m": price}).tolist() == [20.5]


def test_tokens_cost_nothing_known_without_a_rate_or_a_count() -> None:
    tokens = np.array([[1e6, 1e6, np.nan, np.nan, np.nan], [np.nan, 1e6, 1e6, 0, 0], [1e6, np.nan, 0, 0, 0]])
    assert tokens_usd(tokens, np.array(Price(2.0, 10.0).rates)).tolist() == pytest.approx(
        [12.0, np.nan, np.nan], nan_ok=True
    )
    assert np.isnan(tokens_usd(tokens, np.array(Price(2.0).rates))).all()
    assert tokens_usd(np.empty((0, 5)), np.empty((0, 5))).shape == (0,)


def test_tokens_and_rates_stand_in_one_order() -> None:
    assert tuple(vars(Price())) == RATES
    assert [one.removesuffix("_tokens") for one in TOKENS] == [one.removesuffix("_usd_per_mtok") for one in RATES]


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
