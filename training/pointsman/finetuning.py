"""Fine-tune a transformer end to end on intents, usefulness and answer lengths; resumes after a kill.

Word embeddings stay as they were pre-trained: they hold half the weights, most of which a user's prompts never touch.
Layers below learn more slowly (Howard and Ruder 2018), labels are smoothed (Szegedy et al. 2016), and what is kept is a
running average of the weights (Polyak and Juditsky 1992). On processors with bfloat16 the products are computed in it.
"""

from __future__ import annotations

import copy
import hashlib
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from pointsman.batches import by_length, padded, shuffled
from pointsman.encoders import TransformerEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["FineTuned", "FineTuning", "Labels", "embed", "fine_tune"]

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class FineTuning:
    """How to fine-tune.

    Attributes
    ----------
    epochs : int
        At most; stopped early where the held-out loss has not fallen for `patience` of them.
    batch : int
        Prompts a step.
    learning_rate : float
        Of the last layer; AdamW with linear warm-up over a tenth of the steps and linear decay.
    head_rate : float
        Of the heads.
    layer_decay : float
        Each layer below learns by this factor of the one above.
    smoothing : float
        Of intent labels.
    useful_weight, length_weight : float
        Of the other tasks beside the intents' cross-entropy.
    average : float
        Share of the running average that is kept at each step.
    patience : int
    held_out : float
        Share of the prompts that early stopping looks at; nothing else learns from them. 0 for none.
    seed : int
    """

    epochs: int = 5
    batch: int = 32
    learning_rate: float = 1.5e-4
    head_rate: float = 2e-3
    layer_decay: float = 0.9
    smoothing: float = 0.1
    useful_weight: float = 1.0
    length_weight: float = 0.1
    average: float = 0.998
    patience: int = 2
    held_out: float = 0.05
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Labels:
    """What is known of n prompts.

    Attributes
    ----------
    intent : (n,) int array
        -1 where unknown.
    intents : int
        How many there are.
    useful, output_tokens : (n, m) float array or None
        NaN where unknown.
    """

    intent: NDArray[np.intp]
    intents: int
    useful: Floats | None = None
    output_tokens: Floats | None = None


@dataclass(frozen=True, eq=False)
class FineTuned:
    """A fine-tuned encoder with its own intent head.

    Attributes
    ----------
    encoder : TransformerEncoder
    weight, bias : (d, k), (k,) float32 array
        Intent logits are ``embedding @ weight + bias``.
    held_out_loss : list of float
        After each epoch; empty where nothing was held out.
    seconds : float
        Spent on whole epochs, those before a kill included.
    """

    encoder: TransformerEncoder
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    held_out_loss: list[float]
    seconds: float


