"""What a chat request asks, read from its decoded body: the user's last message, its modality, what stands around it.

Standard library only. Chat completions, completions and responses of the OpenAI API, messages of the Anthropic API. The
prompt is the one that ``pointsman ingest`` reads from traces of such requests: the router sees what was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["BYTES_PER_TOKEN", "ChatRequest", "read_chat"]

BYTES_PER_TOKEN = 4
"""Of UTF-8 text; a rough figure over languages and tokenizers."""

_DEEPEST = 8
_RETURNED = frozenset({"tool_result", "tool_call_response", "function_response", "function_call_output"})


class ChatRequest(NamedTuple):
    """What the router wants to know of a request.

    Attributes
    ----------
    prompt : str
        Text of the user's last message; "" where there is none.
    modality : str
        ``image`` or ``audio`` where that message carries one, else ``text``.
    context_tokens : int
        System instructions and history, in bytes over `BYTES_PER_TOKEN`.
    """

    prompt: str = ""
    modality: str = "text"
    context_tokens: int = 0


class _Turn(NamedTuple):
    role: str
    text: str
    modality: str


def read_chat(body: Mapping[str, Any]) -> ChatRequest:
    """Return what a request asks; of a layout that is not known, what can be read, and no error."""
    held = next((body[key] for key in ("messages", "input", "prompt") if body.get(key) is not None), None)
    turns = [_turn(one) for one in held] if isinstance(held, list | tuple) else [_turn(held)]
    asking = [index for index, turn in enumerate(turns) if turn.role == "user"]
    if not asking:
        asking = [index for index, turn in enumerate(turns) if turn.role == "" and turn.text]
    last = asking[-1] if asking else -1
    around = [turn.text for index, turn in enumerate(turns) if index != last]
    around += [_content(body[key], 0)[0] for key in ("system", "instructions") if body.get(key) is not None]
    tokens = sum(len(text.encode("utf-8", "replace")) for text in around) // BYTES_PER_TOKEN
    if not asking:
        return ChatRequest(context_tokens=tokens)
    return ChatRequest(turns[last].text, turns[last].modality, tokens)


def _turn(message: Any) -> _Turn:
    if not isinstance(message, Mapping):
        return _Turn("", *_content(message, 0))
    role, kind = message.get("role"), message.get("type")
    content = message.get("content", message.get("output"))
    if isinstance(content, list) and content:
        kinds = {part.get("type") for part in content if isinstance(part, Mapping)}
        # What a tool returns comes back in the user's name (Anthropic); it is no question.
        if kinds and kinds <= _RETURNED:
            return _Turn("tool", *_content(content, 0))
    if isinstance(role, str):
        return _Turn(role.lower(), *_content(content, 0))
    if content is None:
        return _Turn("", *_content(message, 0))
    return _Turn("tool" if kind in _RETURNED else "", *_content(content, 0))


def _content(held: Any, depth: int) -> tuple[str, str]:
    """Return the text and the modality of a message's content, or of a part of it."""
    if isinstance(held, str):
        return held, "text"
    if depth < _DEEPEST and isinstance(held, list | tuple):
        parts = [_content(part, depth + 1) for part in held]
        found = {modality for _, modality in parts}
        modality = "image" if "image" in found else "audio" if "audio" in found else "text"
        return "\n".join(text for text, _ in parts if text), modality
    if depth < _DEEPEST and isinstance(held, Mapping):
        text = held.get("text")
        if isinstance(text, str):
            return text, "text"
        if held.get("type") in _RETURNED:
            return _content(held.get("content", held.get("output")), depth + 1)
        return "", _carried(held)
    return "", "text"


def _carried(part: Mapping[str, Any]) -> str:
    """Tell the modality of a part that is no text: by its type, its keys, or the media type of its data."""
    marks = [str(part.get("type", "")), *map(str, part)]
    for key in ("source", "file", "inline_data"):
        inner = part.get(key)
        if isinstance(inner, Mapping):
            marks += [str(inner.get(name, "")) for name in ("media_type", "mime_type", "format", "file_data")]
    words = " ".join(mark[:100] for mark in marks).lower()
    return "image" if "image" in words else "audio" if "audio" in words else "text"
