"""What a request asked, of messages in the layouts that have bitten."""

from __future__ import annotations

from typing import Any

import pytest

from pointsman.readers.messages import Asked, asked


@pytest.mark.parametrize(
    ("message", "prompt", "modality"),
    [
        ({"role": "user", "content": "What is this?", "images": ["aGVsbG8="]}, "What is this?", "image"),
        ({"role": "user", "parts": [{"type": "blob", "modality": "image", "content": "aGVsbG8="}]}, "", "image"),
        ({"role": "user", "parts": [{"type": "text", "content": "Hello"}]}, "Hello", "text"),
        ({"role": "user", "content": [{"type": "text", "text": "Hello"}]}, "Hello", "text"),
        ({"role": "user", "content": [{"type": "text", "text": None}]}, None, "text"),
        ({"role": "user", "content": [{"type": ["text"], "text": "Hello"}]}, "Hello", "text"),
        ({"type": ["human"], "content": "Hello"}, "Hello", "text"),
    ],
)
def test_text_and_data_of_a_message(message: dict[str, Any], prompt: str | None, modality: str) -> None:
    found = asked([message])
    assert (found.prompt, found.modality) == (prompt, modality)


def test_messages_nested_without_end_ask_nothing() -> None:
    nested: Any = "Hello"
    for _ in range(5000):
        nested = [nested]
    assert asked(nested) == Asked()
    assert asked([{"role": "user", "content": nested}]) == Asked()
