"""Requests that belong to no intent, several intents, families: from the traces and the spec to the router."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pointsman.conformance import check_conformance
from pointsman.fit import FitOptions, fit
from pointsman.router import Router
from pointsman.sample_week import sample_week
from pointsman.spec import parse_spec
from pointsman.traces import validate_traces

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.encoders import TransformerEncoder

MODELS = ("small-precise", "mid-writer", "big-decoder-v2")


def test_out_of_scope_is_abstained_from_and_reported(tiny_encoder: TransformerEncoder, tmp_path: Path) -> None:
    rows = sample_week(seed=3, requests=500).traces
    rows = rows[rows["model"].isin(MODELS)].reset_index(drop=True)
    intent = rows["intent"].where(rows["intent"] != "junk_adversarial", "out_of_scope")
    intent = intent.where(intent != "code", "code|navigation")
    document = {
        "candidates": {name: {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0} for name in MODELS},
        "safe_model": MODELS[0],
        "objective": {"useless_response_usd": 0.05},
        "constraints": {"useful_rate": {"relative_to": "baseline", "margin": 0.5}, "confidence": 0.6},
        "families": {"all": list(MODELS)},
        "certificate": "none",
        "rules": {
            "abstain": {"model": MODELS[1], "below_confidence": 0.0, "out_of_scope_false_alarms": 0.2},
        },
    }
    traces, spec = validate_traces(rows.assign(intent=intent)), parse_spec(document)
    found = fit(traces, spec, tmp_path / "b", tiny_encoder, FitOptions(trials=1, kind="transformer"))
    abstain = found.policy.rule.abstain
    assert abstain is not None
    assert abstain.above_out_of_scope == 0.8
    assert "out_of_scope" not in found.policy.intents
    router = Router.load(found.bundle)
    assert check_conformance(router) == []
    reading = router.read(list(found.outcomes.prompt))
    assert (np.diff(reading.useful_probs[:, [found.policy.models.index(name) for name in MODELS]], axis=1) >= 0).all()
    assert reading.intent_labels is not None, "some prompts have two intents"
    assert "repeated" in found.evaluation
    assert "rule.abstain.above_out_of_scope" in {one["where"] for one in found.policy.evidence["thresholds"]}
