"""``pointsman load``: every question on a small bundle, as a user runs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from pointsman.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write traces of 60 requests at the tiny bundle's three candidates, and a spec."""
    folder = tmp_path_factory.mktemp("load")
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for at in range(60):
        time = pd.Timestamp("2026-05-04", tz="UTC") + pd.Timedelta(seconds=30 * at)
        for column, model in enumerate(("small", "medium", "large")):
            rows.append(
                {
                    "request_id": f"r{at}",
                    "timestamp": time,
                    "prompt": f"write {at} lines of code",
                    "model": model,
                    "latency_ms": float(rng.gamma(4.0, 30.0)),
                    "useful": float(rng.random() < 0.6 + 0.15 * column),
                    "input_tokens": 40,
                    "output_tokens": int(rng.integers(10, 80)),
                    "status": "error" if rng.random() < 0.05 else "ok",
                    "chosen": model == "large",
                }
            )
    pd.DataFrame(rows).to_parquet(folder / "traces.parquet")
    (folder / "spec.yaml").write_text(
        """
candidates:
  small: {input_usd_per_mtok: 0.1, output_usd_per_mtok: 0.4}
  medium: {input_usd_per_mtok: 0.5, output_usd_per_mtok: 1.5}
  large: {input_usd_per_mtok: 5, output_usd_per_mtok: 15}
baseline: as_logged
safe_model: small
constraints: {p95_latency_ms: 400, useful_rate: 0.1}
load: {rate_per_s: 6, concurrency: {small: 4, medium: 4, large: 1}}
"""
    )
    return folder


def ask(place: Path, bundle: Path, question: str, *more: str) -> tuple[int, dict[str, Any]]:
    files = ["--bundle", str(bundle), "--traces", str(place / "traces.parquet"), "--spec", str(place / "spec.yaml")]
    files += ["--json", str(place / "found.json"), "--picture", str(place / "found.png"), "--requests", "600"]
    code = main(["load", question, *files, *more])
    return code, json.loads((place / "found.json").read_text())


@pytest.mark.parametrize(
    ("question", "more"),
    [
        ("replay", ()),
        ("rate", ("--rates", "1,4,12")),
        ("budget", ()),
        ("outage", ("--minutes", "1")),
        ("kill", ()),
    ],
)
def test_every_question_has_an_answer_a_table_and_a_picture(
    place: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str], question: str, more: tuple[str, ...]
) -> None:
    code, found = ask(place, tiny_bundle, question, *more)
    shown = capsys.readouterr().out
    assert found["question"] == question
    assert found["verdict"] in shown
    assert "Modelled, not measured: waits in queues" in shown
    assert found["places"] == {"small": 4, "medium": 4, "large": 1}
    picture = imread(place / "found.png")
    assert picture.shape[0] > 400
    assert picture[..., :3].std() > 0.05  # something is drawn
    if question == "replay":
        under, alone = (found[how]["before"]["p95_ms"] for how in ("under_load", "alone"))
        assert under > 1.3 * alone  # one place, most of the time taken
        assert code == (0 if found["under_load"]["after"]["p95_ms"] <= 400 else 1)
    if question == "rate":
        late = found["before"]["p95_ms"]
        assert late == sorted(late)
        assert found["before"]["cliff_per_s"] < 8.5  # its one place serves about eight a second
    if question == "budget":
        spent = [one["spent_per_minute"] for one in found["runs"]]
        assert spent[-1] < spent[0]
    if question == "outage":
        out = found["models"]["large"]
        assert out["before"]["error_rate"] > 0.95
        assert out["fallbacks"]["error_rate"] < 0.5 * out["before"]["error_rate"]
        assert found["quiet"]["before"]["error_rate"] < 0.2
    if question == "kill":
        assert found["killed"]["killed"] == 1.0
        assert found["running"]["killed"] == 0.0


def test_the_same_seed_gives_the_same_bytes_and_exact_the_same_figures(place: Path, tiny_bundle: Path) -> None:
    one, again = ask(place, tiny_bundle, "replay")[1], ask(place, tiny_bundle, "replay")[1]
    assert one == again
    assert ask(place, tiny_bundle, "replay", "--exact")[1] == one
    assert ask(place, tiny_bundle, "replay", "--seed", "1")[1] != one


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--bundle", "nowhere"), "nowhere: no such folder; name --bundle"),
        (("--places", "huge=3"), "'huge' is no candidate; allowed: small, medium, large"),
        (("--places", "small"), "'small' is not of the form MODEL=VALUE"),
        (("--places", "small=x"), "--places small=x: a whole number is needed"),
        (("--rates", "1,-2"), "--rates is '1,-2'; numbers above 0 are needed"),
        (("--rate", "0"), "rate is 0; a number above 0 is needed"),
        (("--arrivals", "some.txt"), "some.txt: ends in '.txt'; allowed: .csv"),
        (("--requests", "5"), "--requests is 5; at least 100 are needed"),
    ],
)
def test_bad_input_is_one_line(
    place: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], words: str
) -> None:
    files = [
        "--bundle",
        str(tiny_bundle),
        "--traces",
        str(place / "traces.parquet"),
        "--spec",
        str(place / "spec.yaml"),
    ]
    assert main(["load", "rate", *files, *more]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("pointsman: ") == 1
    assert "Traceback" not in told
