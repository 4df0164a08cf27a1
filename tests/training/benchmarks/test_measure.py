"""The benchmark of needed compute, end to end on a small set, and what its command says of bad input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from pointsman.benchmarks.outcomes import METHODS, measure, read_outcomes
from pointsman.cli import main
from pointsman.commands.benchmark_outcomes import candidates, summary

if TYPE_CHECKING:
    from pathlib import Path

N = 240


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a set in which the cheap model fails on long prompts."""
    generator = np.random.default_rng(0)
    hard = generator.random(N) < 0.4
    words = generator.integers(0, 12, (N, 3))
    rows = []
    for index in range(N):
        prompt = f"word{words[index, 0]} word{words[index, 1]} {'long' if hard[index] else 'short'} {index}"
        for model, chance in (("small", 0.1 if hard[index] else 0.9), ("large", 0.9)):
            fact = {"request_id": f"r{index}", "timestamp": pd.Timestamp("2026-01-01", tz="UTC"), "prompt": prompt}
            answer = {"model": model, "useful": float(generator.random() < chance), "latency_ms": 100.0}
            rows.append({**fact, **answer, "input_tokens": 10, "output_tokens": 10, "intent": "any kind"})
    (tmp_path / "set").mkdir()
    pd.DataFrame(rows).to_parquet(tmp_path / "set" / "traces.parquet")
    prices = "model,input_usd_per_mtok,output_usd_per_mtok\nsmall,0.1,0.1\nlarge,5,15\n"
    (tmp_path / "set" / "candidates.csv").write_text(prices)
    return tmp_path / "set"


def test_methods_are_measured_and_the_heads_find_what_words_tell(folder: Path) -> None:
    outcomes = read_outcomes(folder)
    assert outcomes.models == ("small", "large")
    vocabulary = {word: at for at, word in enumerate(["long", "short", *(f"word{index}" for index in range(12))])}
    ids = [[vocabulary[word] for word in prompt.split()[:3]] for prompt in outcomes.prompt]
    embeddings = np.random.default_rng(1).normal(size=(N, 4)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    found = measure("set", outcomes, embeddings, ids, vocabulary, [], seeds=2)
    assert (found.strong, found.weak, found.requests, found.left_out) == ("large", "small", N, 0)
    by_name = {score.method: score for score in found.scores}
    assert tuple(by_name) == METHODS
    assert by_name["pointsman"].mean_apgr > 0.75
    assert abs(by_name["kNN"].mean_apgr - 0.5) < 0.2, "its embeddings are noise"
    for score in found.scores:
        assert all(low <= value <= high for value, low, high in score.brier.values())
    assert by_name["pointsman"].mean_brier < by_name["intent average"].mean_brier
    assert len(summary([found])) == 1 + len(METHODS)
    assert len(candidates([found])) == 3


def test_bad_input_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "outcomes", "--data", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "traces.parquet: no such file; an outcome set has traces.parquet and candidates.csv" in said
    assert main(["benchmark", "outcomes", "--data", str(tmp_path), "--seeds", "0"]) == 2
    assert "--seeds is 0; a whole number of at least 1 is needed" in capsys.readouterr().err
