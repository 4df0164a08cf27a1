"""Tuning with a certificate: rules in order of caution, the search repeated in folds, the promise kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from pointsman.decide import Beliefs
from pointsman.errors import TraceError
from pointsman.objective import Check, Evaluation
from pointsman.outcomes import Outcomes
from pointsman.replay import Served
from pointsman.rules import ValueRule
from pointsman.search import search
from pointsman.spec import RoutingSpec
from pointsman.tried import Tried
from pointsman.tuning import DISTANCES, Known, Step, certify, cross_fitted, path

MakeOutcomes = Callable[..., Outcomes]
MakeBeliefs = Callable[..., Beliefs]
MakeSpec = Callable[..., RoutingSpec]


def tried(cost: float, *constraints: tuple[float, float]) -> Tried:
    """Write a rule down that costs so much; (value, error) of constraints whose limit is 0."""
    checks = tuple(
        Check(f"c{number}", value, value, 0.0, value, value <= 0, "share", error, value)
        for number, (value, error) in enumerate(constraints)
    )
    return Tried(ValueRule(0.0, cost), Evaluation(cost, 0.9, 0.0, cost, checks))


def test_the_path_goes_from_careful_to_bold_and_gets_cheaper() -> None:
    bold, middle, careful = tried(1.0, (-0.01, 0.02)), tried(2.0, (-0.03, 0.02)), tried(3.0, (-0.2, 0.02))
    steps = path([bold, careful, middle, tried(0.5, (0.01, 0.02))])
    assert [step.distance for step in steps] == list(DISTANCES)
    assert [step.rule for step in steps] == [
        {True: careful.rule, False: middle.rule if distance > 0.5 else bold.rule}[distance > 1.5]
        for distance in DISTANCES
    ]


def test_a_distance_is_kept_from_every_limit() -> None:
    steps = path([tried(1.0, (-0.2, 0.02), (-0.01, 0.02)), tried(2.0, (-0.2, 0.02), (-0.03, 0.02))])
    assert [step.rule.to_dict()["useful_value_usd"] for step in steps] == [2.0] * 4 + [1.0] * 3
    assert steps[0].distance == 1.5


def test_no_rule_that_keeps_its_limits_makes_no_path() -> None:
    assert path([tried(1.0, (0.01, 0.02))]) == []
    assert len(path([tried(1.0)])) == len(DISTANCES), "without constraints everything is kept"


class World:
    """Requests of two kinds: the dear model serves all, the cheap one a share of the second kind."""

    def __init__(self, n: int, seed: int, make: tuple[MakeOutcomes, MakeBeliefs, MakeSpec], **spec: Any) -> None:
        make_outcomes, make_beliefs, make_spec = make
        generator = np.random.default_rng(seed)
        difficulty = generator.random(n)
        useful = np.column_stack([generator.random(n) < 1 - 0.3 * difficulty, generator.random(n) < 0.95])
        believed = np.clip(np.stack([1 - 0.3 * difficulty, np.full(n, 0.95)]) + generator.normal(0, 0.05, (2, n)), 0, 1)
        outcomes = make_outcomes(useful, np.tile([1.0, 4.0], (n, 1)))
        beliefs = make_beliefs(np.zeros(n, int), believed, np.tile([[0.85], [0.95]], n), [[1.0]] * 1 + [[4.0]] * 1)
        self.spec = make_spec(("a", "b"), constraints={"useful_rate": {"margin": 0.03}, **spec})
        self.known = Known(beliefs, outcomes, Served.by(outcomes, np.ones(n, dtype=np.intp)))

    def search(self, part: Known) -> Sequence[Tried]:
        return search(part.beliefs, part.objective(self.spec), ("a", "b"), "b", 0, strict=False).tried


@pytest.fixture
def make(make_outcomes: MakeOutcomes, make_beliefs: MakeBeliefs, make_spec: MakeSpec) -> Any:
    return make_outcomes, make_beliefs, make_spec


def test_every_request_is_served_by_a_rule_found_without_its_fold(make: Any) -> None:
    world, folds = World(300, 0, make), np.arange(300) % 3
    shown: list[int] = []

    def spy(part: Known) -> Sequence[Tried]:
        shown.append(len(part))
        assert not set(part.outcomes.request_id) & set(world.known.outcomes.request_id[folds == len(shown) - 1])
        return world.search(part)

    steps = path(world.search(world.known))
    progress: list[tuple[int, int]] = []
    served, known = cross_fitted(world.known, folds, steps, spy, lambda done, total: progress.append((done, total)))
    assert shown == [200, 200, 200]
    assert progress == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert len(served) == len(steps)
    assert known.outcomes.request_id.tolist() == [f"r{i}" for fold in range(3) for i in range(fold, 300, 3)]
    for one in served:
        assert one.requests == 300
        assert np.isin(one.cost_usd, [1.0, 4.0]).all()


def test_folds_and_later_slices_are_tested_together(make: Any) -> None:
    world, later = World(600, 1, make), World(200, 2, make)
    steps = path(world.search(world.known))
    earlier = cross_fitted(world.known, np.arange(600) % 5, steps, world.search)
    both = certify(steps, [later.known], world.spec, earlier)
    alone = certify(steps, [later.known, later.known], world.spec)
    assert (both.method, both.requests) == ("cross_fitted", 800)
    assert (alone.method, alone.requests) == ("split", 400)
    assert [one.distance for one in both.sequence] == [step.distance for step in steps]


def test_what_is_certified_breaks_its_promise_on_new_requests_in_one_of_twenty_fits_at_most(make: Any) -> None:
    """The whole way, search and folds included; the cheapest rule found would break it nearly every second time."""
    truth, broken, bold, certified = World(20_000, 99, make), 0, 0, 0
    for seed in range(24):
        world = World(600, seed, make)
        steps = path(world.search(world.known))
        earlier = cross_fitted(world.known, np.arange(600) % 3, steps, world.search)
        found = certify(steps, [World(300, 1000 + seed, make).known], world.spec, earlier, seed)

        def loss(step: Step) -> float:
            return float(np.mean(truth.known.before.useful - truth.known.served(step.rule).useful))

        certified += found.certified
        broken += found.certified and loss(steps[found.chosen]) > 0.03
        bold += loss(steps[-1]) > 0.03
    assert binomtest(broken, 24, 0.05, alternative="greater").pvalue > 0.01
    assert bold > 6
    assert certified > 8


def test_without_requests_there_is_nothing_to_certify(make: Any) -> None:
    world = World(100, 3, make)
    nobody = world.known.take(np.zeros(100, dtype=bool))
    with pytest.raises(TraceError, match="nothing to certify"):
        certify([Step(1.0, ValueRule(0.0, 1.0))], [nobody], world.spec)
