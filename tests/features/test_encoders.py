"""Prompts to embeddings, and the cache of them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pointsman.encoders import MAX_TOKENS, TransformerEncoder, cached_encode
from pointsman.errors import PointsmanError
from pointsman.text import Clip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

PROMPTS = ["fix this code", "what is the sum", "", "深 🚉 \ud800", "hello " * 500, "fix this code"]


class Counting(TransformerEncoder):
    """Counts how often it encodes."""

    calls = 0

    def encode(self, prompts: Sequence[str], progress: Callable[[int, int], None] | None = None) -> NDArray[np.float32]:
        self.calls += 1
        return super().encode(prompts, progress)


@pytest.fixture(scope="module")
def folder(make_encoder: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("mean"))


@pytest.fixture
def encoder(folder: Path) -> Counting:
    return Counting(folder)


def test_embeddings_are_float32_of_unit_length_in_the_prompts_order(tiny_encoder: TransformerEncoder) -> None:
    progress: list[tuple[int, int]] = []
    found = tiny_encoder.encode(PROMPTS, lambda done, total: progress.append((done, total)))
    assert found.shape == (len(PROMPTS), tiny_encoder.dimensions)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found[0], found[-1], atol=1e-6)
    np.testing.assert_allclose(found[:1], tiny_encoder.encode(PROMPTS[:1]), atol=1e-5)
    assert progress == [(len(PROMPTS), len(PROMPTS))]
    assert tiny_encoder.encode([]).shape == (0, tiny_encoder.dimensions)


def test_token_ids_are_what_the_model_reads(tiny_encoder: TransformerEncoder) -> None:
    ids = tiny_encoder.token_ids(PROMPTS)
    special = tiny_encoder.special_ids
    assert max(map(len, ids)) == tiny_encoder.max_tokens <= MAX_TOKENS
    assert all(row[0] in special and row[-1] in special for row in ids)
    assert max(map(max, ids)) < tiny_encoder.vocabulary_size
    assert sorted(tiny_encoder.vocabulary.values()) == list(range(tiny_encoder.vocabulary_size))
    assert tiny_encoder.vocabulary["[CLS]"] == ids[0][0]


def test_a_cache_hit_gives_equal_arrays_without_encoding(encoder: Counting, tmp_path: Path) -> None:
    first = cached_encode(encoder, PROMPTS, tmp_path / "new" / "cache")
    second = cached_encode(encoder, PROMPTS, tmp_path / "new" / "cache")
    np.testing.assert_array_equal(first, second)
    assert encoder.calls == 1
    assert len(list((tmp_path / "new" / "cache").iterdir())) == 1


def test_without_a_folder_nothing_is_kept(encoder: Counting) -> None:
    assert cached_encode(encoder, PROMPTS[:1], None).shape == (1, encoder.dimensions)
    cached_encode(encoder, PROMPTS[:1], None)
    assert encoder.calls == 2


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "float64", "archive", "shape"])
def test_a_damaged_cache_file_is_computed_anew(encoder: Counting, tmp_path: Path, damage: str) -> None:
    first = cached_encode(encoder, PROMPTS, tmp_path)
    (file,) = tmp_path.iterdir()
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-40])
    elif damage == "archive":
        with file.open("wb") as out:
            np.savez(out, first)
    elif damage in {"float64", "shape"}:
        np.save(file, first.astype(np.float64) if damage == "float64" else first[:2])
    else:
        file.write_bytes(b"" if damage == "empty" else b"embeddings")
    np.testing.assert_array_equal(cached_encode(encoder, PROMPTS, tmp_path), first)
    np.testing.assert_array_equal(cached_encode(encoder, PROMPTS, tmp_path), first)
    assert encoder.calls == 2


def test_other_prompts_order_or_clip_are_other_entries(encoder: Counting, folder: Path, tmp_path: Path) -> None:
    for prompts in (["ab", "c"], ["a", "bc"], ["c", "ab"]):
        cached_encode(encoder, prompts, tmp_path)
    cached_encode(TransformerEncoder(folder, Clip(1, 1)), ["ab", "c"], tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


def test_identity_tells_weights_and_pooling_apart(
    encoder: Counting, folder: Path, make_encoder: Callable[..., Path], tmp_path: Path
) -> None:
    other = Counting(folder)
    assert other.identity == encoder.identity
    parameter = next(iter(other.model.parameters()))
    parameter.data[0] += 1
    del other.identity
    assert other.identity != encoder.identity
    by_cls = TransformerEncoder(make_encoder(tmp_path, pooling="cls"))
    assert by_cls.identity != encoder.identity


def test_other_weights_do_not_share_an_entry(encoder: Counting, folder: Path, tmp_path: Path) -> None:
    other = Counting(folder)
    next(iter(other.model.parameters())).data.mul_(-3)
    first, second = cached_encode(encoder, PROMPTS, tmp_path), cached_encode(other, PROMPTS, tmp_path)
    assert other.calls == 1
    assert not np.allclose(first, second)


def test_a_cache_folder_that_is_a_file_is_an_error(encoder: Counting, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(PointsmanError, match=r"cache .*cache: cannot be written: File exists"):
        cached_encode(encoder, PROMPTS, tmp_path / "cache")
    assert encoder.calls == 0


def test_a_missing_folder_is_an_error_and_no_hub_is_asked(tmp_path: Path) -> None:
    for source in (tmp_path / "gone", str(tmp_path / "gone"), "./gone"):
        with pytest.raises(PointsmanError, match="gone': no such folder; a sentence-transformers model is needed"):
            TransformerEncoder(source)


@pytest.mark.parametrize("damage", ["weights", "config", "tokenizer"])
def test_a_damaged_model_is_one_clear_line(folder: Path, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    name = {"weights": "model.safetensors", "config": "config.json", "tokenizer": "tokenizer.json"}[damage]
    (file,) = list(copy.rglob(name))[:1]
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(PointsmanError, match="not a loadable sentence-transformers model: ") as caught:
        TransformerEncoder(copy)
    assert "\n" not in str(caught.value)
