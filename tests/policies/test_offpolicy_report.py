"""What an off-policy report must do: say what the log supports, and «cannot tell», with a plan, where it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from pointsman.costs import Price
from pointsman.errors import TraceError
from pointsman.exploration import Cell, overlap, plan_exploration
from pointsman.intervals import Estimate, interval
from pointsman.offpolicy import estimate
from pointsman.offpolicy_report import OffPolicyReport, evaluate_policy
from pointsman.outcomes import Outcomes, outcomes_of
from pointsman.propensity import (
    Propensities,
    check_propensities,
    estimate_propensities,
    propensities_of,
    served_columns,
)
from pointsman.support import MIN_CARRIERS, support_of, tellable
from pointsman.traces import validate_traces

if TYPE_CHECKING:
    from numpy.typing import NDArray

MakeOutcomes = Callable[..., Outcomes]

N = 3000


def simulated(
    make: MakeOutcomes, seed: int = 0, n: int = N, explored: float = 0.2, full: float = 0.0
) -> tuple[Outcomes, Outcomes, NDArray[np.float64]]:
    """Return the log, the truth and the chances; chat is easy for the small model ``a``, code is not."""
    generator = np.random.default_rng(seed)
    code = generator.random(n) < 0.4
    rate = np.where(code[:, None], [0.4, 0.9], [0.85, 0.9])
    useful = (generator.random((n, 2)) < rate).astype(np.float64)
    cost = np.where([True, False], 0.001, 0.01) * generator.gamma(4, 0.25, (n, 1))
    chances = np.full((n, 2), explored / 2) + (1 - explored) * np.array([0.0, 1.0])
    logged = (generator.random(n) > chances[:, 0]).astype(np.intp)
    latency = np.where([True, False], 100.0, 200.0) * generator.gamma(4, 0.25, (n, 2))
    truth = make(useful, cost, latency, intent=np.where(code, "code", "chat"), logged=logged)
    truth = replace(truth, propensity=chances[np.arange(n), logged])
    hidden = (np.arange(2) != logged[:, None]) & (generator.random(n) >= full)[:, None]
    parts: dict[str, Any] = {
        name: np.where(hidden, np.nan, getattr(truth, name))
        for name in ("useful", "cost_usd", "latency_ms", "hallucinated")
    }
    return replace(truth, **parts), truth, chances


def routed(outcomes: Outcomes) -> NDArray[np.intp]:
    return np.asarray(outcomes.intent == "code", dtype=np.intp)


def test_the_report_holds_the_truth_and_reads_as_one_line(make_outcomes: MakeOutcomes) -> None:
    log, truth, _ = simulated(make_outcomes)
    chosen = routed(log)
    report = evaluate_policy(log, chosen, propensities_of(log), late_limit_ms=300.0)
    rows = np.arange(N)
    assert report.tellable
    assert report.plan is None
    assert report.source == "log"
    for name, values in (("useful", truth.useful), ("cost_usd", truth.cost_usd), ("late", truth.latency_ms > 300)):
        entry: Any = report.after[name]["dr"]
        assert entry["low"] <= values[rows, chosen].mean() <= entry["high"]
        change: Any = report.change[name]["dr"]
        paired = values[rows, chosen].mean() - values[rows, truth.logged].mean()
        assert change["low"] <= paired <= change["high"]
    per: Any = report.after["cost_per_useful"]["dr"]
    wanted = truth.cost_usd[rows, chosen].mean() / truth.useful[rows, chosen].mean()
    assert per["low"] <= wanted <= per["high"]
    p95: Any = report.after["p95_ms"]["snips"]
    assert p95["low"] <= np.quantile(truth.latency_ms[rows, chosen], 0.95) <= p95["high"]
    assert report.after["hallucinated"] == dict.fromkeys(report.after["hallucinated"])
    assert report.verdict.startswith("against as_logged: useful ")
    assert "cost -" in report.verdict
    json.dumps(report.to_dict(), allow_nan=False)


def test_full_information_joins_and_narrows(make_outcomes: MakeOutcomes) -> None:
    log, _, _ = simulated(make_outcomes)
    mixed, truth, _ = simulated(make_outcomes, full=0.5)
    chosen = routed(log)

    def width(report: OffPolicyReport) -> float:
        entry: Any = report.after["useful"]["dr"]
        return float(entry["high"] - entry["low"])

    alone, joined, whole = (evaluate_policy(each, chosen, propensities_of(each)) for each in (log, mixed, truth))
    assert width(whole) < width(joined) < width(alone)
    exact: Any = whole.after["useful"]["dr"]
    assert exact["value"] == pytest.approx(truth.useful[np.arange(N), chosen].mean())
    assert (joined.support[0].complete > 0, joined.support[0].unusable) == (True, 0)


def test_requests_of_one_user_are_one_draw(make_outcomes: MakeOutcomes) -> None:
    """Every request four times over, by the same user."""
    log, _, _ = simulated(make_outcomes, n=800)
    copied = log.take(np.repeat(np.arange(800), 4))
    users = np.array([f"user:{index // 4}" for index in range(3200)], dtype=object)
    names = np.array([f"r{index}" for index in range(3200)], dtype=object)
    chosen = routed(copied)

    def width(outcomes: Outcomes) -> float:
        report = evaluate_policy(outcomes, chosen, propensities_of(outcomes), estimators=("ips",))
        entry: Any = report.change["useful"]["ips"]
        return float(entry["high"] - entry["low"])

    apart = width(replace(copied, request_id=names))
    assert width(replace(copied, request_id=names, cluster=users)) == pytest.approx(2 * apart, rel=0.05)


def test_where_production_never_went_the_answer_is_cannot_tell_with_a_plan(make_outcomes: MakeOutcomes) -> None:
    log, _, _ = simulated(make_outcomes, explored=0.0)
    report = evaluate_policy(log, routed(log), propensities_of(log))
    assert not report.tellable
    assert report.verdict.startswith("cannot tell: ")
    assert "chat → a (0 of " in report.verdict
    assert report.plan is not None
    assert [(step.intent, step.candidate) for step in report.plan.steps] == [("chat", "a")]
    assert "per mille" in report.verdict
    json.dumps(report.to_dict(), allow_nan=False)


def test_a_handful_of_matches_cannot_tell(make_outcomes: MakeOutcomes) -> None:
    log, _, _ = simulated(make_outcomes, n=400, explored=0.02)
    support = support_of(log, np.zeros(400, dtype=np.intp), propensities_of(log))
    assert support.effective < 50
    assert any("effective sample" in reason for reason in support.reasons)


def test_an_outcome_carried_by_a_handful_of_requests_cannot_tell(make_outcomes: MakeOutcomes) -> None:
    log, _, _ = simulated(make_outcomes)
    dear = np.where((np.arange(N) % 1000 == 0)[:, None], 1000.0, 1.0)
    report = evaluate_policy(replace(log, cost_usd=log.cost_usd * dear), routed(log), propensities_of(log))
    assert report.tellable
    assert not (report.change["cost_usd"]["dr"] or {})["tellable"]
    assert (report.change["useful"]["dr"] or {})["tellable"]
    assert "cannot tell" in report.verdict
    few = Estimate(0.0, np.array([100.0] * 5 + [0.1] * 995), 999.0)
    assert few.carriers == pytest.approx(5.0, rel=0.01)
    assert tellable(replace(few, influence=np.random.default_rng(0).normal(size=1000)))
    assert few.carriers < MIN_CARRIERS


def test_wrong_propensities_are_found(make_outcomes: MakeOutcomes) -> None:
    log, _, _ = simulated(make_outcomes)
    right = propensities_of(log)
    wrong = replace(right, probability=np.where(right.logged == 0, 0.25, right.probability))
    chosen = routed(log)
    assert check_propensities(chosen, right, log.intent, log.models).holds
    check = check_propensities(chosen, wrong, log.intent, log.models)
    assert not check.holds
    assert {group.name for group in check.wrong} == {"a", "chat"}
    assert "wrong" in check.verdict
    assert not evaluate_policy(log, chosen, wrong).tellable


def test_right_propensities_seldom_raise_the_alarm(make_outcomes: MakeOutcomes) -> None:
    """The alarm is set to one log in a hundred; 200 logs."""
    alarms = 0
    for seed in range(200):
        log, _, _ = simulated(make_outcomes, seed, n=400)
        alarms += not check_propensities(routed(log), propensities_of(log), log.intent, log.models).holds
    assert alarms <= 8


def test_a_hidden_rule_of_production_is_found(make_outcomes: MakeOutcomes) -> None:
    """Half of the chat never could go to ``a``, though the log says one in ten: the weights do not add up."""
    log, _, _ = simulated(make_outcomes)
    barred = (np.arange(N) % 2 == 0) & (log.logged == 0)
    kept = log.take(~barred)
    support = support_of(kept, routed(kept), propensities_of(kept))
    assert not support.tellable
    assert "average" in support.reasons[-1]


def test_missing_propensities_are_estimated_and_pass_the_check() -> None:
    generator = np.random.default_rng(4)
    features = generator.normal(size=(4000, 2))
    logits = np.stack([features[:, 0], 0.5 * features[:, 1], np.zeros(4000)], axis=1)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    logged = (generator.random(4000)[:, None] > chances.cumsum(axis=1)).sum(axis=1).clip(max=2).astype(np.intp)
    found = estimate_propensities(logged, features, np.arange(4000) % 5, 3)
    assert found.sum(axis=1) == pytest.approx(1.0)
    assert np.abs(found - chances).mean() < 0.02
    known = Propensities(logged, found[np.arange(4000), logged], np.ones(4000, dtype=np.bool_))
    intents = np.where(features[:, 0] > 0, "high", "low").astype(object)
    chosen = np.where(features[:, 0] > 0, 2, 0)
    assert check_propensities(chosen, known, intents, ("a", "b", "c")).holds
    blind = estimate_propensities(logged, features[:, 1:], np.arange(4000) % 5, 3)
    known = replace(known, probability=blind[np.arange(4000), logged])
    assert not check_propensities(chosen, known, intents, ("a", "b", "c")).holds


def test_the_log_is_believed_where_it_speaks_and_estimated_where_not(make_outcomes: MakeOutcomes) -> None:
    log, _, _ = simulated(make_outcomes, n=600)
    silent = np.arange(600) % 2 == 0
    partly = replace(log, propensity=np.where(silent, np.nan, log.propensity))
    assert propensities_of(partly).source == "log"
    features = (log.intent == "code").astype(np.float64)[:, None]
    filled = propensities_of(partly, features, np.arange(600) % 5)
    assert filled.source == "log and estimated"
    assert np.array_equal(filled.probability[~silent], log.propensity[~silent])
    assert np.array_equal(filled.estimated, silent)
    with pytest.raises(TraceError, match="at least two folds"):
        propensities_of(partly, features, np.zeros(600, dtype=np.intp))


def test_outcomes_carry_the_propensity_of_what_was_served() -> None:
    base = {"timestamp": "2026-01-05", "prompt": "p", "latency_ms": 10.0, "useful": 1.0, "cost_usd": 1.0}
    cells: list[dict[str, Any]] = [
        {"request_id": "x", "model": "a", "propensity": 0.3},
        {"request_id": "y", "model": "a", "propensity": 0.2},
        {"request_id": "y", "model": "b", "propensity": 0.8, "chosen": True},
        {"request_id": "z", "model": "a"},
    ]
    rows = validate_traces(pd.DataFrame([{**base, **cell} for cell in cells])).rows
    found = outcomes_of(rows, {"a": Price(), "b": Price()})
    np.testing.assert_array_equal(found.propensity, [0.3, 0.8, np.nan])
    assert propensities_of(found).logged.tolist() == [0, 1, 0]
    assert found.take([1]).propensity.tolist() == [0.8]


def test_an_only_answer_was_served(make_outcomes: MakeOutcomes) -> None:
    outcomes = make_outcomes([[1.0, np.nan], [1.0, 0.0], [np.nan, np.nan]], latency_ms=np.nan, logged=[-1, -1, -1])
    assert served_columns(outcomes).tolist() == [0, -1, -1]


def test_no_propensity_is_one_clear_error(make_outcomes: MakeOutcomes) -> None:
    log, _, _ = simulated(make_outcomes, n=50)
    silent = replace(log, propensity=np.array(np.nan))
    with pytest.raises(TraceError, match="give the propensity column"):
        evaluate_policy(silent, routed(log), propensities_of(silent))


def test_overlap_counts_a_policys_traffic_by_cell(make_outcomes: MakeOutcomes) -> None:
    log, _, _ = simulated(make_outcomes)
    cells = overlap(routed(log), propensities_of(log), log.complete, log.intent, log.models, 0.001)
    chat, code = cells
    assert (chat.intent, chat.candidate, code.intent, code.candidate) == ("chat", "a", "code", "b")
    assert chat.share + code.share == pytest.approx(1.0)
    assert chat.overlap == pytest.approx(0.1, abs=0.02)
    assert code.overlap == pytest.approx(0.9, abs=0.02)
    assert chat.matches == int(((log.intent == "chat") & (log.logged == 0)).sum())
    assert all(cell.supported for cell in cells)


@pytest.mark.parametrize("half_width", [0.02, 0.04])
def test_a_plan_followed_reaches_its_half_width(make_outcomes: MakeOutcomes, half_width: float) -> None:
    """The plan assumes the worst variance; told the real ones it is met closely, and the data can then tell."""
    log, _, _ = simulated(make_outcomes, explored=0.0)
    cells = overlap(routed(log), propensities_of(log), log.complete, log.intent, log.models, 0.001)
    plan = plan_exploration(cells, half_width, variance=0.1128, residual_variance=0.1125, requests=6000)
    generator = np.random.default_rng(11)
    widths = []
    for seed in range(10):
        _, truth, _ = simulated(make_outcomes, seed=100 + seed, n=plan.requests)
        chosen = routed(truth)
        chance = np.where(chosen == 1, 1.0, plan.rate)
        logged = np.where(generator.random(plan.requests) < chance, chosen, 1).astype(np.intp)
        probability = np.where(chosen == 1, 1.0, np.where(logged == 0, plan.rate, 1 - plan.rate))
        known = Propensities(logged, probability, np.zeros(plan.requests, dtype=np.bool_))
        useful = np.where(np.arange(2) == logged[:, None], truth.useful, np.nan)
        low, high = interval(estimate("dr", useful, chosen, known, np.tile([0.85, 0.9], (plan.requests, 1))))
        widths.append((high - low) / 2)
        assert support_of(replace(truth, useful=useful), chosen, known).tellable
    assert np.mean(widths) <= 1.08 * half_width
    assert np.mean(widths) >= 0.7 * half_width


def test_a_plan_asks_for_more_where_more_is_wanted() -> None:
    cells = (Cell("chat", "a", 0.6, 600, 0, 0, 0.0, 0.0), Cell("code", "b", 0.4, 400, 400, 0, 400.0, 1.0))
    wide, narrow = plan_exploration(cells, 0.05, requests=20_000), plan_exploration(cells, 0.02, requests=20_000)
    assert wide.rate < narrow.rate
    assert wide.requests == narrow.requests == 20_000
    assert wide.per_mille == pytest.approx(600 * wide.rate)
    short = plan_exploration(cells, 0.02)
    assert (short.rate, short.requests > 1000) == (0.2, True)
    nothing = plan_exploration((Cell("", "a", 1.0, 100, 100, 0, 100.0, 1.0),), 0.05)
    assert nothing.steps == ()
    assert "logged as now" in nothing.sentence
