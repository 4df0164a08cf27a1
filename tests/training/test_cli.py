"""Bad usage and bad input end in exit code 2 and one clear line; what does not hold in 1; never a traceback."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import yaml

from pointsman.cli import main
from pointsman.commands import COMMANDS
from pointsman.sample_week import sample_week

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def traces() -> pd.DataFrame:
    return sample_week(seed=1, requests=200).traces


@pytest.fixture
def place(tmp_path: Path, traces: pd.DataFrame, make_encoder: Any) -> Path:
    traces.to_parquet(tmp_path / "t.parquet")
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(sample_week(seed=1, requests=10).spec), encoding="utf-8")
    make_encoder(tmp_path / "encoder")
    return tmp_path


def fit(place: Path, capsys: pytest.CaptureFixture[str], *more: object) -> tuple[int, str]:
    words = ["fit", "--traces", place / "t.parquet", "--spec", place / "s.yaml", "--out", place / "b", "--trials", "8"]
    words += ["--encoder", place / "encoder" / "model", "--no-tracking", "--cache", place / "cache"]
    words += list(more)
    code = main(list(map(str, words)))
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("pointsman: ")]
    return code, lines[-1] if lines else ""


def respec(place: Path, change: dict[str, Any]) -> None:
    spec = yaml.safe_load((place / "s.yaml").read_text())
    (place / "s.yaml").write_text(yaml.safe_dump({**spec, **change}), encoding="utf-8")


@pytest.mark.parametrize("command", [command.NAME for command in COMMANDS])
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert f"example:\n  pointsman {command}" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["fly"], ["fit"], ["fit", "--traces", "x", "--spec", "y", "--trials", "0"]])
def test_bad_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns=["latency_ms", "prompt"]), "latency_ms"),
        (lambda t: t.head(0), "empty"),
        (lambda t: t.drop(columns="useful"), "useful"),
        (lambda t: t[t["model"] != "mid-writer"], "candidate 'mid-writer' has no rows"),
        (lambda t: t.head(240), "at least 100 are needed"),
        (lambda t: t.assign(latency_ms=-1.0), "latency_ms"),
        (lambda t: t.assign(chosen=False), "as_logged"),
        (lambda t: t.assign(cost_usd=None, input_tokens=None), "cost_usd"),
    ],
)
def test_traces_that_cannot_be_used(
    place: Path, traces: pd.DataFrame, change: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(traces).to_parquet(place / "t.parquet")
    code, line = fit(place, capsys)
    assert code == 2
    assert message in line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"saef_model": "small-precise"}, "did you mean safe_model?"),
        ({"safe_model": "small"}, "safe_model is 'small'"),
        ({"baseline": "gpt"}, "baseline is 'gpt'"),
        ({"rules": {"intents": {"poems": "mid-writer"}}}, "rules.intents names 'poems'"),
        ({"fallbacks": [{"model": "mid-writer", "when": ["sunday"]}]}, "'sunday'"),
        ({"constraints": {"p95_latency_ms": -5}}, "p95_latency_ms"),
    ],
)
def test_specs_that_cannot_be_used(
    place: Path, change: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    respec(place, change)
    code, line = fit(place, capsys)
    assert code == 2
    assert message in line


def test_an_infeasible_constraint_says_which_and_how_far(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    respec(place, {"constraints": {"useful_rate": 0.999, "p95_latency_ms": 5000}})
    code, line = fit(place, capsys)
    assert code == 1
    assert re.search(r"no policy of \d+ tried meets constraints.useful_rate", line)
    assert "the nearest has" in line
    assert not (place / "b").exists()


def test_free_failure_is_warned_of(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    respec(place, {"constraints": {"p95_latency_ms": 5000}, "objective": "cost_per_useful_response"})
    code, line = fit(place, capsys)
    assert code in {0, 1}
    assert "cost alone is a trap" in line


def test_bad_rows_are_put_aside_beside_the_bundle(
    place: Path, traces: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = traces.assign(latency_ms=traces["latency_ms"].astype(object))
    worse.loc[worse.index[:4], "latency_ms"] = "fast"
    worse.astype({"latency_ms": str}).to_parquet(place / "t.parquet")
    respec(place, {"constraints": {"useful_rate": {"margin": 0.2}}})
    code, line = fit(place, capsys)
    assert code in {0, 1}
    assert "4 of 800 rows put aside" in line
    rows = [json.loads(row) for row in (place / "b.quarantine.jsonl").read_text().splitlines()]
    assert len(rows) == 4
    assert all("latency_ms" in row["reason"] and "fast" in row["reason"] for row in rows)


def test_one_intent_only(place: Path, traces: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    traces.assign(intent="everything").to_parquet(place / "t.parquet")
    respec(place, {"constraints": {"useful_rate": {"margin": 0.2}}})
    code, _ = fit(place, capsys)
    assert code in {0, 1}
    policy = json.loads((place / "b" / "policy.json").read_text())
    assert policy["intents"] == ["everything"]


def test_ingest_counts_add_up(place: Path, traces: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    lines = traces.to_json(orient="records", lines=True, date_format="iso").splitlines()
    lines[2] = lines[2][:30]
    lines[5] = lines[4]
    (place / "t.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert (
        main(["ingest", str(place / "t.jsonl"), "--out", str(place / "o.parquet"), "--json", str(place / "c.json")])
        == 0
    )
    report = json.loads((place / "c.json").read_text())
    intake = report["intake"]
    assert (intake["records"], intake["rows_in"], intake["kept"], sum(intake["aside"].values())) == (800, 800, 798, 2)
    assert report["rows"] == 798
    assert len(pd.read_parquet(place / "o.parquet")) == 798
    assert sorted(json.loads(row)["source_row"] for row in (place / "o.quarantine.jsonl").read_text().splitlines()) == [
        3,
        6,
    ]
    assert "798 rows in" in capsys.readouterr().out
    assert "798" in (place / "o.report.html").read_text()


def test_spec_starts_from_traces_and_prices(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "p.csv").write_text(
        "model,input_usd_per_mtok,output_usd_per_mtok\nsmall-precise,0.1,0.4\nmid-writer,1,2\n"
    )
    words = ["spec", "--traces", place / "t.parquet", "--prices", place / "p.csv", "--out", place / "new.yaml"]
    assert main(list(map(str, words))) == 0
    made = yaml.safe_load((place / "new.yaml").read_text())
    assert list(made["candidates"]) == ["small-precise", "mid-writer"]
    assert made["safe_model"] == "small-precise"
    assert "new.yaml" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["truncate", "alter", "remove"])
def test_a_damaged_bundle_is_refused(
    tiny_bundle: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    bundle = shutil.copytree(tiny_bundle, tmp_path / "damaged")
    policy = bundle / "policy.json"
    text = policy.read_text()
    if damage == "truncate":
        policy.write_text(text[:-40])
    elif damage == "alter":
        policy.write_text(text.replace("0.7", "0.6", 1))
    else:
        policy.unlink()
    assert main(["route", "--bundle", str(bundle), "hello"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("pointsman: ")
    assert error.count("\n") == 1
    assert "policy.json" in error


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    code = "import sys; sys.modules['pandas'] = None; from pointsman.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "ingest", "x.csv", "--out", str(tmp_path / "o")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'pointsman[train]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_joins_the_study_of_a_fit(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The fit leaves its tuning problem beside the bundle; a worker adds trials to the same study."""
    respec(place, {"constraints": {"useful_rate": {"margin": 0.5}}})
    storage = f"journal:{place / 'study.log'}"
    assert fit(place, capsys, "--storage", storage, "--json", place / "r.json")[0] in {0, 1}
    words = ["tune-worker", "--storage", storage, "--problem", place / "b.problem.npz", "--trials", "11"]
    assert main(list(map(str, words))) == 0
    assert "11 finished trials, 3 of them by this worker" in capsys.readouterr().out


def test_a_point_of_the_front_can_be_picked(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    respec(place, {"constraints": {"useful_rate": {"margin": 0.5}}})
    assert fit(place, capsys, "--front", place / "front.png", "--pick", "2", "--json", place / "r.json")[0] in {0, 1}
    certificate = json.loads((place / "r.json").read_text())["certificate"]
    # Nobody can pick again in every fold: a picked rule is tested on the later slices alone.
    assert (certificate["method"], certificate["requests"], len(certificate["sequence"])) == ("split", 60, 1)
    assert (place / "front.png").is_file()
    code, line = fit(place, capsys, "--pick", "100000")
    assert code == 2
    assert "point 100000 is not on the front" in line
