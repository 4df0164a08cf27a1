"""What the model card says of thresholds: a table that a person can act on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pointsman.model_card import model_card

if TYPE_CHECKING:
    from pointsman.policy import Policy

SIDE = {
    "useful_rate": 0.5,
    "cost_usd": 1.0,
    "cost_per_useful": 2.0,
    "p50_ms": 10.0,
    "p95_ms": 20.0,
    "hallucination_rate": None,
    "cost_usd_per_month": None,
}
SAME = {"difference": 0.0, "low": 0.0, "high": 0.0}
CHANGES = ("useful_rate", "cost_per_useful", "cost_usd", "p50_ms", "p95_ms")
REPORT: dict[str, Any] = {
    "verdict": "Ahead.",
    "certificate": None,
    "baseline": "large",
    "requests": 10,
    "before": SIDE,
    "after": SIDE,
    "baselines": {},
    "change": {"confidence": 0.95, "replicates": 5, "hallucination_rate": None, **dict.fromkeys(CHANGES, SAME)},
    "constraints": [],
    "modelled": [],
}
EVALUATION: dict[str, Any] = {"needed_compute": {"none": 0.1}, "useful": {}, "intent": None}
COUNTS = ("requests", "rows_in", "rows_put_aside", "learn", "calibrate", "certify")
PROVENANCE: dict[str, Any] = {
    "encoder": "tiny",
    "data": {"first": "a", "last": "b", "fingerprint": "f", **dict.fromkeys(COUNTS, 1)},
}


def test_each_threshold_has_a_row_with_what_it_moved_and_how_to_overrule_it(tiny_policy: Policy) -> None:
    entries = [
        {"where": "rule.trust", "value": 0.7, "unit": "share", "moved": 1234, "of": 5000, "overrule": "Set it to 0."},
        {"where": "long_context", "value": "a|b", "unit": "candidate", "moved": 0, "of": 5000, "overrule": "Set null."},
    ]
    card = model_card(replace(tiny_policy, evidence={"thresholds": entries}), REPORT, EVALUATION, PROVENANCE)
    assert "Value rule; «moved»: of 5,000 tuning requests" in card
    assert "| `rule.trust` | 0.7 share | 1,234 | Set it to 0. |" in card
    assert r"| `long_context` | a\|b | 0 | Set null. |" in card
    assert "pointsman policy --bundle BUNDLE --set PATH=VALUE" in card


def test_where_nothing_was_measured_the_thresholds_are_listed(tiny_policy: Policy) -> None:
    card = model_card(tiny_policy, REPORT, EVALUATION, PROVENANCE)
    assert "- `trust`: 0.7\n- `useful_value_usd`: 0.05" in card


def test_the_gap_to_the_dual_bound_is_told(tiny_policy: Policy) -> None:
    dual = {"dual_bound": 0.00188, "family_gap_to_dual": 0.00005, "gap_to_dual": 0.42}
    card = model_card(replace(tiny_policy, evidence={"dual": dual}), REPORT, EVALUATION, PROVENANCE)
    assert "below 0.00188 USD per useful" in card
    assert "best value rule is 0.01% above that, this policy 42.00%" in card
    assert "No dual bound" in model_card(tiny_policy, REPORT, EVALUATION, PROVENANCE)
