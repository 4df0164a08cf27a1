"""The static encoder: look-ups, int8 rows, one hidden layer; the same numbers by numpy and by the graph's module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pointsman.static_encoder import StaticEncoder, StaticWeights, pair_buckets, quantised
from pointsman.text import Clip

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pointsman.encoders import TransformerEncoder

TEXTS = ["fix this code", "code this fix", "what is the sum", "", "深 🚉", "hello " * 500]


@pytest.fixture(scope="module")
def encoder(tiny_encoder: TransformerEncoder) -> StaticEncoder:
    generator = np.random.default_rng(0)

    def draw(*shape: int) -> NDArray[np.float32]:
        return generator.normal(size=shape).astype(np.float32)

    size = tiny_encoder.vocabulary_size
    weights = StaticWeights(quantised(draw(size, 8)), quantised(draw(64, 8)), draw(8, 16), draw(16))
    return StaticEncoder(weights, tiny_encoder.tokenizer_json(), "static", tiny_encoder.clip, tiny_encoder.pad_id)


def padded(encoder: StaticEncoder, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    rows = encoder.token_ids(texts)
    width = max(map(len, rows)) + 3
    ids = np.full((len(rows), width), encoder.pad_id, dtype=np.int64)
    mask = np.zeros_like(ids)
    for at, row in enumerate(rows):
        ids[at, : len(row)], mask[at, : len(row)] = row, 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def test_the_graph_says_what_numpy_says(encoder: StaticEncoder) -> None:
    with torch.inference_mode():
        found = encoder.module()(*padded(encoder, TEXTS)).numpy()
    assert found == pytest.approx(encoder.encode(TEXTS), abs=1e-6)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)


def test_order_tells_only_by_neighbours(encoder: StaticEncoder) -> None:
    first, second = encoder.encode(TEXTS[:2])
    assert np.abs(first - second).max() > 1e-3
    weights = encoder.weights
    blind = StaticWeights(weights.pieces, quantised(np.zeros((64, 8), dtype=np.float32)), weights.hidden, weights.bias)
    without = StaticEncoder(blind, encoder.tokenizer_json(), "blind", encoder.clip, encoder.pad_id)
    one, other = without.encode(TEXTS[:2])
    assert one == pytest.approx(other, abs=1e-6)


@given(st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=4, max_size=4), min_size=1, max_size=5))
def test_a_row_is_rounded_to_its_own_largest_value(rows: list[list[float]]) -> None:
    table = np.array(rows, dtype=np.float32)
    back = quantised(table)[np.arange(len(table))]
    assert (np.abs(back - table) <= np.abs(table).max(axis=1, keepdims=True) / 254 + 1e-6).all()


def test_pairs_go_to_the_buckets_that_ports_compute() -> None:
    ids = np.array([101, 2023, 30521, 102])
    wanted = [(a * 1_000_003 + b * 7_919) % 65_536 for a, b in zip(ids[:-1].tolist(), ids[1:].tolist(), strict=True)]
    assert pair_buckets(ids, 65_536).tolist() == wanted


def test_identity_tells_weights_apart(encoder: StaticEncoder) -> None:
    weights = encoder.weights
    other = StaticWeights(weights.pieces, weights.pairs, weights.hidden, weights.bias + 1)
    assert StaticEncoder(other, encoder.tokenizer_json(), "x").identity != encoder.identity
    assert StaticEncoder(weights, encoder.tokenizer_json(), "x", Clip(1, 1)).identity == encoder.identity
