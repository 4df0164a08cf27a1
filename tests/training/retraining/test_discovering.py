"""New intents, wrong labels, labels worth asking for, new models: found where they are, and not certain of anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from pointsman.decide import Reading
from pointsman.errors import TraceError
from pointsman.retraining.asking import worth_asking
from pointsman.retraining.label_noise import suspicious
from pointsman.retraining.naming import read_labels, write_labels
from pointsman.retraining.newcomer import newcomer
from pointsman.retraining.novelty import named_requests, novel_clusters, strangeness

if TYPE_CHECKING:
    from pathlib import Path


def points(centres: list[list[float]], each: int, spread: float = 0.02) -> np.ndarray:
    drawn = np.repeat(np.array(centres), each, axis=0)
    drawn = drawn + np.random.default_rng(0).normal(scale=spread, size=drawn.shape)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), dtype=np.float32)


def test_two_new_intents_are_two_clusters_named_once_and_for_all() -> None:
    embeddings = points([[1, 0, 0], [0, 1, 0], [0, 0, 1]], 30)
    prompts = [f"{word} {number}" for word in ("known", "booking", "visa") for number in range(30)]
    strange = np.repeat([0.5, 0.99, 0.99], 30)
    clusters = novel_clusters(prompts, embeddings, strange)
    assert sorted(one.words[0] for one in clusters) == ["booking", "visa"]
    named = named_requests(clusters, {clusters[0].name: "trips"}, [str(at) for at in range(90)])
    assert len(named) == 30
    assert set(named.values()) == {"trips"}
    assert {one.name for one in novel_clusters(prompts, embeddings, strange)} == {one.name for one in clusters}
    with pytest.raises(TraceError, match="no cluster 'x'"):
        named_requests(clusters, {"x": "y"}, [])


def test_the_graphs_own_score_is_used_where_there_is_one() -> None:
    probs = np.full((3, 2), 0.5)
    scored = Reading(probs, probs, out_of_scope=np.array([[0.1], [0.99], [0.5]]))
    assert strangeness(scored).tolist() == [0.1, 0.99, 0.5]
    sure = Reading(np.array([[0.9, 0.1], [0.6, 0.4], [1.0, 0.0]]), probs)
    assert strangeness(sure).argmax() == 1


def test_turned_labels_are_suspicious_and_clean_ones_are_not() -> None:
    pytest.importorskip("cleanlab")
    draw = np.random.default_rng(0)
    true = draw.integers(0, 4, 400)
    probs = 0.05 + 0.8 * np.eye(4)[true]
    turned = np.arange(40)
    labels = true.copy()
    labels[turned] = (true[turned] + 1) % 4
    found = suspicious(probs, labels.astype(np.intp))
    assert found is not None
    assert set(found.tolist()) == set(turned.tolist())
    clean = suspicious(probs, true.astype(np.intp))
    assert clean is not None
    assert len(clean) == 0


def test_people_are_asked_what_the_classifier_doubts_and_no_two_alike() -> None:
    embeddings = points([[1, 0, 0], [0, 1, 0], [0, 0, 1]], 20)
    doubt = np.repeat([[0.99, 0.01], [0.52, 0.48], [0.55, 0.45]], 20, axis=0)
    unlabelled = np.ones(60, dtype=bool)
    unlabelled[20:30] = False
    asked = worth_asking(Reading(doubt, doubt), np.full(60, 0.5), embeddings[:], unlabelled, batch=3)
    assert len(asked) == 3
    assert unlabelled[asked].all()
    assert {int(at) // 20 for at in asked} == {1, 2}  # both doubtful kinds, and none that it is sure of
    assert asked[0] // 20 == 1


def test_a_newcomer_is_wide_without_answers_and_narrows_with_them() -> None:
    rows = pd.DataFrame(
        {
            "request_id": [f"r{at}" for at in range(200)],
            "model": "old",
            "intent": "code",
            "useful": ([1.0] * 8 + [0.0] * 2) * 20,
        }
    )
    nothing = newcomer(rows, "new", like="old")[0]
    assert nothing.answers == 0
    assert nothing.high - nothing.low > 0.4
    own = rows.assign(model="new", useful=0.0).head(60)
    some = newcomer(pd.concat([rows, own]), "new", like="old")[0]
    assert some.high < 0.4
    with pytest.raises(TraceError, match="nothing is known"):
        newcomer(rows, "new")


def test_labels_go_to_people_and_come_back(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    write_labels(
        path, [{"request_id": "a", "intent": "x", "prompt": "p"}, {"request_id": "b", "intent": "", "prompt": ""}]
    )
    assert read_labels(path) == {"a": "x"}
    path.write_text("request_id,intent\na,x\na,y\n")
    with pytest.raises(TraceError, match="'a' is labelled 'x' above"):
        read_labels(path)
