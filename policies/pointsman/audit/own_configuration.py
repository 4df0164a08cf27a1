"""pointsman's own files as configurations: the routing spec, its short form, and the policy of a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pointsman.audit.configuration import Configuration, Model, Route, Way
from pointsman.errors import SpecError
from pointsman.spec import parse_spec

if TYPE_CHECKING:
    from pointsman.yaml_lines import Key, Lines

__all__ = ["of_policy", "of_short_form", "of_spec"]

_FAILURES = ("timeout", "error")


def of_spec(document: Mapping[str, Any], file: str, lines: Lines) -> Configuration:
    """Read a routing spec."""
    candidates = _mapping(document.get("candidates"))
    models = tuple(_model(str(name), _mapping(entry), ("candidates", str(name))) for name, entry in candidates.items())
    rules, guards = _mapping(document.get("rules")), _mapping(document.get("guards"))
    abstain = _mapping(rules.get("abstain"))
    routes, unreachable = _pins(rules, ("rules",), "intents", "modalities")
    if abstain.get("below_confidence") in {0, 1} and isinstance(abstain.get("model"), str):
        key: Key = ("rules", "abstain", "below_confidence")
        if abstain["below_confidence"] == 0:
            unreachable.append((key, "no confidence is below 0: nothing ever goes to the model of rules.abstain"))
        else:
            routes.append(Route("everything", abstain["model"], key))
    constraints, objective = _mapping(document.get("constraints")), document.get("objective")
    price = objective.get("useless_response_usd") if isinstance(objective, Mapping) else None
    ways = _ways(document.get("fallbacks"), ("fallbacks",))
    return Configuration(
        kind="spec",
        file=file,
        lines=lines,
        models=models,
        routes=tuple(routes),
        ways=ways,
        safe=_route("kill-switch", document.get("safe_model"), ("safe_model",)),
        needs_safe=True,
        ways_silent=document.get("fallbacks") is None,
        retries=_retries(guards.get("retry_policy")),
        breaker=_breaker(guards.get("breaker")),
        budget=bool(guards.get("budget") or guards.get("budget_usd_per_day")),
        free_useless=_free(constraints.get("useful_rate")) and not price,
        long_tokens=_whole(document.get("long_context_tokens"), 8000),
        unreachable=tuple(unreachable),
        broken=_broken(document, file, lines),
    )


def of_short_form(document: Mapping[str, Any], file: str, lines: Lines) -> Configuration:
    """Read the short form: a default model, fallbacks, a retry policy."""
    routing = _mapping(document.get("routing"))
    ways = _ways(routing.get("fallbacks"), ("routing", "fallbacks"))
    default = _route("everything", routing.get("default_model"), ("routing", "default_model"))
    named = {default.model: default.key} if default else {}
    for way in ways:
        named.setdefault(way.model, way.key)
    conditions = any(way.requests or way.within_ms for way in ways)
    return Configuration(
        kind="short",
        file=file,
        lines=lines,
        models=tuple(Model(name, key) for name, key in named.items()),
        ways=ways,
        chosen_by="rules" if conditions else "nobody",
        default=default,
        safe=default,
        needs_safe=True,
        retries=_retries(routing.get("retry_policy")),
        free_useless=True,
        broken=_broken(document, file, lines),
        guards_key=("routing",),
    )


def of_policy(document: Mapping[str, Any], file: str, lines: Lines) -> Configuration:
    """Read the policy of a bundle."""
    entries = [_mapping(entry) for entry in document.get("candidates") or []]
    models = tuple(
        _model(str(entry.get("name")), entry, ("candidates", str(index))) for index, entry in enumerate(entries)
    )
    routes, unreachable = _pins(document, (), "pinned_intents", "pinned_modalities")
    rule, guards = _mapping(document.get("rule")), _mapping(document.get("guards"))
    abstain = _mapping(rule.get("abstain"))
    if abstain.get("below_confidence", 0) >= 1 and isinstance(abstain.get("model"), str):
        routes.append(Route("everything", abstain["model"], ("rule", "abstain", "below_confidence")))
    intents = document.get("intents") or []
    pinned = _mapping(document.get("pinned_intents"))
    if intents and len(pinned) == len(intents) and len(set(pinned.values())) == 1:
        routes.append(Route("everything", str(next(iter(pinned.values()))), ("pinned_intents",)))
    floors = _mapping(rule.get("min_p_useful"))
    sealed = [name for name, floor in floors.items() if isinstance(floor, int | float) and floor > 1]
    unreachable += [
        (("rule", "min_p_useful", str(name)), f"no P(useful) reaches {floors[name]:g}: {name} is only a last resort")
        for name in sealed
    ]
    flat = bool(floors) and all(isinstance(floor, int | float) and floor <= 0 for floor in floors.values())
    flat = flat or (rule.get("kind") == "value" and not rule.get("useful_value_usd") and not rule.get("late_cost_usd"))
    return Configuration(
        kind="policy",
        file=file,
        lines=lines,
        models=models,
        routes=tuple(routes),
        ways=_ways(document.get("fallbacks"), ("fallbacks",)),
        chosen_by="nobody" if flat else "learned",
        # A rule without thresholds takes the cheapest, which is the first.
        default=Route("everything", models[0].name, ("rule",)) if flat and models else None,
        safe=_route("kill-switch", document.get("safe_model"), ("safe_model",)),
        needs_safe=True,
        retries=_whole(_mapping(guards.get("retry")).get("max_retries"), 0),
        breaker=_breaker(guards.get("breaker")),
        budget=any(_mapping(guards.get("budget")).get(f"usd_per_{span}") for span in ("minute", "hour", "day")),
        long_tokens=_whole(document.get("long_context_tokens"), 8000),
        unreachable=tuple(unreachable),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _whole(value: Any, default: int) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else default


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _model(name: str, entry: Mapping[str, Any], key: Key) -> Model:
    rates = [_number(entry.get(f"{side}_usd_per_mtok")) for side in ("input", "output")]
    known = [rate for rate in rates if rate is not None]
    modalities = entry.get("modalities", ["text"])
    window = _number(entry.get("context_window"))
    return Model(
        name=name,
        key=key,
        window=None if window is None else int(window),
        modalities=tuple(map(str, modalities)) if isinstance(modalities, list) else None,
        timeout_ms=_number(entry.get("timeout_ms")),
        price=sum(known) if len(known) == len(rates) else None,
    )


def _route(requests: str, model: Any, key: Key) -> Route | None:
    return Route(requests, model, key) if isinstance(model, str) and model else None


def _pins(
    document: Mapping[str, Any], around: Key, intents: str, modalities: str
) -> tuple[list[Route], list[tuple[Key, str]]]:
    """Return the fixed rules, and those that can never apply."""
    routes = [
        Route(f"intent {name}", str(model), (*around, intents, str(name)))
        for name, model in _mapping(document.get(intents)).items()
    ]
    pinned = {str(name): str(model) for name, model in _mapping(document.get(modalities)).items()}
    routes += [Route(name, model, (*around, modalities, name)) for name, model in pinned.items()]
    long_context = document.get("long_context")
    unreachable: list[tuple[Key, str]] = []
    if isinstance(long_context, str):
        routes.append(Route("long_context", long_context, (*around, "long_context")))
        if {"text", "image", "audio"} <= set(pinned):
            sentence = "every modality is pinned, and a pinned modality wins: the long-context rule never applies"
            unreachable.append(((*around, "long_context"), sentence))
    return routes, unreachable


def _ways(entries: Any, around: Key) -> tuple[Way, ...]:
    found = []
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        one = _mapping(entry)
        when = [str(word) for word in one.get("when") or []] if isinstance(one.get("when") or [], list) else []
        if isinstance(one.get("model"), str):
            found.append(
                Way(
                    source=None,
                    model=one["model"],
                    key=(*around, str(index)),
                    requests=tuple(word for word in when if word not in _FAILURES),
                    failures=tuple(word for word in when if word in _FAILURES),
                    within_ms=_number(one.get("cost_threshold_ms")),
                )
            )
    return tuple(found)


def _retries(policy: Any) -> int:
    if isinstance(policy, Mapping):
        return _whole(policy.get("max_retries"), 3)
    return 3 if policy == "exponential_backoff" else 0


def _breaker(value: Any) -> str:
    trips = any(_mapping(value).get(name) is not None for name in ("error_rate", "late_rate", "cost_ratio"))
    return "set" if trips else "off"


def _free(rate: Any) -> bool:
    margin = _number(rate.get("margin", 0.0)) if isinstance(rate, Mapping) else None
    return (margin is not None and margin >= 1) if isinstance(rate, Mapping) else not rate


def _broken(document: Mapping[str, Any], file: str, lines: Lines) -> str:
    try:
        parse_spec(document, file, lines)
    except SpecError as error:
        return " ".join(str(error).split())
    return ""
