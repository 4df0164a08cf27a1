"""The heads as one torch module, for the graph: from the embedding and the word pieces of a prompt to every output.

It knows nothing of the encoder: whatever makes (n, d) embeddings of the same piece ids may stand before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from pointsman.heads import LEAST_SHARE, TABLE_MARGIN
from pointsman.structure import COUNTS, FARTHEST, WEIGHT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pointsman.heads import Heads, RiskHead
    from pointsman.scope_head import ScopeHead

__all__ = ["HeadLayers", "constant"]


class HeadLayers(torch.nn.Module):
    """The heads of a bundle; see `pointsman.heads.Heads`, which defines what they say.

    Called with ``input_ids`` and ``attention_mask``, (n, tokens) each, and (n, d) embeddings of unit length; returns
    ``intent_probs``, ``useful_probs`` and the optional outputs that there are, in the order of
    `pointsman.manifest.OPTIONAL`.
    """

    row_of: torch.Tensor

    def __init__(self, heads: Heads) -> None:
        super().__init__()
        self.heads = heads
        self.k, self.m = heads.table.shape
        self.intent_weight, self.intent_bias = constant(heads.intent_weight), constant(heads.intent_bias)
        self.table = constant(heads.table)
        self.useful_weight, self.useful_bias = constant(heads.useful_weight), constant(heads.useful_bias)
        by_piece = [heads.intent_pieces, heads.useful_pieces]
        if heads.lengths is not None:
            by_piece.append(heads.lengths.pieces)
            self.length_table, self.length_weight = constant(heads.lengths.table), constant(heads.lengths.weight)
            self.length_bias = constant(heads.lengths.bias)
            self.shortest, self.longest = constant(heads.lengths.shortest), constant(heads.lengths.longest)
        if heads.hallucination is not None:
            by_piece.append(heads.hallucination.pieces)
            self.risk = _Risk(heads.hallucination)
        if heads.scope is not None:
            self.scope = _Scope(heads.scope)
        idf = heads.idf[:, None]
        summed = [
            idf * np.concatenate(by_piece, axis=1),
            np.square(idf),
        ]  # one gather and one sum for all that is summed
        if heads.structure is not None:
            summed.append(heads.structure.counted)
            self.structure_mean = constant(heads.structure.mean)
            self.structure_scale = constant(heads.structure.scale)
        self.summed = sum(part.shape[1] for part in by_piece)
        # Most pieces were never learned from and differ in their counts alone: rows that are alike are kept once.
        rows, at = np.unique(np.concatenate(summed, axis=1).astype(np.float32), axis=0, return_inverse=True)
        self.rows = constant(rows)
        self.register_buffer("row_of", torch.from_numpy(at.reshape(-1).astype(np.int32)))

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, embedding: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Return the outputs."""
        heads, k, m = self.heads, self.k, self.m
        mask = attention_mask.unsqueeze(-1).to(embedding.dtype)
        found = (torch.nn.functional.embedding(self.row_of[input_ids], self.rows) * mask).sum(1)
        if heads.structure is not None:
            columns = (_columns(found[:, -len(COUNTS) :]) - self.structure_mean) * self.structure_scale
            embedding = torch.cat([embedding, columns.clamp(-FARTHEST * WEIGHT, FARTHEST * WEIGHT)], dim=1)
        found = found[:, : self.summed] / found[:, self.summed : self.summed + 1].sqrt().clamp(min=1e-12)
        logits = embedding @ self.intent_weight + found[:, :k] + self.intent_bias
        labels = torch.sigmoid(logits / heads.intent_temperature) if heads.several else None
        if labels is None:
            intent = torch.softmax(logits / heads.intent_temperature, dim=1)
        else:
            intent = (labels + LEAST_SHARE) / (labels + LEAST_SHARE).sum(1, keepdim=True)
        evidence = embedding @ self.useful_weight + found[:, k : k + m] + self.useful_bias
        useful = torch.sigmoid((_log_odds(intent @ self.table) + evidence) / heads.useful_temperature)
        outputs, at = [intent, _pooled(useful, heads.families)], k + m
        if heads.lengths is not None:
            logs = intent @ self.length_table + embedding @ self.length_weight + self.length_bias
            logs = logs + found[:, at : at + m]
            outputs.append(torch.exp(torch.minimum(torch.maximum(logs, self.shortest), self.longest)) - 1)
            at += m
        if heads.scope is not None:
            outputs.append(self.scope(embedding, logits))
        if heads.hallucination is not None:
            outputs.append(self.risk(embedding, found[:, at : at + m], intent))
        if labels is not None:
            outputs.append(labels)
        return tuple(outputs)


