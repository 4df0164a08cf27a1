"""A guess at the language of a prompt, by its script and its commonest words: good enough to compare two sets."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["UNTOLD", "language", "languages"]

UNTOLD = "untold"
"""Too short, or no natural language: code, numbers, names."""

_SCRIPTS = {
    "Japanese": "\u3040-\u30ff",
    "Korean": "\uac00-\ud7af\u1100-\u11ff",
    "Chinese": "\u4e00-\u9fff",
    "Cyrillic": "\u0400-\u04ff",
    "Arabic": "\u0600-\u06ff",
    "Hebrew": "\u0590-\u05ff",
    "Greek": "\u0370-\u03ff",
    "Devanagari": "\u0900-\u097f",
    "Thai": "\u0e00-\u0e7f",
}
_WORDS = {
    "English": "the of and to is that for with this what how you my can please it are be on your does not from i",
    "German": "der die das und ist nicht ein eine mit für wie ich bitte auf den dem zu kann was mein wir sie von",
    "French": "le la les des est une pour dans que qui je vous avec sur pas mon comment quel ce du un et plus",
    "Spanish": "el los las una es para con que por cómo qué mi del en se puede como más y un su está al",
    "Italian": "il che di per una sono con come non mi della gli questo è un del e nel più quale posso",
    "Portuguese": "o os uma para com não que como meu você por do da em é um ao mais qual posso seu",
    "Dutch": "de het een van en is dat niet met voor hoe ik kan mijn op zijn wat je naar ook",
}
_OF_WORD: dict[str, tuple[str, ...]] = {}
for _name, _words in _WORDS.items():
    for _word in frozenset(_words.split()):
        _OF_WORD[_word] = (*_OF_WORD.get(_word, ()), _name)
_LETTERS = re.compile(r"[^\W\d_]+")
_RANGES = {name: re.compile(f"[{span}]") for name, span in _SCRIPTS.items()}
_READ = 600


def language(text: str) -> str:
    """Return the name of the language, of the script where several share it, or `UNTOLD`."""
    head = text[:_READ].lower()
    words = _LETTERS.findall(head)
    if not head.isascii():
        letters = sum(map(len, words))
        for name, pattern in _RANGES.items():
            if len(pattern.findall(head)) > 0.3 * max(letters, 1):
                return name
    hits = Counter(name for word in words for name in _OF_WORD.get(word, ()))
    (best, most), (_, second) = (*hits.most_common(2), (UNTOLD, 0), (UNTOLD, 0))[:2]
    return best if most > second and most >= max(1, 0.08 * len(words)) else UNTOLD


def languages(texts: Sequence[str]) -> list[str]:
    """Return the language of each text."""
    return [language(text) for text in texts]
