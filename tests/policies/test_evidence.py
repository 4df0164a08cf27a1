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
from scipy.stats import binomtest, bootstrap, norm, t, ttest_rel

from pointsman import evidence
from pointsman.bootstrap import bca, standard_error, studentised
from pointsman.evidence import METHODS, METRICS, compare, paired_change
from pointsman.replay import COLUMNS, Served
from pointsman.resample import Paired, units_of

MakeServed = Callable[..., Served]


def random_served(generator: np.random.Generator, n: int, useful: float = 0.8) -> Served:
    known = np.where(generator.random(n) < 0.5, generator.random(n) < 0.1, np.nan)
    answers = (generator.random(n) < useful).astype(np.float64)
    return Served(answers, generator.gamma(2, 0.01, n), generator.gamma(2, 100, n), known)


def random_pair(generator: np.random.Generator, n: int) -> tuple[Served, Served]:
    return random_served(generator, n), random_served(generator, n)


def picked(sides: tuple[Served, Served], at: Any) -> tuple[Served, Served]:
    """Return the requests at an index, of both sides."""
    first, second = (Served(**{name: getattr(one, name)[at] for name in COLUMNS}) for one in sides)
    return first, second


def scaled(sides: tuple[Served, Served], factor: float) -> tuple[Served, Served]:
    """Return costs and latencies in other units."""
    first, second = (
        Served(one.useful, one.cost_usd * factor, one.latency_ms * factor, one.hallucinated) for one in sides
    )
    return first, second


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


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """100 samples of 150 requests, 90 % intervals."""
    generator = np.random.default_rng(1)
    truth = {"useful_rate": 0.9 - 0.7, "cost_usd": -150.0, "cost_per_useful": 1.0 / 0.9 - 2.0 / 0.7, "p50_ms": 0.0}
    covered = dict.fromkeys(truth, 0)
    for seed in range(100):
        difficulty, speed = generator.random(150), generator.normal(100, 10, (2, 150))
        nothing = np.full(150, np.nan)
        before = Served((difficulty < 0.7).astype(float), generator.gamma(4, 0.5, 150), speed[0], nothing)
        after = Served((difficulty < 0.9).astype(float), generator.gamma(4, 0.25, 150), speed[1], nothing)
        found = paired_change(before, after, confidence=0.9, seed=seed, replicates=200)
        for metric, value in truth.items():
            covered[metric] += found[metric]["low"] <= value <= found[metric]["high"]
    for metric, count in covered.items():
        assert binomtest(count, 100, 0.9).pvalue > 0.001, metric


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
    """Two sides of 50,000 requests and their mixture, 200 replicates: one table of all would take 80 MB."""
    generator = np.random.default_rng(7)
    before, after = random_served(generator, 50_000), random_served(generator, 50_000)
    mixed = mixture(before, after, 0.5)
    tracemalloc.start()
    change = paired_change(before, mixed, replicates=200)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert change["replicates"] == 200
    assert peak < 50e6


