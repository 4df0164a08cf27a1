"""Arrivals: own times, Poisson, Azure's and Mooncake's traces, rates, bursts."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pointsman.errors import TraceError
from pointsman.load.arrivals import Arrivals, own_times, poisson, read_arrivals

DATA = Path(os.environ.get("POINTSMAN_DATA", Path(__file__).parents[4] / "shared" / "data")) / "load"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no load traces in {DATA}")


@needs_data
@pytest.mark.parametrize(
    ("name", "requests"),
    [("azure_2023_conv.csv", 19_366), ("azure_2023_code.csv", 8_819), ("mooncake_conversation.jsonl", 12_031)],
)
def test_real_traces_are_read_and_stretched_to_a_rate(name: str, requests: int) -> None:
    trace = read_arrivals(DATA / name)
    assert len(trace) == requests
    assert (np.diff(trace.time_s) >= 0).all()
    assert trace.time_s[0] == 0
    assert 3000 < trace.time_s[-1] < 3700  # an hour
    assert trace.input_tokens is not None
    assert trace.output_tokens is not None
    assert trace.input_tokens.min() > 0
    faster = trace.at_rate(40.0)
    assert faster.rate == pytest.approx(40.0)
    gaps, before = np.diff(faster.time_s), np.diff(trace.time_s)
    assert gaps.std() / gaps.mean() == pytest.approx(before.std() / before.mean())
    np.testing.assert_array_equal(faster.input_tokens, trace.input_tokens)
    twice = trace.repeated(2 * requests)
    assert twice.rate == pytest.approx(trace.rate, rel=1e-3)
    assert (np.diff(twice.time_s) >= 0).all()


def test_a_file_of_another_layout_is_refused_in_one_line(tmp_path: Path) -> None:
    table, lines = tmp_path / "a.csv", tmp_path / "b.jsonl"
    table.write_text("TIMESTAMP,ContextTokens\n2023-11-16 18:17:03,5\n")
    lines.write_text('{"timestamp": 0, "input_length": 3, "output_length": 4}\n{"timestamp": 1}\n')
    with pytest.raises(TraceError, match=r"a\.csv: column 'GeneratedTokens' is missing; Azure's layout is TIMESTAMP"):
        read_arrivals(table)
    with pytest.raises(TraceError, match=r"b\.jsonl, line 2: not in Mooncake's layout"):
        read_arrivals(lines)
    with pytest.raises(TraceError, match=r"ends in '.txt'; allowed: .csv"):
        read_arrivals(tmp_path / "c.txt")
    with pytest.raises(TraceError, match="cannot be read"):
        read_arrivals(tmp_path / "none.csv")


def test_own_times_keep_their_ups_and_downs_at_any_rate() -> None:
    quiet, busy = np.arange(0, 3600, 60.0), 3600 + np.arange(0, 3600, 6.0)
    stamps = np.datetime64("2026-03-04") + (1000 * np.concatenate([quiet, busy])).astype("timedelta64[ms]")
    own = own_times(stamps)
    assert own.nearest is not None
    assert own.nearest.tolist() == list(range(660))
    many = own_times(stamps, rate=5.0, seed=1)
    assert many.rate == pytest.approx(5.0, rel=0.01)
    share = (many.time_s < 3600).mean()
    assert share == pytest.approx(60 / 660, abs=0.01)
    assert many.nearest is not None
    assert (np.diff(many.nearest) >= 0).all()
    peak = own_times(stamps, rate=5.0, n=3000, seed=1)
    assert peak.nearest is not None
    assert peak.nearest.min() >= 59  # from the busy hour alone
    assert peak.rate == pytest.approx(5.0 * 2 * 600 / 660, rel=0.05)  # which is busier than the mean


def test_poisson_gaps_vary_as_they_should_and_a_burst_is_a_multiple_of_the_rate() -> None:
    arrivals = poisson(50.0, 40_000, seed=3)
    gaps = np.diff(arrivals.time_s)
    assert gaps.mean() == pytest.approx(0.02, rel=4 / np.sqrt(40_000))
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.03)
    burst = arrivals.with_burst(100.0, 20.0, 5.0)
    inside = ((burst.time_s >= 100) & (burst.time_s < 120)).sum()
    assert inside == pytest.approx(5 * 50 * 20, rel=0.06)
    after = ((burst.time_s >= 120) & (burst.time_s < 220)).sum()
    assert after == pytest.approx(50 * 100, rel=0.06)
    assert (np.diff(burst.time_s) >= 0).all()
    with pytest.raises(TraceError, match="rate is 0; a number above 0"):
        arrivals.at_rate(0.0)
    with pytest.raises(TraceError, match="rate is -1; a number above 0"):
        poisson(-1.0, 5)


def test_arrivals_repeat_without_a_seam() -> None:
    arrivals = Arrivals(np.array([0.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]))
    again = arrivals.repeated(7)
    assert again.time_s.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert again.input_tokens is not None
    assert again.input_tokens.tolist() == [1, 2, 3, 1, 2, 3, 1]
