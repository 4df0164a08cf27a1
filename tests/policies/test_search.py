"""What the search must find, keep to, and take up again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pointsman.decide import Beliefs, decide
from pointsman.errors import InfeasibleError, TraceError
from pointsman.objective import Evaluation, Objective
from pointsman.outcomes import Outcomes
from pointsman.replay import Served, baseline_columns
from pointsman.rules import LadderRule
from pointsman.search import SearchResult, search
from pointsman.spec import RoutingSpec

if TYPE_CHECKING:
    from pathlib import Path

MakeOutcomes = Callable[..., Outcomes]
MakeBeliefs = Callable[..., Beliefs]
MakeSpec = Callable[..., RoutingSpec]

WARM = 6
"""The Lagrangian's best rule for each of five trusts, and «as today»."""


class World:
    """Two candidates, 1 and 10 USD: the dear one is good at everything, the cheap one at chat, not at synthesis.

    A third of the requests are synthesis. The dear model takes 300 ms, the cheap one 100.
    """

    def __init__(self, make_outcomes: MakeOutcomes, make_beliefs: MakeBeliefs, make_spec: MakeSpec) -> None:
        n = 300
        self.intent = (np.arange(n) % 3 == 0).astype(np.intp)
        cheap = np.where(self.intent == 0, 1.0, np.arange(n) % 2)
        self.outcomes = make_outcomes(
            np.stack([cheap, np.ones(n)], axis=1), [[1.0, 10.0]] * n, [[100.0, 300.0]] * n, [[0.0, 0.0]] * n
        )
        expected = np.array([[1.0, 0.5], [1.0, 1.0]])[:, self.intent]
        late = np.array([[0.0], [1.0]])
        self.beliefs = make_beliefs(self.intent, expected, expected, [[1.0], [10.0]], late)
        self._make_spec = make_spec

    def objective(self, baseline: str = "b", kind: type[Objective] = Objective, **constraints: Any) -> Objective:
        before = Served.by(self.outcomes, baseline_columns(self.outcomes, baseline))
        return kind(self.outcomes, before, self._make_spec(constraints=constraints, requests_per_month=30))

    def search(
        self, objective: Objective, baseline: str | None = "b", n_trials: int = 12, **options: Any
    ) -> SearchResult:
        return search(self.beliefs, objective, ("a", "b"), baseline, n_trials, **options)


@pytest.fixture
def world(make_outcomes: MakeOutcomes, make_beliefs: MakeBeliefs, make_spec: MakeSpec) -> World:
    return World(make_outcomes, make_beliefs, make_spec)


# --- what it finds


def test_the_planted_optimum_is_found(world: World) -> None:
    """Chat to the cheap one, synthesis to the dear one: (200 · 1 + 100 · 10) / 300 useful responses."""
    found = world.search(world.objective(useful_rate={"margin": 0.02}))
    np.testing.assert_array_equal(decide(world.beliefs, found.rule), world.intent)
    assert found.evaluation.cost_per_useful == pytest.approx(4)
    assert found.evaluation.feasible
    # The 50 useful responses that synthesis wins cost 9 USD for each of 100 requests.
    assert found.useful_value_usd >= 18


def test_without_a_constraint_the_cheapest_wins(world: World) -> None:
    found = world.search(world.objective())
    assert (decide(world.beliefs, found.rule) == 0).all()
    assert found.evaluation.cost_per_useful == pytest.approx(300 / 250)


def test_a_failure_with_a_price_is_avoided(world: World, make_spec: MakeSpec) -> None:
    """50 useless responses at 40 USD would cost more than the dear model's 900 USD."""
    before = Served.by(world.outcomes, baseline_columns(world.outcomes, "b"))
    spec = make_spec(objective={"useless_response_usd": 40})
    found = world.search(Objective(world.outcomes, before, spec))
    np.testing.assert_array_equal(decide(world.beliefs, found.rule), world.intent)
    assert found.useful_value_usd >= 40


