"""Distil a transformer into a static encoder: the student learns to say of many texts what the teacher says of them.

The teacher gives embeddings, and where it was fine-tuned on intents its logits too (Hinton et al. 2015). Tables start
from the teacher's own vectors of word pieces. Nothing here reads a label: a teacher without labels leaks none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from pointsman.augmentation import augmented, neighbours
from pointsman.finetuning import embed
from pointsman.static_encoder import StaticEncoder, StaticWeights, pair_buckets, quantised

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pointsman.encoders import TransformerEncoder

__all__ = ["THOROUGH", "Distillation", "IntentHead", "distil"]


SHORT = 4
"""Texts of no more pieces than this lose none while the student learns."""


@dataclass(frozen=True)
class Distillation:
    """How to distil.

    Attributes
    ----------
    dimensions : int
        Width d of the tables.
    buckets : int
        Rows of the table of pairs.
    hidden : int
        Width h of the embedding.
    texts : int
        New texts that the teacher labels, at most; and at most `each` for each prompt.
    each : int
    steps : int
        Batches learned from; at most `epochs` times all texts.
    epochs : int
    batch : int
    rate, table_rate : float
        Learning rates of hidden layer and heads, and of the tables.
    temperature : float
        Of teacher's and student's logits.
    drop : float
        Share of a text's pieces that are left out at random while learning.
    seed : int
    """

    dimensions: int = 128
    buckets: int = 65_536
    hidden: int = 512
    texts: int = 60_000
    each: int = 2
    steps: int = 6_000
    epochs: int = 10
    batch: int = 128
    rate: float = 2e-3
    table_rate: float = 6e-3
    temperature: float = 2.0
    drop: float = 0.1
    seed: int = 0


THOROUGH = Distillation(texts=150_000, each=10, steps=12_000)
"""For a teacher that was fine-tuned: minutes spent on it are worth more texts."""


@dataclass(frozen=True, eq=False)
class IntentHead:
    """Linear intent logits on a teacher's embedding.

    Attributes
    ----------
    weight, bias : (d, k), (k,) float32 array
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


def distil(
    teacher: TransformerEncoder,
    prompts: Sequence[str],
    head: IntentHead | None = None,
    settings: Distillation | None = None,
    progress: Callable[[int, int], None] | None = None,
    teach: Callable[[int, int], None] | None = None,
) -> tuple[StaticEncoder, IntentHead | None]:
    """Return a static encoder that says what the teacher says, and its own intent head where the teacher has one.

    Parameters
    ----------
    teacher : TransformerEncoder
    prompts : sequence of str
        That new texts are made of; at least one.
    head : IntentHead, optional
        Of a teacher that was fine-tuned on intents.
    settings : Distillation, optional
    progress : callable, optional
        Called with (steps done, steps in all).
    teach : callable, optional
        Called with (texts that the teacher read, texts in all).
    """
    settings = settings or Distillation()
    vocabulary = _piece_vectors(teacher)
    texts = [*prompts, *_new_texts(teacher, prompts, vocabulary, settings)]
    ids = teacher.token_ids(texts)
    said = embed(teacher, ids, teach)
    logits = None if head is None else said @ head.weight + head.bias
    student = _Student(vocabulary, said.shape[1], None if head is None else len(head.bias), settings)
    student.learn(ids, said, logits, progress)
    encoder = StaticEncoder(
        student.weights(), teacher.tokenizer_json(), f"static, of {teacher.name}", teacher.clip, teacher.pad_id
    )
    return encoder, student.intent_head()


def _piece_vectors(teacher: TransformerEncoder) -> NDArray[np.float32]:
    """Return the teacher's own vector of each word piece, (v, d), centred, of unit length."""
    transformer: Any = teacher.model[0]
    vectors = transformer.auto_model.get_input_embeddings().weight.detach().float().numpy()
    centred = vectors - vectors.mean(axis=0)
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9))


def _new_texts(
    teacher: TransformerEncoder, prompts: Sequence[str], vectors: NDArray[np.float32], settings: Distillation
) -> list[str]:
    """Return augmented prompts; words are replaced by those that the teacher embeds near to them."""
    used = {word.lower().strip(".,?!") for text in prompts for word in text.split()}
    whole = {piece: at for piece, at in teacher.vocabulary.items() if piece.isalpha() and len(piece) > 1}
    known = sorted(used & whole.keys())
    near: dict[str, list[str]] = {}
    if known:
        names = sorted(whole)
        mine, all_of_them = (vectors[[whole[word] for word in words]] for words in (known, names))
        near = neighbours(known, mine, names, all_of_them)
    count = min(settings.texts, settings.each * len(prompts))
    return augmented(teacher.clip.many(prompts), count, settings.seed, near)


