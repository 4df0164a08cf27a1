"""From spans to rows: what is one request, what it cost, how long the user waited, and what it inherits."""

from __future__ import annotations

import itertools
import json
import random
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.assembling.assembly import assemble
from pointsman.assembling.framed_call import framed_call
from pointsman.columns import COLUMNS
from pointsman.spans import EMBEDDING, FEEDBACK, LLM, OTHER, RERANKER, RETRIEVAL, TOOL, Score, Span
from pointsman.traces import validate_traces

START = 1_767_600_000_000_000
"""2026-01-05 08:00 UTC, microseconds."""


def at(ms: float) -> int:
    return START + round(ms * 1000)


def span(begin: float | None = 0, end: float | None = 100, kind: str = LLM, **told: Any) -> Span:
    """Return a span of the trace ``t`` whose times are ms after `START`."""
    times = {"start_us": None if begin is None else at(begin), "end_us": None if end is None else at(end)}
    model = {"model": "m"} if kind == LLM else {}
    return Span(kind=kind, **{"trace_id": "t", **times, **model, **told})


def rows(*spans: Span) -> list[dict[str, Any]]:
    made = assemble(spans)
    assert made.left == []
    return made.rows


def only(*spans: Span) -> dict[str, Any]:
    (row,) = rows(*spans)
    return row


def scores(row: dict[str, Any]) -> list[str]:
    return [name for name, _, _ in json.loads(row["scores"] or "[]")]


# --- One span -----------------------------------------------------------------------------------------------------


def test_a_lone_call_is_a_row_of_all_that_it_tells() -> None:
    told: dict[str, Any] = {
        "prompt": "where is my parcel",
        "useful": 1.0,
        "input_tokens": 20,
        "output_tokens": 9,
        "cached_input_tokens": 4,
        "cache_write_tokens": 2,
        "reasoning_tokens": 3,
        "first_token_ms": 30.0,
        "cost_usd": 0.5,
        "retries": 2,
        "retry_cost_usd": 0.1,
        "retrieval_cost_usd": 0.2,
        "connector_cost_usd": 0.3,
        "status": "ok",
        "hallucinated": False,
        "intent": "tracking",
        "modality": "text",
        "context_tokens": 7,
        "conversation_id": "c",
        "user_id": "u",
        "chosen": True,
        "propensity": 0.5,
        "cache_hit": False,
        "source_row": 12,
    }
    row = only(span(scores=[Score("thumbs", 1.0, "user")], tags={"team": "a"}, **told))
    own = {"request_id": "t", "timestamp": datetime(2026, 1, 5, 8, tzinfo=UTC), "model": "m", "latency_ms": 100.0}
    texts = {"scores": '[["thumbs", 1.0, "user"]]', "tags": '{"team": "a"}'}
    assert row == told | own | texts
    assert set(COLUMNS) <= set(row)


def test_what_is_not_told_stays_missing() -> None:
    row = only(Span(model="m"))
    assert {name for name, value in row.items() if value is not None} == {"request_id", "model", "source_row"}


def test_rows_pass_validation() -> None:
    made = rows(span(prompt="a", trace_id="1", span_id="s"), span(prompt="b", trace_id="2", cost_usd=1.0))
    assert len(validate_traces(pd.DataFrame(made)).rows) == 2


@pytest.mark.parametrize(
    ("told", "latency"),
    [
        ({}, 100.0),
        ({"duration_ms": 70.0}, 70.0),
        ({"end_us": None, "duration_ms": 70.0}, 70.0),
        ({"start_us": None, "end_us": None, "duration_ms": 70.0}, 70.0),
        ({"end_us": None}, None),
        ({"end_us": at(-1)}, None),
        ({"duration_ms": -3.0}, 100.0),
        ({"duration_ms": float("nan")}, 100.0),
    ],
)
def test_latency_is_the_duration_told_else_the_distance_of_the_times(told: dict[str, Any], latency: float) -> None:
    assert only(span(**told))["latency_ms"] == latency