def test_evidence_of_the_prompt_is_trusted_where_it_tells(
    make_outcomes: MakeOutcomes, make_beliefs: MakeBeliefs, make_spec: MakeSpec
) -> None:
    """One intent; the prompt tells exactly which half of the requests the cheap one cannot do."""
    hard = np.arange(200) % 2
    outcomes = make_outcomes(np.stack([1 - hard, np.ones(200)], axis=1), [[1.0, 10.0]] * 200)
    beliefs = make_beliefs([0] * 200, [1 - hard, np.ones(200)], [[0.5], [1.0]], [[1.0], [10.0]])
    spec = make_spec(constraints={"useful_rate": {"margin": 0.03}})
    objective = Objective(outcomes, Served.by(outcomes, np.ones(200, dtype=np.intp)), spec)
    found = search(beliefs, objective, ("a", "b"), "b", n_trials=12)
    np.testing.assert_array_equal(decide(beliefs, found.rule), hard)
    assert found.rule.trust > 0


@pytest.mark.parametrize(
    ("constraints", "cheap_share"),
    [
        ({"useful_rate": {"margin": 0.0}}, 0.0),
        ({"useful_rate": 0.95}, 2 / 3),
        ({"p95_latency_ms": 200.0}, 1.0),
        ({"budget_usd_per_day": 1.0}, 1.0),
        ({"hallucination_rate": 0.5, "useful_rate": 0.95}, 2 / 3),
    ],
)
def test_constraints_are_kept(constraints: dict[str, Any], cheap_share: float, world: World) -> None:
    found = world.search(world.objective(**constraints))
    assert found.evaluation.feasible
    assert (decide(world.beliefs, found.rule) == 0).mean() == pytest.approx(cheap_share)


def test_the_result_is_the_best_feasible_trial(world: World) -> None:
    found = world.search(world.objective(useful_rate={"margin": 0.02}), n_trials=30)
    feasible = [one for one in found.tried if one.evaluation.feasible]
    assert found.evaluation.cost_per_useful == min(one.evaluation.cost_per_useful for one in feasible)
    assert len(feasible) < len(found.tried)


