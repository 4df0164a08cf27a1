"""Pairs: flags under two model names, a judge's stars, battles with a winner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pointsman.errors import TraceError
from pointsman.ingest_config import IngestConfig
from pointsman.readers import outcome_matrix, routellm_pairs, table
from pointsman.readers.routellm_pairs import READER, pair_rows
from pointsman.trace_files import parquet_chunks
from pointsman.traces import validate_traces

if TYPE_CHECKING:
    from pathlib import Path

ASSUMED = {"latency_ms": 1000, "timestamp": "order"}
WEAK, STRONG = "mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"


def frame(columns: dict[str, list[Any]]) -> pd.DataFrame:
    count = len(next(iter(columns.values())))
    return pd.DataFrame(columns, index=pd.RangeIndex(1, count + 1, name="source_row"), dtype=object)


def test_flags_under_two_model_names() -> None:
    """The layout of RouteLLM's evaluations: MMLU (no answers), GSM8K (answers as ``MODEL_response``)."""
    raw = frame({"prompt": ["1 + 1?", "2 + 3?"], WEAK: ["False", "True"], STRONG: [True, None]})
    rows = pair_rows(raw.assign(**{f"{WEAK}_response": "…", f"{STRONG}_response": "…"}), ASSUMED)
    assert rows.index.tolist() == [1, 1, 2]
    assert list(zip(rows["model"], rows["useful"], strict=True)) == [(WEAK, 0.0), (STRONG, 1.0), (WEAK, 1.0)]
    assert set(rows["modelled"]) == {"latency_ms, timestamp"}
    assert len(validate_traces(rows).rows) == 3


def test_a_judges_stars_are_a_usefulness_and_no_judgement_is_none() -> None:
    """The layout of routellm/gpt4_dataset: only the weak model's answers are judged, from 1 to 5."""
    columns = {
        "prompt": ["a", "b", "c"],
        "source": ["x"] * 3,
        "gpt4_response": ["…"] * 3,
        "mixtral_response": ["…"] * 3,
    }
    rows = pair_rows(frame({**columns, "mixtral_score": [5, 2.0, None]}), ASSUMED)
    weak, strong = (rows[rows["model"] == name] for name in ("mixtral", "gpt4"))
    assert weak["useful"].tolist() == [1.0, 0.25, None]
    assert strong["useful"].isna().all()
    assert len(strong) == 3
    assert "judged" not in rows


@pytest.mark.parametrize(
    ("winner", "useful"),
    [
        ("model_a", [1.0, 0.0]),
        ("model_b", [0.0, 1.0]),
        ("tie", [0.5, 0.5]),
        ("tie (bothbad)", [0.0, 0.0]),
        ("both_bad", [0.0, 0.0]),
        (None, [None, None]),
    ],
)
def test_a_battle_makes_the_winner_useful(winner: str | None, useful: list[float | None]) -> None:
    talk = [{"role": "user", "content": "Name a river."}, {"role": "assistant", "content": "The Elbe."}]
    raw = frame({"question_id": ["q1"], "model_a": ["koala-13b"], "model_b": ["gpt-4"], "winner": [winner]})
    raw["conversation_a"] = pd.Series([talk], index=raw.index)
    rows = pair_rows(raw.assign(tstamp=1682351591.1322), {"latency_ms": 900})
    assert rows["model"].tolist() == ["koala-13b", "gpt-4"]
    assert [None if pd.isna(one) else one for one in rows["useful"]] == useful
    assert set(rows["prompt"]) == {"Name a river."}
    assert set(rows["timestamp"]) == {"2023-04-24T15:53:11.132200+00:00"}
    assert set(rows["modelled"]) == {"latency_ms"}


