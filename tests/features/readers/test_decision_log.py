"""The router's decision log as spans: what is no step gives none, what cannot be used is named."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.columns import COLUMNS
from pointsman.readers.decision_log import READER
from pointsman.spans import FEEDBACK, LLM, OTHER

BASE = {"log": "pointsman/1", "at": "2026-03-01T10:00:00.500000+00:00", "request_id": "r"}
OUTCOME = {**BASE, "event": "outcome", "model": "small", "attempt": 1, "latency_ms": 250, "propensity": 0.9}


def test_each_event() -> None:
    (decided,) = READER.read({**BASE, "event": "decision", "prompt": "hi", "user_id": "u", "intent": "chat"})
    assert (decided.kind, decided.prompt, decided.user_id, decided.intent) == (OTHER, "hi", "u", None)
    assert READER.read({**BASE, "event": "decision", "attempt": 2}) == []
    assert READER.read({**BASE, "event": "shadow", "model": "large"}) == []
    (judged,) = READER.read({**BASE, "event": "feedback", "useful": 0.5})
    assert (judged.kind, judged.trace_id, judged.useful) == (FEEDBACK, "r", 0.5)
    told = {**OUTCOME, "explored": True, "killed": False, "intent": "chat", "ok": False}
    (call,) = READER.read(told)
    assert (call.kind, call.parent_id, call.span_id, call.status) == (LLM, decided.span_id, "r/1", "error")
    assert (call.end_us or 0) - (call.start_us or 0) == 250_000
    assert call.tags == {"pointsman.intent": "chat", "pointsman.explored": "true"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"request_id": None}, "request_id: must be a text"),
        ({"at": "yesterday"}, "at: must be a time"),
        ({"model": 0.5j}, "model: must be a text"),
        ({"event": "party"}, "event: must be decision, outcome, feedback or shadow"),
    ],
)
def test_what_cannot_be_used_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        READER.read({**OUTCOME, **change})


ANY = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers())


@given(st.dictionaries(st.sampled_from([*OUTCOME, "prompt", "ok", "status", "useful", "cost_usd"]), ANY))
def test_wrong_types_never_crash(record: dict[str, Any]) -> None:
    READER.fits(record)
    with suppress(ValueError):
        READER.read({**OUTCOME, **record})


def test_what_it_gives_are_columns() -> None:
    assert set(READER.gives) <= set(COLUMNS)
    assert not READER.fits({"event": "decision", "request_id": "r"})
    assert READER.fits(OUTCOME)
