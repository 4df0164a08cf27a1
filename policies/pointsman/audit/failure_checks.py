"""Checks of what a configuration does when a model fails: timeouts, fallbacks, breakers, retries, budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.audit.check import Check
from pointsman.audit.finding import Measure
from pointsman.profile.finding import named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.audit.configuration import Configuration, Model, Way
    from pointsman.audit.finding import Finding
    from pointsman.yaml_lines import Key

__all__ = ["FAILURE_CHECKS", "failure_findings"]

_NYGARD = "Nygard 2018, Release It!, 2nd ed., ch. 5 (Stability Patterns)"
_BROOKER = "Brooker 2019, Timeouts, retries, and backoff with jitter (Amazon Builders' Library)"
_MANY_ATTEMPTS = 8

NO_TIMEOUT = Check(
    "no-timeout",
    "configuration",
    "A model without a timeout",
    "One stalled answer holds its user and its connection for as long as the provider likes; no fallback ever starts.",
    "Each model's own timeout, or the one that holds for all; above 600 s it counts as none.",
    "one model without",
    "Give each model a timeout a little above its P99 (timeout_ms; in LiteLLM timeout, in seconds).",
    _NYGARD,
)
NO_FALLBACK = Check(
    "no-fallback",
    "configuration",
    "A model without a fallback",
    "When its provider is away, its requests fail, though another model could answer.",
    "For each model, whether any other model follows after a failure; several deployments of a group count.",
    "one model without (none at all: high)",
    "List at least one other model under fallbacks.",
    _NYGARD,
)
NO_BREAKER = Check(
    "no-breaker",
    "configuration",
    "No circuit breaker",
    "While a model is down every request still waits for it before the fallback is asked, and the load keeps it down.",
    "guards.breaker with a rate that opens it; LiteLLM: allowed_fails or cooldown_time, and not disable_cooldowns. "
    "LiteLLM's default hardly ever rests the only deployment of a group.",
    "none",
    "Set guards.breaker.error_rate (0.5 is a start), or in LiteLLM allowed_fails and cooldown_time.",
    _NYGARD,
)
CANNOT_TAKE = Check(
    "fallback-cannot-take",
    "configuration",
    "A fallback that cannot take the request",
    "The fallback fails too, on exactly the requests that it was written for: long ones, or ones with pictures.",
    "Context window and modalities of each fallback against those of the model, or the kind of request, it is for.",
    "one",
    "Name a model with at least the same context window and modalities.",
    "LiteLLM documentation, Retries, fallbacks and cooldowns: context window fallbacks",
)
LOOP = Check(
    "fallback-loop",
    "configuration",
    "Fallbacks that go in a circle",
    "Two models that are both away are asked in turn until a counter runs out: the user waits for all of it.",
    "Cycles in the graph of model to fallback (formats in which every model is tried once cannot have one).",
    "one (low where the number of fallbacks is limited explicitly)",
    "Let fallbacks lead one way, and end at a model that is unlike the others.",
    "Beyer et al. 2016, Site Reliability Engineering, ch. 22 (Addressing Cascading Failures)",
)
RETRIES_MULTIPLY = Check(
    "retries-multiply",
    "configuration",
    "Retries times fallbacks",
    "Every layer that retries multiplies the load on providers that are already failing, and the wait of the user.",
    "(retries + 1) times (fallbacks + 1), for the model with the most.",
    f"more than {_MANY_ATTEMPTS} attempts at one request",
    "Retry once or twice, with backoff, jitter and a retry budget, and let the fallback do the rest.",
    _BROOKER,
)
NO_BUDGET = Check(
    "no-budget",
    "configuration",
    "No budget",
    "Whoever finds prompts that buy the dear model, or a loop in a client, spends without a limit.",
    "guards.budget; in LiteLLM max_budget or provider_budget_config.",
    "none (worth knowing, no red flag)",
    "Set guards.budget.usd_per_hour to a few times an ordinary hour.",
    "OWASP Top 10 for LLM Applications 2025, LLM10 Unbounded Consumption",
)
FAILURE_CHECKS = (NO_TIMEOUT, NO_FALLBACK, NO_BREAKER, CANNOT_TAKE, LOOP, RETRIES_MULTIPLY, NO_BUDGET)


def failure_findings(config: Configuration) -> Iterator[Finding]:
    """Yield what a configuration lacks for the day that a model fails."""
    for topic in (_timeouts, _fallbacks, _breaker, _cannot_take, _loops, _retries, _budget):
        yield from topic(config)


def _timeouts(config: Configuration) -> Iterator[Finding]:
    without = [model for model in config.models if model.timeout_ms is None]
    if without:
        all_of = len(without) == len(config.models) > 1
        names = named([model.name for model in without])
        what = "no model has a timeout" if all_of else f"{names} {'have' if len(without) > 1 else 'has'} no timeout"
        fix = "Use the full form of the spec, with timeout_ms for each candidate." if config.kind == "short" else None
        yield NO_TIMEOUT.found("medium", what, config.place(without[0].key), fix=fix)


def _fallbacks(config: Configuration) -> Iterator[Finding]:
    if config.ways_silent or not config.models:
        return
    without = [model for model in config.models if not _served(config, model)]
    if len(without) == len(config.models):
        key: Key = _key_of_ways(config)
        yield NO_FALLBACK.found("high", "there is no fallback", config.place(key))
    elif without and config.kind == "litellm":
        names = named([model.name for model in without])
        what = f"{names} {'have' if len(without) > 1 else 'has'} no fallback"
        yield NO_FALLBACK.found("medium", what, config.place(without[0].key))


def _served(config: Configuration, model: Model) -> bool:
    return model.deployments > 1 or any(way.failures != ("context",) for way in config.ways_from(model.name))


def _key_of_ways(config: Configuration) -> Key:
    return {"short": ("routing", "fallbacks"), "litellm": ("router_settings", "fallbacks")}.get(
        config.kind, ("fallbacks",)
    )


def _breaker(config: Configuration) -> Iterator[Finding]:
    if config.breaker == "off":
        fix = "Use the full form of the spec, with guards.breaker.error_rate." if config.kind == "short" else None
        key = (*config.guards_key, "breaker") if config.kind != "litellm" else config.guards_key
        yield NO_BREAKER.found("medium", "there is no circuit breaker", config.place(key), fix=fix)
    elif config.breaker == "default":
        what = "cooldowns are LiteLLM's default (a few failures a minute, then a few seconds of rest)"
        yield NO_BREAKER.found("low", what, config.place(config.guards_key))


def _cannot_take(config: Configuration) -> Iterator[Finding]:
    for way in config.ways:
        to = config.model(way.model)
        if to is not None and (why := _why_not(config, way, to)):
            yield CANNOT_TAKE.found(
                "high", f"the fallback to {way.model} cannot take what it is for: {why}", config.place(way.key)
            )
    models = {model.name: model for model in config.models}
    for model in models.values():
        ways = config.ways_from(model.name)
        targets = [models[way.model] for way in ways if way.model in models and "context" not in way.failures]
        for modality in model.modalities or ():
            known = [one for one in targets if one.modalities is not None]
            if (
                modality != "text"
                and targets
                and known == targets
                and not any(modality in (one.modalities or ()) for one in targets)
            ):
                what = f"no fallback of {model.name} takes {modality}, which {model.name} does"
                yield CANNOT_TAKE.found("low", what, config.place(model.key))


def _why_not(config: Configuration, way: Way, to: Model) -> str:
    for modality in ("image", "audio"):
        if modality in way.requests and to.modalities is not None and modality not in to.modalities:
            return f"it does not take {modality}"
    if way.requests == ("long_context",) and to.window is not None and to.window <= config.long_tokens:
        return f"it reads {to.window:,} tokens, and a request is long from {config.long_tokens:,} on"
    source = None if way.source is None else config.model(way.source)
    windows = (to.window, None if source is None else source.window)
    if "context" in way.failures and source is not None and windows[0] is not None and windows[1] is not None:
        return (
            "" if windows[0] > windows[1] else f"it reads {windows[0]:,} tokens, {source.name} already {windows[1]:,}"
        )
    return ""


def _loops(config: Configuration) -> Iterator[Finding]:
    if config.kind != "litellm":
        return
    edges: dict[str, list[Way]] = {}
    for way in config.ways:
        if way.source is not None and way.failures != ("context",):
            edges.setdefault(way.source, []).append(way)
        if way.source == way.model:
            yield LOOP.found("medium", f"{way.model} is its own fallback", config.place(way.key))
    circle = _circle(edges)
    if circle:
        words = " -> ".join((*(way.source or "" for way in circle), circle[0].source or ""))
        limited = any(key[-1] == "max_fallbacks" for key in config.lines)
        yield LOOP.found(
            "low" if limited else "medium", f"fallbacks go in a circle: {words}", config.place(circle[-1].key)
        )


def _circle(edges: dict[str, list[Way]]) -> list[Way]:
    """Return the fallbacks of one circle of at least two models; none where there is none."""
    done: set[str] = set()

    def walk(name: str, path: list[Way]) -> list[Way]:
        names = [way.source for way in path]
        if name in names:
            return path[names.index(name) :]
        if name in done:
            return []
        for way in edges.get(name, []):
            if way.model != name and (found := walk(way.model, [*path, way])):
                return found
        done.add(name)
        return []

    return next((found for name in edges if (found := walk(name, []))), [])


def _retries(config: Configuration) -> Iterator[Finding]:
    most, of = 0, ""
    for model in config.models:
        ways = len(
            {way.model for way in config.ways_from(model.name) if way.failures in {(), ("error",), ("timeout",)}}
        )
        ways = ways if config.most_ways is None else min(ways, config.most_ways)
        each = config.retries + 1
        # pointsman counts retries over all attempts of a request, LiteLLM over each model's.
        attempts = each * (ways + 1) if config.kind == "litellm" else each + ways
        if attempts > most:
            most, of = attempts, model.name
    if most > _MANY_ATTEMPTS:
        key = (*config.guards_key, "num_retries" if config.kind == "litellm" else "retry_policy")
        yield RETRIES_MULTIPLY.found(
            "medium",
            f"a request to {of} may be tried {most} times",
            config.place(key),
            [Measure("attempts", most)],
        )


def _budget(config: Configuration) -> Iterator[Finding]:
    if not config.budget:
        yield NO_BUDGET.found("low", "nothing limits what is spent", config.place(config.guards_key))
