"""A body is read as clients send it, and renaming its model changes nothing else."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.errors import PointsmanError
from pointsman.gateways.envoy.request import UnreadableError, read_request, renamed
from pointsman.gateways.envoy.settings import ProcessorSettings, header_value

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("body", "prompt", "modality"),
    [
        ({"model": "auto", "messages": [{"role": "user", "content": "hi"}]}, "hi", "text"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "see"}, PICTURE]}]}, "see", "image"),
        ({"prompt": "once upon"}, "once upon", "text"),
        ({"input": "tell me", "instructions": "be brief"}, "tell me", "text"),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "tell"}]}]}, "tell", "text"),
        ({"system": "be brief", "max_tokens": 5, "messages": [{"role": "user", "content": "hey"}]}, "hey", "text"),
    ],
)
def test_reads_what_is_asked(body: dict[str, Any], prompt: str, modality: str) -> None:
    found = read_request(json.dumps(body).encode())
    assert (found.chat.prompt, found.chat.modality, found.model) == (prompt, modality, body.get("model"))
    assert (found.chat.context_tokens > 0) is bool({"system", "instructions"} & body.keys())


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"[]", b"null", b'"x"', b"{}", b'{"model": "m"}', b"\xff", b'{"messages": NaN}',
        b'{"messages": []} {}', b'{"messages" []}', b'{"messages": [],}', b"{1: 2}", b'{"prompt": "x"',
        b'{"prompt": ' + b"[" * 100_000, b"\xef\xbb\xbf{}", b'{"messages": null}', b'{"a": "\x01"}',
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_kind_of_error(body: bytes) -> None:
    with pytest.raises(UnreadableError, match="the body "):
        read_request(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    members=st.dictionaries(st.sampled_from(["a", "model", "stream", "ünï", 'q"']), JSON, max_size=4),
    prompt=st.text(),
    model=st.text(max_size=20),
    indent=st.sampled_from([None, 2]),
    ascii_only=st.booleans(),
)
def test_renaming_changes_the_model_and_nothing_else(
    members: dict[str, Any], prompt: str, model: str, indent: int | None, ascii_only: bool
) -> None:
    members = {**members, "prompt": prompt}
    text = json.dumps(members, indent=indent, ensure_ascii=ascii_only)
    try:
        body = text.encode()
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8
        body = json.dumps(members, indent=indent).encode()
    assert json.loads(renamed(read_request(body), model)) == {**members, "model": model}


def test_every_other_byte_stays_as_it_was() -> None:
    body = b'{ "model" : "a",\t"n": 1.10, "big": ' + b"9" * 5000 + b', "prompt":"\\u00e9", "model":"b" }\n'
    assert renamed(read_request(body), "new") == body.replace(b'"a"', b'"new"').replace(b'"b"', b'"new"')
    assert renamed(read_request(b' {"prompt":1}'), "m") == b' {"model":"m","prompt":1}'


@given(st.text(), st.integers(4, 40))
def test_header_values_are_printable_ascii_of_bounded_length(text: str, most: int) -> None:
    found = header_value(text, most)
    assert len(found) <= most
    assert all(" " <= letter <= "~" for letter in found)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reading(body: bytes) -> None:
    with contextlib.suppress(UnreadableError):
        read_request(body)


def test_settings_are_checked() -> None:
    settings = ProcessorSettings()
    assert settings.routes("POST", "/v1/chat/completions?x=/models")
    assert settings.routes("POST", "/anthropic/v1/messages/")
    assert not settings.routes("GET", "/v1/chat/completions")
    assert not settings.routes("POST", "/v1/embeddings?y=/messages")
    for name, value in (("max_body_bytes", 0), ("decide_ms", float("nan")), ("max_waiting", -1), ("header", "X-Model")):
        with pytest.raises(PointsmanError, match=name):
            ProcessorSettings(**{name: value})  # type: ignore[arg-type]
