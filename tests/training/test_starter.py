"""A spec to start from, made of what the traces show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.errors import SpecError, TraceError
from pointsman.spec import RelativeRate, parse_spec
from pointsman.starter import starter_spec
from pointsman.traces import validate_traces

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "model,input_usd_per_mtok,output_usd_per_mtok\n"


def rows(models: dict[str, dict[str, Any]], count: int = 100) -> pd.DataFrame:
    """Return `count` requests answered by each model."""
    base = {"timestamp": "2026-01-05", "prompt": "p", "latency_ms": 100.0, "useful": 1.0, "cost_usd": 1.0}
    cells = [{**base, "request_id": f"r{n}", "model": m, **more} for n in range(count) for m, more in models.items()]
    return validate_traces(pd.DataFrame(cells)).rows


TWO = {"cheap": {"cost_usd": 0.1, "useful": 0.5, "latency_ms": 50.0}, "dear": {"latency_ms": 200.0}}


def price_list(folder: Path, text: str | bytes) -> Path:
    file = folder / "prices.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_every_model_is_a_candidate_and_the_cheapest_the_safe_one() -> None:
    spec = starter_spec(rows(TWO), modelled=["latency_ms"])
    assert set(spec.candidates) == {"cheap", "dear"}
    assert (spec.baseline, spec.safe_model, spec.modelled) == ("best_single", "cheap", ["latency_ms"])
    assert spec.constraints.useful_rate == RelativeRate(margin=0.01)
    assert spec.constraints.confidence == 0.95


@pytest.mark.parametrize(
    ("baseline", "limit"), [("best_single", 220), ("dear", 220), ("cheap", 55), ("as_logged", 110)]
)
def test_the_latency_limit_leaves_a_tenth_of_room_above_the_baselines_p95(baseline: str, limit: float) -> None:
    table = rows({**TWO, "mid": {"chosen": True, "useful": 0.7}})
    assert starter_spec(table, baseline=baseline).constraints.p95_latency_ms == limit


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-3, 1e7))
def test_the_limit_is_rounded_up_to_two_digits(latency: float) -> None:
    limit = starter_spec(rows({"a": {"latency_ms": latency}}, 1)).constraints.p95_latency_ms
    assert limit is not None
    assert 1.1 * latency * (1 - 1e-9) <= limit <= 1.1 * latency * 1.1 + 1e-9
    assert limit == float(f"{limit:.1e}")


def test_without_any_latency_there_is_no_limit() -> None:
    assert starter_spec(rows({"a": {"latency_ms": 0}})).constraints.p95_latency_ms is None


def test_the_p95_is_the_95th_of_a_hundred() -> None:
    table = rows({"a": {}}).assign(latency_ms=np.arange(1.0, 101.0))
    assert starter_spec(table).constraints.p95_latency_ms == 110  # 1.1 × 95 = 104.5


def test_the_spec_is_read_back_from_its_yaml(tmp_path: Path) -> None:
    import yaml

    made = starter_spec(rows(TWO), price_list(tmp_path, HEADER + "cheap,1,2\ndear,3,4"))
    assert parse_spec(yaml.safe_load(made.to_yaml())) == made


def test_a_price_list_chooses_the_candidates_and_prices_their_tokens(tmp_path: Path) -> None:
    tokens = {"cost_usd": None, "input_tokens": 1000, "output_tokens": 1000}
    table = rows({"a": tokens, "b": {**tokens, "output_tokens": 9000}, "c": {}})
    spec = starter_spec(table, price_list(tmp_path, "\ufeff" + HEADER + "b,1,1\na,2,3\nelse,1,1\n"))
    assert list(spec.candidates) == ["b", "a"]
    assert spec.candidates["a"].model_dump(exclude_unset=True) == {"input_usd_per_mtok": 2, "output_usd_per_mtok": 3}
    assert spec.safe_model == "a"  # dearer by the token, cheaper by the answer


def test_the_latest_rates_of_a_price_table_become_the_candidates(tmp_path: Path) -> None:
    head = HEADER.strip() + ",cached_input_usd_per_mtok,valid_from\n"
    text = head + "cheap,3,4,1,2026-06-01\ncheap,1,2,,2026-01-01\n"
    spec = starter_spec(rows({"openai/cheap": {}}), price_list(tmp_path, text))
    rates = {"input_usd_per_mtok": 3, "output_usd_per_mtok": 4, "cached_input_usd_per_mtok": 1}
    assert spec.candidates["openai/cheap"].model_dump(exclude_unset=True) == rates


def test_names_in_a_price_list_are_texts_and_blank_prices_none(tmp_path: Path) -> None:
    table = rows({"1.50": {}, "NA": {}})
    spec = starter_spec(table, price_list(tmp_path, HEADER + "1.50,,\nNA, 1 ,2\n"))
    assert spec.candidates["1.50"].model_dump(exclude_unset=True) == {}
    assert spec.candidates["NA"].input_usd_per_mtok == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ": missing columns model, input_usd_per_mtok, output_usd_per_mtok; needed: model, input_usd_per_mtok, "),
        ("model,input_usd_per_mtok\n", ": missing column output_usd_per_mtok; needed: "),
        (HEADER, ": lists none of the models of the traces; allowed: cheap, dear"),
        (HEADER + "else,1,1", ": lists none of the models of the traces; allowed: cheap, dear"),
        (HEADER + "dear,1,free", ", line 2: output_usd_per_mtok is 'free'; a number of at least 0 is allowed"),
        (HEADER + "cheap,1,1\ndear,-1,1", ", line 3: input_usd_per_mtok is '-1'; a number of at least 0 is allowed"),
        (HEADER + "dear,inf,1", ", line 2: input_usd_per_mtok is 'inf'; a number of at least 0 is allowed"),
        (HEADER + "dear,nan,1", ", line 2: input_usd_per_mtok is 'nan'; a number of at least 0 is allowed"),
        (HEADER + "dear,1,1\ndear,2,2", ", line 3: model is 'dear', listed before; each model once is allowed"),
        (HEADER + " ,1,1", ", line 2: model is nothing; a model's name is needed"),
        (HEADER + "dear,1,1,1", ", line 2: more cells than the header's 3"),
        (HEADER + 'dear,"1,1', ": not a readable CSV: unexpected end of data"),
        (b"model,\xff", ": not a readable CSV: "),
    ],
)
def test_a_bad_price_list_is_one_clear_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    file = price_list(tmp_path, text)
    with pytest.raises(SpecError) as caught:
        starter_spec(rows(TWO), file)
    assert str(caught.value).startswith(f"{file}{said}")
    assert "\n" not in str(caught.value)


def test_a_price_list_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"gone\.csv: cannot be read: No such file or directory$"):
        starter_spec(rows(TWO), tmp_path / "gone.csv")


def test_a_model_without_any_cost_is_an_error(tmp_path: Path) -> None:
    table = rows({"a": {}, "b": {"cost_usd": None}})
    with pytest.raises(TraceError, match=r"^model 'b' has no cost_usd, and the spec has no input_usd_per_mtok and no "):
        starter_spec(table)
    with pytest.raises(TraceError, match=r"^model 'b' has no cost_usd, and the spec has no output_usd_per_mtok for it"):
        starter_spec(table, price_list(tmp_path, HEADER + "a,,\nb,1,"))
    assert list(starter_spec(table, price_list(tmp_path, HEADER + "a,,")).candidates) == ["a"]


def test_as_logged_without_a_chosen_row_is_an_error() -> None:
    for table in (rows(TWO), rows({**TWO, "cheap": {"chosen": False}})):
        with pytest.raises(
            TraceError, match=r"^baseline as_logged needs chosen=true on one row of each request; no row of a "
        ):
            starter_spec(table, baseline="as_logged")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"baseline": "deer"}, "baseline is 'deer', which is no candidate (did you mean dear?); allowed: "),
        ({"margin": 2.0}, "constraints.useful_rate.margin is 2.0; allowed: a number from -1 to 1"),
        ({"confidence": 1.0}, "constraints.confidence is 1.0; allowed: a number of at least 0.5 and below 1"),
    ],
)
def test_a_bad_argument_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        starter_spec(rows(TWO), **changes)
    assert str(caught.value).startswith(f"starter spec: {said}")


def test_unlabelled_traces_have_a_starter_too() -> None:
    assert starter_spec(rows({"a": {"useful": None}, "b": {"useful": None}})).safe_model in {"a", "b"}
