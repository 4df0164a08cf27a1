"""What an LLM request's body asks, and the body with another model's name; all its other bytes stay as they were.

Standard library only.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from pointsman.gateways.chat_request import ChatRequest, read_chat

__all__ = ["PATHS", "LlmRequest", "UnreadableError", "read_request", "renamed"]

PATHS = ("/chat/completions", "/completions", "/responses", "/messages")
"""How the paths of requests end that are routed; all others pass."""

_ASKING = ("messages", "input", "prompt")
_SPACE = re.compile(r"[ \t\n\r]*")


class UnreadableError(ValueError):
    """A body is no LLM request: the message says why, without a word of the body."""


@dataclass(frozen=True)
class LlmRequest:
    """What a body asks.

    Attributes
    ----------
    chat : ChatRequest
    model : str or None
        As the body names it.
    names : tuple of (int, int)
        Where the text of the body has the model's name, quotes included.
    start : int
        Where the first member of the body begins.
    text : str
        The body.
    """

    chat: ChatRequest
    model: str | None
    names: tuple[tuple[int, int], ...]
    start: int
    text: str


def read_request(body: bytes) -> LlmRequest:
    """Read a body.

    Raises
    ------
    UnreadableError
        Where it is no JSON object in UTF-8, or has no messages, input or prompt.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableError("the body is not UTF-8") from error
    try:
        members, names, start = _members(text)
    except (ValueError, IndexError, RecursionError) as error:
        raise UnreadableError("the body is not a JSON object") from error
    if all(members.get(key) is None for key in _ASKING):
        raise UnreadableError(f"the body has none of {', '.join(_ASKING)}")
    model = members.get("model")
    return LlmRequest(
        chat=read_chat(members),
        model=model if isinstance(model, str) else None,
        names=tuple(names),
        start=start,
        text=text,
    )


def renamed(request: LlmRequest, model: str) -> bytes:
    """Return the body with that model's name, put in where it had none."""
    name = json.dumps(model)
    if not request.names:
        empty = request.text[request.start] == "}"
        added = f'"model":{name}' + ("" if empty else ",")
        return (request.text[: request.start] + added + request.text[request.start :]).encode()
    parts, at = [], 0
    for start, stop in request.names:
        parts += [request.text[at:start], name]
        at = stop
    return "".join([*parts, request.text[at:]]).encode()


def _members(text: str) -> tuple[dict[str, Any], list[tuple[int, int]], int]:
    """Return an object's members, where its ``model`` stands, and where its first member begins."""
    members: dict[str, Any] = {}
    names: list[tuple[int, int]] = []
    at = _after(text, 0)
    if text[at] != "{":
        raise ValueError("no object")
    start = at = _after(text, at + 1)
    closed = text[at] == "}"
    while not closed:
        if text[at] != '"':
            raise ValueError("no key")
        key, at = _DECODER.raw_decode(text, at)
        at = _after(text, at)
        if text[at] != ":":
            raise ValueError("no value")
        begin = _after(text, at + 1)
        members[key], at = _DECODER.raw_decode(text, begin)
        if key == "model":
            names.append((begin, at))
        at = _after(text, at)
        if text[at] not in ",}":
            raise ValueError("no end of a member")
        closed = text[at] == "}"
        at = at if closed else _after(text, at + 1)
    if _after(text, at + 1) != len(text):
        raise ValueError("more than one value")
    return members, names, start


def _after(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant, parse_int=float)
"""Numbers are read by nobody here, and a whole one of thousands of digits is none that Python takes."""