def test_a_start_that_is_not_told_follows_from_end_and_duration() -> None:
    assert only(span(None, 100, duration_ms=40.0))["timestamp"] == datetime(2026, 1, 5, 8, 0, 0, 60_000, tzinfo=UTC)


def test_a_time_beyond_the_calendar_is_left_to_validation() -> None:
    row = only(Span(model="m", prompt="p", start_us=10**20, duration_ms=1.0))
    with pytest.raises(Exception, match="timestamp: must be a date"):
        validate_traces(pd.DataFrame([row]))


def test_an_answer_from_the_gateways_cache_costs_nothing_where_the_source_tells_none() -> None:
    assert only(span(cache_hit=True))["cost_usd"] == 0.0
    assert only(span(cache_hit=True, cost_usd=0.2))["cost_usd"] == 0.2
    assert only(span(cache_hit=False))["cost_usd"] is None


# --- Names --------------------------------------------------------------------------------------------------------


def test_a_request_has_its_own_name_else_the_traces_else_the_spans() -> None:
    assert only(span(request_id="r"))["request_id"] == "r"
    assert only(span())["request_id"] == "t"
    assert only(span(trace_id=None, span_id="s"))["request_id"] == "s"


def test_a_nameless_request_is_named_by_its_content() -> None:
    one, other = span(trace_id=None, prompt="a"), span(trace_id=None, prompt="b")
    first, second = (row["request_id"] for row in rows(one, other))
    assert first != second
    assert only(replace(one, source_row=5))["request_id"] == first


def test_several_requests_of_a_trace_have_names_of_their_own() -> None:
    made = rows(
        span(0, 10, prompt="a", span_id="1"),
        span(20, 30, prompt="b"),
        span(40, 50, prompt="c"),
        span(60, 70, prompt="d", request_id="own"),
    )
    assert [row["request_id"] for row in made] == ["t/1", "t/#1", "t/#2", "own"]


def test_one_name_on_different_questions_is_told_apart() -> None:
    steps = [span(n * 10, n * 10 + 5, prompt="abc"[n], request_id="r", span_id=str(n)) for n in range(3)]
    assert [row["request_id"] for row in rows(*steps)] == ["r/0", "r/1", "r/2"]
    again = [span(n * 10, n * 10 + 5, prompt="p", request_id="r", span_id=str(n)) for n in range(2)]
    assert [row["request_id"] for row in rows(*again)] == ["r/0", "r/1"]


# --- Attempts -----------------------------------------------------------------------------------------------------


def test_failed_attempts_belong_to_the_answer_that_followed() -> None:
    row = only(
        span(0, 50, span_id="1", status="error", cost_usd=0.5, prompt="p"),
        span(60, 90, span_id="2", status="timeout", cost_usd=0.25, prompt="p", model="n", retries=2),
        span(100, 180, span_id="3", cost_usd=2.0, prompt="p", model="big", output_tokens=7, first_token_ms=20.0),
    )
    assert (row["model"], row["cost_usd"], row["output_tokens"], row["status"]) == ("big", 2.0, 7, None)
    assert (row["retries"], row["retry_cost_usd"], row["request_id"]) == (4, 0.75, "t")
    assert (row["latency_ms"], row["first_token_ms"]) == (180.0, 120.0)
    assert row["timestamp"] == datetime(2026, 1, 5, 8, tzinfo=UTC)


def test_where_no_attempt_succeeded_the_last_one_counts() -> None:
    row = only(span(0, 5, status="error", prompt="p"), span(6, 9, status="timeout", prompt="p", model="n"))
    assert (row["model"], row["status"], row["retries"], row["retry_cost_usd"]) == ("n", "timeout", 1, None)


