"""Self-training of intents: what is filled, what is reported, and when nothing is filled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from pointsman.self_training import SelfTrained, fill_intents

if TYPE_CHECKING:
    from pointsman.encoders import TransformerEncoder

WORDS = {"chat": "hello what is", "code": "fix this code", "maths": "the sum 1 2 3 4 5"}


def requests(each: int = 40, labelled: float = 0.5, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    """Return requests of three intents that their words tell, and the intents of all, told or not."""
    generator = np.random.default_rng(seed)
    truth = generator.permutation(np.repeat(list(WORDS), each))
    tails = ["".join(generator.choice(list("abcdefgh"), 4)) for _ in truth]
    prompts = [
        f"{WORDS[intent]} {tail} {number}" for number, (intent, tail) in enumerate(zip(truth, tails, strict=True))
    ]
    told = pd.Series(truth, dtype="string").mask(generator.random(len(truth)) >= labelled)
    names = [f"r{number}" for number in range(len(truth))]
    rows = pd.DataFrame({"request_id": names, "prompt": prompts, "intent": told})
    return rows, pd.Series(truth, dtype="string")


@pytest.fixture(scope="module")
def filled(tiny_encoder: TransformerEncoder) -> tuple[pd.DataFrame, pd.Series, SelfTrained]:
    rows, truth = requests()
    return rows, truth, fill_intents(rows, tiny_encoder, precision=0.85)


def test_it_fills_what_is_not_told_and_says_so(filled: tuple[pd.DataFrame, pd.Series, SelfTrained]) -> None:
    rows, truth, out = filled
    told, by = rows["intent"].notna(), out.rows["intent_by"]
    assert (out.rows["intent"][told] == truth[told]).all()
    assert (by[told] == "source").all()
    new = by.eq("self_training").fillna(False)
    assert new.sum() > 0.8 * (~told).sum()
    assert (out.rows["intent"][new] == truth[new]).mean() > 0.85
    assert out.rows.loc[~told & ~new, ["intent", "intent_by"]].isna().all(axis=None)
    assert "intent_by" not in rows


def test_the_report_adds_up(filled: tuple[pd.DataFrame, pd.Series, SelfTrained]) -> None:
    rows, _, out = filled
    report, n = out.report, len(rows)
    assert report["refused"] is None
    assert report["requests"] == n
    assert report["labelled_before"] == rows["intent"].notna().mean()
    assert report["labelled_after"] == out.rows["intent"].notna().mean()
    counts = report["intents"].values()
    assert sum(one["source"] for one in counts) == rows["intent"].notna().sum()
    assert sum(one["filled"] for one in counts) == (out.rows["intent_by"] == "self_training").sum()
    held = report["held_out"]
    assert 0 < held["prompts"] < rows["intent"].notna().sum()
    for name in ("precision", "coverage"):
        low, high = held[f"{name}_interval"]
        assert 0 <= low <= held[name] <= high <= 1
    assert 0 < report["threshold"] <= 1


def test_it_is_deterministic(
    filled: tuple[pd.DataFrame, pd.Series, SelfTrained], tiny_encoder: TransformerEncoder
) -> None:
    rows, _, out = filled
    again = fill_intents(rows, tiny_encoder, precision=0.85)
    assert again.report == out.report
    pd.testing.assert_frame_equal(again.rows, out.rows)


def test_a_request_has_one_intent_on_all_its_rows(tiny_encoder: TransformerEncoder) -> None:
    rows, _ = requests()
    twice = rows.loc[rows.index.repeat(2)].reset_index(drop=True)
    twice.loc[1::2, "intent"] = pd.NA
    out = fill_intents(twice, tiny_encoder, precision=0.85)
    assert out.rows["intent"].iloc[::2].fillna("").tolist() == out.rows["intent"].iloc[1::2].fillna("").tolist()
    assert out.rows["intent_by"].eq("source").sum() == 2 * rows["intent"].notna().sum()
    assert out.report["requests"] == len(rows)


def test_rare_intents_are_counted_and_never_filled(tiny_encoder: TransformerEncoder) -> None:
    rows, _ = requests()
    rows.loc[rows.index[rows["intent"].eq("maths").fillna(False)][9:], "intent"] = pd.NA
    out = fill_intents(rows, tiny_encoder, precision=0.6)
    assert out.report["rare"] == {"maths": 9}
    assert out.report["intents"]["maths"] == {"source": 9, "filled": 0}
    assert out.report["held_out"]["precision"] > 0.95


def refused(rows: pd.DataFrame, encoder: TransformerEncoder) -> str:
    out = fill_intents(rows, encoder)
    assert out.rows["intent"].equals(rows["intent"])
    assert out.report["labelled_before"] == out.report["labelled_after"]
    return str(out.report["refused"])


def test_it_refuses_where_nothing_can_be_learnt(tiny_encoder: TransformerEncoder) -> None:
    rows, truth = requests(each=20)
    assert refused(rows.assign(intent=truth), tiny_encoder) == "every request tells its intent"
    few = rows.assign(intent=truth.where(truth.groupby(truth).cumcount() < 9).astype("string"))
    assert refused(few, tiny_encoder).startswith("0 intents have 10 labelled prompts or more; at least 2")
    none = rows.assign(intent=pd.Series(pd.NA, index=rows.index, dtype="string"))
    assert refused(none, tiny_encoder).startswith("0 intents")


def test_it_refuses_where_the_precision_is_not_shown(tiny_encoder: TransformerEncoder) -> None:
    rows, _ = requests()
    mixed = rows["intent"].dropna().sample(frac=1, random_state=0).set_axis(rows.index[rows["intent"].notna()])
    said = refused(rows.assign(intent=mixed.reindex(rows.index)), tiny_encoder)
    assert said == "no threshold of confidence shows a precision of 0.9 on the labelled prompts"


def test_a_prompt_asked_again_is_no_evidence(tiny_encoder: TransformerEncoder) -> None:
    rows, _ = requests(each=20, labelled=1)
    rows["intent"] = rows["intent"].sample(frac=1, random_state=0).set_axis(rows.index)
    often = rows.loc[rows.index.repeat(6)].reset_index(drop=True)
    often["request_id"] = [f"q{number}" for number in range(len(often))]
    often.loc[::6, "intent"] = pd.NA
    assert "precision of 0.9" in refused(often, tiny_encoder)