@dataclass(frozen=True, eq=False)
class _Texts:
    """Piece ids of n texts, one after the other; a text holds at least one."""

    flat: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, ids: Sequence[Sequence[int]]) -> _Texts:
        lengths = np.array([max(len(row), 1) for row in ids], dtype=np.int64)
        flat = np.concatenate([np.array(row or [0], dtype=np.int64) for row in ids])
        return cls(flat, np.cumsum(lengths) - lengths, lengths)

    def pieces(self, at: NDArray[np.intp]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
        """Return the ids of the texts at `at`, and which of them each belongs to."""
        size = self.lengths[at]
        row = np.repeat(np.arange(len(at)), size)
        within = np.arange(len(row)) - np.repeat(np.cumsum(size) - size, size)
        return self.flat[self.starts[at][row] + within], row


class _Student(torch.nn.Module):
    """Tables, hidden layer, and what they are taught by."""

    def __init__(self, vectors: NDArray[np.float32], outputs: int, intents: int | None, settings: Distillation) -> None:
        super().__init__()
        torch.manual_seed(settings.seed)
        self.settings = settings
        d = settings.dimensions
        self.pieces = torch.nn.EmbeddingBag(len(vectors), d, mode="mean", sparse=True)
        self.pairs = torch.nn.EmbeddingBag(settings.buckets, d, mode="mean", sparse=True)
        self.hidden = torch.nn.Linear(d, settings.hidden)
        self.embedding = torch.nn.Linear(settings.hidden, outputs)
        self.intent = None if intents is None else torch.nn.Linear(settings.hidden, intents)
        self.scale = torch.nn.Parameter(torch.tensor(12.0))
        with torch.no_grad():
            self.pieces.weight.copy_(torch.from_numpy(_principal(vectors, d)))
            self.pairs.weight.mul_(0.05)

    def learn(
        self,
        ids: Sequence[Sequence[int]],
        said: NDArray[np.float32],
        logits: NDArray[np.float32] | None,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        """Learn what the teacher said of n texts."""
        settings = self.settings
        generator = np.random.default_rng(settings.seed)
        texts = _Texts.of(ids)
        steps = min(settings.steps, -(-settings.epochs * len(ids) // settings.batch))
        tables = [self.pieces.weight, self.pairs.weight]
        rest = [one for name, one in self.named_parameters() if name not in {"pieces.weight", "pairs.weight"}]
        slow = torch.optim.AdamW(rest, lr=settings.rate, weight_decay=0.01)
        quick = torch.optim.SparseAdam(tables, lr=settings.table_rate)
        wanted = torch.from_numpy(said)
        wanted_logits = None if logits is None else torch.from_numpy(logits)
        order = np.empty(0, dtype=np.intp)
        for step in range(steps):
            share = min((step + 1) / (0.05 * steps + 1), (steps - step) / (0.95 * steps))
            for optimizer, rate in ((slow, settings.rate), (quick, settings.table_rate)):
                for group in optimizer.param_groups:
                    group["lr"] = rate * share
                optimizer.zero_grad()
            if len(order) < settings.batch:
                order = np.concatenate([order, generator.permutation(len(ids))])
            at, order = order[: settings.batch], order[settings.batch :]
            hidden = self(*self._bags(texts, at, generator))
            where = torch.from_numpy(at)
            loss = (1 - functional.cosine_similarity(self.embedding(hidden), wanted[where])).mean()
            if self.intent is not None and wanted_logits is not None:
                warm = settings.temperature
                mine = functional.log_softmax(self.intent(hidden * self.scale) / warm, dim=1)
                theirs = functional.log_softmax(wanted_logits[where] / warm, dim=1)
                loss = loss + warm**2 * functional.kl_div(mine, theirs, reduction="batchmean", log_target=True)
            torch.autograd.backward(loss)
            slow.step()
            quick.step()  # type: ignore[no-untyped-call]
            if progress is not None:
                progress(step + 1, steps)

    def _bags(
        self, texts: _Texts, at: NDArray[np.intp], generator: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return flat ids and pairs with their offsets, some pieces of all but the shortest texts left out."""
        ids, row = texts.pieces(at)
        size = texts.lengths[at]
        kept = (generator.random(len(ids)) >= self.settings.drop) | (size[row] <= SHORT)
        kept |= (np.bincount(row[kept], minlength=len(at)) == 0)[row]
        ids, row = ids[kept], row[kept]
        beside = row[:-1] == row[1:]
        pairs = pair_buckets(ids, self.settings.buckets)[beside]
        counts = np.bincount(row, minlength=len(at))
        starts = [np.concatenate([[0], np.cumsum(one)[:-1]]) for one in (counts, np.maximum(counts - 1, 0))]
        found = [torch.from_numpy(one) for one in (ids, starts[0], pairs, starts[1])]
        return found[0], found[1], found[2], found[3]

    def forward(
        self, ids: torch.Tensor, starts: torch.Tensor, pairs: torch.Tensor, pair_starts: torch.Tensor
    ) -> torch.Tensor:
        """Return embeddings, (n, h), of unit length."""
        found = self.pieces(ids, starts) + self.pairs(pairs, pair_starts)
        return functional.normalize(torch.relu(self.hidden(found)), dim=1)

    def weights(self) -> StaticWeights:
        """Return what was learned, tables rounded to int8."""
        hidden = np.ascontiguousarray(self.hidden.weight.detach().numpy().T, dtype=np.float32)
        tables = [quantised(table.weight.detach().numpy()) for table in (self.pieces, self.pairs)]
        return StaticWeights(tables[0], tables[1], hidden, self.hidden.bias.detach().numpy().astype(np.float32))

    def intent_head(self) -> IntentHead | None:
        """Return the student's own intent head on its embedding."""
        if self.intent is None:
            return None
        weight = (self.intent.weight * self.scale).detach().numpy().T
        return IntentHead(
            np.ascontiguousarray(weight, dtype=np.float32), self.intent.bias.detach().numpy().astype(np.float32)
        )


def _principal(vectors: NDArray[np.float32], d: int) -> NDArray[np.float32]:
    """Return the first d principal components of vectors, (v, d), with a mean length of about 1."""
    centred = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    kept = centred @ directions[:, ::-1][:, :d]
    if kept.shape[1] < d:
        kept = np.hstack([kept, np.zeros((len(kept), d - kept.shape[1]), dtype=kept.dtype)])
    return np.asarray(kept / np.linalg.norm(kept, axis=1).mean(), dtype=np.float32)