@pytest.mark.parametrize("n_trials", [0, 8, 40])
def test_everything_tried_is_kept(n_trials: int, world: World) -> None:
    objective = world.objective(useful_rate={"margin": 0.02})
    found = world.search(objective, n_trials=n_trials)
    assert len(found.trials) == n_trials
    assert len(found.tried) >= found.swept > 5 * 61
    assert found.evaluation in [one.evaluation for one in found.tried if one.rule == found.rule]
    for one in found.tried[:: len(found.tried) // 20]:
        assert one.evaluation == objective(decide(world.beliefs, one.rule))
    kept = [one.evaluation.cost_per_useful for one in found.tried]
    assert all(trial.cost_per_useful in kept for trial in found.trials)


def test_nothing_useful_is_no_error(
    make_outcomes: MakeOutcomes, make_beliefs: MakeBeliefs, make_spec: MakeSpec
) -> None:
    outcomes = make_outcomes([[0.0, 0.0]] * 20)
    beliefs = make_beliefs([0] * 20, [[0.0] * 20] * 2, 0.0, [[1.0], [2.0]])
    objective = Objective(outcomes, Served.by(outcomes, np.zeros(20, dtype=np.intp)), make_spec())
    assert search(beliefs, objective, ("a", "b"), "a", n_trials=3).evaluation.cost_per_useful == float("inf")


# --- what it says where nothing holds


def test_an_infeasible_constraint_is_named_with_the_nearest_distance(world: World) -> None:
    """Everything to the dear model still proves only that fewer than 1 in 100 are useless."""
    with pytest.raises(InfeasibleError, match=r"no policy of \d+ tried meets constraints\.useful_rate") as raised:
        world.search(world.objective(useful_rate=0.999), n_trials=8)
    assert "share useless 0 (with 95 % confidence at most 0.0" in str(raised.value)
    assert "allowed is 0.001" in str(raised.value)
    with pytest.raises(InfeasibleError, match=r"with 99\.5 % confidence"):
        world.search(world.objective(useful_rate=0.999, confidence=0.995), n_trials=8)


def test_the_nearest_rule_is_returned_where_asked_for(world: World) -> None:
    """300 requests cannot prove 99.9 %; where all are useful it is nearest."""
    objective = world.objective(useful_rate=0.999)
    found = world.search(objective, n_trials=8, strict=False)
    assert not found.evaluation.feasible
    assert objective(decide(world.beliefs, found.rule)).useful_rate == 1


def test_constraints_that_exclude_each_other_are_infeasible(world: World) -> None:
    with pytest.raises(InfeasibleError):
        world.search(world.objective(useful_rate=0.95, p95_latency_ms=200.0), n_trials=8)


@pytest.mark.parametrize("n_trials", [0, 1, 2, 6])
def test_as_today_is_always_feasible_against_today(
    n_trials: int, make_outcomes: MakeOutcomes, make_beliefs: MakeBeliefs, make_spec: MakeSpec
) -> None:
    """Beliefs that have it all wrong lead every rule astray; production's model is as useful as itself."""
    outcomes = make_outcomes([[0.0, 1.0, 0.0]] * 50, [[1.0, 2.0, 3.0]] * 50)
    beliefs = make_beliefs([0] * 50, [[0.9] * 50, [0.1] * 50, [0.9] * 50], [[0.9], [0.1], [0.9]], [[1.0], [2.0], [3.0]])
    spec = make_spec(("a", "b", "c"), constraints={"useful_rate": {"margin": 0.0, "relative_to": "baseline"}})
    objective = Objective(outcomes, Served.by(outcomes, np.ones(50, dtype=np.intp)), spec)
    found = search(beliefs, objective, ("a", "b", "c"), "b", n_trials)
    assert (decide(beliefs, found.rule) == 1).all()
    with pytest.raises(InfeasibleError):
        search(beliefs, objective, ("a", "b", "c"), None, 1)


# --- trials


@pytest.mark.parametrize("n_trials", [1, WARM - 1, WARM, 15])
def test_trials_are_counted(n_trials: int, world: World) -> None:
    done: list[tuple[int, int]] = []
    found = world.search(
        world.objective(useful_rate={"margin": 0.02}), n_trials=n_trials, progress=lambda *at: done.append(at)
    )
    assert len(found.trials) == n_trials
    assert found.warm == min(WARM, n_trials)
    assert done == [(index, n_trials) for index in range(1, n_trials + 1)]
    np.testing.assert_array_equal(decide(world.beliefs, found.rule), world.intent)


def test_the_first_trials_are_the_warm_starts_best_first(world: World) -> None:
    found = world.search(world.objective(useful_rate={"margin": 0.02}), n_trials=WARM)
    ranks = [(sum(max(s, 0) for s in trial.constraints.values()), trial.cost_per_useful) for trial in found.trials]
    assert ranks == sorted(ranks)
    ladders = [trial.params for trial in found.trials if trial.params["rule"] == "ladder"]
    assert ladders == [{"rule": "ladder", "trust": 0.0, "min_p_useful:a": 1.01, "min_p_useful:b": 0.0}]
    without = world.search(world.objective(useful_rate={"margin": 0.02}), baseline=None, n_trials=WARM - 1)
    assert [trial.params["rule"] for trial in without.trials] == ["value"] * 5


@pytest.mark.parametrize("limit", [None, 250.0])
def test_lateness_has_a_price_only_where_there_is_a_limit(limit: float | None, world: World) -> None:
    found = world.search(world.objective(p95_latency_ms=limit), n_trials=30)
    named = {key for trial in found.trials for key in trial.params}
    assert {"rule", "trust", "useful_value_usd", "min_p_useful:a", "min_p_useful:b"} <= named
    assert (named & {"late_cost_usd", "max_p_late"}) == ({"late_cost_usd", "max_p_late"} if limit else set())
    assert found.swept >= 5 * (31 * 6 if limit else 61)


def test_the_same_seed_gives_the_same_result(world: World) -> None:
    objective = world.objective(useful_rate={"margin": 0.02})
    first, second, other = (world.search(objective, n_trials=20, seed=seed) for seed in (3, 3, 4))
    assert first == second
    assert first.trials != other.trials


def test_a_single_candidate_is_chosen(
    make_outcomes: MakeOutcomes, make_beliefs: MakeBeliefs, make_spec: MakeSpec
) -> None:
    outcomes = make_outcomes([[1.0]] * 20)
    beliefs = make_beliefs([0] * 20, [[0.5] * 20], 0.5, 1.0)
    spec = make_spec(("a",), constraints={"useful_rate": {"margin": 0.0}})
    objective = Objective(outcomes, Served.by(outcomes, np.zeros(20, dtype=np.intp)), spec)
    found = search(beliefs, objective, ("a",), "a", n_trials=8)
    assert (decide(beliefs, found.rule) == 0).all()


def test_the_ladder_of_today_takes_what_its_model_can(world: World) -> None:
    found = world.search(world.objective(useful_rate={"margin": -0.0}), n_trials=WARM)
    assert isinstance(found.rule, LadderRule)
    assert (decide(world.beliefs, found.rule) == 1).all()


# --- resuming


class KilledError(Exception):
    """Stands for a kill."""


class Fails(Objective):
    """Is cut off at one of its evaluations."""

    left = 0

    def __call__(self, chosen: Any) -> Evaluation:
        self.left -= 1
        if self.left < 0:
            raise KilledError
        return super().__call__(chosen)


def interrupt_after(trials: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == trials:
            raise KilledError

    return progress


@pytest.mark.parametrize(("killed_after", "storage"), [(2, "{}/study.journal"), (8, "sqlite:///{}/study.db")])
def test_a_killed_study_is_taken_up_again(killed_after: int, storage: str, world: World, tmp_path: Path) -> None:
    objective = world.objective(useful_rate={"margin": 0.02})
    options: dict[str, Any] = {"n_trials": 10, "storage": storage.format(tmp_path), "study_name": "week"}
    with pytest.raises(KilledError):
        world.search(objective, progress=interrupt_after(killed_after), **options)
    done: list[tuple[int, int]] = []
    resumed = world.search(objective, progress=lambda *at: done.append(at), **options)
    straight = world.search(objective, n_trials=10)
    assert resumed.trials[:killed_after] == straight.trials[:killed_after]
    assert len(resumed.trials) == 10
    assert done == [(index, 10) for index in range(killed_after + 1, 11)]
    # No warm start runs twice, and nothing that was drawn before is drawn again.
    params = [trial.params for trial in resumed.trials]
    assert [one.params for one in straight.trials[:WARM]] == params[:WARM]
    assert all(params.count(one) == 1 for one in params)
    assert resumed.evaluation == straight.evaluation
    # Once it is done there is nothing more to do.
    assert world.search(objective, progress=interrupt_after(11), **options).trials == resumed.trials


def test_a_warm_start_that_was_cut_off_is_run_again(world: World, tmp_path: Path) -> None:
    options: dict[str, Any] = {"storage": f"{tmp_path}/study.journal", "study_name": "week"}
    whole: Any = world.objective(kind=Fails, useful_rate={"margin": 0.02})
    whole.left = 10_000
    known = world.search(whole, n_trials=1)
    first = known.trials[0]
    cut: Any = world.objective(kind=Fails, useful_rate={"margin": 0.02})
    cut.left = known.swept  # dies in the first trial
    with pytest.raises(KilledError):
        world.search(cut, n_trials=8, **options)
    resumed = world.search(world.objective(useful_rate={"margin": 0.02}), n_trials=7, **options)
    assert len(resumed.trials) == 7
    assert [trial.params for trial in resumed.trials].count(first.params) == 1


def test_a_longer_study_goes_on_from_a_shorter_one(world: World, tmp_path: Path) -> None:
    objective = world.objective(useful_rate={"margin": 0.02})
    options: dict[str, Any] = {"storage": f"{tmp_path}/study.journal", "study_name": "week"}
    short = world.search(objective, n_trials=2, **options)
    long = world.search(objective, n_trials=7, **options)
    assert long.trials[:2] == short.trials
    assert len(long.trials) == 7
    assert sum(trial.params["rule"] == "ladder" and trial.params["trust"] == 0.0 for trial in long.trials) == 1


def test_a_study_made_for_something_else_is_refused(world: World, tmp_path: Path) -> None:
    options: dict[str, Any] = {"storage": f"{tmp_path}/study.journal", "study_name": "week", "n_trials": 2}
    world.search(world.objective(useful_rate={"margin": 0.02}), **options)
    with pytest.raises(TraceError, match="study 'week' was made for other constraints"):
        world.search(world.objective(useful_rate=0.5), **options)
