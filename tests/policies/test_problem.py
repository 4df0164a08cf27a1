"""The tuning problem comes back as it was, holds no text of a prompt, and nothing that could run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pointsman.problem import ProblemError, TuningProblem, load_problem
from pointsman.replay import COLUMNS, Served
from pointsman.rules import ValueRule
from pointsman.tried import Bench

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pointsman.decide import Beliefs
    from pointsman.outcomes import Outcomes
    from pointsman.spec import RoutingSpec


@pytest.fixture(params=["known", "unknown"])
def problem(
    request: pytest.FixtureRequest,
    make_outcomes: Callable[..., Outcomes],
    make_beliefs: Callable[..., Beliefs],
    make_spec: Callable[..., RoutingSpec],
) -> TuningProblem:
    generator = np.random.default_rng(0)
    told: Any = generator.integers(0, 2, (50, 2)) if request.param == "known" else np.nan
    outcomes = make_outcomes(generator.random((50, 2)), generator.random((50, 2)), generator.random((50, 2)), told)
    constraints = {"useful_rate": {"margin": 0.5, "relative_to": "baseline"}, "p95_latency_ms": 0.5}
    return TuningProblem(
        beliefs=make_beliefs(np.arange(50) % 2, *(generator.random((2, 50)) for _ in range(4))),
        outcomes={name: getattr(outcomes, name) for name in COLUMNS},
        before=Served.by(outcomes, np.zeros(50, dtype=np.intp)),
        spec=make_spec(outcomes.models, constraints),
        models=outcomes.models,
        study_name="week",
        n_trials=20,
        sampler="gp",
        seed=7,
    )


def test_it_comes_back_as_it_was(problem: TuningProblem, tmp_path: Path) -> None:
    found = load_problem(problem.save(tmp_path / "deep" / "problem.npz"))
    for name, part in vars(problem.beliefs).items():
        np.testing.assert_array_equal(getattr(found.beliefs, name), part)
    for name in COLUMNS:
        np.testing.assert_array_equal(found.outcomes[name], problem.outcomes[name])
        np.testing.assert_array_equal(getattr(found.before, name), getattr(problem.before, name))
    for name in ("spec", "models", "study_name", "n_trials", "sampler", "seed"):
        assert getattr(found, name) == getattr(problem, name)
    rule = ValueRule(0.5, 0.7, 0.1)
    benches = [Bench(one.beliefs, one.objective(), p95=True) for one in (problem, found)]
    assert benches[0](rule) == benches[1](rule)


def test_it_holds_no_text_and_nothing_that_runs(problem: TuningProblem, tmp_path: Path) -> None:
    file = problem.save(tmp_path / "problem.npz")
    with np.load(file, allow_pickle=False) as parts:  # would refuse a pickle
        kinds = {parts[name].dtype.kind for name in parts.files}
    assert kinds <= set("fibu")
    content = file.read_bytes()
    assert b"write a line" not in content
    assert b"r17" not in content
    assert [path.name for path in tmp_path.iterdir()] == ["problem.npz"]


def test_what_is_no_problem_is_refused(problem: TuningProblem, tmp_path: Path) -> None:
    file = problem.save(tmp_path / "problem.npz")
    whole = file.read_bytes()
    for content in (b"", b"PK", whole[: len(whole) // 2], b"\x93NUMPY", whole[:-30]):
        file.write_bytes(content)
        with pytest.raises(ProblemError, match="no tuning problem, or cut off"):
            load_problem(file)
    with pytest.raises(ProblemError, match="cannot be read: No such file"):
        load_problem(tmp_path / "nowhere.npz")
    np.savez(file, evil=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ProblemError, match="no tuning problem"):
        load_problem(file)


def test_parts_that_do_not_fit_are_refused(problem: TuningProblem, tmp_path: Path) -> None:
    cut = {**problem.outcomes, "cost_usd": problem.outcomes["cost_usd"][:-1]}
    with pytest.raises(ProblemError, match="do not fit each other"):
        load_problem(TuningProblem(**{**vars(problem), "outcomes": cut}).save(tmp_path / "problem.npz"))
