"""Surface of a prompt: greetings and closers around it, letter case, typing errors, emoji."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.sample_week.grammar import lines

if TYPE_CHECKING:
    from pointsman.sample_week.grammar import Grammar

_OPENERS = """
hi,
hello,
hey,
please
pls
ok so
quick one:
sorry to bother you,
question:
hi team,
as {persona} asked:
urgent:
dear assistant,
for {persona}:
good morning,
so,
hmm,
no idea if you can help, but
"""
_CLOSERS = """
 thanks
 thx!
 please
 asap
, need it before lunch
 - many thanks
, it's for {persona}
. No rush.
 (I'm in {region})
, short answer is fine
 cheers
. I'll wait.
 for the {product}
, writing from my phone
"""
_EMOJI = ("🙂", "🙏", "😅", "🚲", "☕", "📄", "🤖", "✨")

_OPENED, _CLOSED, _TYPED_BADLY, _LOWER, _UPPER, _WITH_EMOJI, _CAPITAL = 0.16, 0.17, 0.17, 0.35, 0.015, 0.03, 0.6
_TYPED_LENGTH = 400


def frame(grammar: Grammar, text: str) -> str:
    """Return the text with an opener, a closer or an emoji now and then."""
    if grammar.chance(_OPENED):
        text = f"{grammar.expand(grammar.pick(lines(_OPENERS)))} {text}"
    if grammar.chance(_CLOSED):
        text = text.rstrip() + grammar.expand(grammar.pick(lines(_CLOSERS)).replace(" ", "~", 1)).replace("~", " ")
    if grammar.chance(_WITH_EMOJI):
        text = f"{text} {grammar.pick(_EMOJI)}"
    return text


def distort(grammar: Grammar, text: str) -> str:
    """Return the text with the letter case and the typing errors of hurried people."""
    roll = float(grammar.rng.random())
    if roll < _LOWER:
        text = text.lower() if len(text) < _TYPED_LENGTH else text
    elif roll < _LOWER + _UPPER:
        text = text.upper() if len(text) < _TYPED_LENGTH else text
    elif grammar.chance(_CAPITAL):
        text = text[:1].upper() + text[1:]
    if grammar.chance(_TYPED_BADLY):
        for _ in range(grammar.whole(1, 4)):
            text = _mistype(grammar, text)
    return text


def _mistype(grammar: Grammar, text: str) -> str:
    """Return the text with one letter doubled, dropped or swapped with the next, early in the text."""
    reach = min(len(text), _TYPED_LENGTH) - 2
    if reach < 3:
        return text
    place = grammar.whole(1, reach)
    if not (text[place].isalpha() and text[place + 1].isalpha()):
        return text
    kind = grammar.whole(0, 3)
    if kind == 0:
        return text[:place] + text[place] + text[place:]
    if kind == 1:
        return text[:place] + text[place + 1 :]
    return text[:place] + text[place + 1] + text[place] + text[place + 2 :]
