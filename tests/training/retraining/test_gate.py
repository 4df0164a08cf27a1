"""The gate: each condition alone keeps it shut."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from pointsman.errors import SpecError
from pointsman.retraining.gate import gate, label_conditions
from pointsman.spec import Promotion, parse_spec

SPEC = {"candidates": {"a": {}}, "safe_model": "a"}


def report() -> dict[str, Any]:
    """A comparison that speaks for the challenger."""
    return {
        "stands": "ahead",
        "change": {
            "net_value_usd": {"difference": 0.002, "low": 0.001, "high": 0.003},
            "useful_rate": {"difference": 0.0, "low": -0.01, "high": 0.01},
            "cost_usd": {"difference": -1.0, "low": -2.0, "high": -0.5},
        },
        "intents": [
            {"intent": "code", "requests": 90, "before": {"useful_rate": 0.8}, "after": {"useful_rate": 0.8}, "p": 1.0}
        ],
        "constraints": [{"name": "useful_rate", "verdict": "held"}],
        "off_policy": None,
    }


def test_it_opens_where_everything_holds() -> None:
    assert gate(report(), Promotion(), certified=True, champion="holds").holds


@pytest.mark.parametrize(
    ("path", "value", "name"),
    [
        (("change", "net_value_usd", "low"), -0.0001, "gain"),
        (("change", "useful_rate", "low"), -0.03, "useful"),
        (("constraints", 0, "verdict"), "broken", "constraints"),
        (("off_policy",), {"tellable": False, "reasons": ["too few"]}, "tellable"),
    ],
)
def test_each_condition_shuts_it(path: tuple[Any, ...], value: Any, name: str) -> None:
    changed = deepcopy(report())
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    found = gate(changed, Promotion(), certified=True, champion="holds")
    assert [one.name for one in found.conditions if not one.holds] == [name]


def test_an_intent_that_loses_shuts_it_though_the_sum_gains() -> None:
    changed = report()
    changed["intents"][0] |= {"after": {"useful_rate": 0.7}, "p": 0.01}
    found = gate(changed, Promotion(), certified=True, champion="holds")
    assert found.reasons == ["intents that lose more than 5 points: code -10.0 points on 90"]
    assert gate(changed, Promotion(intent_margin=0.2), certified=True, champion="holds").holds


def test_a_certificate_is_asked_for_unless_the_spec_says_otherwise() -> None:
    assert not gate(report(), Promotion(), certified=False, champion="holds").holds
    assert gate(report(), Promotion(certificate="not_refuted"), certified=False, champion="holds").holds


def test_a_refuted_champion_gives_way_to_a_certified_challenger_that_gains_nothing() -> None:
    dearer = report()
    dearer["change"]["net_value_usd"]["low"] = -0.001
    assert gate(dearer, Promotion(), certified=True, champion="refuted").holds
    assert not gate(dearer, Promotion(), certified=True, champion="unproven").holds
    assert not gate(dearer, Promotion(certificate="not_refuted"), certified=False, champion="refuted").holds
    assert not gate({**dearer, "stands": "same"}, Promotion(), certified=True, champion="refuted").holds


def test_labels_that_jump_or_are_noisy_wait_for_a_person() -> None:
    jumped = label_conditions({"a": 0.01, "b": -0.3}, 0.4, Promotion(), confirmed=False)
    assert [one.holds for one in jumped] == [False, False]
    assert "of b moved by -30.0" in jumped[0].text
    assert all(one.holds for one in label_conditions({"a": 0.01, "b": -0.3}, 0.4, Promotion(), confirmed=True))
    assert all(one.holds for one in label_conditions({"a": 0.1}, 0.05, Promotion(), confirmed=False))


def test_the_specs_key_is_checked_as_the_others_are() -> None:
    assert parse_spec({**SPEC, "promotion": {"intent_margin": 0.1}}).promotion.intent_margin == 0.1
    with pytest.raises(SpecError, match=r"promotion\.confidence.*0\.5"):
        parse_spec({**SPEC, "promotion": {"confidence": 0.2}})
    with pytest.raises(SpecError, match="min_gain"):
        parse_spec({**SPEC, "promotion": {"mingain": 1}})
