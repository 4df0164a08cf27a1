"""What a fit or a replay needs of traces and spec, checked before any work starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pointsman.costs import RATES, Price
from pointsman.errors import SpecError, TraceError
from pointsman.estimated import usable
from pointsman.outcomes import Outcomes, outcomes_of, request_hashes
from pointsman.policy import MODALITIES
from pointsman.slices import MIN_REQUESTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pointsman.spec import RoutingSpec
    from pointsman.traces import TraceTable

__all__ = ["check_names", "known_outcomes", "own_prices", "unseen"]


def known_outcomes(traces: TraceTable, spec: RoutingSpec, at_least: int = MIN_REQUESTS) -> Outcomes:
    """Return the outcomes of the spec's candidates.

    Raises
    ------
    TraceError
        Where fewer than `at_least` requests have the outcome of every candidate, or of the one that production served
        them with, or see `outcomes_of`.
    SpecError
        Where a constraint needs a column that the traces do not have.
    """
    prices = own_prices(spec)
    timeouts = {name: one.timeout_ms for name, one in spec.candidates.items() if one.timeout_ms is not None}
    outcomes = outcomes_of(traces.rows, prices, timeouts)
    if not np.isfinite(outcomes.useful).any():
        raise TraceError("column useful is missing or empty: without it there is nothing to learn; 0..1 is allowed")
    enough = int(usable(outcomes).sum())
    if enough < at_least:
        raise TraceError(
            f"{enough} of {len(outcomes)} requests have the outcome (useful, cost, latency_ms) of all "
            f"{len(outcomes.models)} candidates, or of the one marked chosen; at least {at_least} are needed: replay "
            "more requests against them, or log more"
        )
    if spec.constraints.hallucination_rate is not None and not np.isfinite(outcomes.hallucinated).any():
        raise SpecError("constraints.hallucination_rate is set, but the traces have no column hallucinated")
    return outcomes


def own_prices(spec: RoutingSpec) -> dict[str, Price]:
    """Return the prices of the spec's candidates; a rate that is not given is None."""
    return {name: Price(*(getattr(one, rate) for rate in RATES)) for name, one in spec.candidates.items()}


def check_names(spec: RoutingSpec, intents: Sequence[str]) -> None:
    """Raise SpecError where a rule or a fallback names an intent or a condition that does not exist."""
    for name in spec.rules.intents:
        if name not in intents:
            raise SpecError(f"rules.intents names {name!r}, which the traces do not; allowed: {', '.join(intents)}")
    conditions = {*intents, *MODALITIES, "long_context", "timeout", "error"}
    for index, fallback in enumerate(spec.fallbacks or []):
        for word in fallback.when:
            if word not in conditions:
                allowed = ", ".join(sorted(conditions))
                raise SpecError(f"fallbacks.{index}.when has {word!r}, no intent and no condition; allowed: {allowed}")


def unseen(outcomes: Outcomes, seen: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return, (n,), which requests did not take part in the fit of a bundle."""
    return ~np.isin(request_hashes(outcomes), seen)
