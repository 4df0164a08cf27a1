"""Two bundles from disk on the same traces, and the changelog that it writes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from pointsman.bundle import load_bundle, write_bundle
from pointsman.changelog import changelog_entry, changelog_of, write_changelog
from pointsman.cli import main
from pointsman.comparing import compare_bundles
from pointsman.errors import BundleError, SpecError, TraceError
from pointsman.outcomes import request_hashes
from pointsman.router import Router
from pointsman.rules import ValueRule
from pointsman.spec import parse_spec
from pointsman.traces import TraceTable, validate_traces

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.policy import Policy

MODELS = ("small", "medium", "large")
N = 120
WORDS = ("hello what is the sum", "fix this code", "write the code {}", "what is this", "sum the code and write it")


def rows() -> pd.DataFrame:
    """Return requests of which small serves half, medium three quarters and large all."""
    index = np.arange(N)
    able = {"small": index % 2 == 0, "medium": index % 4 != 3, "large": np.ones(N, dtype=bool)}
    cost = {"small": 0.001, "medium": 0.004, "large": 0.02}
    frames = [
        pd.DataFrame(
            {
                "request_id": [f"r{number}" for number in index],
                "timestamp": pd.Timestamp("2026-03-02", tz="UTC") + pd.to_timedelta(index, unit="min"),
                "prompt": [f"{WORDS[number % len(WORDS)]} {number}" for number in index],
                "intent": np.where(index % 2, "chat", "code"),
                "model": model,
                "useful": able[model].astype(float),
                "latency_ms": 100.0 + index % 7,
                "cost_usd": cost[model],
                "chosen": model == "large",
            }
        )
        for model in MODELS
    ]
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def traces() -> TraceTable:
    return validate_traces(rows())


def copied(bundle: Path, out: Path, seen: Any = (), **changes: Any) -> Path:
    """Write a bundle again with another policy or other requests that it has seen."""
    old = load_bundle(bundle)
    policy: Policy = replace(old.policy, **changes)
    return write_bundle(
        out,
        graph=old.read("model.onnx"),
        tokenizer_json=old.read("tokenizer.json").decode(),
        policy=policy,
        conformance=[],
        model_card="",
        model_io=old.io,
        provenance={"run_id": out.name},
        seen=seen,
    )


@pytest.fixture
def pair(tiny_bundle: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A bundle that sends everything to large, and one that chooses."""
    everything = ValueRule(trust=0.0, useful_value_usd=1e6)
    return copied(tiny_bundle, tmp_path / "old", rule=everything), copied(tiny_bundle, tmp_path / "new")


def test_both_decide_as_their_routers_do(pair: tuple[Path, Path], traces: TraceTable) -> None:
    report = compare_bundles(*pair, traces)
    chosen = [d.model for d in Router.load(pair[1]).route_batch(list(traces.rows["prompt"].unique()))]
    assert report["requests"] == N
    assert report["moved"]["matrix"][2] == [chosen.count(model) for model in MODELS]
    assert report["before"]["cost_usd"] == pytest.approx(N * 0.02)
    assert report["names"] == {"before": "old", "after": "new"}
    assert report["bundles"]["after"]["run_id"] == "new"
    assert [change["path"] for change in report["policy_changes"]] == ["rule.trust", "rule.useful_value_usd"]


def test_what_either_has_seen_is_left_out(tiny_bundle: Path, tmp_path: Path, traces: TraceTable) -> None:
    spec = parse_spec({"candidates": {name: {} for name in MODELS}, "safe_model": "small"})
    from pointsman.inputs import known_outcomes

    hashes = request_hashes(known_outcomes(traces, spec, at_least=1))
    old = copied(tiny_bundle, tmp_path / "old", seen=hashes[:50])
    new = copied(tiny_bundle, tmp_path / "new", seen=hashes[40:70])
    report = compare_bundles(old, new, traces)
    assert report["requests"] == N - 70
    assert report["left_out"] == {"seen_by_before": 50, "seen_by_after": 30, "incomplete": 0}
    everything = copied(tiny_bundle, tmp_path / "all", seen=hashes)
    with pytest.raises(TraceError, match="unseen by both"):
        compare_bundles(old, everything, traces)


def test_a_bundle_that_was_replaced_is_compared_from_memory(pair: tuple[Path, Path], traces: TraceTable) -> None:
    old = Router.load(pair[0])
    copied(pair[1], pair[0])
    report = compare_bundles(old, pair[0], traces, names=("previous", "new"))
    assert report["moved"]["requests"] > 0
    assert report["verdict"].startswith("new is")


def test_a_candidate_that_is_gone_fails_over(pair: tuple[Path, Path], traces: TraceTable) -> None:
    """Large can no longer be called: the old bundle falls back, and costs less than before."""
    fewer = TraceTable(**{**vars(traces), "rows": traces.rows[traces.rows["model"] != "large"]})
    with pytest.raises(TraceError, match="--gone large"):
        compare_bundles(*pair, fewer)
    report = compare_bundles(*pair, fewer, gone=["large"])
    assert report["gone"] == ["large"]
    assert report["before"]["cost_usd"] < N * 0.02
    with pytest.raises(SpecError, match="gone names 'huge'"):
        compare_bundles(*pair, fewer, gone=["huge"])


def test_a_spec_must_name_every_candidate(pair: tuple[Path, Path], traces: TraceTable) -> None:
    spec = parse_spec({"candidates": {"small": {}, "medium": {}}, "safe_model": "small"})
    with pytest.raises(SpecError, match="no candidate 'large'"):
        compare_bundles(*pair, traces, spec)


def test_the_command_says_it_in_words_json_and_a_changelog(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows().to_parquet(tmp_path / "t.parquet")
    words = ["compare", *pair, "--traces", tmp_path / "t.parquet", "--json", tmp_path / "c.json"]
    code = main([*map(str, words), "--changelog", str(tmp_path / "CHANGELOG.md")])
    report, out = json.loads((tmp_path / "c.json").read_text()), capsys.readouterr().out
    assert code == (1 if report["against"] else 0)
    assert report["verdict"].split(":")[0] in out.replace("\n", " ")
    assert "Alone it moves" in out
    text = (tmp_path / "CHANGELOG.md").read_text()
    assert report["verdict"] in text
    assert not any(prompt in text for prompt in rows()["prompt"].unique())
    assert main([str(word) for word in (*words[:1], pair[1], pair[1], *words[3:])]) == 0


def test_the_changelog_grows_on_top_and_knows_itself(
    pair: tuple[Path, Path], tmp_path: Path, traces: TraceTable
) -> None:
    report = compare_bundles(*pair, traces)
    path = changelog_of(tmp_path / "bundle")
    assert path == tmp_path / "bundle.CHANGELOG.md"
    for day in (1, 2):
        write_changelog(path, changelog_entry(report, datetime(2026, 3, day, tzinfo=UTC)))
    text = path.read_text()
    assert text.startswith("# Policy changelog\n")
    assert text.count("# Policy changelog") == 1
    assert text.index("## 2026-03-02: new after old") < text.index("## 2026-03-01: new after old")
    for said in ("### What was changed", "- Trust in the single prompt: 0 → 0.7", "| large | small |", "run `new`"):
        assert said in text
    (tmp_path / "notes.md").write_text("mine")
    with pytest.raises(BundleError, match="no policy changelog"):
        write_changelog(tmp_path / "notes.md", "entry")
    assert (tmp_path / "notes.md").read_text() == "mine"
