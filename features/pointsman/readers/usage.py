"""What a provider's answer says it read and wrote: token counts of the layouts that gateways keep as they came.

OpenAI (chat, completions, responses) counts cached tokens within the input; Anthropic leaves them out; Gemini counts
them within the input and reasoning beside the output. All become the same five numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pointsman.readers.fields import at, parsed, whole

__all__ = ["Usage", "body_usage", "usage"]


class Usage(NamedTuple):
    """Token counts of one answer; None is «not told».

    Attributes
    ----------
    read : int or None
        All input, tokens from a prompt cache and tokens written to one included.
    cached, written : int or None
        The part of it that came from the cache, or was written to it.
    wrote : int or None
        All output, reasoning included.
    reasoning : int or None
    """

    read: int | None = None
    cached: int | None = None
    written: int | None = None
    wrote: int | None = None
    reasoning: int | None = None


_NONE = Usage()
_PLACES = ("usage", "usageMetadata", "response.usage", "message.usage")


def usage(held: Any) -> Usage:
    """Read a usage object of OpenAI, Anthropic or Gemini layout, or what a gateway made of one."""
    if not isinstance(held, Mapping):
        return _NONE
    if "promptTokenCount" in held or "candidatesTokenCount" in held:
        return _gemini(held)
    inside = held.get("prompt_tokens_details") or held.get("input_tokens_details")
    outside = held.get("completion_tokens_details") or held.get("output_tokens_details")
    read = _first(held, "prompt_tokens", "input_tokens")
    cached = _first(held, "cache_read_input_tokens", "prompt_cache_hit_tokens")
    written = _first(held, "cache_creation_input_tokens")
    # Only Anthropic's own layout has an input count beside cache counts that it leaves out.
    apart = "prompt_tokens" not in held and not isinstance(inside, Mapping) and "input_tokens" in held
    if isinstance(inside, Mapping):
        cached = _first(inside, "cached_tokens") if cached is None else cached
        told = _first(inside, "cache_write_tokens", "cache_creation_tokens")
        written = told if written is None else written
    if read is not None and (apart or (cached or 0) + (written or 0) > read):
        read += (cached or 0) + (written or 0)
    return Usage(
        read,
        cached,
        written,
        _first(held, "completion_tokens", "output_tokens"),
        _first(outside, "reasoning_tokens") if isinstance(outside, Mapping) else None,
    )


def body_usage(body: Any) -> Usage:
    """Read the usage within an answer of a provider: its JSON, or the events of a stream as text."""
    held = parsed(body)
    return usage(_streamed(held) if isinstance(held, str) and "data:" in held else at(held, *_PLACES))


def _gemini(held: Mapping[str, Any]) -> Usage:
    thought = whole(held.get("thoughtsTokenCount"))
    said = whole(held.get("candidatesTokenCount"))
    wrote = None if said is None else said + (thought or 0)
    return Usage(whole(held.get("promptTokenCount")), whole(held.get("cachedContentTokenCount")), None, wrote, thought)


def _first(held: Mapping[str, Any], *keys: str) -> int | None:
    for key in keys:
        value = held.get(key)
        if value is not None and (found := whole(value)) is not None:
            return found
    return None


def _streamed(stream: str) -> dict[str, Any]:
    """Return what the events of a stream tell together: Anthropic counts the input first and the output last."""
    told: dict[str, Any] = {}
    for line in stream.splitlines():
        if line.startswith("data:") and "sage" in line:
            held = at(parsed(line[5:].strip()), *_PLACES)
            if isinstance(held, Mapping):
                told.update({str(key): value for key, value in held.items() if value is not None})
    return told
