"""The admin endpoints: behind their token, obeyed at the next decision, also when the sidecar is busy."""

from __future__ import annotations

import json
import logging
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.decision_log import DecisionLog
from pointsman.kill_switch import KillSwitch
from pointsman.router import Router

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest.importorskip("httpx2", reason="the sidecar's tests need httpx2")
for _name in ("fastapi", "prometheus_client"):
    pytest.importorskip(_name, reason="the extra serve is not installed")

ADMIN = {"Authorization": "Bearer a-token-of-these-tests"}
PATHS = ("/kill", "/restore", "/reload", "/rollback")


@pytest.mark.parametrize("path", PATHS)
def test_the_token_is_needed(sidecar: Any, path: str) -> None:
    wrong: list[dict[str, Any]] = [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer a-token-of-these-test"},
        {"Authorization": "Bearer a-token-of-these-testsx"},
        {"Authorization": "Basic a-token-of-these-tests"},
        {"Authorization": "a-token-of-these-tests"},
        {"Authorization": b"Bearer \xff\xfe"},
    ]
    for headers in wrong:
        answer = sidecar.post(path, headers=headers)
        assert answer.status_code == 401, headers
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "Bearer TOKEN is needed" in answer.json()["error"]
        assert "a-token-of" not in answer.text
    assert sidecar.get("/version").json()["killed"] is None


@pytest.mark.parametrize("path", PATHS)
def test_without_a_token_they_are_closed(tiny_bundle: Path, serving: Callable[..., Any], path: str) -> None:
    with serving(Router.load(tiny_bundle), token=None) as client:
        for headers in ({}, ADMIN, {"Authorization": "Bearer None"}, {"Authorization": "Bearer"}):
            answer = client.post(path, headers=headers)
            assert answer.status_code == 403
            assert "POINTSMAN_TOKEN or --token-file" in answer.json()["error"]


