"""The whole classifier as one ONNX graph: encoder, all heads, temperatures inside."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pointsman.errors import MissingExtraError, PointsmanError
from pointsman.manifest import OPTIONAL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import torch

    from pointsman.encoders import Encoder
    from pointsman.heads import Heads

__all__ = ["INPUTS", "OPSET", "OUTPUTS", "GraphInfo", "export_graph", "outputs_of"]

OPSET = 17
"""Operator set of the graph; the first with LayerNormalization, and read by every onnxruntime since 1.12."""

INPUTS = ("input_ids", "attention_mask")
OUTPUTS = ("intent_probs", "useful_probs")


@dataclass(frozen=True)
class GraphInfo:
    """What a gateway has to know to run the graph.

    Attributes
    ----------
    inputs : tuple of str
        Names of the int64 inputs, (n, tokens) each, both dimensions dynamic.
    outputs : tuple of str
        Names of the float32 outputs: `OUTPUTS`, (n, k) and (n, m), and what there is of `pointsman.manifest.OPTIONAL`.
    max_tokens : int
        Tokens read of a prompt, special tokens included.
    dimensions, intents, candidates : int
        Length d of the embedding inside, and the widths k and m of the outputs.
    pad_id : int
        Token that fills the shorter rows of a batch; its attention_mask is 0.
    opset, ir_version : int
        Of the ONNX file.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    max_tokens: int
    dimensions: int
    intents: int
    candidates: int
    pad_id: int
    opset: int
    ir_version: int

    def io(self) -> dict[str, Any]:
        """Return the ``io`` part of a bundle's manifest as plain JSON values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def export_graph(encoder: Encoder, heads: Heads, path: Path) -> GraphInfo:
    """Write the classifier to `path` as one ONNX file and return what is needed to run it.

    The same encoder and heads give the same bytes. The probabilities are those of the training path
    (`pointsman.classifier.read`) to within float32 rounding.

    Parameters
    ----------
    encoder : Encoder
        A transformer pooled by mean, and nothing behind that but normalisation; or a static one.
    heads : Heads
        For the encoder's dimensions and v word pieces.
    path : Path
        The file to write.

    Raises
    ------
    PointsmanError
        Where the encoder does something that the graph would not, or the heads do not fit it.
    MissingExtraError
        Where the extra ``[train]`` is not installed.
    """
    try:
        import onnx
        import torch
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "train") from error
    d, k = heads.intent_weight.shape
    d -= 0 if heads.structure is None else len(heads.structure.mean)
    if d != encoder.dimensions:
        raise PointsmanError(f"{encoder.name}: embeddings have {encoder.dimensions} dimensions, the heads need {d}")
    if len(heads.idf) != encoder.vocabulary_size:
        raise PointsmanError(
            f"{encoder.name}: the vocabulary has {encoder.vocabulary_size} pieces, the heads need {len(heads.idf)}"
        )
    outputs = outputs_of(heads)
    module = _module(encoder, heads).eval()
    # Two rows of several tokens, one padded: nothing about the example's shape may be baked into the graph.
    ids = torch.full((2, 5), encoder.pad_id, dtype=torch.int64)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], dtype=torch.int64)
    dynamic = {0: "batch", 1: "tokens"}
    with _quiet(), torch.no_grad():
        torch.onnx.export(
            module,
            (ids, mask),
            str(path),
            input_names=list(INPUTS),
            output_names=list(outputs),
            dynamic_axes=dict.fromkeys(INPUTS, dynamic) | {name: {0: "batch"} for name in outputs},
            opset_version=OPSET,
            do_constant_folding=True,
            dynamo=False,  # its traced graph is the same on every run and is read by older onnxruntime
        )
    model = onnx.load(path)
    _strip(model)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return GraphInfo(
        inputs=INPUTS,
        outputs=outputs,
        max_tokens=encoder.max_tokens,
        dimensions=int(d),
        intents=int(k),
        candidates=int(heads.useful_weight.shape[1]),
        pad_id=encoder.pad_id,
        opset=OPSET,
        ir_version=int(model.ir_version),
    )


def outputs_of(heads: Heads) -> tuple[str, ...]:
    """Return the names of the outputs that these heads have, in their order."""
    there = (heads.lengths is not None, heads.scope is not None, heads.hallucination is not None, heads.several)
    return (*OUTPUTS, *(name for name, has in zip(OPTIONAL, there, strict=True) if has))


def _module(encoder: Encoder, heads: Heads) -> torch.nn.Module:
    """Return encoder and heads as one torch module of (input_ids, attention_mask)."""
    import torch

    from pointsman.head_layers import HeadLayers

    class Classifier(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder.module()
            self.heads = HeadLayers(heads)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
            found: tuple[torch.Tensor, ...] = self.heads(
                input_ids, attention_mask, self.encoder(input_ids, attention_mask)
            )
            return found

    return Classifier()


def _strip(model: Any) -> None:
    """Remove what depends on the machine and not on the model: source lines, paths, the exporter's version."""
    model.producer_name, model.producer_version, model.doc_string = "pointsman", "", ""
    del model.metadata_props[:]
    model.graph.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks about itself off the user's terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
