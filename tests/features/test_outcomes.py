"""The trace table as arrays: one request a row, one candidate a column."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.costs import Price
from pointsman.errors import TraceError
from pointsman.outcomes import Outcomes, outcomes_of, request_hashes
from pointsman.traces import validate_traces

FREE = {"a": Price(), "b": Price()}
NAN = np.nan


def rows(*cells: dict[str, Any]) -> pd.DataFrame:
    base = {"timestamp": "2026-01-05", "prompt": "p", "latency_ms": 10.0, "useful": 1.0, "cost_usd": 1.0}
    return validate_traces(pd.DataFrame([{**base, **cell} for cell in cells])).rows


def r(request: str, model: str, **cells: Any) -> dict[str, Any]:
    return {"request_id": request, "model": model, **cells}


def test_each_answer_stands_at_its_request_and_candidate_and_unknown_stays_nan() -> None:
    found = outcomes_of(
        rows(r("x", "b", latency_ms=7, useful=0.5, output_tokens=3), r("y", "a", useful=None), r("y", "b")), FREE
    )
    assert found.models == ("a", "b")
    assert found.request_id.tolist() == ["x", "y"]
    np.testing.assert_array_equal(found.latency_ms, [[NAN, 7], [10, 10]])
    np.testing.assert_array_equal(found.useful, [[NAN, 0.5], [NAN, 1]])
    np.testing.assert_array_equal(found.hallucinated, np.full((2, 2), NAN))
    np.testing.assert_array_equal(found.output_tokens, [[NAN, 3], [NAN, NAN]])
    assert found.answered.tolist() == [[False, True], [False, True]]
    assert found.complete.tolist() == [False, False]
    assert found.logged.tolist() == [-1, -1]
    assert found.failure.tolist() == [["", ""], ["", ""]]
    assert len(found) == 2


def test_the_full_cost_is_the_models_price_or_cost_and_what_is_around() -> None:
    priced = r("x", "a", cost_usd=None, input_tokens=1e6, output_tokens=0, retry_cost_usd=0.5, connector_cost_usd=0.25)
    unknown = r("y", "a", cost_usd=None, retrieval_cost_usd=1)
    found = outcomes_of(rows(priced, r("x", "b", retrieval_cost_usd=2), unknown), {"a": Price(3, 9), "b": Price()})
    np.testing.assert_array_equal(found.cost_usd, [[3.75, 3], [NAN, NAN]])


def test_requests_are_in_order_of_their_earliest_time_then_id() -> None:
    late = {"timestamp": "2026-01-09"}
    found = outcomes_of(
        rows(r("z", "a"), r("y", "a", **late), r("y", "b", timestamp="2026-01-01"), r("x", "a"), r("w", "c", **late)),
        FREE,
    )
    assert found.request_id.tolist() == ["y", "x", "z"]
    assert found.timestamp.astype("datetime64[D]").astype(str).tolist() == ["2026-01-01", "2026-01-05", "2026-01-05"]
    assert found.timestamp.dtype == np.dtype("datetime64[us]")


def test_a_requests_cluster_is_its_user_or_else_its_conversation() -> None:
    table = rows(
        r("v", "a", user_id=7, conversation_id="c"),
        r("w", "a", conversation_id="c"),
        r("x", "a", user_id=" ", conversation_id=""),
        r("y", "a"),
        r("y", "b", user_id="c"),
    )
    found = outcomes_of(table, FREE)
    assert found.cluster.tolist() == ["user:7", "conversation:c", "", "user:c"]
    assert found.take([1, 0]).cluster.tolist() == ["conversation:c", "user:7"]
    assert found.reorder(["b"]).cluster.tolist() == found.cluster.tolist()
    assert outcomes_of(rows(r("x", "a"), r("y", "b")), FREE).cluster.tolist() == ["", ""]


def test_the_table_need_not_be_sorted() -> None:
    table = rows(r("z", "a"), r("y", "a", timestamp="2026-01-01"), r("y", "b"))
    assert outcomes_of(table[::-1], FREE).request_id.tolist() == ["y", "z"]


def test_times_of_other_zones_are_utc() -> None:
    found = outcomes_of(rows(r("x", "a", timestamp="2026-01-05T01:00+02:00"), r("x", "b")), FREE)
    assert found.timestamp.astype(str).tolist() == ["2026-01-04T23:00:00.000000"]


def test_what_is_known_of_a_request_comes_from_any_of_its_rows() -> None:
    told = r("x", "c", intent="code", modality="image", context_tokens=7, timestamp="2026-01-06")
    found = outcomes_of(rows(r("x", "a"), r("x", "b"), told, r("y", "a"), r("y", "b")), FREE)
    assert found.intent.tolist() == ["code", ""]
    assert found.modality.tolist() == ["image", "text"]
    assert found.context_tokens.tolist() == [7, 0]
    assert found.prompt.tolist() == ["p", "p"]
    assert found.models == ("a", "b")


def test_ids_that_differ_in_a_last_zero_character_differ() -> None:
    assert outcomes_of(rows(r("x", "a"), r("x\0", "a"), r("x", "b")), FREE).request_id.tolist() == ["x", "x\0"]


def test_a_failed_answer_is_useful_to_nobody() -> None:
    late = r("x", "b", status="timeout", useful=None)
    found = outcomes_of(rows(r("x", "a", status="error"), late, r("y", "a", status="ok")), FREE)
    np.testing.assert_array_equal(found.useful, [[0, 0], [1, NAN]])
    assert found.failure.tolist() == [["error", "timeout"], ["", ""]]


@pytest.mark.parametrize(
    ("word", "failure"),
    [("OK", ""), (" Success ", ""), ("200", ""), (None, ""), ("", ""), ("TimeOut", "timeout"), ("timed_out", "timeout"),
     ("504", "timeout"), ("ERROR", "error"), ("rate_limited", "error"), ("500", "error")],
)  # fmt: skip
def test_status_words_are_read_in_any_case(word: str | None, failure: str) -> None:
    found = outcomes_of(rows(r("x", "a", status=word), r("x", "b", status="ok")), FREE)
    assert found.failure.tolist() == [[failure, ""]]
    assert found.useful.tolist() == [[float(not failure), 1]]


def test_a_table_in_which_no_answer_came_is_an_error_that_tells_its_words() -> None:
    with pytest.raises(
        TraceError, match=r"^column status: no answer came, by its words 'fine' \(2\); an answer that came says "
    ):
        outcomes_of(rows(r("x", "a", status="Fine"), r("x", "b", status="fine")), FREE)


def test_an_answer_later_than_its_timeout_is_cut() -> None:
    found = outcomes_of(
        rows(r("x", "a", latency_ms=100), r("x", "b", latency_ms=100), r("y", "a", latency_ms=101, status="error")),
        FREE,
        {"a": 99.0, "b": 100.0},
    )
    np.testing.assert_array_equal(found.latency_ms, [[99, 100], [99, NAN]])
    np.testing.assert_array_equal(found.useful, [[0, 1], [0, NAN]])
    assert found.failure.tolist() == [["timeout", ""], ["timeout", ""]]
    assert found.cost_usd[0, 0] == 1


def test_logged_is_the_candidate_that_production_served() -> None:
    found = outcomes_of(
        rows(r("x", "a"), r("x", "b", chosen=True), r("y", "a"), r("y", "c", chosen=True), r("y", "b")), FREE
    )
    assert found.logged.tolist() == [1, -1]


def test_candidates_without_rows_are_all_named() -> None:
    with pytest.raises(TraceError, match=r"^candidates 'b', 'c' have no rows in the traces; models there: a, z$"):
        outcomes_of(rows(r("x", "a"), r("x", "z")), {"a": Price(), "b": Price(), "c": Price()})
    with pytest.raises(TraceError, match=r"^candidate 'b' has no rows"):
        outcomes_of(rows(r("x", "a")), FREE)


def test_a_candidate_without_any_cost_is_an_error() -> None:
    with pytest.raises(TraceError, match=r"^model 'b' has no cost_usd, and the spec has no input_usd_per_mtok"):
        outcomes_of(rows(r("x", "a"), r("x", "b", cost_usd=None)), FREE)


@st.composite
def tables(draw: st.DrawFn) -> Outcomes:
    pairs = draw(st.lists(st.tuples(st.integers(0, 4), st.sampled_from("abc")), unique=True, max_size=12))
    always = [r("first", model) for model in "abc"]
    drawn = [r(f"q{n}", model, useful=draw(st.floats(0, 1)), latency_ms=draw(st.floats(0, 9))) for n, model in pairs]
    served = {n: model if draw(st.booleans()) else None for n, model in pairs}
    for cell, (n, model) in zip(drawn, pairs, strict=True):
        cell["chosen"] = served[n] == model
    return outcomes_of(rows(*always, *drawn), {name: Price() for name in "abc"})


def logged_names(outcomes: Outcomes) -> list[str]:
    return [outcomes.models[at] if at >= 0 else "" for at in outcomes.logged]


@settings(deadline=None, max_examples=20)
@given(tables(), st.permutations("abc"), st.integers(1, 3))
def test_reorder_moves_every_column_with_its_name(outcomes: Outcomes, order: list[str], kept: int) -> None:
    models = order[:kept]
    found = outcomes.reorder(models)
    assert found.models == tuple(models)
    for name in ("useful", "cost_usd", "latency_ms", "hallucinated", "failure"):
        for column, model in enumerate(models):
            before = getattr(outcomes, name)[:, outcomes.models.index(model)]
            np.testing.assert_array_equal(getattr(found, name)[:, column], before)
    assert logged_names(found) == [name if name in models else "" for name in logged_names(outcomes)]
    assert found.request_id.tolist() == outcomes.request_id.tolist()


@settings(deadline=None, max_examples=20)
@given(tables(), st.data())
def test_take_keeps_each_requests_own_facts(outcomes: Outcomes, data: st.DataObject) -> None:
    at = data.draw(st.lists(st.integers(0, len(outcomes) - 1), max_size=6))
    found = outcomes.take(np.array(at, dtype=np.intp))
    assert found.request_id.tolist() == [outcomes.request_id[index] for index in at]
    assert logged_names(found) == [logged_names(outcomes)[index] for index in at]
    np.testing.assert_array_equal(found.useful, outcomes.useful[at])
    mask = outcomes.logged >= 0
    assert len(outcomes.take(mask)) == mask.sum()
    assert request_hashes(found).tolist() == request_hashes(outcomes)[at].tolist()


def test_request_hashes_are_stable_and_distinct() -> None:
    table = rows(r("x", "a"), r("x|1", "a"), r("y", "a", timestamp="2026-01-06"), r("深", "a"))
    found = request_hashes(outcomes_of(table, {"a": Price()}))
    assert found.dtype == np.uint64
    assert len(set(found.tolist())) == 4
    microseconds = 1_767_571_200_000_000  # 2026-01-05
    assert found[0].tobytes() == blake2b(f"x|{microseconds}".encode(), digest_size=8).digest()
    moved = rows(r("x", "a", timestamp="2026-01-05T00:00:00.000001"))
    assert request_hashes(outcomes_of(moved, {"a": Price()}))[0] != found[0]
    assert request_hashes(outcomes_of(table, {"a": Price()}).take([])).shape == (0,)
