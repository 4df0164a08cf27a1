"""One request alone is decided, told and logged as in a batch of one, whatever guards and exploration say."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pointsman.bundle import load_bundle
from pointsman.conformance import PROMPTS
from pointsman.decision import LATER, Decision
from pointsman.decision_log import DecisionLog
from pointsman.guards.ledger import Ledger
from pointsman.guards.settings import Breaker, Budget, GuardSettings, Retry
from pointsman.router import Router
from pointsman.session import Session

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = {
    "none": GuardSettings(),
    "all": GuardSettings(
        breaker=Breaker(error_rate=0.5, min_requests=2),
        budget=Budget(usd_per_day=1.0),
        retry=Retry(max_retries=2),
        simpler_model="small",
        cached_answer="sorry",
    ),
    "exploring": GuardSettings(exploration_share=0.5),
}


def routers(bundle: Path, settings: GuardSettings, **more: Any) -> Router:
    loaded = load_bundle(bundle)
    changed = replace(loaded, policy=replace(loaded.policy, guards=settings))
    ledger = Ledger(monotonic=lambda: 7.0, wall=lambda: 7.0)
    return Router(changed, Session.load(loaded), ledger=ledger, **more)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_alone_is_as_in_a_batch_of_one(tiny_bundle: Path, settings: GuardSettings) -> None:
    alone, batch = routers(tiny_bundle, settings), routers(tiny_bundle, settings)
    seen = []
    for at, (text, modality, tokens) in enumerate(PROMPTS * 3):
        name = f"r{at}"
        facts: dict[str, Any] = {"modality": modality, "context_tokens": tokens}
        one = alone.route(text, **facts, request_id=name)
        (other,) = batch.route_batch([text], **facts, request_ids=[name])
        assert one.to_dict() == other.to_dict()
        for router, decision in ((alone, one), (batch, other)):
            router.report(decision, ok=at % 3 > 0, cost_usd=0.05)
        seen.append(one)
    assert alone.status() == batch.status()
    if settings is SETTINGS["all"]:
        assert any(one.barred for one in seen), "guards must have something to say in this test"
    if settings is SETTINGS["exploring"]:
        assert {one.explored for one in seen} == {True, False}


def test_what_is_told_later_is_told_as_at_the_decision(tiny_bundle: Path) -> None:
    settings = GuardSettings(retry=Retry(max_retries=2, budget_floor=1, budget_share=0.0))
    router = routers(tiny_bundle, settings)
    decision = router.route("fix the code", request_id="a")
    again = pickle.loads(pickle.dumps(router.route("fix the code", request_id="a")))
    router._rollout.live.guards.retry()  # takes what is left
    assert decision.retry_delays_ms
    assert router.route("fix the code", request_id="a").retry_delays_ms == ()
    assert again == decision == copy.deepcopy(decision) == Decision.from_dict(decision.to_dict())
    assert {name: getattr(decision, name) for name in LATER} == {name: getattr(again, name) for name in LATER}
    assert repr(decision) == repr(again)
    with pytest.raises(AttributeError, match="no attribute 'modle'"):
        _ = decision.modle
    with pytest.raises(AttributeError):
        decision.model = "large"  # type: ignore[misc]


def test_the_log_has_both_alike(tiny_bundle: Path, tmp_path: Path) -> None:
    lines = []
    for name, ask in {"one": "route", "many": "route_batch"}.items():
        log = DecisionLog(tmp_path / name, prompts=True)
        router = routers(tiny_bundle, SETTINGS["all"], log=log)
        if ask == "route":
            router.route("fix the code", request_id="a", user_id="u")
        else:
            router.route_batch(["fix the code"], request_ids=["a"], user_ids=["u"])
        router.close()
        lines.append(json.loads((tmp_path / name).read_text()))
    assert lines[0] == lines[1]


def test_one_prompt_is_read_as_many_are(tiny_bundle: Path) -> None:
    session = Session.load(load_bundle(tiny_bundle))
    texts = [text for text, _, _ in PROMPTS]
    many = session.read(texts)
    for at, text in enumerate(texts):
        alone, single = session.read_one(text), session.read([text])
        for name, want in vars(single).items():
            got = getattr(alone, name)
            assert (got is None) == (want is None)
            if want is not None:
                np.testing.assert_array_equal(got, want, strict=True)
                np.testing.assert_allclose(got[0], getattr(many, name)[at], rtol=1e-4, atol=1e-5)
