"""LiteLLM's proxy configuration, written from a policy: models, prices, timeouts, retries, fallbacks, cooldowns.

Slim: the standard library, numpy through the policy. The router itself runs inside LiteLLM, as its classifier or hook.
"""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pointsman.errors import PointsmanError
from pointsman.gateways.litellm_plugin import tier_name
from pointsman.gateways.render import Rendered, as_yaml, commented, known_deployments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointsman.policy import Candidate, Policy

__all__ = ["WAYS", "render_litellm"]

WAYS = ("classifier", "hook")

_MOST_TIERS, _LONGEST_TIER = 8, 64
_ERRORS = ("InternalServerError", "ServiceUnavailableError", "RateLimitError")
_REFUSALS = ("BadRequestError", "AuthenticationError", "ContentPolicyViolationError")
_PROVIDED = re.compile(r"[a-z0-9_]+/\S+")
"""How LiteLLM names a provider's model."""
_SPANS = {"day": "1d", "hour": "1h", "minute": "1m"}


def render_litellm(
    policy: Policy,
    *,
    bundle: str = "bundle",
    routed_model: str = "pointsman",
    way: str = "classifier",
    deployments: Mapping[str, Mapping[str, Any]] | None = None,
) -> Rendered:
    """Write a configuration of LiteLLM's proxy.

    Parameters
    ----------
    policy : Policy
    bundle : str
        Folder of the bundle, as LiteLLM's process sees it.
    routed_model : str
        The model that clients ask for to be routed.
    way : str
        ``classifier`` for LiteLLM's complexity router with our classifier (1.106 or later), ``hook`` for a callback
        that any version runs. Where the complexity router cannot have the candidates as tiers, the hook is written.
    deployments : mapping of str to mapping, optional
        Per candidate, ``litellm_params`` such as model, api_base and api_key; ``openai/NAME`` with a key from the
        environment where there is none.

    Raises
    ------
    PointsmanError
        Where the way or a deployment's name is unknown, or a candidate has the name of the routed model.
    """
    deployments = known_deployments(deployments, policy, "litellm")
    if way not in WAYS:
        raise PointsmanError(f"litellm: the way is {way!r}; allowed: {', '.join(WAYS)}")
    if routed_model in policy.models:
        raise PointsmanError(f"litellm: the routed model {routed_model!r} has the name of a candidate; choose another")
    missing: list[str] = []
    if way == "classifier" and (why := _no_tiers(policy)):
        missing.append(f"classifier: {why}; the hook routes instead")
        way = "hook"
    models = [
        _deployment(candidate, policy, deployments.get(candidate.name), missing) for candidate in policy.candidates
    ]
    settings = _router_settings(policy, missing)
    if way == "classifier":
        models.insert(0, _auto_router(policy, routed_model))
    else:
        settings["model_group_alias"] = {routed_model: policy.safe_model}
    _rest(policy, missing)
    document = {
        "environment_variables": {"POINTSMAN_BUNDLE": bundle, "POINTSMAN_MODEL": routed_model},
        "model_list": models,
        "router_settings": settings,
        "litellm_settings": {
            "callbacks": [f"pointsman.gateways.litellm_hook.{'observer' if way == 'classifier' else 'hook'}"],
            "telemetry": False,
        },
        "general_settings": {"master_key": "os.environ/LITELLM_MASTER_KEY"},
    }
    head = [
        f"LiteLLM's proxy, from a policy of pointsman. Clients that ask for the model {routed_model} are routed.",
        "",
        "What the policy says and this file cannot express:" if missing else "This file expresses the whole policy.",
        *(f"- {line}" for line in missing),
    ]
    return Rendered(commented(head) + "\n" + as_yaml(document), tuple(missing))


def _no_tiers(policy: Policy) -> str:
    """Tell why the complexity router cannot have the candidates as its tiers; "" where it can."""
    tiers = [tier_name(model) for model in policy.models]
    if not 2 <= len(tiers) <= _MOST_TIERS:
        return f"LiteLLM's complexity router takes 2 to {_MOST_TIERS} tiers and the policy has {len(tiers)} candidates"
    for tier in tiers:
        if tier != tier.strip() or not tier or len(tier) > _LONGEST_TIER or not tier.isprintable():
            return f"{tier!r} cannot name a tier"
    for before, after in pairwise(sorted(tier.casefold() for tier in tiers)):
        if before == after:
            return f"tiers must differ in more than case, {before!r} do not"
    return ""


def _auto_router(policy: Policy, routed_model: str) -> dict[str, Any]:
    tiers = {tier_name(model): model for model in policy.models}
    return {
        "model_name": routed_model,
        "litellm_params": {
            "model": "auto_router/complexity_router",
            "complexity_router_default_model": policy.safe_model,
            "complexity_router_config": {
                "classifier_type": "custom",
                "classifier_plugin": "pointsman.gateways.litellm_plugin.classifier",
                "tier_definitions": [
                    {"name": tier, "description": f"requests that the policy sends to {tier}"} for tier in tiers
                ],
                "tiers": {tier: [model] for tier, model in tiers.items()},
                "fallback_tier": tier_name(policy.safe_model),
                "route_housekeeping_to_cheapest_tier": False,
            },
        },
    }


