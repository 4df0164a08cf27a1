"""Prompts of the sample week: intent, wording and what the wording tells about the difficulty."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pointsman.sample_week.family_finding import EXTRACTION, NAVIGATION, SHORT_FACTUAL_LOOKUP
from pointsman.sample_week.family_talking import CHIT_CHAT, JUNK_ADVERSARIAL, SUPPORT_COMPLAINT
from pointsman.sample_week.family_working import CODE, COMPLEX_SYNTHESIS, IMAGE_QUESTION
from pointsman.sample_week.family_writing import POETRY, REWRITING, SUMMARISE_LONG_DOC
from pointsman.sample_week.grammar import Grammar, lines
from pointsman.sample_week.pasted import BLOCKS
from pointsman.sample_week.wording import distort, frame

if TYPE_CHECKING:
    import numpy as np

    from pointsman.sample_week.family import Family

FAMILIES: dict[str, Family] = {
    "short_factual_lookup": SHORT_FACTUAL_LOOKUP,
    "navigation": NAVIGATION,
    "rewriting": REWRITING,
    "extraction": EXTRACTION,
    "summarise_long_doc": SUMMARISE_LONG_DOC,
    "complex_synthesis": COMPLEX_SYNTHESIS,
    "code": CODE,
    "poetry": POETRY,
    "support_complaint": SUPPORT_COMPLAINT,
    "image_question": IMAGE_QUESTION,
    "chit_chat": CHIT_CHAT,
    "junk_adversarial": JUNK_ADVERSARIAL,
}
INTENTS: tuple[str, ...] = tuple(FAMILIES)

_FOREIGN = 0.10
_SECOND_ASK = 0.07
_CUT = 0.04
_COMMON = 0.45
_SECOND_ASK_FIRST = 0.35
_IMITATED = ("short_factual_lookup", "navigation", "code", "poetry", "chit_chat", "complex_synthesis")
_ASKED_BESIDE = (
    "short_factual_lookup",
    "navigation",
    "poetry",
    "code",
    "complex_synthesis",
    "support_complaint",
    "image_question",
    "chit_chat",
)
_MOST_DEMANDS = 4
_COMMON_DEMANDS = """
, but only for {region}
, and explain why
, in {length}
, for {persona}, who knows nothing about {topic}
, and check it against {topic}
, unless the {aspect} says otherwise
, first for {month}, then for the whole year
, and tell me how sure you are
, in a {style} tone
, with the {field} at the end
 and what changes if {topic} comes into it
, both for {persona} and for {persona}
, leave out {topic}
"""


def write_prompt(rng: np.random.Generator, intent: str, hardness: float) -> str:
    """Return one prompt: what the classifier sees.

    Parameters
    ----------
    rng
        Random generator.
    intent
        One of :data:`INTENTS`.
    hardness
        How hard the request reads (0..1): more demands, rarer topics, longer pasted pieces.
    """
    grammar = Grammar(rng)
    family = FAMILIES[intent]
    if grammar.chance(_FOREIGN):
        template = grammar.pick(lines(family.foreign))
    else:
        template = grammar.pick(lines(family.templates))
    demands = int(rng.binomial(_MOST_DEMANDS, 0.8 * hardness))
    additions = _additions(grammar, family, demands)
    head, block = _before_block(template)
    if demands:
        head = re.sub(r"(\[\?\|\]|\?|\.)$", "", head)
    text = _expanded(grammar, head + additions + block, hardness)
    if intent == "junk_adversarial":
        text = _imitate(grammar, text)
    if grammar.chance(_SECOND_ASK):
        text = _with_second_ask(grammar, text, intent)
    if grammar.chance(_CUT):
        text = _cut(grammar, text)
    text = frame(grammar, text)
    text = grammar.paste(text, BLOCKS, hardness)
    return distort(grammar, text)


def _additions(grammar: Grammar, family: Family, count: int) -> str:
    """Return different demands in a row, of the intent's own or of those that any intent knows."""
    own = lines(family.demands)
    chosen: list[str] = []
    while len(chosen) < count:
        demand = grammar.pick(lines(_COMMON_DEMANDS) if grammar.chance(_COMMON) else own)
        if demand not in chosen:
            chosen.append(demand)
    return "".join(chosen)


def _cut(grammar: Grammar, text: str) -> str:
    """Return what is left when the start of a short text is lost, as with voice input."""
    words = text.split(" ")
    if len(words) < 4 or "{+" in text:
        return text
    return " ".join(words[grammar.whole(1, len(words) // 2 + 1) :])


def _before_block(template: str) -> tuple[str, str]:
    """Split a template so that demands go before the pasted piece that ends it."""
    found = re.search(r"(:|\\n)?\s*\"?\{\+\w+\}\"?$", template)
    if found is None or found.start() == 0:
        return template, ""
    return template[: found.start()], template[found.start() :]


def _expanded(grammar: Grammar, template: str, hardness: float) -> str:
    return grammar.expand(template, hardness).replace("\\n", "\n")


def _plain(grammar: Grammar, intent: str) -> str:
    """Return a short request of an intent, without pasted pieces."""
    options = [line for line in lines(FAMILIES[intent].templates) if "{+" not in line]
    return _expanded(grammar, grammar.pick(options), 0.2)


def _with_second_ask(grammar: Grammar, text: str, intent: str) -> str:
    """Return the text with a lesser request of another intent beside it."""
    others = [name for name in _ASKED_BESIDE if name != intent]
    second = _plain(grammar, grammar.pick(others))
    if grammar.chance(_SECOND_ASK_FIRST):
        return f"{second}. {grammar.pick(('but first:', 'And more important:', 'mainly though,', 'also,'))} {text}"
    return f"{text}{grammar.pick((' - oh and ', '. also ', ' + ', '. PS: ', '; and later '))}{second}"


def _imitate(grammar: Grammar, text: str) -> str:
    """Fill the pieces only junk has: key mashing, other intents' wording in odd shapes."""
    letters = "asdfghjklqwertzuiopyxcvbnm"
    other = _plain(grammar, grammar.pick(_IMITATED))
    words = other.split()
    shuffled = " ".join(words[int(place)] for place in grammar.rng.permutation(len(words)))
    mash = "".join(grammar.pick(letters) for _ in range(grammar.whole(5, 24)))
    pieces = {"mash": mash, "other": other, "shuffled": shuffled, "repeated": " ".join([other] * grammar.whole(2, 5))}
    return re.sub(r"\{\+(\w+)\}", lambda found: pieces[found.group(1)], text)
