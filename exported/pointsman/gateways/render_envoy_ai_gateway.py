"""Envoy AI Gateway's resources (YAML), written from a policy: routes by header, priorities, retries, timeouts, limits.

Standard library only, numpy through the policy. The gateway chooses by the header ``x-ai-eg-model``; pointsman, as its
external processor (`pointsman.gateways.envoy`, with ``--rewrite-model``), puts the chosen model there.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from pointsman.errors import PointsmanError
from pointsman.gateways.envoy.settings import INTENT_HEADER, LONGEST_NAME, MODEL_HEADER, header_value
from pointsman.gateways.plan import followers
from pointsman.gateways.render import Rendered, as_yaml, commented, known_deployments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointsman.policy import Candidate, Policy

__all__ = ["render_envoy_ai_gateway"]

AI, ENVOY, API = "aigateway.envoyproxy.io", "gateway.envoyproxy.io", "gateway.networking.k8s.io"
CODES = {"timeout": (408, 504), "error": (429, 500, 502, 503)}
PROCESSOR_PORT = 9002


def render_envoy_ai_gateway(
    policy: Policy,
    *,
    name: str = "pointsman",
    gateway: str = "ai-gateway",
    routed_model: str = "auto",
    deployments: Mapping[str, Mapping[str, Any]] | None = None,
) -> Rendered:
    """Write the resources of Envoy AI Gateway, several YAML documents.

    Parameters
    ----------
    policy : Policy
    name : str
        Beginning of the resources' names, and the name of the Service at which pointsman's processor listens.
    gateway : str
        Name of the Gateway that they belong to.
    routed_model : str
        The model that clients ask for to be routed; it goes to the safe model where the processor is away.
    deployments : mapping of str to mapping, optional
        Per candidate ``hostname``, ``port``, and ``schema`` (the API that it speaks, OpenAI where not given).

    Raises
    ------
    PointsmanError
        Where a deployment's name is no candidate's, or the routed model is one.
    """
    deployments = known_deployments(deployments, policy, "envoy-ai-gateway")
    if routed_model in policy.models:
        raise PointsmanError(f"envoy-ai-gateway: the routed model {routed_model!r} is a candidate; choose another name")
    missing: list[str] = []
    slugs = _slugs(policy, name)
    documents = [_extension(name, gateway)]
    for candidate in policy.candidates:
        model = candidate.name
        asked = [model, routed_model] if model == policy.safe_model else [model]
        rules = _rules(policy, model, asked, slugs)
        after = max(len(rule["backendRefs"]) for rule in rules) - 1
        parent = {"group": API, "kind": "Gateway", "name": gateway}
        spec = {"parentRefs": [parent], "rules": rules}
        documents.append(_resource(AI, "v1alpha1", "AIGatewayRoute", slugs[model], spec))
        documents.append(_traffic(policy, candidate, after, slugs))
    for candidate in policy.candidates:
        documents += _backend(candidate, deployments.get(candidate.name), slugs, missing)
    _rest(policy, missing)
    head = [
        f"Envoy AI Gateway, from a policy of pointsman. Clients that ask for the model {routed_model} are routed.",
        f"The processor runs as the Service {name}, port {PROCESSOR_PORT}:",
        f"  python -m pointsman.gateways.envoy --bundle BUNDLE --model {routed_model} --rewrite-model",
        "",
        "What the policy says and these resources cannot express (the processor keeps to what it decides by):",
        *(f"- {line}" for line in missing),
    ]
    text = "---\n".join(as_yaml(document) for document in documents)
    return Rendered(commented(head) + "\n" + text, tuple(missing))


def _slugs(policy: Policy, name: str) -> dict[str, str]:
    """Return a Kubernetes name for each candidate, all different."""
    found: dict[str, str] = {}
    for at, model in enumerate(policy.models):
        slug = f"{name}-{re.sub(r'[^a-z0-9]+', '-', model.lower()).strip('-') or 'model'}"[:50].rstrip("-")
        found[model] = f"{slug}-{at}" if slug in found.values() else slug
    return found


def _resource(group: str, version: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _extension(name: str, gateway: str) -> dict[str, Any]:
    """Return the policy that has Envoy ask the processor, and go on where it does not answer."""
    processor = {
        "backendRefs": [{"name": name, "port": PROCESSOR_PORT}],
        "processingMode": {"request": {"body": "Buffered"}, "response": {}},
        "messageTimeout": "200ms",
        "failOpen": True,
    }
    target = {"group": API, "kind": "Gateway", "name": gateway}
    return _resource(ENVOY, "v1alpha1", "EnvoyExtensionPolicy", name, {"targetRefs": [target], "extProc": [processor]})


def _rules(policy: Policy, model: str, asked: list[str], slugs: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the rules of one candidate's route: intents with fallbacks of their own, then all the others.

    A route for each candidate: retries and limits belong to a route.
    """
    usual = (model, *followers(policy, model))
    own: dict[tuple[str, ...], list[str]] = {}
    for intent in policy.intents:
        chain = (model, *followers(policy, model, intent))
        if chain != usual:
            own.setdefault(chain, []).append(header_value(intent, LONGEST_NAME))
    rules = [_rule(policy, chain, [[model, intent] for intent in intents], slugs) for chain, intents in own.items()]
    return [*rules, _rule(policy, usual, [[value] for value in asked], slugs)]