def test_lists_as_parquet_holds_them_are_read(tmp_path: Path) -> None:
    talk = [
        {"role": "user", "content": [{"type": "text", "text": "Name a sea."}]},
        {"role": "assistant", "content": []},
    ]
    battle = {"id": "1", "model_a": "a", "model_b": "b", "winner": "model_b", "conversation_a": talk}
    pq.write_table(pa.Table.from_pylist([battle]), tmp_path / "arena.parquet")
    (chunk,) = parquet_chunks(tmp_path / "arena.parquet")
    assert set(pair_rows(chunk.frame(), ASSUMED)["prompt"]) == {"Name a sea."}


def test_votes_in_three_columns() -> None:
    """The layout of lmsys-arena-human-preference-55k; prompts are JSON lists of the user's turns."""
    votes: dict[str, list[Any]] = {
        "winner_model_a": [1, 0, "0", 0],
        "winner_model_b": [0, "1", 0, 0],
        "winner_tie": [0, 0, 1.0, 0],
    }
    names: dict[str, list[Any]] = {"model_a": ["x"] * 4, "model_b": ["y"] * 4}
    raw = frame({"id": [1, 2, 3, 4], **names, "prompt": ['["first", "last"]'] * 4, **votes})
    rows = pair_rows(raw, ASSUMED)
    useful = [None if pd.isna(one) else one for one in rows["useful"]]
    assert useful == [1.0, 0.0, 0.0, 1.0, 0.5, 0.5, None, None]
    assert set(rows["prompt"]) == {"last"}


def test_an_unknown_winner_is_put_aside_with_its_word() -> None:
    raw = frame({"prompt": ["a", "b"], "model_a": ["x"] * 2, "model_b": ["y"] * 2, "winner": ["model_a", "nobody"]})
    quarantine = validate_traces(pair_rows(raw, ASSUMED)).quarantine
    assert quarantine["source_row"].tolist() == [2, 2]
    assert quarantine["reason"].str.contains("nobody").all()


def test_what_is_no_pair_is_refused_in_one_line() -> None:
    with pytest.raises(TraceError, match="pairs: two columns called as models are needed; found: none"):
        pair_rows(frame({"prompt": ["a"], "ours": [1]}), ASSUMED)
    with pytest.raises(TraceError, match="found: gpt-4, claude-2, ours hold outcomes, more is for --format outcome_"):
        pair_rows(frame({"prompt": ["a"], "gpt-4": [1], "claude-2": [1], "ours": [0.5]}), ASSUMED)
    with pytest.raises(TraceError, match="pairs: it does not tell latency_ms and timestamp"):
        READER.rows(frame({"prompt": ["a"], WEAK: [1], STRONG: [0]}), IngestConfig())


LAYOUTS = {
    "routellm_pairs": [
        ["prompt", "mixtral-8x7b-instruct-v0.1", "gpt-4-1106-preview"],
        ["prompt", WEAK, STRONG, f"{WEAK}_response", f"{STRONG}_response"],
        ["prompt", "source", "gpt4_response", "mixtral_response", "mixtral_score"],
        ["question_id", "model_a", "model_b", "winner", "judge", "conversation_a", "conversation_b", "turn", "tstamp"],
        [
            "id",
            "model_a",
            "model_b",
            "prompt",
            "response_a",
            "response_b",
            "winner_model_a",
            "winner_model_b",
            "winner_tie",
        ],
    ],
    "outcome_matrix": [["sample_id", "prompt", "eval_name", "gpt-4", "gpt-4|model_response", "gpt-4|total_cost"]],
    "table": [["request_id", "timestamp", "prompt", "model", "latency_ms", "useful"]],
    "": [["prompt", "model"], ["prompt", "answer", "score"], ["trace_id", "span_id", "name"], []],
}


@pytest.mark.parametrize(("name", "columns"), [(name, one) for name, many in LAYOUTS.items() for one in many])
def test_each_layout_is_of_one_reader(name: str, columns: list[str]) -> None:
    readers = (table.READER, outcome_matrix.READER, routellm_pairs.READER)
    assert [reader.name for reader in readers if reader.fits(columns)] == ([name] if name else [])
