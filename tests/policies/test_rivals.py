"""The content-blind peer is the best of all assignments, or one that no single change improves."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman import rivals
from pointsman.decide import Beliefs
from pointsman.objective import Objective
from pointsman.outcomes import Outcomes
from pointsman.replay import Served
from pointsman.rivals import best_per_intent
from pointsman.spec import RoutingSpec
from pointsman.tried import rank

MakeOutcomes = Callable[..., Outcomes]
MakeBeliefs = Callable[..., Beliefs]
MakeSpec = Callable[..., RoutingSpec]
Make = Callable[..., tuple[Beliefs, Objective]]


@pytest.fixture
def world(make_outcomes: MakeOutcomes, make_beliefs: MakeBeliefs, make_spec: MakeSpec) -> Make:
    """Two candidates, 1 and 10 USD: the dear one is good at everything, the cheap one at chat, at half of synthesis."""

    def make(**constraints: Any) -> tuple[Beliefs, Objective]:
        intent = (np.arange(300) % 3 == 0).astype(np.intp)
        cheap = np.where(intent == 0, 1.0, np.arange(300) % 2)
        outcomes = make_outcomes(np.stack([cheap, np.ones(300)], axis=1), [[1.0, 10.0]] * 300)
        expected = np.array([[1.0, 0.5], [1.0, 1.0]])[:, intent]
        before = Served.by(outcomes, np.ones(300, dtype=np.intp))
        spec = make_spec(constraints=constraints)
        return make_beliefs(intent, expected, expected, [[1.0], [10.0]]), Objective(outcomes, before, spec)

    return make


@st.composite
def assignments(draw: st.DrawFn) -> tuple[Any, ...]:
    """Draw outcomes of up to three candidates at up to three intents, and a constraint."""
    n, m, k = 60, draw(st.integers(1, 3)), draw(st.integers(1, 3))
    generator = np.random.default_rng(draw(st.integers(0, 9999)))
    intent = generator.integers(0, k, n)
    rate = generator.random((k, m))[intent]
    useful = (generator.random((n, m)) < rate).astype(float)
    constraint = draw(
        st.sampled_from([{}, {"useful_rate": 0.4}, {"useful_rate": {"margin": 0.1}}, {"p95_latency_ms": 150.0}])
    )
    return intent, useful, generator.random((n, m)) * np.arange(1, m + 1), generator.gamma(4, 25, (n, m)), constraint


@settings(max_examples=25, deadline=None)
@given(drawn=assignments())
def test_the_best_assignment_is_the_best_of_all(
    drawn: tuple[Any, ...], make_outcomes: MakeOutcomes, make_beliefs: MakeBeliefs, make_spec: MakeSpec
) -> None:
    intent, useful, cost, latency, constraint = drawn
    outcomes = make_outcomes(useful, cost, latency)
    models, names = outcomes.models, ("chat", "code", "synthesis")
    objective = Objective(outcomes, Served.by(outcomes, np.zeros(60, dtype=np.intp)), make_spec(models, constraint))
    flat = np.full(useful.T.shape, 0.5)
    found = best_per_intent(make_beliefs(intent, flat, flat, 1.0), objective, names, models)
    assert set(found) == {names[code] for code in intent}
    columns = np.array([models.index(found.get(name, models[0])) for name in names])
    every = itertools.product(range(len(models)), repeat=3)
    assert rank(objective(columns[intent])) == min(rank(objective(np.array(one)[intent])) for one in every)


def test_many_intents_are_improved_one_by_one(world: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rivals, "ASSIGNMENTS", 0)
    found = best_per_intent(*world(useful_rate={"margin": 0.02}), ("chat", "synthesis"), ("a", "b"))
    assert found == {"chat": "a", "synthesis": "b"}


def test_an_intent_is_given_a_candidate_that_can_take_most_of_it(world: Make) -> None:
    """The first synthesis request is too long for the dear model: it still goes where the others do best."""
    beliefs, objective = world(useful_rate=0.9)
    beliefs.eligible[1, np.flatnonzero(beliefs.intent == 1)[0]] = False
    names, models = ("chat", "synthesis"), ("a", "b")
    assert best_per_intent(beliefs, objective, names, models)["synthesis"] == "b"
    beliefs.eligible[0, beliefs.intent == 0] = False  # chat is pinned to the dear model
    assert best_per_intent(beliefs, objective, names, models)["chat"] == "b"


def test_a_single_candidate_takes_all(
    make_outcomes: MakeOutcomes, make_beliefs: MakeBeliefs, make_spec: MakeSpec
) -> None:
    outcomes = make_outcomes([[1.0]] * 20)
    objective = Objective(outcomes, Served.by(outcomes, np.zeros(20, dtype=np.intp)), make_spec(("a",)))
    assert best_per_intent(make_beliefs([0] * 20, [[0.5] * 20], 0.5, 1.0), objective, ("chat",), ("a",)) == {
        "chat": "a"
    }