class _Risk(torch.nn.Module):
    def __init__(self, head: RiskHead) -> None:
        super().__init__()
        self.table, self.weight, self.bias = constant(head.table), constant(head.weight), constant(head.bias)
        self.temperature = head.temperature

    def forward(self, embedding: torch.Tensor, pieces: torch.Tensor, intent: torch.Tensor) -> torch.Tensor:
        evidence = embedding @ self.weight + pieces + self.bias
        return torch.sigmoid((_log_odds(intent @ self.table) + evidence) / self.temperature)


class _Scope(torch.nn.Module):
    whitening: torch.Tensor
    centres: torch.Tensor
    middle: torch.Tensor

    def __init__(self, head: ScopeHead) -> None:
        super().__init__()
        self.raw, self.tail = head.raw, head.tail
        for name in ("whitening", "centres", "middle"):
            values = getattr(head.raw, name)
            if values is not None:
                setattr(self, name, constant(values))
        if head.raw.direction is not None:
            self.direction = constant(head.raw.direction[:, None])
        self.last = float(head.knots[-1])
        self.least, self.left = float(head.levels[0]), float(1 - head.levels[-1])
        self.knots = constant(head.knots[:-1])
        self.gaps, self.rises = constant(np.diff(head.knots)), constant(np.diff(head.levels)[:, None])

    def forward(self, embedding: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        raw = torch.zeros_like(logits[:, :1]) + self.raw.bias
        if self.raw.energy:
            most = logits.amax(1, keepdim=True)
            raw = raw - self.raw.energy * (most + torch.exp(logits - most).sum(1, keepdim=True).log())
        if self.raw.whitening is not None and self.raw.centres is not None:
            points = (embedding if self.raw.middle is None else embedding - self.middle) @ self.whitening
            squared = points.square().sum(1, keepdim=True) - 2 * points @ self.centres.T
            squared = squared + self.centres.square().sum(1)
            raw = raw + self.raw.distance * squared.clamp(min=0).amin(1, keepdim=True)
        if self.raw.direction is not None:
            raw = raw + embedding @ self.direction
        level = ((raw - self.knots) / self.gaps).clamp(0, 1) @ self.rises + self.least  # a sum of ramps
        found: torch.Tensor = level + self.left * (1 - torch.exp(-(raw - self.last).clamp(min=0) / self.tail))
        return found


def _pooled(probs: torch.Tensor, families: tuple[tuple[int, ...], ...]) -> torch.Tensor:
    """Return what `pointsman.heads.pooled` does."""
    columns = list(probs.unbind(1)) if families else []
    for family in families:
        size = len(family)
        means = {
            (low, high): probs[:, list(family[low : high + 1])].mean(1)
            for low in range(size)
            for high in range(low, size)
        }
        for at, column in enumerate(family):
            lows = [torch.stack([means[low, high] for high in range(at, size)]).amin(0) for low in range(at + 1)]
            columns[column] = torch.stack(lows).amax(0)
    return torch.stack(columns, dim=1) if families else probs


def _log_odds(averages: torch.Tensor) -> torch.Tensor:
    held = averages.clamp(TABLE_MARGIN, 1 - TABLE_MARGIN)
    return torch.log(held / (1 - held))


def _columns(sums: torch.Tensor) -> torch.Tensor:
    """Return the columns of `pointsman.structure.COLUMNS`, (n, 5), of what was counted, (n, 3)."""
    pieces, numbers, characters = sums[:, 0].clamp(min=1), sums[:, 1], sums[:, 2].clamp(min=1)
    length = pieces.log()
    return torch.stack(
        [length, length.square(), (1 + numbers).log(), numbers / pieces, (characters / pieces).log()], dim=1
    )


def constant(array: NDArray[np.floating]) -> torch.nn.Parameter:
    """Return an array as a constant of the graph."""
    return torch.nn.Parameter(torch.tensor(array, dtype=torch.float32), requires_grad=False)
