"""The embedded sample week: seven days of an invented search assistant, every request replayed on every candidate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from pointsman.sample_week.change import NEW_INTENT, Change, new_prompt, reworded
from pointsman.sample_week.clock import DAYS, arrivals
from pointsman.sample_week.outcomes import Outcomes, Requests, replay
from pointsman.sample_week.prompts import write_prompt
from pointsman.sample_week.world import CANDIDATES, INTENT_WORLD, PRODUCTION, REQUESTS_PER_MONTH, SAFE

__all__ = ["Change", "SampleWeek", "sample_week"]

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


def sample_week(
    seed: int = 0, requests: int = 6000, change: Change | None = None, *, expected: bool = False
) -> SampleWeek:
    """Generate the sample week, or a later one that differs from it.

    Parameters
    ----------
    seed
        Same seed and size, same frame.
    requests
        Number of requests in the week, at least 1.
    change
        What is different in a later week.
    expected
        ``useful`` is each answer's chance to be useful, not one draw of it: the truth, with less noise.

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
    change = change or Change()
    rng = np.random.default_rng(seed)
    # What a change draws comes from elsewhere: without one, a week is as it always was.
    other = np.random.default_rng([seed, 1])
    arrived = arrivals(rng, requests)
    intent = _intents(rng, requests, change)
    mean = np.array([INTENT_WORLD[str(name)].difficulty for name in intent])
    visible = rng.beta(mean * _CONCENTRATION, (1.0 - mean) * _CONCENTRATION)
    hidden = rng.beta(mean * _CONCENTRATION, (1.0 - mean) * _CONCENTRATION)
    prompts = [write_prompt(rng, str(name), float(hardness)) for name, hardness in zip(intent, visible, strict=True)]
    image = rng.random(requests) < np.array([_PICTURED.get(str(name), 0.0) for name in intent])
    if change.new_intent:
        fresh = other.random(requests) < change.new_intent
        intent = np.where(fresh, NEW_INTENT, intent.astype("<U40"))
        prompts = [new_prompt(other) if new else text for new, text in zip(fresh, prompts, strict=True)]
        image &= ~fresh
    if change.wording:
        through = other.random(requests) < change.wording
        prompts = [reworded(other, text) if new else text for new, text in zip(through, prompts, strict=True)]
    lengths = np.array([len(prompt) for prompt in prompts])
    asked = Requests(
        intent=intent,
        load=arrived.load,
        difficulty=_VISIBLE * visible + (1.0 - _VISIBLE) * hidden,
        prompt_tokens=np.maximum(np.ceil(lengths / _CHARACTERS_PER_TOKEN), 1).astype(np.int64),
        image=image,
    )
    outcomes = replay(rng, asked, change.of_candidates("skill", 0.0), change.of_candidates("slower", 1.0))
    if expected:
        outcomes = replace(outcomes, useful=outcomes.chance)
    when = arrived.timestamps + np.timedelta64(DAYS * change.weeks, "D")
    traces = _table(when, prompts, asked, _labelled(other, outcomes, change), change)
    labels = _intent_labels(other, intent, change)
    return SampleWeek(
        traces=traces.assign(intent=np.repeat(labels, len(CANDIDATES) - len(change.gone))), spec=_spec(change)
    )


def _intents(rng: np.random.Generator, count: int, change: Change) -> np.ndarray[Any, np.dtype[np.str_]]:
    """Return intents in random order, each as often as its share says."""
    shares = np.array([world.share * change.shares.get(name, 1.0) for name, world in INTENT_WORLD.items()])
    edges = np.cumsum(shares / shares.sum())
    place = np.searchsorted(edges, (np.arange(count) + rng.random()) / count, side="right")
    return rng.permutation(np.array(list(INTENT_WORLD))[np.minimum(place, len(edges) - 1)])


def _labelled(rng: np.random.Generator, outcomes: Outcomes, change: Change) -> Outcomes:
    """Return the outcomes at the week's prices and as they were labelled: some useless answers are praised."""
    cost = change.of_candidates("prices", 1.0)
    useful = outcomes.useful
    if change.praised:
        praised = rng.random(useful.shape) < change.of_candidates("praised", 0.0)
        useful = np.where(praised & (outcomes.status == "ok"), 1.0, useful)
    return replace(
        outcomes, useful=useful, cost_usd=outcomes.cost_usd * cost, retry_cost_usd=outcomes.retry_cost_usd * cost
    )


def _intent_labels(
    rng: np.random.Generator, intent: np.ndarray[Any, np.dtype[np.str_]], change: Change
) -> np.ndarray[Any, np.dtype[np.object_]]:
    """Return the labels of intents, some of them wrong, those of the new intent missing."""
    labels = intent.astype(object)
    if change.wrong_intents:
        names = np.array(list(INTENT_WORLD), dtype=object)
        wrong = rng.random(len(labels)) < change.wrong_intents
        labels[wrong] = names[rng.integers(len(names), size=int(wrong.sum()))]
    labels[intent == NEW_INTENT] = None
    return labels


def _table(
    timestamps: np.ndarray[Any, np.dtype[np.datetime64]],
    prompts: list[str],
    asked: Requests,
    outcomes: Outcomes,
    change: Change,
) -> pd.DataFrame:
    """Return the trace table: candidates of a request stand in consecutive rows."""
    count, models = outcomes.latency_ms.shape
    names = list(CANDIDATES)
    model = np.tile(np.array(names, dtype=object), count)
    chosen = model == PRODUCTION
    prefix = "week" if change.weeks == 0 else f"week{change.weeks + 1}"
    table = pd.DataFrame(
        {
            "request_id": np.repeat([f"{prefix}-{number:06d}" for number in range(1, count + 1)], models),
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
    return table if not change.gone else table[~table["model"].isin(change.gone)].reset_index(drop=True)


def _spec(change: Change) -> dict[str, Any]:
    """Return the routing spec that belongs to the week."""
    return {
        "candidates": {
            name: {
                "input_usd_per_mtok": candidate.input_usd_per_mtok * change.prices.get(name, 1.0),
                "output_usd_per_mtok": candidate.output_usd_per_mtok * change.prices.get(name, 1.0),
                "modalities": list(candidate.modalities),
                "context_window": candidate.context_window,
                "timeout_ms": candidate.timeout_ms,
                "concurrency": candidate.concurrency,
            }
            for name, candidate in CANDIDATES.items()
            if name not in change.gone
        },
        # One useless answer in 25 ends in a support contact of 5 USD.
        "objective": {"useless_response_usd": 0.2},
        "baseline": "as_logged",
        "safe_model": SAFE if SAFE not in change.gone else PRODUCTION,
        "requests_per_month": REQUESTS_PER_MONTH,
        "constraints": {
            "p95_latency_ms": 220,
            "useful_rate": {"relative_to": "baseline", "margin": 0.01},
            "confidence": 0.95,
        },
    }
