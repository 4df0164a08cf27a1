"""Portkey's gateway configuration, written from a policy: conditions, fallbacks, retries and timeouts.

Standard library only, numpy through the policy. Portkey reads no prompt: whoever calls it tells what pointsman decided,
in the request's metadata, as ``pointsman_model`` or, where only the intent is known, ``pointsman_intent``.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from pointsman.gateways.plan import followers, model_by_intent, unrouted
from pointsman.gateways.render import Rendered, known_deployments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointsman.policy import Candidate, Policy

__all__ = ["render_portkey"]

MOST_ATTEMPTS = 5
"""Retries that Portkey takes at most."""

CODES = {"timeout": (408, 504), "error": (429, 500, 502, 503)}
MODEL, INTENT = "metadata.pointsman_model", "metadata.pointsman_intent"


def render_portkey(policy: Policy, *, deployments: Mapping[str, Mapping[str, Any]] | None = None) -> Rendered:
    """Write a configuration (JSON) for Portkey's gateway: header ``x-portkey-config``, or saved under an id.

    Parameters
    ----------
    policy : Policy
    deployments : mapping of str to mapping, optional
        Per candidate, members of its target such as provider, api_key, custom_host; ``openai`` and a key to be put in
        where there is none.

    Raises
    ------
    PointsmanError
        Where a deployment's name is no candidate's.
    """
    deployments = known_deployments(deployments, policy, "portkey")
    missing = unrouted(policy)
    single = {one.name: _single(one, policy, deployments.get(one.name), missing) for one in policy.candidates}
    chains: dict[tuple[str, ...], str] = {}
    conditions = []
    by_intent = model_by_intent(policy)
    for model in policy.models:
        usual = (model, *followers(policy, model))
        differing: dict[tuple[str, ...], list[str]] = {}
        for intent in policy.intents:
            chain = (model, *followers(policy, model, intent))
            if chain != usual:
                differing.setdefault(chain, []).append(intent)
        for chain, intents in differing.items():
            query = {MODEL: {"$eq": model}, INTENT: {"$in": intents}}
            conditions.append({"query": query, "then": _named(chain, chains)})
        conditions.append({"query": {MODEL: {"$eq": model}}, "then": _named(usual, chains)})
    for intent, model in by_intent.items():
        chain = (model, *followers(policy, model, intent))
        conditions.append({"query": {INTENT: {"$eq": intent}}, "then": _named(chain, chains)})
    safe = policy.safe_model
    default = _named((safe, *followers(policy, safe)), chains)
    document = {
        "strategy": {"mode": "conditional", "conditions": conditions, "default": default},
        "targets": [_target(name, chain, single) for chain, name in chains.items()],
    }
    _rest(policy, missing)
    return Rendered(json.dumps(document, indent=2, ensure_ascii=False) + "\n", tuple(missing))


def _named(chain: tuple[str, ...], chains: dict[tuple[str, ...], str]) -> str:
    return chains.setdefault(chain, " then ".join(chain))


def _target(name: str, chain: tuple[str, ...], single: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    if len(chain) == 1:
        return {"name": name, **single[chain[0]]}
    codes = sorted(code for kind in CODES.values() for code in kind)
    return {
        "name": name,
        "strategy": {"mode": "fallback", "on_status_codes": codes},
        "targets": [single[model] for model in chain],
    }


def _single(
    candidate: Candidate, policy: Policy, deployment: Mapping[str, Any] | None, missing: list[str]
) -> dict[str, Any]:
    """Return the target of one candidate."""
    if deployment is None:
        key = re.sub(r"[^A-Z0-9]+", "_", candidate.name.upper()).strip("_") + "_API_KEY"
        deployment = {"provider": "openai", "api_key": key}
        missing.append(f"{candidate.name}: a policy does not say who serves it; it stands as openai with the key {key}")
    target: dict[str, Any] = {**deployment, "override_params": {"model": candidate.name}}
    if "override_params" in deployment:
        target["override_params"] = {"model": candidate.name, **deployment["override_params"]}
    if candidate.timeout_ms is not None:
        target["request_timeout"] = max(math.ceil(candidate.timeout_ms), 1)
    retry = policy.guards.retry
    if retry.max_retries and retry.failures:
        codes = sorted(code for failure in retry.failures for code in CODES[failure])
        target["retry"] = {"attempts": min(retry.max_retries, MOST_ATTEMPTS), "on_status_codes": codes}
    return target


def _rest(policy: Policy, missing: list[str]) -> None:
    """List what is left."""
    guards = policy.guards
    retry = guards.retry
    if retry.max_retries > MOST_ATTEMPTS:
        missing.append(f"guards.retry.max_retries: {retry.max_retries}; Portkey retries {MOST_ATTEMPTS} times at most")
    if retry.max_retries:
        missing.append(
            f"guards.retry: delays of {retry.base_ms:g} to {retry.cap_ms:g} ms with full jitter, a retry budget of "
            f"{retry.budget_share:g} of the requests plus {retry.budget_floor} in {retry.window_s:g} s; Portkey has "
            "its own delays, and retries each target by itself"
        )
    if guards.breaker.error_rate is not None:
        missing.append(
            f"guards.breaker.error_rate: {guards.breaker.error_rate:g} in {guards.breaker.window_s:g} s; the "
            "open-source gateway has no breaker"
        )
    for one in policy.candidates:
        if one.concurrency is not None:
            missing.append(f"{one.name}: at most {one.concurrency} requests at once")
        if one.context_window is not None:
            missing.append(f"{one.name}: at most {one.context_window} tokens to read")
    missing += [f"pinned_modalities.{modality}: {model}" for modality, model in policy.pinned_modalities.items()]
    if policy.long_context is not None:
        missing.append(f"long_context: {policy.long_context}")
    missing += [
        f"fallbacks[{index}].when: {', '.join(one.when)}; Portkey falls back on every failure, and knows of a request "
        "its intent alone"
        for index, one in enumerate(policy.fallbacks)
        if set(one.when) - set(policy.intents)
    ]
