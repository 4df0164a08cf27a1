"""Redaction: what is found and what is left, on an invented corpus; the same twice; on any text at all."""

from __future__ import annotations

import builtins
import pickle
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.errors import MissingExtraError, PointsmanError
from pointsman.redaction.redactor import KINDS, Redactor

CORPUS = Path(__file__).parent / "redaction_corpus.txt"
MARK = re.compile(r"⟦(\w+)\|(.*?)⟧")
EVERY = tuple(KINDS)


def cases() -> list[tuple[str, str]]:
    """Return (prompt, what must become of it) of each line of the corpus."""
    lines = [line.replace("·", "") for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    kept = [line for line in lines if line and not line.startswith("#")]
    return [
        (MARK.sub(r"\2", line), MARK.sub(lambda mark: f"<{mark[1].upper()}>" if mark[2] else "", line)) for line in kept
    ]


@pytest.mark.parametrize(("prompt", "wanted"), cases())
def test_what_is_personal_or_secret_is_replaced_and_nothing_else(prompt: str, wanted: str) -> None:
    assert Redactor(EVERY)([prompt]) == [wanted]


def test_the_corpus_has_enough_of_each_kind() -> None:
    found = Counter(re.findall(r"<([A-Z]+)>", " ".join(wanted for _, wanted in cases())))
    assert {kind: found[kind.upper()] >= 12 for kind in EVERY} == dict.fromkeys(EVERY, True)
    assert sum(prompt == wanted for prompt, wanted in cases()) > 100


def test_only_the_wanted_kinds_are_replaced_and_all_are_counted() -> None:
    redactor = Redactor(("email", "card"))
    texts = ["a@example.org and b@example.org, 4111 1111 1111 1111, call 415-555-0132", "nothing", ""]
    assert redactor(texts) == ["<EMAIL> and <EMAIL>, <CARD>, call 415-555-0132", "nothing", ""]
    assert redactor.counts == {"email": 2, "card": 1}
    assert Redactor().kinds == ("key", "email", "card", "phone")


def test_a_number_without_a_country_code_is_one_of_the_wanted_countries() -> None:
    text = "Bel 020 624 1111 voor een afspraak; Wien: 01 5885 8012"
    assert Redactor(("phone",), regions=("NL",))([text]) == ["Bel <PHONE> voor een afspraak; Wien: 01 5885 8012"]
    assert Redactor(("phone",), regions=())(["tel 020 624 1111, +31 20 624 1111"]) == ["tel 020 624 1111, <PHONE>"]


def test_a_placeholder_is_not_found_again() -> None:
    texts = ["password=<KEY> mail <EMAIL> call <PHONE> 12345678", "Bearer <KEY>, postgres://app:<KEY>@db/shop"]
    assert Redactor(EVERY)(texts) == texts


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("415-555-0132+49 30 901820", "<PHONE><PHONE>"), ("深+10.0.0.1٣a@example.org", "深+<IP><EMAIL>")],
)
def test_what_a_replacement_uncovers_is_found_too(text: str, wanted: str) -> None:
    assert Redactor(EVERY)([text]) == [wanted]


def test_the_corpus_is_redacted_once_and_for_all() -> None:
    once = Redactor(EVERY)([text for text, _ in cases()])
    assert Redactor(EVERY)(once) == once


PIECES = st.sampled_from(
    [
        *("a@example.org", "+49 30 901820", "415-555-0132", "4111 1111 1111 1111", "AKIAIOSFODNN7EXAMPLE", "password="),
        *("Bearer ", "DE89 3704 0044 0532 0130 00", "10.0.0.1", "fe80::1", "://", "@", ":", " ", "-", "<", ">", "1"),
        *("x", "eyJhbGciOiJI.", "-----BEGIN PRIVATE KEY-----", "tel ", "<PHONE>", "order ", "(", "+", "\ud800", "\0"),
        *("é", "深", "٣", "²"),
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join) | st.text(st.characters(), max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_redacted_and_twice_is_once(text: str) -> None:
    once = Redactor(EVERY)([text])
    assert Redactor(EVERY)(once) == once


@pytest.mark.parametrize(
    "text",
    ["1" * 200_000, "a@" * 100_000, "-----BEGIN PRIVATE KEY-----" * 7_000, "password = " * 18_000, "sk-" * 60_000],
)
def test_a_long_text_does_not_hang(text: str) -> None:
    """Each of these takes minutes where a pattern looks back over what it has read."""
    Redactor(EVERY)([text])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"kinds": ("email", "name")}, "redact: no such kind 'name'; allowed: key, email, iban, card, ip, phone"),
        ({"regions": ("UK",)}, "redact: no such region 'UK'; two capital letters are needed: DE, US"),
    ],
)
def test_a_wrong_wish_is_one_clear_line(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(PointsmanError) as raised:
        Redactor(**arguments)
    assert str(raised.value) == said


def test_without_the_extra_only_telephone_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "phonenumbers":
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"phonenumbers is not installed: pip install 'pointsman\[privacy\]'"):
        Redactor()
    assert Redactor(("email",))(["a@example.org"]) == ["<EMAIL>"]


def test_a_redactor_travels_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(Redactor()))(["tel +49 30 901820"]) == ["tel <PHONE>"]
