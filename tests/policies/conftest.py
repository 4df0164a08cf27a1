"""Small outcomes, beliefs and policies, written as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pointsman.decide import Beliefs
from pointsman.outcomes import Outcomes
from pointsman.policy import Candidate, Expected, Fallback, Policy
from pointsman.replay import Served
from pointsman.rules import Rule, ValueRule
from pointsman.spec import RoutingSpec, parse_spec

if TYPE_CHECKING:
    from collections.abc import Callable


def outcomes_table(
    useful: Any,
    cost_usd: Any = 1.0,
    latency_ms: Any = 100.0,
    hallucinated: Any = np.nan,
    output_tokens: Any = np.nan,
    failure: Any = "",
    intent: Any = "",
    logged: Any = -1,
    models: tuple[str, ...] | None = None,
) -> Outcomes:
    """Write outcomes as tables, one request a row and one candidate a column; what is not a table holds for all."""
    table = np.asarray(useful, dtype=np.float64)
    n, m = table.shape

    def spread(value: Any, dtype: Any, shape: tuple[int, ...]) -> Any:
        return np.broadcast_to(np.asarray(value, dtype=dtype), shape).copy()

    return Outcomes(
        request_id=np.array([f"r{index}" for index in range(n)], dtype=object),
        prompt=np.array(["write a line"] * n, dtype=object),
        intent=spread(intent, object, (n,)),
        modality=np.array(["text"] * n, dtype=object),
        timestamp=np.arange(n).astype("datetime64[us]"),
        context_tokens=np.zeros(n, dtype=np.int64),
        models=models or tuple("abcdefgh"[:m]),
        useful=table,
        cost_usd=spread(cost_usd, np.float64, (n, m)),
        latency_ms=spread(latency_ms, np.float64, (n, m)),
        hallucinated=spread(hallucinated, np.float64, (n, m)),
        output_tokens=spread(output_tokens, np.float64, (n, m)),
        failure=spread(failure, object, (n, m)),
        logged=spread(logged, np.intp, (n,)),
    )


def served_rows(
    useful: Any, cost_usd: Any = 1.0, latency_ms: Any = 100.0, hallucinated: Any = np.nan, weight: Any = None
) -> Served:
    """Write down what each request got; what is no list holds for all."""
    rows = np.asarray(useful, dtype=np.float64)

    def spread(value: Any) -> Any:
        return np.broadcast_to(np.asarray(value, dtype=np.float64), rows.shape).copy()

    weights = None if weight is None else spread(weight)
    return Served(rows, spread(cost_usd), spread(latency_ms), spread(hallucinated), weights)


def beliefs_table(intent: Any, query_useful: Any, intent_useful: Any, cost_usd: Any, late: Any = 0.0) -> Beliefs:
    """Write beliefs as tables, one candidate a row and one request a column."""
    shape = np.asarray(query_useful).shape

    def spread(value: Any) -> Any:
        return np.broadcast_to(np.asarray(value, dtype=np.float32), shape).copy()

    return Beliefs(
        intent=np.asarray(intent, dtype=np.intp),
        query_useful=spread(query_useful),
        intent_useful=spread(intent_useful),
        cost_usd=spread(cost_usd),
        late=spread(late),
        eligible=np.ones(shape, dtype=np.bool_),
        confidence=np.ones(shape[1], dtype=np.float32),
        models=tuple("abcdefgh"[: shape[0]]),
        intents=tuple(f"intent {code}" for code in range(int(np.max(intent, initial=0)) + 1)),
    )


def small_policy(
    models: tuple[str, ...] = ("a", "b"),
    intents: tuple[str, ...] = ("chat",),
    fallbacks: tuple[Fallback, ...] = (),
    rule: Rule | None = None,
    evidence: Any = None,
    **tables: Any,
) -> Policy:
    """Write a policy whose tables are flat unless given."""
    shape = (len(intents), len(models))
    flat = {"useful": 0.5, "cost_usd": 0.01, "late": 0.0, **tables}
    useful, cost_usd, late = (np.broadcast_to(np.asarray(value, float), shape) for value in flat.values())
    return Policy(
        intents=intents,
        candidates=tuple(Candidate(name) for name in models),
        rule=rule or ValueRule(1.0, 1.0),
        expected=Expected(useful, cost_usd, late),
        safe_model=models[0],
        fallbacks=fallbacks,
        evidence=evidence or {},
    )


def small_spec(models: tuple[str, ...] = ("a", "b"), constraints: Any = None, **keys: Any) -> RoutingSpec:
    """Write a spec with these candidates and constraints."""
    document = {"candidates": {name: {} for name in models}, "safe_model": models[0], **keys}
    return parse_spec({**document, "constraints": constraints or {}})


@pytest.fixture(scope="session")
def make_outcomes() -> Callable[..., Outcomes]:
    return outcomes_table


@pytest.fixture(scope="session")
def make_served() -> Callable[..., Served]:
    return served_rows


@pytest.fixture(scope="session")
def make_beliefs() -> Callable[..., Beliefs]:
    return beliefs_table


@pytest.fixture(scope="session")
def make_policy() -> Callable[..., Policy]:
    return small_policy


@pytest.fixture(scope="session")
def make_spec() -> Callable[..., RoutingSpec]:
    return small_spec
