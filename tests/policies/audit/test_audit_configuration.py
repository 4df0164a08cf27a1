"""Configurations: each fault is found where it stands, and what is sound is not flagged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pointsman.audit.audit_configuration import CONFIGURATION_CHECKS, audit_configuration
from pointsman.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.audit.audit import Audit
    from pointsman.audit.finding import Finding

SOUND_SPEC = """\
candidates:
  small: {input_usd_per_mtok: 0.2, output_usd_per_mtok: 0.6, timeout_ms: 900, context_window: 8192}
  big: {input_usd_per_mtok: 5, output_usd_per_mtok: 15, timeout_ms: 3000, modalities: [text, image]}
safe_model: small
objective: {useless_response_usd: 0.2}
guards:
  breaker: {error_rate: 0.5}
  budget: {usd_per_hour: 20}
"""

SOUND_LITELLM = """\
model_list:
  - model_name: auto
    litellm_params:
      model: auto_router/complexity_router
      complexity_router_default_model: small
      complexity_router_config:
        tiers: {SIMPLE: small, MEDIUM: small, COMPLEX: big, REASONING: big}
        tier_boundaries: {simple_medium: 0.15, medium_complex: 0.35, complex_reasoning: 0.6}
  - model_name: small
    litellm_params: {model: openai/small, timeout: 10, input_cost_per_token: 2.0e-7, output_cost_per_token: 6.0e-7}
    model_info: {max_input_tokens: 8192}
  - model_name: big
    litellm_params: {model: openai/big, timeout: 30, input_cost_per_token: 5.0e-6, output_cost_per_token: 1.5e-5}
    model_info: {max_input_tokens: 128000}
router_settings:
  num_retries: 1
  fallbacks: [{big: [small]}]
  default_fallbacks: [big]
  context_window_fallbacks: [{small: [big]}]
  allowed_fails: 3
  cooldown_time: 30
  timeout: 60
