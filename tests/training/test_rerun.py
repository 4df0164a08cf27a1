"""A fit comes out of its run again, to the byte; what has changed since is told, and other traces are refused."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd
import pytest
import yaml

from pointsman.bundle import load_bundle
from pointsman.cli import main
from pointsman.manifest import FILES
from pointsman.rerun import differences
from pointsman.sample_week import sample_week
from pointsman.tracking import Store
from pointsman.tracking.reading import find_fit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SPEC: dict[str, Any] = {
    "candidates": {
        name: {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0}
        for name in ("small-precise", "mid-writer", "big-decoder-v2")
    },
    "baseline": "big-decoder-v2",
    "safe_model": "small-precise",
    "constraints": {"useful_rate": {"relative_to": "baseline", "margin": 0.5}, "confidence": 0.8},
}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, make_encoder: Callable[..., Path]) -> Path:
    """Return a folder with traces (one broken row), a spec, an encoder, and a fit of them, logged and registered."""
    folder = tmp_path_factory.mktemp("work")
    rows = sample_week(seed=7, requests=220).traces
    rows = rows[rows["model"] != "vision-scout"].assign(latency_ms=rows["latency_ms"].astype(str))
    rows.loc[rows.index[3], "latency_ms"] = "fast"
    rows.to_parquet(folder / "week.parquet")
    (folder / "spec.yaml").write_text(yaml.safe_dump(SPEC), encoding="utf-8")
    make_encoder(folder / "encoder")
    words = [
        "fit",
        "--traces",
        folder / "week.parquet",
        "--spec",
        folder / "spec.yaml",
        "--out",
        folder / "first" / "b",
    ]
    words += ["--encoder", folder / "encoder" / "model", "--trials", "7"]
    words += ["--sampler", "nsga2", "--cache", folder / "cache", "--tracking-uri", store(folder), "--register", "week"]
    assert main(list(map(str, words))) in {0, 1}
    return folder


def store(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow.db'}"


def again(folder: Path, out: Path, *more: object) -> int:
    run_id = load_bundle(folder / "first" / "b").manifest["provenance"]["run_id"]
    words = ["rerun", run_id[:8], "--out", out, "--tracking-uri", store(folder), "--cache", folder / "cache", *more]
    return main(list(map(str, words)))


def test_a_rerun_is_the_same_to_the_byte(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (work / "spec.yaml").write_text("the spec of another day")
    assert again(work, tmp_path / "b") == 0
    assert "the same as that of run" in capsys.readouterr().out
    for name in FILES:
        assert (tmp_path / "b" / name).read_bytes() == (work / "first" / "b" / name).read_bytes(), name
    before, after = (dict(load_bundle(folder / "b").manifest) for folder in (work / "first", tmp_path))
    for manifest in (before, after):
        del manifest["created"], manifest["sha256"]
    assert before == after


def test_traces_and_encoder_may_have_moved_but_not_changed(
    work: Path, tmp_path: Path, make_encoder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "elsewhere.jsonl"
    rows = pd.read_parquet(work / "week.parquet")
    rows.assign(useful=1 - rows["useful"]).to_json(other, orient="records", lines=True, date_format="iso")
    assert again(work, tmp_path / "b", "--traces", other) == 2
    assert re.search(r"elsewhere.jsonl: not the traces of run \w{8}: fingerprint", capsys.readouterr().err)
    assert again(work, tmp_path / "b", "--encoder", work) == 2
    assert "encoder" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_what_was_not_logged_or_is_damaged_is_told_in_one_line(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*words: object) -> str:
        assert main(list(map(str, ["rerun", *words]))) == 2
        (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("pointsman: ")]
        return line

    assert "no fit 'beef1234'; `pointsman runs` lists them" in said("beef1234", "--tracking-uri", store(work))
    assert "no such file; fit first" in said("beef", "--tracking-uri", f"sqlite:///{tmp_path / 'none.db'}")
    assert not (tmp_path / "none.db").exists(), "reading makes no store"
    damaged = tmp_path / "damaged"
    shutil.copytree(work / "mlartifacts", damaged / "mlartifacts")
    shutil.copy(work / "mlflow.db", damaged / "mlflow.db")
    run = find_fit(Store(store(damaged)), "b")
    (recipe,) = (work / "mlartifacts").glob(f"{run.run_id}/artifacts/recipe.json")
    kept = recipe.read_text()
    try:
        recipe.write_text("{}")
        assert "its recipe.json or spec.yaml is damaged" in said("b", "--tracking-uri", store(work))
        document = json.loads(kept)
        recipe.write_text(json.dumps({**document, "options": {**document["options"], "haste": 3}}))
        assert "options that this release does not know: haste" in said("b", "--tracking-uri", store(work))
        recipe.write_text(json.dumps({**document, "traces": None}))
        assert "its traces came from memory; name their file by --traces" in said("b", "--tracking-uri", store(work))
    finally:
        recipe.write_text(kept)


def test_differences_are_told_by_file_and_key() -> None:
    files = {name: {"bytes": 1, "sha256": "a"} for name in FILES}
    before = {"name": "b", "created": "x", "files": files, "provenance": {"libraries": {"numpy": "2.4.6"}}}
    assert differences(before, {**before, "created": "y", "sha256": "z"}) == []
    after = {**before, "files": {**files, "policy.json": {"bytes": 2, "sha256": "b"}}}
    after["provenance"] = {"libraries": {"numpy": "2.5.0"}}
    assert differences(before, after) == [
        "policy.json: other bytes",
        "provenance.libraries.numpy: 2.4.6 → 2.5.0",
    ]


def test_the_first_registered_fit_that_holds_is_the_champion_the_next_its_challenger(work: Path) -> None:
    client = mlflow.MlflowClient(store(work))
    run = find_fit(Store(store(work)), "b")
    (version,) = client.search_model_versions("name = 'week'")
    aliases = client.get_model_version("week", version.version).aliases
    assert aliases == ["champion" if run.tags["holds"] == "True" else "challenger"]
    assert version.run_id == run.run_id
