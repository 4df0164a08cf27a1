"""What the first line says in each of six cases, and that figures read as people read them."""

from __future__ import annotations

from typing import Any

import pytest

from pointsman.reporting.numbers import change, ms, per_thousand, rate, share, signed, usd
from pointsman.reporting.state import STATES, monthly, state_of
from pointsman.reporting.words import headline, limits, next_steps, risks, savings

CERTIFIED = {"certified": True, "confidence": 0.95, "requests": 900, "promises": [], "sentence": "certified"}


def with_verdicts(report: dict[str, Any], *verdicts: str, **parts: Any) -> dict[str, Any]:
    constraints = [{**one, "verdict": verdict} for one, verdict in zip(report["constraints"], verdicts, strict=False)]
    return {**report, "constraints": constraints, **parts}


def cases(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return one replay for each state."""
    sure = "certified", "certified"
    rivals = {name: {**one, "stands": "level"} for name, one in report["against"].items()}
    cannot = {"tellable": False, "reasons": ["the effective sample is 7"], "plan": {"sentence": "explore 5 %"}}
    uncertain = {**CERTIFIED, "certified": False, "more_requests": 1234}
    return {
        "cannot_tell": with_verdicts(report, *sure, off_policy=cannot),
        "broken": with_verdicts(report, "certified", "broken"),
        "missed": with_verdicts(report, "missed", "certified"),
        "unproven": with_verdicts(report, *sure, certificate=uncertain),
        "nothing_learned": with_verdicts(report, *sure, certificate=CERTIFIED, against=rivals),
        "holds": with_verdicts(report, *sure, certificate=CERTIFIED),
    }


@pytest.mark.parametrize("state", STATES)
def test_each_state_has_its_verdict_and_its_next_step(state: str, nine_models: dict[str, Any]) -> None:
    report = cases(nine_models)[state]
    assert state_of(report) == state
    line = headline(report)
    assert line.endswith(".")
    assert "[" in line, "figures come with their intervals"
    said = {
        "cannot_tell": ("Cannot tell: the effective sample is 7", "Explore: explore 5 %."),
        "broken": ("Do not ship: the limit of lost usefulness is broken", "Do not promote"),
        "missed": ("Not yet: the limit of the P95 latency is missed", "Do not promote"),
        "unproven": ("Promising, not proven", "Collect about 1,234 more requests"),
        "nothing_learned": ("It saves, but no more than a plain rule", "Use the plain rule"),
        "holds": ("It holds: ", ""),
    }[state]
    assert said[0] in line
    assert any(said[1] in step for step in next_steps(report))


def test_a_dearer_bundle_is_called_dearer(nine_models: dict[str, Any]) -> None:
    cost = {"difference": 1.0, "low": 0.5, "high": 1.5, "ratio": 1.2, "ratio_low": 1.1, "ratio_high": 1.3}
    report = {**nine_models, "change": {**nine_models["change"], "cost_usd": cost, "cost_per_useful": cost}}
    assert "20 % more cost [10, 30]" in headline(report)
    assert "A useful answer costs 20 % more [10, 30]." in savings(report)


def test_savings_are_told_at_the_traces_own_rate(nine_models: dict[str, Any]) -> None:
    """400 requests in 399 minutes."""
    found = monthly(nine_models)
    assert found is not None
    assert found[0] == pytest.approx(400 / (399 / 60) * 730.5)
    assert "at the rate of the requests replayed" in savings(nine_models)[0]
    assert monthly({**nine_models, "requests_per_month": 1.7e6}) == (1.7e6, "by the spec")


def test_an_intent_that_is_proven_to_lose_is_named(nine_models: dict[str, Any]) -> None:
    intents = [
        {**one, "stands": "less useful" if one["intent"] == "code" else "level"} for one in nine_models["intents"]
    ]
    report = {**cases(nine_models)["holds"], "intents": intents}
    assert "Proven less useful in code." in risks(report)
    assert "pinned_intents.code" in next_steps(report)[0]


def test_limits_are_told_in_units(nine_models: dict[str, Any]) -> None:
    late, useful = limits(nine_models)
    assert late["text"].startswith("Share later than the limit: ")
    assert late["text"].endswith("; allowed 5.0 %.")
    assert useful["name"] == "limit of lost usefulness"
    assert useful["text"].endswith("; allowed 5.0 %.")


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (usd(0.000_067), "0.000067 USD"),
        (usd(8.95), "8.95 USD"),
        (usd(11_974.9), "11,975 USD"),
        (usd(-3.5), "−3.50 USD"),
        (usd(0), "0 USD"),
        (usd(None), "–"),
        (per_thousand(6.7e-05), "0.067 USD"),
        (ms(0.52), "0.52 ms"),
        (ms(557.9), "558 ms"),
        (ms(15_530), "15.5 s"),
        (rate(1_700_000), "1.7 million"),
        (rate(43_967), "44,000"),
        (share(0.0), "0.0 %"),
        (signed(-0.04), "0.0"),
        (signed(0.26), "+0.3"),
        (change(None, "share")[1], "cannot be told"),
    ],
)
def test_numbers(told: str, text: str) -> None:
    assert told == text
