"""Outcome matrices: one row per prompt and model, costs beside them, and nothing invented in silence."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from pointsman.errors import TraceError
from pointsman.ingest_config import IngestConfig
from pointsman.readers.outcome_matrix import READER, matrix_rows, models_of
from pointsman.traces import validate_traces

ASSUMED = {"latency_ms": 1000, "timestamp": "order"}
MODELS = ["WizardLM/WizardLM-13B-V1.2", "claude-instant-v1", "gpt-4-1106-preview"]


def router_bench() -> pd.DataFrame:
    """Return two invented rows in the columns of withmartian/routerbench."""
    records: dict[str, list[Any]] = {
        "sample_id": ["colours.val.0", "sums.dev.7"],
        "prompt": ["['Be brief.', 'Which colour is a ripe lemon?']", '["What is 2 + 2?"]'],
        "eval_name": ["colours", "sums"],
        MODELS[0]: [0.0, 1.0],
        MODELS[1]: [0.25, None],
        MODELS[2]: [True, "1"],
    }
    for number, model in enumerate(MODELS, start=1):
        records[f"{model}|model_response"] = ["yellow", "4"]
        records[f"{model}|total_cost"] = [number / 1e5, number / 1e4]
    records["oracle_model_to_route_to"] = [MODELS[2], MODELS[0]]
    return pd.DataFrame(records, index=pd.Index([2, 3], name="source_row"), dtype=object)


def test_each_score_is_a_row_of_its_model() -> None:
    rows = matrix_rows(router_bench(), ASSUMED)
    assert rows.index.tolist() == [2, 2, 2, 3, 3]
    assert rows["model"].tolist() == [*MODELS, MODELS[0], MODELS[2]]
    assert rows["useful"].tolist() == [0.0, 0.25, 1.0, 1.0, "1"]
    assert rows["cost_usd"].tolist() == [1e-5, 2e-5, 3e-5, 1e-4, 3e-4]
    assert rows["request_id"].tolist() == ["colours.val.0"] * 3 + ["sums.dev.7"] * 2
    assert rows["prompt"].unique().tolist() == ["Which colour is a ripe lemon?", "What is 2 + 2?"]
    assert rows["intent"].tolist() == ["colours"] * 3 + ["sums"] * 2
    table = validate_traces(rows)
    assert (len(table.rows), len(table.quarantine)) == (5, 0)


def test_a_matrix_that_tells_no_times_says_how_to_supply_them() -> None:
    with pytest.raises(TraceError) as raised:
        READER.rows(router_bench(), IngestConfig())
    assert str(raised.value) == (
        "outcome matrix: it does not tell latency_ms and timestamp, which the trace table needs; say in the "
        "configuration what to assume (the rows are marked as modelled), e.g. "
        "assume: {latency_ms: 1000, timestamp: order}"
    )
    with pytest.raises(TraceError, match="does not tell timestamp, which"):
        matrix_rows(router_bench(), {"latency_ms": 5})


def test_what_was_assumed_is_named_in_every_row() -> None:
    latency = dict(zip(MODELS, (800, 900, 2500.5), strict=True))
    rows = matrix_rows(router_bench(), {"latency_ms": latency, "timestamp": "2024-03-01"})
    assert set(rows["modelled"]) == {"latency_ms, timestamp"}
    assert rows["latency_ms"].tolist() == [800.0, 900.0, 2500.5, 800.0, 2500.5]
    assert rows["timestamp"].unique().tolist() == ["2024-03-01T00:00:01+00:00", "2024-03-01T00:00:02+00:00"]
    ordered = matrix_rows(router_bench(), ASSUMED)["timestamp"].unique().tolist()
    assert ordered == ["1970-01-01T00:00:01+00:00", "1970-01-01T00:00:02+00:00"]


def test_what_the_source_tells_is_not_assumed() -> None:
    told = router_bench().assign(created_at=["2024-01-05T10:00:00Z", 1704448860])
    for model in MODELS:
        told[f"{model}|latency_ms"] = pd.Series([10, "20.5"], index=told.index, dtype=object)
        told[f"{model}|output_tokens"] = pd.Series([3, None], index=told.index, dtype=object)
    rows = matrix_rows(told, ASSUMED)
    assert "modelled" not in rows
    assert rows["latency_ms"].tolist() == [10.0, 10.0, 10.0, 20.5, 20.5]
    assert rows["timestamp"].unique().tolist() == ["2024-01-05T10:00:00+00:00", "2024-01-05T10:01:00+00:00"]
    assert rows["output_tokens"].tolist()[:3] == [3.0] * 3


@pytest.mark.parametrize(
    ("assume", "said"),
    [
        ({**ASSUMED, "cost_usd": 1}, "assume.cost_usd: cannot be assumed; allowed: latency_ms, timestamp"),
        (
            {**ASSUMED, "timestamp": 5},
            "assume.timestamp: must be order, or the date of the first row (ISO 8601) (got 5)",
        ),
        ({**ASSUMED, "timestamp": "never"}, "assume.timestamp: must be order, or the date of the first row"),
        ({**ASSUMED, "latency_ms": -1}, "assume.latency_ms: must be a number of at least 0, in ms, for outcome matrix"),
        ({**ASSUMED, "latency_ms": {}}, f"assume.latency_ms.{MODELS[0]}: must be a number of at least 0"),
    ],
)
def test_a_wrong_assumption_is_one_clear_line(assume: dict[str, Any], said: str) -> None:
    with pytest.raises(TraceError) as raised:
        matrix_rows(router_bench(), assume)
    assert str(raised.value).startswith(said)


def test_models_are_told_by_what_stands_beside_them_or_by_their_names() -> None:
    assert models_of(["prompt", "our-best", "our-best|total_cost", "gpt-4"]) == ["our-best"]
    assert models_of(["prompt", "gpt-4", "difficulty", "mistralai/Mixtral-8x7B", "gpt-4_response"]) == [
        "gpt-4",
        "mistralai/Mixtral-8x7B",
    ]
    frame = pd.DataFrame({"question": ["a"], "ours": [1.0], "theirs": ["0"]}, index=[1])
    with pytest.raises(TraceError, match="outcome matrix: no column has the name of a model; it has question, ours"):
        matrix_rows(frame, ASSUMED)
    assert matrix_rows(frame, ASSUMED, models=["ours", "theirs"])["useful"].tolist() == [1.0, "0"]
    with pytest.raises(TraceError, match="outcome matrix: no column 'mine'"):
        matrix_rows(frame, ASSUMED, models=["mine"])


def test_a_model_of_any_name_is_a_model_where_it_holds_scores() -> None:
    """A column that is left out is a candidate that nobody misses."""
    cells = {"question": ["a", "b"], "gpt-4": [1, 0], "claude-2": [0, 1], "llama-2": [1, 1]}
    frame = pd.DataFrame({**cells, "in-house": ["0.5", None], "length": [3, 1], "label": [1, 0], "index": [0, 1]})
    rows = matrix_rows(frame.set_axis([1, 2]), ASSUMED)
    assert rows["model"].tolist() == ["gpt-4", "claude-2", "llama-2", "in-house", "gpt-4", "claude-2", "llama-2"]


def test_a_score_out_of_range_is_put_aside_with_its_value() -> None:
    frame = pd.DataFrame(
        {"prompt": ["a", "b"], "gpt-4": [7, 1], "llama-2": ["good", ""], "claude-2": [0, 0]}, index=[1, 2]
    )
    table = validate_traces(matrix_rows(frame, ASSUMED))
    assert len(table.rows) == 3
    assert [reason.rpartition("(got ")[2] for reason in table.quarantine["reason"]] == ["7)", "'good')"]


def test_rows_of_two_files_do_not_share_a_name() -> None:
    one, two = ({"prompt": [text], "gpt-4": [1], "llama-2": [1], "claude-2": [0]} for text in ("a", "b"))
    ids = [matrix_rows(pd.DataFrame(part, index=[1]), ASSUMED)["request_id"].iloc[0] for part in (one, two)]
    assert ids[0] != ids[1]
    assert all(name.startswith("row-1-") for name in ids)


def test_the_layout_is_known_by_its_columns() -> None:
    assert READER.fits(list(map(str, router_bench())))
    assert READER.fits(["prompt", "gpt-4", "claude-2", "llama-2-70b-chat"])
    assert READER.fits(["question", "ours", "ours|total_cost"])
    assert not READER.fits(["prompt", "mixtral-8x7b-instruct-v0.1", "gpt-4-1106-preview"])
    assert not READER.fits(["prompt", "model", "gpt-4", "claude-2", "llama-2"])
    assert not READER.fits(["request_id", "timestamp", "prompt", "model", "latency_ms"])
    assert not READER.fits(["text", "gpt-4", "claude-2", "llama-2"])
