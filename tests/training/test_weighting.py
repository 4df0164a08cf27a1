"""Weights of logged answers undo what production's choice did to averages, within a limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pointsman.outcomes import Outcomes
from pointsman.weighting import MOST, logged_weights


def logged(n: int = 4000, *, told: bool = True, seed: int = 0) -> tuple[Outcomes, Any]:
    """Return a log in which hard requests mostly go to b, and a is useful to the easy ones only."""
    generator = np.random.default_rng(seed)
    hard = generator.random(n) < 0.5
    to_b = np.where(hard, 0.9, 0.2)
    chosen = (generator.random(n) < to_b).astype(np.intp)
    everything = np.stack([~hard, np.ones(n, dtype=bool)], axis=1).astype(float)
    useful = np.full((n, 2), np.nan)
    useful[np.arange(n), chosen] = everything[np.arange(n), chosen]
    words, rows = np.array([f"request {index}" for index in range(n)], dtype=object), np.full((n, 2), np.nan)
    outcomes = Outcomes(
        request_id=words,
        prompt=words,
        intent=np.where(hard, "hard", "easy").astype(object),
        modality=np.full(n, "text", dtype=object),
        timestamp=np.arange(n).astype("datetime64[us]"),
        context_tokens=np.zeros(n, dtype=np.int64),
        models=("a", "b"),
        useful=useful,
        cost_usd=np.where(np.isfinite(useful), 1.0, np.nan),
        latency_ms=np.where(np.isfinite(useful), 1.0, np.nan),
        hallucinated=rows,
        output_tokens=rows,
        failure=np.full((n, 2), "", dtype=object),
        logged=chosen,
        propensity=np.where(chosen == 1, to_b, 1 - to_b) if told else np.full(n, np.nan),
    )
    return outcomes, everything


@pytest.mark.parametrize("told", [True, False])
def test_the_average_of_all_requests_is_recovered(told: bool) -> None:
    outcomes, everything = logged(told=told)
    weights = logged_weights(outcomes)
    seen = np.isfinite(outcomes.useful)
    for column in (0, 1):
        at = seen[:, column]
        plain = outcomes.useful[at, column].mean()
        own = np.average(outcomes.useful[at, column], weights=weights[at, column])
        truth = everything[:, column].mean()
        assert abs(own - truth) <= 0.03
        assert column == 1 or abs(plain - truth) > 0.3
        assert weights[at, column].mean() == pytest.approx(1)


def test_requests_with_every_outcome_weigh_one_and_no_weight_is_beyond_the_limit() -> None:
    outcomes, everything = logged(400)
    outcomes.useful[:50] = everything[:50]
    outcomes.propensity.setflags(write=True)
    outcomes.propensity[60] = 1e-9
    weights = logged_weights(outcomes)
    assert (weights[:50] == 1).all()
    served = weights[np.arange(50, 400), outcomes.logged[50:]]
    assert served.max() <= MOST * np.median(served) * 3
