"""Where a study is kept: files and servers that several workers share, and that outlive a kill."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from pointsman.cli import main
from pointsman.errors import TraceError
from pointsman.problem import TuningProblem
from pointsman.replay import COLUMNS, Served
from pointsman.search import SearchResult, join, search
from pointsman.study import SAMPLERS, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pointsman.decide import Beliefs
    from pointsman.outcomes import Outcomes
    from pointsman.spec import RoutingSpec


@pytest.fixture
def problem(
    make_outcomes: Callable[..., Outcomes], make_beliefs: Callable[..., Beliefs], make_spec: Callable[..., RoutingSpec]
) -> TuningProblem:
    """Draw 400 requests at three candidates: dearer, better, slower."""
    generator, n = np.random.default_rng(0), 400
    skill = np.clip(np.array([[0.5], [0.7], [0.9]]) + 0.3 * generator.normal(size=(3, n)), 0, 1)
    cost = np.array([[0.001], [0.004], [0.02]]) * generator.uniform(0.5, 2, (3, n))
    late = np.array([[0.0], [0.02], [0.1]])
    outcomes = make_outcomes(
        (generator.random((n, 3)) < skill.T).astype(float),
        cost.T,
        np.where(generator.random((n, 3)) < late.T, 500.0, 100.0),
    )
    return TuningProblem(
        beliefs=make_beliefs(np.arange(n) % 2, skill, skill.mean(axis=1, keepdims=True), cost, late),
        outcomes={name: getattr(outcomes, name) for name in COLUMNS},
        before=Served.by(outcomes, np.full(n, 2)),
        spec=make_spec(outcomes.models, {"useful_rate": 0.6, "p95_latency_ms": 220.0}),
        models=outcomes.models,
        study_name="week",
        n_trials=20,
    )


def run(problem: TuningProblem, n_trials: int, **options: Any) -> SearchResult:
    return search(problem.beliefs, problem.objective(), problem.models, "c", n_trials, **options)


# --- storages


def server_programs() -> Path:
    """Return the folder of PostgreSQL's programs, wherever Debian or a source build put them."""
    on_path = shutil.which("initdb")
    places = [Path(on_path).resolve().parent] if on_path else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if not places:
        pytest.skip("PostgreSQL's initdb is not installed (Debian: apt-get install postgresql)")
    return places[0]


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """Start a server of its own, on a socket in a temporary folder, and stop it."""
    pytest.importorskip("psycopg", reason="the PostgreSQL driver is not installed (pip install 'psycopg[binary]')")
    programs = server_programs()
    # The server refuses to run as root.
    user: dict[str, Any] = {"user": "nobody"} if os.getuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    if user:
        shutil.chown(folder, "nobody")
    quiet: dict[str, Any] = {"check": True, "cwd": folder, "stdout": subprocess.DEVNULL, **user}
    data, control = folder / "data", programs / "pg_ctl"
    try:
        subprocess.run([programs / "initdb", "-D", data, "-U", "tuner", "-A", "trust", "--no-sync"], **quiet)
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        subprocess.run([control, "-D", data, "-l", folder / "log", "-o", options, "-w", "start"], **quiet)
        try:
            yield f"postgresql+psycopg://tuner@/postgres?host={folder}"
        finally:
            subprocess.run([control, "-D", data, "-m", "immediate", "stop"], **quiet)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(params=["journal", "sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql"))
    return f"journal:{tmp_path}/study.log" if request.param == "journal" else f"sqlite:///{tmp_path}/study.db"


def finished(study: optuna.Study) -> dict[int, Any]:
    """Return parameters and value of each finished trial, read as a stranger would."""
    return {trial.number: (trial.params, trial.value) for trial in study.trials if trial.state == TrialState.COMPLETE}


def study_in(storage: str) -> optuna.Study:
    """Open the study by Optuna alone."""
    opened: Any = storage
    if storage.startswith("journal:"):
        backend = optuna.storages.journal.JournalFileBackend(storage.partition(":")[2])
        opened = optuna.storages.JournalStorage(backend)
    return optuna.load_study(study_name="week", storage=opened)


