"""What holds of every rule, whatever is believed.

Beliefs are drawn as multiples of 1/1024 and prices as powers of two, so that sums are exact in float32 and a tie is a
tie.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pointsman.errors import BundleError
from pointsman.rules import Abstain, LadderRule, Rule, ValueRule, rule_from_dict

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


def grouped_ladder(groups: dict[str, tuple[str, ...]], shift: dict[str, float]) -> LadderRule:
    return LadderRule(0.5, {"a": 0.5, "b": 0.5}, groups=groups, shift=shift)


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


INTENTS = ("chat", "code", "poem", "sum")
GROUPS = {"talk": ("chat", "poem"), "work": ("code",)}


def intents_of(situation: dict[str, Any], draw: Any) -> Any:
    size = situation["useful"].shape[1]
    return np.array(draw(st.lists(st.integers(0, 3), min_size=size, max_size=size)), dtype=np.intp)


@settings(max_examples=300)
@given(ladders(), st.integers(-512, 512), st.integers(-512, 512), st.data())
def test_a_shift_is_added_to_every_threshold_of_its_group(
    case: tuple[dict[str, Any], LadderRule], talk: int, work: int, data: st.DataObject
) -> None:
    situation, rule = case
    intent = intents_of(situation, data.draw)
    shift = {"talk": talk / 1024, "work": work / 1024}
    grouped = replace(rule, groups=GROUPS, shift=shift)
    changes = grouped.by_intent(INTENTS)
    assert changes is not None
    chosen = grouped.choose(**situation, by_group=changes[intent])
    by_intent = dict(zip(INTENTS, [shift["talk"], shift["work"], shift["talk"], 0.0], strict=True))
    for code, name in enumerate(INTENTS):
        # Never is never: a threshold above 1 stays above every probability.
        raised = {model: p if p > 1 else p + by_intent[name] for model, p in rule.min_p_useful.items()}
        lone = {key: table[:, intent == code] for key, table in situation.items()}
        useful, late, eligible = lone["useful"], lone["late"], lone["eligible"]
        for request, index in enumerate(chosen[intent == code]):
            rows = np.flatnonzero(eligible[:, request])
            usable = [row for row in rows if late[row, request] <= rule.max_p_late] or list(rows)
            clearing = [row for row in usable if useful[row, request] >= raised[NAMES[row]]]
            clearing = [row for row in clearing if rule.min_p_useful[NAMES[row]] <= 1]
            assert index == (clearing[0] if clearing else max(usable, key=useful[:, request].__getitem__))


def test_never_is_never_in_any_group() -> None:
    rule = LadderRule(1.0, {"a": 1.01, "b": 0.5}, groups={"talk": ("chat",)}, shift={"talk": -0.5})
    useful = np.array([[0.9, 1.0], [0.1, 0.6]], dtype=np.float32)
    rest: dict[str, Any] = {"cost_usd": useful, "late": useful, "eligible": np.ones((2, 2), dtype=np.bool_)}
    assert rule.choose(useful, **rest, by_group=np.full(2, -0.5, dtype=np.float32)).tolist() == [1, 1]


@settings(max_examples=200)
@given(situations(), PRICE, PRICE, st.sampled_from([0.0, 0.5]), st.data())
def test_a_factor_multiplies_the_value_of_its_group(
    situation: dict[str, Any], price: float, factor: float, late: float, data: st.DataObject
) -> None:
    intent = intents_of(situation, data.draw)
    grouped = ValueRule(1.0, price, late, GROUPS, {"talk": factor, "work": 1.0})
    changes = grouped.by_intent(INTENTS)
    assert changes is not None
    chosen = grouped.choose(**situation, by_group=changes[intent])
    plain, other = (ValueRule(1.0, value, late).choose(**situation) for value in (price, price * factor))
    np.testing.assert_array_equal(chosen, np.where(np.isin(intent, [0, 2]), other, plain))


def test_no_groups_change_nothing() -> None:
    assert ValueRule(1.0, 1.0).by_intent(INTENTS) is None
    assert LadderRule(1.0, {"a": 0.5}).by_intent(INTENTS) is None


def test_what_there_is_none_of_is_not_in_the_json() -> None:
    assert ValueRule(0.5, 1.0).to_dict() == {
        "kind": "value",
        "trust": 0.5,
        "useful_value_usd": 1.0,
        "late_cost_usd": 0.0,
    }
    assert list(LadderRule(0.5, {"a": 0.5}).to_dict()) == ["kind", "trust", "min_p_useful", "max_p_late"]


@given(cases(), st.booleans(), st.sampled_from([None, Abstain(0.25, "a")]))
def test_rules_survive_their_json(case: tuple[dict[str, Any], Rule], grouped: bool, abstain: Abstain | None) -> None:
    rule: Any = replace(case[1], abstain=abstain)  # type: ignore[type-var]
    if grouped:
        key = "shift" if isinstance(rule, LadderRule) else "factor"
        rule = replace(rule, groups=GROUPS, **{key: {"talk": 0.5, "work": 1.0}})
    assert rule_from_dict(json.loads(json.dumps(rule.to_dict()))) == rule


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
        (grouped_ladder({"talk": ("chat",)}, {"talk": 1.5}), "rule.shift.talk is 1.5; a number from -1 to 1"),
        (grouped_ladder({"talk": ("chat",)}, {}), r"rule.shift names \[\]; the groups \['talk'\] are needed"),
        (grouped_ladder({}, {"talk": 0.1}), r"rule.shift names \['talk'\]; the groups \[\] are needed"),
        (grouped_ladder({"talk": ("song",)}, {"talk": 0.1}), "rule.groups.talk names 'song'; allowed: chat, code"),
        (
            grouped_ladder({"talk": ("chat",), "work": ("chat",)}, {"talk": 0.1, "work": 0.1}),
            "rule.groups.work names 'chat', which has a place; one is allowed",
        ),
        (ValueRule(0.5, 1.0, 0.0, {"talk": ("chat",)}, {"talk": 0.0}), "rule.factor.talk is 0.0"),
        (ValueRule(0.5, 1.0, abstain=Abstain(1.5, "a")), "rule.abstain.below_confidence is 1.5; a number from 0 to 1"),
        (ValueRule(0.5, 1.0, abstain=Abstain(0.5, "c")), "rule.abstain.model is 'c'; allowed: a, b"),
    ],
)
def test_thresholds_out_of_range_are_named(rule: Rule, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        rule.check(("a", "b"), ("chat", "code"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "magic"}, "rule.kind is 'magic'; allowed: value, ladder"),
        ({"kind": None}, "rule.kind is None"),
        ({"mood": 1}, "rule has the keys trust, useful_value_usd, late_cost_usd, mood; needed"),
        ({"shift": {}}, "allowed too: groups, factor, abstain"),
        ({"groups": [], "factor": {}}, r"rule.groups is \[\]; an object is needed"),
        ({"groups": {"talk": "chat"}, "factor": {"talk": 1}}, "rule.groups.talk is 'chat'; a list is needed"),
        ({"abstain": {"model": "a"}}, "rule.abstain.below_confidence is missing"),
        ({"abstain": 0.5}, "rule.abstain is 0.5; an object is needed"),
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
