"""What a request asked: the last message of the user, the modality, and how much stood around it.

One function for the ways in which sources write messages: chat messages (OpenAI, Anthropic, Gemini), the ``parts`` of
the OpenTelemetry GenAI conventions, a plain text, an object that holds any of these, or the JSON text of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pointsman.readers.fields import parsed_texts

__all__ = ["Asked", "asked"]

_HOLDERS = ("messages", "input", "contents", "prompt", "query", "question", "inputs", "text", "kwargs", "value")
_USERS = frozenset({"user", "human"})
_ROLES = frozenset({"human", "ai", "system", "tool", "function_call_output"})
_RETURNED = ("tool_result", "tool_call_response", "function_response")
_IMAGE, _AUDIO = "image", "audio"
_BARE = frozenset({"role", "content", "parts", "name", "finish_reason", "tool_call_id"})
"""Keys of a message that carries nothing beside its content."""


@dataclass(frozen=True)
class Asked:
    """The request that a list of messages makes.

    Attributes
    ----------
    prompt : str or None
        Text of the last message of the user; None where there is none.
    modality : str
        ``image`` or ``audio`` where the last message of the user carries one, else ``text``.
    around : float
        Share of all characters that stands outside that message: system instructions, history, documents.
    """

    prompt: str | None = None
    modality: str = "text"
    around: float = 0.0

    def context_tokens(self, input_tokens: int | None) -> int | None:
        """Return the tokens beyond the prompt: the share of the characters times the tokens read."""
        return None if input_tokens is None or self.prompt is None else round(self.around * input_tokens)


def asked(messages: Any, *before: Any) -> Asked:
    """Read messages of any known layout; `before` holds what else the model read (system instructions)."""
    try:
        return _asked(messages, before)
    except RecursionError:  # nested beyond what anybody asks
        return Asked()


def _asked(messages: Any, before: tuple[Any, ...]) -> Asked:
    turns = _turns(parsed_texts(messages))
    users = [index for index, turn in enumerate(turns) if turn[0] in _USERS]
    if not users:
        users = [index for index, (role, said, _) in enumerate(turns) if role == "" and said.strip()]
    if not users:
        return Asked()
    _, prompt, modality = turns[users[-1]]
    if modality == "text" and not prompt.strip():
        return Asked()
    around = sum([len(said) for _, said, _ in turns]) - len(prompt)
    for one in before:
        if one is not None:
            around += len(_text(parsed_texts(one))[0])
    return Asked(prompt, modality, around / (around + len(prompt)) if around else 0.0)


def _turns(held: Any) -> list[tuple[str, str, str]]:
    """Return (role, text, modality) of each message; the role of a bare text is ""."""
    if isinstance(held, str):
        return [("", held, "text")]
    if isinstance(held, list | tuple):
        # LangChain logs a batch: a list of lists of messages.
        return [turn for one in held for turn in _turns(one)]
    if not isinstance(held, dict):
        return []
    if "role" not in held:
        held = {str(key).removeprefix("message."): value for key, value in held.items()}
    if "role" in held or "type" in held or "parts" in held or "content" in held:
        return [(_role(held), *_text(held))]
    system = [("system", *_text(parsed_texts(held["system"])))] if held.get("system") is not None else []
    for key in _HOLDERS:
        if held.get(key) is not None:
            return system + _turns(parsed_texts(held[key]))
    return system


def _role(message: dict[str, Any]) -> str:
    role = message.get("role")
    if not isinstance(role, str):
        kind = message.get("type")
        role = kind if isinstance(kind, str) and kind in _ROLES else ""
    role = role.lower()
    # What a tool returns comes back in the user's name (Anthropic); it is no question.
    content = parsed_texts(message.get("content", message.get("parts")))
    return "tool" if isinstance(content, list) and _is_returned(content) else role


def _is_returned(parts: list[Any]) -> bool:
    """Tell whether all parts of a message are what tools returned."""
    returned = False
    for part in parts:
        if isinstance(part, dict):
            if part.get("type") not in _RETURNED:
                return False
            returned = True
    return returned


def _text(held: Any) -> tuple[str, str]:
    """Return the text and the modality of a message, of its content, or of one part."""
    if isinstance(held, str):
        return held, "text"
    if isinstance(held, list | tuple):
        both = [_text(one) for one in held]
        if len(both) == 1:
            return both[0]
        words = "\n".join(said for said, _ in both if said)
        kinds = {kind for _, kind in both}
        return words, _IMAGE if _IMAGE in kinds else _AUDIO if _AUDIO in kinds else "text"
    if isinstance(held, dict):
        if held.get("type") == "text" and isinstance(said := held.get("text", held.get("content")), str):
            return said, "text"
        if held.keys() <= _BARE and (inner := held.get("content", held.get("parts"))) is not None:
            return _text(inner)
        held = {str(key).removeprefix("message_content."): value for key, value in held.items()}
        for key in ("text", "content", "parts", "contents", "kwargs", "value", "result", "response"):
            if held.get(key) is not None and not isinstance(held[key], bool | int | float):
                said, kind = _text(held[key])
                carried = "text" if key == "text" else _carried(held)
                # A message may hold pictures beside its text (Ollama); in one part, what is no text is data.
                return (said, kind) if carried == "text" else (said if "role" in held else "", carried)
        return "", _carried(held)
    return "", "text"


def _carried(part: dict[str, Any]) -> str:
    """Tell the modality of one part of a message."""
    marks = " ".join(str(part.get(key, "")) for key in ("type", "modality", "mime_type", "media_type")).lower()
    marks += " " + " ".join(str(key).lower() for key in part)
    source = part.get("inline_data") or part.get("inlineData") or part.get("source") or part.get("file_data")
    if isinstance(source, dict):
        marks += " " + str(source.get("mime_type") or source.get("mimeType") or source.get("media_type") or "").lower()
    return _IMAGE if "image" in marks else _AUDIO if "audio" in marks else "text"
