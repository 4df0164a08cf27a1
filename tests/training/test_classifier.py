"""What the heads learn, what they ignore, and what cross-fitting keeps from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from pointsman.averages import intent_table
from pointsman.classifier import Features, RequestClassifier
from pointsman.cross_fitting import CrossFit, advantage_error, calibrated, cross_fit
from pointsman.decision_area import bought, decision_area, most_careful
from pointsman.errors import TraceError
from pointsman.heads import TABLE_MARGIN, Heads
from pointsman.lexical import Lexicon
from pointsman.structure import COLUMNS, Structure

Slice = tuple[Features, NDArray[np.intp], NDArray[np.float64]]

PIECES, DIMENSIONS = 30, 6
CODE, HARD = 7, 11
"""Word pieces that decide: what is code, and what only the second candidate can do."""


class World:
    """Prompts of random pieces; embeddings are noise, two pieces decide the intent and who is useful."""

    def __init__(self, n: int = 400, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        self.ids = [list(generator.choice(PIECES, 6, replace=False)) for _ in range(n)]
        self.lexicon = Lexicon.fit(self.ids, PIECES)
        embeddings = generator.normal(0, 1 / 3, (n, DIMENSIONS)).astype(np.float32)
        self.features = Features(embeddings, self.lexicon.transform(self.ids))
        self.intent = np.array([CODE in row for row in self.ids], dtype=np.intp)
        self.hard = np.array([HARD in row for row in self.ids])
        self.useful = np.stack([~self.hard, np.full(n, True)], axis=1) * 0.9 + 0.05
        self.folds = np.arange(n) % 4

    @property
    def rows(self) -> Slice:
        return self.features, self.intent, self.useful

    def fit(self, useful: Any = None, intent: Any = None, **options: Any) -> Heads:
        """Fit on every row, with other labels where they are given."""
        classifier = RequestClassifier(**{"n_intents": 2, **options})
        intent = self.intent if intent is None else intent
        return classifier.fit(self.lexicon, self.features, intent, self.useful if useful is None else useful).heads_

    def cross_fit(
        self, deviations: tuple[float, ...] = (3.0,), calibrate: Slice | None = None, **other: Any
    ) -> CrossFit:
        """Cross-fit; without rows to calibrate on, the temperatures stay 1."""
        values = {"intent": self.intent, "useful": self.useful, "folds": self.folds, "n_intents": 2, **other}
        nothing = self.features.take(slice(0)), self.intent[:0], values["useful"][:0]
        learn = self.features, values["intent"], values["useful"]
        return cross_fit(
            self.lexicon,
            learn,
            calibrate or nothing,
            values["folds"],
            values["n_intents"],
            deviations,
            other.get("progress"),
            cost_usd=other.get("cost_usd"),
        )

    def probs(self, heads: Heads) -> tuple[Any, Any]:
        reading = heads(self.features.embeddings, self.features.pieces)
        return reading.intent_probs, reading.useful_probs


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def unseen() -> World:
    return World(seed=1)


def arrays(heads: Heads) -> dict[str, Any]:
    return {name: np.asarray(value) for name, value in vars(heads).items() if value is not None}


# --- what is learned


def test_a_word_piece_that_decides_is_learned(world: World, unseen: World) -> None:
    heads = world.fit()
    intent, useful = unseen.probs(heads)
    assert (intent.argmax(axis=1) == unseen.intent).mean() > 0.98
    assert useful[unseen.hard, 0].max() < useful[~unseen.hard, 0].min()
    assert (useful[unseen.hard, 1] > useful[unseen.hard, 0] + 0.2).all()
    assert np.abs(heads.intent_pieces[:, 1] - heads.intent_pieces[:, 0]).argmax() == CODE
    assert heads.useful_pieces[:, 0].argmin() == HARD


def test_without_pieces_it_is_a_penalised_logistic_regression(world: World) -> None:
    """One candidate: shared and own evidence add up, and their penalties like resistors in parallel."""
    generator = np.random.default_rng(2)
    useful = (generator.random(400) < 1 / (1 + np.exp(-6 * world.features.embeddings[:, 0]))).astype(float)
    nothing = Lexicon(np.zeros(PIECES, dtype=np.float32))
    features = Features(world.features.embeddings, nothing.transform(world.ids))
    classifier = RequestClassifier(1, common=2.0, deviation=6.0)
    heads = classifier.fit(nothing, features, np.zeros(400, dtype=np.intp), useful[:, None]).heads_
    penalty = 1 / (1 / 2.0 + 1 / 6.0)
    reference = LogisticRegression(C=1 / (2 * penalty), tol=1e-8).fit(features.embeddings, useful)
    np.testing.assert_allclose(heads.useful_weight[:, 0], reference.coef_[0], atol=0.01)
    bias = logit(float(np.mean(heads.table))) + heads.useful_bias[0]
    assert bias == pytest.approx(reference.intercept_[0], abs=0.01)
    assert not heads.useful_pieces.any()


def test_fitting_is_deterministic(world: World) -> None:
    first, second = arrays(world.fit()), arrays(world.fit())
    for name, values in first.items():
        assert values.tobytes() == second[name].tobytes(), name


def test_soft_labels_stay_soft(world: World) -> None:
    useful = np.tile([0.3, 0.8], (400, 1))
    _, probs = world.probs(world.fit(useful))
    np.testing.assert_allclose(probs, useful, atol=0.01)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_what_is_always_alike_stays_finite(value: float, world: World) -> None:
    """The intercept b ends where the pull of the 400 rows and its penalty 0.3·b² are equal."""
    heads = world.fit(np.full((400, 2), value))
    assert all(np.isfinite(values).all() for values in arrays(heads).values())
    assert np.abs(world.probs(heads)[1] - value).max() < 0.05
    start = float(logit(1 - TABLE_MARGIN))
    balance = brentq(lambda b: 400 * expit(-(start + b)) - 2 * 0.3 * b, 0, 50)
    np.testing.assert_allclose(heads.useful_bias, balance if value else -balance, atol=0.1)


def test_a_strong_penalty_leaves_the_averages_of_the_intents_between_candidates(world: World) -> None:
    def advantage(deviation: float) -> Any:
        heads = world.fit(deviation=deviation)
        certain = np.eye(2)[world.intent]
        logits = heads.useful_logits(world.features.embeddings, world.features.pieces, certain)
        return logits[:, 1] - logits[:, 0], heads

    free, _ = advantage(0.1)
    held, heads = advantage(1e6)
    assert np.ptp(free[world.intent == 0]) > 3
    for code in (0, 1):
        average = logit(heads.table[code].astype(float))
        np.testing.assert_allclose(held[world.intent == code], average[1] - average[0], atol=0.3)
        assert np.ptp(held[world.intent == code]) < 0.01


def test_a_strong_penalty_leaves_what_candidates_share(world: World) -> None:
    """A request that is hard for both is still believed to be hard."""
    useful = np.stack([~world.hard, ~world.hard], axis=1) * 0.9 + 0.05
    _, probs = world.probs(world.fit(useful, deviation=1e6))
    assert (probs[world.hard] < 0.5).all()
    assert (probs[~world.hard] > 0.7).all()


# --- what is ignored


def test_unknown_usefulness_is_left_out_not_counted_as_useless(world: World) -> None:
    known = np.arange(400) % 2 == 0
    useful = world.useful[:, :1].copy()
    useful[~known] = np.nan
    classifier = RequestClassifier(2)
    start = classifier.fit_intent(world.lexicon, world.features, world.intent, useful)
    gaps = classifier.fit_useful(start, world.features, world.intent, useful)
    dropped = classifier.fit_useful(start, world.features.take(known), world.intent[known], useful[known])
    np.testing.assert_allclose(gaps.useful_weight, dropped.useful_weight, atol=0.01)
    np.testing.assert_allclose(gaps.useful_pieces, dropped.useful_pieces, atol=0.01)
    np.testing.assert_allclose(gaps.useful_bias, dropped.useful_bias, atol=0.01)
    _, probs = world.probs(gaps)
    assert probs[~world.hard].mean() > 0.8  # counted as useless, half of the answers would be


def test_unknown_intents_teach_the_intent_head_nothing(world: World) -> None:
    known = np.arange(400) % 2 == 0
    intent = np.where(known, world.intent, -1)
    gaps = world.fit(intent=intent)
    dropped = (
        RequestClassifier(2)
        .fit(world.lexicon, world.features.take(known), world.intent[known], world.useful[known])
        .heads_
    )
    for name in ("intent_weight", "intent_bias", "intent_pieces"):
        np.testing.assert_array_equal(getattr(gaps, name), getattr(dropped, name))


def test_one_intent_is_certain(world: World) -> None:
    for intent in (np.zeros(400, dtype=np.intp), np.full(400, -1)):
        heads = world.fit(intent=intent, n_intents=1)
        np.testing.assert_array_equal(world.probs(heads)[0], 1)


def test_without_any_label_every_intent_is_as_probable(world: World) -> None:
    intent, useful = world.probs(world.fit(intent=np.full(400, -1), n_intents=4))
    np.testing.assert_allclose(intent, 0.25)
    assert np.isfinite(useful).all()


def test_an_intent_without_rows_is_believed_of_no_request(world: World) -> None:
    intent, _ = world.probs(world.fit(n_intents=3))
    assert intent[:, 2].max() < 1e-6
    np.testing.assert_allclose(intent.sum(axis=1), 1, rtol=1e-5)


# --- the table of averages


def test_an_average_is_shrunk_by_rows_of_the_overall_mean() -> None:
    """Column 1: known 1, 0 | 1, 1 and one of unknown intent 0.5; overall 3.5 / 5 = 0.7. Column 2 has gaps."""
    values = np.array([[1, 0.2], [0, np.nan], [1, np.nan], [1, 0.8], [0.5, np.nan]])
    table = intent_table(values, np.array([0, 0, 1, 1, -1]), 3, prior_rows=2)
    expected = [[(1 + 2 * 0.7) / 4, (0.2 + 2 * 0.5) / 3], [(2 + 2 * 0.7) / 4, (0.8 + 2 * 0.5) / 3], [0.7, 0.5]]
    np.testing.assert_allclose(table, expected, rtol=1e-6)


def test_without_prior_rows_an_average_is_plain() -> None:
    table = intent_table(np.array([[1.0], [0.0], [0.5]]), np.array([0, 0, 1]), 3, prior_rows=0)
    np.testing.assert_allclose(table, [[0.5], [0.5], [0.5]])
    assert intent_table(np.array([[1.0], [0.0]]), np.array([0, 1]), 3, 0)[2] == 0.5


def test_a_candidate_of_which_nothing_is_known_is_as_the_others_are() -> None:
    values = np.array([[0.6, np.nan, 1.0], [0.8, np.nan, 0.8]])
    np.testing.assert_allclose(intent_table(values, np.array([0, 0]), 1)[:, 1], 0.8)


# --- scikit-learn's manners


def test_the_constructor_keeps_its_arguments() -> None:
    classifier = RequestClassifier(n_intents=3, common=0.5, deviation=7.0, pieces=2.0, prior_rows=1.0)
    parameters = classifier.get_params()
    assert parameters == {
        "n_intents": 3,
        "inverse_penalty": 10.0,
        "common": 0.5,
        "deviation": 7.0,
        "pieces": 2.0,
        "prior_rows": 1.0,
    }
    copy = clone(classifier)
    assert copy is not classifier
    assert copy.get_params() == parameters
    assert copy.set_params(deviation=1.0).deviation == 1.0
    assert not hasattr(copy, "heads_")


# --- cross-fitting


@pytest.mark.parametrize("flipped", [0, 5, 399])
def test_a_request_is_judged_by_heads_that_never_saw_its_labels(flipped: int, world: World) -> None:
    plain = world.cross_fit()
    useful, intent = world.useful.copy(), world.intent.copy()
    useful[flipped], intent[flipped] = 1 - useful[flipped], 1 - intent[flipped]
    other = world.cross_fit(useful=useful, intent=intent)
    own = world.folds == world.folds[flipped]
    np.testing.assert_array_equal(plain.reading.useful_probs[own], other.reading.useful_probs[own])
    np.testing.assert_array_equal(plain.reading.intent_probs[own], other.reading.intent_probs[own])
    np.testing.assert_array_equal(plain.intent_useful[own], other.intent_useful[own])
    assert (plain.reading.useful_probs[~own] != other.reading.useful_probs[~own]).any()


def test_out_of_fold_probabilities_are_those_of_heads_of_the_other_folds(world: World) -> None:
    crossed, inside = world.cross_fit(), world.folds != 1
    part = world.features.take(inside), world.intent[inside], world.useful[inside]
    heads = RequestClassifier(2, deviation=3.0).fit(world.lexicon, *part).heads_
    intent, useful = world.probs(heads)
    np.testing.assert_array_equal(crossed.reading.useful_probs[~inside], useful[~inside])
    np.testing.assert_array_equal(crossed.reading.intent_probs[~inside], intent[~inside])


def test_the_final_heads_are_fitted_on_everything_with_the_penalty_chosen(world: World) -> None:
    crossed = world.cross_fit((0.3, 3.0, 1000.0))
    assert crossed.deviation < 1000  # what sets candidates apart is there to be learned
    for name, values in arrays(world.fit(deviation=crossed.deviation)).items():
        np.testing.assert_array_equal(values, getattr(crossed.heads, name))


def test_temperatures_of_the_calibration_slice_are_used_everywhere(world: World, unseen: World) -> None:
    features = Features(unseen.features.embeddings, world.lexicon.transform(unseen.ids))
    noisy = np.where(np.arange(400) % 5 == 0, 1 - unseen.intent, unseen.intent)
    crossed = world.cross_fit(calibrate=(features, noisy, unseen.useful))
    plain = world.cross_fit()
    assert crossed.heads.intent_temperature > 1
    expected = plain.reading.intent_probs ** (1 / crossed.heads.intent_temperature)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(crossed.reading.intent_probs, expected, rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(crossed.heads.intent_weight, plain.heads.intent_weight)


def test_overconfident_heads_are_cooled(world: World) -> None:
    generator = np.random.default_rng(3)
    heads = world.fit()
    truth = world.probs(heads)
    intent = (truth[0][:, 1] > generator.random(400)).astype(np.intp)
    useful = (truth[1] > generator.random((400, 2))).astype(float)
    loud = Heads(
        **{
            **vars(heads),
            "intent_weight": 3 * heads.intent_weight,
            "intent_pieces": 3 * heads.intent_pieces,
            "intent_bias": 3 * heads.intent_bias,
        }
    )
    assert calibrated(loud, world.features, intent, useful).intent_temperature == pytest.approx(3, rel=0.2)
    assert calibrated(heads, world.features, intent, useful).useful_temperature == pytest.approx(1, rel=0.2)
    unknown = calibrated(heads, world.features, np.full(400, -1), np.full((400, 2), np.nan))
    assert (unknown.intent_temperature, unknown.useful_temperature) == (1, 1)


def test_an_intent_may_be_missing_from_the_rest_of_the_folds(world: World) -> None:
    intent = np.where(world.folds == 2, 2, world.intent)
    crossed = world.cross_fit(intent=intent, n_intents=3)
    np.testing.assert_allclose(crossed.reading.intent_probs.sum(axis=1), 1, rtol=1e-5)
    assert np.isfinite(crossed.reading.useful_probs).all()
    assert crossed.reading.intent_probs[world.folds == 2, 2].max() < 1e-6


def test_structure_joins_the_embedding_in_training_and_in_reading(world: World) -> None:
    """Who is useful hangs on the length alone, which neither the noise nor the bag of pieces tells."""
    generator = np.random.default_rng(4)
    ids = [list(generator.integers(1, PIECES, size)) for size in generator.integers(2, 40, 400)]
    long = np.array([len(row) > 20 for row in ids])
    structure = Structure.fit(ids, {str(index): index for index in range(PIECES)}, [0])
    nothing = Lexicon(np.zeros(PIECES, dtype=np.float32))
    features = Features.of(world.features.embeddings, ids, nothing, structure)
    assert features.embeddings.shape == (400, DIMENSIONS + len(COLUMNS))
    useful = np.stack([~long, np.full(400, True)], axis=1).astype(float)
    learn = features, world.intent, useful
    crossed = cross_fit(
        nothing, learn, (features.take(slice(0)), world.intent[:0], useful[:0]), world.folds, 2, structure=structure
    )
    assert crossed.heads.structure is structure
    probs = crossed.reading.useful_probs[:, 0]
    assert ((probs > 0.5) == ~long).mean() > 0.9
    blind = Features.of(world.features.embeddings, ids, nothing)
    assert blind.embeddings is world.features.embeddings


def test_one_fold_is_an_error(world: World) -> None:
    with pytest.raises(TraceError, match="prompts"):
        world.cross_fit(folds=np.zeros(400, dtype=np.intp))


def test_progress_counts_the_folds_and_the_final_fit(world: World) -> None:
    done: list[tuple[int, int]] = []
    world.cross_fit(progress=lambda *at: done.append(at))
    assert done == [(0, 5), (1, 5), (2, 5), (3, 5), (5, 5)]


# --- the choice of the penalty

PENALTIES = (0.3, 3.0, 1000.0)


def priced(world: World) -> NDArray[np.float64]:
    """Return costs of the answers, (n, 2): the second candidate is dear, and dearer where the intent is code."""
    draw = np.random.default_rng(5).exponential(size=(400, 2))
    return draw * [1.0, 5.0] * np.where(world.intent == 1, 3.0, 1.0)[:, None]


def test_the_penalty_is_chosen_by_what_out_of_fold_beliefs_buy(world: World) -> None:
    """Beliefs and expected costs are those of heads and averages that never saw the request."""
    cost = priced(world)
    crossed = world.cross_fit(PENALTIES, cost_usd=cost)
    gets = {}
    for deviation in PENALTIES:
        read = world.cross_fit((deviation,)).reading
        expected = np.empty((400, 2))
        for fold in range(4):
            at = world.folds == fold
            expected[at] = read.intent_probs[at] @ intent_table(cost[~at], world.intent[~at], 2)
        gets[deviation] = bought(read.useful_probs, expected, world.useful, cost)
        area = decision_area(gets[deviation], world.useful)
        assert crossed.decision_area[deviation] == pytest.approx(area, abs=1e-9)
    assert crossed.deviation == most_careful(gets)
    assert len(set(crossed.decision_area.values())) > 1


def test_beliefs_nearest_the_truth_are_not_always_those_that_choose_best(world: World) -> None:
    """The bold penalty is right about how far apart the candidates are; it ranks the easy requests by noise."""
    crossed = world.cross_fit((0.1, 1.0), cost_usd=np.tile([1.0, 5.0], (400, 1)))
    assert crossed.advantage_error[0.1] < 0.5 * crossed.advantage_error[1.0]
    assert crossed.decision_area[0.1] < crossed.decision_area[1.0] - 0.001
    assert crossed.deviation == 1
    assert world.cross_fit((0.1, 1.0)).deviation == 0.1


def test_only_requests_with_every_outcome_decide(world: World) -> None:
    cost = priced(world)
    gaps = np.arange(400) % 7 == 0
    holes = np.where(gaps[:, None], np.nan, cost)
    crossed = world.cross_fit((3.0,), cost_usd=holes)
    assert np.isfinite(crossed.decision_area[3.0])
    assert crossed.decision_area != world.cross_fit((3.0,), cost_usd=cost).decision_area


@pytest.mark.parametrize("enough", [True, False])
def test_fewer_than_fifty_complete_requests_are_judged_by_differences(world: World, enough: bool) -> None:
    cost = np.where(np.arange(400)[:, None] < (50 if enough else 49), priced(world), np.nan)
    crossed = world.cross_fit(PENALTIES, cost_usd=cost)
    assert bool(crossed.decision_area) is enough
    if not enough:
        assert crossed.deviation == min(crossed.advantage_error, key=lambda one: crossed.advantage_error[one])


def test_where_no_penalty_buys_more_the_most_careful_is_chosen(world: World) -> None:
    """The cheapest is the most useful of all, and nothing tells where it is not."""
    useful = np.tile([0.9, 0.1], (400, 1))
    crossed = world.cross_fit((0.3, 30.0, 3.0), useful=useful, cost_usd=priced(world))
    assert list(crossed.decision_area.values()) == pytest.approx([0, 0, 0], abs=1e-9)
    assert crossed.deviation == 30


def test_an_advantage_is_judged_by_differences_only() -> None:
    """Believed apart by 0.2, truly by 0.6: each of the two is 0.2 off. What both share does not count."""
    probs, useful = np.array([[0.5, 0.7]]), np.array([[0.1, 0.7]])
    assert advantage_error(probs, useful) == pytest.approx(0.04)
    assert advantage_error(probs + 0.25, useful) == pytest.approx(0.04)


def test_an_advantage_counts_where_two_candidates_are_known() -> None:
    probs = np.array([[0.5, 0.7, 0.9], [0.5, 0.7, 0.0]])
    useful = np.array([[0.1, 0.7, np.nan], [np.nan, 0.1, np.nan]])
    assert advantage_error(probs, useful) == pytest.approx(0.04)
    assert advantage_error(probs[1:], useful[1:]) == 0


def test_where_nothing_tells_the_most_careful_penalty_is_chosen(world: World) -> None:
    useful = world.useful.copy()
    useful[np.arange(400), np.arange(400) % 2] = np.nan
    assert world.cross_fit((0.3, 30.0, 3.0), useful=useful).deviation == 30
