"""The bag of word pieces beside the embedding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.lexical import Lexicon

PIECES = st.lists(st.lists(st.integers(0, 9), max_size=8), max_size=6)


def test_rarer_pieces_weigh_more_and_special_or_rare_ones_nothing() -> None:
    lexicon = Lexicon.fit([[0, 1, 2], [0, 1, 1], [0, 1, 2], [0, 1]], size=5, special=[0], min_count=2)
    assert lexicon.idf.dtype == np.float32
    assert lexicon.idf[[0, 3, 4]].tolist() == [0, 0, 0]
    assert lexicon.idf[1] == pytest.approx(np.log(5 / 5) + 1)
    assert lexicon.idf[2] == pytest.approx(np.log(5 / 3) + 1)


def test_features_follow_the_formula_repeated_pieces_counting_again() -> None:
    lexicon = Lexicon(np.array([0, 1, 2], dtype=np.float32))
    features = lexicon.transform([[0, 1, 2, 2], [0], []])
    assert features.shape == (3, 3)
    assert features.dtype == np.float32
    assert features.toarray()[0] == pytest.approx(np.array([0, 1, 4]) / 3)
    assert not features.toarray()[1:].any()


def test_no_prompt_is_no_row() -> None:
    assert Lexicon.fit([], size=4).transform([]).shape == (0, 4)


@given(PIECES, st.integers(1, 3), st.sets(st.integers(0, 9), max_size=3))
def test_every_row_is_the_sum_over_its_pieces(ids: list[list[int]], min_count: int, special: set[int]) -> None:
    lexicon = Lexicon.fit(ids, 10, special, min_count)
    found = lexicon.transform(ids).toarray()
    for row, pieces in zip(found, ids, strict=True):
        want = np.zeros(10)
        for piece in pieces:
            want[piece] += lexicon.idf[piece]
        norm = np.sqrt(sum(float(lexicon.idf[piece]) ** 2 for piece in pieces))
        np.testing.assert_allclose(row, want / norm if norm else want, rtol=1e-5)
