"""The second run, whole: later weeks against a champion of the first, and a kill in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.cli import main
from pointsman.errors import SpecError
from pointsman.fit import FitOptions, fit
from pointsman.retraining.champion import LinkPointer
from pointsman.retraining.retrain import RetrainOptions, retrain
from pointsman.router import Router
from pointsman.sample_week import Change, sample_week
from pointsman.spec import RoutingSpec, parse_spec
from pointsman.traces import TraceTable, validate_traces

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pointsman.encoders import TransformerEncoder

N = 300
OPTIONS = RetrainOptions(FitOptions(trials=2, kind="transformer"))


def spec_of(document: dict[str, Any]) -> RoutingSpec:
    """Return the week's spec with limits that a handful of requests can keep, and no certificate."""
    constraints = {"p95_latency_ms": 900, "useful_rate": {"relative_to": "baseline", "margin": 0.3}}
    promotion = {"certificate": "not_refuted", "useful_margin": 0.2, "intent_margin": 0.6}
    return parse_spec({**document, "constraints": constraints, "certificate": "none", "promotion": promotion})


def week(seed: int, change: Change | None = None) -> tuple[TraceTable, RoutingSpec]:
    made = sample_week(seed, N, change)
    return validate_traces(made.traces), spec_of(made.spec)


@pytest.fixture(scope="module")
def champion(tiny_encoder: TransformerEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("champion") / "week1"
    traces, spec = week(0)
    fit(traces, spec, out, tiny_encoder, FitOptions(trials=2, kind="transformer"))
    return out


def test_a_model_that_vanished_is_found_and_the_comparison_counts_it_as_failing(
    champion: Path, tiny_encoder: TransformerEncoder, tmp_path: Path
) -> None:
    router = Router.load(champion)
    traces, spec = week(1, Change(1, gone=("mid-writer",), wording=0.6, prices={"vision-scout": 3.0}))
    found = retrain(router, traces, spec, tmp_path / "week2", tiny_encoder, OPTIONS, old=week(0)[0])
    told = [one["text"] for one in found.changed]
    assert "Model mid-writer is gone." in told
    assert any("Price of vision-scout" in text and "× 3" in text for text in told)
    assert found.comparison is not None
    assert found.comparison["gone"] == ["mid-writer"]
    assert found.comparison["requests"] == 90  # the newest 30 %, which the fit did not see
    assert found.comparison["left_out"]["seen_by_after"] == 0
    assert {"prompts (classifier)", "prompts (kernel)", "intents"} <= {one.what for one in found.drift}
    assert set(Router.load(tmp_path / "week2").policy.models) == set(spec.candidates)
    assert json.loads(json.dumps(found.to_dict()))["decision"] == found.decision


def test_poisoned_labels_wait_for_a_person(champion: Path, tiny_encoder: TransformerEncoder, tmp_path: Path) -> None:
    traces, spec = week(2, Change(1, praised={"small-precise": 1.0}))
    found = retrain(Router.load(champion), traces, spec, tmp_path / "week2", tiny_encoder, OPTIONS)
    assert found.decision == "hold"
    assert "label_jump" in [one.name for one in found.gate.conditions if not one.holds]


def test_the_champions_own_folder_is_never_written(champion: Path, tiny_encoder: TransformerEncoder) -> None:
    with pytest.raises(SpecError, match="the champion's own folder"):
        retrain(Router.load(champion), *week(1), champion, tiny_encoder, OPTIONS)


def test_a_kill_in_the_middle_leaves_the_champion_and_the_next_retrain_succeeds(
    champion: Path, make_encoder: Callable[..., Path], tmp_path: Path
) -> None:
    link, encoder = tmp_path / "champion", make_encoder(tmp_path / "encoder")
    LinkPointer(link).promote(champion)
    traces, spec = week(3, Change(1))
    traces.write(tmp_path / "week2.parquet")
    (tmp_path / "spec.yaml").write_text(spec.to_yaml(), encoding="utf-8")
    arguments = ["retrain", "--champion", str(link), "--traces", str(tmp_path / "week2.parquet")]
    arguments += ["--spec", str(tmp_path / "spec.yaml"), "--out", str(tmp_path / "week2"), "--encoder", str(encoder)]
    arguments += ["--no-tracking", "--trials", "2", "--cache", str(tmp_path / "cache")]
    code = "import sys; from pointsman.cli import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("encode prompts"):  # the fit is under way
            break
    assert main(arguments) == 3, "while one runs, no other may"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert LinkPointer(link).bundle() == champion.resolve()
    assert Router.load(link).route("what is this").model
    for _ in range(100):
        code_next = main(arguments)
        if code_next != 3:
            break
        time.sleep(0.1)
    assert code_next in {0, 1}
    assert Router.load(tmp_path / "week2").route("what is this").model
    assert not list(tmp_path.glob(".week2.*.tmp"))
