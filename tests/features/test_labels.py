"""Intents worth learning, and the compute each request needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pointsman.labels import intent_labels, needed_compute, out_of_scope


def intents(*names: str) -> Any:
    return np.array(names, dtype=object)


def test_frequent_intents_are_kept_sorted() -> None:
    labels = intent_labels(intents("code", "chat", "code", "", "chat"), min_count=2)
    assert labels.names == ("chat", "code")
    assert labels.codes.tolist() == [1, 0, 1, -1, 0]
    assert labels.merged == {}


def test_rare_intents_become_other_where_they_are_enough_together() -> None:
    labels = intent_labels(intents("code", "code", "a", "b", ""), min_count=2)
    assert labels.names == ("code", "other")
    assert labels.codes.tolist() == [0, 0, 1, 1, -1]
    assert labels.merged == {"a": 1, "b": 1}


def test_rare_intents_that_are_few_even_together_stay_unlabelled() -> None:
    labels = intent_labels(intents("code", "code", "code", "a"), min_count=3)
    assert (labels.names, labels.codes.tolist(), labels.merged) == (("code",), [0, 0, 0, -1], {"a": 1})


def test_an_intent_of_the_name_other_takes_the_rare_ones_in() -> None:
    labels = intent_labels(intents("other", "other", "a"), min_count=2)
    assert (labels.names, labels.codes.tolist()) == (("other",), [0, 0, 0])


def test_one_intent_only() -> None:
    assert intent_labels(intents(*["code"] * 3), min_count=3).codes.tolist() == [0, 0, 0]


@pytest.mark.parametrize("names", [[], ["", ""], ["a", "", "b"]])
def test_without_enough_labels_there_is_the_one_intent_any_for_every_request(names: list[str]) -> None:
    labels = intent_labels(intents(*names))
    assert labels.names == ("any",)
    assert labels.codes.tolist() == [0] * len(names)
    assert labels.code(intents("new", "", "a")).tolist() == [0, 0, 0]


def test_names_that_differ_in_a_last_zero_character_differ() -> None:
    assert intent_labels(intents("a", "a\0"), min_count=1).names == ("a", "a\0")


def test_later_requests_new_intents_are_other_or_unlabelled() -> None:
    assert intent_labels(intents("a", "a", "b", "c"), min_count=2).code(intents("new", "a", "")).tolist() == [1, 0, -1]
    assert intent_labels(intents("a", "a"), min_count=2).code(intents("new", "a")).tolist() == [-1, 0]


@given(st.lists(st.sampled_from(["", "a", "b", "c", "other", "any"]), max_size=30), st.integers(1, 5))
def test_codes_are_those_of_code_and_every_request_is_accounted_for(names: list[str], min_count: int) -> None:
    labels = intent_labels(intents(*names), min_count)
    assert labels.code(intents(*names)).tolist() == labels.codes.tolist()
    assert list(labels.names) == sorted(set(labels.names))
    assert all(names.count(name) == count < min_count for name, count in labels.merged.items())
    assert set(labels.codes.tolist()) <= {-1, *range(len(labels.names))}


def test_needed_compute_is_the_cheapest_useful_candidate() -> None:
    nan = np.nan
    useful = np.array([[1, 1, 0], [0, 0.5, 1], [0, 0, 0.4], [nan, 1, 1], [1, 1, 1]])
    cost = np.array([[2, 1, 0.1], [1, 2, 3], [1, 1, 1], [0, nan, 5], [4, 4, 9]])
    assert needed_compute(useful, cost).tolist() == [1, 1, -1, 2, 0]


@given(arrays(np.float64, (4, 3), elements=st.floats(0, 1) | st.just(np.nan)), arrays(np.float64, (4, 3)))
def test_needed_compute_is_useful_and_known_or_none(useful: Any, cost: Any) -> None:
    for row, found in enumerate(needed_compute(useful, cost)):
        fit = (useful[row] >= 0.5) & np.isfinite(cost[row])
        assert (found == -1) == (not fit.any())
        assert found == -1 or (fit[found] and cost[row][found] == cost[row][fit].min())


# --- several intents, and none


def test_several_intents_are_separated_by_a_bar_and_the_first_is_the_main_one() -> None:
    intents = np.array(["refund|complaint", "refund", "complaint | refund", ""] * 10, dtype=object)
    labels = intent_labels(intents)
    assert labels.several
    assert labels.names == ("complaint", "refund")
    assert labels.codes[:4].tolist() == [1, 1, 0, -1]
    assert labels.taught[:4].tolist() == [[0.5, 0.5], [0, 1], [0.5, 0.5], [0, 0]]
    assert labels.teach(np.array(["refund|unheard of", "unheard of"], dtype=object)).tolist() == [[0, 1], [0, 0]]


def test_a_few_requests_with_several_intents_keep_their_main_one() -> None:
    intents = np.array(["a|b"] * 5 + ["a"] * 300 + ["b"] * 300, dtype=object)
    labels = intent_labels(intents)
    assert not labels.several
    assert labels.names == ("a", "b")
    assert labels.taught is labels.codes
    assert labels.codes[:5].tolist() == [0] * 5


def test_a_rare_main_intent_gives_way_to_a_known_one() -> None:
    intents = np.array(["rare|a"] * 3 + ["a"] * 20 + ["b"] * 20, dtype=object)
    labels = intent_labels(intents)
    assert labels.names == ("a", "b")
    assert labels.codes[:3].tolist() == [0] * 3
    assert labels.merged == {"rare": 3}


def test_out_of_scope_is_no_intent() -> None:
    intents = np.array(["a"] * 20 + ["b"] * 20 + ["out_of_scope"] * 20 + ["OOS"] * 20, dtype=object)
    labels = intent_labels(intents)
    assert labels.names == ("a", "b")
    assert labels.codes[40:].tolist() == [-1] * 40
    assert out_of_scope(intents).tolist() == [False] * 40 + [True] * 40
    assert labels.merged == {}
