"""The kill-switch: file, variable, call and store, each from the next decision on, logged with who and when."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from pointsman.guards.ledger import Ledger
from pointsman.guards.store import KillRecord, MemoryStore, StoreError
from pointsman.kill_switch import VARIABLE, KillSwitch
from pointsman.router import Router

if TYPE_CHECKING:
    from pathlib import Path

WALL = 1_800_000_000.0


class Breakable(MemoryStore):
    """A store that can be away."""

    away = False

    def read_kill(self) -> KillRecord | None:
        if self.away:
            raise StoreError("away")
        return super().read_kill()

    def write_kill(self, record: KillRecord) -> None:
        if self.away:
            raise StoreError("away")
        super().write_kill(record)


def test_a_file_kills_and_restores_the_next_decision(
    tiny_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "KILL"
    router = Router.load(tiny_bundle, kill_switch=KillSwitch(file))
    usual = router.route("write code to sum this")
    with caplog.at_level(logging.WARNING, logger="pointsman.router"):
        for text, who, why in (("ann: costs explode\nmore", "ann", "costs explode"), ("stop", None, "stop")):
            file.write_text(text.partition("\n")[0], encoding="utf-8")
            killed = router.route("write code to sum this")
            assert (killed.model, killed.killed) == ("small", True)
            assert f"{who or f'file {file}'}: {why}" in killed.reason
        file.unlink()
        assert router.route("write code to sum this") == usual
        router.route("again")
    assert len(caplog.records) == 3, "on, on for another reason, off; each once"
    assert "kill-switch on (file): who='ann' why='costs explode' when=20" in caplog.text
    assert "kill-switch off (file)" in caplog.text


def test_the_environment_kills_and_restores(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    switch = KillSwitch(wall=lambda: WALL)
    for value in ("", "0", "off", " False "):
        monkeypatch.setenv(VARIABLE, value)
        assert switch.state() is None
    monkeypatch.setenv(VARIABLE, "bad answers")
    with caplog.at_level(logging.WARNING, logger="pointsman.router"):
        assert switch.state() == KillRecord(True, f"environment variable {VARIABLE}", "bad answers", WALL)
        assert switch.restore("ann") is not None, "a call does not undo the environment"
        monkeypatch.delenv(VARIABLE)
        assert switch.state() is None
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "kill-switch on (environment)",
        "kill-switch off (call)",
        "kill-switch off (environment)",
    ]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"x" * 100_000, b": \n"])
def test_any_file_kills(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "KILL"
    file.write_bytes(content)
    record = KillSwitch(file).state()
    assert record is not None
    assert record.on
    assert len(record.why) <= 500


def test_a_call_reaches_all_who_share_the_store(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    one, other = (KillSwitch(ledger=Ledger(store), wall=lambda: WALL) for _ in range(2))
    with caplog.at_level(logging.WARNING, logger="pointsman.router"):
        one.kill("ann", "costs")
        assert other.state() == one.state() == KillRecord(True, "ann", "costs", WALL)
        other.restore("bob")
        assert one.state() is None
    assert "kill-switch on (store): who='ann'" in caplog.text
    assert "kill-switch off (store): who='bob'" in caplog.text


def test_a_call_holds_while_the_store_is_away_and_is_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    store = Breakable()
    ledger = Ledger(store)
    one, other = KillSwitch(ledger=ledger), KillSwitch(ledger=Ledger(store))
    store.away = True
    one.kill("ann")
    assert one.state() is not None
    assert other.state() is None
    assert ledger.store_failures > 0
    store.away = False
    assert one.state() is not None
    assert other.state() is not None
    store._kill = None  # it came back empty
    assert one.state() is not None
    assert one.state() is not None
    assert store.read_kill() is not None, "told again"
    store.away = True
    other.restore()
    assert other.state() is None
    store.away = False
    assert other.state() is None
    assert one.state() is None


def test_a_router_takes_part(tiny_bundle: Path) -> None:
    store = MemoryStore()
    one, other = (Router.load(tiny_bundle, ledger=Ledger(store)) for _ in range(2))
    one.kill("ann", "costs")
    assert other.killed
    assert other.route("hello").killed
    status = other.status()["killed"]
    assert (status["who"], status["why"]) == ("ann", "costs")
    other.restore("bob")
    assert not one.route("hello").killed
