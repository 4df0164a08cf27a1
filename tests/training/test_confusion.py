"""What was taken for what: counts, shares with intervals, mistakes in order; the command leaves out what was seen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from pointsman.bundle import load_bundle
from pointsman.cli import main
from pointsman.confusion import confusion
from pointsman.confusion_picture import confusion_picture

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NAMES = ("chat", "code", "synthesis")


def drawn(n: int = 400) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
    generator = np.random.default_rng(5)
    labels = generator.choice(np.array([*NAMES, "", "surprise"], dtype=object), n)
    return labels, generator.dirichlet([1, 2, 1], n)


def test_counts_are_sklearns() -> None:
    labels, probs = drawn()
    found = confusion(labels, probs, NAMES)
    known = np.isin(labels, NAMES)
    believed = np.array(NAMES, dtype=object)[probs.argmax(axis=1)]
    truth = list(labels[known]), list(believed[known])
    assert (found.matrix == confusion_matrix(*truth, labels=list(NAMES))).all()
    precision, recall, f1, count = precision_recall_fscore_support(*truth, labels=list(NAMES))
    told = {one.intent: one for one in found.quality}
    for at, name in enumerate(NAMES):
        one = told[name]
        assert one.precision is not None
        assert one.recall is not None
        assert (one.precision[0], one.recall[0], one.f1, one.labelled) == pytest.approx(
            (precision[at], recall[at], f1[at], count[at])
        )
        assert one.recall[1] < one.recall[0] < one.recall[2]
    assert found.unknown == {"surprise": int((labels == "surprise").sum())}
    assert [one.f1 for one in found.quality] == sorted(one.f1 for one in found.quality)
    wrong = sum(label != belief for label, belief in zip(*truth, strict=True))
    assert sum(count for *_, count in found.confused) == len(found.mistakes) == wrong


def test_mistakes_believed_most_firmly_come_first() -> None:
    labels, probs = drawn()
    found = confusion(labels, probs, NAMES)
    sure = [one.confidence for one in found.mistakes]
    assert sure == sorted(sure, reverse=True)
    for one in found.mistakes[:20]:
        assert labels[one.request] == one.labelled != one.believed == NAMES[probs[one.request].argmax()]


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    labels, probs = drawn()
    file = confusion_picture(confusion(labels, probs, NAMES), tmp_path / "deep" / "c.png")
    assert file.read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    prompts = ["hello the code", "write this sum", "fix what is this", "hello hello", "sum the code", "what is"]
    rows = pd.DataFrame(
        {
            "request_id": [f"r{number}" for number in range(6)],
            "timestamp": pd.date_range("2026-01-01", periods=6, freq="h", tz="UTC"),
            "prompt": prompts,
            "model": "small",
            "latency_ms": 100.0,
            "useful": 1.0,
            "intent": ["chat", "code", "code", "chat", "synthesis", "poetry"],
        }
    )
    rows.to_parquet(tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


def test_the_command(labelled: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["intents", "--bundle", str(tiny_bundle), "--traces", str(labelled)]
    assert main([*words, "--json", str(labelled.with_suffix(".json"))]) == 0
    told = json.loads(labelled.with_suffix(".json").read_text())
    assert told["requests"] == 5
    assert told["unknown"] == {"poetry": 1}
    assert "hello the code" not in json.dumps(told)
    assert "poetry (1)" in capsys.readouterr().out


def test_seen_requests_are_left_out(
    labelled: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pointsman import outcomes

    words = ["intents", "--bundle", str(tiny_bundle), "--traces", str(labelled)]
    seen = load_bundle(tiny_bundle).seen
    monkeypatch.setattr(outcomes, "hash_requests", lambda ids, _: np.resize(seen, len(ids)))
    assert main(words) == 2
    assert "none of the 6 labelled requests is unseen" in capsys.readouterr().err
    assert main([*words, "--all"]) == 0


def test_traces_without_labels(labelled: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pd.read_parquet(labelled).drop(columns="intent").to_parquet(labelled)
    assert main(["intents", "--bundle", str(tiny_bundle), "--traces", str(labelled)]) == 2
    assert "column intent is missing or empty" in capsys.readouterr().err
