"""What a fit needs of traces and spec."""

from __future__ import annotations

import pandas as pd

from pointsman.costs import RATES
from pointsman.inputs import known_outcomes
from pointsman.spec import parse_spec
from pointsman.traces import validate_traces

TOKENS = {
    "input_tokens": 1_000_000,
    "output_tokens": 1_000_000,
    "cached_input_tokens": 500_000,
    "cache_write_tokens": 250_000,
    "reasoning_tokens": 500_000,
}


def test_every_rate_of_the_spec_prices_its_tokens() -> None:
    base = {"timestamp": "2026-01-05", "prompt": "p", "model": "m", "latency_ms": 1.0, "useful": 1.0, "chosen": True}
    traces = validate_traces(pd.DataFrame([{**base, **TOKENS, "request_id": f"r{n}"} for n in range(3)]))
    rates = dict(zip(RATES, (4.0, 10.0, 1.0, 8.0, 20.0), strict=True))
    spec = parse_spec({"candidates": {"m": rates}, "safe_model": "m"})
    assert known_outcomes(traces, spec, at_least=1).cost_usd.tolist() == [[1.0 + 5.0 + 0.5 + 2.0 + 10.0]] * 3
