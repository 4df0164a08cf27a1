"""The classifier of a bundle, running: prompts to probabilities in onnxruntime, one prompt or many."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.decide import Reading
from pointsman.errors import BundleError
from pointsman.manifest import MODEL, TOKENIZER
from pointsman.operators import check_graph
from pointsman.text import Clip
from pointsman.word_pieces import WordPieces

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pointsman.bundle import Bundle

__all__ = ["Progress", "Prompt", "Session"]

Prompt = str | bytes | None
Progress = Callable[[int, int], None]

TOKENS_PER_RUN = 512
"""Padded tokens in one pass of the graph: short prompts gain from company, long ones do not."""


class Session:
    """A graph, its tokenizer and its clip; safe to share between threads. Made by `Session.load`."""

    def __init__(self, graph: Any, tokenizer: Any, pieces: WordPieces, clip: Clip, io: Mapping[str, Any]) -> None:
        self._graph = graph
        self._tokenizer = tokenizer
        self._pieces = pieces
        self._clip = clip
        self._io = io
        self._inputs, self._outputs = tuple(io["inputs"]), list(io["outputs"])
        self._pad = [int(io["pad_id"])]
        self._masks: dict[int, NDArray[np.int64]] = {}

    @classmethod
    def load(cls, bundle: Bundle, threads: int = 1) -> Session:
        """Start the bundle's graph on `threads` threads and run it once; raise BundleError where it does not fit."""
        clip = Clip(bundle.policy.text.head_chars, bundle.policy.text.tail_chars)
        tokenizer, pieces = _tokenizer(bundle)
        session = cls(_graph(bundle, threads), tokenizer, pieces, clip, bundle.io)
        bundle.verify(MODEL)  # a bundle swapped in while it was being read does not pass
        session._try_out(str(bundle.path / MODEL))
        return session

    def read(self, texts: Sequence[Prompt], progress: Progress | None = None) -> Reading:
        """Return what the graph reads in n prompts, float32; `progress` gets (done, total)."""
        rows = self.token_ids(texts)
        widths = output_widths(self._io)
        outputs = [np.empty((len(rows), width), dtype=np.float32) for width in widths]
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        start = 0
        while start < len(order):
            stop = start + 1
            while stop < len(order) and len(rows[order[stop]]) * (stop + 1 - start) <= TOKENS_PER_RUN:
                stop += 1
            at = order[start:stop]
            for output, part in zip(outputs, self._run([rows[index] for index in at]), strict=True):
                output[at] = part
            start = stop
            if progress is not None:
                progress(start, len(order))
        return self._reading(outputs)

    def read_one(self, text: Prompt) -> Reading:
        """Return what the graph reads in one prompt: `read` of one, without what only several need."""
        ids = np.array((self._pieces(self._clip(text)) or self._pad,), dtype=np.int64)
        mask = self._masks.get(ids.shape[1])
        if mask is None:
            mask = self._masks[ids.shape[1]] = np.ones(ids.shape, dtype=np.int64)
        of_ids, of_mask = self._inputs
        return self._reading(self._graph.run(self._outputs, {of_ids: ids, of_mask: mask}))

    def token_ids(self, texts: Sequence[Prompt]) -> list[list[int]]:
        """Return the token ids that the graph reads of each prompt, after clipping."""
        pad = self._pad
        return [ids or pad for ids in self._pieces.many(map(self._clip, texts))]

    def _run(self, rows: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """Run the graph on rows of token ids, padded to the longest."""
        io = self._io
        ids = np.full((len(rows), max(map(len, rows))), io["pad_id"], dtype=np.int64)
        mask = np.zeros(ids.shape, dtype=np.int64)
        for at, row in enumerate(rows):
            ids[at, : len(row)] = row
            mask[at, : len(row)] = 1
        outputs: list[NDArray[np.float32]] = self._graph.run(
            self._outputs, dict(zip(self._inputs, (ids, mask), strict=True))
        )
        return outputs

    def _reading(self, outputs: list[NDArray[np.float32]]) -> Reading:
        return Reading(*outputs[:2], **dict(zip(self._outputs[2:], outputs[2:], strict=True)))

    def _try_out(self, where: str) -> None:
        """Run the graph once, at full length: a tokenizer, a pad or a length of another model, or NaN, shows here."""
        last = self._tokenizer.get_vocab_size() - 1
        try:
            outputs = self._run([[self._io["pad_id"], *[last] * (self._io["max_tokens"] - 1)], [last]])
        except Exception as error:  # onnxruntime has no common base class of its errors
            raise BundleError(
                f"{where}: fails on the tokenizer's last token, or at max_tokens: {_first_line(error)}"
            ) from error
        if [output.shape for output in outputs] != [(2, width) for width in output_widths(self._io)]:
            raise BundleError(f"{where}: gives arrays of shapes {[output.shape for output in outputs]} for 2 prompts")
        if not all(np.isfinite(output).all() for output in outputs):
            raise BundleError(f"{where}: gives values that are not finite numbers")


def output_widths(io: Mapping[str, Any]) -> list[int]:
    """Return how wide each output of the graph is: one column per intent, or per candidate, or one alone."""
    of = {"out_of_scope": 1, "intent_labels": io["intents"]}
    return [io["intents"], *[of.get(name, io["candidates"]) for name in io["outputs"][1:]]]


def _graph(bundle: Bundle, threads: int) -> Any:
    """Return an onnxruntime session whose inputs and outputs are what manifest and policy say."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised, not printed
    options.enable_mem_pattern = False  # lengths vary: a plan per shape would only pile up
    options.add_session_config_entry("session.load_model_format", "ONNX")  # what was checked, whatever its name says
    where = bundle.path / MODEL
    check_graph(bundle.read(MODEL), str(where))
    try:
        session = onnxruntime.InferenceSession(str(where), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no common base class of its errors
        raise BundleError(f"{where}: onnxruntime does not load it: {_first_line(error)}") from error
    needed: list[tuple[str, str, int, int | None]] = [(name, "tensor(int64)", 2, None) for name in bundle.io["inputs"]]
    needed += [
        (name, "tensor(float)", 2, width)
        for name, width in zip(bundle.io["outputs"], output_widths(bundle.io), strict=True)
    ]
    for name, kind, rank, width in needed:
        nodes = [node for node in (*session.get_inputs(), *session.get_outputs()) if node.name == name]
        if not nodes:
            raise BundleError(f"{where}: has no {name!r}, which the manifest names")
        shape = nodes[0].shape
        if nodes[0].type != kind or len(shape) != rank or width not in (None, shape[1]):
            raise BundleError(f"{where}: {name} is {nodes[0].type} {shape}; {kind} (n, {width or 'tokens'}) is needed")
    return session


def _tokenizer(bundle: Bundle) -> tuple[Any, WordPieces]:
    from tokenizers import Tokenizer

    try:
        text = bundle.read(TOKENIZER).decode()
        tokenizer = Tokenizer.from_str(text)
    except BundleError:
        raise
    except Exception as error:  # tokenizers raises plain Exception
        raise BundleError(f"{bundle.path / TOKENIZER}: tokenizers does not load it: {_first_line(error)}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=bundle.io["max_tokens"])
    return tokenizer, WordPieces(tokenizer, text, bundle.io["max_tokens"])


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
