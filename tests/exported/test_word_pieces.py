"""Ids by remembered words are those of `tokenizers`, for every text and every kind of tokenizer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

import pointsman.word_pieces
from pointsman.conformance import PROMPTS
from pointsman.text import Clip
from pointsman.word_pieces import WordPieces

MOST = 24

TEXTS = st.lists(
    st.text(max_size=12)
    | st.text(st.characters(max_codepoint=127), max_size=12)
    | st.sampled_from(
        ["the", "THE", "fix", "code", "unaffable", "x" * 101, "İ", "ſ", "ß", "e\u0301", "\u0301", "日本", "don't"]
    )
    | st.sampled_from([" ", "\t", "\n", "\x0b", "\x1c", "\x85", "\xa0", "\u200b", "\u2028", "\u3000", "\ufffd", "\x00"])
    | st.sampled_from(["[SEP]", "[UNK]", "[sep]", "[", "[PAD]x"]),
    max_size=12,
).map("".join)


WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] the fix code don ' t un ##aff ##able please _ , . [ ] x ##x é e ss ß 日 本 ı i"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    vocabulary = {word: at for at, word in enumerate(WORDS.split())}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = BertNormalizer(), BertPreTokenizer()
    marks = [(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", pair=None, special_tokens=marks)
    tokenizer.add_special_tokens(WORDS.split()[:5])
    found: dict[str, Any] = json.loads(tokenizer.to_str())
    return found


def both(document: dict[str, Any], most: int = MOST) -> tuple[Tokenizer, WordPieces]:
    text = json.dumps(document)
    tokenizer = Tokenizer.from_str(text)
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=most)
    return tokenizer, WordPieces(tokenizer, text, most)


@pytest.fixture(scope="module", params=["lowers", "keeps case", "keeps accents", "few tokens"])
def pair(request: pytest.FixtureRequest, document: dict[str, Any]) -> tuple[Tokenizer, WordPieces]:
    changes = {
        "lowers": {},
        "keeps case": {"lowercase": False},
        "keeps accents": {"strip_accents": False, "handle_chinese_chars": False},
        "few tokens": {},
    }
    changed = document | {"normalizer": document["normalizer"] | changes[request.param]}
    return both(changed, 3 if request.param == "few tokens" else MOST)


@given(TEXTS)
def test_the_ids_are_those_of_tokenizers(pair: tuple[Tokenizer, WordPieces], text: str) -> None:
    tokenizer, pieces = pair
    assert pieces(text) == tokenizer.encode(text).ids
    assert pieces(text) == tokenizer.encode(text).ids, "and they are remembered so"


def test_every_character_alone_between_and_beside_words(document: dict[str, Any]) -> None:
    tokenizer, pieces = both(document)
    points = [*range(0x700), *range(0x1F00, 0x2100), *range(0x4E00, 0x4E10), *range(0xFE00, 0x10000), 0x1F600]
    texts = [text for point in points for text in (chr(point), f"fix{chr(point)}code", f"fix {chr(point)} code")]
    assert list(pieces.many(texts)) == [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]


def test_words_are_remembered_and_forgotten(document: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pointsman.word_pieces, "MOST_WORDS", 3)
    tokenizer, pieces = both(document)
    texts = Clip().many(prompt for prompt, _, _ in PROMPTS)
    assert list(pieces.many(texts)) == [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]
    assert pieces._words is not None
    assert len(pieces._words) <= 3


@pytest.mark.parametrize(
    "changes",
    [
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"normalizer": {"type": "Lowercase"}},
        {"normalizer": None},
        {"post_processor": None},
    ],
)
def test_other_tokenizers_are_asked_each_time(document: dict[str, Any], changes: dict[str, Any]) -> None:
    tokenizer, pieces = both(document | changes)
    assert pieces._words is None
    texts = ["Fix the code, please_now", "", "[SEP] x"]
    assert list(pieces.many(texts)) == [tokenizer.encode(text).ids for text in texts]
    assert [pieces(text) for text in texts] == [tokenizer.encode(text).ids for text in texts]
