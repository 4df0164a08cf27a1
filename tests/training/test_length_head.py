"""How long answers are expected to be: what is learned, what is not, and that no request tells of itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pointsman.averages import intent_table
from pointsman.classifier import Features, RequestClassifier
from pointsman.cross_fitting import cross_fit
from pointsman.length_head import cross_fit_lengths, fit_length_head
from pointsman.lexical import Lexicon

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pointsman.heads import Heads

PIECES, DIMENSIONS, LONG, CODE = 30, 6, 11, 7
"""Word piece 11 asks for a long answer of the first candidate; piece 7 is what code is."""


class World:
    """Prompts of random pieces; one piece makes answers e times as long, with a spread around it."""

    def __init__(self, n: int = 600, seed: int = 0, spread: float = 0.8) -> None:
        generator = np.random.default_rng(seed)
        ids = [list(generator.choice(PIECES, 6, replace=False)) for _ in range(n)]
        self.lexicon = Lexicon.fit(ids, PIECES)
        embeddings = generator.normal(0, 1 / 3, (n, DIMENSIONS)).astype(np.float32)
        self.features = Features(embeddings, self.lexicon.transform(ids))
        self.intent = np.array([CODE in row for row in ids], dtype=np.intp)
        self.long = np.array([LONG in row for row in ids])
        mean = np.stack([4 + self.long + 0.5 * self.intent, 5 - 0.5 * self.intent], axis=1)
        self.tokens = np.round(np.exp(mean + spread * generator.normal(size=(n, 2))))
        self.folds = np.arange(n) % 4
        self.useful = np.full((n, 2), 0.5)

    @property
    def start(self) -> Heads:
        return RequestClassifier(2).fit_intent(self.lexicon, self.features, self.intent, self.useful)

    def cross_fit(self, **changes: Any) -> Any:
        """Cross-fit the head; heads of folds are the same, only lengths are in question here."""
        start = self.start
        parts: dict[str, Any] = {"intent": self.intent, "output_tokens": self.tokens, "folds": self.folds, **changes}
        folds = {int(fold): start for fold in np.unique(parts["folds"])}
        return cross_fit_lengths(start, folds, self.features, parts["intent"], parts["output_tokens"], parts["folds"])


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def dense(features: Features) -> NDArray[np.float64]:
    ones = np.ones((len(features.embeddings), 1))
    return np.hstack([features.embeddings, ones, features.pieces.toarray() / np.sqrt(3)]).astype(np.float64)


@pytest.mark.parametrize("gaps", [False, True])
def test_it_is_the_ridge_regression_around_the_intents_average(world: World, gaps: bool) -> None:
    tokens = world.tokens.copy()
    if gaps:
        tokens[np.arange(600) % 3 == 0, 0] = np.nan
    (head,) = fit_length_head(world.start, world.features, world.intent, tokens, [5.0])
    table = intent_table(np.log1p(tokens), world.intent, 2)
    np.testing.assert_array_equal(head.table, table)
    for column in range(2):
        known = np.isfinite(tokens[:, column])
        rows = dense(world.features.take(known))
        missing = np.log1p(tokens[known, column]) - table[world.intent[known], column]
        exact = np.linalg.solve(rows.T @ rows + 5 * np.eye(rows.shape[1]), rows.T @ missing)
        np.testing.assert_allclose(head.weight[:, column], exact[:DIMENSIONS], atol=2e-3)
        np.testing.assert_allclose(head.bias[column], exact[DIMENSIONS], atol=2e-3)
        np.testing.assert_allclose(head.pieces[:, column], exact[DIMENSIONS + 1 :] / np.sqrt(3), atol=2e-3)


def test_what_makes_answers_long_is_learned(world: World) -> None:
    _, tokens = world.cross_fit()
    assert 1.6 < tokens[world.long, 0].mean() / tokens[~world.long, 0].mean() < np.e, "shrunk, but learned"
    assert tokens[world.long, 1].mean() / tokens[~world.long, 1].mean() == pytest.approx(1, rel=0.1)
    errors = [np.square(values - world.tokens[:, 0]).mean() for values in (tokens[:, 0], world.tokens[:, 0].mean())]
    assert errors[0] < 0.9 * errors[1]


def test_smearing_makes_the_mean_right(world: World) -> None:
    """exp(mean logarithm) of a log-normal is short of the mean by exp(0.8² / 2) = 1.38."""
    head, _ = world.cross_fit()
    unseen = World(seed=1)
    believed = world.start.intent_probs(unseen.features.embeddings, unseen.features.pieces)
    logs = head.logs(unseen.features.embeddings, unseen.features.pieces, believed)
    assert head.tokens(logs).mean() == pytest.approx(unseen.tokens.mean(), rel=0.15)


def test_nothing_is_expected_outside_of_what_was_seen(world: World) -> None:
    head, tokens = world.cross_fit()
    assert (tokens >= world.tokens.min(axis=0) - 1e-3).all()
    far = head.tokens(np.array([[-9.0, 99.0]]))
    np.testing.assert_allclose(far, [[world.tokens[:, 0].min(), world.tokens[:, 1].max()]], rtol=1e-5)


@pytest.mark.parametrize("request_at", [0, 5])
def test_a_request_does_not_tell_of_itself(request_at: int, world: World) -> None:
    """Its own fold moves by the smearing factor alone, which is one number for all of a candidate's requests."""
    changed = world.tokens.copy()
    changed[request_at] *= 3
    (_, plain), (_, other) = world.cross_fit(), world.cross_fit(output_tokens=changed)
    own = world.folds == world.folds[request_at]
    ratio = (1 + other) / (1 + plain)
    assert np.ptp(ratio[own], axis=0).max() < 1e-6
    assert np.ptp(ratio[~own], axis=0).min() > 1e-5


