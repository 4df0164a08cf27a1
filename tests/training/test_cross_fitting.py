"""What cross-fitting adds to the heads: penalties, families, risks, several intents, labels that are left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pointsman.classifier import Features
from pointsman.cross_fitting import LEVELS, CrossFit, Extra, cross_fit
from pointsman.lexical import Lexicon

N, D, K = 480, 8, 3


class World:
    """Three intents in clouds; a strong and a weak candidate; answers to hard requests are hallucinated more often."""

    def __init__(self, seed: int = 0, n: int = N) -> None:
        generator = np.random.default_rng(seed)
        self.intent = generator.integers(0, K, n).astype(np.intp)
        rows = np.eye(D)[self.intent] + generator.normal(0, 0.25, (n, D))
        self.hard = rows[:, 5] > 0
        self.rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        chance = np.stack([np.where(self.hard, 0.2, 0.9), np.full(n, 0.85), np.full(n, 0.8)], axis=1)
        self.useful = (generator.random((n, 3)) < chance).astype(float)
        self.hallucinated = (generator.random((n, 3)) < np.where(self.hard, 0.5, 0.05)[:, None]).astype(float)

    @property
    def features(self) -> Features:
        return Features(self.rows, Lexicon(np.zeros(2, dtype=np.float32)).transform([[] for _ in self.rows]))


def fit(world: World, intent: Any = None, **options: Any) -> CrossFit:
    other = World(7, 200)
    lexicon = Lexicon(np.zeros(2, dtype=np.float32))
    taught = world.intent if intent is None else intent
    shares = other.intent if taught.ndim == 1 else np.eye(K)[other.intent]
    learn = (world.features, taught, world.useful)
    held = (other.features, shares, other.useful)
    return cross_fit(
        lexicon, learn, held, (np.arange(len(world.intent)) % 4).astype(np.intp), K, (3.0, 10.0), **options
    )


def test_penalties_are_chosen_by_what_folds_say() -> None:
    crossed = fit(World())
    assert set(crossed.level_loss) == set(LEVELS)
    assert crossed.level == min(LEVELS, key=lambda level: crossed.level_loss[level])


def test_a_family_is_in_order_in_the_heads_and_out_of_fold() -> None:
    world = World()
    free, ordered = fit(world), fit(world, families=((0, 2, 1),))
    assert (np.diff(free.reading.useful_probs[:, [0, 2, 1]], axis=1) < 0).any()
    for probs in (ordered.reading.useful_probs, ordered.intent_useful, ordered.heads.table):
        assert np.diff(probs[:, [0, 2, 1]], axis=1).min() >= -1e-6
    read = ordered.heads(world.rows, world.features.pieces)
    assert np.diff(read.useful_probs[:, [0, 2, 1]], axis=1).min() >= -1e-6


def test_risks_are_learned_where_answers_are_labelled() -> None:
    world, unseen = World(), World(3)
    extras = (Extra(hallucinated=world.hallucinated), Extra(hallucinated=World(7, 200).hallucinated))
    found = fit(world, extras=extras).heads(unseen.rows, unseen.features.pieces).hallucination_probs
    assert found is not None
    assert roc_auc_score(unseen.hallucinated[:, 0], found[:, 0]) > 0.7
    assert found.mean() == pytest.approx(unseen.hallucinated.mean(), abs=0.05)
    few = np.where(np.cumsum(world.hallucinated, axis=0) <= 3, world.hallucinated, np.nan)
    assert fit(world, extras=(Extra(hallucinated=few), Extra())).heads.hallucination is None


def test_several_intents_each_have_a_probability() -> None:
    world = World()
    members = np.eye(K)[world.intent]
    members[world.rows[:, 6] > 0, 2] = 1
    crossed = fit(world, members / members.sum(axis=1, keepdims=True))
    read = crossed.heads(world.rows, world.features.pieces)
    assert read.intent_labels is not None
    assert crossed.heads.scope is not None
    assert crossed.reading.intent_labels is not None
    for column in range(K):
        assert roc_auc_score(members[:, column] > 0, read.intent_labels[:, column]) > 0.9
    np.testing.assert_allclose(read.intent_probs.sum(axis=1), 1, rtol=1e-5)
    two = (members.sum(axis=1) > 1) & (read.intent_labels > 0.5).all(axis=1)
    assert (read.intent_probs[two] < 0.7).all()


def test_the_search_sees_out_of_scope_as_the_router_will() -> None:
    """Out of fold about as many requests are above a threshold as stated, and the strange ones far more often."""
    world = World(n=900)
    strange = np.arange(900) % 15 == 0
    world.rows[strange] = np.eye(D, dtype=np.float32)[7]
    world.intent[strange] = -1
    crossed = fit(world, extras=(Extra(outside=strange), Extra()))
    levels = crossed.reading.out_of_scope
    assert levels is not None
    assert (levels[~strange] > 0.9).mean() == pytest.approx(0.1, abs=0.06)
    assert (levels[strange] > 0.9).mean() > 0.9


def test_wrong_labels_are_not_learned() -> None:
    world = World()
    given = world.intent.copy()
    flipped = np.random.default_rng(1).random(N) < 0.05
    given[flipped] = (given[flipped] + 1) % K
    noisy, clean = fit(world, given), fit(world)
    assert noisy.mislabelled >= 0.5 * flipped.sum()
    assert clean.mislabelled <= 0.02 * N


def test_answers_are_weighed_where_that_predicts_better() -> None:
    """Hard requests, which the embedding here does not show, are a tenth of the log and stand for half."""
    world = World(n=1500)
    world.rows[:, 5] = 0
    world.rows /= np.linalg.norm(world.rows, axis=1, keepdims=True)
    logged = ~world.hard | (np.random.default_rng(2).random(1500) < 0.1)
    useful = np.where(logged[:, None], world.useful, np.nan)
    weights = np.where(world.hard[:, None], 10.0, 1.0) * np.ones((1500, 3))
    world.useful, truth = useful, world.useful[:, 0].mean()
    plain, weighed = fit(world), fit(world, extras=(Extra(weights=weights / 5.5), Extra()))
    assert (plain.weighed, weighed.weighed) == (False, True)
    assert weighed.heads.table[:, 0].mean() == pytest.approx(truth, abs=0.06)
    assert plain.heads.table[:, 0].mean() > truth + 0.1
    noise = np.random.default_rng(3).choice([0.05, 9.0], (1500, 3))
    assert not fit(World(n=1500), extras=(Extra(weights=noise * 0 + 1), Extra())).weighed, "of equals the plain one"
