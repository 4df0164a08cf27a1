"""How the score of being out of scope is chosen, and that it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score

from pointsman.classifier import Features, RequestClassifier
from pointsman.lexical import Lexicon
from pointsman.scope import MANY, ScopeChoice, fit_scope, mahalanobis

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pointsman.heads import Heads
    from pointsman.scope_head import ScopeHead

K, D = 8, 12
NO_WORDS = Lexicon(np.zeros(3, dtype=np.float32))


class World:
    """Intents are clouds of unit vectors; what is out of scope lies between and beside them."""

    def __init__(self, seed: int = 0, per_intent: int = 40, outside: int = 0) -> None:
        centres = np.eye(D)[:K] * 2
        generator = np.random.default_rng(seed)
        codes = np.repeat(np.arange(K), per_intent)
        inside = centres[codes] + generator.normal(0, 0.35, (len(codes), D))
        strange = generator.normal(0, 0.5, (outside, D)) + np.eye(D)[K + 2] * 1.2
        rows = np.vstack([inside, strange])
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        order = generator.permutation(len(rows))
        self.intent = np.concatenate([codes, np.full(outside, -1)])[order].astype(np.intp)
        self.outside = self.intent < 0
        self.features = features(rows[order])
        self.folds = (np.arange(len(rows)) % 4).astype(np.intp)


def features(rows: NDArray[Any]) -> Features:
    return Features(rows.astype(np.float32), NO_WORDS.transform([[] for _ in rows]))


def refit(part: Features, codes: NDArray[np.intp]) -> Heads:
    return RequestClassifier(K).fit_intent(NO_WORDS, part, codes, np.ones((len(codes), 1)))


def fitted(world: World, calibrate: World, *, labelled: bool = False) -> tuple[ScopeHead, ScopeChoice] | None:
    heads = refit(world.features, world.intent)
    of_folds = {
        int(fold): refit(world.features.take(world.folds != fold), world.intent[world.folds != fold])
        for fold in np.unique(world.folds)
    }
    return fit_scope(
        heads,
        world.features,
        world.intent,
        world.outside if labelled else np.zeros(len(world.intent), dtype=np.bool_),
        world.folds,
        calibrate.features,
        refit,
        of_folds,
    )


def score(head: ScopeHead, world: World, judged: World) -> NDArray[Any]:
    logits = refit(world.features, world.intent).intent_logits(judged.features.embeddings, judged.features.pieces)
    return head(judged.features.embeddings, logits)[:, 0]


@pytest.mark.parametrize("labelled", [True, False])
def test_what_is_unlike_all_intents_scores_high_and_false_alarms_are_as_stated(labelled: bool) -> None:
    world, judged = World(0, outside=60 if labelled else 0), World(2, per_intent=100, outside=300)
    found = fitted(world, World(1, per_intent=100), labelled=labelled)
    assert found is not None
    head, choice = found
    assert choice.chosen_by == ("labelled" if labelled else "held_out")
    assert choice.score == max(choice.auroc, key=lambda name: choice.auroc[name]) or choice.score == "energy"
    said = score(head, world, judged)
    assert roc_auc_score(judged.outside, said) > 0.9
    assert (said[~judged.outside] > 0.95).mean() == pytest.approx(0.05, abs=0.03)
    assert (said[judged.outside] > 0.95).mean() > 0.4


def test_labelled_examples_teach_what_nothing_else_tells() -> None:
    """Half of what is out of scope lies amid an intent's cloud but for one coordinate that intents hardly use."""
    found = fitted(World(0, outside=120), World(1), labelled=True)
    assert found is not None
    assert {"energy", "mahalanobis", "both", "learned"} == set(found[1].auroc)
    assert found[1].auroc["learned"] > found[1].auroc["energy"] - 0.01


def test_without_enough_requests_to_set_the_scale_there_is_no_score() -> None:
    world = World(0)
    few = World(1)
    few.features = few.features.take(slice(MANY - 1))
    assert fitted(world, few) is None


def test_one_intent_goes_by_distance() -> None:
    world = World(0)
    world.intent = np.zeros(len(world.intent), dtype=np.intp)
    heads = RequestClassifier(1).fit_intent(NO_WORDS, world.features, world.intent, np.ones((len(world.intent), 1)))
    none = np.zeros(len(world.intent), dtype=np.bool_)
    found = fit_scope(heads, world.features, world.intent, none, world.folds, World(1).features, refit)
    assert found is not None
    assert (found[1].score, found[1].chosen_by) == ("mahalanobis", "default")


def test_the_distance_is_mahalanobis() -> None:
    world = World(0)
    raw = mahalanobis(world.features.embeddings, world.intent)
    rows = world.features.embeddings.astype(np.float64)
    means = np.stack([rows[world.intent == index].mean(axis=0) for index in range(K)])
    apart = rows - means[world.intent]
    covariance = apart.T @ apart / (len(rows) - K)
    covariance = 0.9 * covariance + 0.1 * np.trace(covariance) / D * np.eye(D)
    want = cdist(rows, means, "mahalanobis", VI=np.linalg.inv(covariance)).min(axis=1) ** 2
    np.testing.assert_allclose(raw(world.features.embeddings, np.zeros((len(rows), 1))), want, rtol=1e-3)


def test_the_same_bytes_again() -> None:
    one, two = (fitted(World(0), World(1)) for _ in range(2))
    assert one is not None
    assert two is not None
    assert one[1] == two[1]
    assert one[0].knots.tobytes() == two[0].knots.tobytes()