def test_the_last_of_several_hedged_attempts_to_end_is_a_retry() -> None:
    row = only(
        span(0, 300, prompt="p", cost_usd=1.0, model="slow"),
        span(100, 180, prompt="p", cost_usd=0.5, model="fast"),
    )
    assert (row["model"], row["cost_usd"], row["retry_cost_usd"], row["retries"]) == ("fast", 0.5, 1.0, 1)
    assert row["latency_ms"] == 180.0


def test_a_cancelled_hedge_is_a_retry() -> None:
    row = only(span(0, 90, prompt="p"), span(50, 91, prompt="p", model="n", status="cancelled"))
    assert (row["model"], row["latency_ms"], row["retries"]) == ("m", 90.0, 1)


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "another"},  # another question
        {"prompt": "p", "parent_id": "guard"},  # beside, in another place
        {"prompt": "p", "input_tokens": 900},  # the same model, but it read something else
        {"prompt": None},
    ],
)
def test_calls_side_by_side_are_requests_of_their_own_unless_they_hedge(other: dict[str, Any]) -> None:
    beside = [span(0, 100, prompt="p", span_id="1", input_tokens=10), span(20, 80, span_id="2", **other)]
    assert len(rows(*beside, span(0, 100, OTHER, span_id="guard"))) == 2


def test_steps_that_succeeded_one_after_the_other_are_requests_of_their_own() -> None:
    steps = rows(span(0, 10, prompt="p", span_id="1"), span(20, 30, prompt="p", span_id="2"))
    assert [(row["request_id"], row["retries"]) for row in steps] == [("t/1", None), ("t/2", None)]


def test_a_failed_step_is_not_retried_by_another_question_or_in_another_place() -> None:
    failed = span(0, 10, prompt="p", status="error", span_id="1")
    assert len(rows(failed, span(20, 30, prompt="q", span_id="2"))) == 2
    places = [span(0, 90, OTHER, span_id="a"), span(0, 90, OTHER, span_id="b")]
    assert (
        len(rows(replace(failed, parent_id="a", prompt=None), span(20, 30, parent_id="b", span_id="2"), *places)) == 2
    )
    # The same question is the same question, wherever a fallback asks it.
    assert len(rows(replace(failed, parent_id="a"), span(20, 30, parent_id="b", prompt="p", span_id="2"), *places)) == 1


def test_replays_stay_rows_of_one_request() -> None:
    logged = span(0, 10, prompt="p", span_id="1", chosen=True, status="error")
    replayed = [
        span(20 + n, 30 + n, prompt="p", model=model, span_id=model, chosen=False) for n, model in enumerate("ab")
    ]
    made = rows(logged, *replayed)
    assert [(row["request_id"], row["model"], row["chosen"]) for row in made] == [
        ("t", "m", True),
        ("t", "a", False),
        ("t", "b", False),
    ]
    named = rows(
        span(0, 5, request_id="r", prompt="p", status="error"), span(6, 9, request_id="r", prompt="p", model="n")
    )
    assert [row["request_id"] for row in named] == ["r", "r"]
    again = only(span(0, 5, request_id="r", prompt="p", status="error"), span(6, 9, request_id="r", prompt="p"))
    assert again["retries"] == 1


# --- Layers -------------------------------------------------------------------------------------------------------


def test_a_wrapper_around_the_providers_own_span_is_one_call() -> None:
    wrapper = span(
        0, 100, span_id="w", model="openai/m", output_tokens=5, cost_usd=1.0, prompt="p", tags={"layer": "out"}
    )
    own = span(
        10, 90, span_id="o", parent_id="w", input_tokens=8, output_tokens=5, cost_usd=1.0, prompt="p", first_token_ms=20
    )
    row = only(wrapper, own, span(5, 95, OTHER, span_id="chain", parent_id="w"))
    assert (row["model"], row["input_tokens"], row["cost_usd"], row["retries"]) == ("m", 8, 1.0, None)
    assert (row["latency_ms"], row["first_token_ms"], row["request_id"]) == (100.0, 30.0, "t")
    assert json.loads(row["tags"]) == {"layer": "out"}


