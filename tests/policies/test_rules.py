"""What holds of every rule, whatever is believed.

Beliefs are drawn as multiples of 1/1024 and prices as powers of two, so that sums are exact in float32 and a tie is a
tie.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pointsman.errors import BundleError
from pointsman.rules import LadderRule, Rule, ValueRule, rule_from_dict

NAMES = ("a", "b", "c", "d", "e")
GRID = (st.integers(0, 4).map(lambda step: 256 * step) | st.integers(0, 1024)).map(lambda step: np.float32(step / 1024))
PRICE = st.integers(-6, 3).map(lambda power: 2.0**power)


@st.composite
def situations(draw: st.DrawFn) -> dict[str, Any]:
    """Draw beliefs of m candidates about n requests, at least one candidate eligible for each."""
    shape = (draw(st.integers(1, 5)), draw(st.integers(1, 6)))
    eligible = draw(arrays(np.bool_, shape, elements=st.booleans(), fill=st.nothing()))
    eligible[draw(st.integers(0, shape[0] - 1)), ~eligible.any(axis=0)] = True
    drawn = {
        name: draw(arrays(np.float32, shape, elements=GRID, fill=st.nothing()))
        for name in ("useful", "cost_usd", "late")
    }
    return {**drawn, "eligible": eligible}


@st.composite
def ladders(draw: st.DrawFn) -> tuple[dict[str, Any], LadderRule]:
    situation = draw(situations())
    names = NAMES[: len(situation["useful"])]
    steps = st.lists(st.integers(0, 1100), min_size=len(names), max_size=len(names))
    thresholds = steps.map(lambda drawn: {name: step / 1024 for name, step in zip(names, drawn, strict=True)})
    return situation, LadderRule(1.0, draw(thresholds), draw(st.sampled_from([0.0, 0.25, 0.5, 1.0])))


VALUES = st.builds(ValueRule, st.just(1.0), PRICE, st.sampled_from([0.0, 0.5, 4.0]))


def cases() -> st.SearchStrategy[tuple[dict[str, Any], Rule]]:
    return st.tuples(situations(), VALUES) | ladders()


def at(table: Any, chosen: Any) -> Any:
    return table[chosen, np.arange(len(chosen))]


@given(cases())
def test_the_chosen_candidate_is_eligible(case: tuple[dict[str, Any], Rule]) -> None:
    situation, rule = case
    assert at(situation["eligible"], rule.choose(**situation)).all()


@given(cases())
def test_arguments_are_left_as_they_are(case: tuple[dict[str, Any], Rule]) -> None:
    situation, rule = case
    before = {name: table.copy() for name, table in situation.items()}
    rule.choose(**situation)
    for name, table in situation.items():
        np.testing.assert_array_equal(table, before[name])


@given(cases(), st.randoms(use_true_random=False))
def test_each_request_is_decided_for_itself(case: tuple[dict[str, Any], Rule], random: Any) -> None:
    situation, rule = case
    order = list(range(situation["useful"].shape[1]))
    random.shuffle(order)
    shuffled = {name: table[:, order] for name, table in situation.items()}
    np.testing.assert_array_equal(rule.choose(**shuffled), rule.choose(**situation)[order])


@given(cases())
def test_what_is_not_eligible_does_not_matter(case: tuple[dict[str, Any], Rule]) -> None:
    situation, rule = case
    blocked = ~situation["eligible"]
    other = {**situation, "useful": np.where(blocked, 1, situation["useful"])}
    other["cost_usd"], other["late"] = np.where(blocked, 0, other["cost_usd"]), np.where(blocked, 0, other["late"])
    np.testing.assert_array_equal(rule.choose(**other), rule.choose(**situation))


@settings(max_examples=300)
@given(situations(), PRICE, st.sampled_from([0.0, 0.5, 4.0]))
def test_value_is_the_lagrangians_argmax(situation: dict[str, Any], price: float, late: float) -> None:
    score = price * situation["useful"] - situation["cost_usd"] - late * situation["late"]
    expected = np.where(situation["eligible"], score, -np.inf).argmax(axis=0)  # the first, so the cheaper, of equals
    np.testing.assert_array_equal(ValueRule(1.0, price, late).choose(**situation), expected)


@given(situations(), PRICE, st.integers(-4096, 4096))
def test_value_ignores_a_constant_in_every_belief(situation: dict[str, Any], price: float, step: int) -> None:
    rule = ValueRule(1.0, price)
    moved = {**situation, "useful": situation["useful"] + np.float32(step / 1024)}
    np.testing.assert_array_equal(rule.choose(**moved), rule.choose(**situation))


@given(situations(), PRICE, PRICE, st.sampled_from([0.0, 0.5]))
def test_a_higher_value_never_buys_less(situation: dict[str, Any], one: float, other: float, late: float) -> None:
    low, high = sorted((one, other))
    before = at(situation["useful"], ValueRule(1.0, low, late).choose(**situation))
    after = at(situation["useful"], ValueRule(1.0, high, late).choose(**situation))
    assert (after >= before).all()


@given(situations(), PRICE, st.randoms(use_true_random=False))
def test_value_does_not_depend_on_the_order_of_candidates(situation: dict[str, Any], price: float, random: Any) -> None:
    order = list(range(len(situation["useful"])))
    random.shuffle(order)
    rule = ValueRule(1.0, price)
    score = price * situation["useful"] - situation["cost_usd"]
    shuffled = rule.choose(**{name: table[order] for name, table in situation.items()})
    np.testing.assert_array_equal(at(score[order], shuffled), at(score, rule.choose(**situation)))


@settings(max_examples=300)
@given(ladders())
def test_ladder_takes_the_cheapest_that_clears_its_threshold(case: tuple[dict[str, Any], LadderRule]) -> None:
    situation, rule = case
    useful, late, eligible = situation["useful"], situation["late"], situation["eligible"]
    chosen = rule.choose(**situation)
    for request, index in enumerate(chosen):
        usable = [row for row in range(len(useful)) if eligible[row, request] and late[row, request] <= rule.max_p_late]
        usable = usable or [row for row in range(len(useful)) if eligible[row, request]]
        clearing = [row for row in usable if useful[row, request] >= rule.min_p_useful[NAMES[row]]]
        expected = clearing[0] if clearing else max(usable, key=useful[:, request].__getitem__)
        assert index == expected


@given(cases())
def test_rules_survive_their_json(case: tuple[dict[str, Any], Rule]) -> None:
    rule = case[1]
    assert rule_from_dict(rule.to_dict()) == rule


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (ValueRule(1.5, 1.0), r"rule.trust is 1.5; a number from 0 to 1"),
        (ValueRule(0.5, -1.0), "rule.useful_value_usd is -1.0"),
        (ValueRule(0.5, float("inf")), "rule.useful_value_usd is inf"),
        (ValueRule(0.5, float("nan")), "rule.useful_value_usd is nan"),
        (ValueRule(0.5, 1.0, late_cost_usd=True), "rule.late_cost_usd is True"),
        (ValueRule("1", 1.0), "rule.trust is '1'"),  # type: ignore[arg-type]
        (LadderRule(0.5, {"a": 0.5}), r"names \['a'\]; \['a', 'b'\] is needed"),
        (LadderRule(0.5, {"b": 0.5, "a": 0.5}), r"is needed"),
        (LadderRule(0.5, {"a": 0.5, "b": 2.5}), "rule.min_p_useful.b is 2.5; a number from 0 to 2"),
        (LadderRule(0.5, {"a": 0.5, "b": 0.5}, max_p_late=1.5), "rule.max_p_late is 1.5"),
    ],
)
def test_thresholds_out_of_range_are_named(rule: Rule, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        rule.check(("a", "b"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "magic"}, "rule.kind is 'magic'; allowed: value, ladder"),
        ({"kind": None}, "rule.kind is None"),
        ({"mood": 1}, "rule has the keys trust, useful_value_usd, late_cost_usd, mood; needed"),
    ],
)
def test_unknown_kinds_and_keys_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        rule_from_dict(ValueRule(0.5, 1.0).to_dict() | change)


def test_no_trust_or_threshold_is_assumed() -> None:
    document = ValueRule(0.5, 1.0).to_dict()
    del document["late_cost_usd"]
    with pytest.raises(BundleError, match="needed: trust, useful_value_usd, late_cost_usd"):
        rule_from_dict(document)
    assert replace(ValueRule(0.5, 1.0), trust=0.0).trust == 0
