"""Telephone numbers in a text: runs of digits that a numbering plan knows, written as its country writes them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from pointsman.errors import MissingExtraError, PointsmanError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["REGIONS", "phones_in", "require_phonenumbers"]

REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "BR", "IN", "AU", "JP")
"""Where a number without a country code may be from; US stands for all of North America."""

_SHORTEST, _WITH_AREA, _LONGEST = 7, 9, 15
"""Digits of a number: a local one, one with its area code, the limit of the international plan (ITU-T E.164)."""

# Maximal runs: a table of numbers makes one long run, and a long run is no telephone number.
_DIGITS = r"(?:[+＋]\s?)?\(?\d(?:[ \u00a0.()\-‐-–/]{0,3}+\d)++(?![A-Za-z_%€£°]|[:.]\d)"
_RUN = re.compile(r"(?<![A-Za-z0-9_.:/#=&%$€£¥^*+-])" + _DIGITS)
_AFTER_WORD = re.compile(r"(?<=[:=/])" + _DIGITS)
_CALLED = re.compile(
    r"(?:(?<!<)\b(?:tel|fon|fone|phone|telephone|telefon\w*|teléfono|téléphone|telefoon\w*|telefone|cell(?:ular|phone)?"
    r"|mobil\w*|móvil|portable|celular|handy|fax|call(?: \w+){0,2}|ring(?: \w+)?|dial|whatsapp|signal|sms|text(?: \w+)?"
    r"|hotline|reach \w+|contact(?: \w+)?|numéro|anrufen|rufnummer|ruf(?:en)?(?: \w+){0,2}|appele[rz](?: \w+)?"
    r"|ll[aá]m\w+(?: \w+)?|ligue|chiama\w*|bel(?: \w+)?)\b[\s.:=()/#-]{0,4}"
    r"(?:(?:no|nr|number|is|ist|es|on|at|under|unter|au|al|para|op|to|me)\b[\s.:=#-]{0,3}){0,3}"
    r"|(?:電話|电话|手机|携帯|전화)\w{0,4}[\s:：]{0,3})$",
    re.IGNORECASE,
)
_COUNTED = re.compile(
    r"(?<![^\W_])(?:isbn|issn|ean|sku|imei|vin|order|invoice|ticket|case|ref(?:erence)?|id|no|nr|number|part|serial|article|tracking"
    r"|version|ver|build|release|account|customer|claim|parcel|batch|lot|rfc|bestellung|bestellnummer|rechnung|artikel"
    r"|kunden\w*|commande|facture|pedido|factura|ordine|código|doi|arxiv|pmid|code|zip|plz|pi|equals?|row|sum|total)"
    r"[\s.:=()#°º-]{0,4}(?:(?:no|nr|number|id|is|13|10)\b[\s.:=#-]{0,3}){0,2}$",
    re.IGNORECASE,
)
_DATED = re.compile(
    r"(?:19|20)\d\d[./-][01]?\d(?:[./-]|$)|[0-3]?\d[./-][0-3]?\d[./-](?:19|20)?\d\d(?!\d|[./-]\d)"
    r"|(?:19|20)\d\d ?[-–/] ?(?:19|20)\d\d$"
)
_AMOUNT = re.compile(r"\d+\.\d+$|\d{1,3}(?:[. \u00a0]\d{3})+$|\d{1,3}(?:\.\d{1,3}){3}$")
_WRITTEN = re.compile(r"\D")
_COMPUTED = re.compile(r"\s[-–/]\s")


def require_phonenumbers(regions: tuple[str, ...]) -> None:
    """Raise MissingExtraError where the package is not installed, PointsmanError where it knows no such region."""
    try:
        from phonenumbers import SUPPORTED_REGIONS
    except ModuleNotFoundError as error:
        raise MissingExtraError("phonenumbers", "privacy") from error
    unknown = [region for region in regions if region not in SUPPORTED_REGIONS]
    if unknown:
        raise PointsmanError(f"redact: no such region {unknown[0]!r}; two capital letters are needed: DE, US")


def phones_in(text: str, regions: tuple[str, ...] = REGIONS) -> Iterator[tuple[int, int]]:
    """Give start and end of each telephone number in a text.

    A number with a country code (``+49 …``) must be valid in its country's plan. One without must be valid in a plan of
    `regions` and either follow a word such as «phone», or be written in groups as that country writes it; after words
    such as «order», «invoice», «ISBN» it is a number of those.
    """
    for pattern in (_RUN, _AFTER_WORD):
        for run in pattern.finditer(text):
            digits = sum(char.isdigit() for char in run[0])
            if not _SHORTEST <= digits <= _LONGEST:
                continue
            start, end = run.span()
            before = text[max(0, start - 40) : start]
            called = _CALLED.search(before) is not None
            if pattern is _AFTER_WORD and not called and "+" not in run[0]:
                continue
            if _is_phone(run[0], called, _COUNTED.search(before) is not None, regions):
                yield start, end


@lru_cache(maxsize=8192)
def _is_phone(run: str, called: bool, counted: bool, regions: tuple[str, ...]) -> bool:
    from phonenumbers import Leniency, PhoneNumberMatcher

    grouped = _WRITTEN.search(run[1:]) is not None
    if run[0] in "+＋":
        leniency = Leniency.POSSIBLE if called or grouped else Leniency.VALID
        return bool(PhoneNumberMatcher(run, None, leniency=leniency).has_next())
    local = sum(char.isdigit() for char in run) < _WITH_AREA
    reckoned = _AMOUNT.match(run) or _COMPUTED.search(run)
    if _DATED.match(run) or (not called and (counted or local or reckoned or not grouped)):
        return False
    leniency = Leniency.POSSIBLE if called else Leniency.STRICT_GROUPING
    return any(PhoneNumberMatcher(run, region, leniency=leniency).has_next() for region in regions)
