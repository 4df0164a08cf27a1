"""Which encoder a fit uses, by a stated rule, and which requests it learned no label of.

Encoders are *frozen* by default: the packaged model, or a student that was taught its embeddings, which reads prompts
but no labels. One that is fine-tuned learns from the labels of the earlier half of the requests to learn from; heads,
search and certificate then see only the later half, so that whatever they measure was never seen by it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pointsman.errors import PointsmanError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from pointsman.encoders import Encoder, TransformerEncoder
    from pointsman.labels import IntentLabels
    from pointsman.outcomes import Outcomes

__all__ = ["ENOUGH_TO_FINE_TUNE", "FINE_TUNE", "KINDS", "Prepared", "prepare"]

KINDS = ("static", "transformer")
FINE_TUNE = ("auto", "never", "always")

ENOUGH_TO_FINE_TUNE = 20_000
"""Requests to learn from, from which on ``auto`` fine-tunes: half of them are kept from the encoder, and suffice."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """An encoder that is ready to use.

    Attributes
    ----------
    encoder : Encoder
    unseen : (n,) bool array
        Requests to learn from whose labels it did not see: heads and search use these alone.
    how : str
        What was done and why, in a sentence.
    """

    encoder: Encoder
    unseen: NDArray[np.bool_]
    how: str


def prepare(
    base: TransformerEncoder,
    learn: Outcomes,
    labels: IntentLabels,
    kind: str,
    fine_tune: str,
    seed: int,
    cache: Path | None,
    say: Callable[[str, int, int], None],
) -> Prepared:
    """Return the encoder of a fit.

    Parameters
    ----------
    base : TransformerEncoder
        Used itself, fine-tuned, or as the teacher.
    learn : Outcomes
        n requests in order of time.
    labels : IntentLabels
        Theirs.
    kind : str
        One of `KINDS`.
    fine_tune : str
        One of `FINE_TUNE`.
    seed : int
    cache : Path or None
        Where checkpoints are kept.
    say : callable
        Called with (phase, done, total).

    Raises
    ------
    PointsmanError
        Where kind or fine_tune is another word.
    """
    for name, value, allowed in (("encoder", kind, KINDS), ("fine_tune", fine_tune, FINE_TUNE)):
        if value not in allowed:
            raise PointsmanError(f"{name} is {value!r}; allowed: {', '.join(allowed)}")
    tuned = fine_tune == "always" or (fine_tune == "auto" and len(learn) >= ENOUGH_TO_FINE_TUNE)
    unseen = np.ones(len(learn), dtype=np.bool_)
    teacher, head, how = base, None, f"{base.name}, frozen: {_why(len(learn), fine_tune)}"
    if tuned:
        from pointsman.distillation import IntentHead
        from pointsman.finetuning import FineTuning, Labels
        from pointsman.finetuning import fine_tune as tune_encoder

        first = np.arange(len(learn)) < len(learn) // 2
        earlier = set(learn.prompt[first])
        unseen = ~first & np.array([prompt not in earlier for prompt in learn.prompt])
        known = Labels(labels.codes[first], len(labels.names), learn.useful[first], learn.output_tokens[first])
        found = tune_encoder(
            base,
            list(learn.prompt[first]),
            known,
            FineTuning(seed=seed),
            None if cache is None else cache / "checkpoints",
            lambda done, total: say("fine-tune", done, total),
        )
        teacher, head = found.encoder, IntentHead(found.weight, found.bias)
        how = f"{base.name}, fine-tuned on the earlier {int(first.sum()):,} requests: {_why(len(learn), fine_tune)}"
    if kind == "transformer":
        return Prepared(teacher, unseen, how)
    from pointsman.distillation import THOROUGH, Distillation, distil

    student, _ = distil(
        teacher,
        list(learn.prompt),
        head,
        replace(THOROUGH if tuned else Distillation(), seed=seed),
        lambda done, total: say("distil", done, total),
        lambda done, total: say("teach", done, total),
    )
    return Prepared(student, unseen, f"static encoder, distilled from {how}")


def _why(requests: int, fine_tune: str) -> str:
    if fine_tune != "auto":
        return "as asked"
    return f"{requests:,} requests to learn from, fine-tuned from {ENOUGH_TO_FINE_TUNE:,} on"