def test_the_outermost_layer_tells_the_status() -> None:
    inner = span(10, 90, span_id="o", parent_id="w", status="error", prompt="p", input_tokens=8)
    assert only(span(0, 100, span_id="w", status="ok", prompt="p"), inner)["status"] == "ok"
    assert only(span(0, 100, span_id="w", prompt="p"), inner)["status"] == "error"


def test_three_layers_are_one_call() -> None:
    layers = [span(n, 100 - n, span_id=str(n), parent_id=str(n - 1), prompt="p", cost_usd=1.0) for n in range(3)]
    assert only(*layers)["cost_usd"] == 1.0


def test_a_wrapper_with_retries_inside_is_one_request() -> None:
    row = only(
        span(0, 100, span_id="w", cost_usd=9.0, output_tokens=5, prompt="p", status="ok"),
        span(5, 20, span_id="1", parent_id="w", status="error", cost_usd=0.25),
        span(30, 95, span_id="2", parent_id="w", output_tokens=5, cost_usd=1.0),
    )
    assert (row["cost_usd"], row["retry_cost_usd"], row["retries"]) == (1.0, 0.25, 1)
    assert (row["prompt"], row["latency_ms"], row["status"]) == ("p", 100.0, "ok")


def test_a_model_span_around_different_questions_is_no_call_of_its_own() -> None:
    made = rows(
        span(0, 100, span_id="agent", cost_usd=3.0, prompt="p"),
        span(5, 20, span_id="1", parent_id="agent", prompt="a", cost_usd=1.0),
        span(30, 95, span_id="2", parent_id="agent", prompt="b", cost_usd=2.0),
    )
    assert [(row["prompt"], row["cost_usd"]) for row in made] == [("a", 1.0), ("b", 2.0)]


def test_what_a_tool_asks_a_model_is_a_call_of_its_own() -> None:
    made = rows(
        span(0, 100, span_id="1", prompt="p"),
        span(10, 90, TOOL, span_id="2", parent_id="1"),
        span(20, 80, span_id="3", parent_id="2", prompt="p"),
    )
    assert [row["request_id"] for row in made] == ["t/1", "t/3"]


def test_two_usages_of_two_questions_are_two_calls_also_one_inside_the_other() -> None:
    outer, inner = (
        span(0, 100, prompt="p", output_tokens=5, span_id="1"),
        span(10, 50, prompt="q", span_id="2", parent_id="1"),
    )
    assert len(rows(outer, replace(inner, output_tokens=70))) == 2
    assert len(rows(outer, inner)) == 1


def test_a_step_recorded_twice_is_one_step() -> None:
    created = span(0, None, span_id="1", prompt="p", scores=[Score("a", 1.0)])
    row = only(
        created, span(0, 80, span_id="1", prompt="p", cost_usd=2.0), span(0, 80, span_id="1", prompt="p", cost_usd=2.0)
    )
    assert (row["cost_usd"], row["latency_ms"], scores(row)) == (2.0, 80.0, ["a"])


# --- Around the answer --------------------------------------------------------------------------------------------


def test_retrieval_and_tools_cost_and_take_time() -> None:
    row = only(
        span(0, 10, EMBEDDING, span_id="e", parent_id="r", cost_usd=0.125),
        span(0, 30, RETRIEVAL, span_id="r", cost_usd=0.5),
        span(30, 40, RERANKER, cost_usd=0.25),
        span(40, 60, TOOL, cost_usd=2.0),
        span(60, 100, cost_usd=1.0, prompt="p", first_token_ms=10.0),
        span(110, 150, TOOL),
    )
    assert (row["retrieval_cost_usd"], row["connector_cost_usd"], row["cost_usd"]) == (0.875, 2.0, 1.0)
    assert (row["latency_ms"], row["first_token_ms"]) == (100.0, 70.0)


