"""What the before/after table shows, and how it shows what is unknown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.tables import constraint_lines, markdown, metric_cells, metric_table, usd


def summary(**values: Any) -> dict[str, Any]:
    """Write a summary down, with a few values of its own."""
    usual = {
        "requests": 100,
        "useful_rate": 0.5,
        "cost_usd": 12.0,
        "cost_per_useful": 0.24,
        "p50_ms": 100.0,
        "p95_ms": 1234.4,
        "hallucination_rate": 0.031,
        "cost_usd_per_month": None,
    }
    return {**usual, **values}


def interval(difference: float, **ratio: float) -> dict[str, float]:
    return {"difference": difference, "low": difference - 0.01, "high": difference + 0.01, **ratio}


def report(**values: Any) -> dict[str, Any]:
    """Write a report down, with a few values of its own."""
    lower = interval(-1.0, ratio=0.6, ratio_low=0.5, ratio_high=0.7)
    change = {
        "confidence": 0.95,
        "useful_rate": interval(0.02),
        "hallucination_rate": interval(-0.01),
        **dict.fromkeys(("cost_usd", "cost_per_useful", "p50_ms", "p95_ms"), lower),
    }
    usual = {
        "baseline": "big",
        "before": summary(),
        "after": summary(useful_rate=0.52),
        "change": change,
        "baselines": {"always:big": summary(), "best_per_intent": None, "oracle": summary()},
        "constraints": [],
    }
    return {**usual, **values}


def test_a_row_for_each_side_their_change_and_each_baseline() -> None:
    cells = metric_cells(report())
    assert [row[0] for row in cells] == ["", "before (big)", "after", "change [95%]", "always:big", "oracle"]
    assert cells[0][1:] == [
        "useful",
        "USD per useful response",
        "cost, USD",
        "P50, ms",
        "P95, ms",
        "hallucinated",
    ]
    assert cells[1][1:] == ["50.0 %", "0.24", "12", "100", "1,234", "3.1 %"]
    less = "-40 % [-50, -30]"
    assert cells[3][1:] == ["+2.0 [+1.0, +3.0]", less, less, less, less, "-1.0 [-2.0, +0.0]"]


def test_a_known_traffic_is_shown_by_the_month() -> None:
    sides = {"before": summary(cost_usd_per_month=3600.0), "after": summary(cost_usd_per_month=99.0)}
    cells = metric_cells(report(**sides, baselines={}))
    assert [row[3] for row in cells[:3]] == ["USD a month", "3,600", "99"]


def test_what_is_unknown_is_a_dash() -> None:
    unknown = summary(cost_per_useful=None, hallucination_rate=None)
    change = {**report()["change"], "cost_per_useful": None, "hallucination_rate": None}
    cells = metric_cells(report(after=unknown, change=change))
    assert [row[2] for row in cells[2:4]] == ["–", "–"]
    assert [row[-1] for row in cells[1:4]] == ["3.1 %", "–", "–"]


def test_a_column_of_which_nothing_is_known_is_left_out() -> None:
    unknown = summary(hallucination_rate=None)
    change = {**report()["change"], "hallucination_rate": None}
    cells = metric_cells(report(before=unknown, after=unknown, change=change, baselines={"always:big": unknown}))
    assert {len(row) for row in cells} == {6}
    assert cells[0][-1] == "P95, ms"


def test_what_was_free_before_changes_in_its_own_unit() -> None:
    """Without a ratio there are no per cent, and USD are no points."""
    change = {**report()["change"], "cost_usd": interval(3.0), "p50_ms": interval(120.0)}
    cells = metric_cells(report(change=change))
    assert cells[3][3] == "+3 [+2.99, +3.01]"
    assert cells[3][4] == "+120 [+120, +120]"


def test_confidence_is_not_rounded_up_to_certainty() -> None:
    entry = {
        "name": "p95_latency_ms",
        "verdict": "held",
        "unit": "share later",
        "value": 0.04,
        "bound": 0.051,
        "limit": 0.05,
    }
    change = {**report()["change"], "confidence": 0.995}
    found = report(change=change, constraints=[entry, {**entry, "verdict": "broken"}])
    assert metric_cells(found)[3][0] == "change [99.5%]"
    first, second = constraint_lines(found).splitlines()
    assert first == ("- p95_latency_ms: held: share later 0.0400, with 99.5% confidence at most 0.0510; allowed 0.0500")
    assert second.startswith("- p95_latency_ms: broken: ")
    assert constraint_lines(report()) == ""


def test_markdown_has_a_head_a_rule_and_a_line_for_each_row() -> None:
    assert markdown([["", "useful"], ["a|b", "1"]]).splitlines() == ["|  | useful |", "| --- | ---: |", r"| a\|b | 1 |"]
    lines = metric_table(report()).splitlines()
    assert len(lines) == len(metric_cells(report())) + 1
    assert {line.count("|") for line in lines} == {8}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0.0, "0"),
        (0.123456, "0.123"),
        (12.3456, "12.3"),
        (1234567.8, "1,234,568"),
        (0.00001234, "1.23e-05"),
        (-0.5, "-0.5"),
    ],
)
def test_amounts_have_three_digits(value: float | None, shown: str) -> None:
    assert usd(value) == shown


@given(st.floats(1e-9, 1e9))
def test_an_amount_is_read_as_what_it_is(value: float) -> None:
    assert float(usd(value).replace(",", "")) == pytest.approx(value, rel=0.0051)
