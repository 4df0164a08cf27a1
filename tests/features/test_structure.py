"""Length and numbers of a prompt as columns beside the embedding."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pointsman.structure import COLUMNS, COUNTS, FARTHEST, WEIGHT, Structure

VOCABULARY = {"[CLS]": 0, "sum": 1, "##ming": 2, "48": 3, "##5": 4, "{": 5, "深": 6, "▁word": 7, "##;": 8, "4x": 9}
SPECIAL = [0]
SOME = [[0, 1, 0], [0, 1, 2, 3, 4, 0], [0, 5, 5, 8, 1, 7, 7, 6, 9, 0]]
IDS = st.lists(st.lists(st.integers(0, 9), max_size=30), min_size=1, max_size=6)


def test_a_piece_adds_what_its_text_holds() -> None:
    counted = Structure.fit(SOME, VOCABULARY, SPECIAL).counted
    assert counted.dtype == np.float32
    want = {
        "[CLS]": (0, 0, 0),
        "sum": (1, 0, 3),
        "##ming": (1, 0, 4),
        "48": (1, 1, 2),
        "##5": (1, 1, 1),
        "{": (1, 0, 1),
        "深": (1, 0, 1),
        "▁word": (1, 0, 4),
        "##;": (1, 0, 1),
        "4x": (1, 1, 2),
    }
    assert len(COUNTS) == 3
    assert {piece: tuple(counted[index]) for piece, index in VOCABULARY.items()} == want


def test_columns_follow_their_formulas() -> None:
    """The second prompt, «summing485»: four pieces, two with digits, ten characters."""
    structure = Structure.fit(SOME, VOCABULARY, SPECIAL)
    plain = Structure(structure.counted, np.zeros(5, dtype=np.float32), np.full(5, 0.01, dtype=np.float32))
    length = np.log(4)
    want = [length, length**2, np.log(3), 2 / 4, np.log(10 / 4)]
    found = plain.transform(SOME)
    assert found.shape == (3, len(COLUMNS))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[1], 0.01 * np.array(want), rtol=1e-6)
    assert found[0, :2].tolist() == [0, 0]


def test_columns_are_centred_and_scaled_by_the_prompts_learned_from() -> None:
    generator = np.random.default_rng(0)
    ids = [list(generator.integers(1, 10, size)) for size in generator.integers(3, 60, 500)]
    found = Structure.fit(ids, VOCABULARY, SPECIAL).transform(ids)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=0.01)
    np.testing.assert_allclose(found.std(axis=0), WEIGHT, rtol=0.05)


def test_what_was_always_alike_says_nothing_of_a_prompt_that_differs() -> None:
    structure = Structure.fit([[0, 1, 0]] * 4, VOCABULARY, SPECIAL)
    assert not structure.transform([[0, 3, 5, 2, 2, 2, 0]]).any()


@given(IDS, IDS)
def test_any_prompt_has_columns_within_bounds(learned: list[list[int]], others: list[list[int]]) -> None:
    """An empty prompt and one of nothing but sentence marks, too."""
    found = Structure.fit(learned, VOCABULARY, SPECIAL).transform([*others, [], [0, 0]])
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= np.float32(FARTHEST * WEIGHT)


@given(IDS)
def test_order_and_special_pieces_do_not_count(ids: list[list[int]]) -> None:
    structure = Structure.fit(SOME, VOCABULARY, SPECIAL)
    other = [[0, *reversed(row), 0, 0] for row in ids]
    np.testing.assert_array_equal(structure.transform(ids), structure.transform(other))


def test_no_prompt_is_no_row() -> None:
    assert Structure.fit(SOME, VOCABULARY, SPECIAL).transform([]).shape == (0, 5)
