"""LiteLLM's configuration from a policy: what it says, and that nothing is dropped in silence."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pointsman.errors import PointsmanError
from pointsman.gateways.render import as_yaml, commented
from pointsman.gateways.render_litellm import render_litellm
from pointsman.guards.settings import Breaker, Budget, GuardSettings, Retry
from pointsman.policy import Candidate

if TYPE_CHECKING:
    from pointsman.policy import Policy

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_yaml_reads_back_as_it_was_written(value: Any) -> None:
    assert yaml.safe_load(as_yaml(value)) == value


def test_small_numbers_stay_numbers() -> None:
    assert yaml.safe_load(as_yaml({"price": 1e-07, "big": 1e300, "no": "no"})) == {
        "price": 1e-07,
        "big": 1e300,
        "no": "no",
    }


def test_a_comment_cannot_be_broken_out_of() -> None:
    assert commented(["a\nmodel_list: []\u2028b: 1"]) == "# a model_list: [] b: 1\n"


def test_the_configuration_is_ready_to_use(tiny_policy: Policy) -> None:
    rendered = render_litellm(tiny_policy, bundle="/srv/bundle")
    found = yaml.safe_load(rendered.text)
    auto = found["model_list"][0]
    assert auto["model_name"] == "pointsman"
    config = auto["litellm_params"]["complexity_router_config"]
    assert config["tiers"] == {"small": ["small"], "medium": ["medium"], "large": ["large"]}
    assert config["fallback_tier"] == tiny_policy.safe_model
    assert found["environment_variables"]["POINTSMAN_BUNDLE"] == "/srv/bundle"
    assert found["litellm_settings"]["callbacks"] == ["pointsman.gateways.litellm_hook.observer"]
    assert found["general_settings"] == {"master_key": "os.environ/LITELLM_MASTER_KEY"}
    assert found["model_list"][3]["litellm_params"]["api_key"] == "os.environ/LARGE_API_KEY"


def test_deployments_are_taken_as_they_are(tiny_policy: Policy) -> None:
    own = {"large": {"model": "azure/x", "api_base": "http://127.0.0.1:1"}}
    rendered = render_litellm(tiny_policy, deployments=own)
    params = yaml.safe_load(rendered.text)["model_list"][3]["litellm_params"]
    assert (params["model"], params["api_base"], params["timeout"]) == ("azure/x", "http://127.0.0.1:1", 30.0)
    assert not any(line.startswith("large: a policy does not say") for line in rendered.missing)
    with pytest.raises(PointsmanError, match="'huge'; allowed: small, medium, large"):
        render_litellm(tiny_policy, deployments={"huge": {}})


def test_every_guard_is_written_or_listed_as_missing(tiny_policy: Policy) -> None:
    guards = GuardSettings(
        Retry(max_retries=2),
        Breaker(error_rate=0.5, late_rate=0.25, cost_ratio=3.5),
        Budget(usd_per_minute=1.5, usd_per_hour=30.0, usd_per_day=400.0),
        cached_answer="cache-key",
        simpler_model="medium",
        exploration_share=0.03,
    )
    policy = replace(
        tiny_policy,
        guards=guards,
        candidates=(*tiny_policy.candidates[:2], replace(tiny_policy.candidates[2], concurrency=9)),
    )
    rendered = render_litellm(policy)
    listed = "\n".join(rendered.missing)
    for words in (
        "full jitter", "error_rate: 0.5", "late_rate: 0.25", "cost_ratio: 3.5", "1.5 USD per minute", "30 USD per hour",
        "400 USD per day", "cache-key", "simpler_model: medium", "exploration_share: 0.03", "9 requests at once",
        "within 5000 ms", "only after timeout", "only after error", "synthesis, long_context, image", "kill-switch",
    ):  # fmt: skip
        assert words in listed, words
    for line in rendered.missing:
        assert f"# - {line}\n" in rendered.text


def test_a_policy_without_guards_lists_none(tiny_policy: Policy) -> None:
    policy = replace(tiny_policy, guards=GuardSettings(), fallbacks=())
    listed = "\n".join(render_litellm(policy).missing)
    assert "guards." not in listed
    assert "fallbacks" not in listed
    assert yaml.safe_load(render_litellm(policy).text)["router_settings"]["fallbacks"] == []


@pytest.mark.parametrize(("names", "why"), [(("one",), "1 candidates"), (("a", "A"), "differ in more than case")])
def test_where_the_complexity_router_cannot_the_hook_is_written(
    tiny_policy: Policy, names: tuple[str, ...], why: str
) -> None:
    expected = tiny_policy.expected
    policy = replace(
        tiny_policy,
        candidates=tuple(Candidate(name) for name in names),
        expected=type(expected)(
            useful=expected.useful[:, : len(names)],
            cost_usd=expected.cost_usd[:, : len(names)],
            late=expected.late[:, : len(names)],
        ),
        safe_model=names[0],
        fallbacks=(),
    )
    rendered = render_litellm(policy)
    assert why in rendered.missing[0]
    found = yaml.safe_load(rendered.text)
    assert found["litellm_settings"]["callbacks"] == ["pointsman.gateways.litellm_hook.hook"]
    assert found["router_settings"]["model_group_alias"] == {"pointsman": names[0]}


def test_what_cannot_be_written_is_refused(tiny_policy: Policy) -> None:
    with pytest.raises(PointsmanError, match="way is 'magic'; allowed: classifier, hook"):
        render_litellm(tiny_policy, way="magic")
    with pytest.raises(PointsmanError, match="'large' has the name of a candidate"):
        render_litellm(tiny_policy, routed_model="large")