def test_steps_without_a_cost_leave_it_missing() -> None:
    row = only(span(0, 30, RETRIEVAL), span(40, 90))
    assert (row["retrieval_cost_usd"], row["connector_cost_usd"], row["retry_cost_usd"]) == (None, None, None)


def test_a_wrapper_that_repeats_the_cost_of_its_step_counts_once() -> None:
    layers = [span(0, 30, RETRIEVAL, span_id="w", cost_usd=0.5), span(1, 29, RETRIEVAL, parent_id="w", cost_usd=0.5)]
    assert only(*layers, span(40, 90))["retrieval_cost_usd"] == 0.5


def test_a_step_belongs_to_the_next_request_else_to_the_last_and_inside_a_call_to_that_call() -> None:
    made = rows(
        span(0, 10, prompt="a", span_id="1"),
        span(2, 8, TOOL, parent_id="1", cost_usd=1.0),
        span(10, 20, TOOL, cost_usd=2.0),
        span(20, 30, prompt="b", span_id="2"),
        span(40, 50, TOOL, cost_usd=4.0),
        span(None, None, TOOL, cost_usd=8.0),
    )
    assert [row["connector_cost_usd"] for row in made] == [1.0, 14.0]
    assert [row["latency_ms"] for row in made] == [10.0, 20.0]


def test_one_request_under_one_root_took_as_long_as_the_root() -> None:
    root = span(0, 200, OTHER, span_id="r")
    call = span(50, 150, span_id="c", parent_id="r", first_token_ms=20.0, prompt="p")
    row = only(root, call)
    assert (row["latency_ms"], row["first_token_ms"]) == (200.0, 70.0)
    assert row["timestamp"] == datetime(2026, 1, 5, 8, tzinfo=UTC)
    # A root that ended before the last token, one without an end, and one of two do not tell what the user felt.
    assert only(replace(root, end_us=at(120)), call)["latency_ms"] == 100.0
    assert only(replace(root, end_us=None), call)["latency_ms"] == 100.0
    assert only(root, call, span(0, 10, OTHER, span_id="x"))["latency_ms"] == 100.0


def test_a_root_over_several_requests_tells_no_latency() -> None:
    made = rows(
        span(0, 900, OTHER, span_id="r"),
        span(50, 150, parent_id="r", prompt="a"),
        span(200, 250, parent_id="r", prompt="b"),
    )
    assert [row["latency_ms"] for row in made] == [100.0, 50.0]


def test_a_skewed_clock_leaves_the_latency_missing_never_negative() -> None:
    assert only(span(0, 30, RETRIEVAL), span(40, -500))["latency_ms"] is None
    assert only(span(900, 950, RETRIEVAL), span(40, 80))["latency_ms"] == 40.0


# --- Inheritance and judgements -----------------------------------------------------------------------------------


def test_a_call_inherits_from_above_and_from_the_trace() -> None:
    row = only(
        span(0, 100, OTHER, span_id="r", prompt="p", modality="image", intent="i", tags={"a": "root", "b": "root"}),
        span(1, 99, OTHER, span_id="m", parent_id="r", user_id="u", tags={"b": "chain"}),
        span(10, 90, span_id="c", parent_id="m", tags={"c": "call"}),
        span(5, 8, TOOL, conversation_id="conversation", tags={"d": "tool"}, parent_id="r"),
    )
    assert (row["prompt"], row["modality"], row["intent"]) == ("p", "image", "i")
    assert (row["user_id"], row["conversation_id"]) == ("u", "conversation")
    assert json.loads(row["tags"]) == {"a": "root", "b": "chain", "c": "call"}


def test_the_calls_own_words_win() -> None:
    row = only(
        span(0, 100, OTHER, span_id="r", prompt="p", intent="i", user_id="u"),
        span(10, 90, parent_id="r", prompt="q", intent="j", user_id="v"),
    )
    assert (row["prompt"], row["intent"], row["user_id"]) == ("q", "j", "v")


