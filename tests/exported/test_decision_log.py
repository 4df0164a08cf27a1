"""The decision log: what is routed and reported is written, read back, and fit to learn from."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.assembling.assembly import assemble
from pointsman.bundle import load_bundle
from pointsman.decision_log import DecisionLog, otel_attributes
from pointsman.errors import PointsmanError
from pointsman.guards.settings import GuardSettings, Retry
from pointsman.readers.decision_log import READER
from pointsman.router import Router
from pointsman.session import Session
from pointsman.traces import validate_traces

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = "write code to sum this secret"


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


@pytest.fixture
def routed(tiny_bundle: Path, tmp_path: Path) -> Callable[..., Router]:
    """Return a router that explores and logs."""

    def make(share: float = 0.2, **options: Any) -> Router:
        bundle = load_bundle(tiny_bundle)
        guards = GuardSettings(Retry(max_retries=1), exploration_share=share)
        bundle = replace(bundle, policy=replace(bundle.policy, guards=guards))
        return Router(bundle, Session.load(bundle), log=DecisionLog(tmp_path / "log", **options))

    return make


def test_from_the_gateway_back_to_training(routed: Callable[..., Router], tmp_path: Path) -> None:
    router = routed(prompts=True)
    texts = [f"write code to sum this {number}" for number in range(60)]
    decisions = router.route_batch(texts, request_ids=[f"r{number}" for number in range(60)], context_tokens=7)
    for number, decision in enumerate(decisions):
        router.report(
            decision,
            latency_ms=100.0 + number,
            cost_usd=0.001 * number,
            input_tokens=10,
            output_tokens=20,
            useful=None if number else 0.0,
        )
    assert router.log is not None
    router.log.feedback("r1", 1.0)
    router.close()
    records = rows(tmp_path / "log")
    assert all(READER.fits(record) for record in records)
    assembled = assemble([span for record in records for span in READER.read(record)])
    assert not assembled.left
    by_id = {row["request_id"]: row for row in assembled.rows}
    assert len(by_id) == 60
    drawn = {round(decision.propensity or 0.0, 6) for decision in decisions}
    assert drawn == {round(0.8 + 0.2 / 3, 6), round(0.2 / 3, 6)}
    for number, decision in enumerate(decisions):
        row = by_id[decision.request_id]
        assert row["propensity"] == decision.propensity
        assert (row["model"], row["prompt"], row["context_tokens"]) == (decision.model, texts[number], 7)
        assert (row["latency_ms"], row["cost_usd"]) == (100.0 + number, pytest.approx(0.001 * number))
        assert (row["input_tokens"], row["output_tokens"], row["status"]) == (10, 20, "ok")
        assert json.loads(row["tags"])["pointsman.version"] == router.version
        assert row["intent"] is None, "what the classifier thought is no label"
    assert (by_id["r0"]["useful"], by_id["r1"]["useful"], by_id["r2"]["useful"]) == (0.0, 1.0, None)
    import pandas as pd

    frame = pd.DataFrame([{**row, "useful": row["useful"] or 0.0} for row in assembled.rows])
    checked = validate_traces(frame)
    assert len(checked.rows) == 60


def test_attempts_are_one_request(routed: Callable[..., Router], tmp_path: Path) -> None:
    router = routed(share=0.0, prompts=True)
    decision = router.route("write code to sum this", request_id="r")
    attempt, failures = decision, 0
    while True:
        router.report(attempt, status="error", latency_ms=0.0, cost_usd=0.25)
        failures += 1
        then = router.next(attempt, "error")
        if then is None:
            break
        attempt = then
    assert attempt.model != decision.model
    assembled = assemble([span for record in rows(tmp_path / "log") for span in READER.read(record)])
    (row,) = assembled.rows
    assert row["request_id"] == "r"
    assert row["retries"] == failures - 1
    assert row["retry_cost_usd"] == 0.25 * (failures - 1)
    assert row["prompt"] == "write code to sum this"
    assert row["propensity"] is None, "a fallback was not drawn"
    assert row["status"] == "error"


def test_no_prompt_unless_asked(routed: Callable[..., Router], tmp_path: Path) -> None:
    router = routed()
    router.report(router.route(SECRET, user_id="u"))
    text = (tmp_path / "log").read_text(encoding="ascii")
    assert "secret" not in text
    assert rows(tmp_path / "log")[0]["user_id"] == "u"
    assert oct((tmp_path / "log").stat().st_mode & 0o777) == "0o600"


@pytest.mark.parametrize("prompt", [None, b"\xff\x00 bytes", "lone \ud83d surrogate", 'line\n"quote" \u2028 深'])
def test_every_prompt_can_be_logged(routed: Callable[..., Router], tmp_path: Path, prompt: Any) -> None:
    routed(prompts=True).route(prompt)
    (row,) = rows(tmp_path / "log")
    assert row["prompt"] is None or isinstance(row["prompt"], str)


def test_every_decision_has_what_machines_need(routed: Callable[..., Router], tmp_path: Path) -> None:
    router = routed()
    router.kill("ann")
    router.route("hello", request_id="r")
    (row,) = rows(tmp_path / "log")
    assert (row["log"], row["event"], row["request_id"], row["killed"]) == ("pointsman/1", "decision", "r", True)
    names = {"at", "model", "intent", "tier", "confidence", "p_useful", "propensity", "version", "reason", "barred"}
    assert names <= set(row)


def test_it_turns_over_and_loses_no_line(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log", max_bytes=2_000, backups=100)

    def write() -> None:
        for number in range(100):
            log.feedback(f"r{number}", 1.0)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    files = sorted(tmp_path.iterdir())
    assert len(files) > 10
    assert all(file.stat().st_size <= 2_000 for file in files)
    assert sum(len(rows(file)) for file in files) == 400
    assert log.lost == 0


def test_only_so_many_files_are_kept(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log", max_bytes=200, backups=2)
    for number in range(50):
        log.feedback(f"r{number}", 1.0)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    assert rows(tmp_path / "log")[-1]["request_id"] == "r49"


def test_a_log_that_cannot_be_written_costs_no_decision(
    routed: Callable[..., Router], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    router = routed()

    def full(handle: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    for _ in range(3):
        assert router.route("hello").model
    assert router.status()["log_lost"] == 3
    assert caplog.text.count("loses lines") == 1


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(PointsmanError, match="the decision log cannot be opened: No such file"):
        DecisionLog(tmp_path / "nowhere" / "log")
    with pytest.raises(PointsmanError, match="backups 0 must be at least 1"):
        DecisionLog(tmp_path / "log", backups=0)
    with pytest.raises(PointsmanError, match="useful is 2"):
        DecisionLog(tmp_path / "log").feedback("r", 2)


def test_span_attributes(routed: Callable[..., Router]) -> None:
    decision = routed().route(SECRET, request_id="r")
    attributes = otel_attributes(decision)
    assert attributes["gen_ai.request.model"] == decision.model
    assert attributes["pointsman.propensity"] == decision.propensity
    for name, value in attributes.items():
        assert name.startswith(("gen_ai.", "pointsman."))
        assert isinstance(value, str | bool | int | float | list)
        assert "secret" not in str(value)
    router = routed()
    router.kill()
    assert "pointsman.intent" not in otel_attributes(router.route("x"))
