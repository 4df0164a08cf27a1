"""The main job as its users run it: the command line on the sample week, with real parts from end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import onnxruntime
import optuna
import pandas as pd
import pytest
import yaml

from pointsman.bundle import load_bundle
from pointsman.cli import main
from pointsman.conformance import check_conformance
from pointsman.encoders import TransformerEncoder
from pointsman.router import Decision, Router
from pointsman.sample_week import SampleWeek, sample_week

if TYPE_CHECKING:
    from pathlib import Path

METRICS = {"requests", "useful_rate", "cost_usd", "cost_per_useful", "p50_ms", "p95_ms", "hallucination_rate"}


@pytest.fixture(scope="module")
def week() -> SampleWeek:
    return sample_week(seed=3, requests=1000)


@pytest.fixture(scope="module")
def work(week: SampleWeek, tmp_path_factory: pytest.TempPathFactory, make_encoder: Any) -> Path:
    """Return a folder with traces cut in two by time, a spec, a tiny encoder, and a fitted bundle."""
    folder = tmp_path_factory.mktemp("work")
    make_encoder(folder / "encoder")
    half = week.traces["timestamp"] < week.traces["timestamp"].quantile(0.7)
    week.traces[half].to_parquet(folder / "seen.parquet")
    week.traces.to_json(folder / "all.jsonl", orient="records", lines=True, date_format="iso")
    spec = {**week.spec, "constraints": {"useful_rate": {"margin": 0.3}, "p95_latency_ms": 600, "confidence": 0.9}}
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    assert fit(folder, "bundle") in {0, 1}
    return folder


def fit(folder: Path, out: str, *options: str) -> int:
    words = ["fit", "--traces", folder / "seen.parquet", "--spec", folder / "spec.yaml", "--out", folder / out]
    words += ["--encoder", folder / "encoder" / "model", "--trials", "20", "--cache", folder / "cache"]
    words += ["--tracking-uri", f"sqlite:///{folder / 'mlflow.db'}", "--json", folder / f"{out}.json", *options]
    return main(list(map(str, words)))


def test_the_bundle_proves_itself(work: Path) -> None:
    assert check_conformance(work / "bundle") == []
    bundle = load_bundle(work / "bundle")
    assert len(bundle.seen) == 560, "learn and calibrate: 80 % of the 700 requests"
    certified = bundle.policy.evidence["certified"]
    report = json.loads((work / "bundle.json").read_text())
    assert certified["after"] == report["after"]
    assert certified["requests"] == 140
    assert report["verdict"] in (work / "bundle" / "MODEL_CARD.md").read_text()


def test_replay_reports_the_contract_and_leaves_out_what_was_seen(
    work: Path, week: SampleWeek, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["replay", "--bundle", work / "bundle", "--traces", work / "all.jsonl", "--spec", work / "spec.yaml"]
    code = main(list(map(str, [*words, "--json", work / "r.json", "--picture", work / "r.png"])))
    report = json.loads((work / "r.json").read_text())
    assert code == int(not all(entry["held"] for entry in report["constraints"]))
    assert report["left_out"] == {"seen": 560, "incomplete": 0}
    assert report["requests"] == 440
    names = {f"always:{model}" for model in week.spec["candidates"]} | {"random_same_cost", "best_per_intent", "oracle"}
    assert set(report["baselines"]) == names
    for summary in (report["before"], report["after"], *report["baselines"].values()):
        assert set(summary) >= METRICS
    for name in METRICS - {"requests"}:
        low, difference, high = (report["change"][name][key] for key in ("low", "difference", "high"))
        assert difference == pytest.approx(report["after"][name] - report["before"][name])
        assert low <= difference <= high
    assert report["before"] == {**report["baselines"]["always:big-decoder-v2"]}, (
        "the week is logged with the large model"
    )
    assert report["baselines"]["oracle"]["useful_rate"] >= report["after"]["useful_rate"]
    assert (work / "r.png").read_bytes()[:4] == b"\x89PNG"
    out = capsys.readouterr().out
    assert report["verdict"].split(":")[0] in out.replace("\n", " ")


def test_the_report_is_a_page_and_goes_to_the_run(
    work: Path, week: SampleWeek, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["report", "--bundle", work / "bundle", "--traces", work / "all.jsonl", "--spec", work / "spec.yaml"]
    words += ["--out", work / "page.html", "--run-id", "fit", "--tracking-uri", f"sqlite:///{work / 'mlflow.db'}"]
    code = main([str(word) for word in words])
    text, line = (work / "page.html").read_text(encoding="utf-8"), capsys.readouterr().out.splitlines()[0]
    assert code == (0 if line.startswith("It holds") else 1)
    assert line.split(":")[0] in text
    assert "440 unseen requests" in text
    assert "one thread" in text, "the bundle's own overhead is measured"
    assert "Not audited" not in text
    assert not any(prompt in text for prompt in week.traces["prompt"].unique() if len(prompt) > 60)
    client = mlflow.MlflowClient(f"sqlite:///{work / 'mlflow.db'}")
    run = client.get_run(load_bundle(work / "bundle").manifest["provenance"]["run_id"])
    assert {entry.path for entry in client.list_artifacts(run.info.run_id, "replay")} == {
        "replay/report.html",
        "replay/report.json",
    }
    assert "replay/after/useful_rate" in run.data.metrics
    assert "replay/moved/lost" in run.data.metrics
    assert run.data.metrics["after/requests"] == 140, "the fit's own figures stay what they were"
    again = ["report", "--bundle", work / "bundle", "--replay", work / "bundle.json", "--out", work / "fit.html"]
    assert main([*map(str, again), "--no-overhead"]) in {0, 1}
    assert main([*map(str, again), "--examples"]) == 2


def test_route_says_the_same_as_the_router(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["route", "--bundle", str(work / "bundle"), "where is the code of conduct?"]
    assert main(words) == 0
    said = Decision.from_dict(json.loads(capsys.readouterr().out))
    assert said == Router.load(work / "bundle").route(words[-1])


def test_route_reads_lines_and_survives_what_is_no_text(work: Path) -> None:
    lines = b"hello\n\n\xff\xfe\x00broken\n" + b"x" * 1_000_000 + b"\n"
    command = [sys.executable, "-m", "pointsman.cli", "route", "--bundle", str(work / "bundle")]
    done = subprocess.run(command, input=lines, capture_output=True, check=True)
    decisions = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(decisions) == 4
    models = set(load_bundle(work / "bundle").policy.models)
    assert {decision["model"] for decision in decisions} <= models


def test_mlflow_holds_the_run_and_no_prompt(work: Path, week: SampleWeek) -> None:
    store = f"sqlite:///{work / 'mlflow.db'}"
    client = mlflow.MlflowClient(store)
    run_id = load_bundle(work / "bundle").manifest["provenance"]["run_id"]
    run = client.get_run(run_id)
    report = json.loads((work / "bundle.json").read_text())
    assert run.info.status == "FINISHED"
    assert run.data.metrics["after/cost_per_useful"] == pytest.approx(report["after"]["cost_per_useful"])
    assert run.data.metrics["change/useful_rate/low"] == pytest.approx(report["change"]["useful_rate"]["low"])
    assert run.data.metrics["rival/oracle/p95_ms"] == pytest.approx(report["baselines"]["oracle"]["p95_ms"])
    assert run.inputs is not None
    assert run.inputs.dataset_inputs
    children = client.search_runs([run.info.experiment_id], f"tags.fit = '{run_id}' AND tags.kind = 'trial'")
    assert len(children) == 20
    for child in children:
        assert {"slack/useful_rate", "slack/p95_latency_ms", "cost_per_useful"} <= set(child.data.metrics)
        assert child.data.params["rule"] in {"value", "ladder"}
    names = {entry.path for entry in client.list_artifacts(run_id)}
    assert {
        "report.html",
        "report.json",
        "report.md",
        "cost_and_usefulness.png",
        "spec.yaml",
        "recipe.json",
        "bundle",
    } <= names
    prompts = [prompt for prompt in week.traces["prompt"].unique() if len(prompt) > 60]
    kept = [path for path in work.rglob("*") if path.is_file() and path.suffix not in {".jsonl", ".parquet", ".onnx"}]
    kept += list((work / "bundle").iterdir())
    for path in kept:
        text = path.read_bytes().decode("utf-8", "ignore")
        assert not any(prompt in text for prompt in prompts), path


def test_the_logged_model_routes_text_and_holds_the_graph(work: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{work / 'mlflow.db'}")
    run_id = load_bundle(work / "bundle").manifest["provenance"]["run_id"]
    outputs = mlflow.get_run(run_id).outputs
    assert outputs is not None
    (logged,) = outputs.model_outputs
    uri = f"models:/{logged.model_id}"
    answer = mlflow.pyfunc.load_model(uri).predict(pd.DataFrame({"prompt": ["fix the code", ""]}))
    decisions = Router.load(work / "bundle").route_batch(["fix the code", ""])
    assert answer["model"].tolist() == [decision.model for decision in decisions]
    assert answer["reason"].tolist() == [decision.reason for decision in decisions]
    session = onnxruntime.InferenceSession(mlflow.onnx.load_model(uri).SerializeToString())
    ids = np.array([[2, 7, 3]], dtype=np.int64)
    found = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    own = onnxruntime.InferenceSession(str(work / "bundle" / "model.onnx"))
    for one, want in zip(found, own.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)}), strict=True):
        np.testing.assert_array_equal(one, want)


def test_same_traces_spec_and_seed_give_the_same_bytes(work: Path) -> None:
    assert fit(work, "again", "--no-tracking") in {0, 1}
    for file in (
        "model.onnx",
        "tokenizer.json",
        "policy.json",
        "conformance.jsonl",
        "seen_requests.u64",
        "MODEL_CARD.md",
    ):
        assert (work / "bundle" / file).read_bytes() == (work / "again" / file).read_bytes(), file


def test_quickstart_with_the_packaged_minilm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["quickstart", "--out", str(tmp_path / "q"), "--requests", "1200", "--trials", "12"])
    shown = capsys.readouterr().out
    report = json.loads((tmp_path / "q" / "report.json").read_text())
    refuted = any(entry["verdict"] == "broken" for entry in report["constraints"])
    assert code == int(refuted or not report["certificate"]["certified"])
    assert shown.count("→") == 5
    assert str(tmp_path / "q" / "bundle") in shown
    assert (tmp_path / "q" / "cost_and_usefulness.png").is_file()
    assert check_conformance(tmp_path / "q" / "bundle") == []
    assert load_bundle(tmp_path / "q" / "bundle").manifest["provenance"]["encoder"] == "static, of all-MiniLM-L6-v2"


def test_partly_answered_requests_train_but_do_not_tune(work: Path, tmp_path: Path) -> None:
    traces = pd.read_parquet(work / "seen.parquet")
    rare = traces["request_id"].isin(traces["request_id"].unique()[:100]) & (traces["model"] == "mid-writer")
    traces[~rare].to_parquet(tmp_path / "seen.parquet")
    (tmp_path / "spec.yaml").write_text((work / "spec.yaml").read_text())
    (tmp_path / "encoder").symlink_to(work / "encoder")
    assert fit(tmp_path, "partly", "--no-tracking") in {0, 1}
    policy = load_bundle(tmp_path / "partly").policy
    assert policy.evidence["tuned_on_requests"] == 490 - 100


def test_a_fit_with_a_storage_takes_up_its_own_study(work: Path) -> None:
    storage = f"sqlite:///{work / 'study.db'}"
    assert fit(work, "first", "--no-tracking", "--storage", storage, "--trials", "8") in {0, 1}
    assert fit(work, "second", "--no-tracking", "--storage", storage, "--trials", "12") in {0, 1}
    (summary,) = optuna.get_all_study_summaries(storage)
    assert summary.n_trials == 12


def test_a_packaged_encoder_is_the_published_one() -> None:
    assert TransformerEncoder().dimensions == 384
