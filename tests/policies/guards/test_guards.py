"""Guards: breakers open, are probed and close; budgets squeeze without a step; places are taken and given back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pointsman.guards.chance import uniform
from pointsman.guards.guards import BREAKER, BUDGET, CONCURRENCY
from pointsman.guards.retrying import delays_ms
from pointsman.guards.settings import Breaker, Budget, GuardSettings, Retry
from pointsman.guards.spending import throttled
from pointsman.guards.store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.policies.guards.conftest import Clock

    from pointsman.guards.guards import Guards

SMALL, MEDIUM, LARGE = 0, 1, 2
ERRORS = GuardSettings(breaker=Breaker(error_rate=0.5, min_requests=4, open_s=30, half_open_probes=2))


def answer(guards: Guards, times: int, model: str = "small", ok: bool = True, **told: float | bool) -> None:
    for number in range(times):
        guards.report(f"{model} {number}", model, ok=ok, **told)  # type: ignore[arg-type]


def test_a_breaker_opens_is_probed_and_closes(guards_of: Callable[..., Guards], clock: Clock) -> None:
    guards = guards_of(ERRORS)
    answer(guards, 3, ok=False)
    assert guards.bars(["a"]) is None, "too few answers to tell"
    answer(guards, 1, ok=False)
    bars = guards.bars(["a", "b"])
    assert bars is not None
    assert [list(one) for one in bars] == [[SMALL], [SMALL]]
    assert bars[0][SMALL] == (BREAKER, "its breaker is open: 100% of its last 4 answers failed")
    refusal = guards.admit("a", SMALL, None)
    assert refusal is not None
    assert refusal.kind == BREAKER
    clock.pass_by(29.9)
    assert guards.barred("small") is not None
    clock.pass_by(0.1)
    assert guards.barred("small") is None, "half-open"
    assert guards.admit("p1", SMALL, None) is None
    assert guards.admit("p2", SMALL, None) is None
    third = guards.admit("p3", SMALL, None)
    assert third is not None
    assert "2 probes are under way" in third.why
    guards.report("p1", "small", ok=True)
    assert guards.status()["models"]["small"]["phase"] == "half_open"
    guards.report("p2", "small", ok=True)
    assert guards.status()["models"]["small"]["phase"] == "closed"
    answer(guards, 1, ok=False)
    assert guards.bars(["a"]) is None, "what was before it closed does not count"


def test_a_bad_probe_opens_it_again_and_a_stray_answer_does_not(guards_of: Callable[..., Guards], clock: Clock) -> None:
    guards = guards_of(ERRORS)
    guards.admit("stray", SMALL, None)
    answer(guards, 4, ok=False)
    clock.pass_by(30)
    guards.report("stray", "small", ok=False)
    assert guards.status()["models"]["small"]["phase"] == "half_open"
    guards.admit("probe", SMALL, None)
    guards.report("probe", "small", ok=False)
    assert guards.status()["models"]["small"] == {
        "phase": "open",
        "why": "a probe failed",
        "under_way": None,
        "expired": 0,
    }


def test_a_probe_that_is_never_reported_does_not_hold_it_half_open(
    guards_of: Callable[..., Guards], clock: Clock
) -> None:
    guards = guards_of(ERRORS)
    answer(guards, 4, ok=False)
    clock.pass_by(30)
    for name in ("p1", "p2"):
        guards.admit(name, SMALL, None)
    assert guards.barred("small") is not None
    clock.pass_by(120)
    assert guards.barred("small") is None


@pytest.mark.parametrize(
    ("breaker", "told", "why"),
    [
        (Breaker(late_rate=0.5, late_ms=100, min_requests=4), {"latency_ms": 101.0}, "4 answers were late"),
        (Breaker(late_rate=0.5, min_requests=4), {"latency_ms": 20_001.0}, "4 answers were late"),
        (Breaker(late_rate=0.5, min_requests=4), {"timed_out": True}, "4 answers were late"),
        (
            Breaker(cost_ratio=3, min_requests=4),
            {"cost_usd": 0.031, "expected_usd": 0.01},
            "cost 3.1 times what is expected",
        ),
    ],
)
def test_late_and_dear_answers_open_it_too(
    guards_of: Callable[..., Guards], breaker: Breaker, told: Any, why: str
) -> None:
    guards = guards_of(GuardSettings(breaker=breaker))
    answer(guards, 3, "medium", **told)
    assert guards.barred("medium") is None
    answer(guards, 1, "medium", **told)
    bar = guards.barred("medium")
    assert bar is not None
    assert why in bar.why
    answer(guards, 9, "medium", latency_ms=1.0, cost_usd=0.01, expected_usd=0.01)
    answer(guards, 9, "small", latency_ms=1.0, cost_usd=0.01, expected_usd=0.01)
    assert guards.barred("small") is None


def test_places_are_taken_given_back_and_given_up(guards_of: Callable[..., Guards], clock: Clock) -> None:
    guards = guards_of(GuardSettings())
    assert guards.admit("a", MEDIUM, None) is None
    assert guards.admit("b", MEDIUM, None) is None
    bars = guards.bars(["c"])
    assert bars == [{MEDIUM: (CONCURRENCY, "all 2 of its places are taken")}]
    assert guards.admit("c", MEDIUM, None) is not None
    assert guards.admit("c", MEDIUM, None, force=True) is None
    guards.report("a", "medium", ok=True)
    guards.report("a", "medium", ok=True)  # told twice: one place
    guards.report("c", "medium", ok=True)
    assert guards.bars(["d"]) is None
    assert guards.admit("d", MEDIUM, None) is None
    clock.pass_by(20)
    assert guards.status()["models"]["medium"]["under_way"] == 0, "its timeout is 20 s"
    assert guards.status()["models"]["medium"]["expired"] == 2
    for number in range(1000):
        guards.admit(f"unlimited {number}", SMALL, None)
    assert not guards._leases[SMALL]._held, "nothing is kept of models without a limit"


def test_the_throttle_rises_smoothly_the_dearest_first(guards_of: Callable[..., Guards]) -> None:
    ids = [f"request {number}" for number in range(2000)]
    guards = guards_of(GuardSettings(budget=Budget(usd_per_minute=10, soft_share=0.8)))
    shares = []
    for spent in (7.9, 0.1, 0.5, 0.5, 0.5, 0.5):
        guards.admit("x", SMALL, spent)
        bars = guards.bars(ids) or [{}] * len(ids)
        assert all(SMALL not in one for one in bars), "the cheapest is never throttled"
        assert all(LARGE in one for one in bars if MEDIUM in one), "the dearest first"
        shares.append(tuple(sum(column in one for one in bars) / len(ids) for column in (MEDIUM, LARGE)))
    expected = [(0.0, 0.0), (0.0, 0.0), (0.0625, 0.25), (0.25, 0.5), (0.5625, 0.75), (1.0, 1.0)]
    for got, want in zip(shares, expected, strict=True):
        assert got == pytest.approx(want, abs=0.03)
    full = guards.bars(["x"])
    assert full is not None
    assert full[0][LARGE] == (BUDGET, "100% of the 10 USD per minute are spent")
    assert throttled("x", 1.0, 1) == range(1, 1)


def test_spending_follows_what_is_reported_and_passes(guards_of: Callable[..., Guards], clock: Clock) -> None:
    guards = guards_of(GuardSettings(budget=Budget(usd_per_minute=10, usd_per_day=100)))
    guards.admit("a", LARGE, 4.0)
    assert guards.status()["spent_usd"] == {"minute": 4.0, "day": 4.0}
    guards.report("a", "large", ok=True, cost_usd=1.5, expected_usd=4.0)
    assert guards.status()["spent_usd"] == {"minute": 1.5, "day": 1.5}
    clock.pass_by(61)
    assert guards.status()["spent_usd"] == {"minute": 0.0, "day": 1.5}


def test_retries_are_bounded_by_their_budget(guards_of: Callable[..., Guards], clock: Clock) -> None:
    guards = guards_of(GuardSettings(Retry(max_retries=2, budget_share=0.1, budget_floor=1)))
    assert [guards.retry() for _ in range(3)] == [True, False, False]
    for number in range(10):
        guards.admit(str(number), SMALL, None)
    assert len(guards.delays_ms("x")) == 2
    assert [guards.retry() for _ in range(2)] == [True, False]
    assert guards.delays_ms("x") == ()
    clock.pass_by(61)
    assert guards.retry()
    assert not guards_of(GuardSettings()).retry()


def test_delays_have_full_jitter_under_a_doubling_ceiling() -> None:
    settings = Retry(max_retries=4, base_ms=100, cap_ms=350)
    drawn = [delays_ms(settings, f"request {number}") for number in range(2000)]
    assert delays_ms(settings, "request 7") == drawn[7]
    for turn, ceiling in enumerate((100, 200, 350, 350)):
        delays = [one[turn] for one in drawn]
        assert 0 <= min(delays) < 0.05 * ceiling
        assert 0.95 * ceiling < max(delays) <= ceiling
        assert sum(delays) / len(delays) == pytest.approx(ceiling / 2, rel=0.05)


def test_draws_are_even_fixed_and_independent() -> None:
    assert uniform("request 1", "canary") == uniform("request 1", "canary")
    pairs = [(uniform(f"r{n}", "canary"), uniform(f"r{n}", "shadow")) for n in range(4000)]
    both = sum(a < 0.5 and b < 0.5 for a, b in pairs) / len(pairs)
    assert both == pytest.approx(0.25, abs=0.03)
    assert uniform("\ud83d", "canary") < 1


def test_processes_share_breakers_spending_and_retries(guards_of: Callable[..., Guards], clock: Clock) -> None:
    store = MemoryStore()
    retry = Retry(max_retries=1, budget_share=0, budget_floor=1)
    settings = GuardSettings(retry, ERRORS.breaker, Budget(usd_per_hour=10))
    one, other = guards_of(settings, store), guards_of(settings, store)
    answer(one, 2, ok=False)
    answer(other, 2, ok=False)
    for guards in (one, other):
        assert guards.bars(["a"]) is not None
        assert guards.status()["models"]["small"]["phase"] == "open"
    one.admit("a", LARGE, 9.0)
    other.admit("b", LARGE, 0.5)
    for guards in (one, other, one):
        guards.bars(["a"])
    assert one.status()["spent_usd"] == other.status()["spent_usd"] == {"hour": 9.5}
    assert one.retry()
    one.bars(["a"])
    other.bars(["a"])
    assert not other.retry()
    clock.pass_by(30)
    for name in ("p1", "p2"):
        one.admit(name, SMALL, None)
        one.report(name, "small", ok=True)
    other.bars(["a"])
    assert other.status()["models"]["small"]["phase"] == "closed"


def test_unknown_models_are_passed_over(guards_of: Callable[..., Guards]) -> None:
    guards_of(ERRORS).report("a", "tiny", ok=False)
