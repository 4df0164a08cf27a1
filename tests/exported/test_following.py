"""What follows a failure: retries with their delays, then fallbacks whose conditions hold, then nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pointsman.bundle import load_bundle
from pointsman.decide import Reading
from pointsman.decision import Decision, Step
from pointsman.errors import PointsmanError
from pointsman.guards.ledger import Ledger
from pointsman.guards.settings import Breaker, GuardSettings, Retry
from pointsman.policy import Fallback, Policy
from pointsman.router import Router

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pointsman.session import Progress, Prompt


class Sure:
    """A classifier that says the same of every prompt: chat, and that only large is useful."""

    def read(self, texts: Sequence[Prompt], progress: Progress | None = None) -> Reading:
        count = len(texts)
        intent, useful = np.array([[0.9, 0.05, 0.05]], np.float32), np.array([[0, 0, 1]], np.float32)
        return Reading(intent.repeat(count, axis=0), useful.repeat(count, axis=0))

    def read_one(self, text: Prompt) -> Reading:
        return self.read([text])


@pytest.fixture
def routed(tiny_bundle: Path) -> Callable[..., Router]:
    """Return a router of the tiny policy with other guards or fallbacks."""

    def make(wall: list[float] | None = None, **changes: Any) -> Router:
        bundle = load_bundle(tiny_bundle)
        policy = replace(bundle.policy, **changes)
        clock = [1e9] if wall is None else wall
        ledger = Ledger(monotonic=lambda: clock[0], wall=lambda: clock[0])
        return Router(replace(bundle, policy=policy), Sure(), ledger=ledger)  # type: ignore[arg-type]

    return make


RETRIES = GuardSettings(Retry(max_retries=2, base_ms=100))
EVERY = (Fallback("large"), Fallback("medium", ("chat", "timeout"), 5_000.0), Fallback("small", ("error",)))


def test_retries_come_first_then_the_fallbacks_in_their_order(routed: Callable[..., Router]) -> None:
    router = routed(guards=RETRIES, fallbacks=EVERY)
    first = router.route("x", request_id="r")
    assert (first.model, first.attempt, first.fallbacks) == ("large", 0, ("medium", "small"))
    assert first.fallback_steps == (Step("medium", ("timeout",), 5_000.0), Step("small", ("error",)))
    path, attempt = [], router.next(first, "error")
    while attempt is not None:
        path.append((attempt.model, attempt.attempt, attempt.retried, attempt.delay_ms))
        last, attempt = attempt, router.next(attempt, "error")
    delays = first.retry_delays_ms
    assert path == [("large", 1, 1, delays[0]), ("large", 2, 2, delays[1]), ("small", 3, 2, 0.0)]
    assert last.tried == ("large", "large", "large")
    assert last.timeout_ms is None
    assert (last.propensity, last.request_id) == (None, "r")
    assert "large failed (error); small is the next fallback" in last.reason


def test_conditions_of_failure_and_time(routed: Callable[..., Router]) -> None:
    wall = [1e9]
    router = routed(wall, guards=RETRIES, fallbacks=EVERY)
    first = router.route("x")
    then = router.next(first, "timeout")
    assert then is not None
    assert then.model == "medium", "a timeout is not retried here"
    assert router.next(then, "timeout") is None, "small is for errors"
    assert router.next(first, "timeout", elapsed_ms=5_000) is None
    wall[0] += 6
    assert router.next(first, "timeout") is None, "measured from the decision"
    with pytest.raises(PointsmanError, match="failure is 'late'; allowed: timeout, error"):
        router.next(first, "late")


def test_who_is_barred_is_not_tried(routed: Callable[..., Router]) -> None:
    breaker = Breaker(error_rate=0.5, min_requests=2)
    router = routed(guards=replace(RETRIES, breaker=breaker), fallbacks=EVERY)
    first = router.route("x")
    for model in ("large", "small"):
        for _ in range(2):
            router.report(replace(first, model=model), ok=False)
    assert router.next(first, "error") is None
    second = router.route("x")
    assert second.model == "medium"
    assert set(second.barred) == {"large", "small"}
    assert second.reason == (
        "chat (0.90): large would get it, but its breaker is open: 100% of its last 2 answers failed; medium is next"
    )


def test_the_retry_budget_holds_for_all(routed: Callable[..., Router]) -> None:
    tight = GuardSettings(Retry(max_retries=2, budget_share=0, budget_floor=1))
    router = routed(guards=tight, fallbacks=())
    first, second = router.route("x"), router.route("y")
    assert router.next(first, "error") is not None
    assert router.next(second, "error") is None
    assert router.route("z").retry_delays_ms == ()


def test_under_the_kill_switch_only_the_safe_model_is_left(routed: Callable[..., Router]) -> None:
    router = routed(guards=RETRIES, fallbacks=EVERY)
    first = router.route("x")
    router.kill("ann")
    then = router.next(first, "error")
    assert then is not None
    assert (then.model, then.killed) == ("small", True)
    assert router.next(then, "error") is None


def test_a_decision_survives_json(routed: Callable[..., Router]) -> None:
    decision = routed(guards=RETRIES, fallbacks=EVERY).route("x", request_id="r", context_tokens=7)
    document = decision.to_dict()
    back = Decision.from_dict(document)
    assert back == decision
    assert (back.fallback_steps, back.retry_delays_ms) == (decision.fallback_steps, decision.retry_delays_ms)
    assert (back.request_id, back.context_tokens, back.decided_at) == ("r", 7, decision.decided_at)
    old = {name: document[name] for name in list(document)[:8]}
    assert Decision.from_dict(old).model == "large"
    for change, message in (
        ({"model": None}, "decision: model is 'None'; str is needed"),
        ({"tier": True}, "decision: tier is 'True'; int is needed"),
        ({"colour": 1}, "decision: unknown key 'colour'"),
        ({"fallback_steps": [1]}, "fallback_steps is not a list"),
    ):
        with pytest.raises(PointsmanError, match=message):
            Decision.from_dict(document | change)
    with pytest.raises(PointsmanError, match="reason is missing"):
        Decision.from_dict({name: value for name, value in old.items() if name != "reason"})
    with pytest.raises(PointsmanError, match="a JSON object is needed, got list"):
        Decision.from_dict([])  # type: ignore[arg-type]


def test_degraded_decisions_offer_the_cached_answer(routed: Callable[..., Router]) -> None:
    settings = GuardSettings(breaker=Breaker(error_rate=0.5, min_requests=1), cached_answer="faq")
    router = routed(guards=settings, pinned_intents={"chat": "large"})
    assert router.route("x").cached_answer is None
    router.report(router.route("x"), status="error")
    decision = router.route("x")
    assert (decision.model, decision.degraded, decision.cached_answer) == ("small", "safe_model", "faq")
    assert decision.reason == (
        "chat (0.90): large would get it, but its breaker is open: 100% of its last 1 answers failed; "
        "no other candidate may take it; it goes to the safe model small"
    )


def test_ids_are_kept_made_and_checked(routed: Callable[..., Router]) -> None:
    router = routed()
    assert router.route("x", request_id="mine").request_id == "mine"
    made = {router.route("x").request_id for _ in range(100)}
    assert len(made) == 100
    for bad in ("", "x" * 257, 5):
        with pytest.raises(PointsmanError, match="request_id is"):
            router.route("x", request_id=bad)  # type: ignore[arg-type]
    with pytest.raises(PointsmanError, match="1 values of request_ids for 2 prompts"):
        router.route_batch(["x", "y"], request_ids=["a"])
    with pytest.raises(PointsmanError, match="1 values of user_ids for 2 prompts"):
        router.route_batch(["x", "y"], user_ids=["a"])


def test_places_are_given_back_by_reports(routed: Callable[..., Router], tiny_policy: Policy) -> None:
    wall = [1e9]
    narrow = tuple(replace(one, concurrency=2 if one.name == "large" else None) for one in tiny_policy.candidates)
    router = routed(wall, candidates=narrow)
    first, second, third = (router.route("x") for _ in range(3))
    assert [one.model for one in (first, second, third)][:2] == ["large", "large"]
    assert "all 2 of its places are taken" in third.barred["large"]
    router.report(first)
    assert router.route("x").model == "large"
    wall[0] += 31  # its timeout is 30 s: nobody reported
    assert router.route("x").model == "large"
    assert router.status()["guards"]["models"]["large"]["under_way"] == 1
