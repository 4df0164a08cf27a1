"""Replay: what a policy would have cost, how useful and how late it would have been, on requests whose outcomes are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointsman.decide import Beliefs, Facts, fallback_allowed
from pointsman.errors import TraceError
from pointsman.outcomes import Outcomes
from pointsman.policy import Policy
from pointsman.spec import AS_LOGGED

__all__ = ["Served", "baseline_columns", "baselines", "facts_of", "assigned_columns", "quantile", "with_fallbacks"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Served:
    """What n requests got.

    Attributes
    ----------
    useful, cost_usd, latency_ms, hallucinated : (n,) float64 array
        `hallucinated` is NaN where unknown.
    weight : (n,) float64 array or None
        Rows of a mixture count by weight; None for one each.
    """

    useful: Floats
    cost_usd: Floats
    latency_ms: Floats
    hallucinated: Floats
    weight: Floats | None = None

    @classmethod
    def by(cls, outcomes: Outcomes, chosen: NDArray[np.intp]) -> Served:
        """Give each request its chosen candidate's outcome."""
        rows = np.arange(len(chosen))
        return cls(*(getattr(outcomes, name)[rows, chosen] for name in ("useful", "cost_usd", "latency_ms", "hallucinated")))

    @property
    def requests(self) -> int:
        """Number of requests that the rows stand for, n."""
        return len(self.useful) if self.weight is None else round(float(self.weight.sum()))

    def summary(self, requests_per_month: float | None = None) -> dict[str, float | int | None]:
        """Return the metrics of the replay report; null where unknown.

        ``requests``, ``useful_rate`` and ``hallucination_rate`` (0..1), ``cost_usd`` (sum), ``cost_per_useful`` (USD),
        ``p50_ms``, ``p95_ms``, and ``cost_usd_per_month`` where the monthly traffic is known.
        """
        weight = np.ones(len(self.useful)) if self.weight is None else self.weight
        count, cost, useful = weight.sum(), float(weight @ self.cost_usd), float(weight @ self.useful)
        known = np.isfinite(self.hallucinated)
        hallucinated = float(weight[known] @ self.hallucinated[known] / weight[known].sum()) if known.any() else None
        month = None if requests_per_month is None else cost / count * requests_per_month
        return {
            "requests": self.requests,
            "useful_rate": useful / count,
            "cost_usd": cost,
            "cost_per_useful": cost / useful if useful > 0 else None,
            "p50_ms": quantile(self.latency_ms, 0.5, self.weight),
            "p95_ms": quantile(self.latency_ms, 0.95, self.weight),
            "hallucination_rate": hallucinated,
            "cost_usd_per_month": month,
        }


def quantile(values: Floats, share: float, weight: Floats | None = None) -> float:
    """Return the smallest value with at least `share` of the weight at or below it: P95 ≤ L iff at most 5 % are later."""
    if weight is None:
        position = min(max(int(np.ceil(share * len(values) - 1e-9)) - 1, 0), len(values) - 1)
        return float(np.partition(values, position)[position])
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(reached, share * reached[-1] - 1e-9)])


def facts_of(outcomes: Outcomes) -> Facts:
    """Return what a gateway would have known of each request beside its text."""
    chars = [len(prompt) for prompt in outcomes.prompt]
    return Facts.of(chars, outcomes.modality.astype(np.str_), outcomes.context_tokens)


def with_fallbacks(outcomes: Outcomes, beliefs: Beliefs, facts: Facts, policy: Policy) -> Outcomes:
    """Return the outcomes each first choice would have had with the policy's fallbacks behind it.

    A chain costs and lasts what its attempts cost and last, timeouts included; it is as useful as its last attempt.
    Columns are reordered to the policy's candidates.
    """
    single = outcomes.reorder(policy.models)
    if not policy.fallbacks or not (single.failure != "").any():
        return single
    allowed = fallback_allowed(beliefs, facts, policy)
    parts = {name: getattr(single, name).copy() for name in ("useful", "cost_usd", "latency_ms", "hallucinated", "failure")}
    for first in range(len(policy.models)):
        tried = {first}
        for row, fallback in enumerate(policy.fallbacks):
            column = policy.models.index(fallback.model)
            if column in tried:
                continue
            tried.add(column)
            failure = parts["failure"][:, first]
            fits = np.isin(failure, fallback.failures or ("timeout", "error"))
            at = fits & allowed[row] & single.answered[:, column]
            if fallback.cost_threshold_ms is not None:
                at &= parts["latency_ms"][:, first] < fallback.cost_threshold_ms
            for name in ("cost_usd", "latency_ms"):
                parts[name][at, first] += getattr(single, name)[at, column]
            for name in ("useful", "hallucinated", "failure"):
                parts[name][at, first] = getattr(single, name)[at, column]
    return Outcomes(**{**vars(single), **parts})


