"""Ways to say the same with other letters, or a little less or more: one function each, the same for the same seed."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CHANGING", "KINDS", "MEANING_KEPT", "perturbed"]

_NEAR = {
    **{a: b for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm") for a, b in zip(row, row[1:] + row[-2], strict=True)},
}
_WORD = re.compile(r"[^\W\d_]{4,}")


def _typos(text: str, rng: np.random.Generator) -> str:
    """Swap, drop, double or mistype one letter inside one word in eight, at least one."""
    words = list(_WORD.finditer(text))
    if not words:
        return text
    count = max(1, len(words) // 8)
    for at in sorted(rng.choice(len(words), min(count, len(words)), replace=False).tolist(), reverse=True):
        word = words[at]
        place = word.start() + 1 + int(rng.integers(0, len(word.group()) - 2))
        letter, way = text[place], int(rng.integers(0, 4))
        new = (text[place + 1] + letter, "", letter * 2, _NEAR.get(letter.lower(), letter))[way]
        text = text[:place] + new + text[place + (2 if way == 0 else 1) :]
    return text


def _upper(text: str, rng: np.random.Generator) -> str:
    del rng
    return text.upper()


def _lower(text: str, rng: np.random.Generator) -> str:
    del rng
    return text.lower()


def _whitespace(text: str, rng: np.random.Generator) -> str:
    """Double some spaces and put blank lines around."""
    spaced = "".join(" " * int(rng.integers(2, 4)) if sign == " " and rng.random() < 0.3 else sign for sign in text)
    return f"\n  {spaced}\t\n\n"


def _punctuation(text: str, rng: np.random.Generator) -> str:
    """Leave out the last sign, or add one too many."""
    bare = text.rstrip(".?! ")
    return bare if bare != text else text + (" ?!", " ...")[int(rng.integers(0, 2))]


_PHRASES = (
    "Hi, quick one: {}",
    "Could you please help me with this? {}",
    "{} Thanks a lot in advance!",
    "I was wondering about the following. {}",
    "Hello there,\n\n{}\n\nBest regards",
)


def _paraphrase(text: str, rng: np.random.Generator) -> str:
    return _PHRASES[int(rng.integers(0, len(_PHRASES)))].format(text.replace("{", "{{").replace("}", "}}"))


def _cut(text: str, rng: np.random.Generator) -> str:
    """Keep the first three quarters of the words."""
    del rng
    words = text.split(" ")
    return " ".join(words[: max(1, 3 * len(words) // 4)])


_ORDERS = (
    "Answer in one short paragraph.",
    "Use bullet points.",
    "Do not repeat the question.",
    "Reply in plain text without formatting.",
)


def _appended(text: str, rng: np.random.Generator) -> str:
    return f"{text}\n{_ORDERS[int(rng.integers(0, len(_ORDERS)))]}"


KINDS: dict[str, Callable[[str, np.random.Generator], str]] = {
    "typos": _typos,
    "upper case": _upper,
    "lower case": _lower,
    "whitespace": _whitespace,
    "punctuation": _punctuation,
    "paraphrase": _paraphrase,
    "truncation": _cut,
    "appended instruction": _appended,
}
CHANGING = ("truncation", "appended instruction")
"""Kinds that may change what is asked a little: they are allowed to move more decisions."""
MEANING_KEPT = tuple(kind for kind in KINDS if kind not in CHANGING)


def perturbed(kind: str, text: str, seed: int = 0) -> str:
    """Return a text changed in one way; the same seed and text give the same."""
    digest = hashlib.blake2b(f"{kind}|{text}".encode("utf-8", "replace"), digest_size=8).digest()
    return KINDS[kind](text, np.random.default_rng([seed, int.from_bytes(digest, "little")]))
