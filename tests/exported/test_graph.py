"""The ONNX graph gives the probabilities of the training path, on any onnxruntime we support."""

from __future__ import annotations

import builtins
import hashlib
import sys
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from tokenizers import Tokenizer

from pointsman.classifier import read
from pointsman.conformance import PROMPTS
from pointsman.encoders import TransformerEncoder
from pointsman.errors import MissingExtraError, PointsmanError
from pointsman.graph import INPUTS, OUTPUTS, GraphInfo, export_graph

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pointsman.decide import Reading
    from pointsman.heads import Heads

PROMPT_TEXTS = [prompt for prompt, _, _ in PROMPTS]


def run(path: Path, encoder: TransformerEncoder, prompts: Sequence[str], together: bool) -> list[NDArray[Any]]:
    """Run a graph on prompts, in one padded batch or one by one."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rows = [e.ids for e in Tokenizer.from_str(encoder.tokenizer_json()).encode_batch(encoder.clip.many(prompts))]
    outputs = []
    for batch in [rows] if together else [[row] for row in rows]:
        width = max(map(len, batch))
        mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in batch], dtype=np.int64)
        ids = np.array([row + [0] * (width - len(row)) for row in batch], dtype=np.int64)
        outputs.append(session.run(None, dict(zip(INPUTS, (ids, mask), strict=True))))
    return [np.concatenate(parts) for parts in zip(*outputs, strict=True)]


def told(reading: Reading) -> list[NDArray[Any]]:
    """Return what was read, without what the heads cannot tell."""
    return [values for values in vars(reading).values() if values is not None]


@pytest.mark.parametrize("together", [True, False])
def test_probabilities_are_those_of_encoder_and_heads(
    tiny_encoder: TransformerEncoder, tiny_heads: Heads, tiny_graph: tuple[Path, GraphInfo], together: bool
) -> None:
    expected = told(read(tiny_encoder, tiny_heads, PROMPT_TEXTS))
    for got, want in zip(run(tiny_graph[0], tiny_encoder, PROMPT_TEXTS, together), expected, strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
        assert np.ptp(want, axis=0).min() > 0.1, "the heads of this test must not be constant"


def test_packaged_minilm(tmp_path: Path, make_heads: Callable[..., Heads]) -> None:
    encoder = TransformerEncoder()
    heads = make_heads(encoder.dimensions, 8, 4, encoder.vocabulary_size)
    info = export_graph(encoder, heads, tmp_path / "m.onnx")
    assert (info.dimensions, info.intents, info.candidates, info.max_tokens) == (384, 8, 4, 128)
    prompts = PROMPT_TEXTS[::3]
    expected = told(read(encoder, heads, prompts))
    for got, want in zip(run(tmp_path / "m.onnx", encoder, prompts, together=True), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_structure_is_counted_in_the_graph_as_in_training(
    tiny_encoder: TransformerEncoder, tiny_heads: Heads, tmp_path: Path
) -> None:
    """Structure alone decides here; the longest prompt is clipped, the empty one has no piece at all."""
    assert tiny_heads.structure is not None

    def own(weight: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.where(np.arange(len(weight))[:, None] < tiny_encoder.dimensions, 0, weight).astype(np.float32)

    parts: dict[str, Any] = {name: own(getattr(tiny_heads, name)) for name in ("intent_weight", "useful_weight")}
    bags: dict[str, Any] = {name: 0 * getattr(tiny_heads, name) for name in ("intent_pieces", "useful_pieces")}
    heads = replace(tiny_heads, lengths=None, scope=None, hallucination=None, **parts, **bags)
    export_graph(tiny_encoder, heads, tmp_path / "m.onnx")
    prompts = ["", "the code", "the code the code", "sum 4 8 15 16", "fix this code", "深 ä", "write 7! " * 400]
    expected = read(tiny_encoder, heads, prompts)
    for together in (True, False):
        got = run(tmp_path / "m.onnx", tiny_encoder, prompts, together)
        np.testing.assert_allclose(got[0], expected.intent_probs, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(got[1], expected.useful_probs, rtol=1e-4, atol=1e-6)
    assert len(np.unique(expected.useful_probs[:, 0])) == len(prompts)


def test_without_structure_the_heads_read_the_embedding_alone(
    tiny_encoder: TransformerEncoder, tiny_heads: Heads, tmp_path: Path
) -> None:
    d = tiny_encoder.dimensions
    assert tiny_heads.lengths is not None
    lengths = replace(tiny_heads.lengths, weight=tiny_heads.lengths.weight[:d])
    weights = {name: getattr(tiny_heads, name)[:d] for name in ("intent_weight", "useful_weight")}
    heads = replace(tiny_heads, structure=None, lengths=lengths, scope=None, hallucination=None, **weights)
    assert export_graph(tiny_encoder, heads, tmp_path / "m.onnx").dimensions == d
    expected = told(read(tiny_encoder, heads, PROMPT_TEXTS))
    got = run(tmp_path / "m.onnx", tiny_encoder, PROMPT_TEXTS, together=True)
    for one, want in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, want, rtol=1e-4, atol=1e-5)
    with pytest.raises(PointsmanError, match=f"{d} dimensions, the heads need {d - 5}"):
        export_graph(tiny_encoder, replace(heads, structure=tiny_heads.structure), tmp_path / "m.onnx")


def test_expected_lengths_stay_in_the_range_seen(tiny_encoder: TransformerEncoder, tiny_graph: Any) -> None:
    _, _, tokens, *_ = run(tiny_graph[0], tiny_encoder, PROMPT_TEXTS, together=True)
    assert tokens.min() == pytest.approx(20, rel=1e-4)
    assert tokens.max() == pytest.approx(900, rel=1e-4)


def test_without_known_lengths_there_is_no_output_for_them(
    tiny_encoder: TransformerEncoder, tiny_heads: Heads, tiny_graph: Any, tmp_path: Path
) -> None:
    info = export_graph(
        tiny_encoder, replace(tiny_heads, lengths=None, scope=None, hallucination=None), tmp_path / "m.onnx"
    )
    assert info.outputs == OUTPUTS
    assert tiny_graph[1].outputs == (*OUTPUTS, "output_tokens", "out_of_scope", "hallucination_probs")
    two, three = (run(path, tiny_encoder, PROMPT_TEXTS, True) for path in (tmp_path / "m.onnx", tiny_graph[0]))
    assert len(two) == 2
    for got, want in zip(two, three, strict=False):
        np.testing.assert_allclose(got, want, atol=1e-6)


def test_several_intents_and_families_are_in_the_graph(
    tiny_encoder: TransformerEncoder, tiny_heads: Heads, tiny_graph: Any, tmp_path: Path
) -> None:
    """Intents share a prompt; P(useful) does not fall along a family, in whatever order its columns are."""
    heads = replace(tiny_heads, several=True, families=((2, 0, 1),))
    info = export_graph(tiny_encoder, heads, tmp_path / "m.onnx")
    assert info.outputs == (*tiny_graph[1].outputs, "intent_labels")
    expected = told(read(tiny_encoder, heads, PROMPT_TEXTS))
    got = run(tmp_path / "m.onnx", tiny_encoder, PROMPT_TEXTS, together=True)
    for one, want in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, want, rtol=1e-4, atol=1e-5)
    assert (np.diff(got[1][:, [2, 0, 1]], axis=1) >= 0).all()
    assert (np.diff(run(tiny_graph[0], tiny_encoder, PROMPT_TEXTS, True)[1][:, [2, 0, 1]], axis=1) < 0).any()
    np.testing.assert_allclose(got[0].sum(axis=1), 1, rtol=1e-5)
    assert np.ptp(got[-1].sum(axis=1)) > 0.5, "labels need not sum to anything"


def test_oldest_supported_onnxruntime_can_load_it(tiny_graph: tuple[Path, GraphInfo]) -> None:
    path, info = tiny_graph
    model = onnx.load(path)
    versions = {entry.domain: entry.version for entry in model.opset_import}
    assert set(versions) == {""}, "only standard operators"
    assert versions[""] == info.opset <= 21
    assert model.ir_version == info.ir_version <= 10


def test_one_file_with_named_and_dynamic_ends(tiny_graph: tuple[Path, GraphInfo]) -> None:
    path, info = tiny_graph
    model = onnx.load(path, load_external_data=False)
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    shapes = {
        node.name: [size.dim_param or size.dim_value for size in node.type.tensor_type.shape.dim]
        for node in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {
        "input_ids": ["batch", "tokens"],
        "attention_mask": ["batch", "tokens"],
        "intent_probs": ["batch", info.intents],
        "useful_probs": ["batch", info.candidates],
        "output_tokens": ["batch", info.candidates],
        "out_of_scope": ["batch", 1],
        "hallucination_probs": ["batch", info.candidates],
    }


def test_same_bytes_again_and_nothing_of_this_machine(
    tiny_encoder: TransformerEncoder, tiny_heads: Heads, tiny_graph: tuple[Path, GraphInfo], tmp_path: Path
) -> None:
    export_graph(tiny_encoder, tiny_heads, tmp_path / "again.onnx")
    again = (tmp_path / "again.onnx").read_bytes()
    assert hashlib.sha256(again).digest() == hashlib.sha256(tiny_graph[0].read_bytes()).digest()
    assert b".py" not in again
    model = onnx.load_from_string(again)
    assert (model.producer_name, model.producer_version) == ("pointsman", ""), "torch's version is provenance"


def test_export_is_silent(
    tiny_encoder: TransformerEncoder, tiny_heads: Heads, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_graph(tiny_encoder, tiny_heads, tmp_path / "m.onnx")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("pooling", ["cls", "max"])
def test_other_pooling_is_refused_by_name(
    make_encoder: Callable[..., Path], tiny_heads: Heads, tmp_path: Path, pooling: str
) -> None:
    encoder = TransformerEncoder(make_encoder(tmp_path, pooling))
    with pytest.raises(PointsmanError, match=f"pools by '{pooling}'; only 'mean'"):
        export_graph(encoder, tiny_heads, tmp_path / "m.onnx")


def test_heads_of_another_width_are_refused(
    tiny_encoder: TransformerEncoder, make_heads: Callable[..., Heads], tmp_path: Path
) -> None:
    with pytest.raises(PointsmanError, match="32 dimensions, the heads need 16"):
        export_graph(tiny_encoder, make_heads(16, 3, 3), tmp_path / "m.onnx")


def test_heads_of_another_vocabulary_are_refused(
    tiny_encoder: TransformerEncoder, make_heads: Callable[..., Heads], tmp_path: Path
) -> None:
    with pytest.raises(PointsmanError, match=f"{tiny_encoder.vocabulary_size} pieces, the heads need 7"):
        export_graph(tiny_encoder, make_heads(32, 3, 3, 7), tmp_path / "m.onnx")


def test_missing_extra_is_named(
    tiny_encoder: TransformerEncoder, tiny_heads: Heads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without_onnx(name: str, *rest: Any) -> Any:
        if name == "onnx":
            raise ModuleNotFoundError("No module named 'onnx'", name="onnx")
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "onnx")
    monkeypatch.setattr(builtins, "__import__", without_onnx)
    with pytest.raises(MissingExtraError, match=r"pip install 'pointsman\[train\]'"):
        export_graph(tiny_encoder, tiny_heads, tmp_path / "m.onnx")
