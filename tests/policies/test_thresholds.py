"""Each threshold is shown with what it does and what to edit: the figures are decided again, one by one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pointsman.decide import Beliefs, Facts, Reading, believe, decide
from pointsman.policy import Policy
from pointsman.rules import Abstain, LadderRule, ValueRule
from pointsman.thresholds import explain_thresholds

if TYPE_CHECKING:
    from collections.abc import Callable

INTENTS = ("chat", "code", "synthesis")
GROUPS = {"work": ("code", "synthesis")}


@pytest.fixture(scope="module")
def asked() -> tuple[Reading, Facts]:
    """Return what is read in 300 requests of every intent, modality and length."""
    rng = np.random.default_rng(0)
    intent = rng.dirichlet([0.5] * 3, 300).astype(np.float32)
    modality = rng.choice(["text", "image"], 300, p=[0.8, 0.2])
    facts = Facts.of(rng.integers(1, 400, 300), modality, rng.integers(0, 10_000, 300))
    return Reading(intent, rng.random((300, 3), dtype=np.float32)), facts


LADDER = LadderRule(
    0.7,
    {"small": 0.7, "medium": 0.6, "large": 0.5},
    0.2,
    groups=GROUPS,
    shift={"work": 0.2},
    abstain=Abstain(0.6, "large"),
)
VALUE = ValueRule(0.7, 0.02, 0.02, groups=GROUPS, factor={"work": 3.0}, abstain=Abstain(0.6, "medium"))


@pytest.fixture(params=[LADDER, VALUE], ids=["ladder", "value"])
def policy(request: pytest.FixtureRequest, tiny_policy: Policy) -> Policy:
    late = np.array([[0.1, 0.0, 0.3], [0.3, 0.0, 0.0], [0.0, 0.4, 0.0]])
    return replace(
        tiny_policy,
        rule=request.param,
        expected=replace(tiny_policy.expected, late=late),
        pinned_intents={"synthesis": "large"},
        pinned_modalities={"image": "medium"},
        long_context_tokens=6_000,
        long_context="medium",
    )


def explained(policy: Policy, asked: tuple[Reading, Facts]) -> dict[str, dict[str, Any]]:
    entries = explain_thresholds(believe(*asked, policy), policy, asked[1])
    return {entry["where"]: entry for entry in entries}


def test_every_threshold_is_listed_with_its_value_in_the_file(policy: Policy, asked: tuple[Reading, Facts]) -> None:
    document = policy.to_dict()
    entries = explained(policy, asked)
    for where, entry in entries.items():
        place: Any = document
        for key in where.split("."):
            place = place[key]
        assert entry["value"] == place
        assert where in entry["overrule"]
        assert entry["overrule"].endswith(".")
        assert entry["of"] == 300
    listed = {where for where in entries if where.startswith("rule.")}
    assert listed == {
        f"rule.{path}"
        for path in (
            ["trust", "useful_value_usd", "late_cost_usd", "factor.work", "abstain.below_confidence"]
            if isinstance(policy.rule, ValueRule)
            else [
                "trust",
                *(f"min_p_useful.{name}" for name in policy.models),
                "max_p_late",
                "shift.work",
                "abstain.below_confidence",
            ]
        )
    }
    assert set(entries) - listed == {"long_context", "pinned_intents.synthesis", "pinned_modalities.image"}
    assert json.loads(json.dumps(list(entries.values()))) == list(entries.values())


def test_what_it_moved_is_what_the_edited_file_decides_otherwise(policy: Policy, asked: tuple[Reading, Facts]) -> None:
    chosen = decide(believe(*asked, policy), policy.rule)
    entries = explained(policy, asked)
    for where, entry in entries.items():
        document = json.loads(policy.to_json())
        *path, last = where.split(".")
        place = document
        for key in path:
            place = place[key]
        if entry["neutral"] is None and path:
            del place[last]
        else:
            place[last] = entry["neutral"]
        edited = Policy.from_dict(document)
        other = decide(believe(*asked, edited), edited.rule)
        assert entry["moved"] == (other != chosen).sum(), where
    # 0 is a figure too, but these requests are many and varied enough for almost every threshold to matter.
    assert sum(entry["moved"] > 0 for entry in entries.values()) >= len(entries) - 1


def test_a_threshold_that_is_switched_off_moves_nothing(
    make_beliefs: Callable[..., Beliefs], make_policy: Callable[..., Policy]
) -> None:
    beliefs = make_beliefs([0, 0], [[0.9, 0.2], [0.5, 0.9]], 0.5, [[1.0, 1.0], [2.0, 2.0]])
    facts = Facts.of([1, 1], "text", 0)
    ladder = LadderRule(1.0, {"a": 0.0, "b": 0.0}, 1.0, {"g": ("chat",)}, {"g": 0.0}, Abstain(0.0, "b"))
    for rule in (ladder, ValueRule(0.0, 0.0, 0.0, {"g": ("chat",)}, {"g": 1.0}, Abstain(0.0, "b"))):
        beliefs = replace(beliefs, intents=("chat",))
        entries = explain_thresholds(beliefs, make_policy(rule=rule), facts)
        assert [entry["where"] for entry in entries if entry["value"] == entry["neutral"] and entry["moved"]] == []
