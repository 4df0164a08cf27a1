"""Usefulness, hallucination and intent from logged labels, scores, tags and status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.ingest_config import parse_ingest_config
from pointsman.labelling.usefulness import LabelCounts, Labelled, label
from pointsman.labelling.verdicts import Survey

if TYPE_CHECKING:
    from collections.abc import Sequence

Score = tuple[str, float | str, str]


def answers(*rows: dict[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame([{"scores": None, "tags": None, "status": None, "useful": None, **row} for row in rows])
    for name in ("scores", "tags"):
        frame[name] = [json.dumps(cell) if cell is not None else None for cell in frame[name]]
    return frame.astype({"useful": "float64", "scores": "string", "tags": "string"})


def scored(*cells: Sequence[Score], **config: Any) -> Labelled:
    return label(answers(*({"scores": cell} for cell in cells)), parse_ingest_config(config))


def useful(*cells: Sequence[Score], **config: Any) -> list[float | None]:
    values = scored(*cells, **config).rows["useful"].tolist()
    return [None if value != value else value for value in values]


def test_the_first_rule_that_applies_decides() -> None:
    thumbs, judged, paid_back = ("thumbs", 1.0, "user"), ("correctness", "no", "judge"), ("refund", 1.0, "")
    rows = answers(
        {"useful": 0.25, "scores": [thumbs]},
        {"scores": [judged, thumbs], "status": "error"},
        {"scores": [judged, paid_back]},
        {"scores": [("correctness", "yes", "judge")], "status": "timeout"},
        {"scores": [judged]},
        {},
    )
    out = label(rows, parse_ingest_config({}))
    assert out.rows["useful"].tolist()[:5] == [0.25, 1, 0, 0, 0]
    assert np.isnan(out.rows["useful"].iloc[5])
    assert out.rows["useful_by"].tolist()[:5] == ["logged", "feedback", "refund", "failed", "judge"]
    assert pd.isna(out.rows["useful_by"].iloc[5])
    assert out.counts.rows == 6
    assert dict(out.counts.by_rule) == dict.fromkeys(["logged", "feedback", "refund", "failed", "judge"], 1)


def test_the_order_of_the_configuration_decides_and_what_it_leaves_out_is_not_read() -> None:
    rows = answers({"useful": 0.25, "scores": [("correctness", 1.0, "judge")]}, {"useful": 0.5})
    out = label(rows, parse_ingest_config({"useful": ["judge"]})).rows
    assert out["useful"].iloc[0] == 1
    assert np.isnan(out["useful"].iloc[1])
    out = label(rows, parse_ingest_config({"useful": ["judge", "logged"]})).rows
    assert out["useful"].tolist() == [1, 0.5]
    assert out["useful_by"].tolist() == ["judge", "logged"]


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (("user-feedback", 1.0, "user"), 1),
        (("userFeedback", 0.0, "user"), 0),
        (("thumbs", "👎", "user"), 0),
        (("thumbs", "thumbs_up", ""), 1),
        (("Helpful", "true", "human"), 1),
        (("feedback", "Not Helpful", ""), 0),
        (("like", "disliked", ""), 0),
        (("acme_bot_feedback", 1.0, "user"), 1),
        (("Correctness", "incorrect", "judge"), 0),
        (("relevance_to_query", "yes", "judge"), 1),
        (("answer_relevancy", 0.8, "judge"), 0.8),
        (("exact_match_passed", 1.0, "code"), None),
        (("passed", 1.0, "code"), 1),
        (("thumbs_down", 1.0, "user"), 0),
        (("thumbs_down", 0.0, "user"), None),
        (("not_helpful", "yes", "user"), 0),
        (("feedback", "neutral", "user"), None),
        (("toxicity", 1.0, "human"), None),
        (("sentiment", "positive", "human"), None),
        (("context_relevance", 1.0, "judge"), None),
        (("retrieval_relevance", "relevant", "judge"), None),
        (("tool_call_accuracy", 1.0, "judge"), None),
        (("conciseness", 0.9, "judge"), None),
        (("hallucination", 1.0, "judge"), None),
        (("helpfulness", 7.0, "judge"), None),
        (("comment", "it was very good and then it broke", "user"), None),
    ],
)
def test_what_speaks_for_itself(score: Score, expected: float | None) -> None:
    assert useful([score]) == [expected]


def test_a_scale_is_told_by_all_its_values() -> None:
    flag, sign = [("thumbs", 1.0, "user")], [("thumbs", -1.0, "user")]
    assert useful(flag, sign, [("thumbs", 0.0, "user")]) == [1, 0, None]
    assert useful([("quality", 1.0, "judge")], [("quality", 5.0, "judge")]) == [None, None]
    assert useful([("quality", 1.0, "judge")], [("quality", -0.5, "judge")]) == [None, None]
    assert useful([("rating", 1.0, "user")], [("rating", 0.0, "user")]) == [1, 0]
    assert useful([("rating", 1.0, "user")]) == [None]
    assert useful([("quality", 1.0, "judge")], [("quality", 5.0, "human")]) == [1, None]


def test_the_survey_of_the_whole_source_tells_a_scale_that_a_part_hides() -> None:
    rows = answers({"scores": [("quality", 1.0, "judge")]})
    survey, rest = Survey(), Survey()
    survey.note("quality", 1.0, "judge")
    rest.note("Quality", 4.0, "judge")
    survey.merge(rest)
    assert label(rows, parse_ingest_config({})).rows["useful"].tolist() == [1]
    assert label(rows, parse_ingest_config({}), survey).rows["useful"].isna().all()


def test_a_rating_without_a_threshold_is_counted_and_named() -> None:
    cells = [[("rating", float(value), "user")] for value in (1, 3, 5)]
    out = scored(*cells)
    survey = Survey()
    survey.read(map(json.dumps, cells))
    report = out.counts.report(survey)
    assert report["rows"] == report["unlabelled"] == 3
    (line,) = report["unread"]
    assert line.startswith(
        "score 'rating' by user: no rule reads its value on 3 rows; its numbers go from 1 to 5: give"
    )
    assert useful(*cells, useful=[{"score": {"names": "rating", "at_least": 4}}]) == [0, 0, 1]


def test_the_readings_of_a_score() -> None:
    cells = [[("stars", value, "user")] for value in (1.0, 3.0, 5.0, 9.0, "great")]

    def read(**reading: Any) -> list[float | None]:
        return useful(*cells, useful=[{"score": {"names": ["Stars"], **reading}}])

    assert read(at_least=4) == [0, 0, 1, 1, None]
    assert read(at_most=2) == [1, 0, 0, 0, None]
    assert read(low=1, high=5) == [0, 0.5, 1, None, None]
    assert read(low=5, high=1) == [1, 0.5, 0, None, None]
    assert read(words={"Great": 0.9}) == [None, None, None, None, 0.9]
    assert read() == [None, None, None, None, 1]
    assert read(at_least=4, by=["judge", "unknown"]) == [None] * 5
    unknown = [{"score": {"names": "stars", "by": ["unknown"], "at_least": 4}}]
    assert useful([("stars", 5.0, "")], [("stars", 5.0, "user")], useful=unknown) == [1, None]


def test_scores_of_one_rule_are_averaged() -> None:
    assert useful([("correctness", "yes", "judge"), ("helpfulness", "no", "judge"), ("tone", 0.1, "judge")]) == [0.5]


def test_flags_are_scores_or_tags_that_are_there_and_not_false() -> None:
    rows = answers(
        {"tags": {"moneyBack": "12.50"}},
        {"tags": {"refund": ""}},
        {"tags": {"refund": "false", "note": "refund"}},
        {"scores": [("refund", 0.0, "code")]},
        {"tags": {"copied": "true"}},
    )
    config = {"useful": ["refund", {"flag": {"names": "copied", "useful": 1}}]}
    out = label(rows, parse_ingest_config(config))
    assert out.rows["useful"].tolist()[:2] == [0, 0]
    assert out.rows["useful"].isna().tolist() == [False, False, True, True, False]
    assert out.rows["useful"].iloc[4] == 1
    assert out.rows["useful_by"].iloc[4] == "flag:copied"
    assert not out.counts.unread


def test_names_outside_ascii_are_found_however_json_writes_them() -> None:
    rows = answers({"tags": {"erstattung_über": "1"}}, {})
    rows.loc[1, "tags"] = json.dumps({"erstattung_über": "1"}, ensure_ascii=False)
    out = label(rows, parse_ingest_config({"useful": [{"flag": {"names": "Erstattung über"}}]}))
    assert out.rows["useful"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("status", "failed", "abandoned"),
    [
        *(("ok", False, False), ("TIMEOUT", True, False), ("503", True, False), ("Timed Out", True, False)),
        *(("200", False, False), ("499", False, True), ("cancelled", False, True), ("stop", False, False)),
    ],
)
def test_statuses(status: str, failed: bool, abandoned: bool) -> None:
    rows = answers({"status": status})
    assert label(rows, parse_ingest_config({})).rows["useful"].notna().item() == failed
    assert label(rows, parse_ingest_config({"useful": ["abandoned"]})).rows["useful"].notna().item() == abandoned
    listed = parse_ingest_config({"useful": [{"failed": {"statuses": ["stop"]}}]})
    assert label(rows, listed).rows["useful"].notna().item() == (status == "stop")


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (("Hallucination", "hallucinated", "judge"), True),
        (("hallucination", "factual", "judge"), False),
        (("hallucination_score", 0.7, "judge"), True),
        (("faithfulness", 0.9, "judge"), False),
        (("Faithfulness", 0.2, "judge"), True),
        (("retrieval_groundedness", "no", "judge"), True),
        (("retrieval_groundedness", "yes", "judge"), False),
        (("groundedness", 4.0, "judge"), None),
        (("correctness", "no", "judge"), None),
    ],
)
def test_hallucination_has_the_right_direction(score: Score, expected: bool | None) -> None:
    found = scored([score]).rows["hallucinated"].iloc[0]
    assert found == expected if expected is not None else pd.isna(found)


def test_hallucination_by_a_configured_score_leaves_what_the_source_told() -> None:
    rows = answers({"scores": [("grounding", 2.0, "")]}, {"scores": [("grounding", 5.0, "")]}, {})
    rows["hallucinated"] = pd.Series([None, True, None], dtype="boolean")
    config = parse_ingest_config({"hallucinated": {"names": "grounding", "at_most": 3}})
    out = label(rows, config)
    assert out.rows["hallucinated"].tolist()[:2] == [True, True]
    assert pd.isna(out.rows["hallucinated"].iloc[2])
    assert not out.counts.unread
    words = parse_ingest_config({"hallucinated": {"names": "grounding", "words": ["made up"]}})
    assert label(answers({"scores": [("grounding", "Made_up", "")]}), words).rows["hallucinated"].tolist() == [True]


def test_intents_come_from_the_column_then_keys_then_tags() -> None:
    rows = answers(
        {"tags": {"intent": "billing", "topic": "x"}},
        {"tags": {"topic": "refunds", "code": ""}},
        {"tags": {"chat": "", "code": ""}},
        {"tags": {"code": "value"}},
        {"tags": {"intent": "billing"}},
    )
    rows["intent"] = pd.Series([None, None, None, None, "kept"], dtype="string")
    spec = {"intent": {"from": ["intent", "topic"], "tags": ["code", "chat"]}}
    out = label(rows, parse_ingest_config(spec)).rows["intent"]
    assert out.tolist()[:3] == ["billing", "refunds", "code"]
    assert pd.isna(out.iloc[3])
    assert out.iloc[4] == "kept"


def test_what_the_source_logged_is_left_for_the_validation_to_judge() -> None:
    rows = answers({}, {}, {}, {"scores": [("thumbs", 1.0, "user")]})
    rows["useful"] = pd.Series(["7", True, " ", None], dtype=object)
    out = label(rows, parse_ingest_config({})).rows
    assert out["useful"].tolist()[:2] == ["7", True]
    assert pd.isna(out["useful"].iloc[2])
    assert out["useful"].iloc[3] == 1


def test_rows_without_scores_tags_and_status_pass() -> None:
    rows = pd.DataFrame({"request_id": ["a"]}, index=[5])
    out = label(rows, parse_ingest_config({}))
    assert out.rows.index.tolist() == [5]
    assert out.rows[["useful", "useful_by", "hallucinated", "intent"]].isna().all(axis=None)
    assert list(rows.columns) == ["request_id"]
    assert label(rows.iloc[:0], parse_ingest_config({})).rows.empty


cells = st.lists(
    st.tuples(
        st.sampled_from(["thumbs", "rating", "correctness", "refund", "tone", "hallucination"]),
        st.one_of(st.sampled_from([0.0, 1.0, -1.0, 0.5, 4.0]), st.sampled_from(["yes", "no", "pass", "odd"])),
        st.sampled_from(["user", "human", "judge", "code", ""]),
    ),
    max_size=4,
)


@given(st.lists(st.tuples(cells, st.sampled_from(["ok", "error", None])), min_size=1, max_size=12), st.integers(0, 12))
def test_parts_labelled_apart_add_up(told: list[tuple[list[Score], str | None]], cut: int) -> None:
    rows = answers(*({"scores": scores, "status": status} for scores, status in told))
    survey = Survey()
    survey.read(json.dumps(scores) for scores, _ in told)
    config = parse_ingest_config({})
    whole = label(rows, config, survey)
    parts = [label(rows.iloc[:cut], config, survey), label(rows.iloc[cut:], config, survey)]
    counts = LabelCounts()
    for part in parts:
        counts.merge(part.counts)
    assert counts == whole.counts
    pd.testing.assert_series_equal(pd.concat([part.rows["useful"] for part in parts]), whole.rows["useful"])
    labelled = whole.rows["useful"].dropna()
    assert labelled.between(0, 1).all()
    assert whole.rows["useful_by"].notna().tolist() == whole.rows["useful"].notna().tolist()
    assert whole.counts.by_rule.total() == len(labelled)
