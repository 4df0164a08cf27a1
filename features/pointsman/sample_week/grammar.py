"""Expansion of prompt templates: choices, slots and pasted blocks, driven by one random generator.

A template may hold ``[a|b|]`` (one of the options, possibly none), ``{slot}`` (an option of the lexicon or a generated
value such as a date) and ``{+block}`` (a pasted piece such as a log, resolved last and taken literally).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from pointsman.sample_week.lexicon import LEXICON

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")
_BLOCK = re.compile(r"\{\+(\w+)\}")
_MAX_DEPTH = 8


@cache
def lines(block: str) -> tuple[str, ...]:
    """Return the non-empty lines of a data block."""
    return tuple(line for line in block.splitlines() if line.strip())


@dataclass(frozen=True)
class Grammar:
    """A template expander bound to a random generator.

    Parameters
    ----------
    rng
        Source of every choice.
    """

    rng: np.random.Generator

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return bool(self.rng.random() < probability)

    def whole(self, low: int, high: int) -> int:
        """Return an integer in ``[low, high)``."""
        return low + int(self.rng.random() * (high - low))

    def pick(self, options: Sequence[str]) -> str:
        """Return one of the options, each as likely."""
        return options[int(self.rng.random() * len(options))]

    def value(self, slot: str, hardness: float) -> str:
        """Return an option for a slot.

        Parameters
        ----------
        slot
            Key of the lexicon or of the generated values.
        hardness
            Probability (0..1) of taking the slot's ``_hard`` twin where it has one.

        Raises
        ------
        KeyError
            When no such slot exists.
        """
        generated = _GENERATED.get(slot)
        if generated is not None:
            return generated(self)
        twin = LEXICON.get(f"{slot}_hard")
        if twin is not None and self.chance(0.85 * hardness):
            return self.pick(lines(twin))
        return self.pick(lines(LEXICON[slot]))

    def expand(self, template: str, hardness: float = 0.3) -> str:
        """Return the template with all choices and slots filled; ``{+block}`` stays for :meth:`paste`."""
        text = template
        for _ in range(_MAX_DEPTH):
            before = text
            text = _CHOICE.sub(lambda found: self.pick(found.group(1).split("|")), text)
            text = _SLOT.sub(lambda found: self.value(found.group(1), hardness), text)
            if text == before:
                break
        return re.sub(r" {2,}", " ", text).strip()

    def paste(self, text: str, blocks: dict[str, Callable[[Grammar, float], str]], size: float) -> str:
        """Return the text with each ``{+block}`` replaced by a pasted piece of the given size (0..1)."""
        return _BLOCK.sub(lambda found: blocks[found.group(1)](self, size), text)


def _date(grammar: Grammar) -> str:
    day, month = grammar.whole(1, 29), grammar.whole(1, 13)
    if grammar.chance(0.5):
        return f"2026-{month:02d}-{day:02d}"
    return f"{day} {grammar.pick(lines(LEXICON['month']))}"


def _order(grammar: Grammar) -> str:
    return f"{grammar.pick(('NV', 'OR', 'Q', 'KD'))}-{grammar.whole(10_000, 999_999)}"


def _money(grammar: Grammar) -> str:
    sign = grammar.pick(("€", "$", "£", "EUR "))
    return f"{sign}{grammar.whole(3, 2400)}.{grammar.whole(0, 100):02d}"


def _mail(grammar: Grammar) -> str:
    user = grammar.pick(("info", "desk", "hello", "team", "office", "orders"))
    return f"{user}{grammar.whole(1, 99)}@{grammar.pick(('example.org', 'example.com', 'mail.example'))}"


_GENERATED: dict[str, Callable[[Grammar], str]] = {
    "n": lambda grammar: str(grammar.whole(2, 10)),
    "year": lambda grammar: str(grammar.whole(1995, 2027)),
    "percent": lambda grammar: f"{grammar.whole(2, 95)}%",
    "date": _date,
    "order": _order,
    "money": _money,
    "mail": _mail,
}
