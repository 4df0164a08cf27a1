"""A change that is named does send the request elsewhere, and a smaller one does not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pointsman.decide import Facts, Reading, believe, blend, decide
from pointsman.explaining.elsewhere import Elsewhere, elsewhere
from pointsman.rules import LadderRule, Rule, ValueRule

if TYPE_CHECKING:
    from pointsman.policy import Policy

LADDER = LadderRule(1.0, {"small": 0.80, "medium": 0.85, "large": 0.90})
VALUE = ValueRule(1.0, useful_value_usd=0.05)


def one(
    policy: Policy, useful: list[float], modality: str = "text", tokens: int = 10
) -> tuple[Reading, Facts, dict[str, list[Elsewhere]]]:
    probs = np.array([[0.2, 0.7, 0.1]], dtype=np.float32)
    reading, facts = Reading(probs, np.array([useful], dtype=np.float32)), Facts.of([4 * tokens], modality, 0)
    found: dict[str, list[Elsewhere]] = {}
    for entry in elsewhere(reading, facts, policy):
        found.setdefault(entry.kind, []).append(entry)
    return reading, facts, found


def model(policy: Policy, reading: Reading, facts: Facts, rule: Rule | None = None) -> str:
    return policy.models[int(decide(believe(reading, facts, policy), rule or policy.rule)[0])]


@pytest.mark.parametrize("rule", [LADDER, VALUE, replace(VALUE, late_cost_usd=0.01), replace(LADDER, trust=0.3)])
@pytest.mark.parametrize("useful", [[0.7, 0.86, 0.95], [0.95, 0.97, 0.99], [0.1, 0.2, 0.3]])
def test_a_changed_belief_does_it_and_less_does_not(tiny_policy: Policy, rule: Rule, useful: list[float]) -> None:
    policy = replace(tiny_policy, rule=rule)
    reading, facts, found = one(policy, useful)
    beliefs = believe(reading, facts, policy)
    blended = blend(beliefs, rule)[:, 0]
    here = model(policy, reading, facts)
    assert found["belief"]
    for entry in found["belief"]:
        name = entry.change.split(" of ")[1].split(" at ")[0]
        row = policy.models.index(name)
        assert entry.value is not None
        assert (entry.value < blended[row]) == (name == here), "the chosen one's falls, the others' rise"
        less = entry.value + 1e-3 * np.sign(blended[row] - entry.value)
        for value, goes in ((entry.value, entry.model), (less, here)):
            query, intent = beliefs.query_useful.copy(), beliefs.intent_useful.copy()
            query[row, 0] = intent[row, 0] = value
            moved = replace(beliefs, query_useful=query, intent_useful=intent)
            assert policy.models[int(decide(moved, rule)[0])] == goes


def test_a_changed_threshold_does_it(tiny_policy: Policy) -> None:
    policy = replace(tiny_policy, rule=LADDER)
    reading, facts, found = one(policy, [0.7, 0.86, 0.95])
    assert model(policy, reading, facts) == "medium"
    told = {entry.change.split(" ")[0]: entry for entry in found["threshold"]}
    assert set(told) == {"rule.min_p_useful.small", "rule.min_p_useful.medium"}
    for key, entry in told.items():
        name = key.rpartition(".")[2]
        assert entry.value is not None
        rule = replace(LADDER, min_p_useful={**LADDER.min_p_useful, name: entry.value})
        assert model(policy, reading, facts, rule) == entry.model


def test_a_changed_price_of_usefulness_does_it_both_ways(tiny_policy: Policy) -> None:
    policy = replace(tiny_policy, rule=VALUE)
    reading, facts, found = one(policy, [0.2, 0.3, 0.95])
    assert model(policy, reading, facts) == "large"
    [cheaper] = found["threshold"]
    assert cheaper.value is not None
    assert cheaper.value < VALUE.useful_value_usd
    assert model(policy, reading, facts, replace(VALUE, useful_value_usd=cheaper.value)) == cheaper.model != "large"


def test_request_facts(tiny_policy: Policy) -> None:
    _, _, found = one(replace(tiny_policy, rule=LADDER), [0.95, 0.95, 0.95])
    assert [(entry.value, entry.model) for entry in found["context"]] == [(8_000.0, "medium")]
    assert {entry.change: entry.model for entry in found["modality"]} == {"modality image instead of text": "medium"}


def test_another_intent(tiny_policy: Policy) -> None:
    policy = replace(tiny_policy, rule=ValueRule(0.0, useful_value_usd=0.07))
    _, _, found = one(policy, [0.5, 0.5, 0.5])
    assert [(entry.change, entry.model) for entry in found["intent"]] == [
        ("intent surely synthesis instead of code", "large")
    ]


def test_nothing_to_change_where_only_one_may_take_it(tiny_policy: Policy) -> None:
    policy = replace(tiny_policy, rule=LADDER, pinned_intents={"code": "large"})
    _, _, found = one(policy, [0.9, 0.9, 0.9])
    assert "belief" not in found
    assert "threshold" not in found
