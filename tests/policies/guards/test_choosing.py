"""Guards around `decide`: the same choice without them, the next best with them, and never nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.decide import Facts, Reading, believe, decide
from pointsman.guards.choosing import SAFE_MODEL, SIMPLER_MODEL, Choice, choose
from pointsman.guards.guards import Guards
from pointsman.guards.ledger import Ledger
from pointsman.guards.settings import Breaker, Budget, GuardSettings
from pointsman.policy import Candidate, Expected, Policy
from pointsman.rules import ValueRule

if TYPE_CHECKING:
    from pointsman.decide import Beliefs

POLICY = Policy(
    intents=("chat", "code"),
    candidates=(
        Candidate("small", concurrency=1),
        Candidate("medium", modalities=("text", "image")),
        Candidate("large", modalities=("text", "image"), concurrency=3),
    ),
    rule=ValueRule(trust=0.0, useful_value_usd=1.0),
    expected=Expected(
        np.array([[0.9, 0.85, 0.95], [0.2, 0.6, 0.9]]),
        np.array([[0.01, 0.05, 0.2], [0.01, 0.05, 0.2]]),
        np.zeros((2, 3)),
    ),
    safe_model="small",
    guards=GuardSettings(breaker=Breaker(error_rate=0.5, min_requests=2)),
)


def case(code: list[bool], modality: str = "text", policy: Policy = POLICY) -> tuple[Beliefs, Facts]:
    shares = np.array([[0.1, 0.9] if one else [0.9, 0.1] for one in code], dtype=np.float32)
    facts = Facts.of([40] * len(code), modality, 0)
    return believe(Reading(shares, np.full((len(code), 3), 0.5, np.float32)), facts, policy), facts


def guards_of(policy: Policy) -> Guards:
    return Guards(policy.guards, policy.candidates, Ledger())


def breaks(guards: Guards, *models: str) -> None:
    for model in models:
        for number in range(2):
            guards.report(str(number), model, ok=False)


def chosen(policy: Policy, guards: Guards, code: list[bool], modality: str = "text") -> list[Choice]:
    return choose(*case(code, modality, policy), policy, guards, [f"r{number}" for number in range(len(code))])


@given(st.lists(st.booleans(), min_size=1, max_size=3))
def test_guards_that_bar_nothing_change_nothing(code: list[bool]) -> None:
    policy = replace(POLICY, candidates=tuple(replace(one, concurrency=None) for one in POLICY.candidates))
    want = decide(case(code)[0], policy.rule).tolist()
    for choice, column in zip(chosen(policy, guards_of(policy), code), want, strict=True):
        assert choice == Choice(column, column, 1.0, {}, 0, None)


def test_who_is_barred_is_passed_over_by_the_same_rule() -> None:
    guards = guards_of(POLICY)
    breaks(guards, "large")
    (choice,) = chosen(POLICY, guards, [True])
    assert (choice.column, choice.unguarded, choice.degraded) == (1, 2, None)
    assert list(choice.barred) == [2]


def test_a_batch_does_not_take_more_places_than_there_are() -> None:
    choices = chosen(POLICY, guards_of(POLICY), [True] * 5 + [False] * 3)
    assert [choice.column for choice in choices] == [2, 2, 2, 1, 1, 0, 1, 1]


def test_when_nobody_is_left_it_degrades() -> None:
    pinned = replace(POLICY, pinned_intents={"code": "large"})
    guards = guards_of(pinned)
    breaks(guards, "large")
    (choice,) = chosen(pinned, guards, [True])
    assert (choice.column, choice.degraded) == (0, SAFE_MODEL)
    simpler = replace(pinned, guards=replace(POLICY.guards, simpler_model="medium"))
    (choice,) = chosen(simpler, guards, [True])
    assert (choice.column, choice.degraded) == (1, SIMPLER_MODEL)
    breaks(guards, "medium")
    (choice,) = chosen(simpler, guards, [True])
    assert (choice.column, choice.degraded) == (0, SAFE_MODEL)
    unable = replace(pinned, guards=replace(POLICY.guards, simpler_model="small"))
    (choice,) = chosen(unable, guards, [False], "image")
    assert choice.degraded == SAFE_MODEL, "small cannot read a picture; it is still the last resort"


def test_the_budget_spares_the_simpler_model() -> None:
    settings = GuardSettings(budget=Budget(usd_per_hour=1.0), simpler_model="medium")
    policy = replace(POLICY, guards=settings, pinned_intents={"code": "large"})
    guards = guards_of(policy)
    guards.admit("x", 1, 5.0)
    (choice,) = chosen(policy, guards, [True])
    assert (choice.column, choice.degraded, sorted(choice.barred)) == (1, SIMPLER_MODEL, [1, 2])


def test_exploration_draws_evenly_with_the_propensity_it_tells() -> None:
    policy = replace(
        POLICY,
        candidates=tuple(replace(one, concurrency=None) for one in POLICY.candidates),
        guards=GuardSettings(exploration_share=0.3),
    )
    choices = chosen(policy, guards_of(policy), [True] * 3000)
    told = {choice.column: choice.propensity for choice in choices}
    assert told == pytest.approx({0: 0.1, 1: 0.1, 2: 0.8})
    counts = Counter(choice.column for choice in choices)
    for column, propensity in told.items():
        assert counts[column] / len(choices) == pytest.approx(propensity, abs=0.03)
    again = chosen(policy, guards_of(policy), [True] * 3000)
    assert again == choices, "the ids decide"
    pictures = chosen(policy, guards_of(policy), [True] * 300, "image")
    assert {choice.column for choice in pictures} == {1, 2}, "only who can take it"
    assert {round(choice.propensity, 9) for choice in pictures} == {0.15, 0.85}


@given(
    st.lists(st.booleans(), min_size=1, max_size=8),
    st.sampled_from(["text", "image", "audio"]),
    st.sets(st.sampled_from(POLICY.models)),
    st.floats(0, 2),
    st.floats(0, 1),
)
def test_every_request_gets_a_candidate(
    code: list[bool], modality: str, broken: set[str], spent: float, share: float
) -> None:
    settings = replace(POLICY.guards, budget=Budget(usd_per_hour=1.0), exploration_share=share)
    policy = replace(POLICY, guards=settings)
    guards = guards_of(policy)
    breaks(guards, *broken)
    guards.admit("x", 1, spent)
    for choice in chosen(policy, guards, code, modality):
        assert 0 < choice.propensity <= 1
        assert choice.column not in choice.barred or choice.degraded
        assert choice.degraded != SAFE_MODEL or choice.column == 0