def baseline_columns(outcomes: Outcomes, baseline: str) -> NDArray[np.intp]:
    """Return the candidate that production served each request with, (n,).

    Raises
    ------
    TraceError
        Where the baseline is ``as_logged`` and a request has no chosen row.
    """
    if baseline == AS_LOGGED:
        unknown = int((outcomes.logged < 0).sum())
        if unknown:
            raise TraceError(
                f"baseline as_logged needs chosen=true on one row of each request; {unknown} of {len(outcomes)} requests "
                "have none: mark them, or name a model as the baseline"
            )
        return outcomes.logged
    return np.full(len(outcomes), outcomes.models.index(baseline), dtype=np.intp)


def assigned_columns(
    outcomes: Outcomes, intent: NDArray[np.object_], assignment: Mapping[str, str], default: str
) -> NDArray[np.intp]:
    """Return the columns of a content-blind assignment: each intent's candidate, the default where there is none."""
    return np.array([outcomes.models.index(assignment.get(name, default)) for name in intent], dtype=np.intp)


def baselines(
    outcomes: Outcomes, after: Served, intents: NDArray[np.object_], assignment: Mapping[str, str], default: str
) -> dict[str, Served | None]:
    """Return what the content-blind baselines and the oracle would have got on the same requests.

    Parameters
    ----------
    outcomes : Outcomes
        With every candidate's outcome known.
    after : Served
        The policy's: ``random_same_cost`` spends as much.
    intents : (n,) object array
        Labelled intents, "" where unknown.
    assignment : mapping of str to str
        ``best_per_intent``, as chosen on the slice that tuned the policy.
    default : str
        The candidate of an unlabelled intent.
    """
    columns: dict[str, Served | None] = {
        f"always:{model}": Served.by(outcomes, np.full(len(outcomes), index, dtype=np.intp))
        for index, model in enumerate(outcomes.models)
    }
    known = assignment and any(intents)
    columns["random_same_cost"] = _random_same_cost(outcomes, float(after.cost_usd.mean()))
    columns["best_per_intent"] = Served.by(outcomes, assigned_columns(outcomes, intents, assignment, default)) if known else None
    columns["oracle"] = Served.by(outcomes, _oracle(outcomes))
    return columns


def _oracle(outcomes: Outcomes) -> NDArray[np.intp]:
    """Return the cheapest candidate among the most useful ones of each request, in hindsight."""
    best = outcomes.useful >= outcomes.useful.max(axis=1, keepdims=True) - 1e-12
    return np.where(best, outcomes.cost_usd, np.inf).argmin(axis=1)


def _random_same_cost(outcomes: Outcomes, cost: float) -> Served:
    """Mix two candidates at random so that the mean cost is `cost` and usefulness is as large as it can be, exactly."""
    costs, useful = outcomes.cost_usd.mean(axis=0), outcomes.useful.mean(axis=0)
    best: tuple[float, int, int, float] = (-1.0, int(costs.argmin()), int(costs.argmin()), 1.0)
    for low in range(len(costs)):
        for high in range(len(costs)):
            if costs[low] <= cost <= costs[high]:
                share = 0.0 if costs[high] == costs[low] else (costs[high] - cost) / (costs[high] - costs[low])
                best = max(best, (share * useful[low] + (1 - share) * useful[high], low, high, share))
    if best[0] < 0 and cost > costs.max():  # dearer than any candidate: the most useful one
        best = (0.0, int(useful.argmax()), int(useful.argmax()), 1.0)
    return _mixture(outcomes, {best[1]: best[3], best[2]: 1 - best[3]} if best[1] != best[2] else {best[1]: 1.0})


def _mixture(outcomes: Outcomes, shares: Mapping[int, float]) -> Served:
    parts: Sequence[Served] = [Served.by(outcomes, np.full(len(outcomes), column, dtype=np.intp)) for column in shares]
    weight = np.concatenate([np.full(len(outcomes), share) for share in shares.values()])
    fields: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _FIELDS}
    return Served(**fields, weight=weight)


_FIELDS = ("useful", "cost_usd", "latency_ms", "hallucinated")
