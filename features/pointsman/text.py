"""What the classifier reads of a prompt: the same few steps in training, in the router, and in any port.

A prompt of any kind (bytes, broken UTF-8, control characters, a megabyte) becomes a short valid string; nothing
here raises. Lower-casing, accents and control characters are the tokenizer's business (its own ``tokenizer.json``).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Clip", "same_text", "valid_text"]

_SURROGATE = re.compile("[\ud800-\udfff]")


def valid_text(prompt: str | bytes | None) -> str:
    """Return `prompt` as a string that encodes to UTF-8: undecodable bytes and lone surrogates become U+FFFD."""
    if prompt is None:
        return ""
    if isinstance(prompt, str):
        return prompt if prompt.isascii() else _SURROGATE.sub("\ufffd", prompt)
    return bytes(prompt).decode("utf-8", errors="replace")


def same_text(prompt: str | bytes | None) -> str:
    """Return what equal prompts have in common: compatible letters (NFKC), no case, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", valid_text(prompt)).casefold().split())


@dataclass(frozen=True)
class Clip:
    """Keep the head and the tail of a long prompt: the ask stands at one of its ends, the paste between.

    Parameters
    ----------
    head, tail : int
        Code points (not bytes, not UTF-16 units) kept from each end. A prompt of at most ``head + tail`` code
        points passes unchanged; a longer one becomes head, one space, tail.
    """

    head: int = 400
    tail: int = 200

    def __call__(self, prompt: str | bytes | None) -> str:
        """Return the clipped, valid text of one prompt."""
        text = prompt if isinstance(prompt, str) else valid_text(prompt)
        if len(text) > self.head + self.tail:
            text = text[: self.head] + " " + text[len(text) - self.tail :]
        return valid_text(text)

    def many(self, prompts: Iterable[str | bytes | None]) -> list[str]:
        """Clip each prompt."""
        return [self(prompt) for prompt in prompts]