def test_many_requests_have_fewer_replicates_and_very_many_the_delta_method(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(8)
    before, after = random_served(generator, 400), random_served(generator, 400)
    monkeypatch.setattr(evidence, "DRAWN", 400 * 250)
    assert paired_change(before, after)["replicates"] == 250
    monkeypatch.setattr(evidence, "MANY", 399)
    change = paired_change(before, after)
    assert change["replicates"] == 0
    assert set(change["method"].values()) == {"delta"}
    assert change == paired_change(before, after, method="delta")
    assert paired_change(before, after, method="bca")["replicates"] == 250


def test_each_kind_of_metric_has_its_method_unless_one_is_named() -> None:
    generator = np.random.default_rng(9)
    before, after = random_served(generator, 300), random_served(generator, 300)
    method = paired_change(before, after, replicates=100, useful_value_usd=1.0)["method"]
    assert (method["useful_rate"], method["cost_per_useful"], method["hallucination_rate"]) == ("delta",) * 3
    assert (method["cost_usd"], method["net_value_usd"]) == ("studentised",) * 2
    assert (method["p50_ms"], method["p95_ms"]) == ("percentile",) * 2
    for named in ("percentile", "bca", "delta"):
        assert set(paired_change(before, after, replicates=100, method=named)["method"].values()) == {named}
    with pytest.raises(ValueError, match="method must be one of percentile, bca, studentised, delta, got 'exact'"):
        paired_change(before, after, method="exact")


@pytest.mark.parametrize("method", METHODS)
def test_methods_agree_on_many_requests(method: str) -> None:
    """All are right in the limit; on 3,000 requests their ends are a tenth of a width apart at most."""
    generator = np.random.default_rng(10)
    before, after = random_served(generator, 3000), random_served(generator, 3000, useful=0.85)
    peer = paired_change(before, after, replicates=1000, useful_value_usd=0.2, method="delta")
    found = paired_change(before, after, replicates=1000, useful_value_usd=0.2, method=method)
    for name in (*METRICS, "net_value_usd"):
        for end in ("", "ratio_")[: 1 + ("ratio" in peer[name])]:
            width = peer[name][f"{end}high"] - peer[name][f"{end}low"]
            tolerance = (0.25 if name.endswith("ms") else 0.1) * width
            for side in ("low", "high"):
                assert found[name][end + side] == pytest.approx(peer[name][end + side], abs=tolerance), (name, end)


def test_the_delta_method_of_a_mean_is_students_interval(make_served: MakeServed) -> None:
    generator = np.random.default_rng(11)
    costs = generator.lognormal(0, 1, (2, 40))
    found = paired_change(make_served([1] * 40, costs[0]), make_served([1] * 40, costs[1]), method="delta")
    peer = ttest_rel(costs[1], costs[0]).confidence_interval(0.95)
    assert found["cost_usd"]["low"] == pytest.approx(40 * peer.low)
    assert found["cost_usd"]["high"] == pytest.approx(40 * peer.high)


def test_a_share_has_two_imagined_requests(make_served: MakeServed) -> None:
    """Bonett and Price: 18 requests, the sides differ on one; two more differ, one each way."""
    before, after = make_served([1] * 18), make_served([1] * 17 + [0])
    found = paired_change(before, after)["useful_rate"]
    influence = np.append(after.useful - before.useful + 1 / 18, [1, -1])
    reach = t.ppf(0.975, 19) * np.sqrt((influence**2).sum() * 20 / 19) / 18
    assert found["high"] == pytest.approx(-1 / 18 + reach)
    assert found["low"] == pytest.approx(-1 / 18 - reach)
    assert found["high"] > 0


def test_the_delta_method_of_a_quantile_is_that_of_its_density(make_served: MakeServed) -> None:
    """P95 of 20,000 normal latencies: standard error sqrt(p (1 - p) / n) / density."""
    latency = np.random.default_rng(12).normal(100, 10, 20_000)
    found = paired_change(
        make_served([1] * 20_000, latency_ms=0.0), make_served([1] * 20_000, 1.0, latency), method="delta"
    )
    expected = 2 * 1.96 * np.sqrt(0.05 * 0.95 / 20_000) / norm.pdf(norm.ppf(0.95)) * 10
    assert found["p95_ms"]["high"] - found["p95_ms"]["low"] == pytest.approx(expected, rel=0.2)


def test_a_denominator_that_may_be_0_has_no_interval_by_the_delta_method(make_served: MakeServed) -> None:
    """Three useful of 100 may as well have been none (Fieller); eight may not."""
    always = make_served([1] * 100)
    for useful, told in ((3, False), (8, True)):
        rare = make_served([1] * useful + [0] * (100 - useful))
        assert (paired_change(rare, always, method="delta")["cost_per_useful"] is not None) == told
        assert (paired_change(always, rare, method="delta")["cost_per_useful"] is not None) == told


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.sampled_from(METHODS), st.sampled_from([1e-6, 0.3, 1000.0]), st.booleans())
def test_units_do_not_matter(seed: int, method: str, factor: float, clustered: bool) -> None:
    generator = np.random.default_rng(seed)
    sides = random_pair(generator, 60)
    cluster = generator.integers(0, 20, 60).astype(str) if clustered else None
    found, other = (
        paired_change(*pair, replicates=60, cluster=cluster, method=method) for pair in (sides, scaled(sides, factor))
    )
    for name in METRICS:
        if found[name] is None:
            assert other[name] is None
            continue
        for key, value in found[name].items():
            unit = factor if name in {"cost_usd", "cost_per_useful", "p50_ms", "p95_ms"} and "ratio" not in key else 1
            assert other[name][key] == pytest.approx(unit * value, rel=1e-6, abs=1e-9 * unit), (name, key)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 999), st.booleans())
