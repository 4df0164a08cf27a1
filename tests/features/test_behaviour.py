"""What users did next as a label: asking again, and leaving."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.ingest_config import parse_ingest_config
from pointsman.labelling.behaviour import behave, likeness

ASK = "How do I reset my router password?"
RETRY = parse_ingest_config({"behaviour": {"user_retry": {"within_s": 60}}})


def answers(*rows: dict[str, Any]) -> pd.DataFrame:
    """Return rows one minute apart but for what is given; `at` is the second of the request."""
    usual = {"prompt": ASK, "conversation_id": "c", "user_id": "u", "useful": None, "latency_ms": 1000.0, "at": 0}
    frame = pd.DataFrame([{**usual, "request_id": f"r{index}", **row} for index, row in enumerate(rows)])
    start = pd.Timestamp("2026-03-02T09:00", tz="UTC")
    return frame.assign(
        timestamp=(start + pd.to_timedelta(frame.pop("at"), unit="s")).astype("datetime64[us, UTC]"),
        useful=frame["useful"].astype("float64"),
        useful_by=pd.Series([None if pd.isna(one) else "feedback" for one in frame["useful"]], dtype="string"),
    )


def test_an_answer_is_useless_when_its_user_asks_nearly_the_same_again() -> None:
    rows = answers(
        {"at": 0}, {"at": 20, "prompt": "how do I reset my router password"}, {"at": 40, "prompt": "Thanks a lot!"}
    )
    out = behave(rows, RETRY)
    assert out.rows["useful"].tolist()[0] == 0
    assert out.rows["useful"].isna().tolist() == [False, True, True]
    assert out.rows["useful_by"].iloc[0] == "user_retry"
    assert dict(out.counts.by_rule) == {"user_retry": 1}
    assert rows["useful"].isna().all()


@pytest.mark.parametrize(
    "second",
    [
        pytest.param({"at": 62}, id="later than within_s after the answer"),
        pytest.param({"at": 20, "conversation_id": "d"}, id="another conversation"),
        pytest.param({"at": 20, "prompt": "What is the weather in Rome today?"}, id="another question"),
        pytest.param({"at": 20, "chosen": False}, id="an answer nobody saw"),
        pytest.param({"at": 20, "request_id": "r0"}, id="another model's answer to the same request"),
        pytest.param({"at": 0.2}, id="parallel calls"),
    ],
)
def test_what_is_no_retry(second: dict[str, Any]) -> None:
    assert behave(answers({"at": 0}, second), RETRY).rows["useful"].isna().all()


def test_seconds_count_from_the_answer_not_from_the_question() -> None:
    slow = answers({"at": 0, "latency_ms": 50_000.0}, {"at": 100})
    assert behave(slow, RETRY).rows["useful"].iloc[0] == 0
    impatient = answers({"at": 0, "latency_ms": 500_000.0}, {"at": 100})
    assert behave(impatient, RETRY).rows["useful"].iloc[0] == 0


def test_a_retry_after_another_message_counts_and_the_user_stands_in_for_the_conversation() -> None:
    rows = answers({"at": 0}, {"at": 10, "prompt": "That is not what I meant at all"}, {"at": 20})
    assert behave(rows, RETRY).rows["useful"].iloc[0] == 0
    assert behave(rows.assign(conversation_id=None), RETRY).rows["useful"].iloc[0] == 0
    assert behave(rows.assign(conversation_id=None, user_id=None), RETRY).rows["useful"].isna().all()


def test_short_prompts_are_repeated_for_other_reasons() -> None:
    assert behave(answers({"prompt": "go on"}, {"prompt": "go on", "at": 20}), RETRY).rows["useful"].isna().all()


def test_an_explicit_label_stands() -> None:
    out = behave(answers({"at": 0, "useful": 1.0}, {"at": 20}), RETRY)
    assert out.rows["useful"].iloc[0] == 1
    assert out.rows["useful_by"].iloc[0] == "feedback"
    assert not out.counts.by_rule


def test_rows_keep_their_order_and_index() -> None:
    rows = answers({"at": 20}, {"at": 0}).set_axis([7, 3])
    out = behave(rows, RETRY).rows
    assert out.index.tolist() == [7, 3]
    assert out["useful"].isna().tolist() == [True, False]


def test_left_is_the_last_slow_answer_of_a_known_conversation() -> None:
    config = parse_ingest_config({"behaviour": {"left": {"after_ms": 30_000}}})
    rows = answers(
        {"at": 0, "latency_ms": 40_000.0},
        {"at": 100, "latency_ms": 40_000.0, "prompt": "And how do I restart it?"},
        {"at": 100, "conversation_id": "quick"},
        {"at": 100, "conversation_id": None, "latency_ms": 40_000.0},
    )
    out = behave(rows, config)
    assert out.rows["useful"].isna().tolist() == [True, False, True, True]
    assert out.rows["useful_by"].iloc[1] == "left"


def test_both_are_off_by_default() -> None:
    rows = answers({"at": 0}, {"at": 20})
    assert behave(rows, parse_ingest_config({})).rows is rows


@given(st.text(), st.text())
def test_likeness_is_a_symmetric_share(one: str, other: str) -> None:
    assert likeness(one, other) == likeness(other, one)
    assert 0 <= likeness(one, other) <= 1
    assert likeness(one, one) == 1


def test_likeness_of_long_prompts_reads_head_and_tail() -> None:
    paste = "lorem ipsum dolor sit amet " * 2000
    assert likeness(f"Summarise: {paste} in English", f"Summarise:  {paste} in english") > 0.9


def test_other_numbers_make_another_question() -> None:
    form = "Please look up the delivery status of order {} and tell the customer"
    assert likeness(form.format(48213), form.format(48377)) == 0
    assert likeness(form.format(48213), form.format(48213) + "!") > 0.9