def test_an_intent_is_not_taken_from_another_request() -> None:
    made = rows(span(0, 10, prompt="a", intent="i", user_id="u"), span(20, 30, prompt="b"))
    assert [(row["intent"], row["user_id"]) for row in made] == [("i", "u"), (None, "u")]


def test_judgements_go_to_the_answer_they_name_to_the_last_below_or_to_the_last_of_the_trace() -> None:
    trace = [
        span(0, 100, OTHER, span_id="r", scores=[Score("root", 1.0)]),
        span(0, 40, OTHER, span_id="turn", parent_id="r", scores=[Score("turn", 1.0)]),
        span(0, 10, prompt="a", span_id="1", parent_id="turn", status="error"),
        span(12, 20, prompt="a", span_id="2", parent_id="turn", scores=[Score("own", 1.0)]),
        span(50, 90, prompt="b", span_id="3", parent_id="r"),
    ]
    given = [
        span(200, None, FEEDBACK, parent_id="1", scores=[Score("attempt", 0.0, "user")], useful=0.0),
        span(210, None, FEEDBACK, parent_id="2", scores=[Score("answer", 1.0, "user")], useful=1.0),
        span(220, None, FEEDBACK, parent_id="turn", scores=[Score("of turn", 1.0)]),
        span(230, None, FEEDBACK, scores=[Score("of trace", 1.0)], hallucinated=True),
        span(240, None, FEEDBACK, parent_id="elsewhere", scores=[Score("lost", 1.0)]),
    ]
    first, last = rows(*trace, *given)
    assert scores(first) == ["own", "turn", "attempt", "answer", "of turn"]
    assert scores(last) == ["root", "of trace", "lost"]
    assert (first["useful"], last["hallucinated"]) == (1.0, True)


def test_a_judgement_told_twice_counts_once() -> None:
    thumb = Score("thumbs", 1.0, "user")
    assert scores(only(span(scores=[thumb]), span(200, None, FEEDBACK, scores=[thumb]))) == ["thumbs"]


# --- What no row uses ---------------------------------------------------------------------------------------------


def test_spans_without_an_answer_are_left_with_their_reason() -> None:
    tool, lost, thumb = (
        span(kind=TOOL, trace_id="x"),
        span(kind=OTHER, trace_id=None),
        span(kind=FEEDBACK, trace_id=None),
    )
    made = assemble([tool, lost, span(), thumb])
    assert len(made.rows) == 1
    assert made.left == [
        (tool, "trace: must hold a model call (got tool)"),
        (lost, "trace: must hold a model call (got other)"),
        (thumb, "feedback: must have an answer in its trace (got none)"),
    ]


def test_a_judgement_of_a_retrieval_judges_no_answer() -> None:
    thumb = span(kind=FEEDBACK, parent_id="r", scores=[Score("relevance", 0.2)])
    made = assemble([span(0, 10, RETRIEVAL, span_id="r"), span(20, 90), thumb])
    assert made.left == [(thumb, "feedback: must judge an answer (got one of a retrieval step)")]
    assert made.rows[0]["scores"] is None


def test_nothing_makes_nothing() -> None:
    assert assemble([]).rows == []


# --- For any spans ------------------------------------------------------------------------------------------------

_FEW = st.sampled_from([None, "1", "2", "3", "4", "5"])
_SPANS = st.lists(
    st.builds(
        Span,
        kind=st.sampled_from([LLM, LLM, OTHER, TOOL, RETRIEVAL, FEEDBACK]),
        trace_id=st.sampled_from([None, "t", "u"]),
        span_id=_FEW,
        parent_id=_FEW,
        start_us=st.none() | st.integers(START, START + 10_000),
        end_us=st.none() | st.integers(START, START + 10_000),
        duration_ms=st.none() | st.floats(),
        status=st.sampled_from([None, "ok", "error"]),
        model=st.sampled_from(["m", "n"]),
        prompt=st.sampled_from([None, "p", "q"]),
        request_id=st.sampled_from([None, None, "r"]),
        chosen=st.sampled_from([None, None, False]),
        cost_usd=st.just(1.0),
    ),
    max_size=9,
)