litellm_settings: {max_budget: 100}
"""


def audit(folder: Path, text: str, name: str = "config.yaml") -> Audit:
    (folder / name).write_text(text, encoding="utf-8")
    return audit_configuration(folder / name)


def only(found: Audit, check: str) -> Finding:
    matching = [finding for finding in found.red_flags if finding.check == check]
    assert len(matching) == 1, [finding.check for finding in found.findings]
    return matching[0]


@pytest.mark.parametrize("text", [SOUND_SPEC, SOUND_LITELLM], ids=["spec", "litellm"])
def test_a_sound_configuration_has_no_red_flag(tmp_path: Path, text: str) -> None:
    found = audit(tmp_path, text)
    assert found.red_flags == ()
    assert found.findings == ()
    assert found.verdict.startswith("No red flag in ")


def test_the_post_mortem_is_caught_in_one_line(tmp_path: Path) -> None:
    text = "model_list:\n  - model_name: gpt-big\n    litellm_params: {model: openai/gpt-big}\n"
    verdict = audit(tmp_path, text).verdict
    assert "\n" not in verdict
    assert "everything goes to gpt-big" in verdict
    assert "there is no fallback" in verdict
    assert "gpt-big has no timeout" in verdict
    assert "there is no circuit breaker" in verdict


# What is changed in a sound file, the check that must say so, its line and a word of what it says.
SPEC_FAULTS = [
    (("safe_model: small\n", ""), "no-safe-model", None, "no safe model"),
    (("safe_model: small", "safe_model: tiny"), "no-safe-model", 4, "tiny"),
    (("safe_model: small", "safe_model: big"), "dear-default", 4, "25 times"),
    (("timeout_ms: 900, ", ""), "no-timeout", 2, "small"),
    (("objective: {useless_response_usd: 0.2}\n", ""), "free-failure", None, "free"),
    (("{error_rate: 0.5}", "{window_s: 60}"), "no-breaker", 7, "breaker"),
    (("safe_model: small", "safe_model: small\nfallbacks: []"), "no-fallback", 5, "no fallback"),
    (("safe_model: small", "safe_model: small\nrules: {modalities: {text: big}}"), "one-model", 5, "text"),
    (
        ("safe_model: small", "safe_model: small\nrules: {abstain: {below_confidence: 1, model: big}}"),
        "one-model",
        5,
        "everything goes to big",
    ),
    (
        ("safe_model: small", "safe_model: small\nrules: {abstain: {below_confidence: 0, model: big}}"),
        "unreachable-rule",
        5,
        "below 0",
    ),
    (
        ("safe_model: small", "safe_model: small\nfallbacks:\n  - model: big\n  - model: big\n    when: [timeout]"),
        "unreachable-rule",
        7,
        "always applies",
    ),
    (
        (
            "safe_model: small",
            "safe_model: small\nfallbacks:\n  - {model: big, when: [timeout], cost_threshold_ms: 500}",
        ),
        "unreachable-rule",
        6,
        "earliest timeout",
    ),
    (
        ("safe_model: small", "safe_model: small\nfallbacks:\n  - {model: small, when: [image]}\n  - model: big"),
        "fallback-cannot-take",
        6,
        "image",
    ),
    (
        (
            "safe_model: small",
            "safe_model: small\nlong_context_tokens: 9000\nfallbacks:\n  - {model: small, when: [long_context]}",
        ),
        "fallback-cannot-take",
        7,
        "8,192 tokens",
    ),
    (
        ("guards:", "guards:\n  retry_policy: {max_retries: 9}"),
        "retries-multiply",
        7,
        "tried",
    ),
    (("safe_model: small", "safe_model: small\nconfidnce: 3"), "breaks-schema", None, "confidnce"),
]


@pytest.mark.parametrize(("change", "check", "line", "word"), SPEC_FAULTS, ids=lambda value: str(value)[:40])
def test_faults_of_a_spec(tmp_path: Path, change: tuple[str, str], check: str, line: int | None, word: str) -> None:
    assert change[0] in SOUND_SPEC
    text = SOUND_SPEC.replace(*change)
    if check == "retries-multiply":
        text = text.replace("safe_model: small", "safe_model: small\nfallbacks: [{model: big}]")
        line = 8
    finding = only(audit(tmp_path, text), check)
    assert finding.red
    assert word in finding.what
    assert finding.place.line == line
    assert finding.why
    assert finding.fix
    assert finding.reference


LITELLM_FAULTS = [
    (("COMPLEX: big, REASONING: big", "COMPLEX: small, REASONING: small"), "one-model", "everything goes to small"),
    (("REASONING: big", "REASONING: huge"), "unknown-model", "huge"),
    (("medium_complex: 0.35", "medium_complex: 0.1"), "unreachable-rule", "medium_complex"),
    (("complexity_router_default_model: small", "complexity_router_default_model: big"), "dear-default", "25 times"),
    (("  allowed_fails: 3\n  cooldown_time: 30", "  disable_cooldowns: true"), "no-breaker", "breaker"),
    (("  timeout: 60\n", ""), "no-timeout", None),
    (("[{small: [big]}]", "[{small: [small]}]"), "fallback-cannot-take", "8,192"),
    (("default_fallbacks: [big]", "max_fallbacks: 9"), "no-fallback", "small has no fallback"),
    (
        ("fallbacks: [{big: [small]}]", "fallbacks: [{big: [small]}, {small: [big]}]"),
        "fallback-loop",
        "big -> small -> big",
    ),
    (("fallbacks: [{big: [small]}]", "fallbacks: [{big: [small]}, {gone: [big]}]"), "unreachable-rule", "gone"),
    (("fallbacks: [{big: [small]}]", "fallbacks: [{big: [small]}, {big: [small]}]"), "unreachable-rule", "earlier"),
    (("num_retries: 1", "num_retries: 6"), "retries-multiply", "tried"),
]


@pytest.mark.parametrize(("change", "check", "word"), LITELLM_FAULTS, ids=lambda value: str(value)[:40])
def test_faults_of_a_litellm_configuration(
    tmp_path: Path, change: tuple[str, str], check: str, word: str | None
) -> None:
    assert change[0] in SOUND_LITELLM
    text = SOUND_LITELLM.replace(*change)
    if word is None:
        text, word = text.replace("timeout: 10, ", ""), "small has no timeout"
    finding = only(audit(tmp_path, text), check)
    assert finding.red
    assert word in finding.what
    assert finding.place.line is not None


def test_without_a_router_each_client_chooses(tmp_path: Path) -> None:
    entries = [f"  - {{model_name: {name}, litellm_params: {{model: openai/{name}}}}}" for name in ("a", "b")]
    finding = only(audit(tmp_path, "model_list:\n" + "\n".join(entries)), "no-thresholds")
    assert "client" in finding.what


def test_the_short_form_says_what_it_cannot_say(tmp_path: Path) -> None:
    text = """\
routing:
  default_model: small-precise
  fallbacks:
    - model: big-decoder-v2
      when: ["complex_synthesis", "long_context"]
      cost_threshold_ms: 200
  retry_policy: exponential_backoff
"""
    found = audit(tmp_path, text)
    assert {one.check for one in found.red_flags} == {"free-failure", "no-timeout", "no-breaker"}
    bare = audit(tmp_path, "routing:\n  default_model: big\n")
    assert {"one-model", "no-fallback"} <= {one.check for one in bare.red_flags}
    loose = audit(tmp_path, "routing: {default_model: small, fallbacks: [{model: big}]}\n")
    assert {"one-model"} <= {one.check for one in loose.red_flags}


def test_a_policy_is_audited_as_it_stands(tmp_path: Path, tiny_policy) -> None:  # type: ignore[no-untyped-def]
    found = audit(tmp_path, tiny_policy.to_json(), "policy.json")
    assert {one.check for one in found.red_flags} == {"no-breaker", "no-timeout"}
    assert only(found, "no-timeout").place.line is not None


def test_what_is_no_configuration_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no configuration that is known"):
        audit(tmp_path, "a: 1\n")
    with pytest.raises(ConfigError, match="not YAML"):
        audit(tmp_path, "a: [1\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        audit_configuration(tmp_path / "absent.yaml")


def test_every_check_says_why_and_what_to_do() -> None:
    for check in CONFIGURATION_CHECKS:
        assert all((check.title, check.why, check.how, check.threshold, check.fix, check.reference))