def test_the_order_of_requests_does_not_matter(seed: int, clustered: bool) -> None:
    generator = np.random.default_rng(seed)
    sides, order = random_pair(generator, 80), generator.permutation(80)
    cluster = generator.integers(0, 25, 80).astype(str) if clustered else np.full(80, "")
    found = paired_change(*sides, cluster=cluster, method="delta")
    other = paired_change(*picked(sides, order), cluster=cluster[order], method="delta")
    for name in METRICS:
        assert other[name] == pytest.approx(found[name])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999), st.sampled_from([None, *METHODS]))
def test_requests_twice_in_their_cluster_prove_no_more(seed: int, method: str | None) -> None:
    generator = np.random.default_rng(seed)
    sides, cluster = random_pair(generator, 80), np.repeat(np.arange(20).astype(str), 4)
    twice = picked(sides, np.repeat(np.arange(80), 2))
    found = paired_change(*sides, replicates=100, cluster=cluster, method=method)
    other = paired_change(*twice, replicates=100, cluster=np.repeat(cluster, 2), method=method)
    assert (found["clusters"], other["clusters"], found["few_clusters"]) == (20, 20, False)
    for name in ("useful_rate", "cost_per_useful", "p50_ms", "p95_ms"):
        # The two imagined requests weigh less beside more requests.
        tolerance = 0.01 if name == "useful_rate" else 1e-9
        assert other[name] == pytest.approx(found[name], rel=1e-9, abs=tolerance)
    assert other["cost_usd"]["low"] == pytest.approx(2 * found["cost_usd"]["low"])


@pytest.mark.parametrize("method", [None, *METHODS])
def test_a_cluster_of_alike_requests_counts_as_one(method: str | None) -> None:
    """Five copies of each of 100 requests: the plain interval is the square root of five too narrow."""
    generator = np.random.default_rng(13)
    sides = random_pair(generator, 100)
    copies = picked(sides, np.repeat(np.arange(100), 5))
    cluster = np.repeat(np.arange(100).astype(str), 5)
    plain = paired_change(*copies, replicates=600, method=method)
    clustered = paired_change(*copies, replicates=600, cluster=cluster, method=method)
    for name in ("useful_rate", "cost_usd", "cost_per_useful"):
        narrow, wide = (one[name]["high"] - one[name]["low"] for one in (plain, clustered))
        assert wide / narrow == pytest.approx(np.sqrt(5), rel=0.15)


def test_clusters_of_one_are_requests() -> None:
    generator = np.random.default_rng(14)
    before, after = random_served(generator, 50), random_served(generator, 50)
    plain = paired_change(before, after, replicates=100)
    assert (plain["clusters"], plain["few_clusters"]) == (None, False)
    assert paired_change(before, after, replicates=100, cluster=np.full(50, "", dtype=object)) == plain
    each = paired_change(before, after, replicates=100, cluster=generator.permutation(50).astype(str))
    assert each == {**plain, "clusters": 50}


def test_an_unknown_cluster_is_one_of_its_own() -> None:
    number, units = units_of(np.array(["b", "", "a", "b", "", "a"], dtype=object), 6)
    assert number is not None
    assert (number.tolist(), units) == ([0, 1, 2, 0, 3, 2], 4)
    assert units_of(np.array(["", ""]), 2) == (None, 2)
    assert units_of(None, 3) == (None, 3)


