"""Fit and replay where only the served candidate's outcome is known: from traces to the report or «cannot tell»."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import pointsman.report
import pointsman.tune
from pointsman.errors import TraceError
from pointsman.fit import FitOptions, FitResult, fit
from pointsman.replaying import replay_bundle
from pointsman.sample_week import sample_week
from pointsman.spec import RoutingSpec, parse_spec
from pointsman.tables import metric_cells
from pointsman.traces import validate_traces

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from pointsman.encoders import TransformerEncoder

BIG = "big-decoder-v2"


def spec_of(baseline: str = BIG, **constraints: Any) -> RoutingSpec:
    """Return a promise that few requests can prove."""
    wanted = {"useful_rate": {"relative_to": "baseline", "margin": 0.3}, "confidence": 0.8, **constraints}
    names = ("small-precise", "mid-writer", BIG)
    return parse_spec(
        {
            "candidates": {name: {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0} for name in names},
            "baseline": baseline,
            "safe_model": "small-precise",
            "constraints": wanted,
        }
    )


def logged(share_full: float = 0.0, seed: int = 0, *, rare: float = 0.33, requests: int = 1300) -> pd.DataFrame:
    """Return a week of which production served two candidates with the probability `rare` each, else the dearest."""
    rows = sample_week(seed=seed, requests=requests).traces
    rows = rows[rows["model"] != "vision-scout"].reset_index(drop=True)
    generator = np.random.default_rng(seed)
    names, chance = ["small-precise", "mid-writer", BIG], [rare, rare, 1 - 2 * rare]
    ids = rows["request_id"].unique()
    drawn = dict(zip(ids, generator.choice(3, len(ids), p=chance), strict=True))
    full = set(ids[generator.random(len(ids)) < share_full])
    code = rows["request_id"].map(drawn)
    chosen = rows["model"] == np.array(names, dtype=object)[code]
    rows = rows.assign(chosen=chosen, propensity=np.where(chosen, np.array(chance)[code], np.nan))
    return rows[chosen | rows["request_id"].isin(full)].reset_index(drop=True)


@pytest.fixture(scope="module")
def fitted(tiny_encoder: TransformerEncoder, tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    """Return a fit on logs alone."""
    out = tmp_path_factory.mktemp("logged") / "bundle"
    return fit(
        validate_traces(logged()),
        spec_of(p95_latency_ms=600),
        out,
        tiny_encoder,
        FitOptions(trials=2, kind="transformer"),
    )


def test_a_fit_on_logs_alone_says_what_it_is(fitted: FitResult) -> None:
    report = fitted.report
    assert report["off_policy"]["tellable"]
    assert report["off_policy"]["support"][0]["complete"] == 0
    assert "estimated from logs" in report["verdict"]
    assert report["baselines"]["oracle"] is None
    assert report["change"]["p95_ms"] is None
    card = (fitted.bundle / "MODEL_CARD.md").read_text()
    assert "## Logged data" in card
    assert "doubly robust" in card
    assert {row[0] for row in metric_cells(report)} >= {"after", f"before ({BIG})"}
    assert fitted.certificate is not None
    assert {promise.method for promise in fitted.certificate.promises} <= {"normal", "by design"}


def test_the_report_has_the_intervals_of_the_off_policy_estimate(fitted: FitResult) -> None:
    change, found = fitted.report["change"], fitted.report["off_policy"]["change"]
    for name, key in (("useful_rate", "useful"), ("cost_per_useful", "cost_per_useful")):
        assert [change[name][at] for at in ("low", "high")] == [found[key]["dr"][at] for at in ("low", "high")]
    after, before = fitted.report["after"], fitted.report["before"]
    assert change["cost_usd"]["difference"] == pytest.approx(after["cost_usd"] - before["cost_usd"])
    assert change["useful_rate"]["difference"] == pytest.approx(after["useful_rate"] - before["useful_rate"])


def test_a_bundle_from_logs_is_replayed_on_new_logs(fitted: FitResult) -> None:
    spec, traces = spec_of(p95_latency_ms=600), validate_traces(logged(seed=1))
    report = replay_bundle(fitted.bundle, traces, spec)
    assert report["requests"] == 1300
    assert report["left_out"] == {"seen": 0, "incomplete": 0}
    json.dumps(report, allow_nan=False)
    production = replay_bundle(fitted.bundle, traces, spec_of("as_logged", p95_latency_ms=600))
    served = logged(seed=1)
    assert production["before"]["useful_rate"] == pytest.approx(served["useful"].mean())
    assert production["before"]["p95_ms"] == pytest.approx(served["latency_ms"].quantile(0.95), rel=0.05)


def test_a_bundle_from_logs_is_replayed_in_full(fitted: FitResult) -> None:
    rows = sample_week(seed=1, requests=200).traces
    report = replay_bundle(fitted.bundle, validate_traces(rows), spec_of(p95_latency_ms=600))
    assert report["off_policy"] is None
    assert report["after"]["p95_ms"] is not None


def test_replayed_requests_and_logged_ones_mix(tiny_encoder: TransformerEncoder, tmp_path: Path) -> None:
    traces = logged(share_full=0.3, requests=400).assign(propensity=np.nan)
    spec = spec_of("as_logged", hallucination_rate=0.9)
    found = fit(validate_traces(traces), spec, tmp_path / "b", tiny_encoder, FitOptions(trials=1, kind="transformer"))
    off_policy = found.report["off_policy"]
    assert off_policy["source"] == "estimated"
    assert 0 < off_policy["support"][0]["complete"] < found.report["requests"]
    json.dumps(found.report, allow_nan=False)


def test_what_production_never_explored_cannot_be_told(tiny_encoder: TransformerEncoder, tmp_path: Path) -> None:
    """Neither certificate nor report claims anything, and the plan says what would help."""
    spec = spec_of("small-precise")
    found = fit(
        validate_traces(logged(rare=0.02, requests=400)),
        spec,
        tmp_path / "b",
        tiny_encoder,
        FitOptions(trials=1, kind="transformer"),
    )
    assert not found.holds
    assert found.certificate is not None
    assert not found.certificate.certified
    assert "the logs cannot tell" in found.certificate.sentence()
    assert "CANNOT TELL" in found.report["verdict"]
    plan = found.report["off_policy"]["plan"]
    assert plan["per_mille"] > 0
    assert "per mille of the traffic" in (found.bundle / "MODEL_CARD.md").read_text()
    json.dumps(found.report, allow_nan=False)


def test_requests_of_which_nothing_is_known_are_one_clear_line(
    tiny_encoder: TransformerEncoder, tmp_path: Path
) -> None:
    rows = sample_week(requests=300).traces
    rows = rows[rows["model"] != "vision-scout"].assign(chosen=False, propensity=np.nan)
    rows = rows[rows.groupby("request_id").cumcount() != rows["request_id"].factorize()[0] % 3]
    with pytest.raises(TraceError, match="or of the one marked chosen; at least 100 are needed"):
        fit(validate_traces(rows), spec_of(), tmp_path / "b", tiny_encoder)


def test_where_everything_is_known_nothing_is_estimated(
    tiny_encoder: TransformerEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark of what was served and its probability change no byte of the policy."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("estimated")

    for module in (pointsman.tune, pointsman.report):
        for name in ("estimated_outcomes", "production"):
            monkeypatch.setattr(module, name, refuse)
    rows = sample_week(requests=160).traces
    rows = rows[rows["model"] != "vision-scout"].reset_index(drop=True)
    policies = []
    for number, traces in enumerate((rows, rows.assign(propensity=np.where(rows["chosen"], 0.5, np.nan)))):
        options = FitOptions(trials=1, kind="transformer")
        found = fit(validate_traces(traces), spec_of(), tmp_path / f"b{number}", tiny_encoder, options)
        assert found.report["off_policy"] is None
        policies.append((found.bundle / "policy.json").read_bytes())
    assert policies[0] == policies[1]
