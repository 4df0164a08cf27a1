"""Traces: every planted fault is found, clean logs are rarely flagged, and what cannot be told is said so."""

from __future__ import annotations

import numpy as np
import pytest
from clean_logs import FAULTS, clean_log, clean_week, plant

from pointsman.audit.audit_traces import TRACE_CHECKS, audit_traces
from pointsman.audit.cliff import find_cliff
from pointsman.audit.multiplicity import benjamini_hochberg, equal_shares, holm
from pointsman.audit.price_and_use import rank_correlation


@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_planted_fault_is_found(fault: str) -> None:
    case = plant(fault, seed=11)
    audit = audit_traces(case.rows, "log.parquet", evaluation=case.evaluation)
    found = [one for one in audit.red_flags if one.check == fault]
    assert found
    assert all(one.why and one.fix and one.reference and one.numbers for one in found)
    assert {one.check for one in audit.red_flags} <= {fault, "price-without-use"}


def test_clean_logs_are_rarely_flagged() -> None:
    cases = [clean_log(seed, 600) for seed in range(6)] + [clean_week(seed, 800) for seed in range(4)]
    flagged = [bool(audit_traces(case.rows, "log", evaluation=case.evaluation).red_flags) for case in cases]
    # At 5 % the chance of three or more in ten is 1.2 %; the seeds are fixed.
    assert sum(flagged) <= 2


def test_what_the_traces_do_not_tell_is_skipped_with_its_reason() -> None:
    case = clean_log(0, 300)
    rows = case.rows.copy()
    for column in ("status", "retries", "hallucinated", "cost_usd", "chosen"):
        rows[column] = None
    audit = audit_traces(rows, "log")
    skipped = {one.check: one.why for one in audit.skipped}
    assert set(skipped) == {check.code for check in TRACE_CHECKS} - {"one-model-serves"}
    assert all(skipped.values())
    assert audit.red_flags == ()


def test_one_model_that_serves_everything_is_told() -> None:
    rows = clean_log(0, 300).rows.copy()
    rows["chosen"] = (rows["model"] == "big").to_numpy()
    codes = {one.check for one in audit_traces(rows, "log").red_flags}
    assert "one-model-serves" in codes


def test_a_cliff_is_placed_where_it_is() -> None:
    rng = np.random.default_rng(3)
    size = rng.lognormal(6.5, 1.0, 4000)
    failed = rng.random(4000) < np.where(size > 2500, 0.2, 0.01)
    found = find_cliff(size, failed)
    assert found is not None
    assert found.p < 0.001
    assert found.low <= 2500 <= found.high
    assert found.beyond[0] / found.beyond[1] > 5 * found.before[0] / found.before[1]


@pytest.mark.parametrize("shape", ["flat", "linear", "levelling off"])
def test_errors_in_proportion_to_size_are_no_cliff(shape: str) -> None:
    p_values = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        size = rng.lognormal(6.5, 1.0, 1500)
        rate = {"flat": 0 * size + 0.03, "linear": size / 50_000, "levelling off": 0.03 * np.sqrt(size / 1000)}[shape]
        found = find_cliff(size, rng.random(1500) < np.minimum(rate, 1.0), seed)
        p_values.append(1.0 if found is None else found.p)
    assert sum(p <= 0.05 for p in p_values) <= 2


def test_failures_are_sized_though_their_tokens_are_unknown() -> None:
    case = plant("capacity-cliff", seed=11)
    rows = case.rows.copy()
    rows["context_tokens"] = rows["input_tokens"]
    rows.loc[rows["status"] == "error", "input_tokens"] = None
    assert "capacity-cliff" in {one.check for one in audit_traces(rows, "log").red_flags}


def test_answers_to_one_request_count_once_in_a_rank_correlation() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random(200), rng.random(200)
    request = np.arange(200)
    rho, error = rank_correlation(x, y, request)
    again, larger = rank_correlation(np.tile(x, 4), np.tile(y, 4), np.tile(request, 4))
    assert again == pytest.approx(rho, abs=0.01)
    assert larger == pytest.approx(error, rel=0.02)


def test_weighted_holm_gives_every_check_its_share() -> None:
    assert equal_shares(["a", "b", "b", "b"]).tolist() == pytest.approx([0.5, 1 / 6, 1 / 6, 1 / 6])
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    weighted = holm([0.02, 0.02], [0.9, 0.1])
    assert weighted[0] == pytest.approx(0.02 / 0.9)
    assert weighted[1] >= weighted[0]


def test_benjamini_hochberg_as_published() -> None:
    assert benjamini_hochberg([0.01, 0.02, 0.03, 0.5]).tolist() == pytest.approx([0.04, 0.04, 0.04, 0.5])
    assert benjamini_hochberg([]).tolist() == []
