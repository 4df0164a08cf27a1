"""What the intervals of before against after must be: paired, honest, bounded in memory, the same every time."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from pointsman.evidence import METRICS, compare, paired_change
from pointsman.replay import COLUMNS, Served

MakeServed = Callable[..., Served]


def random_served(generator: np.random.Generator, n: int, useful: float = 0.8) -> Served:
    known = np.where(generator.random(n) < 0.5, generator.random(n) < 0.1, np.nan)
    answers = (generator.random(n) < useful).astype(np.float64)
    return Served(answers, generator.gamma(2, 0.01, n), generator.gamma(2, 100, n), known)


def mixture(first: Served, second: Served, share: float) -> Served:
    rows = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in COLUMNS}
    return Served(**rows, weight=np.repeat([share, 1 - share], len(first.useful)))


def test_a_difference_is_after_minus_before() -> None:
    generator = np.random.default_rng(0)
    before, after = random_served(generator, 300), random_served(generator, 300)
    change = paired_change(before, after, replicates=200, useful_value_usd=0.5)
    was, now = before.summary(), after.summary()
    for name in METRICS:
        first: Any = was[name]
        second: Any = now[name]
        assert change[name]["difference"] == pytest.approx(second - first)
        assert change[name]["low"] <= change[name]["difference"] <= change[name]["high"]
        if "ratio" in change[name]:
            assert change[name]["ratio"] == pytest.approx(second / first)
            assert change[name]["ratio_low"] <= change[name]["ratio"] <= change[name]["ratio_high"]
    value = 0.5 * (after.useful - before.useful) - (after.cost_usd - before.cost_usd)
    assert change["net_value_usd"]["difference"] == pytest.approx(value.mean())
    assert "ratio" not in change["useful_rate"]
    assert "ratio" in change["p95_ms"]
    assert "net_value_usd" not in paired_change(before, after, replicates=200)
    assert (change["requests"], change["replicates"], change["confidence"]) == (300, 200, 0.95)


@pytest.mark.parametrize("metric", ["useful_rate", "cost_per_useful"])
def test_an_interval_covers_the_truth_about_as_often_as_it_says(metric: str) -> None:
    """200 samples of 150 requests, 90 % intervals."""
    generator = np.random.default_rng(1)
    truth = {"useful_rate": 0.9 - 0.7, "cost_per_useful": 1.0 / 0.9 - 2.0 / 0.7}[metric]
    covered = 0
    for seed in range(200):
        difficulty = generator.random(150)
        nothing = np.full(150, np.nan)
        before = Served((difficulty < 0.7).astype(float), generator.gamma(4, 0.5, 150), difficulty, nothing)
        after = Served((difficulty < 0.9).astype(float), generator.gamma(4, 0.25, 150), difficulty, nothing)
        found = paired_change(before, after, confidence=0.9, seed=seed, replicates=300)[metric]
        covered += found["low"] <= truth <= found["high"]
    assert binomtest(covered, 200, 0.9).pvalue > 0.001


def test_the_same_requests_served_alike_did_not_change_at_all() -> None:
    served = random_served(np.random.default_rng(2), 500)
    same = Served(**{name: getattr(served, name).copy() for name in COLUMNS})
    change = paired_change(served, same, useful_value_usd=1.0)
    for name in (*METRICS, "net_value_usd"):
        assert (change[name]["difference"], change[name]["low"], change[name]["high"]) == (0, 0, 0)
    assert compare(change) == "level"


def test_pairing_narrows_the_interval(make_served: MakeServed) -> None:
    """The same requests are hard for both: unpaired, their difference would be lost in the noise."""
    generator = np.random.default_rng(3)
    hard = generator.random(400)
    before, after = make_served(hard < 0.5), make_served(hard < 0.55)
    shuffled = make_served(generator.permutation(after.useful))
    paired, unpaired = paired_change(before, after)["useful_rate"], paired_change(before, shuffled)["useful_rate"]
    assert paired["difference"] == pytest.approx(unpaired["difference"])
    assert paired["low"] > 0 > unpaired["low"]
    assert unpaired["high"] - unpaired["low"] > 2 * (paired["high"] - paired["low"])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999), st.integers(1, 40), st.sampled_from([0.25, 0.5, 0.9]))
def test_a_mixture_of_a_policy_with_itself_is_that_policy(seed: int, n: int, share: float) -> None:
    served, other = (random_served(np.random.default_rng(seed + offset), n) for offset in (0, 1))
    twice, once = (paired_change(other, one, replicates=50) for one in (mixture(served, served, share), served))
    assert twice.keys() == once.keys()
    for name, entry in once.items():
        assert twice[name] == (pytest.approx(entry, abs=1e-12) if isinstance(entry, dict) else entry)


def test_a_mixture_counts_both_its_sides() -> None:
    generator = np.random.default_rng(4)
    first, second = random_served(generator, 60, useful=0.9), random_served(generator, 60, useful=0.3)
    mixed = mixture(first, second, 0.25)
    change = paired_change(first, mixed)
    was, now = first.summary(), mixed.summary()
    assert change["requests"] == 60
    for name in ("useful_rate", "cost_usd", "p50_ms", "p95_ms", "hallucination_rate"):
        before: Any = was[name]
        after: Any = now[name]
        assert change[name]["difference"] == pytest.approx(after - before)


def test_an_interval_of_a_quantile_is_that_of_resampled_requests(make_served: MakeServed) -> None:
    """Nine requests that took 0, the tenth 1,000 ms: P95 of a resample is 1,000 wherever the tenth was drawn."""
    before, after = make_served([1] * 10, latency_ms=0.0), make_served([1] * 10, latency_ms=[0.0] * 9 + [1000.0])
    change = paired_change(before, after, confidence=0.5)["p95_ms"]
    assert (change["low"], change["high"]) == (0, 1000)  # drawn at least once: 1 - 0.9^10 = 65 % of the resamples
    assert "ratio" not in change


def test_hallucination_unknown_on_either_side_stays_unknown(make_served: MakeServed) -> None:
    known, unknown = make_served([1] * 9, hallucinated=0.0), make_served([1] * 9)
    assert paired_change(known, unknown)["hallucination_rate"] is None
    assert paired_change(unknown, known)["hallucination_rate"] is None
    assert paired_change(known, known)["hallucination_rate"] is not None


def test_what_was_hardly_ever_useful_or_known_has_no_interval(make_served: MakeServed) -> None:
    """One of 20: a third of the resamples hold none, and their cost per useful response has no end."""
    rare = [1] + [0] * 19
    seldom = np.where(np.array(rare) == 1, 0.0, np.nan)
    change = paired_change(make_served(rare, hallucinated=seldom), make_served([1] * 20, hallucinated=0.0))
    assert change["cost_per_useful"] is None
    assert change["hallucination_rate"] is None
    assert change["useful_rate"]["high"] <= 1
    json.dumps(change, allow_nan=False)


def test_what_cost_nothing_has_no_ratio(make_served: MakeServed) -> None:
    change = paired_change(make_served([1] * 9, 0.0), make_served([1] * 9, 1.0))
    assert "ratio" not in change["cost_usd"]
    assert change["cost_usd"]["difference"] == 9
    json.dumps(change, allow_nan=False)


def test_the_same_seed_gives_the_same_interval() -> None:
    generator = np.random.default_rng(5)
    before, after = random_served(generator, 100), random_served(generator, 100)
    assert paired_change(before, after, seed=7) == paired_change(before, after, seed=7)
    assert paired_change(before, after, seed=7) != paired_change(before, after, seed=8)


@pytest.mark.parametrize(("gain", "stands"), [(0.2, "ahead"), (0.0, "level"), (-0.2, "behind")])
def test_a_side_is_ahead_where_its_net_value_surely_is(gain: float, stands: str, make_served: MakeServed) -> None:
    generator = np.random.default_rng(6)
    before, after = make_served(generator.random(2000) < 0.5), make_served(generator.random(2000) < 0.5 + gain)
    assert compare(paired_change(before, after, replicates=300, useful_value_usd=1.0)) == stands
    # Dearer by more than usefulness is worth.
    dear = make_served(after.useful, 2.0)
    assert compare(paired_change(before, dear, replicates=300, useful_value_usd=1.0)) == "behind"


def test_memory_is_bounded_for_many_requests() -> None:
    """Two sides of 200,000 requests and their mixture, 200 replicates: one table of all would take 320 MB."""
    generator = np.random.default_rng(7)
    before, after = random_served(generator, 200_000), random_served(generator, 200_000)
    tracemalloc.start()
    change = paired_change(before, mixture(before, after, 0.5))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert change["replicates"] == 200
    assert peak < 120e6