def _deployment(
    candidate: Candidate, policy: Policy, params: Mapping[str, Any] | None, missing: list[str]
) -> dict[str, Any]:
    name = candidate.name
    if params is None:
        variable = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
        params = {
            "model": name if _PROVIDED.fullmatch(name) else f"openai/{name}",
            "api_key": f"os.environ/{variable}_API_KEY",
        }
        missing.append(
            f"{name}: a policy does not say who serves it; it stands as {params['model']} with the key "
            f"{variable}_API_KEY"
        )
    found = dict(params)
    if candidate.timeout_ms is not None:
        found["timeout"] = found["stream_timeout"] = candidate.timeout_ms / 1000
    if candidate.concurrency is not None:
        found["max_parallel_requests"] = candidate.concurrency
    for key, price in {
        "input_cost_per_token": candidate.input_usd_per_mtok,
        "output_cost_per_token": candidate.output_usd_per_mtok,
    }.items():
        if price is not None:
            found[key] = price / 1e6
    if name != policy.models[0]:
        budget = policy.guards.budget
        for span, duration in _SPANS.items():
            limit = getattr(budget, f"usd_per_{span}")
            if limit is not None:
                found |= {"max_budget": limit, "budget_duration": duration}
                break
    entry: dict[str, Any] = {"model_name": name, "litellm_params": found}
    if candidate.context_window is not None:
        entry["model_info"] = {"max_input_tokens": candidate.context_window}
    return entry


def _router_settings(policy: Policy, missing: list[str]) -> dict[str, Any]:
    retry, breaker = policy.guards.retry, policy.guards.breaker
    most = {kind: retry.max_retries if kind in retry.failures else 0 for kind in ("timeout", "error")}
    settings: dict[str, Any] = {
        "num_retries": retry.max_retries,
        "retry_policy": {
            "TimeoutErrorRetries": most["timeout"],
            **{f"{kind}Retries": most["error"] for kind in _ERRORS},
            **{f"{kind}Retries": 0 for kind in _REFUSALS},
        },
        "fallbacks": [],
        "enable_pre_call_checks": True,
    }
    ordered = tuple(dict.fromkeys(fallback.model for fallback in policy.fallbacks))
    settings["fallbacks"] = [{name: rest} for name in policy.models if (rest := [to for to in ordered if to != name])]
    settings["max_fallbacks"] = max(len(policy.models), 1)
    longer = [{one.name: wider} for one in policy.candidates if (wider := _wider(one, policy, ordered))]
    if longer:
        settings["context_window_fallbacks"] = longer
    if retry.max_retries:
        missing.append(
            f"guards.retry: delays of {retry.base_ms:g} ms doubling up to {retry.cap_ms:g} ms with full jitter "
            f"(LiteLLM has its own), {retry.max_retries} retries of a request over all its models (LiteLLM counts per "
            f"model), at most {retry.budget_share:g} of the requests plus {retry.budget_floor} in {retry.window_s:g} s"
        )
    if breaker.error_rate is not None:
        fails = max(math.ceil(breaker.error_rate * breaker.min_requests) - 1, 0)
        settings |= {"allowed_fails": fails, "cooldown_time": breaker.open_s}
        missing.append(
            f"guards.breaker.error_rate: {breaker.error_rate:g} of at least {breaker.min_requests} answers in "
            f"{breaker.window_s:g} s, then {breaker.half_open_probes} probes; LiteLLM counts failures: more than "
            f"{fails} in {breaker.open_s:g} s rest a model for {breaker.open_s:g} s. The router's own breaker is exact"
        )
    return settings


def _wider(candidate: Candidate, policy: Policy, ordered: tuple[str, ...]) -> list[str]:
    """Return who takes what is too long for a candidate: fallbacks in their order, then the others, cheapest first."""
    if candidate.context_window is None:
        return []
    windows = {one.name: math.inf if one.context_window is None else one.context_window for one in policy.candidates}
    names = dict.fromkeys((*ordered, *policy.models))
    return [name for name in names if windows[name] > candidate.context_window]


def _rest(policy: Policy, missing: list[str]) -> None:
    """Say what of the policy has no setting in LiteLLM at all."""
    guards, inside = policy.guards, "the router inside LiteLLM does it"
    for fallback in policy.fallbacks:
        words = f"fallbacks, {fallback.model}"
        if fallback.requests:
            kinds = ", ".join(fallback.requests)
            missing.append(f"{words}: only for {kinds}; {inside} for routed requests, others fall back to it always")
        if fallback.failures:
            missing.append(f"{words}: only after {', '.join(fallback.failures)}; LiteLLM falls back after any failure")
        if fallback.cost_threshold_ms is not None:
            missing.append(f"{words}: only within {fallback.cost_threshold_ms:g} ms; LiteLLM has no such limit")
    for key, value in {"late_rate": guards.breaker.late_rate, "cost_ratio": guards.breaker.cost_ratio}.items():
        if value is not None:
            missing.append(f"guards.breaker.{key}: {value:g}; {inside}")
    limits = {name: limit for name, _, _, limit in guards.budget.limits}
    if limits:
        told = next(span for span in _SPANS if span in limits)
        words = ", ".join(f"{limit:g} USD per {name}" for name, limit in limits.items())
        missing.append(
            f"guards.budget: {words} over all models, throttled from {guards.budget.soft_share:g} of it; LiteLLM stops "
            f"each model but the cheapest at {limits[told]:g} USD per {told}; {inside}"
        )
    missing += [
        f"{candidate.name}: {candidate.concurrency} requests at once, then another model; LiteLLM refuses or delays "
        f"what is more; {inside}"
        for candidate in policy.candidates
        if candidate.concurrency is not None
    ]
    for key in ("cached_answer", "simpler_model"):
        if getattr(guards, key) is not None:
            also = ", a cache that serves the key must be yours" if key == "cached_answer" else ""
            missing.append(f"guards.{key}: {getattr(guards, key)}; {inside}{also}")
    if guards.exploration_share:
        missing.append(f"guards.exploration_share: {guards.exploration_share:g}; {inside}")
    missing.append(f"safe_model and kill-switch: {policy.safe_model}; {inside}")
    missing.append(f"the rule, its thresholds and pins: {inside}")
