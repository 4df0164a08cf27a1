"""The static encoder: vectors of word pieces and of hashed neighbours, averaged, then one hidden layer.

A prompt with piece ids t₁…t_s becomes ``unit(relu(W·(mean P[tᵢ] + mean Q[h(tᵢ, tᵢ₊₁)]) + b))``, where h hashes a pair
of neighbours into one of the buckets of Q. Both tables are int8 with one scale a row: what trains heads is what serves.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.text import Clip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from numpy.typing import NDArray

__all__ = ["PAIR_FACTORS", "Quantised", "StaticEncoder", "StaticWeights", "pair_buckets", "quantised"]

PAIR_FACTORS = (1_000_003, 7_919)
"""A pair (a, b) goes to bucket ``(a·1000003 + b·7919) mod buckets``."""


@dataclass(frozen=True, eq=False)
class Quantised:
    """A table of int8 rows with a scale each.

    Attributes
    ----------
    rows : (n, d) int8 array
    scale : (n, 1) float32 array
        A row's values are ``rows · scale``.
    """

    rows: NDArray[np.int8]
    scale: NDArray[np.float32]

    def __getitem__(self, at: Any) -> NDArray[np.float32]:
        """Return rows as float32."""
        return np.asarray(self.rows[at].astype(np.float32) * self.scale[at])


def quantised(table: NDArray[np.float32]) -> Quantised:
    """Round each row of a table to 255 steps of its own largest value."""
    largest = np.abs(table).max(axis=1, keepdims=True)
    scale = np.where(largest > 1e-30, largest / 127, 1).astype(np.float32)  # no step that rounds to 0
    return Quantised(np.rint(table / scale).astype(np.int8), scale)


@dataclass(frozen=True, eq=False)
class StaticWeights:
    """What a static encoder learned.

    Attributes
    ----------
    pieces : Quantised
        (v, d), a row a word piece.
    pairs : Quantised
        (buckets, d), a row a bucket of neighbouring pairs.
    hidden, bias : (d, h), (h,) float32 array
        The hidden layer.
    """

    pieces: Quantised
    pairs: Quantised
    hidden: NDArray[np.float32]
    bias: NDArray[np.float32]


def pair_buckets(ids: NDArray[np.int64], buckets: int) -> NDArray[np.int64]:
    """Return the bucket of each pair of neighbours in one row of ids, (s − 1,)."""
    first, second = PAIR_FACTORS
    return (ids[:-1] * first + ids[1:] * second) % buckets


class StaticEncoder:
    """Prompts to vectors by table look-ups; made by `pointsman.distillation.distil`.

    Parameters
    ----------
    weights : StaticWeights
    tokenizer_json : str
        Text of a ``tokenizer.json`` that truncates as this encoder does.
    name : str
    clip : Clip, optional
        How prompts are cut before they are tokenised.
    pad_id : int
        Token that fills the shorter rows of a batch.
    """

    def __init__(
        self, weights: StaticWeights, tokenizer_json: str, name: str, clip: Clip | None = None, pad_id: int = 0
    ) -> None:
        from tokenizers import Tokenizer

        self.weights = weights
        self.name = name
        self.clip = clip or Clip()
        self._pad_id = pad_id
        self._json = tokenizer_json
        self._tokenizer = Tokenizer.from_str(tokenizer_json)

    @property
    def pad_id(self) -> int:
        """Token that fills the shorter rows of a batch."""
        return self._pad_id

    @property
    def dimensions(self) -> int:
        """Length h of an embedding."""
        return int(self.weights.hidden.shape[1])

    @property
    def max_tokens(self) -> int:
        """Tokens read of a prompt, special tokens included."""
        return int((self._tokenizer.truncation or {})["max_length"])

    @property
    def vocabulary(self) -> dict[str, int]:
        """Ids of the v word pieces."""
        return dict(self._tokenizer.get_vocab())

    @property
    def vocabulary_size(self) -> int:
        """Number of word pieces, v."""
        return int(self._tokenizer.get_vocab_size())

    @property
    def special_ids(self) -> list[int]:
        """Ids that carry no meaning: sentence marks, padding, unknown."""
        return sorted(at for at, token in self._tokenizer.get_added_tokens_decoder().items() if token.special)

    @property
    def identity(self) -> str:
        """Hex SHA-256 of weights and tokenizer."""
        digest = hashlib.sha256(self._json.encode())
        weights = self.weights
        tables = (weights.pieces.rows, weights.pieces.scale, weights.pairs.rows, weights.pairs.scale)
        for part in (*tables, weights.hidden, weights.bias):
            digest.update(str(part.shape).encode() + np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    def tokenizer_json(self) -> str:
        """Return the tokenizer as the text of a ``tokenizer.json``."""
        return self._json

    def token_ids(self, prompts: Sequence[str]) -> list[list[int]]:
        """Return the word pieces read of each prompt, sentence marks included."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(self.clip.many(prompts))]

    def encode(self, prompts: Sequence[str], progress: Callable[[int, int], None] | None = None) -> NDArray[np.float32]:
        """Return embeddings, (n, h) float32 of unit length; `progress` is called with (done, total)."""
        rows = self.token_ids(prompts)
        weights = self.weights
        out = np.empty((len(rows), self.dimensions), dtype=np.float32)
        for start in range(0, len(rows), 1024):
            chunk = rows[start : start + 1024]
            bags = np.empty((len(chunk), weights.hidden.shape[0]), dtype=np.float32)
            for at, row in enumerate(chunk):
                ids = np.array(row or [self._pad_id], dtype=np.int64)
                bags[at] = weights.pieces[ids].mean(axis=0)
                if len(ids) > 1:
                    bags[at] += weights.pairs[pair_buckets(ids, len(weights.pairs.rows))].mean(axis=0)
            hidden = np.maximum(bags @ weights.hidden + weights.bias, 0)
            out[start : start + len(chunk)] = hidden / np.maximum(np.linalg.norm(hidden, axis=1, keepdims=True), 1e-9)
            if progress is not None:
                progress(start + len(chunk), len(rows))
        return out

    def module(self) -> torch.nn.Module:
        """Return the encoder as a torch module: (n, tokens) ids and mask to (n, h) embeddings of unit length."""
        import torch

        weights = self.weights
        first, second = PAIR_FACTORS

        class Static(torch.nn.Module):
            pieces: torch.Tensor
            pieces_scale: torch.Tensor
            pairs: torch.Tensor
            pairs_scale: torch.Tensor
            hidden: torch.Tensor
            bias: torch.Tensor

            def __init__(self) -> None:
                super().__init__()
                for name, table in (("pieces", weights.pieces), ("pairs", weights.pairs)):
                    self.register_buffer(name, torch.from_numpy(table.rows))
                    self.register_buffer(f"{name}_scale", torch.from_numpy(table.scale))
                self.register_buffer("hidden", torch.from_numpy(weights.hidden))
                self.register_buffer("bias", torch.from_numpy(weights.bias))

            def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
                mask = attention_mask.unsqueeze(-1).to(torch.float32)
                found = (self.pieces[input_ids].to(torch.float32) * (self.pieces_scale[input_ids] * mask)).sum(1)
                found = found / mask.sum(1).clamp(min=1)
                pairs = (input_ids[:, :-1] * first + input_ids[:, 1:] * second) % self.pairs.shape[0]
                mask = mask[:, 1:]
                beside = (self.pairs[pairs].to(torch.float32) * (self.pairs_scale[pairs] * mask)).sum(1)
                found = found + beside / mask.sum(1).clamp(min=1)
                hidden = torch.relu(found @ self.hidden + self.bias)
                return hidden / hidden.square().sum(1, keepdim=True).sqrt().clamp(min=1e-9)

        return Static()
