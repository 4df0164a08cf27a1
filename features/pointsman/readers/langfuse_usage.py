"""What a Langfuse observation used: tokens by bucket, dollars, time to the first token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointsman.readers.fields import at, mapping, microseconds, number, whole
from pointsman.readers.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["cost", "first_token", "tokens"]

_TO_CACHE = ("creation", "write", "ephemeral")
_REASONED = ("reasoning", "thought", "thinking")
_READ, _WROTE = ("input", "prompt", "cache"), ("output", "completion", "candidates", *_REASONED)


def tokens(record: Mapping[str, Any]) -> Usage:
    """Read the usage details, or the older ``usage`` and flat counts."""
    found = _buckets(mapping(at(record, "usageDetails", "usage_details")))
    if found.read is not None or found.wrote is not None:
        return found
    usage = mapping(record.get("usage"))
    if str(usage.get("unit") or "TOKENS").upper() != "TOKENS":
        return Usage()
    read = whole(at(usage, "input", "promptTokens", "prompt_tokens"))
    wrote = whole(at(usage, "output", "completionTokens", "completion_tokens"))
    if read is None and wrote is None:
        read = whole(at(record, "inputUsage", "promptTokens", "inputTokens", "prompt_tokens", "input_tokens"))
        wrote = whole(
            at(record, "outputUsage", "completionTokens", "outputTokens", "completion_tokens", "output_tokens")
        )
    # Langfuse writes 0 where it does not know; a model never read nothing and wrote nothing.
    return Usage(read=read, wrote=wrote) if read or wrote else Usage()


def _buckets(details: Mapping[str, Any]) -> Usage:
    """Add up the usage types.

    Langfuse's rule (usage details contract): each token is counted under one key only, so ``input`` leaves out
    ``input_cached_tokens`` and ``output`` leaves out ``output_reasoning_tokens``. Integrations that pass the provider's
    inclusive counts on break it; they show in ``total``, which then is the sum of the plain keys alone.
    """
    inside: dict[str, int] = {}
    outside: dict[str, int] = {}
    for key, value in details.items():
        count, name = whole(value), str(key).lower()
        # Langchain's service tier says again what is counted already.
        if count is None or count < 0 or "priority" in name or "total" in name:
            continue
        if any(mark in name for mark in _WROTE):
            outside[name] = count
        elif any(mark in name for mark in _READ):
            inside[name] = count
    total = whole(at(details, "total", "total_tokens"))
    read, wrote = sum(inside.values()), sum(outside.values())
    plain_read = _first(inside, "input", "input_tokens", "prompt_tokens")
    plain_wrote = _first(outside, "output", "output_tokens", "completion_tokens")
    if total is not None and total != read + wrote:
        for one, other in ((plain_read, plain_wrote), (plain_read, wrote), (read, plain_wrote)):
            if one is not None and other is not None and one + other == total:
                read, wrote = one, other
                break
    return Usage(
        read=read if inside else None,
        wrote=wrote if outside else None,
        cached=_part(inside, ("cache",), but=_TO_CACHE),
        written=_part(inside, _TO_CACHE),
        reasoning=_part(outside, _REASONED),
    )


def _first(counts: Mapping[str, int], *names: str) -> int | None:
    return next((counts[name] for name in names if name in counts), None)


def _part(counts: Mapping[str, int], marks: tuple[str, ...], but: tuple[str, ...] = ()) -> int | None:
    found = [
        count
        for name, count in counts.items()
        if any(mark in name for mark in marks) and not any(mark in name for mark in but)
    ]
    return sum(found) if found else None


def cost(record: Mapping[str, Any]) -> float | None:
    """Return the dollars of the observation; ``totalPrice`` is a price per unit, and is not read."""
    details = mapping(at(record, "costDetails", "cost_details"))
    parts = {key: number(value) for key, value in details.items()}
    known = {key: dollars for key, dollars in parts.items() if dollars is not None}
    if "total" in known:
        return _dollars(known["total"])
    if known:
        return _dollars(sum(known.values()))
    usage = mapping(record.get("usage"))
    names = ("totalCost", "total_cost", "calculatedTotalCost", "calculated_total_cost")
    # Without details a cost of 0 is Langfuse's way to write that it knows no price.
    return _dollars(number(at(record, *names)) or number(at(usage, "totalCost", "total_cost")) or None)


def _dollars(found: float | None) -> float | None:
    return found if found is not None and found >= 0 else None


def first_token(record: Mapping[str, Any], start: int, end: int | None) -> float | None:
    """Return the milliseconds to the first token: of the two times, else as told."""
    when = microseconds(at(record, "completionStartTime", "completion_start_time"))
    if when is not None:
        return (when - start) / 1e3 if when >= start else None
    told = number(at(record, "timeToFirstToken", "time_to_first_token"))
    if told is None or told < 0:
        return None
    # Seconds; milliseconds in older exports, which shows where the first token would come after the last.
    return told if end is not None and told * 1e6 > end - start else told * 1e3
