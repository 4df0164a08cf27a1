"""Reload, rollback, canary and shadow: every decision is of one bundle, and a bad bundle changes nothing."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.decision_log import DecisionLog
from pointsman.errors import BundleError, PointsmanError
from pointsman.router import Router

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = ["hello", "write code to sum this", "fix this ?", "", "what is the sum"]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_reload_and_rollback(tiny_bundle: Path, other: Path) -> None:
    router = Router.load(tiny_bundle)
    old, before = router.version, router.route_batch(TEXTS)
    with pytest.raises(PointsmanError, match="no previous bundle"):
        router.rollback()
    new = router.reload(other)
    assert new == router.version != old
    after = router.route_batch(TEXTS)
    assert {(one.model, one.version) for one in after} == {("large", new)}
    assert router.status()["previous"] == old
    shutil.rmtree(other)
    assert router.rollback() == old
    assert router.route_batch(TEXTS) == before
    assert router.rollback() == new, "and forth again"


def test_a_bad_bundle_is_refused_and_the_old_one_stays(tiny_bundle: Path, other: Path) -> None:
    router = Router.load(tiny_bundle)
    router.reload(other)
    version = router.version
    data = bytearray((other / "policy.json").read_bytes())
    data[-2] ^= 1
    (other / "policy.json").write_bytes(data)
    for change in (router.reload, lambda path: router.canary(path, 0.5), lambda path: router.shadow(path, 0.5)):
        with pytest.raises(BundleError, match=r"policy\.json"):
            change(other)
    assert router.version == version
    with pytest.raises(PointsmanError, match=r"share is 1\.5; a number from 0 to 1"):
        router.canary(tiny_bundle, 1.5)
    assert router.status()["canary"] is router.status()["shadow"] is None


def test_under_load_no_decision_is_lost_and_no_batch_mixes(tiny_bundle: Path, other: Path) -> None:
    router = Router.load(tiny_bundle)
    versions, stop = {router.version}, threading.Event()
    faults: list[object] = []
    served: list[str] = []

    def work() -> None:
        while not stop.is_set():
            try:
                batch = router.route_batch(TEXTS)
                seen = {one.version for one in batch}
                if len(batch) != len(TEXTS) or len(seen) != 1:
                    faults.append(seen)
                served.extend(seen)
                for one in batch:
                    router.report(one, latency_ms=1)
            except Exception as error:  # noqa: BLE001 -- any fault in a thread counts
                faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        versions.add(router.reload(other))
        router.rollback()
    stop.set()
    for thread in threads:
        thread.join()
    assert not faults
    assert set(served) <= versions
    assert sum(tally.requests for tally in router.tally.values()) == len(TEXTS) * len(served)


def test_a_canary_serves_its_share_told_by_the_id(tiny_bundle: Path, other: Path, tmp_path: Path) -> None:
    router = Router.load(tiny_bundle, log=DecisionLog(tmp_path / "log"))
    router.canary(other, 0.3)
    ids = [f"request {number}" for number in range(200)]
    decisions = router.route_batch(["hello"] * 200, request_ids=ids)
    assert [one.request_id for one in decisions] == ids
    theirs = {one.request_id for one in decisions if one.version != router.version}
    assert 0.2 < len(theirs) / 200 < 0.4
    assert all(router.route("hello", request_id=one).version != router.version for one in list(theirs)[:3])
    router.report(next(one for one in decisions if one.request_id in theirs), cost_usd=1)
    router.settle()
    beside = [row for row in rows(tmp_path / "log") if row["event"] == "shadow"]
    assert {row["request_id"] for row in beside} == theirs
    assert {(row["role"], row["version"]) for row in beside} == {("stable", router.version)}
    router.canary(None)
    assert {one.version for one in router.route_batch(["hello"] * 200, request_ids=ids)} == {router.version}


def test_a_shadow_serves_nothing_and_is_logged(tiny_bundle: Path, other: Path, tmp_path: Path) -> None:
    router = Router.load(tiny_bundle, log=DecisionLog(tmp_path / "log"))
    want = router.route_batch(TEXTS)
    router.shadow(other, 1.0)
    assert router.route_batch(TEXTS, request_ids=list("abcde")) == want
    router.settle()
    beside = [row for row in rows(tmp_path / "log") if row["event"] == "shadow"]
    assert [(row["request_id"], row["role"], row["model"]) for row in beside] == [
        (one, "shadow", "large") for one in "abcde"
    ]
    router.close()
    router.close()


def test_a_shadow_that_fails_harms_nobody(tiny_bundle: Path, other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    router = Router.load(tiny_bundle)
    router.shadow(other, 1.0)
    assert router._rollout.shadow is not None
    monkeypatch.setattr(router._rollout.shadow.live, "session", None)
    assert router.route("hello").version == router.version
    router.settle()
    assert router.status()["beside"] == {"dropped": 0, "failed": 1}


def test_it_is_at_home_in_asyncio(tiny_bundle: Path) -> None:
    router = Router.load(tiny_bundle)

    async def many() -> list[str]:
        decisions = await asyncio.gather(*(router.aroute(text) for text in TEXTS * 4))
        return [one.reason for one in decisions]

    assert asyncio.run(many()) == [router.route(text).reason for text in TEXTS * 4]
    router.close()
