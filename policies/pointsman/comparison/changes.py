"""What was changed between two policies, in words: candidates, prices, intents, thresholds, fixed rules, guards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointsman.errors import BundleError
from pointsman.rules import rule_from_dict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pointsman.policy import Policy
    from pointsman.rules import Rule

__all__ = ["policy_changes", "set_back"]

_LIMITS = {
    "input_usd_per_mtok": "input price, USD per million tokens",
    "output_usd_per_mtok": "output price, USD per million tokens",
    "modalities": "modalities",
    "context_window": "context window, tokens",
    "timeout_ms": "timeout, ms",
    "concurrency": "requests at once",
}

_FIXED = {
    "safe_model": "safe model",
    "long_context": "long-context model",
    "long_context_tokens": "tokens above which a request counts as long",
}

_RULE = {
    "trust": "trust in the single prompt",
    "useful_value_usd": "value of a useful answer, USD",
    "late_cost_usd": "price of a late answer, USD",
    "max_p_late": "highest allowed probability of being late",
    "min_p_useful": "least P(useful) asked of",
    "shift": "change of what is asked in",
    "factor": "factor of the value in",
}


def policy_changes(before: Policy, after: Policy) -> list[dict[str, Any]]:
    """Return one entry for each change, in the order of importance to a reader.

    Returns
    -------
    list of dict
        ``kind``: candidates, prices, intents, rule, fixed, fallbacks or guards. ``what``: the thing that changed, in
        words. ``before`` and ``after``: its values; None for what was not there. ``text``: the whole in one sentence.
        ``path``: of a part of the rule, where it stands in policy.json; else None.
    """
    return [
        *_candidates(before, after),
        *_intents(before, after),
        *_rule(before, after),
        *_fixed(before, after),
        *_guards(before, after),
    ]


def set_back(after: Policy, before: Policy, path: str) -> Rule | None:
    """Return the later policy's rule with one part, or the whole, as it was before; None where that is no rule of it.

    Parameters
    ----------
    after, before : Policy
    path : str
        As in `policy_changes`; names may hold dots.
    """
    old, new = before.rule.to_dict(), after.rule.to_dict()
    _, _, inner = path.partition(".")
    if not inner:
        found = old
    else:
        key, _, name = inner.partition(".")
        values, was = new.get(key), old.get(key)
        if isinstance(values, dict) or name:
            if not isinstance(values, dict) or not isinstance(was, dict) or name not in values or name not in was:
                return None
            was = {**values, name: was[name]}
        elif was is None:
            return None
        found = {**new, key: was}
    try:
        rule = rule_from_dict(found)
        rule.check(after.models, after.intents)
    except BundleError:
        return None
    return rule


def _candidates(before: Policy, after: Policy) -> Iterator[dict[str, Any]]:
    old, new = ({one.name: one for one in policy.candidates} for policy in (before, after))
    for name in new:
        if name not in old:
            yield _entry("candidates", f"candidate {name}", None, name, f"New candidate {name}.")
    for name in old:
        if name not in new:
            yield _entry("candidates", f"candidate {name}", name, None, f"Candidate {name} is gone.")
    for name in new:
        if name not in old:
            continue
        for key, words in _LIMITS.items():
            was, now = getattr(old[name], key), getattr(new[name], key)
            if was != now:
                yield _entry("prices" if "usd" in key else "candidates", f"{name}: {words}", was, now)


def _intents(before: Policy, after: Policy) -> Iterator[dict[str, Any]]:
    for name in after.intents:
        if name not in before.intents:
            yield _entry("intents", f"intent {name}", None, name, f"New intent {name}.")
    for name in before.intents:
        if name not in after.intents:
            yield _entry("intents", f"intent {name}", name, None, f"Intent {name} is no longer told apart.")


def _rule(before: Policy, after: Policy) -> Iterator[dict[str, Any]]:
    old, new = before.rule.to_dict(), after.rule.to_dict()
    if old["kind"] != new["kind"]:
        kinds = old["kind"], new["kind"]
        text = f"Another family of rules: {kinds[0]} was, {kinds[1]} is; thresholds cannot be set side by side."
        yield _entry("rule", "family of rules", *kinds, text, path="rule")
        return
    for key in dict.fromkeys((*old, *new)):
        was, now = old.get(key), new.get(key)
        words = _RULE.get(key, key)
        if isinstance(was, dict) or isinstance(now, dict):
            tables: list[Mapping[str, Any]] = [value if isinstance(value, dict) else {} for value in (was, now)]
            for name in dict.fromkeys((*tables[0], *tables[1])):
                if tables[0].get(name) != tables[1].get(name) and key != "groups":
                    path = f"rule.{key}.{name}"
                    yield _entry("rule", f"{words} {name}", tables[0].get(name), tables[1].get(name), path=path)
        elif was != now:
            yield _entry("rule", words, was, now, path=f"rule.{key}")
    groups = old.get("groups"), new.get("groups")
    if groups[0] != groups[1]:
        yield _entry("rule", "groups of intents", *groups, "Intents are grouped otherwise.")


def _fixed(before: Policy, after: Policy) -> Iterator[dict[str, Any]]:
    for key, words in _FIXED.items():
        was, now = getattr(before, key), getattr(after, key)
        if was != now:
            yield _entry("fixed", words, was, now)
    for field, words in (("pinned_intents", "intent"), ("pinned_modalities", "modality")):
        old, new = getattr(before, field), getattr(after, field)
        for name in dict.fromkeys((*old, *new)):
            if old.get(name) != new.get(name):
                yield _entry("fixed", f"pin of {words} {name}", old.get(name), new.get(name))
    chains = [[_fallback(vars(one)) for one in policy.fallbacks] for policy in (before, after)]
    if chains[0] != chains[1]:
        yield _entry("fallbacks", "fallbacks", *(" → ".join(chain) or "none" for chain in chains))


def _guards(before: Policy, after: Policy) -> Iterator[dict[str, Any]]:
    old, new = (_flat(policy.guards.to_dict()) for policy in (before, after))
    for key in dict.fromkeys((*old, *new)):
        if old.get(key) != new.get(key):
            yield _entry("guards", f"guard {key}", old.get(key), new.get(key))


def _fallback(one: Mapping[str, Any]) -> str:
    when = f" when {', '.join(one['when'])}" if one["when"] else ""
    limit = f" within {one['cost_threshold_ms']:g} ms" if one["cost_threshold_ms"] is not None else ""
    return f"{one['model']}{when}{limit}"


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _entry(
    kind: str, what: str, before: Any, after: Any, text: str | None = None, path: str | None = None
) -> dict[str, Any]:
    before, after = (list(value) if isinstance(value, tuple) else value for value in (before, after))
    text = text or f"{what[:1].upper()}{what[1:]}: {_said(before)} → {_said(after)}{_relative(before, after)}."
    return {"kind": kind, "what": what, "before": before, "after": after, "text": text, "path": path}


def _said(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _relative(before: Any, after: Any) -> str:
    """Return a price's or a limit's change in per cent, where it is large enough to be told so."""
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (before, after))
    return f" ({100 * (after / before - 1):+.0f} %)" if numbers and before > 0 and after > 0 else ""
