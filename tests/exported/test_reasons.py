"""Each reason says what happened, in one sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pointsman.decide import Facts, Reading, believe, blend, decide
from pointsman.policy import Candidate, Expected, Policy
from pointsman.reasons import Case, reason
from pointsman.rules import Abstain, LadderRule, ValueRule

THRESHOLDS = {"small": 0.80, "medium": 0.85, "large": 0.90}


def say(
    policy: Policy, useful: list[float], intent: str = "code", modality: str = "text", tokens: int = 10
) -> tuple[str, str]:
    """Decide one request whose beliefs are `useful`; return the model and the reason."""
    policy = replace(policy, rule=replace(policy.rule, trust=1.0))  # type: ignore[type-var]
    probs = np.where(np.array(policy.intents) == intent, 0.93, 0.035)[None].astype(np.float32)
    facts = Facts.of([4 * tokens], modality, 0)
    beliefs = believe(Reading(probs, np.array([useful], dtype=np.float32)), facts, policy)
    chosen = int(decide(beliefs, policy.rule)[0])
    case = Case(
        intent=intent,
        confidence=0.93,
        modality=modality,
        tokens=tokens,
        chosen=chosen,
        useful=blend(beliefs, policy.rule)[:, 0].tolist(),
        cost_usd=beliefs.cost_usd[:, 0].tolist(),
        late=beliefs.late[:, 0].tolist(),
        eligible=np.flatnonzero(beliefs.eligible[:, 0]).tolist(),
        capable=modality in policy.candidates[chosen].modalities,
    )
    return policy.models[chosen], reason(case, policy)


@pytest.fixture
def late_policy(tiny_policy: Policy) -> Policy:
    """Return a policy in which the small model is often late."""
    late = np.array([[0.4, 0.0, 0.0]] * 3)
    return replace(tiny_policy, expected=replace(tiny_policy.expected, late=late))


@pytest.mark.parametrize(
    ("useful", "expected"),
    [
        (
            [0.10, 0.20, 0.95],
            "code (0.93): small is believed useful 0.10, large 0.95; the difference is worth its price",
        ),
        (
            [0.71, 0.70, 0.86],
            "code (0.93): small is believed useful 0.71, large 0.86; the difference is not worth its price",
        ),
        ([0.90, 0.80, 0.70], "code (0.93): small is believed useful 0.90; no other is believed better or cheaper"),
    ],
)
def test_value_rule(tiny_policy: Policy, useful: list[float], expected: str) -> None:
    assert say(tiny_policy, useful)[1] == expected


def test_value_rule_and_lateness(late_policy: Policy) -> None:
    hurried = replace(late_policy, rule=ValueRule(1.0, useful_value_usd=0.02, late_cost_usd=0.05))
    model, sentence = say(hurried, [0.80, 0.81, 0.82])
    assert model == "medium"
    assert sentence.endswith("medium is believed useful 0.81, large 0.82; the difference is not worth its price")
    model, sentence = say(hurried, [0.80, 0.82, 0.81])
    assert sentence.endswith("medium 0.82; the difference and the shorter wait are together worth its price")
    model, sentence = say(hurried, [0.84, 0.82, 0.81])
    assert model == "medium"
    assert sentence.endswith("medium is believed useful 0.82, small 0.84; the difference is not worth its delay")


@pytest.mark.parametrize(
    ("useful", "expected"),
    [
        ([0.80, 0.99, 0.99], "code (0.93): small is believed useful 0.80 and clears its 0.80"),
        ([0.71, 0.86, 0.99], "code (0.93): small is believed useful 0.71, below its 0.80; medium 0.86 clears its 0.85"),
        (
            [0.71, 0.72, 0.64],
            "code (0.93): no candidate clears its threshold; medium is believed useful 0.72, the most",
        ),
    ],
)
def test_ladder_rule(tiny_policy: Policy, useful: list[float], expected: str) -> None:
    assert say(replace(tiny_policy, rule=LadderRule(1.0, THRESHOLDS)), useful)[1] == expected


def test_ladder_rule_and_lateness(late_policy: Policy) -> None:
    ladder = replace(late_policy, rule=LadderRule(1.0, THRESHOLDS, max_p_late=0.1))
    assert say(ladder, [0.99, 0.9, 0.9])[1].endswith(
        "small is too often late; medium is believed useful 0.90 and clears its 0.85"
    )
    assert say(ladder, [0.99, 0.5, 0.6])[1].endswith(
        "no candidate in time clears its threshold; large is believed useful 0.60, the most"
    )


def test_a_group_of_intents_has_thresholds_of_its_own(tiny_policy: Policy) -> None:
    ladder = LadderRule(1.0, THRESHOLDS, groups={"work": ("code",)}, shift={"work": -0.25})
    grouped = replace(tiny_policy, rule=ladder)
    assert say(grouped, [0.54, 0.61, 0.99])[1] == (
        "code (0.93): small is believed useful 0.54, below its 0.55; medium 0.61 clears its 0.60"
    )
    assert say(grouped, [0.55, 0.2, 0.99])[1] == "code (0.93): small is believed useful 0.55 and clears its 0.55"
    assert say(grouped, [0.54, 0.61, 0.99], intent="chat")[1].endswith(
        "small is believed useful 0.54, below its 0.80; large 0.99 clears its 0.90"
    )
    # The large model costs 0.0117 USD more: worth it at 0.02 USD and a difference of 0.6, not at 0.01 USD.
    useful = [0.3, 0.3, 0.9]
    rule = ValueRule(1.0, 0.005, groups={"work": ("code",)}, factor={"work": 4.0})
    model, sentence = say(replace(tiny_policy, rule=rule), useful)
    assert (model, sentence.endswith("large 0.90; the difference is worth its price")) == ("large", True)
    assert say(replace(tiny_policy, rule=replace(rule, factor={"work": 2.0})), useful)[0] == "small"


def test_abstention(tiny_policy: Policy) -> None:
    doubtful = replace(tiny_policy, rule=replace(tiny_policy.rule, abstain=Abstain(0.95, "medium")))  # type: ignore[type-var]
    useful = [0.9, 0.8, 0.7]
    assert say(doubtful, useful) == (
        "medium",
        "code (0.93): less sure of the intent than 0.95; doubtful requests go to medium",
    )
    sure = replace(tiny_policy, rule=replace(tiny_policy.rule, abstain=Abstain(0.92, "medium")))  # type: ignore[type-var]
    assert say(sure, useful)[1].endswith("no other is believed better or cheaper")
    # Fixed rules and what a candidate cannot take come first.
    assert say(replace(doubtful, pinned_intents={"code": "large"}), useful) == (
        "large",
        "code (0.93): this intent is pinned to large",
    )
    unable = replace(tiny_policy, rule=replace(tiny_policy.rule, abstain=Abstain(0.95, "small")))  # type: ignore[type-var]
    assert say(unable, useful, modality="image")[1].endswith(
        "medium is believed useful 0.80; no other is believed better or cheaper"
    )


def test_long_requests(tiny_policy: Policy) -> None:
    policy = replace(tiny_policy, long_context_tokens=4_000, long_context="medium")
    useful = [0.9, 0.8, 0.7]
    assert say(policy, useful, tokens=4_001) == (
        "medium",
        "code (0.93): requests of more than 4000 tokens go to medium; this one has 4001",
    )
    assert say(policy, useful, tokens=4_000)[0] == "small"


def test_hard_rules(tiny_policy: Policy) -> None:
    useful = [0.5, 0.5, 0.5]
    pinned = replace(tiny_policy, pinned_intents={"code": "large"}, pinned_modalities={"image": "medium"})
    assert say(pinned, useful) == ("large", "code (0.93): this intent is pinned to large")
    assert say(pinned, useful, intent="chat", modality="image") == (
        "medium",
        "chat (0.93): image requests are pinned to medium",
    )
    assert say(tiny_policy, useful, modality="audio") == (
        "small",
        "code (0.93): no candidate can take an audio request of 10 tokens; it goes to the safe model small",
    )
    assert say(tiny_policy, useful, tokens=200_000) == (
        "medium",
        "code (0.93): only medium can take a text request of 200000 tokens",
    )
    tables: dict[str, Any] = {name: table[:, :1] for name, table in tiny_policy.expected.tables.items()}
    alone = replace(
        tiny_policy,
        candidates=(Candidate("small"),),
        expected=Expected(**tables),
        fallbacks=(),
    )
    assert say(alone, [0.5]) == ("small", "code (0.93): small is the only candidate")
