"""LiteLLM's proxy configuration as a configuration: model groups, complexity router, fallbacks, cooldowns."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pointsman.audit.configuration import Configuration, Model, Route, Way

if TYPE_CHECKING:
    from pointsman.yaml_lines import Key, Lines

__all__ = ["of_litellm"]

ENDLESS_S = 600.0
"""A timeout above this is none: nobody waits for an answer so long. LiteLLM's own default is 6,000 s."""

_ROUTER = "auto_router/"
_BOUNDARIES = ("simple_medium", "medium_complex", "complex_reasoning")
_KINDS = {
    "fallbacks": (),
    "context_window_fallbacks": ("context",),
    "content_policy_fallbacks": ("content",),
}
_MOST_WAYS = 5
"""LiteLLM tries this many fallbacks of one request unless told otherwise."""


def of_litellm(document: Mapping[str, Any], file: str, lines: Lines) -> Configuration:
    """Read a configuration of LiteLLM's proxy."""
    entries = document.get("model_list")
    entries = [_mapping(entry) for entry in entries] if isinstance(entries, list) else []
    router, general = _mapping(document.get("router_settings")), _mapping(document.get("litellm_settings"))
    timeout_ms = _seconds_ms(router.get("timeout")) or _seconds_ms(general.get("request_timeout"))
    routers = [(index, entry) for index, entry in enumerate(entries) if _provider(entry).startswith(_ROUTER)]
    models = _groups(entries, timeout_ms)
    names = {model.name for model in models} | {str(entry.get("model_name")) for _, entry in routers}
    routes, default, unreachable = [], None, []
    for index, entry in routers:
        found, fallback, dead = _routed(entry, ("model_list", str(index), "litellm_params"))
        routes += found
        default = default or fallback
        unreachable += dead
    aliases = _mapping(router.get("model_group_alias"))
    for alias, target in aliases.items():
        key: Key = ("router_settings", "model_group_alias", str(alias))
        to = target.get("model") if isinstance(target, Mapping) else target
        if alias in names:
            unreachable.append((key, f"the alias hides the model group {alias}: no client reaches it by its name"))
        elif isinstance(to, str):
            routes.append(Route(f"clients that ask for {alias}", to, key))
    ways, dead = _ways(router, general, names | set(map(str, aliases)))
    unreachable += dead
    dangling = [(route.key, route.model) for route in (*routes, *([default] if default else []))]
    dangling += [(way.key, way.model) for way in ways]
    known = names | set(map(str, aliases))
    retries = router.get("num_retries", general.get("num_retries"))
    return Configuration(
        kind="litellm",
        file=file,
        lines=lines,
        models=models,
        routes=tuple(routes),
        ways=ways,
        chosen_by=_chosen_by(routers, general, models),
        default=default,
        retries=retries if isinstance(retries, int) else 0,
        most_ways=_whole(router.get("max_fallbacks"), _MOST_WAYS),
        breaker=_breaker(router, general, models),
        budget=_budget(entries, router, general),
        unreachable=tuple(unreachable),
        dangling=tuple((key, name) for key, name in dangling if name not in known and "*" not in "".join(known)),
        notes=("include: the files that it names were not read",) if document.get("include") else (),
        guards_key=("router_settings",),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _whole(value: Any, default: int) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else default


def _provider(entry: Mapping[str, Any]) -> str:
    return str(_mapping(entry.get("litellm_params")).get("model", ""))


def _seconds_ms(value: Any) -> float | None:
    """Return a timeout in ms; None where there is none, or one that nobody waits for."""
    told = isinstance(value, int | float) and not isinstance(value, bool)
    return 1000.0 * float(value) if told and 0 < value <= ENDLESS_S else None


def _groups(entries: list[Mapping[str, Any]], timeout_ms: float | None) -> tuple[Model, ...]:
    """Return one model for each name; of several deployments the most careful value counts."""
    found: dict[str, Model] = {}
    for index, entry in enumerate(entries):
        if _provider(entry).startswith(_ROUTER) or not isinstance(entry.get("model_name"), str):
            continue
        params, info = _mapping(entry.get("litellm_params")), _mapping(entry.get("model_info"))
        rates = [params.get(name, info.get(name)) for name in ("input_cost_per_token", "output_cost_per_token")]
        known = [1e6 * float(rate) for rate in rates if isinstance(rate, int | float)]
        window = info.get("max_input_tokens", info.get("max_tokens"))
        one = Model(
            name=entry["model_name"],
            key=("model_list", str(index)),
            window=window if isinstance(window, int) else None,
            modalities=_modalities(info),
            timeout_ms=_seconds_ms(params.get("timeout")) or timeout_ms,
            price=sum(known) if len(known) == len(rates) else None,
        )
        old = found.get(one.name)
        found[one.name] = one if old is None else _joined(old, one)
    return tuple(found.values())


def _joined(one: Model, other: Model) -> Model:
    windows = [window for window in (one.window, other.window) if window is not None]
    both = None if one.modalities is None or other.modalities is None else set(one.modalities) & set(other.modalities)
    timeouts = (one.timeout_ms, other.timeout_ms)
    return Model(
        name=one.name,
        key=one.key if other.timeout_ms is not None else other.key,
        window=min(windows) if windows else None,
        modalities=None if both is None else tuple(sorted(both)),
        timeout_ms=None if None in timeouts else max(timeout for timeout in timeouts if timeout is not None),
        price=one.price if other.price is None else other.price if one.price is None else max(one.price, other.price),
        deployments=one.deployments + 1,
    )


def _modalities(info: Mapping[str, Any]) -> tuple[str, ...] | None:
    flags = {"image": info.get("supports_vision"), "audio": info.get("supports_audio_input")}
    if all(flag is None for flag in flags.values()):
        return None
    return ("text", *(name for name, flag in flags.items() if flag))


def _routed(entry: Mapping[str, Any], around: Key) -> tuple[list[Route], Route | None, list[tuple[Key, str]]]:
    """Return the tiers of a complexity or semantic router, its default, and the tiers that no request reaches."""
    params = _mapping(entry.get("litellm_params"))
    config = _mapping(params.get("complexity_router_config"))
    routes, dead = [], []
    for tier, target in _mapping(config.get("tiers")).items():
        key = (*around, "complexity_router_config", "tiers", str(tier))
        targets = target if isinstance(target, list) else [target]
        for one in targets:
            to = one.get("model") if isinstance(one, Mapping) else one
            if isinstance(to, str):
                routes.append(Route(f"tier {tier}", to, key))
    limits = _mapping(config.get("tier_boundaries"))
    known = [(name, limits[name]) for name in _BOUNDARIES if isinstance(limits.get(name), int | float)]
    for (low, below), (high, above) in pairwise(known):
        if above <= below:
            key = (*around, "complexity_router_config", "tier_boundaries", high)
            dead.append(
                (key, f"{high} ({above:g}) is not above {low} ({below:g}): no score falls into the tier between")
            )
    for name in ("complexity_router_default_model", "auto_router_default_model"):
        if isinstance(params.get(name), str):
            return routes, Route("what the router cannot place", params[name], (*around, name)), dead
    return routes, None, dead


def _ways(
    router: Mapping[str, Any], general: Mapping[str, Any], known: set[str]
) -> tuple[tuple[Way, ...], list[tuple[Key, str]]]:
    """Return the fallbacks, and those that never apply: LiteLLM takes the first entry of a model."""
    ways, dead = [], []
    for settings, section in ((router, "router_settings"), (general, "litellm_settings")):
        for name, failures in _KINDS.items():
            seen: set[str] = set()
            entries = settings.get(name)
            for index, entry in enumerate(entries if isinstance(entries, list) else []):
                key: Key = (section, name, str(index))
                for source, targets in _mapping(entry).items():
                    if source in seen:
                        dead.append((key, f"{name} has an earlier entry for {source}, which is the one that is taken"))
                        continue
                    seen.add(str(source))
                    if source not in known and source != "*" and not any("*" in one for one in known):
                        dead.append((key, f"{name} is for {source}, which no entry of model_list is called"))
                    for target in targets if isinstance(targets, list) else [targets]:
                        to = target.get("model") if isinstance(target, Mapping) else target
                        from_any = None if source == "*" else str(source)
                        if isinstance(to, str):
                            ways.append(Way(from_any, to, key, failures=failures))
        defaults = settings.get("default_fallbacks")
        for index, to in enumerate(defaults if isinstance(defaults, list) else []):
            ways.append(Way(None, str(to), (section, "default_fallbacks", str(index))))
    return tuple(ways), dead


def _chosen_by(
    routers: list[tuple[int, Mapping[str, Any]]], general: Mapping[str, Any], models: tuple[Model, ...]
) -> str:
    callbacks = general.get("callbacks") or []
    callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
    if any("litellm_hook" in str(callback) for callback in callbacks):
        return "learned"
    if routers:
        return "rules"
    return "client" if len(models) > 1 else "nobody"


def _breaker(router: Mapping[str, Any], general: Mapping[str, Any], models: tuple[Model, ...]) -> str:
    """Tell whether failing deployments are rested: LiteLLM rests those of groups of several unless told otherwise."""
    if router.get("disable_cooldowns") is True:
        return "off"
    told = any(name in settings for settings in (router, general) for name in ("allowed_fails", "cooldown_time"))
    if told or "allowed_fails_policy" in router:
        return "set"
    return "default" if models and all(model.deployments > 1 for model in models) else "off"


def _budget(entries: list[Mapping[str, Any]], router: Mapping[str, Any], general: Mapping[str, Any]) -> bool:
    per_model = any("max_budget" in _mapping(entry.get("litellm_params")) for entry in entries)
    return per_model or "max_budget" in general or "provider_budget_config" in router
