"""A team's server, named by MLflow's own variables; a database server; a served model: all real, on loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import mlflow
import pytest
import yaml
from mlflow_processes import free_port, model_server, tracking_server

from pointsman.cli import main
from pointsman.router import Router
from pointsman.sample_week import sample_week
from pointsman.study import TrialRecord
from pointsman.tracking import CHAMPION, Registry, Store, TrackingError
from pointsman.tracking.children import log_children, trial_children

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TRIALS = [
    TrialRecord(number, {"rule": "ladder", "trust": 0.5}, 0.01 * number, 0.8, 0.04, {"useful_rate": -0.1}, {}, 1e9, 2e9)
    for number in range(5)
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with tracking_server(tmp_path_factory.mktemp("server")) as url:
        yield url


def test_a_fit_on_a_teams_server_is_listed_rerun_and_fetched(
    server: str,
    make_encoder: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.chdir(tmp_path)
    week = sample_week(seed=2, requests=200)
    week.traces.to_parquet("week.parquet")
    Path("spec.yaml").write_text(yaml.safe_dump({**week.spec, "constraints": {"useful_rate": {"margin": 0.5}}}))
    encoder = make_encoder(tmp_path / "encoder")
    words = ["--encoder", str(encoder), "--trials", "4", "--cache", "cache", "--register"]
    assert main(["fit", "--traces", "week.parquet", "--spec", "spec.yaml", "--out", "bundle", *words]) in {0, 1}
    said = capsys.readouterr().out
    assert f"in {server}" in said
    assert "registered: models:/pointsman/1" in said
    assert main(["runs", "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)
    client = mlflow.MlflowClient(server)
    experiment = client.get_experiment_by_name("pointsman")
    assert experiment is not None
    children = client.search_runs([experiment.experiment_id], f"tags.fit = '{run['run_id']}' AND tags.kind = 'trial'")
    assert len(children) == 4
    assert all(one.info.status == "FINISHED" for one in children)
    version = Registry(Store()).versions()[0]
    fetched = Registry(Store()).download(version, "fetched")
    for file in Path("bundle").iterdir():
        assert (fetched / file.name).read_bytes() == file.read_bytes(), file.name
    assert main(["rerun", run["run_id"], "--out", "again/bundle", "--cache", "cache"]) == 0
    assert not list(tmp_path.glob("*.db")), "nothing is kept here"


def test_a_server_that_is_away_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://team:secret@127.0.0.1:{free_port()}")
    assert main(["runs"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be reached; is the server running" in line
    assert "secret" not in line


def server_programs() -> Path:
    on_path = shutil.which("initdb")
    places = [Path(on_path).resolve().parent] if on_path else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if not places:
        pytest.skip("PostgreSQL's initdb is not installed (Debian: apt-get install postgresql)")
    return places[0]


@pytest.fixture
def postgresql() -> Iterator[str]:
    """Start a database server of its own, on a socket in a temporary folder, and stop it."""
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
        subprocess.run([programs / "initdb", "-D", data, "-U", "team", "-A", "trust", "--no-sync"], **quiet)
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        subprocess.run([control, "-D", data, "-l", folder / "log", "-o", options, "-w", "start"], **quiet)
        try:
            yield f"postgresql+psycopg://team@/postgres?host={folder}"
        finally:
            subprocess.run([control, "-D", data, "-m", "immediate", "stop"], **quiet)
    finally:
        shutil.rmtree(folder)


def test_postgresql_holds_runs_children_and_versions(
    postgresql: str, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgresql)
    monkeypatch.setenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", (tmp_path / "artifacts").as_uri())
    store = Store()
    experiment = store.experiment_id("weeks", create=True)
    fit = store.client.create_run(experiment, run_name="fit").info.run_id
    ids = log_children(store, experiment, fit, trial_children(TRIALS, fit))
    children = store.client.search_runs([experiment], f"tags.fit = '{fit}'", order_by=["attributes.run_name"])
    assert {one.info.run_id for one in children} == set(ids)
    assert [one.data.metrics["cost_per_useful"] for one in children] == [one.cost_per_useful for one in TRIALS]
    version = Registry(store).register_bundle(tiny_bundle, CHAMPION)
    assert Registry(store).champion() == version
    assert Router.load(Registry(store).download(version, tmp_path / "fetched")).version
    assert (tmp_path / "artifacts").is_dir()
    with pytest.raises(TrackingError, match=r"no experiment 'months'; there are: Default, pointsman, weeks"):
        store.experiment_id("months")


def no_such_tables(*_: object) -> list[str]:
    raise ImportError


def test_children_look_the_same_whichever_way_they_went_in(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written into MLflow's tables at once, or by its calls, one by one: MLflow tells the same of them."""
    experiment = store.experiment_id("x", create=True)
    fit = store.client.create_run(experiment).info.run_id

    def told(ids: list[str]) -> list[Any]:
        found = []
        for run_id in ids:
            run = store.client.get_run(run_id).to_dictionary()
            assert run["info"].pop("run_id") in run["info"].pop("artifact_uri")
            history = [vars(one) for one in store.client.get_metric_history(run_id, "cost_per_useful")]
            found.append((run, [{**one, "_run_id": None} for one in history]))
        return found

    at_once = log_children(store, experiment, fit, trial_children(TRIALS, fit))
    monkeypatch.setattr("pointsman.tracking.children._insert", no_such_tables)
    one_by_one = log_children(store, experiment, fit, trial_children(TRIALS, fit))
    assert len(set(at_once + one_by_one)) == 10
    assert told(at_once) == told(one_by_one)


def test_mlflow_serves_text_routing(store: Store, tiny_bundle: Path, tmp_path: Path) -> None:
    registry = Registry(store, "week router")
    registry.register_bundle(tiny_bundle, CHAMPION)
    rows: list[dict[str, Any]] = [{"prompt": "what is this", "context_tokens": 40_000}]
    rows += [{"prompt": "fix the code", "modality": "image"}]
    with model_server("models:/week router@champion", store.uri, tmp_path) as url:
        body = json.dumps({"dataframe_records": rows}).encode()
        with urlopen(Request(f"{url}/invocations", body, {"Content-Type": "application/json"}), timeout=60) as answer:
            predictions = json.loads(answer.read())["predictions"]
    router = Router.load(tiny_bundle)
    own = [router.route(rows[0]["prompt"], context_tokens=40_000), router.route(rows[1]["prompt"], modality="image")]
    for found, decision in zip(predictions, own, strict=True):
        wanted = decision.to_dict()
        assert found == {name: wanted[name] for name in found}
        assert {"model", "intent", "confidence", "p_useful", "reason", "fallbacks"} <= set(found)