def test_few_clusters_are_named_and_one_tells_nothing() -> None:
    generator = np.random.default_rng(15)
    before, after = random_served(generator, 90), random_served(generator, 90)
    for clusters, few in ((9, True), (10, False)):
        found = paired_change(before, after, replicates=100, cluster=np.arange(90) % clusters)
        assert (found["clusters"], found["few_clusters"]) == (clusters, few)
    alone = paired_change(before, after, replicates=100, useful_value_usd=1.0, cluster=np.full(90, "a"))
    assert all(alone[name] is None for name in (*METRICS, "net_value_usd"))
    assert (alone["clusters"], alone["method"], compare(alone)) == (1, {}, "level")


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.integers(1, 12), st.integers(1, 4), st.sampled_from([None, *METHODS]))
def test_whatever_the_requests_intervals_are_numbers(seed: int, n: int, clusters: int, method: str | None) -> None:
    generator = np.random.default_rng(seed)
    before, after = random_served(generator, n, 0.5), random_served(generator, n, 0.5)
    after = Served(after.useful, after.cost_usd * (seed % 3), after.latency_ms * (seed % 2), after.hallucinated)
    cluster = generator.integers(0, clusters, n).astype(str) if seed % 2 else None
    found = paired_change(before, after, replicates=40, useful_value_usd=1.0, cluster=cluster, method=method)
    json.dumps(found, allow_nan=False)
    for name in (*METRICS, "net_value_usd"):
        if found[name] is not None:
            assert found[name]["low"] <= found[name]["high"]


def test_a_replicates_standard_error_is_that_of_its_requests() -> None:
    """The closed form over sums of products, against the delta method on the resampled requests themselves."""
    generator = np.random.default_rng(16)
    sides = random_pair(generator, 30)
    names = ("useful_rate", "cost_usd", "cost_per_useful", "net_value_usd")
    draws = Paired(*sides, None, 0.5).draw(3, 4, names)
    for index, at in enumerate(np.random.default_rng(3).integers(0, 30, (4, 30))):
        drawn = Paired(*picked(sides, at), None, 0.5)
        for name in names:
            was, now = drawn.point[name]
            assert draws.values[name][:, index] == pytest.approx([was, now])
            first, second = drawn.influence(name, 0.95)
            errors = standard_error(second - first), standard_error(second / now - first / was)
            assert draws.errors[name][:, index] == pytest.approx(errors)


def test_bca_of_a_mean_is_that_of_a_peer() -> None:
    values = np.random.default_rng(17).lognormal(0, 1, 40)
    peer = bootstrap((values,), np.mean, n_resamples=999, method="BCa", random_state=np.random.default_rng(18))
    found = bca(peer.bootstrap_distribution, float(values.mean()), (values - values.mean()) / 40, 0.95)
    assert found == pytest.approx((peer.confidence_interval.low, peer.confidence_interval.high))


def test_the_studentised_interval_turns_its_tails_around() -> None:
    """Replicates 1, 2 and 3 standard errors above the estimate: the truth is as far below it."""
    drawn, errors = np.array([2.0, 4.0, 8.0]), np.array([1.0, 1.5, 7 / 3])
    assert studentised(drawn, errors, 1.0, 0.5, 0.999) == pytest.approx((1 - 3 * 0.5, 1 - 1 * 0.5))
    assert studentised(drawn, np.zeros(3), 1.0, 0.5, 0.95) is None
    assert studentised(np.ones(3), np.zeros(3), 1.0, 0.5, 0.95) == (1, 1)


def test_what_has_no_studentised_interval_has_that_of_the_delta_method(make_served: MakeServed) -> None:
    """One request of 30 changed its cost: a third of the resamples hold no change and no standard error."""
    before, after = make_served([1] * 30, 1.0), make_served([1] * 30, [2.0] + [1.0] * 29)
    change = paired_change(before, after)
    assert change["method"]["cost_usd"] == "delta"
    assert change["cost_usd"] == paired_change(before, after, method="delta")["cost_usd"]