def _rule(policy: Policy, chain: tuple[str, ...], asked: list[list[str]], slugs: Mapping[str, str]) -> dict[str, Any]:
    """Return one rule; `asked` has the model, or model and intent, of each match."""
    limits = {one.name: one.timeout_ms for one in policy.candidates}
    rule: dict[str, Any] = {
        "matches": [
            {
                "headers": [
                    {"type": "Exact", "name": header, "value": header_value(value, LONGEST_NAME)}
                    for header, value in zip((MODEL_HEADER, INTENT_HEADER), values, strict=False)
                ]
            }
            for values in asked
        ],
        "backendRefs": [
            {"name": slugs[model], "modelNameOverride": model, "priority": priority}
            for priority, model in enumerate(chain)
        ],
    }
    first = limits[chain[0]]
    if first is not None:
        known = [limit for limit in (limits[model] for model in chain) if limit is not None]
        most = sum(known) + first * policy.guards.retry.max_retries
        whole = len(known) == len(chain)
        rule["timeouts"] = {"request": _duration(most) if whole else "0s", "backendRequest": _duration(first)}
    return rule


def _traffic(policy: Policy, candidate: Candidate, after: int, slugs: Mapping[str, str]) -> dict[str, Any]:
    """Return retries, passive health checks and limits of one candidate's route."""
    retry, breaker = policy.guards.retry, policy.guards.breaker
    target = {"group": API, "kind": "HTTPRoute", "name": slugs[candidate.name]}
    spec: dict[str, Any] = {"targetRefs": [target]}
    kinds = {*retry.failures} if retry.max_retries else set()
    if after:
        kinds |= {kind for one in policy.fallbacks for kind in (one.failures or CODES)}
    if kinds:
        base = max(retry.base_ms, 1.0)
        spec["retry"] = {
            "numRetries": retry.max_retries + after,
            "numAttemptsPerPriority": retry.max_retries + 1,
            "perRetry": {
                "backOff": {"baseInterval": _duration(base), "maxInterval": _duration(max(retry.cap_ms, base + 1))}
            },
            "retryOn": {
                "triggers": ["connect-failure", "retriable-status-codes"],
                "httpStatusCodes": sorted(code for kind in kinds for code in CODES[kind]),
            },
        }
        if candidate.timeout_ms is not None:
            spec["retry"]["perRetry"]["timeout"] = _duration(candidate.timeout_ms)
    if breaker.error_rate is not None:
        spec["healthCheck"] = {
            "passive": {
                "consecutive5XxErrors": max(round(breaker.error_rate * breaker.min_requests), 1),
                "baseEjectionTime": _duration(breaker.open_s * 1000),
                "interval": "1s",
                "maxEjectionPercent": 100,
            }
        }
    if candidate.concurrency is not None:
        spec["circuitBreaker"] = {"maxParallelRequests": candidate.concurrency}
    return _resource(ENVOY, "v1alpha1", "BackendTrafficPolicy", slugs[candidate.name], spec)


def _backend(
    candidate: Candidate, deployment: Mapping[str, Any] | None, slugs: Mapping[str, str], missing: list[str]
) -> list[dict[str, Any]]:
    slug = slugs[candidate.name]
    if deployment is None:
        deployment = {"hostname": f"{slug}.example.com", "port": 443}
        place = deployment["hostname"]
        missing.append(f"{candidate.name}: a policy does not say who serves it; it stands as {place}")
    reference = {"group": ENVOY, "kind": "Backend", "name": slug}
    served = {"schema": {"name": deployment.get("schema", "OpenAI")}, "backendRef": reference}
    ends = [{"fqdn": {"hostname": deployment["hostname"], "port": deployment.get("port", 443)}}]
    return [
        _resource(AI, "v1alpha1", "AIServiceBackend", slug, served),
        _resource(ENVOY, "v1alpha1", "Backend", slug, {"endpoints": ends}),
    ]


def _duration(ms: float) -> str:
    """Return milliseconds as Gateway API writes durations: whole numbers of at most five digits."""
    whole = max(math.ceil(ms), 1)
    seconds, rest = divmod(whole, 1000)
    hours, seconds = divmod(seconds, 3600)
    parts = ((hours, "h"), (seconds, "s"), (rest, "ms"))
    return "".join(f"{value}{unit}" for value, unit in parts if value)


def _rest(policy: Policy, missing: list[str]) -> None:
    """List what the processor cannot make good: it decides before the first attempt, Envoy does all that follows."""
    retry, breaker = policy.guards.retry, policy.guards.breaker
    if retry.max_retries:
        missing.append(
            f"guards.retry: a retry budget of {retry.budget_share:g} of the requests plus {retry.budget_floor} in "
            f"{retry.window_s:g} s; Envoy counts retries of each request alone, and those of fallbacks with them"
        )
    if breaker.error_rate is not None:
        missing.append(
            f"guards.breaker.error_rate: {breaker.error_rate:g} of the answers in {breaker.window_s:g} s, then "
            f"{breaker.half_open_probes} probes; Envoy ejects after so many failures in a row"
        )
    for index, one in enumerate(policy.fallbacks):
        others = [word for word in one.requests if word not in policy.intents]
        if others:
            missing.append(f"fallbacks[{index}].when: {', '.join(others)}; Envoy is told the intent alone")
        if one.failures:
            missing.append(f"fallbacks[{index}].when: {', '.join(one.failures)}; Envoy tells them not apart")
        if one.cost_threshold_ms is not None:
            missing.append(f"fallbacks[{index}].cost_threshold_ms: {one.cost_threshold_ms:g} ms; Envoy has none")
    missing.append("credentials: add a BackendSecurityPolicy and a BackendTLSPolicy for each backend")
    missing.append("the order of filters: the processor must run before the AI Gateway's own, which reads the model")
