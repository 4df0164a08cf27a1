"""What a comparison comes to, in words: where the later policy stands, and what speaks against it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointsman.evidence import compare
from pointsman.report import percent, points

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["reasons_against", "standing", "verdict"]

NAMED = 5
"""Intents that a sentence names at most."""


def standing(report: Mapping[str, Any]) -> str:
    """Return ``same``, ``ahead``, ``behind`` or ``level``: in net value, or where no price is known, side by side.

    Without a price, ahead is who is proven more useful or cheaper and not proven worse in the other.
    """
    change = report["change"]
    if report["moved"]["requests"] == 0 and not _differs(report):
        return "same"
    if change.get("net_value_usd") is not None:
        return compare(change)
    useful, cost = change["useful_rate"], change["cost_usd"]
    better = _proven(useful, 1) or _proven(cost, -1)
    worse = _proven(useful, -1) or _proven(cost, 1)
    return "level" if better == worse else "ahead" if better else "behind"


def reasons_against(report: Mapping[str, Any]) -> list[str]:
    """Return, in words, what speaks against the later policy; empty where nothing is proven against it."""
    found = []
    off_policy = report["off_policy"]
    if off_policy is not None and not off_policy["tellable"]:
        found.append(f"the logs cannot tell: {off_policy['reasons'][0]}")
    if report["stands"] == "behind":
        found.append("its net value is lower" if report["useful_value_usd"] is not None else "it is worse")
    found += [f"{one['name']} does not hold" for one in report["constraints"] if one["verdict"] == "broken"]
    lost = [one for one in report["intents"] if one["stands"] == "less useful"]
    if lost:
        named = [
            f"{one['intent']} ({points(one['change']['useful_rate'])} on {one['requests']:,})" for one in lost[:NAMED]
        ]
        more = f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
        found.append(f"proven less useful in {', '.join(named)}{more}")
    return found


def verdict(report: Mapping[str, Any]) -> str:
    """Return the first line: where the later policy stands, what changes, for how many, and what speaks against it."""
    names, change, moved = report["names"], report["change"], report["moved"]
    before, after, requests = names["before"], names["after"], report["requests"]
    if report["stands"] == "same":
        return f"{after} decides all {requests:,} requests as {before} does: nothing changes."
    lead = {
        "ahead": f"{after} is better than {before}",
        "behind": f"{after} is WORSE than {before}",
        "level": f"{after} is level with {before}, neither is proven better",
    }[report["stands"]]
    parts = [f"useful {points(change['useful_rate'])}", f"cost {percent(change['cost_usd'])}"]
    if change["p95_ms"] is not None:
        parts.append(f"P95 {percent(change['p95_ms'])}")
    text = f"{lead}: {', '.join(parts)}; {moved['requests']:,} of {requests:,} unseen requests go elsewhere"
    if report["off_policy"] is not None:
        text += ", estimated from logs"
    against = report["against"]
    return f"{text}. AGAINST IT: {'; '.join(against)}." if against else f"{text}."


def _differs(report: Mapping[str, Any]) -> bool:
    """Tell whether fallbacks or timeouts make a difference though every first choice is the same."""
    keys = ("useful_rate", "cost_usd", "p95_ms")
    return any(report["before"][key] != report["after"][key] for key in keys)


def _proven(entry: Mapping[str, float] | None, sign: int) -> bool:
    if entry is None:
        return False
    return entry["low"] > 0 if sign > 0 else entry["high"] < 0
