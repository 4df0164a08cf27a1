"""Token ids by remembered words: exactly those of `tokenizers`, several times as fast. Standard library only.

Of BERT's tokenizers (`BertNormalizer`, `BertPreTokenizer`, `WordPiece`) no step looks across a space, nor, in plain
ASCII, across a change between word and punctuation. So the pieces of a word are always the same: they are asked of
`tokenizers` once, and remembered. A text that this cannot be said of (another kind of tokenizer, a control character,
a special token spelt out, a long run without spaces in another script) goes to `tokenizers` whole.
"""

from __future__ import annotations

import json
import re
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["WordPieces"]

MOST_WORDS = 32_768
"""Words that are remembered: some 5 MB. When there are more, it begins anew."""

LONGEST = 100
"""Characters of a word that is remembered."""

_SPACES = re.compile("[ \t\n\r]+")
_WORDS = {
    True: re.compile("[0-9a-z]+|[^0-9a-z \t\n\r]"),
    False: re.compile("[0-9A-Za-z]+|[^0-9A-Za-z \t\n\r]"),
}
"""Words and single signs of ASCII text, by whether it was lowered."""


class _OddError(Exception):
    """What is in a text that is not to be cut at its words."""


class _Remembered(dict[str, tuple[int, ...]]):
    """Pieces by word; a word that is not there is asked for."""

    def __init__(self, ask: Callable[[str], Iterable[int]]) -> None:
        super().__init__()
        self._ask = ask

    def __missing__(self, word: str) -> tuple[int, ...]:
        if len(word) > LONGEST or (len(word) == 1 and not word.isprintable()):
            raise _OddError
        pieces = tuple(self._ask(word))
        if len(self) >= MOST_WORDS:
            self.clear()
        self[word] = pieces
        return pieces


class WordPieces:
    """The ids of prompts, with sentence marks, cut at a number of tokens; safe to share between threads.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
        Truncates at `max_tokens`, does not pad.
    tokenizer_json : str
        What it was made from.
    max_tokens : int
    """

    def __init__(self, tokenizer: Any, tokenizer_json: str, max_tokens: int) -> None:
        self._tokenizer = tokenizer
        kind = _bert(json.loads(tokenizer_json))
        self._lowers, self._before, self._after, specials = kind or (False, [], [], [])
        self._cut = max_tokens - len(self._after)
        self._words = None if kind is None or self._cut < len(self._before) else _Remembered(self._pieces)
        self._special = re.compile("|".join(map(re.escape, specials)) or "(?!)").search
        self._find = _WORDS[self._lowers].findall

    def __call__(self, text: str) -> list[int]:
        """Return the ids of one text that encodes to UTF-8."""
        words = self._words
        if words is None or ("[" in text and self._special(text)):
            return self._asked(text)
        try:
            found = self._parts(text) if text.isascii() else self._all_parts(text)
            ids = [*self._before, *chain.from_iterable(map(words.__getitem__, found))]
        except _OddError:
            return self._asked(text)
        ids[self._cut :] = self._after
        return ids

    def many(self, texts: Iterable[str]) -> Iterator[list[int]]:
        """Give the ids of each text; where words are of no use, all are asked for together."""
        if self._words is None:
            return (encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts)))
        return map(self, texts)

    def _parts(self, run: str) -> list[str]:
        """Return what a run without spaces is looked up by: its words, or itself where it is not ASCII."""
        if run.isascii():
            return self._find(run.lower() if self._lowers else run)
        return [run]

    def _all_parts(self, text: str) -> Iterator[str]:
        return chain.from_iterable(map(self._parts, _SPACES.split(text)))

    def _pieces(self, word: str) -> list[int]:
        found: list[int] = self._tokenizer.encode(word, add_special_tokens=False).ids
        return found

    def _asked(self, text: str) -> list[int]:
        found: list[int] = self._tokenizer.encode_batch_fast([text])[0].ids
        return found


def _bert(document: Any) -> tuple[bool, list[int], list[int], list[str]] | None:
    """Return whether a tokenizer lowers, its ids before and after, and its special tokens; None where it is no BERT."""
    try:
        normalizer, model, template = document["normalizer"], document["model"], document["post_processor"]
        kinds = (normalizer["type"], document["pre_tokenizer"]["type"], model["type"], template["type"])
        if kinds != ("BertNormalizer", "BertPreTokenizer", "WordPiece", "TemplateProcessing"):
            return None
        added = document["added_tokens"]
        plain = all(one["content"].startswith("[") and not one["normalized"] for one in added)
        before, text, after = template["single"]
        ids = [template["special_tokens"][one["SpecialToken"]["id"]]["ids"] for one in (before, after)]
        if not plain or not normalizer["clean_text"] or text["Sequence"]["id"] != "A":
            return None
        return bool(normalizer["lowercase"]), list(ids[0]), list(ids[1]), [one["content"] for one in added]
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
