"""What one call of each replayed request does at each model: how long, how it ends, what it costs, what it is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pointsman.errors import TraceError
from pointsman.load.latency import LatencyModel, fit_latency, under_way
from pointsman.replay import facts_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pointsman.load.arrivals import Arrivals
    from pointsman.outcomes import Outcomes
    from pointsman.policy import Candidate

    Floats = NDArray[np.float64]

__all__ = ["ERROR", "OK", "TIMEOUT", "Calls", "calls_of", "latency_models", "with_lengths"]

OK, TIMEOUT, ERROR = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Calls:
    """Calls of c requests at m models.

    Attributes
    ----------
    service_ms : (c, m) float64 array
        How long the call occupies a place, alone at the model.
    first_share : (c, m) float64 array
        Share of that until the first token.
    ends : (c, m) int8 array
        OK, TIMEOUT or ERROR.
    cost_usd, useful, hallucinated : (c, m) float64 array
    again_service_ms, again_cost_usd, again_useful, again_hallucinated : (c, m) float64 array
        Where the model is asked a second time and answers: as the first time where that was answered, else what is
        expected of it for the intent.
    error_rate : (m,) float64 array
        With this chance a second call fails.
    """

    service_ms: Floats
    first_share: Floats
    ends: NDArray[np.int8]
    cost_usd: Floats
    useful: Floats
    hallucinated: Floats
    again_service_ms: Floats
    again_cost_usd: Floats
    again_useful: Floats
    again_hallucinated: Floats
    error_rate: Floats

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.service_ms)


def calls_of(outcomes: Outcomes, latency: Sequence[LatencyModel]) -> Calls:
    """Read the calls off outcomes that are all known.

    Parameters
    ----------
    outcomes : Outcomes
        c requests at m candidates, complete.
    latency : sequence of LatencyModel
        Of each candidate: tells when the first token comes, and how long a call takes that failed in the traces.
    """
    read = facts_of(outcomes).tokens.astype(np.float64)[:, None]
    written = _filled(outcomes.output_tokens, outcomes)
    ends = np.select([outcomes.failure == "timeout", outcomes.failure == "error"], [TIMEOUT, ERROR], OK).astype(np.int8)
    answered = ends == OK
    fitted = np.column_stack([one.latency_ms(read[:, 0], written[:, j]) for j, one in enumerate(latency)])
    first = np.column_stack([one.first_token_ms(read[:, 0]) for one in latency])
    share = np.where(fitted > 0, first / np.maximum(fitted, 1e-9), 1.0)
    again = {
        name: np.where(answered, getattr(outcomes, name), _expected(getattr(outcomes, name), answered, outcomes))
        for name in ("cost_usd", "useful", "hallucinated")
    }
    return Calls(
        service_ms=outcomes.latency_ms.copy(),
        first_share=share,
        ends=ends,
        cost_usd=outcomes.cost_usd.copy(),
        useful=outcomes.useful.copy(),
        hallucinated=outcomes.hallucinated.copy(),
        again_service_ms=np.where(answered, outcomes.latency_ms, fitted),
        again_cost_usd=again["cost_usd"],
        again_useful=again["useful"],
        again_hallucinated=again["hallucinated"],
        error_rate=(ends == ERROR).mean(axis=0),
    )


def with_lengths(
    calls: Calls,
    body: NDArray[np.intp],
    arrivals: Arrivals,
    outcomes: Outcomes,
    latency: Sequence[LatencyModel],
    candidates: Sequence[Candidate],
) -> Calls:
    """Return one row of calls an arrival, as long as the trace says: latency and cost follow the trace's tokens.

    A model whose answers are longer than the mean keeps that ratio. Each call keeps its residual (measured over
    fitted); cost is priced from tokens where the candidate has prices, what is around it included as it was.

    Parameters
    ----------
    calls : Calls
        Of the outcomes.
    body : (n,) intp array
        Which request each arrival stands for.
    arrivals : Arrivals
        With lengths.
    outcomes : Outcomes
    latency : sequence of LatencyModel
    candidates : sequence of Candidate
    """
    if arrivals.input_tokens is None or arrivals.output_tokens is None:
        raise TraceError(f"arrivals {arrivals.name}: they tell no lengths")
    own_read = facts_of(outcomes).tokens.astype(np.float64)
    own_written = _filled(outcomes.output_tokens, outcomes)
    wordy = own_written.mean(axis=0) / max(float(own_written.mean()), 1e-9)
    read, written = arrivals.input_tokens, arrivals.output_tokens[:, None] * wordy
    scale, extra = np.ones((len(body), len(latency))), np.zeros((len(body), len(latency)))
    for j, (one, candidate) in enumerate(zip(latency, candidates, strict=True)):
        was = one.latency_ms(own_read, own_written[:, j])[body]
        scale[:, j] = one.latency_ms(read, written[:, j]) / np.maximum(was, 1e-9)
        if candidate.input_usd_per_mtok is not None and candidate.output_usd_per_mtok is not None:
            more = (read - own_read[body]) * candidate.input_usd_per_mtok
            more = more + (written[:, j] - own_written[body, j]) * candidate.output_usd_per_mtok
            extra[:, j] = more / 1e6
    shares = np.column_stack(
        [
            one.first_token_ms(read) / np.maximum(one.latency_ms(read, written[:, j]), 1e-9)
            for j, one in enumerate(latency)
        ]
    )
    return Calls(
        service_ms=calls.service_ms[body] * scale,
        first_share=shares,
        ends=calls.ends[body],
        cost_usd=np.maximum(calls.cost_usd[body] + extra, 0.0),
        useful=calls.useful[body],
        hallucinated=calls.hallucinated[body],
        again_service_ms=calls.again_service_ms[body] * scale,
        again_cost_usd=np.maximum(calls.again_cost_usd[body] + extra, 0.0),
        again_useful=calls.again_useful[body],
        again_hallucinated=calls.again_hallucinated[body],
        error_rate=calls.error_rate,
    )


def latency_models(
    outcomes: Outcomes,
    given: Mapping[str, LatencyModel],
    places: NDArray[np.int64],
    first_token_ms: Floats | None = None,
) -> tuple[LatencyModel, ...]:
    """Return each candidate's latency model: as given, else fitted on its answers in the traces.

    How latency grows with concurrency is read off the requests that production served there (`Outcomes.logged`) and
    their own timestamps: what was under way at that moment over the model's places.

    Parameters
    ----------
    outcomes : Outcomes
        c requests at m candidates, by time.
    given : mapping of str to LatencyModel
    places : (m,) int64 array
        0 for no limit: then concurrency is not fitted.
    first_token_ms : (c, m) float64 array, optional
    """
    read = facts_of(outcomes).tokens.astype(np.float64)
    time = (outcomes.timestamp - outcomes.timestamp.min()) / np.timedelta64(1, "s")
    found = []
    for j, model in enumerate(outcomes.models):
        if model in given:
            found.append(given[model])
            continue
        answered = outcomes.failure[:, j] == ""
        latency = np.where(answered, outcomes.latency_ms[:, j], np.nan)
        taken = None
        served = (outcomes.logged == j) & np.isfinite(outcomes.latency_ms[:, j])
        if places[j] > 0 and served.sum() > 1:
            taken = np.full(len(outcomes), np.nan)
            taken[served] = under_way(time[served], outcomes.latency_ms[served, j] / 1000) / places[j]
        errors = float((outcomes.failure[:, j] == "error").mean())
        first = None if first_token_ms is None else first_token_ms[:, j]
        found.append(fit_latency(read, outcomes.output_tokens[:, j], latency, first, taken, errors))
    return tuple(found)


def _filled(values: Floats, outcomes: Outcomes) -> Floats:
    """Return a table with the intent's mean where a value is unknown; 0 where nothing is known of the model."""
    return _expected(values, np.isfinite(values), outcomes, keep=True)


def _expected(values: Floats, known: NDArray[np.bool_], outcomes: Outcomes, *, keep: bool = False) -> Floats:
    """Return each intent's mean of what is known at each model, (c, m); the model's own where the intent has none."""
    known = known & np.isfinite(values)
    filled = np.where(known, values, 0.0)
    count = known.sum(axis=0)
    overall = np.where(count > 0, filled.sum(axis=0) / np.maximum(count, 1), np.nan)
    out = np.broadcast_to(overall, values.shape).copy()
    for intent in np.unique(outcomes.intent.astype(str)):
        rows = outcomes.intent.astype(str) == intent
        here = known[rows].sum(axis=0)
        mean = filled[rows].sum(axis=0) / np.maximum(here, 1)
        out[np.ix_(rows, here > 0)] = mean[here > 0]
    if keep:
        out = np.where(known, values, np.nan_to_num(out, nan=0.0))
    return out