@pytest.mark.parametrize("tokens", [np.nan, 120.0])
def test_where_nothing_is_known_or_all_are_alike_there_is_no_head(tokens: float, world: World) -> None:
    assert world.cross_fit(output_tokens=np.full((600, 2), tokens)) is None
    one_fold = np.where((world.folds == 1)[:, None], world.tokens, np.nan)
    assert world.cross_fit(output_tokens=one_fold) is None


def test_a_candidate_whose_lengths_are_unknown_is_taken_to_be_as_the_others(world: World) -> None:
    tokens = world.tokens.copy()
    tokens[:, 1] = np.nan
    head, expected = world.cross_fit(output_tokens=tokens)
    assert not head.weight[:, 1].any()
    assert np.isfinite(expected).all()
    assert np.median(expected[:, 1]) == pytest.approx(np.exp(np.log1p(tokens[:, 0]).mean()), rel=0.1)


def test_unknown_intents_are_read_from_the_prompt(world: World) -> None:
    _, tokens = world.cross_fit(intent=np.where(world.folds == 1, -1, world.intent))
    assert np.isfinite(tokens).all()


def test_the_classifier_carries_the_head_and_what_it_said_out_of_fold(world: World) -> None:
    rows = world.features, world.intent, world.useful
    crossed = cross_fit(world.lexicon, rows, rows, world.folds, 2, [3.0], output_tokens=world.tokens)
    assert crossed.heads.lengths is not None
    reading = crossed.heads(world.features.embeddings, world.features.pieces)
    assert reading.output_tokens is not None
    assert crossed.reading.output_tokens is not None
    assert reading.output_tokens.shape == crossed.reading.output_tokens.shape == (600, 2)
    assert (reading.output_tokens != crossed.reading.output_tokens).all()
    plain = cross_fit(world.lexicon, rows, rows, world.folds, 2, [3.0])
    assert plain.heads.lengths is None
    assert plain.reading.output_tokens is None
    np.testing.assert_array_equal(plain.reading.useful_probs, crossed.reading.useful_probs)
    silent = replace(crossed.heads, lengths=None)(world.features.embeddings, world.features.pieces)
    assert silent.output_tokens is None
