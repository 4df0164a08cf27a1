"""Bounded: what is too much is refused at once and in words, and everything else goes on."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.errors import PointsmanError
from pointsman.router import Router

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest.importorskip("httpx2", reason="the sidecar's tests need httpx2")
for _name in ("fastapi", "prometheus_client"):
    pytest.importorskip(_name, reason="the extra serve is not installed")

SECRET = "xyzzy-plugh-secret-prompt"


def test_full_it_refuses_and_says_where_to_go(tiny_bundle: Path, serving: Callable[..., Any], blocking: Any) -> None:
    router = blocking(Router.load(tiny_bundle))
    with serving(router, workers=2, max_waiting=5) as client:
        decision = Router.load(tiny_bundle).route("hello").to_dict()
        told = client.post("/route_batch", json={"requests": [{"text": "x"}] * 6})
        assert (told.status_code, told.json()["error"]) == (413, "6 requests in one batch; at most 5 are allowed")
        answers: list[Any] = []
        threads = [
            threading.Thread(target=lambda: answers.append(client.post("/route", json={"text": "hello"})))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        while 'pointsman_lane_held{lane="decisions"} 4.0' not in client.get("/metrics").text:
            time.sleep(0.005)
        batch = client.post("/route_batch", json={"requests": [{"text": "x"}] * 2})
        assert batch.status_code == 503, "a batch takes as many places as it has requests"
        threads.append(threading.Thread(target=lambda: answers.append(client.post("/route", json={"text": "hello"}))))
        threads[-1].start()
        while 'pointsman_lane_held{lane="decisions"} 5.0' not in client.get("/metrics").text:
            time.sleep(0.005)
        for _ in range(3):
            refused = client.post("/route", json={"text": "hello"})
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "1"
            assert refused.json()["safe_model"] == "small"
            assert "busy: 5 of 5" in refused.json()["error"]
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 200
        assert client.post("/report", json={"decision": decision, "ok": True}).status_code == 204
        assert client.post("/next", json={"decision": decision, "failure": "error"}).status_code == 200
        router.go.set()
        for thread in threads:
            thread.join()
        assert [answer.status_code for answer in answers] == [200] * 5, "what was accepted is answered"
        assert client.post("/route", json={"text": "hello"}).status_code == 200
        assert client.post("/route_batch", json={"requests": [{"text": "x"}] * 5}).status_code == 200


def test_a_failure_is_logged_by_its_place_not_by_its_words(
    tiny_bundle: Path, serving: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    router = Router.load(tiny_bundle)

    class Failing:
        def __getattr__(self, name: str) -> Any:
            return getattr(router, name)

        def route_batch(self, texts: Any, **_: Any) -> Any:
            raise RuntimeError(f"cannot read {texts[0]!r}")

    with serving(Failing()) as client, caplog.at_level(logging.DEBUG):
        answer = client.post("/route", json={"text": SECRET}, headers={"X-Request-ID": "q-1"})
        assert answer.status_code == 500
        assert answer.headers["x-request-id"] == "q-1"
        assert answer.json()["safe_model"] == "small"
        assert "q-1" in answer.json()["error"]
        assert SECRET not in answer.text
        assert "RuntimeError at test_limits.py:" in caplog.text
        assert SECRET not in "".join(record.getMessage() + str(record.exc_info) for record in caplog.records)
        assert client.get("/healthz").status_code == 200


def test_a_lane_gives_its_places_back() -> None:
    from pointsman.serve.limits import BusyError, Lane

    lane = Lane("test", 1, 3)
    go, began = threading.Event(), threading.Event()

    def slow() -> int:
        began.set()
        assert go.wait(10)
        return 7

    def fails() -> None:
        raise KeyError("x")

    async def use() -> None:
        with pytest.raises(KeyError):
            await lane.run(fails, 3)
        running = asyncio.create_task(lane.run(slow))
        waiting = asyncio.create_task(lane.run(slow))
        while not began.is_set():
            await asyncio.sleep(0.001)
        with pytest.raises(BusyError, match="busy: 2 of 3"):
            await lane.run(slow, 2)
        running.cancel()
        waiting.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
        assert lane.held == 1, "cancelled: what waited is gone, what runs runs on"
        go.set()
        assert await lane.run(slow) == 7
        while lane.held:
            await asyncio.sleep(0.001)
        lane.close()
        with pytest.raises(BusyError, match="shutting down"):
            await lane.run(slow)
        assert lane.held == 0

    asyncio.run(use())


def test_settings_are_checked(tmp_path: Path) -> None:
    from pointsman.serve.settings import ServeSettings, is_loopback, read_token

    for wrong in ({"port": 65536}, {"workers": 0}, {"max_waiting": 0}, {"max_batch": 0}):
        with pytest.raises(PointsmanError, match=r"serve: (port|workers|max_waiting|max_batch) is \d+; "):
            ServeSettings(**wrong)  # type: ignore[arg-type]
    with pytest.raises(PointsmanError, match="16 or more printable ASCII"):
        ServeSettings(token="short")
    assert "0123456789abcdef" not in repr(ServeSettings(token="0123456789abcdef"))
    file = tmp_path / "token"
    file.write_text("0123456789abcdef\n", encoding="ascii")
    assert read_token(file, {}) == "0123456789abcdef"
    assert read_token(None, {"POINTSMAN_TOKEN": " fedcba9876543210 "}) == "fedcba9876543210"
    assert read_token(None, {}) is read_token(None, {"POINTSMAN_TOKEN": ""}) is None
    for text in ("", "short", "with a space in it all", "ä" * 20):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(PointsmanError, match="token is no token"):
            read_token(file, {"POINTSMAN_TOKEN": "fedcba9876543210"})
    with pytest.raises(PointsmanError, match="cannot be read"):
        read_token(tmp_path / "none", {})
    hosts = {"127.0.0.1": True, "127.8.8.8": True, "::1": True, "localhost": True, "0.0.0.0": False, "::": False}
    assert {host: is_loopback(host) for host in hosts} == hosts
    assert not is_loopback("example.org")
