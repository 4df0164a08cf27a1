"""Runs side by side: the best first, what is missing last, and of two runs only what differs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pointsman.tracking import TrackingError
from pointsman.tracking.comparison import difference, difference_cells, run_cells, sort_runs
from pointsman.tracking.reading import FitRun


def fit(number: int, metrics: dict[str, float], status: str = "FINISHED", **params: str) -> FitRun:
    tags = {"data/fingerprint": "f", "data/first": "2026-03-04T00", "data/last": "2026-03-10T23", "holds": "True"}
    fixed: dict[str, Any] = {"params": params, "tags": {**tags, "standing": "level"}, "traces": "week"}
    when = datetime(2026, 11, number, tzinfo=UTC)
    return FitRun(f"{number:032x}", f"fit {number}", status, when, metrics, **fixed)


CHEAP = fit(1, {"after/cost_per_useful": 0.002, "after/useful_rate": 0.8, "certificate/certified": 1.0}, seed="0")
DEAR = fit(2, {"after/cost_per_useful": 0.004, "after/useful_rate": 0.9, "certificate/certified": 1.0}, seed="1")
CUT_OFF = fit(3, {}, "KILLED")


@pytest.mark.parametrize(
    ("by", "order"),
    [("when", [CUT_OFF, DEAR, CHEAP]), ("cost", [CHEAP, DEAR, CUT_OFF]), ("useful", [DEAR, CHEAP, CUT_OFF])],
)
def test_the_best_stands_first_and_what_has_no_figure_last(by: str, order: list[FitRun]) -> None:
    assert sort_runs([DEAR, CUT_OFF, CHEAP], by) == order


def test_a_metric_that_no_run_has_is_refused() -> None:
    with pytest.raises(TrackingError, match=r"--sort mood: no run has such a metric; allowed: when, useful, cost, p95"):
        sort_runs([CHEAP], "mood")


def test_a_row_tells_what_counts() -> None:
    head, row, cut_off = run_cells([CHEAP, CUT_OFF], {CHEAP.run_id: ["champion"]})
    told = dict(zip(head, row, strict=True))
    assert told["run"] == "00000000 fit 1 (champion)"
    assert (told["days"], told["verdict"]) == ("03-04…03-10", "holds, level")
    assert (told["useful"], told["USD per useful"], told["certified"]) == ("80.0 %", "0.002", "yes")
    assert dict(zip(head, cut_off, strict=True))["verdict"] == "killed"


def test_two_runs_differ_in_what_was_given_and_what_came_of_it() -> None:
    found = difference(CHEAP, DEAR)
    assert found["params"] == {"seed": ["0", "1"]}
    assert found["same_traces"]
    assert found["metrics"]["after/useful_rate"]["difference"] == pytest.approx(0.1)
    rows = {row[0]: row[1:] for row in difference_cells(CHEAP, DEAR)}
    assert rows["after/useful_rate"] == ["80.0 %", "90.0 %", "+10.0 points"]
    assert rows["after/cost_per_useful"] == ["0.002", "0.004", "+0.002 (+100 %)"]
    assert "certificate/certified" not in rows, "they agree"
