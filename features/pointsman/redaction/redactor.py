"""Redaction: personal data and secrets in prompts become ``<EMAIL>``, ``<PHONE>`` …, so that a reader sees what stood.

Telephone numbers are judged by the package ``phonenumbers`` (numbering plans of all countries), cards and bank accounts
by their checksums, addresses by ``ipaddress``, keys by the prefixes that their issuers publish.
"""

from __future__ import annotations

import re
from collections import Counter
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from pointsman.errors import PointsmanError
from pointsman.redaction.keys import keys_in
from pointsman.redaction.phones import REGIONS, phones_in, require_phonenumbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["KINDS", "Redactor"]


class Redactor:
    """Replaces personal data and secrets in texts.

    Deterministic, and idempotent: redacting twice changes nothing more.

    Parameters
    ----------
    kinds : sequence of str
        Of ``email``, ``phone``, ``key`` (keys, tokens, passwords), ``card``, ``iban``, ``ip``.
    regions : sequence of str
        Two-letter codes of the countries that a telephone number without a country code may be from.

    Attributes
    ----------
    counts : collections.Counter
        Replacements so far, by kind.

    Raises
    ------
    PointsmanError
        Where a kind or a region is not known.
    MissingExtraError
        Where telephone numbers are wanted and the extra ``[privacy]`` is not installed.

    Examples
    --------
    >>> redactor = Redactor(kinds=("email", "key"))
    >>> redactor(["mail ada@example.org, password=hunter2"])
    ['mail <EMAIL>, password=<KEY>']
    >>> redactor.counts["email"]
    1
    """

    def __init__(
        self, kinds: Sequence[str] = ("email", "phone", "key", "card"), regions: Sequence[str] = REGIONS
    ) -> None:
        unknown = [kind for kind in kinds if kind not in KINDS]
        if unknown:
            raise PointsmanError(f"redact: no such kind {unknown[0]!r}; allowed: {', '.join(KINDS)}")
        self.kinds = tuple(kind for kind in KINDS if kind in kinds)
        self.regions = tuple(regions)
        self.counts: Counter[str] = Counter()
        if "phone" in self.kinds:
            require_phonenumbers(self.regions)

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Return the texts with what was found replaced."""
        return [self._redacted(text) for text in texts]

    def _redacted(self, text: str) -> str:
        if len(text) < _SHORTEST:
            return text
        while True:
            before = text
            for kind in self.kinds:
                found = phones_in(text, self.regions) if kind == "phone" else KINDS[kind](text)
                text, count = _replaced(text, found, f"<{kind.upper()}>")
                if count:
                    self.counts[kind] += count
            # What stood beside a replacement may be a whole now: once more, until nothing is found.
            if text == before:
                return text


_SHORTEST = 5
_LETTER = r"[^\W\u0e00-\U0010ffff]"
"""A letter or digit of a script that writes spaces between words."""
# Not in any case: a kelvin sign would make every k a letter of no script that writes spaces.
_EMAIL = re.compile(
    rf"(?<!{_LETTER})(?<![.%+@-]){_LETTER}(?:{_LETTER}|[.%+'-]){{0,63}}@(?!\dx\.)"
    rf"(?:{_LETTER}(?:(?:{_LETTER}|-){{0,61}}{_LETTER})?\.){{1,8}}"
    rf"(?:xn--[a-z0-9-]{{2,59}}|(?!(?:png|jpe?g|gif|svg|webp|js|ts|css|py|local)\b)(?!\d){_LETTER}{{2,24}})"
    rf"(?!{_LETTER}|-)(?!:[\w~/.-]+/)"
)
_SPELT_OUT = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}\s?[\[({]\s?(?:at|@)\s?[\])}]\s?[\w-]{1,63}(?:(?:\s?[\[({]\s?(?:dot|\.)\s?[\])}]\s?|\.)"
    r"[\w-]{2,63}){1,6}",
    re.IGNORECASE,
)
_CARD = re.compile(
    r"(?<![\w.+-])(?:\d{4}([ -]?)\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|3\d{3}([ -]?)\d{6}\2\d{4,5})(?!\w|[.-]\d)"
)
_CARD_PREFIX = re.compile(
    r"3[47]\d{13}$|3(?:0[0-5]|[689]\d)\d{11}$|(?:4|5[0-8]|2(?:2[2-9]|[3-6]\d|7[01])|2720|35|6)\d+$", re.ASCII
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}")
_IBAN_COUNTRIES = """
15 NO, 16 BE, 18 DK FI FO GL NL SD, 19 MK SI, 20 AT BA EE KZ LT LU XK MN, 21 CH HR LI LV, 22 BG BH CR DE GB GE IE ME RS
VA, 23 AE GI IL IQ OM SO TL, 24 AD CZ ES MD PK RO SA SE SK TN VG, 25 LY PT ST, 26 IS TR, 27 BI DJ FR GR IT MC MR SM,
28 AL AZ BY CY DO GT HU LB NI PL SV, 29 BR EG PS QA UA, 30 JO KW MU, 31 MT SC, 32 LC, 33 RU
"""
"""Characters of an IBAN and the countries whose IBANs have as many (the registry of ISO 13616)."""
_IBAN_LENGTH = {
    country: int(length)
    for length, *countries in (entry.split() for entry in _IBAN_COUNTRIES.split(","))
    for country in countries
}
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)", re.ASCII)
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{3,4}:|::)[0-9A-Fa-f:]{1,36}(?:\.\d{1,3}){0,3}(?![\w:]|\.\d)", re.ASCII)
_NUMBERED = re.compile(
    r"(?<![^\W_])(?:version|ver|release|build|section|chapter|clause|figure|table|kapitel|abschnitt|§)[\s.:=]{0,3}v?$",
    re.IGNORECASE,
)


def _emails(text: str) -> Iterator[tuple[int, int]]:
    if "@" in text:
        yield from (found.span() for found in _EMAIL.finditer(text))
    lower = text.lower()
    if "at" in lower and ("at]" in lower or "at)" in lower or "at }" in lower or "[at" in lower or "[@]" in lower):
        yield from (found.span() for found in _SPELT_OUT.finditer(text))


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for found in _CARD.finditer(text):
        digits = re.sub(r"[ -]", "", found[0])
        if _CARD_PREFIX.match(digits) and _luhn(digits):
            yield found.span()


def _luhn(digits: str) -> bool:
    """Check a card number by ISO/IEC 7812-1, annex B."""
    doubled = [2 * int(digit) for digit in digits[-2::-2]]
    return (sum(int(digit) for digit in digits[-1::-2]) + sum(two - 9 * (two > 9) for two in doubled)) % 10 == 0


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for found in _IBAN.finditer(text):
        length = _IBAN_LENGTH.get(found[0][:2].upper(), 0)
        places = [at for at, char in enumerate(found[0]) if char.isalnum()][:length]
        end = found.start() + places[-1] + 1 if places else 0
        if not length or len(places) < length or text[end : end + 1].isalnum():
            continue
        code = "".join(found[0][at] for at in places).upper()
        if int("".join(str(int(char, 36)) for char in code[4:] + code[:4])) % 97 == 1:  # ISO 7064, MOD 97-10
            yield found.start(), end


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    for pattern in (_IPV4, _IPV6):
        for found in pattern.finditer(text):
            if pattern is _IPV4 and _NUMBERED.search(text[max(0, found.start() - 16) : found.start()]):
                continue
            start = found.start()
            held = found[0].rstrip(":") if not found[0].endswith("::") else found[0]
            try:
                address: IPv4Address | IPv6Address = ip_address(held)
            except ValueError:
                continue
            if pattern is _IPV6 and held.count(":") < 3 and held[0] not in "fF":  # a[100::2]
                continue
            if not (address.is_loopback or address.is_unspecified or held.startswith("255.")):
                yield start, start + len(held)


KINDS: dict[str, Callable[[str], Iterable[tuple[int, int]]]] = {
    "key": keys_in,
    "email": _emails,
    "iban": _ibans,
    "card": _cards,
    "ip": _addresses,
    "phone": phones_in,
}
"""What can be found, in the order in which it is replaced: the surer kinds first."""


def _replaced(text: str, found: Iterable[tuple[int, int]], mark: str) -> tuple[str, int]:
    """Return the text with the spans replaced (overlapping ones by one mark), and how many marks."""
    parts, at, count = [], 0, 0
    last = 0
    for start, end in sorted(found):
        if start >= last or not count:
            parts += [text[at:start], mark]
            count += 1
        last = at = max(last, end)
    return ("".join(parts) + text[at:], count) if count else (text, 0)
