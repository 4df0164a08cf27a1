"""Guards' settings: every number has a range, the short forms stand for the full ones, what is written is read."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from pointsman.errors import BundleError
from pointsman.guards.settings import Breaker, Budget, GuardSettings, Retry, spelt_out
from pointsman.guards_spec import BreakerSpec, BudgetSpec, Guards, RetrySpec

FULL = GuardSettings(
    Retry(2, 100.0, 1_000.0, 0.1, 5, 30.0, ("timeout", "error")),
    Breaker(0.5, 0.3, 2_000.0, 3.0, 30.0, 10, 15.0, 2),
    Budget(1.0, 30.0, 400.0, 0.7),
    "faq",
    "small",
    0.05,
    60_000.0,
)


def test_what_is_written_is_read() -> None:
    assert GuardSettings.from_value(FULL.to_dict()) == FULL
    assert GuardSettings.from_value(GuardSettings().to_dict()) == GuardSettings() == GuardSettings.from_value({})
    assert not GuardSettings().breaker.trips
    assert GuardSettings().budget.limits == ()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], r"guards is \[\]; an object is needed"),
        ({"retries": 1}, "guards has the unknown key 'retries'; allowed: retry, breaker, budget, cached_answer"),
        ({"retry": {"attempts": 1}}, "guards.retry has the unknown key 'attempts'; allowed: max_retries"),
        ({"retry": {"max_retries": 21}}, "guards.retry.max_retries is 21; a whole number from 0 to 20"),
        ({"retry": {"max_retries": True}}, "guards.retry.max_retries is True"),
        ({"retry": {"base_ms": -1}}, "guards.retry.base_ms is -1; a number from 0 to 600000 is needed"),
        ({"retry": {"base_ms": None}}, "guards.retry.base_ms is None"),
        ({"retry": {"failures": ["late"]}}, "guards.retry.failures has 'late'; allowed: timeout, error"),
        ({"breaker": {"error_rate": 0}}, "guards.breaker.error_rate is 0; a number from 0.01 to 1 or null"),
        ({"breaker": {"open_s": float("nan")}}, "guards.breaker.open_s is nan"),
        ({"breaker": {"cost_ratio": "3"}}, "guards.breaker.cost_ratio is '3'"),
        ({"budget": {"usd_per_day": 0}}, "guards.budget.usd_per_day is 0; a number from 1e-06 to 1e"),
        ({"budget": {"soft_share": 1.1}}, "guards.budget.soft_share is 1.1; a number from 0 to 1 is needed"),
        ({"exploration_share": 2}, "guards.exploration_share is 2; a number from 0 to 1"),
        ({"cached_answer": ""}, "guards.cached_answer is ''; a text that is not empty"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(value: Any, message: str) -> None:
    with pytest.raises(BundleError, match=message) as caught:
        GuardSettings.from_value(value)
    assert "\n" not in str(caught.value)


def test_the_short_forms() -> None:
    assert spelt_out({}) == spelt_out({"retry_policy": "none"}) == GuardSettings()
    assert spelt_out({"retry_policy": "exponential_backoff"}).retry == Retry(max_retries=3)
    assert spelt_out({"retry_policy": {"base_ms": 10}}).retry == Retry(max_retries=3, base_ms=10.0)
    assert spelt_out({"budget_usd_per_day": 20}).budget == Budget(usd_per_day=20.0)
    both = {"budget": {"usd_per_hour": 2, "soft_share": 0.5}, "budget_usd_per_day": 20}
    assert spelt_out(both).budget == Budget(usd_per_hour=2.0, usd_per_day=20.0, soft_share=0.5)


@pytest.mark.parametrize(("spec", "settings"), [(RetrySpec, Retry), (BreakerSpec, Breaker), (BudgetSpec, Budget)])
def test_the_spec_has_the_same_keys_and_defaults(spec: Any, settings: Any) -> None:
    defaults = {one.name: one.default for one in fields(settings)}
    assert list(spec.model_fields) == list(defaults)
    said = {name: one.default for name, one in spec.model_fields.items()}
    said |= {"failures": tuple(said["failures"])} if "failures" in said else {}
    said |= {"max_retries": 0} if "max_retries" in said else {}  # who writes a retry policy wants retries
    assert said == defaults


def test_a_spec_gives_typed_settings() -> None:
    spec = Guards.model_validate({"retry_policy": {"failures": ["timeout"]}, "breaker": {"error_rate": 0.5}})
    assert spec.settings == GuardSettings(Retry(max_retries=3, failures=("timeout",)), Breaker(error_rate=0.5))
    assert Guards().settings == GuardSettings()
