"""The policy file: what is written is read, what the schema refuses is refused."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pointsman.policy
from pointsman.errors import BundleError
from pointsman.guards.settings import Budget, GuardSettings, Retry
from pointsman.policy import Candidate, Expected, Fallback, Policy, Text
from pointsman.rules import Abstain, LadderRule, Rule, ValueRule

SCHEMA = json.loads(Path(pointsman.policy.__file__).with_name("policy.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def policy(rule: Rule) -> Policy:
    return Policy(
        intents=("chat", "@useful@"),
        candidates=(
            Candidate("small", 0.1, 0.4, ("text",), 8_000, None, 4),
            Candidate("größer", modalities=("text", "image"), timeout_ms=20_000.0),
        ),
        rule=rule,
        expected=Expected(
            np.array([[0.9, 0.95], [0.1, 1 / 3]]), np.array([[1e-7, 1e-3], [0.0, 2.0]]), np.zeros((2, 2))
        ),
        safe_model="small",
        pinned_intents={"chat": "small"},
        pinned_modalities={"image": "größer"},
        fallbacks=(Fallback("größer", ("chat", "timeout"), 200.0), Fallback("small")),
        long_context_tokens=4_000,
        guards=GuardSettings(Retry(max_retries=3), budget=Budget(usd_per_day=20.0), simpler_model="small"),
        text=Text(100, 50),
        evidence={"useful_rate": [0.8, 0.78, 0.82], "note": "@cost_usd@\nline"},
    )


VALUE = policy(ValueRule(0.5, 0.02, 0.001))
LADDER = policy(LadderRule(0.5, {"small": 0.8, "größer": 1.5}, 0.1))
ABSTAIN = Abstain(0.4, "größer")
GROUPED_VALUE = replace(VALUE, rule=ValueRule(0.5, 0.02, 0.001, {"talk": ("chat",)}, {"talk": 2.0}, ABSTAIN))
GROUPED = replace(
    policy(LadderRule(0.5, {"small": 0.8, "größer": 1.5}, 0.1, {"talk": ("chat",)}, {"talk": -0.1}, ABSTAIN)),
    long_context="größer",
)
EVERY = [VALUE, LADDER, GROUPED_VALUE, GROUPED]
EACH = pytest.mark.parametrize("one", EVERY, ids=["value", "ladder", "value with groups", "ladder with groups"])


@EACH
def test_json_and_back(one: Policy) -> None:
    text = one.to_json()
    again = Policy.from_json(text)
    assert again.to_json() == text
    assert again.to_dict() == one.to_dict() == json.loads(text)
    for name, table in one.expected.tables.items():
        np.testing.assert_array_equal(getattr(again.expected, name), table)
    assert again.rule == one.rule
    assert again.candidates == one.candidates
    assert again.fallbacks == one.fallbacks
    assert again.text == one.text


@EACH
def test_the_schema_describes_it(one: Policy) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    VALIDATOR.validate(one.to_dict())
    VALIDATOR.validate(json.loads(one.to_json()))


def test_every_property_of_the_schema_is_described() -> None:
    def walk(node: Any, path: str) -> list[str]:
        found = []
        if isinstance(node, dict):
            for name, entry in node.get("properties", {}).items():
                if "description" not in entry and "const" not in entry:
                    found.append(f"{path}.{name}")
            for key, entry in node.items():
                found += walk(entry, f"{path}.{key}")
        return found

    assert walk(SCHEMA, "") == []
    assert set(SCHEMA["properties"]) == set(SCHEMA["required"]) == set(VALUE.to_dict())


def test_a_table_is_written_one_row_a_line() -> None:
    lines = VALUE.to_json().splitlines()
    assert "      [0.9, 0.95]," in lines
    assert "      [1e-07, 0.001]," in lines


ODD = (
    st.sampled_from(
        [
            None,
            True,
            False,
            0,
            1,
            -1,
            2,
            0.5,
            -0.5,
            3.7,
            1e9,
            "",
            "x",
            "0.5",
            [],
            [1],
            {},
            {"a": 1},
            [[0.1, 0.2]],
            "text",
        ]
    )
    | st.floats(allow_nan=False, allow_infinity=False)
).map(copy.deepcopy)  # each its own: they are changed


@st.composite
def mutations(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a policy's document with one to three changes anywhere in it."""
    document = copy.deepcopy(draw(st.sampled_from(EVERY)).to_dict())
    for _ in range(draw(st.integers(1, 3))):
        place: Any = document
        key: Any = draw(st.sampled_from(sorted(document)))
        while isinstance(place[key], dict | list) and place[key] and draw(st.integers(0, 4)):
            place = place[key]
            key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        way = draw(st.sampled_from(["set", "set", "delete", "add"]))
        if way == "set":
            place[key] = draw(ODD)
        elif way == "delete":
            del place[key]
        elif isinstance(place, dict):
            place[draw(st.sampled_from(["extra", "", "kind"]))] = draw(ODD)
        else:
            place.append(draw(ODD))
        if not document:
            break
    return document


