"""Checks of a configuration's routing: does anything choose, can every rule apply, what does a useless answer cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.audit.check import Check
from pointsman.audit.finding import Measure
from pointsman.profile.finding import named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.audit.configuration import Configuration
    from pointsman.audit.finding import Finding

__all__ = ["ROUTING_CHECKS", "routing_findings"]

_FRUGAL = "Chen, Zaharia, Zou 2023, FrugalGPT (arXiv 2305.05176)"
_DEAR = 2.0
"""A model this many times as dear as the cheapest is dear."""

ONE_MODEL = Check(
    "one-model",
    "configuration",
    "Everything goes to one model",
    "Every greeting pays the price and waits the time of the hardest question, and one outage stops everything.",
    "The models that routes, tiers, pins, aliases and the default can reach, counted.",
    "one",
    "Add a cheaper candidate and let traces say which requests it serves: pointsman fit.",
    _FRUGAL,
)
NO_THRESHOLDS = Check(
    "no-thresholds",
    "configuration",
    "Nothing says which request needs which model",
    "Whoever writes the client chooses the model, mostly the biggest, and nobody sees what that costs.",
    "Whether any rule, tier, classifier or threshold looks at the request.",
    "none",
    "Route by content: pointsman fit learns the thresholds, pointsman export writes them for the gateway.",
    "Ong et al. 2024, RouteLLM (arXiv 2406.18665)",
)
DEAR_DEFAULT = Check(
    "dear-default",
    "configuration",
    "The default or safe model is a dear one",
    "What no rule places is mostly easy, and in an emergency everything goes there at once: the bill is that of the "
    "dear model exactly when nobody looks.",
    "Price of the default and of the safe model (input and output rate added) over the cheapest candidate's.",
    f"{_DEAR:g} times the cheapest",
    "Make the cheapest model that serves most requests the default, and send up what needs more.",
    _FRUGAL,
)
NO_SAFE_MODEL = Check(
    "no-safe-model",
    "configuration",
    "No safe model",
    "When a classifier or a model misbehaves there must be one word that sends everything to a known place.",
    "Whether the configuration names one that is a candidate.",
    "none",
    "Name a candidate under safe_model: the kill-switch and requests that nobody can take go there.",
    "Beyer et al. 2016, Site Reliability Engineering, ch. 22 (Addressing Cascading Failures)",
)
UNREACHABLE = Check(
    "unreachable-rule",
    "configuration",
    "A rule that can never apply",
    "Somebody relies on it; it does nothing, and no error will ever say so.",
    "Rules that an earlier or stronger rule always takes, conditions that cannot hold, bounds in the wrong order, "
    "fallbacks past the number that is tried.",
    "one",
    "Remove it, or put it before the rule that hides it.",
    "Al-Shaer, Hamed 2004, Discovery of policy anomalies in distributed firewalls (INFOCOM): shadowed rules",
)
UNKNOWN_MODEL = Check(
    "unknown-model",
    "configuration",
    "A rule names a model that is not configured",
    "The rule fails on the day that it is needed.",
    "Names in routes and fallbacks that no model of the file has.",
    "one",
    "Correct the name, or add the model.",
    "LiteLLM documentation, Retries, fallbacks and cooldowns",
)
FREE_FAILURE = Check(
    "free-failure",
    "configuration",
    "Useless answers cost nothing",
    "On cost per useful response the cheapest model always wins when failures are free.",
    "Whether usefulness is constrained (constraints.useful_rate) or a useless answer priced "
    "(objective.useless_response_usd).",
    "neither",
    "Say what a useless answer costs under objective.useless_response_usd, or constrain constraints.useful_rate.",
    "Amodei et al. 2016, Concrete Problems in AI Safety (arXiv 1606.06565): reward hacking",
)
BROKEN = Check(
    "breaks-schema",
    "configuration",
    "The file breaks its own schema",
    "It is refused, or half of it is passed over.",
    "The spec is parsed as fit parses it.",
    "any fault",
    "Correct what the message names.",
    "policies/pointsman/spec.py",
)
ROUTING_CHECKS = (
    ONE_MODEL,
    NO_THRESHOLDS,
    DEAR_DEFAULT,
    NO_SAFE_MODEL,
    UNREACHABLE,
    UNKNOWN_MODEL,
    FREE_FAILURE,
    BROKEN,
)


def routing_findings(config: Configuration) -> Iterator[Finding]:
    """Yield what is wrong with the routing of a configuration."""
    for topic in (_one_model, _no_thresholds, _dear_default, _safe_model, _unreachable, _unknown, _free, _broken):
        yield from topic(config)


def _one_model(config: Configuration) -> Iterator[Finding]:
    names = {model.name for model in config.models}
    pinned = next((route for route in config.routes if route.requests in {"everything", "text"}), None)
    if pinned is not None and {route.model for route in config.routes} == {pinned.model}:
        of = "everything goes" if pinned.requests == "everything" or len(names) < 2 else "every text request goes"
        yield ONE_MODEL.found("high", f"{of} to {pinned.model}", config.place(pinned.key))
        return
    routes = (*config.routes, *([config.default] if config.default else []))
    reached = {route.model for route in routes}
    if config.chosen_by in {"learned", "client"} or not reached:
        reached |= names
    if config.kind == "short":
        # There, conditions of fallbacks are all that tells requests apart.
        reached |= {way.model for way in config.ways if way.requests or way.within_ms}
    if len(reached) == 1:
        only = next(iter(reached))
        key = routes[0].key if routes else config.models[0].key
        yield ONE_MODEL.found("high", f"everything goes to {only}", config.place(key))


def _no_thresholds(config: Configuration) -> Iterator[Finding]:
    if len(config.models) < 2:
        return  # one-model says it
    if config.chosen_by == "client":
        what = "no rule looks at the request: each client names its own model"
        yield NO_THRESHOLDS.found("medium", what, config.place(config.models[0].key))
    elif config.chosen_by == "nobody":
        what = "no threshold or condition says which request needs which model"
        key = config.default.key if config.default else ("rule",)
        yield NO_THRESHOLDS.found("medium", what, config.place(key))


def _dear_default(config: Configuration) -> Iterator[Finding]:
    prices = {model.name: model.price for model in config.models if model.price is not None}
    cheapest = min(prices, key=lambda name: prices[name]) if prices else None
    told: set[str] = set()
    for words, route in (("default", config.default), ("safe model", config.safe)):
        if route is None or cheapest is None or route.model not in prices or route.model in told:
            continue
        times = prices[route.model] / prices[cheapest] if prices[cheapest] > 0 else float("inf")
        if prices[route.model] > 0 and times >= _DEAR:
            told.add(route.model)
            yield DEAR_DEFAULT.found(
                "medium",
                f"the {words} {route.model} is {times:.3g} times as dear as {cheapest}",
                config.place(route.key),
                [Measure("times the price of the cheapest", times, unit="ratio")],
            )


def _safe_model(config: Configuration) -> Iterator[Finding]:
    if not config.needs_safe:
        return
    if config.safe is None:
        yield NO_SAFE_MODEL.found("high", "there is no safe model", config.place(("safe_model",)))
    elif config.model(config.safe.model) is None:
        known = named([model.name for model in config.models], 6)
        what = f"the safe model {config.safe.model} is no candidate (there are {known})"
        yield NO_SAFE_MODEL.found("high", what, config.place(config.safe.key))


def _unreachable(config: Configuration) -> Iterator[Finding]:
    for key, sentence in [*config.unreachable, *_shadowed(config)]:
        yield UNREACHABLE.found("medium", sentence, config.place(key))


def _shadowed(config: Configuration) -> Iterator[tuple[tuple[str, ...], str]]:
    """Give fallbacks that never come into play."""
    timeouts = [model.timeout_ms for model in config.models]
    for at, way in enumerate(config.ways):
        for before in config.ways[:at]:
            same = before.model == way.model and before.source in {None, way.source}
            wider = not before.requests or set(way.requests) <= set(before.requests) != set()
            sooner = not before.failures or set(way.failures) <= set(before.failures) != set()
            longer = before.within_ms is None or (way.within_ms is not None and way.within_ms <= before.within_ms)
            # LiteLLM keeps a list for each kind of failure; in ours one list serves all.
            same = same and (config.kind != "litellm" or before.failures == way.failures)
            if same and wider and sooner and longer and (way.requests or not before.requests):
                yield way.key, f"the fallback to {way.model} stands behind one to the same model that always applies"
                break
        if way.within_ms is not None and way.failures == ("timeout",) and None not in timeouts and timeouts:
            shortest = min(timeout for timeout in timeouts if timeout is not None)
            if way.within_ms <= shortest:
                words = f"at the earliest timeout ({shortest:,.0f} ms) the {way.within_ms:,.0f} ms are over"
                yield way.key, f"the fallback to {way.model} after a timeout never applies: {words}"
    if config.most_ways is not None:
        counted: dict[str | None, int] = {}
        for way in config.ways:
            if way.failures in {(), ("error",)} and config.kind == "litellm":
                counted[way.source] = counted.get(way.source, 0) + 1
                if counted[way.source] == config.most_ways + 1:
                    of = way.source or "any model"
                    yield way.key, f"fallbacks of {of} from {way.model} on are not tried: {config.most_ways} are"


def _unknown(config: Configuration) -> Iterator[Finding]:
    known = {model.name for model in config.models}
    entries = list(config.dangling)
    if config.kind in {"spec", "policy"}:
        entries += [(one.key, one.model) for one in config.routes if one.model not in known]
        entries += [(one.key, one.model) for one in config.ways if one.model not in known]
    for key, name in dict.fromkeys(entries):
        yield UNKNOWN_MODEL.found("high", f"{name} is named, but no model is called so", config.place(key))


def _free(config: Configuration) -> Iterator[Finding]:
    if config.free_useless:
        what = "useless answers are free: the cheapest model always wins"
        key = ("objective",) if config.kind == "spec" else config.guards_key
        fix = None if config.kind == "spec" else f"Use the full form of the spec. {FREE_FAILURE.fix}"
        yield FREE_FAILURE.found("medium", what, config.place(key), fix=fix)


def _broken(config: Configuration) -> Iterator[Finding]:
    if config.broken:
        head = f"{config.file}: "
        first, found, rest = config.broken.partition(": ")
        said = rest if found and first.startswith(config.file) else config.broken.removeprefix(head)
        yield BROKEN.found("high", f"the spec is not valid: {said}", config.place(()))