@settings(max_examples=300, deadline=None)
@given(_SPANS)
def test_every_trace_gives_rows_or_reasons_and_no_latency_is_negative(spans: list[Span]) -> None:
    made = assemble(spans)
    traces = {n if one.trace_id is None else one.trace_id: one.kind == LLM for n, one in enumerate(spans)}
    for n, one in enumerate(spans):
        traces[n if one.trace_id is None else one.trace_id] |= one.kind == LLM
    assert sum(traces.values()) <= len(made.rows) <= sum(one.kind == LLM for one in spans)
    left = {id(one) for one, _ in made.left}
    assert left >= {id(s) for n, s in enumerate(spans) if not traces[n if s.trace_id is None else s.trace_id]}
    assert not any(one.kind == LLM for one, _ in made.left)
    assert all(row["latency_ms"] is None or not row["latency_ms"] < 0 for row in made.rows)
    assert sum(row["cost_usd"] + (row["retry_cost_usd"] or 0) for row in made.rows) <= len(spans)


_WORDS = st.sampled_from([None, "", "1", "2"])
_MOMENTS = st.none() | st.integers(START, START + 10_000)
_SCORES = st.lists(st.sampled_from([Score("a", 1.0), Score("b", "good", "user")]), max_size=2)


def _told(kind: str) -> st.SearchStrategy[Span]:
    """Return any span of this kind."""
    return st.builds(
        Span,
        kind=st.just(kind),
        trace_id=st.sampled_from(["t", ""]),
        span_id=_WORDS,
        parent_id=_WORDS,
        start_us=_MOMENTS,
        end_us=_MOMENTS,
        duration_ms=st.none() | st.floats(),
        first_token_ms=st.sampled_from([None, 2.0]),
        status=st.sampled_from([None, "ok", "error"]),
        model=_WORDS,
        prompt=_WORDS,
        modality=st.sampled_from([None, "text", "image"]),
        context_tokens=st.sampled_from([None, 3]),
        input_tokens=st.sampled_from([None, 5]),
        cost_usd=st.sampled_from([None, 0.5]),
        retries=st.sampled_from([None, None, None, -1, 2]),
        retry_cost_usd=st.sampled_from([None, None, None, 0.1]),
        retrieval_cost_usd=st.sampled_from([None, None, None, 0.1]),
        connector_cost_usd=st.sampled_from([None, None, None, 0.1]),
        request_id=_WORDS,
        conversation_id=_WORDS,
        user_id=_WORDS,
        intent=_WORDS,
        chosen=st.sampled_from([None, True, False]),
        hallucinated=st.sampled_from([None, True, False]),
        useful=st.sampled_from([None, 0.0, 1.0]),
        scores=_SCORES,
        tags=st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy")),
    )


@settings(max_examples=250, deadline=None)
@given(_told(LLM), _told(OTHER), st.booleans(), st.booleans())
def test_the_short_way_of_a_call_under_a_root_gives_the_row_of_the_long_way(
    call: Span, root: Span, linked: bool, root_first: bool
) -> None:
    if linked:
        call.span_id, call.parent_id, root.span_id, root.parent_id = "c", "r", "r", None
        root.trace_id = call.trace_id
    trace = [root, call] if root_first else [call, root]
    before = deepcopy(trace)
    short = assemble(trace).rows
    with patch("pointsman.assembling.assembly.framed_call", lambda _: None):
        assert assemble(trace).rows == short
    assert trace == before