@settings(max_examples=600, deadline=None)
@given(mutations())
def test_what_the_schema_refuses_is_refused(document: dict[str, Any]) -> None:
    fits = VALIDATOR.is_valid(document)
    try:
        read = Policy.from_dict(document)
    except BundleError:
        return  # the loader may refuse more: names that do not exist, tables of another shape
    assert fits, next(VALIDATOR.iter_errors(document)).message
    assert VALIDATOR.is_valid(read.to_dict())


@settings(max_examples=200, deadline=None)
@given(st.text() | st.sampled_from(["[" * 100_000, "1" * 10_000, '{"policy_version": 1}', "null", "[]", "NaN"]))
def test_any_text_is_a_policy_or_a_bundle_error(text: str) -> None:
    with pytest.raises(BundleError):
        Policy.from_json(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"policy_version": 2}, "policy_version is 2; this release reads 1"),
        ({"policy_version": True}, "policy_version is True"),
        ({"mood": 1}, "unknown key 'mood'"),
        ({"safe_model": "huge"}, "safe_model is 'huge'; allowed: small, größer"),
        ({"pinned_intents": {"chat": "huge"}}, "pinned_intents.chat is 'huge'"),
        ({"pinned_intents": {"poetry": "small"}}, "pinned_intents names 'poetry'"),
        ({"pinned_modalities": {"video": "small"}}, "pinned_modalities names 'video'; allowed: text, image, audio"),
        ({"long_context_tokens": "8000"}, "long_context_tokens is '8000'; an integer of at least 0"),
        ({"long_context_tokens": 3.7}, "long_context_tokens is 3.7"),
        ({"long_context_tokens": -1}, "long_context_tokens is -1"),
        ({"long_context": "huge"}, "long_context is 'huge'; allowed: small, größer"),
        ({"long_context": ""}, "long_context is ''; a text that is not empty"),
        ({"text": {"head_chars": 1}}, "text.tail_chars is missing"),
        ({"text": {"head_chars": 1, "tail_chars": -1}}, "text.tail_chars is -1"),
        ({"candidates": {}}, "candidates is {}; a list is needed"),
        ({"intents": ["chat", "chat"]}, "intents names 'chat' twice"),
        ({"intents": []}, "at least one intent"),
        ({"guards": []}, r"guards is \[\]; an object is needed"),
        ({"guards": {"retries": 3}}, "guards has the unknown key 'retries'; allowed: retry, breaker, budget"),
        ({"guards": {"simpler_model": "tiny"}}, "guards.simpler_model is 'tiny'; allowed: small, größer or null"),
        ({"guards": {"retry": {"max_retries": 1.5}}}, "guards.retry.max_retries is 1.5; a whole number from 0 to 20"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        Policy.from_dict(VALUE.to_dict() | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modalities": []}, "modalities is empty; allowed: text, image, audio"),
        ({"modalities": ["video"]}, "modalities has 'video'"),
        ({"context_window": 0}, "context_window is 0; an integer of at least 1"),
        ({"timeout_ms": float("inf")}, "timeout_ms is inf"),
        ({"timeout_ms": True}, "timeout_ms is True"),
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"name": ""}, "name is ''"),
        ({"name": "größer"}, "candidates names 'größer' twice"),
    ],
)
def test_what_is_wrong_with_a_candidate_is_named(change: dict[str, Any], message: str) -> None:
    document = VALUE.to_dict()
    document["candidates"][0] |= change
    with pytest.raises(BundleError, match=message):
        Policy.from_dict(document)


@pytest.mark.parametrize(
    ("name", "table", "message"),
    [
        ("useful", [[0.5, 1.5], [0.5, 0.5]], r"expected.useful holds 0.5 to 1.5; allowed: 0 to 1"),
        ("cost_usd", [[0.5, -1], [0.5, 0.5]], "expected.cost_usd holds -1 to 0.5; allowed: 0 to 1e"),
        ("late", [[0.5, 0.5]], r"expected.late is \(1, 2\); \(2, 2\)"),
        ("late", [[0.5], [0.5, 0.5]], "not in the form of policy.schema.json"),
        ("late", [["0.5", 0.5], [0.5, 0.5]], "expected.late holds '0.5'; numbers are needed"),
        ("late", [[None, 0.5], [0.5, 0.5]], "expected.late holds None"),
        ("late", [[float("nan"), 0.5], [0.5, 0.5]], "not a finite number"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(name: str, table: Any, message: str) -> None:
    document = VALUE.to_dict()
    document["expected"][name] = table
    with pytest.raises(BundleError, match=message):
        Policy.from_dict(document)


def test_nan_is_no_json() -> None:
    with pytest.raises(BundleError, match="NaN is no JSON number"):
        Policy.from_json(VALUE.to_json().replace("[0.8, 0.78", "[NaN, 0.78").replace("0.8,", "NaN,"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        replace(VALUE, evidence={"loss": float("nan")}).to_json()


def test_fallback_words_fall_in_two_kinds() -> None:
    fallback = Fallback("x", ("code", "timeout", "long_context", "error"))
    assert fallback.failures == ("timeout", "error")
    assert fallback.requests == ("code", "long_context")
