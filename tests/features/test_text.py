"""Whatever stands in a prompt, the classifier gets a short valid text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pointsman.text import Clip, valid_text

ANY_TEXT = st.text(st.characters(codec=None, categories=None), max_size=60)
PROMPT = ANY_TEXT | st.binary(max_size=60) | st.none()
CLIP = st.builds(Clip, st.integers(0, 12), st.integers(0, 12))


@given(PROMPT)
def test_every_prompt_becomes_a_text_that_encodes(prompt: str | bytes | None) -> None:
    text = valid_text(prompt)
    assert text.encode("utf-8").decode("utf-8") == text
    assert valid_text(text) == text


@given(st.text())
def test_a_valid_text_is_itself_also_from_its_bytes(text: str) -> None:
    assert valid_text(text) == text == valid_text(text.encode())


def test_what_is_broken_becomes_the_replacement_character() -> None:
    assert valid_text("a\ud800b\udfffc") == "a\ufffdb\ufffdc"
    assert valid_text(b"a\xffb") == valid_text(bytearray(b"a\xffb")) == "a\ufffdb"  # type: ignore[arg-type]
    assert valid_text(None) == ""


@given(CLIP, PROMPT)
def test_a_clipped_prompt_is_valid_and_at_most_head_space_tail(clip: Clip, prompt: str | bytes | None) -> None:
    text = clip(prompt)
    text.encode("utf-8")
    assert len(text) <= clip.head + clip.tail + 1


@given(CLIP, PROMPT)
def test_a_prompt_is_unchanged_when_short_else_head_space_tail(clip: Clip, prompt: str | bytes | None) -> None:
    whole = valid_text(prompt)
    if len(whole) <= clip.head + clip.tail:
        assert clip(prompt) == whole
    else:
        assert clip(prompt) == whole[: clip.head] + " " + whole[len(whole) - clip.tail :]


def test_code_points_are_counted_not_bytes() -> None:
    assert Clip(2, 1)("🚉深ä") == "🚉深ä"
    assert Clip(2, 1)("🚉深äx") == "🚉深 x"


def test_many_clips_each() -> None:
    assert Clip(1, 1).many(["abc", b"ab", None]) == ["a c", "ab", ""]


def test_a_megabyte_is_cut() -> None:
    assert Clip()("x" * 2_000_000) == "x" * 400 + " " + "x" * 200
