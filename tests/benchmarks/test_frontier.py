"""The measures of the comparison with peers, on frontiers that can be counted by hand."""

import numpy as np
import pytest
from frontier import Path, Reference, area, knob, measures, saved, trade_off
from hypothesis import given
from hypothesis import strategies as st
from peer_tables import over_splits, render, stands
from peers import Rival, deployed, mixtures, promise

USEFUL = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
COST = np.array([[1.0, 5.0]] * 4)
REFERENCE = Reference.of(USEFUL, COST, best=1)


def path_of(*columns: list[int]) -> Path:
    rows = np.arange(4)
    useful = np.stack([USEFUL[rows, chosen] for chosen in columns])
    cost = np.stack([COST[rows, chosen] for chosen in columns])
    return Path(useful.astype(np.float32), cost.astype(np.float32))


PERFECT = path_of([0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0])


def test_saved_is_the_cheapest_setting_that_is_useful_enough() -> None:
    assert saved(PERFECT, REFERENCE, 0.0) == pytest.approx(1 - 12 / 20)
    assert saved(PERFECT, REFERENCE, 0.25) == pytest.approx(1 - 8 / 20)
    assert saved(PERFECT, REFERENCE, 0.24) == pytest.approx(1 - 12 / 20)


def test_nothing_is_saved_where_every_setting_is_too_careless_or_too_dear() -> None:
    assert saved(path_of([0, 0, 0, 0]), REFERENCE, 0.0) == 0.0
    dear = Path(np.ones((1, 4), dtype=np.float32), np.full((1, 4), 9.0, dtype=np.float32))
    assert saved(dear, REFERENCE, 0.0) == 0.0


def test_area_is_the_mean_height_of_the_staircase_against_the_best_single_model() -> None:
    # Spendings 1..5: one quarter useful below 2, two below 3, three from there on; the best single model has three.
    spendings = np.linspace(1, 5, 60)
    expected = np.select([spendings < 2, spendings < 3], [0.25, 0.5], 0.75).mean() - 0.75
    assert area(PERFECT, REFERENCE) == pytest.approx(expected)


def test_the_single_models_belong_to_every_frontier() -> None:
    dear = path_of([1, 1, 1, 1])
    assert area(dear, REFERENCE) == pytest.approx(-0.5 * 59 / 60)


@given(st.lists(st.lists(st.integers(0, 1), min_size=4, max_size=4), min_size=1, max_size=5))
def test_more_settings_are_never_worth_less(columns: list[list[int]]) -> None:
    more = path_of(*columns, [0, 1, 0, 0])
    for name, value in measures(path_of(*columns), REFERENCE, (0.25, 0.0)).items():
        assert measures(more, REFERENCE, (0.25, 0.0))[name] >= value - 1e-12


def test_the_knob_goes_from_only_cost_to_only_usefulness() -> None:
    probs = np.array([[0.9, 0.91], [0.2, 0.8]])
    cost = np.array([[1.0, 5.0], [1.0, 5.0]])
    chosen = trade_off(probs, cost, knob(cost))
    assert chosen[0].tolist() == [0, 0]
    assert chosen[-1].tolist() == [1, 1]
    assert (np.diff(chosen, axis=0) >= 0).all()


def test_a_mixture_is_a_straight_line_between_single_models() -> None:
    useful, cost = mixtures(USEFUL, COST, USEFUL, COST).means()
    assert useful[[0, -1]] == pytest.approx([0.25, 0.75])
    assert cost[[0, -1]] == pytest.approx([1.0, 5.0])
    assert np.diff(useful, n=2) == pytest.approx(0.0, abs=1e-6)


def test_what_is_deployed_is_chosen_on_the_training_part_alone() -> None:
    careless = path_of([0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0])
    useful, cost = deployed(Rival("", PERFECT, careless), REFERENCE, REFERENCE, 0.25)
    found = promise(useful, cost, REFERENCE, 0.25)
    assert found == {"useful": pytest.approx(-0.5), "saved": pytest.approx(1 - 8 / 20), "broken": True}


def test_where_no_setting_was_good_enough_everything_stays_with_the_best_single_model() -> None:
    useful, cost = deployed(Rival("", path_of([0, 0, 0, 0]), PERFECT), REFERENCE, REFERENCE, 0.0)
    assert promise(useful, cost, REFERENCE, 0.0) == {"useful": 0.0, "saved": 0.0, "broken": False}


def test_splits_that_overlap_widen_the_interval() -> None:
    mean, low, high = over_splits([0.01, 0.02, 0.03], train=600, test=400)
    half = 4.302653 * np.sqrt(0.0001 * (1 / 3 + 400 / 600))  # t of 2 degrees of freedom; Nadeau and Bengio 2003
    assert (mean, low, high) == pytest.approx((0.02, 0.02 - half, 0.02 + half), rel=1e-5)


def test_one_split_tells_no_interval() -> None:
    assert over_splits([0.01], 600, 400) == (0.01, -np.inf, np.inf)


def test_stands() -> None:
    assert [stands(0.1, 0.2), stands(-0.1, 0.2), stands(-0.2, -0.1)] == ["ahead", "level", "behind"]


def test_the_tables_say_what_was_saved_lost_and_broken() -> None:
    def one(useful: float, saved: float, area: float) -> dict[str, object]:
        point = {"useful": useful, "saved": saved, "broken": useful < -0.01}
        return {"hindsight": {"saved:0.01": saved, "area": area}, "deployed": {"0.01": point}}

    runs = []
    for number in range(3):
        own = one(0.002, 0.2, -0.01 + 1e-5 * number)
        own["deployed"]["0.01"]["certified"] = number > 0  # type: ignore[index]
        runs.append({"train": 60, "test": 40, "methods": {"pointsman": own, "kNN": one(-0.02, 0.4, -0.03)}})
    text = render({"a_set": runs}, (0.01,))
    assert "| pointsman | 20 % (+0.2; 0 of 3) |" in text
    assert "| splits certified | 2 of 3 |" in text
    assert "| kNN | 40 % (-2.0; 3 of 3) |" in text
    assert "| kNN | +2.0 [+2.0, +2.0] ahead |" in text
    assert "ahead in 1, level in 0, behind in 0" in text
