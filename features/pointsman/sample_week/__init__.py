"""The embedded sample week: seven days of an invented search assistant, every request replayed on every candidate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pointsman.sample_week.clock import arrivals
from pointsman.sample_week.outcomes import Outcomes, Requests, replay
from pointsman.sample_week.prompts import write_prompt
from pointsman.sample_week.world import CANDIDATES, INTENT_WORLD, PRODUCTION, REQUESTS_PER_MONTH, SAFE

__all__ = ["SampleWeek", "sample_week"]

_CHARACTERS_PER_TOKEN = 4.0
_VISIBLE = 0.78
_CONCENTRATION = 2.0
_PICTURED = {"image_question": 0.94, "support_complaint": 0.03, "extraction": 0.02}


@dataclass(frozen=True)
class SampleWeek:
    """Traces of one week and the routing spec that goes with them.

    Parameters
    ----------
    traces
        One row per request and candidate, ordered by time: the trace table. Times in ms, money in USD. ``chosen`` marks
        the row that production served, ``propensity`` is 1 there and missing on the replayed rows, which production
        never drew. An answer that failed has no ``output_tokens`` and no ``hallucinated``.
    spec
        Routing spec as its YAML would parse.
    """

    traces: pd.DataFrame
    spec: dict[str, Any]


def sample_week(seed: int = 0, requests: int = 6000) -> SampleWeek:
    """Generate the sample week.

    Parameters
    ----------
    seed
        Same seed and size, same frame.
    requests
        Number of requests in the week, at least 1.

    Returns
    -------
    SampleWeek
        ``requests`` x 4 rows and the spec.

    Raises
    ------
    ValueError
        When ``requests`` is below 1.

    Examples
    --------
    >>> week = sample_week(seed=0, requests=50)
    >>> len(week.traces), week.spec["baseline"]
    (200, 'as_logged')
    """
    if requests < 1:
        raise ValueError(f"requests must be at least 1, got {requests}")
    rng = np.random.default_rng(seed)
    arrived = arrivals(rng, requests)
    intent = _intents(rng, requests)
    mean = np.array([INTENT_WORLD[str(name)].difficulty for name in intent])
    visible = rng.beta(mean * _CONCENTRATION, (1.0 - mean) * _CONCENTRATION)
    hidden = rng.beta(mean * _CONCENTRATION, (1.0 - mean) * _CONCENTRATION)
    prompts = [write_prompt(rng, str(name), float(hardness)) for name, hardness in zip(intent, visible, strict=True)]
    lengths = np.array([len(prompt) for prompt in prompts])
    asked = Requests(
        intent=intent,
        load=arrived.load,
        difficulty=_VISIBLE * visible + (1.0 - _VISIBLE) * hidden,
        prompt_tokens=np.maximum(np.ceil(lengths / _CHARACTERS_PER_TOKEN), 1).astype(np.int64),
        image=rng.random(requests) < np.array([_PICTURED.get(str(name), 0.0) for name in intent]),
    )
    outcomes = replay(rng, asked)
    return SampleWeek(traces=_table(arrived.timestamps, prompts, asked, outcomes), spec=_spec())


def _intents(rng: np.random.Generator, count: int) -> np.ndarray[Any, np.dtype[np.str_]]:
    """Return intents in random order, each as often as its share says."""
    shares = np.array([world.share for world in INTENT_WORLD.values()])
    edges = np.cumsum(shares / shares.sum())
    place = np.searchsorted(edges, (np.arange(count) + rng.random()) / count, side="right")
    return rng.permutation(np.array(list(INTENT_WORLD))[np.minimum(place, len(edges) - 1)])


def _table(
    timestamps: np.ndarray[Any, np.dtype[np.datetime64]], prompts: list[str], asked: Requests, outcomes: Outcomes
) -> pd.DataFrame:
    """Return the trace table: candidates of a request stand in consecutive rows."""
    count, models = outcomes.latency_ms.shape
    names = list(CANDIDATES)
    model = np.tile(np.array(names, dtype=object), count)
    chosen = model == PRODUCTION
    return pd.DataFrame(
        {
            "request_id": np.repeat([f"week-{number:06d}" for number in range(1, count + 1)], models),
            "timestamp": pd.DatetimeIndex(np.repeat(timestamps, models)).as_unit("ns").tz_localize("UTC"),
            "prompt": np.repeat(np.array(prompts, dtype=object), models),
            "intent": np.repeat(asked.intent.astype(object), models),
            "modality": np.repeat(np.where(asked.image, "image", "text").astype(object), models),
            "model": model,
            "chosen": chosen,
            "propensity": np.where(chosen, 1.0, np.nan),
            "useful": outcomes.useful.ravel(),
            "input_tokens": outcomes.input_tokens.ravel(),
            "output_tokens": pd.Series(outcomes.output_tokens.ravel()).astype("Int64"),
            "cost_usd": outcomes.cost_usd.ravel(),
            "retries": outcomes.retries.ravel(),
            "retry_cost_usd": outcomes.retry_cost_usd.ravel(),
            "retrieval_cost_usd": np.repeat(outcomes.retrieval_cost_usd, models),
            "connector_cost_usd": np.repeat(outcomes.connector_cost_usd, models),
            "latency_ms": outcomes.latency_ms.ravel(),
            "status": outcomes.status.ravel().astype(object),
            "hallucinated": pd.Series(outcomes.hallucinated.ravel()).astype("boolean"),
            "context_tokens": np.repeat(outcomes.context_tokens, models),
        }
    )


def _spec() -> dict[str, Any]:
    """Return the routing spec that belongs to the week."""
    return {
        "candidates": {
            name: {
                "input_usd_per_mtok": candidate.input_usd_per_mtok,
                "output_usd_per_mtok": candidate.output_usd_per_mtok,
                "modalities": list(candidate.modalities),
                "context_window": candidate.context_window,
                "timeout_ms": candidate.timeout_ms,
                "concurrency": candidate.concurrency,
            }
            for name, candidate in CANDIDATES.items()
        },
        # One useless answer in 25 ends in a support contact of 5 USD.
        "objective": {"useless_response_usd": 0.2},
        "baseline": "as_logged",
        "safe_model": SAFE,
        "requests_per_month": REQUESTS_PER_MONTH,
        "constraints": {
            "p95_latency_ms": 220,
            "useful_rate": {"relative_to": "baseline", "margin": 0.01},
            "confidence": 0.95,
        },
    }
