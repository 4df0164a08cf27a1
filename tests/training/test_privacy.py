"""No prompt leaves the fit: neither the bundle nor the tracking store holds a text of the traces."""

from __future__ import annotations

import json
import re
import secrets
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.conformance import PROMPTS
from pointsman.fit import FitOptions
from pointsman.sample_week import sample_week
from pointsman.spec import parse_spec
from pointsman.traces import validate_traces
from pointsman.tracked import tracked_fit
from pointsman.tracking import Tracker

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pandas as pd

    from pointsman.encoders import TransformerEncoder

WINDOW = 5
CANARY = secrets.token_hex(12)
SPEC: dict[str, Any] = {
    "candidates": {
        name: {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0}
        for name in ("small-precise", "mid-writer", "big-decoder-v2")
    },
    "baseline": "big-decoder-v2",
    "safe_model": "small-precise",
    "constraints": {"useful_rate": {"relative_to": "baseline", "margin": 0.5}, "confidence": 0.8},
}


def windows(text: str) -> set[tuple[str, ...]]:
    """Return every five words in a row, whatever stands between them."""
    words = re.findall(r"[^\W_]+", re.sub(r"\\[nrt]|\\u00[0-9a-f]{2}", " ", text).lower())
    return set(zip(*(words[start:] for start in range(WINDOW)), strict=False))


def leaks(folder: Path, prompts: Iterable[str]) -> list[tuple[str, str]]:
    """Return (file, text) of everything in a folder that stands in a prompt, or is the canary.

    What the package's own test prompts share with a prompt («Traceback (most recent call last)») is no leak.
    """
    own = set().union(*(windows(prompt) for prompt, _, _ in PROMPTS))
    secret = set().union(*(windows(prompt) for prompt in prompts)) - own
    found = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = file.read_bytes()
        for coding in ("utf-8", "utf-16-le"):
            text = data.decode(coding, "replace")
            found += [(file.name, CANARY)] * (CANARY in text)
            found += [(file.name, " ".join(words)) for words in windows(text) & secret]
    return found


@pytest.fixture(scope="module")
def traces() -> pd.DataFrame:
    """Return a week in which every third prompt carries the canary, some of them nothing else."""
    rows = sample_week(seed=11, requests=300).traces
    rows = rows[rows["model"] != "vision-scout"].reset_index(drop=True)
    number = rows.groupby("request_id", sort=False).ngroup()
    marked = rows["prompt"].where(number % 3 != 0, f"{CANARY} " + rows["prompt"] + f" {CANARY}")
    return rows.assign(prompt=marked.where(number % 12 != 0, CANARY + number.astype(str)))


def test_neither_bundle_nor_store_holds_a_text_of_the_traces(
    traces: pd.DataFrame, tiny_encoder: TransformerEncoder, tmp_path: Path
) -> None:
    tracker = Tracker(f"sqlite:///{tmp_path / 'mlflow.db'}", "privacy")
    table = validate_traces(traces)
    tracked_fit(
        table, parse_spec(SPEC), tmp_path / "bundle", tiny_encoder, FitOptions(trials=2, kind="transformer"), tracker
    )
    names = {file.name for file in tmp_path.rglob("*")}
    assert {"mlflow.db", "conformance.jsonl", "MODEL_CARD.md", "model.onnx", "report.json", "policy.json"} <= names
    assert leaks(tmp_path, traces["prompt"]) == []
    vectors = (tmp_path / "bundle" / "conformance.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["prompt"] for line in vectors} <= {prompt for prompt, _, _ in PROMPTS}


def test_a_leak_would_be_seen(traces: pd.DataFrame, tmp_path: Path) -> None:
    prompt = next(text for text in traces["prompt"] if len(text.split()) > 2 * WINDOW)
    for name, text in {
        "part.json": "\\n".join(prompt.split()[2 : 2 + WINDOW]),
        "canary.bin": f"x{CANARY}x",
        "wide.db": prompt[:200],
    }.items():
        coding = "utf-16-le" if name == "wide.db" else "utf-8"
        (tmp_path / name).write_bytes(text.encode(coding))
    assert {name for name, _ in leaks(tmp_path, traces["prompt"])} == {"part.json", "canary.bin", "wide.db"}