def test_workers_that_are_killed_lose_no_finished_trial(storage: str, problem: TuningProblem, tmp_path: Path) -> None:
    """Two workers at once, killed at any moment; the search then takes up what they left."""
    file = problem.save(tmp_path / "problem.npz")
    join(problem.beliefs, problem.objective(), problem.models, 2, storage, "week")
    study = study_in(storage)
    words = [sys.executable, "-m", "pointsman.cli", "tune-worker", "--storage", storage, "--problem", str(file)]
    words += ["--trials", "100000"]
    workers = [subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(2)]
    try:
        deadline = time.monotonic() + 120
        while len(finished(study)) < 10 and time.monotonic() < deadline:
            assert [worker.poll() for worker in workers] == [None, None]
            time.sleep(0.05)
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
    before = finished(study)
    assert len(before) >= 10
    resumed = run(problem, len(before) + 3, storage=storage, study_name="week")
    after = {trial.number: trial.params for trial in resumed.trials}
    assert len(after) == len(before) + 3
    assert {number: after[number] for number in before} == {number: params for number, (params, _) in before.items()}
    # Each worker draws for itself.
    drawn = [str(params) for number, params in after.items() if number >= 2]
    assert len(set(drawn)) == len(drawn)
    kept = {one.evaluation.cost_per_useful for one in resumed.tried}
    assert kept >= {value for _, value in before.values()}


def test_a_worker_stops_where_the_study_is_full(
    problem: TuningProblem, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, storage = problem.save(tmp_path / "problem.npz"), f"{tmp_path}/study.journal"
    run(problem, 15, storage=storage, study_name="week")
    words = ["tune-worker", "--storage", storage, "--problem", str(file)]
    assert main(words) == 0
    assert capsys.readouterr().out == "study week: 20 finished trials, 5 of them by this worker\n"
    assert main(words) == 0
    assert "20 finished trials, 0 of them by this worker" in capsys.readouterr().out
    assert len(run(problem, 20, storage=storage, study_name="week").trials) == 20


def test_a_line_that_was_cut_off_is_mended(problem: TuningProblem, tmp_path: Path) -> None:
    """A journal whose last line a dying machine left half-written: without mending nothing in it could be read."""
    journal = tmp_path / "study.journal"
    first = run(problem, 4, storage=str(journal), study_name="week")
    with journal.open("ab") as file:
        file.write(b'{"op_code":4,"worker_id":"')
    resumed = run(problem, 8, storage=str(journal), study_name="week")
    assert resumed.trials[:4] == first.trials
    assert len(finished(study_in(f"journal:{journal}"))) == 8


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_resumes(sampler: Any, problem: TuningProblem, tmp_path: Path) -> None:
    options: dict[str, Any] = {"storage": f"{tmp_path}/study.journal", "study_name": "week", "sampler": sampler}
    short, long = (run(problem, trials, **options) for trials in (4, 12))
    assert long.trials[:4] == short.trials
    assert len(long.trials) == 12
    objective, name = problem.objective(), "week"
    more = join(problem.beliefs, objective, problem.models, 14, options["storage"], name, sampler=sampler)
    assert len(more) == 14
    assert [trial.number for trial in more] == list(range(14))


def test_samplers_draw_what_they_are_for(problem: TuningProblem) -> None:
    drawn = {sampler: run(problem, 14, sampler=sampler) for sampler in ("auto", "tpe", "gp", "nsga2")}
    assert drawn["auto"] == drawn["tpe"]
    assert {len(trial.params) for trial in drawn["gp"].trials} == {3}  # value rules only: no branches
    assert {trial.params["rule"] for trial in drawn["nsga2"].trials} == {"value", "ladder"}
    assert all(one.p95_ms is not None for one in drawn["nsga2"].tried)
    best = min(found.evaluation.cost_per_useful for found in drawn.values())
    assert all(found.evaluation.cost_per_useful <= 1.05 * best for found in drawn.values())


# --- errors


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("study.db", "storage 'study.db' is not known; allowed: journal:PATH"),
        ("sqlite:////nowhere/at/all/study.db", "cannot be used: "),
        ("nosuch://host/db", "cannot be used: "),
        ("postgresql+psycopg://tuner:secret@localhost:1/db", r"storage postgresql\+psycopg://tuner@localhost:1/db ca"),
    ],
)
def test_a_storage_that_cannot_be_used_is_named(storage: str, message: str, problem: TuningProblem) -> None:
    with pytest.raises(StorageError, match=message) as raised:
        run(problem, 2, storage=storage, study_name="week")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("other", ["gp", "nsga2"])
def test_a_study_of_another_sampler_is_refused(other: Any, problem: TuningProblem, tmp_path: Path) -> None:
    storage = f"{tmp_path}/study.journal"
    run(problem, 2, storage=storage, study_name="week")
    with pytest.raises(TraceError, match="study 'week' was made for "):
        run(problem, 2, storage=storage, study_name="week", sampler=other)


def test_a_study_of_other_outcomes_is_refused(problem: TuningProblem, tmp_path: Path) -> None:
    storage = f"{tmp_path}/study.journal"
    run(problem, 2, storage=storage, study_name="week")
    problem.outcomes["cost_usd"][7, 0] *= 2
    with pytest.raises(TraceError, match="study 'week' was made for other outcomes"):
        run(problem, 2, storage=storage, study_name="week")
