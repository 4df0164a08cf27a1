"""Which encoder a fit uses, which requests it learned no label of; distilling and fine-tuning on a tiny model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from pointsman.costs import Price
from pointsman.distillation import Distillation, IntentHead, distil
from pointsman.encoders import TransformerEncoder
from pointsman.encoding import ENOUGH_TO_FINE_TUNE, prepare
from pointsman.errors import PointsmanError
from pointsman.finetuning import FineTuning, Labels, embed, fine_tune
from pointsman.fit import silent
from pointsman.labels import intent_labels
from pointsman.outcomes import Outcomes, outcomes_of
from pointsman.sample_week import sample_week
from pointsman.static_encoder import StaticEncoder
from pointsman.traces import validate_traces

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORDS = ("fix", "code", "write", "hello", "what", "sum")
PROMPTS = [f"{first} {second} {third}" for first in WORDS for second in WORDS for third in WORDS]
INTENT = np.array([WORDS.index(prompt.split()[0]) // 2 for prompt in PROMPTS])
QUICK = FineTuning(epochs=6, batch=16, learning_rate=3e-3, head_rate=1e-2, average=0.9, held_out=0.1)
SMALL = Distillation(dimensions=16, buckets=256, hidden=32, each=2, steps=150, batch=32)


@pytest.fixture(scope="module")
def outcomes() -> Outcomes:
    rows = validate_traces(sample_week(seed=5, requests=60).traces).rows
    return outcomes_of(rows, {name: Price() for name in rows["model"].unique()})


def test_a_frozen_student_learns_the_teachers_embeddings(tiny_encoder: TransformerEncoder) -> None:
    student, head = distil(tiny_encoder, PROMPTS, None, SMALL)
    assert head is None
    again, _ = distil(tiny_encoder, PROMPTS, None, SMALL)
    assert student.identity == again.identity, "the same seed, the same bytes"
    assert student.token_ids(PROMPTS[:3]) == tiny_encoder.token_ids(PROMPTS[:3])
    # What the teacher finds alike the student finds alike: ranks agree far beyond chance.
    theirs, mine = tiny_encoder.encode(PROMPTS), student.encode(PROMPTS)
    pairs = np.random.default_rng(0).integers(len(PROMPTS), size=(2000, 2))
    alike = [(vectors[pairs[:, 0]] * vectors[pairs[:, 1]]).sum(axis=1) for vectors in (theirs, mine)]
    assert np.corrcoef(alike)[0, 1] > 0.5


def test_fine_tuning_teaches_labels_and_its_student_learns_them(tiny_encoder: TransformerEncoder) -> None:
    before = tiny_encoder.identity
    tuned = fine_tune(tiny_encoder, PROMPTS, Labels(INTENT, 3), QUICK)
    assert tiny_encoder.identity == before, "the one that was given stays as it was"
    assert tuned.encoder.identity != before
    assert len(tuned.held_out_loss) == 6
    assert tuned.held_out_loss[-1] < tuned.held_out_loss[0]
    logits = embed(tuned.encoder, tuned.encoder.token_ids(PROMPTS)) @ tuned.weight + tuned.bias
    assert (logits.argmax(axis=1) == INTENT).mean() > 0.9
    student, head = distil(tuned.encoder, PROMPTS, IntentHead(tuned.weight, tuned.bias), SMALL)
    assert head is not None
    said = student.encode(PROMPTS) @ head.weight + head.bias
    assert (said.argmax(axis=1) == INTENT).mean() > 0.9


def test_other_tasks_are_learned_where_they_are_known(tiny_encoder: TransformerEncoder) -> None:
    useful = np.where(INTENT[:, None] == 0, [[1.0, np.nan]], [[0.0, 1.0]])
    known = Labels(np.full(len(INTENT), -1), 3, useful, np.full((len(INTENT), 2), np.nan))
    tuned = fine_tune(tiny_encoder, PROMPTS, known, QUICK)
    assert tuned.held_out_loss[-1] < tuned.held_out_loss[0]


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_a_killed_run_goes_on_from_its_last_epoch(tiny_encoder: TransformerEncoder, tmp_path: Path) -> None:
    tiny_encoder.model.save(str(tmp_path / "model"))
    settings, kept = FineTuning(epochs=4, batch=16, held_out=0.0), tmp_path / "kept"
    script = (
        "import os, signal, numpy as np\n"
        "from pathlib import Path\n"
        "from pointsman.encoders import TransformerEncoder\n"
        "from pointsman.finetuning import FineTuning, Labels, fine_tune\n"
        "def die(done, total):\n"
        "    if done > total * 0.6: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"labels = Labels(np.array({INTENT.tolist()!r}), 3)\n"
        f"encoder = TransformerEncoder(Path({str(tmp_path / 'model')!r}))\n"
        f"fine_tune(encoder, {PROMPTS!r}, labels, {settings!r}, Path({str(kept)!r}), die)\n"
    )
    alone = os.environ | {"OMP_NUM_THREADS": "1"}  # sums are added up in one order
    ended = subprocess.run([sys.executable, "-c", script], env=alone, check=False)
    assert ended.returncode == -signal.SIGKILL
    [file] = kept.glob("*.pt")
    assert len(torch.load(file, weights_only=True)["losses"]) == 2, "two whole epochs of the four"
    encoder, steps = TransformerEncoder(tmp_path / "model"), []
    resumed = fine_tune(encoder, PROMPTS, Labels(INTENT, 3), settings, kept, lambda done, _: steps.append(done))
    whole = fine_tune(encoder, PROMPTS, Labels(INTENT, 3), settings)
    assert steps[0] > 2 * len(PROMPTS) // 16, "the first two epochs are not run again"
    assert np.abs(resumed.weight - whole.weight).max() < 1e-5
    assert np.abs(resumed.encoder.encode(PROMPTS[:9]) - whole.encoder.encode(PROMPTS[:9])).max() < 1e-5


def test_the_rule(tiny_encoder: TransformerEncoder, outcomes: Outcomes) -> None:
    labels = intent_labels(outcomes.intent, 1)
    plain = prepare(tiny_encoder, outcomes, labels, "transformer", "auto", 0, None, silent)
    assert plain.encoder is tiny_encoder
    assert plain.unseen.all()
    assert f"fine-tuned from {ENOUGH_TO_FINE_TUNE:,} on" in plain.how
    with pytest.raises(PointsmanError, match="encoder is 'magic'; allowed: static, transformer"):
        prepare(tiny_encoder, outcomes, labels, "magic", "auto", 0, None, silent)


def test_what_a_fine_tuned_encoder_learned_of_is_kept_from_the_search(
    tiny_encoder: TransformerEncoder, outcomes: Outcomes
) -> None:
    doubled = outcomes.take([*range(60), *range(60)])
    labels = intent_labels(doubled.intent, 1)
    ready = prepare(tiny_encoder, doubled, labels, "transformer", "always", 0, None, silent)
    assert ready.encoder is not tiny_encoder
    assert not ready.unseen[:60].any(), "the earlier half taught it"
    assert not ready.unseen.any(), "and the later half has the same prompts"
    once = prepare(tiny_encoder, outcomes, intent_labels(outcomes.intent, 1), "static", "always", 0, None, silent)
    assert isinstance(once.encoder, StaticEncoder)
    earlier = set(outcomes.prompt[:30])
    assert once.unseen.tolist() == [at >= 30 and outcomes.prompt[at] not in earlier for at in range(60)]
    assert "fine-tuned on the earlier 30 requests: as asked" in once.how