def fine_tune(
    encoder: TransformerEncoder,
    prompts: Sequence[str],
    labels: Labels,
    settings: FineTuning | None = None,
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FineTuned:
    """Fine-tune a copy of an encoder.

    Parameters
    ----------
    encoder : TransformerEncoder
        Stays as it is.
    prompts : sequence of str
    labels : Labels
    settings : FineTuning, optional
    folder : Path, optional
        Where a checkpoint is kept after each epoch, named by a hash of everything above (no prompt text); a run that
        was killed goes on from it with the same result.
    progress : callable, optional
        Called with (steps done, steps in all).
    """
    settings = settings or FineTuning()
    tuned = TransformerEncoder.of(copy.deepcopy(encoder.model), f"{encoder.name} (fine-tuned)", encoder.clip)
    ids, pad = tuned.token_ids(prompts), tuned.pad_id
    lengths = np.array([len(row) for row in ids], dtype=np.int64)
    torch.manual_seed(settings.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = _Network(tuned, labels).to(device).train()
    averaged = copy.deepcopy(network).eval()
    generator = np.random.default_rng(settings.seed)
    drawn = generator.permutation(len(ids))
    held = np.sort(drawn[: int(settings.held_out * len(ids))])
    learn = np.sort(drawn[len(held) :])
    steps = -(-len(learn) // settings.batch) * settings.epochs
    optimizer = torch.optim.AdamW(_groups(network, settings), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / max(0.1 * steps, 1), max(0.0, (steps - step) / max(0.9 * steps, 1)))
    )
    state = _Checkpoint(folder, encoder, prompts, labels, settings)
    losses, best, done, seconds = state.restore(network, averaged, optimizer, schedule)
    while len(losses) < settings.epochs and not _stalled(losses, settings.patience):
        began = time.monotonic()
        epoch = np.random.default_rng([settings.seed, len(losses)])
        torch.manual_seed(settings.seed * 1000 + len(losses))
        for at in shuffled(lengths, settings.batch, epoch, learn):
            batch = padded(ids, at, pad)
            with _half(device):
                loss = network.loss(batch.ids.to(device), batch.mask.to(device), labels, at, settings)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            done += 1
            _follow(averaged, network, min(settings.average, (1 + done) / (10 + done)))
            if progress is not None:
                progress(done, steps)
        losses.append(_held_out(averaged, ids, lengths, pad, labels, held, device))
        if not len(held) or losses[-1] <= min(losses):
            best = copy.deepcopy(averaged.state_dict())
        seconds += time.monotonic() - began
        state.keep(network, averaged, optimizer, schedule, losses, best, done, seconds)
    averaged.load_state_dict(best)
    if progress is not None:
        progress(steps, steps)
    averaged.to("cpu")
    tuned.model[0].auto_model = averaged.transformer
    tuned.model.eval()
    weight, bias = averaged.intent_head()
    return FineTuned(tuned, weight, bias, losses if len(held) else [], seconds)


def embed(
    encoder: TransformerEncoder,
    ids: Sequence[Sequence[int]],
    progress: Callable[[int, int], None] | None = None,
    tokens: int = 4096,
) -> NDArray[np.float32]:
    """Return embeddings of token ids, (n, d) float32 of unit length, in bfloat16 where the processor has it."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    module = encoder.module().to(device).eval()
    lengths = np.array([len(row) for row in ids], dtype=np.int64)
    out = np.empty((len(ids), encoder.dimensions), dtype=np.float32)
    done = 0
    with torch.inference_mode(), _half(device):
        for at in by_length(lengths, tokens):
            batch = padded(ids, at, encoder.pad_id)
            out[at] = module(batch.ids.to(device), batch.mask.to(device)).float().cpu().numpy()
            done += len(at)
            if progress is not None:
                progress(done, len(ids))
    return np.asarray(out / np.linalg.norm(out, axis=1, keepdims=True))


class _Network(torch.nn.Module):
    """Transformer, mean pooling, unit length, and a linear head a task."""

    def __init__(self, encoder: TransformerEncoder, labels: Labels) -> None:
        super().__init__()
        pretrained: Any = encoder.model[0].auto_model
        self.transformer = pretrained
        for parameter in pretrained.parameters():
            parameter.requires_grad = True
        for parameter in pretrained.embeddings.word_embeddings.parameters():
            parameter.requires_grad = False
        d = encoder.dimensions
        self.intent = torch.nn.Linear(d, labels.intents)
        candidates = 0 if labels.useful is None else labels.useful.shape[1]
        self.useful = torch.nn.Linear(d, candidates) if candidates else None
        lengths = 0 if labels.output_tokens is None else labels.output_tokens.shape[1]
        self.length = torch.nn.Linear(d, lengths) if lengths else None
        self.scale = torch.nn.Parameter(torch.tensor(16.0))

    def embedding(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return embeddings, (n, d), of unit length."""
        tokens = self.transformer(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        weight = mask.unsqueeze(-1).float()
        return functional.normalize((tokens * weight).sum(1) / weight.sum(1), dim=1)

    def loss(
        self, ids: torch.Tensor, mask: torch.Tensor, labels: Labels, at: NDArray[np.intp], settings: FineTuning
    ) -> torch.Tensor:
        """Return the mean loss of a batch over its tasks."""
        found = functional.dropout(self.embedding(ids, mask), 0.1, self.training) * self.scale
        intent = torch.from_numpy(labels.intent[at].astype(np.int64)).to(found.device)
        total = found.sum() * 0
        if (intent >= 0).any():
            smoothing = settings.smoothing
            total = functional.cross_entropy(self.intent(found), intent, ignore_index=-1, label_smoothing=smoothing)
        for head, values, weight in (
            (self.useful, labels.useful, settings.useful_weight),
            (self.length, labels.output_tokens, settings.length_weight),
        ):
            if head is None or values is None:
                continue
            wanted = torch.from_numpy(values[at].astype(np.float32)).to(found.device)
            known = torch.isfinite(wanted)
            if not known.any():
                continue
            said = head(found)[known]
            wanted = wanted[known]
            if head is self.useful:
                total = total + weight * functional.binary_cross_entropy_with_logits(said, wanted)
            else:
                total = total + weight * functional.smooth_l1_loss(said, torch.log1p(wanted))
        return total

    def intent_head(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return weights and bias of the intents' logits on an embedding of unit length."""
        weight = (self.intent.weight * self.scale).detach().numpy().T
        return np.ascontiguousarray(weight, dtype=np.float32), self.intent.bias.detach().numpy().astype(np.float32)


def _groups(network: _Network, settings: FineTuning) -> list[dict[str, Any]]:
    """Return parameters with their rates: layers below learn more slowly."""
    layers = list(network.transformer.encoder.layer)
    placed: list[dict[str, Any]] = []
    for depth, layer in enumerate(reversed(layers)):
        rate = settings.learning_rate * settings.layer_decay**depth
        placed.append({"params": list(layer.parameters()), "lr": rate})
    lowest = settings.learning_rate * settings.layer_decay ** len(layers)
    below = [one for one in network.transformer.embeddings.parameters() if one.requires_grad]
    placed.append({"params": below, "lr": lowest})
    heads = [one for name, one in network.named_parameters() if not name.startswith("transformer.")]
    placed.append({"params": heads, "lr": settings.head_rate})
    return placed


def _follow(averaged: _Network, network: _Network, keep: float) -> None:
    with torch.no_grad():
        both = zip(averaged.parameters(), network.parameters(), strict=True)
        pairs = [(mean.data, now.data) for mean, now in both if now.requires_grad]
        torch._foreach_lerp_([mean for mean, _ in pairs], [now for _, now in pairs], 1 - keep)


def _held_out(
    network: _Network,
    ids: Sequence[Sequence[int]],
    lengths: NDArray[np.int64],
    pad: int,
    labels: Labels,
    held: NDArray[np.intp],
    device: str,
) -> float:
    """Return the mean loss on held-out prompts, without smoothing; 0 where there are none."""
    if not len(held):
        return 0.0
    settings, total = FineTuning(smoothing=0.0), 0.0
    with torch.inference_mode(), _half(device):
        for at in by_length(lengths[held], 4096):
            batch = padded(ids, held[at], pad)
            total += float(network.loss(batch.ids.to(device), batch.mask.to(device), labels, held[at], settings)) * len(
                at
            )
    return total / len(held)


def _stalled(losses: Sequence[float], patience: int) -> bool:
    return len(losses) > patience and min(losses[-patience:]) > min(losses[:-patience])


def _half(device: str) -> torch.autocast:
    """Return the context in which products are computed in bfloat16, where that is quicker."""
    able = device == "cuda" or bool(torch.cpu._is_avx512_bf16_supported())  # noqa: SLF001
    return torch.autocast(device, dtype=torch.bfloat16, enabled=able)


class _Checkpoint:
    """What is kept of a run after each epoch."""

    def __init__(
        self,
        folder: Path | None,
        encoder: TransformerEncoder,
        prompts: Sequence[str],
        labels: Labels,
        settings: FineTuning,
    ) -> None:
        self.file: Path | None = None
        if folder is None:
            return
        digest = hashlib.sha256(repr((encoder.identity, encoder.max_tokens, encoder.clip, asdict(settings))).encode())
        for text in prompts:
            data = text.encode("utf-8", "replace")
            digest.update(len(data).to_bytes(8, "little") + data)
        for part in (labels.intent, labels.useful, labels.output_tokens):
            digest.update(b"" if part is None else np.ascontiguousarray(part).tobytes())
        self.file = folder / f"{digest.hexdigest()[:32]}.pt"

    def restore(
        self, network: _Network, averaged: _Network, optimizer: torch.optim.Optimizer, schedule: Any
    ) -> tuple[list[float], dict[str, Any], int, float]:
        """Go back to the last whole epoch; return its losses, the best weights, steps done and seconds spent."""
        if self.file is None or not self.file.is_file():
            return [], {}, 0, 0.0
        kept = torch.load(self.file, weights_only=True)
        network.load_state_dict(kept["network"])
        averaged.load_state_dict(kept["averaged"])
        optimizer.load_state_dict(kept["optimizer"])
        schedule.load_state_dict(kept["schedule"])
        return kept["losses"], kept["best"], kept["done"], kept["seconds"]

    def keep(
        self,
        network: _Network,
        averaged: _Network,
        optimizer: torch.optim.Optimizer,
        schedule: Any,
        losses: list[float],
        best: dict[str, Any],
        done: int,
        seconds: float,
    ) -> None:
        """Write the state down; a file that is cut short is never seen."""
        if self.file is None:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_suffix(".tmp")
        parts = {"network": network, "averaged": averaged, "optimizer": optimizer, "schedule": schedule}
        state = {name: part.state_dict() for name, part in parts.items()}
        torch.save({**state, "losses": losses, "best": best, "done": done, "seconds": seconds}, partial)
        partial.replace(self.file)