def test_only_a_call_right_under_a_root_goes_the_short_way() -> None:
    call, root = span(10, 90, span_id="c", parent_id="r"), span(0, 100, OTHER, span_id="r")
    for trace in ([call, root], [root, call]):
        made = framed_call(trace)
        assert made is not None
        assert (made.start_us, made.end_us, made.model) == (at(0), at(100), "m")
    others = [
        [call],
        [call, root, root],
        [call, replace(root, kind=TOOL)],
        [call, replace(root, kind=LLM)],
        [root, replace(root, span_id="q")],
        [replace(call, parent_id="q"), root],
        [replace(call, span_id="r"), root],
        [call, replace(root, parent_id="c")],
        [call, replace(root, parent_id="r")],
        [replace(call, retries=1), root],
        [replace(call, retrieval_cost_usd=0.5), root],
    ]
    assert [framed_call(trace) for trace in others] == [None] * len(others)


def test_the_order_of_the_spans_does_not_matter() -> None:
    trace = [
        span(0, 100, OTHER, span_id="r", scores=[Score("root", 1.0)], tags={"a": "b"}),
        span(1, 5, RETRIEVAL, span_id="k", parent_id="r", cost_usd=1.0),
        span(6, 10, span_id="1", parent_id="r", prompt="a", status="error", cost_usd=2.0),
        span(12, 20, span_id="2", parent_id="r", prompt="a", cost_usd=4.0),
        span(50, 90, span_id="3", parent_id="r", prompt="b"),
    ]
    made = [assemble(order).rows for order in itertools.permutations(trace)]
    assert all(one == made[0] for one in made)
    assert len(made[0]) == 2


def test_a_long_trace_and_one_that_bites_its_tail_are_read() -> None:
    chain = [span(n, n + 0.5, span_id=f"c{n}", parent_id=f"c{n - 1}", kind=OTHER) for n in range(600)]
    calls = [span(n, n + 0.5, span_id=f"s{n}", parent_id=f"c{n}", prompt=f"p{n}") for n in range(600)]
    random.Random(0).shuffle(chain)
    assert len(rows(*chain, *calls)) == 600
    circle = [span(span_id="1", parent_id="2", output_tokens=1), span(1, span_id="2", parent_id="1", output_tokens=2)]
    assert len(rows(*circle)) == 2
    tail = span(-5, -1, OTHER, span_id="3", parent_id="1")
    assert len(rows(span(span_id="1", parent_id="2"), span(1, span_id="2", parent_id="1"), tail)) == 1
    assert len(rows(span(span_id="1", parent_id="1"), span(0, 1, TOOL))) == 1


# --- What stands around a call ------------------------------------------------------------------------------------


def test_a_call_that_tells_no_prompt_takes_that_of_the_event_below_it() -> None:
    first, second = span(0, 10, span_id="a"), span(20, 30, span_id="b")
    asked = [
        span(1, None, OTHER, parent_id="a", prompt="hello"),
        span(21, None, OTHER, parent_id="b", prompt="and then?"),
    ]
    assert [row["prompt"] for row in rows(first, second, *asked)] == ["hello", "and then?"]


def test_a_trace_of_several_requests_is_a_conversation() -> None:
    two = [span(0, 10, span_id="a", prompt="x"), span(20, 30, span_id="b", prompt="y")]
    assert [row["conversation_id"] for row in rows(*two)] == ["t", "t"]
    assert only(two[0])["conversation_id"] is None
    assert {row["conversation_id"] for row in rows(*two, span(0, 40, OTHER, conversation_id="c"))} == {"c"}


def test_attempts_that_a_gateway_counts_and_records_are_counted_once() -> None:
    failed = span(0, 10, span_id="a", prompt="p", status="error")
    assert only(failed, span(20, 30, span_id="b", prompt="p", retries=1))["retries"] == 1
    assert only(failed, span(20, 30, span_id="b", prompt="p", retries=3))["retries"] == 3