def test_kill_and_restore(
    tiny_bundle: Path, tmp_path: Path, serving: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "kill"
    router = Router.load(tiny_bundle, kill_switch=KillSwitch(file))
    with serving(router) as client, caplog.at_level(logging.WARNING, "pointsman.router"):
        answer = client.post("/kill", json={"who": "ana", "why": "wrong\nprices"}, headers=ADMIN)
        assert answer.status_code == 200
        killed = answer.json()["killed"]
        assert (killed["who"], killed["why"]) == ("ana", "wrong prices")
        decision = client.post("/route", json={"text": "hello"}).json()
        assert (decision["model"], decision["killed"]) == ("small", True)
        assert "by ana: wrong prices" in decision["reason"]
        assert client.get("/readyz").status_code == 200, "it still serves"
        assert "pointsman_killed 1.0" in client.get("/metrics").text
        assert client.post("/restore", json={"who": "ben"}, headers=ADMIN).json()["killed"] is None
        assert not client.post("/route", json={"text": "hello"}).json()["killed"]
        assert client.post("/kill", headers=ADMIN).json()["killed"]["who"] == "", "in a hurry, without a body"
        file.write_text("ops: drill\n", encoding="utf-8")
        assert client.post("/restore", headers=ADMIN).json()["killed"]["why"] == "drill", "the file keeps it on"
        file.unlink()
        assert not client.post("/route", json={"text": "hello"}).json()["killed"]
        error = client.post("/kill", json={"who": 7}, headers=ADMIN)
        assert (error.status_code, error.json()["error"]) == (422, "who: input should be a valid string")
    words = caplog.text
    assert "who='ana'" in words
    assert "who='ben'" in words


def test_reload_and_rollback(tiny_bundle: Path, other: Path, serving: Callable[..., Any], tmp_path: Path) -> None:
    with serving(Router.load(tiny_bundle), bundle=str(tiny_bundle)) as client:
        old = client.post("/route", json={"text": "hello"}).json()
        assert client.post("/rollback", headers=ADMIN).status_code == 409
        answer = client.post("/reload", json={"path": str(other)}, headers=ADMIN)
        new = answer.json()["version"]
        assert answer.json() == {"version": new, "previous": old["version"]}
        decision = client.post("/route", json={"text": "hello"}).json()
        assert (decision["model"], decision["version"]) == ("large", new)
        assert client.post("/report", json={"decision": old, "ok": True}).status_code == 204, "of the old bundle"
        assert client.post("/rollback", headers=ADMIN).json()["version"] == old["version"]
        for path in (str(tmp_path / "none"), "\0", "a" * 4097, ""):
            answer = client.post("/reload", json={"path": path}, headers=ADMIN)
            assert answer.status_code == 422, answer.text
            assert "\n" not in answer.json()["error"]
        data = (other / "policy.json").read_bytes()
        (other / "policy.json").write_bytes(data.replace(b'"small"', b'"smalk"', 1))
        answer = client.post("/reload", json={"path": str(other)}, headers=ADMIN)
        assert "policy.json" in answer.json()["error"]
        assert client.get("/readyz").json()["version"] == old["version"], "a bad bundle changes nothing"
        assert client.post("/reload", headers=ADMIN).json()["version"] == old["version"], "the one it began with"


def test_killed_under_load_no_later_decision_is_the_policys(
    tiny_bundle: Path, other: Path, tmp_path: Path, serving: Callable[..., Any]
) -> None:
    """Every request that begins after the answer of /kill goes to the safe model; none is lost."""
    del tiny_bundle
    log = tmp_path / "log"
    killed_at: list[float] = []
    seen: list[tuple[float, Any]] = []
    stop = threading.Event()
    with serving(Router.load(other, log=DecisionLog(log)), workers=2) as client:

        def ask() -> None:
            while not stop.is_set():
                began = time.monotonic()
                seen.append((began, client.post("/route", json={"text": "hello"})))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(seen) < 40:
            time.sleep(0.001)
        client.post("/kill", json={"who": "ana"}, headers=ADMIN)
        killed_at.append(time.monotonic())
        at = len(seen)
        while len(seen) < at + 40:
            time.sleep(0.001)
        stop.set()
        for thread in threads:
            thread.join()
    assert {answer.status_code for _, answer in seen} == {200}
    after = [answer.json() for began, answer in seen if began > killed_at[0]]
    assert len(after) >= 30
    assert {(one["model"], one["killed"]) for one in after} == {("small", True)}
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == len(seen)
    switched = [row["killed"] for row in rows]
    assert sum(one != two for one, two in pairwise(switched)) < 8, "once, but for those under way"


def test_reloaded_under_load_no_batch_is_mixed_and_none_lost(
    tiny_bundle: Path, other: Path, serving: Callable[..., Any]
) -> None:
    answers: list[Any] = []
    stop = threading.Event()
    with serving(Router.load(tiny_bundle), workers=3) as client:

        def ask() -> None:
            while not stop.is_set():
                answers.append(client.post("/route_batch", json={"requests": [{"text": "write code"}] * 6}))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        versions = set()
        for turn in range(8):
            bundle = (other, tiny_bundle)[turn % 2]
            answer = client.post("/reload", json={"path": str(bundle)}, headers=ADMIN)
            assert answer.status_code == 200, answer.text
            versions.add(answer.json()["version"])
        stop.set()
        for thread in threads:
            thread.join()
    assert {answer.status_code for answer in answers} == {200}
    batches = [{(one["version"], one["model"]) for one in answer.json()["decisions"]} for answer in answers]
    assert all(len(batch) == 1 for batch in batches), "one version a batch"
    assert {version for batch in batches for version, _ in batch} == versions, "both were seen"
    assert len({one for batch in batches for one in batch}) == 2, "and each decides in its own way"


def test_the_switch_does_not_wait_for_decisions(tiny_bundle: Path, serving: Callable[..., Any], blocking: Any) -> None:
    router = blocking(Router.load(tiny_bundle))
    with serving(router, workers=1, max_waiting=3) as client:
        answers: list[Any] = []
        threads = [
            threading.Thread(target=lambda: answers.append(client.post("/route", json={"text": "hello"})))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        assert router.entered.acquire(timeout=10)
        while 'pointsman_lane_held{lane="decisions"} 3.0' not in client.get("/metrics").text:
            time.sleep(0.005)
        assert client.post("/kill", headers=ADMIN).status_code == 200
        router.go.set()
        for thread in threads:
            thread.join()
        assert {(one.status_code, one.json()["killed"]) for one in answers} == {(200, True)}, "those that waited, too"
