"""Price tables: the layouts they are read from, which price counts for a call, and what is named where none does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from pointsman.costs import Price
from pointsman.errors import SpecError
from pointsman.pricing.price_files import read_prices
from pointsman.pricing.prices import ALWAYS, PriceTable, Unpriced, price_rows, price_spans
from pointsman.spans import EMBEDDING, OTHER, RERANKER, RETRIEVAL, Span

if TYPE_CHECKING:
    from pathlib import Path

CSV = "model,input_usd_per_mtok,output_usd_per_mtok"
JANUARY, MARCH, JUNE = (
    int(pd.Timestamp(day, tz="UTC").timestamp() * 1e6) for day in ("2026-01-05", "2026-03-01", "2026-06-01")
)

TABLE = PriceTable(
    {
        "small": Price(1.0, 4.0, cached_input_usd_per_mtok=0.5),
        "dated": [(MARCH, Price(20.0, 20.0)), (JANUARY, Price(10.0, 10.0))],
        "embed": Price(0.5),
    }
)


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def call(**told: Any) -> Span:
    return Span(**{"model": "small", "input_tokens": 1_000_000, "output_tokens": 500_000, "start_us": MARCH, **told})


# --- Look-up ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["gpt-4o", "GPT-4o", "openai/gpt-4o", "OpenAI/GPT-4O", "router/openai/gpt-4o", " gpt-4o "]
)
def test_a_model_is_found_by_its_name_in_any_case_with_or_without_a_provider(name: str) -> None:
    table = PriceTable({"gpt-4o": Price(1.0, 1.0), "mistral/large": Price(2.0, 2.0)})
    assert table.price(name) == Price(1.0, 1.0)


@pytest.mark.parametrize("name", ["gpt-4o-mini", "gpt-4o-2024-08-06", "large", "gpt-4", "openai", "", "openai/"])
def test_nothing_is_guessed(name: str) -> None:
    assert PriceTable({"gpt-4o": Price(1.0, 1.0), "mistral/large": Price(2.0, 2.0)}).price(name) is None


def test_the_exact_name_wins_and_case_decides_where_it_must() -> None:
    table = PriceTable({"a/m": Price(1.0), "m": Price(2.0), "M": Price(3.0)})
    assert table.price("router/a/m") == Price(1.0)
    assert [table.price(name) for name in ("a/m", "b/m", "b/M", "A/M")] == [
        Price(1.0),
        Price(2.0),
        Price(3.0),
        Price(1.0),
    ]
    assert PriceTable({"xY": Price(1.0), "Xy": Price(2.0)}).price("XY") is None


def test_the_price_in_force_at_the_time_counts() -> None:
    when = [JANUARY - 1, JANUARY, MARCH - 1, MARCH, JUNE, None]
    assert [TABLE.price("dated", us).input_usd_per_mtok for us in when] == [10, 10, 10, 20, 20, 20]  # type: ignore[union-attr]


def test_candidates_are_the_models_asked_for_in_the_order_of_the_table_at_their_latest_price() -> None:
    found = TABLE.candidates(["x/dated", "other", "small"])
    assert list(found.items()) == [("small", TABLE.price("small")), ("x/dated", Price(20.0, 20.0))]


# --- Pricing ------------------------------------------------------------------------------------------------------


def test_spans_without_a_cost_are_priced_by_date() -> None:
    spans = [
        call(),
        call(cost_usd=7.0),
        call(model="x/dated", start_us=JANUARY),
        call(model="dated", start_us=None, end_us=JUNE),
        call(model="dated", start_us=JANUARY - 1),
        call(cached_input_tokens=400_000),
    ]
    unpriced = price_spans(spans, TABLE)
    assert [span.cost_usd for span in spans] == [3.0, 7.0, 15.0, 30.0, 15.0, 2.8]
    assert (dict(unpriced.missing), dict(unpriced.early)) == ({}, {"dated": 1})


def test_embeddings_and_rerankers_write_nothing() -> None:
    spans = [call(model="embed", kind=kind, output_tokens=None) for kind in (EMBEDDING, RERANKER)]
    assert price_spans(spans, TABLE).lines() == []
    assert [span.cost_usd for span in spans] == [0.5, 0.5]


@pytest.mark.parametrize(
    "told",
    [
        {"input_tokens": None},
        {"output_tokens": None},
        {"model": None},
        {"cache_hit": True},
        {"kind": OTHER},
        {"kind": RETRIEVAL},
    ],
)
def test_what_tells_no_tokens_or_is_no_call_is_not_priced(told: dict[str, Any]) -> None:
    span = call(**told)
    assert price_spans([span], TABLE).lines() == []
    assert span.cost_usd is None


def test_models_without_a_price_are_named_in_one_line_each() -> None:
    spans = [
        call(model="b"),
        *(call(model="aa") for _ in range(1203)),
        call(model="embed"),
        call(model="b", cost_usd=1.0),
    ]
    unpriced = price_spans(spans, TABLE)
    assert [span.cost_usd for span in spans] == [None] * 1205 + [1.0]
    assert unpriced.lines() == [
        "no price for model 'aa' (1,203 calls): cost_usd stays missing; models with a price: small, dated",
        "no price for model 'b' (1 call): cost_usd stays missing; models with a price: small, dated",
        "no price for model 'embed' (1 call): cost_usd stays missing; models with a price: small, dated",
    ]


def test_of_many_prices_the_nearest_names_are_shown() -> None:
    table = PriceTable({f"filler-{n}": Price(1.0, 1.0) for n in range(20)} | {"gpt-4o": Price(1.0, 1.0)})
    (line,) = price_spans([call(model="gpt-4o-mini")], table).lines()
    assert "; models with a price: gpt-4o, " in line
    assert line.endswith(" and 13 more")


def test_what_could_not_be_priced_adds_up() -> None:
    parts = [price_spans([call(model="x"), call(model="dated", start_us=0)], TABLE) for _ in range(2)]
    both = sum(parts, Unpriced())
    assert (dict(both.missing), dict(both.early), both.listed) == ({"x": 2}, {"dated": 2}, ("small", "dated"))
    assert (
        both.lines()[1]
        == "no price for model 'dated' at the time of 2 calls: they have its first price, of a later date"
    )
    assert Unpriced().lines() == []


def test_rows_without_a_cost_are_priced_whatever_the_types_of_their_columns() -> None:
    frame = pd.DataFrame(
        {
            "model": ["small", "dated", "dated", "small", "small", "x", None],
            "timestamp": ["2026-03-02", "2026-01-06", None, "2026-03-02", "2026-03-02", "2026-03-02", "2026-03-02"],
            "input_tokens": ["1000000", 1_000_000, 1_000_000, 5, 5, 5, 5],
            "output_tokens": [500_000, 0, 0, 0, None, 5, 5],
            "cost_usd": [None, "", np.nan, "much", None, None, None],
        },
        index=pd.Index([5, 3, 3, 1, 2, 4, 6], name="source_row"),
    )
    priced, unpriced = price_rows(frame, TABLE)
    assert priced["cost_usd"].tolist()[:4] == [3.0, 10.0, 20.0, "much"]
    assert priced["cost_usd"].isna().tolist() == [False] * 4 + [True] * 3
    assert priced.index.equals(frame.index)
    assert dict(unpriced.missing) == {"x": 1}
    assert frame["cost_usd"].isna().sum() == 5  # the rows that came in are as they were


def test_rows_without_the_column_get_it() -> None:
    frame = pd.DataFrame({"model": ["small", "small"], "input_tokens": [1_000_000, 2_000_000], "output_tokens": [0, 0]})
    priced, _ = price_rows(frame, TABLE)
    assert priced["cost_usd"].tolist() == [1.0, 2.0]
    assert priced["cost_usd"].dtype == np.float64
    bare = pd.DataFrame({"model": ["small"]})
    assert price_rows(bare, TABLE)[0] is bare


# --- Reading ------------------------------------------------------------------------------------------------------


def test_a_csv_may_give_all_rates_and_dates(tmp_path: Path) -> None:
    head = CSV + ",cached_input_usd_per_mtok,cache_write_usd_per_mtok,reasoning_usd_per_mtok,valid_from,note"
    table = read_prices(
        write(
            tmp_path,
            "p.csv",
            f"{head}\na,1,2,0.5,1.25,3,2026-03-01,x\na,2,3,,,,,\nb,1,2,,,,2026-03-01T12:00:00+02:00,\n",
        )
    )
    assert table.price("a", MARCH) == Price(1.0, 2.0, 0.5, 1.25, 3.0)
    assert table.price("a", JANUARY) == Price(2.0, 3.0)
    assert price_spans([call(model="a", start_us=0)], table).lines() == []  # a price without a date is never early
    assert price_spans([call(model="b", start_us=MARCH + 35_999_999_999)], table).early["b"] == 1
    assert price_spans([call(model="b", start_us=MARCH + 36_000_000_000)], table).early["b"] == 0


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json"])
def test_yaml_and_json_hold_the_same_keys(tmp_path: Path, suffix: str) -> None:
    held = {
        "a": {"input_usd_per_mtok": 1, "output_usd_per_mtok": 2.5, "reasoning_usd_per_mtok": 3},
        "b": [
            {"input_usd_per_mtok": 1, "output_usd_per_mtok": 1},
            {"input_usd_per_mtok": 2, "output_usd_per_mtok": 2, "valid_from": "2026-03-01"},
        ],
    }
    table = read_prices(write(tmp_path, f"p{suffix}", json.dumps(held, indent=1)))
    assert table.price("a") == Price(1.0, 2.5, reasoning_usd_per_mtok=3.0)
    assert [table.price("b", when) for when in (JANUARY, MARCH)] == [Price(1.0, 1.0), Price(2.0, 2.0)]


def test_litellms_map_is_read_by_the_token(tmp_path: Path) -> None:
    entries = {
        "sample_spec": {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0, "max_tokens": "prose"},
        "fallback_generalizations": {"rules": []},
        "small": {
            "input_cost_per_token": 1.5e-07,
            "output_cost_per_token": 6e-07,
            "cache_read_input_token_cost": 7.5e-08,
            "cache_creation_input_token_cost": 1.875e-07,
            "output_cost_per_reasoning_token": 7e-07,
            "litellm_provider": "openai",
            "supports_vision": True,
        },
        "openai/embed": {"input_cost_per_token": 5e-08, "mode": "embedding"},
        "painter": {"output_cost_per_image": 0.04, "input_cost_per_token": None},
    }
    table = read_prices(write(tmp_path, "model_prices.json", json.dumps(entries)))
    assert table.models == ("small",)
    assert table.price("small") == Price(0.15, 0.6, 0.075, 0.1875, 0.7)
    assert table.price("openai/embed") == Price(0.05)
    assert table.price("painter") is table.price("sample_spec") is None


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "p.csv",
            CSV + ",cached_usd_per_mtok\n",
            ": column 'cached_usd_per_mtok' is no rate (did you mean cached_input",
        ),
        (
            "p.csv",
            CSV + ",valid_from\na,1,1,soon",
            ", line 2: valid_from is 'soon'; a date (ISO 8601, UTC where no zone is given) is allowed",
        ),
        (
            "p.csv",
            CSV + ",valid_from\na,1,1,2026-01-01\na,1,1,2026-01-01",
            ", line 3: valid_from is '2026-01-01', given before for 'a'; each date once is allowed",
        ),
        (
            "p.csv",
            CSV + ",valid_from\na,1,1,\na,1,1,",
            ", line 3: model is 'a', listed before; each model once is allowed",
        ),
        (
            "p.yaml",
            "a:\n  input_usd_per_mtok: -1\n",
            ", line 2: a.input_usd_per_mtok is -1; a number of at least 0 is ",
        ),
        ("p.yaml", "a:\n- input_usd_per_mtok: true\n", ", line 2: a.0.input_usd_per_mtok is true; a number of at "),
        ("p.yaml", "a:\n  input: 1\n", ", line 2: a.input is an unknown key"),
        ("p.yaml", "a: 3\n", ", line 1: a is 3; allowed: a mapping with the keys input_usd_per_mtok, "),
        ("p.yaml", "- a\n", ": is ['a']; a mapping of models to prices is allowed"),
        ("p.yaml", "a: {\n", ", line 2: not YAML: "),
        ("p.yaml", "", ": is nothing; a mapping of models to prices is allowed"),
        ("p.yaml", "a:\n  valid_from: 5\n", ", line 2: a.valid_from is 5; a date "),
        ("p.json", '{\n"a": [1]}', ", line 2: a.0 is 1; allowed: a mapping with the keys "),
        (
            "p.json",
            '{\n"a": {"input_usd_per_mtok": "x"}}',
            ", line 2: a.input_usd_per_mtok is 'x'; a number of at least ",
        ),
        ("p.json", '{"a": 1,}', ", line 1: not JSON: "),
        ("p.json", "[]", ": is []; a mapping of models to prices is allowed"),
        (
            "p.json",
            '{"b": {"litellm_provider": "x"},\n"a": {"input_cost_per_token": "free"}}',
            ", line 2: a.input_cost_per_token is 'free'; a number of at least 0 is allowed",
        ),
    ],
)
def test_a_bad_table_is_one_clear_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    file = write(tmp_path, name, text)
    with pytest.raises(SpecError) as caught:
        read_prices(file)
    assert str(caught.value).startswith(f"{file}{said}")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    for name in ("gone.csv", "gone.json", "gone.yaml"):
        with pytest.raises(SpecError, match=rf"{name}: cannot be read: No such file or directory$"):
            read_prices(tmp_path / name)
    (tmp_path / "p.json").write_bytes(b"\xff\xfe")
    with pytest.raises(SpecError, match=r"p\.json: not a readable UTF-8 text: "):
        read_prices(tmp_path / "p.json")


def test_a_price_without_a_start_is_in_force_from_ever() -> None:
    table = PriceTable({"m": [(JUNE, Price(2.0, 2.0)), (ALWAYS, Price(1.0, 1.0))]})
    assert table.price("m", -(10**15)) == Price(1.0, 1.0)
