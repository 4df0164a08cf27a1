"""Latency models: known figures are found again, real measurements of llmperf are read with their errors."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from pointsman.errors import TraceError
from pointsman.load.latency import LatencyModel, fit_latency, read_llmperf, under_way

DATA = Path(os.environ.get("POINTSMAN_DATA", Path(__file__).parents[4] / "shared" / "data")) / "latency" / "llmperf"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no llmperf measurements in {DATA}")


def drawn(seed: int = 0, n: int = 3000) -> tuple[LatencyModel, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    read, written = rng.integers(10, 4000, n).astype(float), rng.integers(5, 500, n).astype(float)
    taken = rng.random(n)
    residual = np.exp(0.15 * rng.standard_normal(n))
    residual[rng.random(n) < 0.03] *= 12  # stalls
    latency = (60 + 0.02 * read + 1.1 * written) * residual * (1 + 0.6 * taken)
    return LatencyModel(60, 0.02, 1.1, 0.6), {"read": read, "written": written, "latency": latency, "taken": taken}


def test_the_figures_of_a_model_are_found_again_despite_stalls() -> None:
    true, data = drawn()
    alone = data["latency"] / (1 + 0.6 * data["taken"])
    fitted = fit_latency(data["read"], data["written"], alone)
    assert fitted.output_ms == pytest.approx(true.output_ms, rel=0.03)
    assert fitted.input_ms == pytest.approx(true.input_ms, rel=0.15)
    assert fitted.base_ms == pytest.approx(true.base_ms, rel=0.15)
    assert fitted.slowdown == 0.0
    again = fitted.draw(data["read"], data["written"], np.random.default_rng(1))
    for share in (0.5, 0.95):
        assert np.quantile(again, share) == pytest.approx(np.quantile(alone, share), rel=0.05)


def test_slowdown_is_found_where_there_is_one_and_nowhere_else() -> None:
    true, data = drawn()
    fitted = fit_latency(data["read"], data["written"], data["latency"], taken=data["taken"])
    assert fitted.slowdown_error is not None
    assert abs(fitted.slowdown - true.slowdown) < 4 * fitted.slowdown_error
    shuffled = np.random.default_rng(5).permutation(data["taken"])
    assert fit_latency(data["read"], data["written"], data["latency"], taken=shuffled).slowdown == 0.0
    nobody = np.zeros_like(data["taken"])
    assert fit_latency(data["read"], data["written"], data["latency"], taken=nobody).slowdown_error is None


def test_what_was_under_way_is_counted() -> None:
    begin, lasts = np.array([0.0, 1.0, 2.0, 9.0]), np.array([5.0, 0.5, 1.0, 1.0])
    assert under_way(begin, lasts).tolist() == [0, 1, 1, 0]


@needs_data
def test_real_measurements_are_read_with_their_errors() -> None:
    for file in sorted(DATA.glob("*.json")):
        rows = json.loads(file.read_text())
        fitted = read_llmperf(file)
        failed = [one["error_code"] not in (None, -100) for one in rows]
        assert fitted.error_rate == pytest.approx(np.mean(failed))
        good = [one for one, bad in zip(rows, failed, strict=True) if not bad]
        assert fitted.calls == len(good)
        tokens = np.array([[one["number_input_tokens"], one["number_output_tokens"]] for one in good], dtype=float)
        measured = np.median([1000 * one["end_to_end_latency_s"] for one in good])
        assert np.median(fitted.latency_ms(*tokens.T)) == pytest.approx(measured, rel=0.15), file.name
    assert read_llmperf(DATA / "lepton_7b.json").error_rate == pytest.approx(130 / 150)  # refused: too many requests
    assert read_llmperf(DATA / "bedrock_13b.json").error_rate == 0.0  # short answers are no failures


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    file.write_text('{"a": 1}')
    with pytest.raises(TraceError, match="not in llmperf's layout"):
        read_llmperf(file)
    file.write_text('[{"error_code": 429}]')
    with pytest.raises(TraceError, match="none of 1 requests was answered"):
        read_llmperf(file)
    with pytest.raises(TraceError, match="no answered call"):
        fit_latency(np.ones(3), np.ones(3), np.full(3, np.nan))
