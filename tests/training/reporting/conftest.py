"""A replay that is a report: real figures of a small world, and a bundle's identity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pointsman.decide import Reading
from pointsman.outcomes import Outcomes
from pointsman.policy import Candidate, Expected, Policy
from pointsman.report import before_after
from pointsman.rules import ValueRule
from pointsman.spec import parse_spec

N = 400
INTENTS = ("chat", "code", "a very long name of an intent that nobody shortened")
MODELS = (
    "small-precise",
    "llama-3.1-nemotron-51b-instruct-with-a-long-name",
    "org/another-model-of-a-very-long-name-2024-05-13",
    *(f"model-{number}" for number in range(4, 9)),
    "big-decoder-v2",
)


def replay(models: tuple[str, ...] = MODELS, certificate: Any = None, **spec: Any) -> dict[str, Any]:
    """Replay a policy that knows which requests the cheapest model serves, beside as many models as asked for."""
    generator = np.random.default_rng(0)
    m, index = len(models), np.arange(N)
    quality = np.linspace(0.6, 0.95, m)
    useful = (generator.random((N, m)) < quality).astype(float)
    intent = np.array([INTENTS[at % len(INTENTS)] for at in index], dtype=object)
    outcomes = Outcomes(
        request_id=np.array([f"r{at}" for at in index], dtype=object),
        prompt=np.array([f"a secret prompt {at}" for at in index], dtype=object),
        intent=intent,
        modality=np.array(["text"] * N, dtype=object),
        timestamp=np.datetime64("2026-03-02T00:00:00", "us") + (index * 60_000_000).astype("timedelta64[us]"),
        context_tokens=np.zeros(N, dtype=np.int64),
        models=models,
        useful=useful,
        cost_usd=np.broadcast_to(np.geomspace(0.0001, 0.01, m), (N, m)).copy(),
        latency_ms=generator.gamma(4, np.geomspace(20, 120, m), (N, m)),
        hallucinated=(generator.random((N, m)) < 0.05).astype(float),
        output_tokens=np.full((N, m), 100.0),
        failure=np.full((N, m), "", dtype=object),
        logged=np.full(N, m - 1),
    )
    believed = np.clip(0.5 * quality + 0.5 * useful, 0.05, 0.95).astype(np.float32)
    read = np.stack([intent == name for name in INTENTS], axis=1).astype(np.float32)
    policy = Policy(
        intents=INTENTS,
        candidates=tuple(Candidate(name) for name in models),
        rule=ValueRule(1.0, 0.02),
        expected=Expected(
            np.broadcast_to(quality, (3, m)), np.broadcast_to(np.geomspace(0.0001, 0.01, m), (3, m)), np.zeros((3, m))
        ),
        safe_model=models[0],
        evidence={
            "useful_value_usd": 0.05,
            "baseline": models[-1],
            "best_per_intent": dict.fromkeys(INTENTS, models[1]),
            "certificate": certificate,
        },
    )
    document = {"candidates": {name: {} for name in models}, "safe_model": models[0], "baseline": models[-1]}
    constraints = {"useful_rate": {"relative_to": "baseline", "margin": 0.05}, "p95_latency_ms": 2000}
    made = parse_spec({**document, "constraints": constraints, **spec})
    return before_after(outcomes, Reading(read, believed), policy, made)


@pytest.fixture(scope="session")
def nine_models() -> dict[str, Any]:
    return replay()


@pytest.fixture(scope="session")
def make_replay() -> Any:
    return replay


@pytest.fixture(scope="session")
def identity() -> dict[str, Any]:
    """The manifest of a bundle, as far as the page shows it."""
    data = {"fingerprint": "ab" * 32, "requests": 6000, "rows_in": 24_000, "rows_put_aside": 3}
    data |= {"first": "2026-02-01T00:00:00", "last": "2026-02-28T23:59:00"}
    provenance = {"run_id": "run123", "encoder": "MiniLM", "seed": 0, "trials": 200, "libraries": {"numpy": "2.4.6"}}
    return {
        "name": "week",
        "created": "2026-03-01T10:00:00+00:00",
        "sha256": "cd" * 32,
        "provenance": {**provenance, "data": data},
    }
