"""vLLM Semantic Router's configuration (v0.3), written from a policy: models, signals, decisions, fallback.

Standard library only, numpy through the policy. That router's own classifiers know other intents than the policy's:
the intent is read from the request's metadata, ``pointsman_intent``, as pointsman tells it; modality and length it sees
by itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pointsman.gateways.plan import followers, model_by_intent, unrouted
from pointsman.gateways.render import Rendered, as_yaml, commented, known_deployments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointsman.policy import Candidate, Policy

__all__ = ["render_vllm_sr"]

LONGEST = 2_000_000_000
"""Tokens of the longest request that a signal of length needs to name."""

CODES = {"timeout": (408, 504), "error": (429, 500, 502, 503)}
MOST_RETRIES = 5
ENDPOINT = "127.0.0.1:8000"


def render_vllm_sr(policy: Policy, *, deployments: Mapping[str, Mapping[str, Any]] | None = None) -> Rendered:
    """Write ``config.yaml`` of vLLM Semantic Router.

    Parameters
    ----------
    policy : Policy
    deployments : mapping of str to mapping, optional
        Per candidate, members of its backend such as endpoint, protocol, provider, api_key_env; a vLLM on this machine
        where there is none.

    Raises
    ------
    PointsmanError
        Where a deployment's name is no candidate's.
    """
    deployments = known_deployments(deployments, policy, "vllm-sr")
    missing = unrouted(policy)
    signals, decisions = _decisions(policy, missing)
    routing: dict[str, Any] = {
        "modelCards": [_card(one) for one in policy.candidates],
        "signals": signals,
        "decisions": decisions,
        "strategy": "priority",
    }
    fallback = _fallback(policy, missing)
    if fallback is not None:
        routing["fallback"] = fallback
    document = {
        "version": "v0.3",
        "listeners": [{"name": "http", "address": "127.0.0.1", "port": 8899, "timeout": f"{_longest_s(policy)}s"}],
        "providers": {
            "defaults": {"model": policy.safe_model},
            "models": [_model(one, policy, deployments.get(one.name), missing) for one in policy.candidates],
        },
        "routing": routing,
    }
    for one in policy.candidates:
        if one.concurrency is not None:
            missing.append(f"{one.name}: at most {one.concurrency} requests at once")
    head = [
        "vLLM Semantic Router, from a policy of pointsman.",
        "",
        "What the policy says and this file cannot express:",
    ]
    return Rendered(commented([*head, *(f"- {line}" for line in missing)]) + "\n" + as_yaml(document), tuple(missing))


def _card(candidate: Candidate) -> dict[str, Any]:
    card: dict[str, Any] = {
        "name": candidate.name,
        "modalities": {"input": list(candidate.modalities), "output": ["text"]},
    }
    if candidate.context_window is not None:
        card["context_window_size"] = candidate.context_window
    return card


def _model(
    candidate: Candidate, policy: Policy, deployment: Mapping[str, Any] | None, missing: list[str]
) -> dict[str, Any]:
    if deployment is None:
        deployment = {"provider": "vllm", "endpoint": ENDPOINT, "protocol": "http"}
        missing.append(f"{candidate.name}: a policy does not say who serves it; it stands as a vLLM at {ENDPOINT}")
    model: dict[str, Any] = {
        "name": candidate.name,
        "backend_refs": [{"name": "primary", "weight": 100, **deployment}],
    }
    if candidate.input_usd_per_mtok is not None and candidate.output_usd_per_mtok is not None:
        model["pricing"] = {
            "currency": "USD",
            "prompt_per_1m": candidate.input_usd_per_mtok,
            "completion_per_1m": candidate.output_usd_per_mtok,
        }
    retry = policy.guards.retry
    if retry.max_retries and "error" in retry.failures:
        model["reliability"] = {
            "retry_count": min(retry.max_retries, MOST_RETRIES),
            "retry_on": "connect-failure,refused-stream,5xx",
        }
    return model


def _decisions(policy: Policy, missing: list[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the signals and the decisions on them: pins, length, the table by intent, the rest."""
    signals: dict[str, Any] = {
        "metadata": [
            {"name": f"intent-{at}", "description": intent, "key": "pointsman_intent", "predicate": {"equals": intent}}
            for at, intent in enumerate(policy.intents)
        ]
    }
    rows: list[tuple[str, str, str, dict[str, str], tuple[str, ...]]] = []
    at = {intent: {"type": "metadata", "name": f"intent-{index}"} for index, intent in enumerate(policy.intents)}
    rows += [("pinned", intent, model, at[intent], (intent,)) for intent, model in policy.pinned_intents.items()]
    modalities = dict(policy.pinned_modalities)
    for modality in ("image", "audio"):
        able = [one.name for one in policy.candidates if modality in one.modalities]
        if modality not in modalities and able and len(able) < len(policy.models):
            modalities[modality] = able[-1]
            missing.append(f"{modality}: goes to {able[-1]} whatever its intent, the dearest that can take it")
    seen = [name for name in modalities if name != "text"]
    if seen:
        signals["input_modality"] = [{"name": f"carries-{name}", "modality": name} for name in seen]
    rows += [
        ("modality", name, modalities[name], {"type": "input_modality", "name": f"carries-{name}"}, (name,))
        for name in seen
    ]
    if policy.long_context is not None:
        least, most = str(policy.long_context_tokens + 1), str(LONGEST)
        signals["context"] = [{"name": "long-context", "min_tokens": least, "max_tokens": most}]
        long = {"type": "context", "name": "long-context"}
        rows.append(("long", "context", policy.long_context, long, ("long_context",)))
    rows += [("intent", intent, model, at[intent], (intent,)) for intent, model in model_by_intent(policy).items()]
    decisions = [
        {
            "name": f"{kind}-{_slug(what)}-{index}",
            "description": f"{kind} {what}",
            "priority": 1000 - index,
            "rules": {"operator": "AND", "conditions": [condition]},
            "modelRefs": _refs(policy, model, words),
        }
        for index, (kind, what, model, condition, words) in enumerate(rows)
    ]
    decisions.append(
        {
            "name": "safe-model",
            "description": "a request whose intent nobody told",
            "priority": 1,
            "rules": {"operator": "AND", "conditions": []},
            "modelRefs": _refs(policy, policy.safe_model, ()),
        }
    )
    return signals, decisions


def _refs(policy: Policy, model: str, words: tuple[str, ...]) -> list[dict[str, Any]]:
    names = (model, *followers(policy, model, *words))
    return [{"model": name, "use_reasoning": False} for name in names]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"


def _longest_s(policy: Policy) -> int:
    """Return how long the longest request may take, s: every candidate's timeout, or the router's usual 300 s."""
    limits = [one.timeout_ms for one in policy.candidates]
    known = sum(limit for limit in limits if limit is not None)
    return 300 if None in limits else max(int(known // 1000) + 1, 1)


def _fallback(policy: Policy, missing: list[str]) -> dict[str, Any] | None:
    """Return what happens when a model fails."""
    retry, breaker = policy.guards.retry, policy.guards.breaker
    if retry.max_retries:
        missing.append(
            f"guards.retry: delays of {retry.base_ms:g} to {retry.cap_ms:g} ms with full jitter, a retry budget of "
            f"{retry.budget_share:g} of the requests plus {retry.budget_floor} in {retry.window_s:g} s, and one count "
            f"of {retry.max_retries} over all models (there it is each backend's, {MOST_RETRIES} at most)"
        )
    if breaker.error_rate is not None:
        missing.append(
            f"guards.breaker.error_rate: {breaker.error_rate:g} of the answers in {breaker.window_s:g} s; there so "
            "many failures in a row open it"
        )
    if not policy.fallbacks:
        return None
    codes = {code for one in policy.fallbacks for kind in (one.failures or CODES) for code in CODES[kind]}
    found: dict[str, Any] = {
        "version": 1,
        "enabled": True,
        "max_attempts": 1 + len({one.model for one in policy.fallbacks}),
        "total_timeout": f"{_longest_s(policy)}s",
        "retryable_status_codes": sorted(codes),
    }
    limits = [one.timeout_ms for one in policy.candidates if one.timeout_ms is not None]
    if limits:
        found["per_attempt_timeout"] = f"{max(limits) / 1000:g}s"
        if len({one.timeout_ms for one in policy.candidates}) > 1:
            missing.append(f"timeout_ms of each candidate: one of {max(limits):g} ms holds for all")
    if breaker.error_rate is not None:
        found["circuit_breaker"] = {
            "consecutive_failures": max(round(breaker.error_rate * breaker.min_requests), 1),
            "cooldown_period": f"{breaker.open_s:g}s",
            "half_open_probes": breaker.half_open_probes,
        }
    missing.append("fallbacks[].when of failures: every fallback of a request serves timeouts and errors alike")
    return found
