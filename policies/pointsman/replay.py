"""Replay: what a policy would have cost, how useful and how late it would have been, where all outcomes are known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pointsman.decide import Beliefs, Facts, fallback_allowed
from pointsman.errors import TraceError
from pointsman.labels import OTHER_INTENT
from pointsman.outcomes import Outcomes
from pointsman.spec import AS_LOGGED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pointsman.policy import Policy

__all__ = [
    "COLUMNS",
    "ESTIMATED",
    "Served",
    "assigned_columns",
    "baseline_columns",
    "baselines",
    "facts_of",
    "quantile",
    "with_fallbacks",
]

Floats = NDArray[np.float64]

COLUMNS = ("useful", "cost_usd", "latency_ms", "hallucinated")
"""What an answer is measured by: the (n, m) arrays of `Outcomes`, the (n,) arrays of `Served`."""

ESTIMATED = ("late", "importance")
"""What is known besides where outcomes are estimated from logs; None where they are known."""

LEAST = 20
"""Weighted requests below which their P95 is the largest of them."""

ROUNDING = 1e-9
"""Shares and costs nearer to each other than this, relatively, differ by rounding only."""


@dataclass(frozen=True, eq=False)
class Served:
    """What n requests got.

    Attributes
    ----------
    useful, cost_usd, latency_ms, hallucinated : (n,) float64 array
        `hallucinated` is NaN where unknown.
    late : (n,) float64 array or None
        Estimated, where outcomes are estimated from logs: whether the answer is later than the limit. None where the
        latency itself is known.
    importance : (n,) float64 array or None
        With `late`: for how many requests the served answer itself stands, 0 where only a model speaks for it.
    weight : (n,) float64 array or None
        Rows of a mixture count by weight; None for one each. A mixture of p candidates holds all requests p times over,
        in the same order.
    """

    useful: Floats
    cost_usd: Floats
    latency_ms: Floats
    hallucinated: Floats
    weight: Floats | None = None
    late: Floats | None = None
    importance: Floats | None = None

    @classmethod
    def by(cls, outcomes: Outcomes, chosen: NDArray[np.intp]) -> Served:
        """Give each request its chosen candidate's outcome."""
        rows = np.arange(len(chosen))
        found = {name: getattr(outcomes, name) for name in (*COLUMNS, *ESTIMATED)}
        at: dict[str, Any] = {name: None if values is None else values[rows, chosen] for name, values in found.items()}
        return cls(**at)

    def take(self, at: Any) -> Served:
        """Return the requests of an index or mask; not of a mixture."""
        found = {name: getattr(self, name) for name in (*COLUMNS, *ESTIMATED)}
        parts: dict[str, Any] = {name: None if values is None else values[at] for name, values in found.items()}
        return Served(**parts)

    @classmethod
    def joined(cls, parts: Sequence[Served]) -> Served:
        """Put requests one after the other; not of mixtures."""
        names = COLUMNS if parts[0].late is None else (*COLUMNS, *ESTIMATED)
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    @property
    def requests(self) -> int:
        """Number of requests that the rows stand for, n."""
        return len(self.useful) if self.weight is None else round(float(self.weight.sum()))

    def latency_quantile(self, share: float) -> float | None:
        """Return a quantile of the latency, ms; estimated from logs by Hájek's weights, None where few have any."""
        if self.importance is None:
            return quantile(self.latency_ms, share, self.weight)
        weight = self.importance if self.weight is None else self.importance * self.weight
        seen = weight > 0
        return quantile(self.latency_ms[seen], share, weight[seen]) if int(seen.sum()) >= LEAST else None

    def summary(self, requests_per_month: float | None = None) -> dict[str, float | int | None]:
        """Return the metrics of the replay report; null where unknown.

        ``requests``, ``useful_rate`` and ``hallucination_rate`` (0..1), ``cost_usd`` (sum), ``cost_per_useful`` (USD),
        ``p50_ms``, ``p95_ms``, and ``cost_usd_per_month`` where the monthly traffic is known.
        """
        weight = np.ones(len(self.useful)) if self.weight is None else self.weight
        count, cost, useful = float(weight.sum()), float(weight @ self.cost_usd), float(weight @ self.useful)
        known = np.isfinite(self.hallucinated)
        hallucinated = float(weight[known] @ self.hallucinated[known] / weight[known].sum()) if known.any() else None
        return {
            "requests": self.requests,
            "useful_rate": useful / count,
            "cost_usd": cost,
            "cost_per_useful": cost / useful if useful > 0 else None,
            "p50_ms": self.latency_quantile(0.5),
            "p95_ms": self.latency_quantile(0.95),
            "hallucination_rate": hallucinated,
            "cost_usd_per_month": None if requests_per_month is None else cost / count * requests_per_month,
        }


def quantile(values: Floats, share: float, weight: Floats | None = None) -> float:
    """Return the smallest value with at least `share` of the weight at or below it.

    So P95 ≤ L if and only if at most 5 % are later than L.
    """
    if weight is None:
        position = min(max(int(np.ceil(share * len(values) * (1 - ROUNDING))) - 1, 0), len(values) - 1)
        return float(np.partition(values, position)[position])
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(reached, share * reached[-1] * (1 - ROUNDING))])


def facts_of(outcomes: Outcomes) -> Facts:
    """Return what a gateway would have known of each request beside its text."""
    chars = [len(prompt) for prompt in outcomes.prompt]
    return Facts.of(chars, outcomes.modality.astype(np.str_), outcomes.context_tokens)


def with_fallbacks(outcomes: Outcomes, beliefs: Beliefs, facts: Facts, policy: Policy) -> Outcomes:
    """Return the outcomes each first choice would have had with the policy's fallbacks behind it.

    A chain costs and lasts what its attempts cost and last, timeouts included; it is as useful as its last attempt. A
    fallback whose outcome is not known is passed over. Columns are reordered to the policy's candidates.
    """
    single = outcomes.reorder(policy.models)
    if not policy.fallbacks or not (single.failure != "").any():
        return single
    allowed, answered = fallback_allowed(beliefs, facts, policy), single.answered
    chained = {name: getattr(single, name).copy() for name in (*COLUMNS, "failure")}
    for first in range(len(policy.models)):
        failure, spent_ms = chained["failure"][:, first], chained["latency_ms"][:, first]
        tried = np.zeros(answered.shape, dtype=np.bool_)
        tried[:, first] = True
        for entry, may in zip(policy.fallbacks, allowed, strict=True):
            column = policy.models.index(entry.model)
            at = (
                may & answered[:, column] & ~tried[:, column] & np.isin(failure, entry.failures or ("timeout", "error"))
            )
            if entry.cost_threshold_ms is not None:
                at &= spent_ms < entry.cost_threshold_ms
            tried[at, column] = True
            for name in ("cost_usd", "latency_ms"):
                chained[name][at, first] += getattr(single, name)[at, column]
            for name in ("useful", "hallucinated", "failure"):
                chained[name][at, first] = getattr(single, name)[at, column]
    return Outcomes(**{**vars(single), **chained})


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
                f"baseline as_logged needs chosen=true on one row of each request; {unknown} of {len(outcomes)} "
                "requests have none: mark them, or name a model as the baseline"
            )
        return outcomes.logged
    return np.full(len(outcomes), outcomes.models.index(baseline), dtype=np.intp)


def assigned_columns(
    outcomes: Outcomes, intent: NDArray[np.object_], assignment: Mapping[str, str], default: str
) -> NDArray[np.intp]:
    """Return the columns of a content-blind assignment, (n,).

    An intent that the assignment does not name goes where it sends ``other``; an unlabelled request ("") and, without
    an ``other``, an unnamed intent go to the default.
    """
    other = assignment.get(OTHER_INTENT, default)
    models = [assignment.get(name, other) if name else default for name in intent]
    return np.array([outcomes.models.index(model) for model in models], dtype=np.intp)


def baselines(
    outcomes: Outcomes,
    after: Served,
    intents: NDArray[np.object_],
    assignment: Mapping[str, str],
    default: str,
    serve: Callable[[Outcomes, NDArray[np.intp]], Served] = Served.by,
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
    serve : callable, optional
        Gives what the requests get from their candidates, where that depends on all of them (queues); the mixture of
        ``random_same_cost`` never does.

    Returns
    -------
    dict
        ``always:MODEL`` for each candidate, ``random_same_cost``, ``best_per_intent`` (None where no request has a
        labelled intent or nothing was assigned), ``oracle``.
    """
    found: dict[str, Served | None] = {
        f"always:{model}": serve(outcomes, np.full(len(outcomes), at, dtype=np.intp))
        for at, model in enumerate(outcomes.models)
    }
    found["random_same_cost"] = _random_same_cost(outcomes, float(after.cost_usd.mean()))
    known = any(name in assignment or (name and OTHER_INTENT in assignment) for name in intents)
    by_intent = assigned_columns(outcomes, intents, assignment, default)
    found["best_per_intent"] = serve(outcomes, by_intent) if known else None
    # Whoever knew the outcomes would also know the errors of their estimates.
    found["oracle"] = serve(outcomes, _oracle(outcomes)) if outcomes.late is None else None
    return found


def _always(outcomes: Outcomes, column: int) -> Served:
    return Served.by(outcomes, np.full(len(outcomes), column, dtype=np.intp))


def _oracle(outcomes: Outcomes) -> NDArray[np.intp]:
    """Return the cheapest candidate among the most useful ones of each request, in hindsight."""
    best = outcomes.useful >= outcomes.useful.max(axis=1, keepdims=True) - ROUNDING
    return np.asarray(np.where(best, outcomes.cost_usd, np.inf).argmin(axis=1), dtype=np.intp)


def _random_same_cost(outcomes: Outcomes, cost: float) -> Served:
    """Mix two candidates at random so that the mean cost is `cost` and usefulness is as large as it can be, exactly.

    Below the cheapest candidate it is that one; above the dearest (fallbacks cost extra), the most useful one.
    """
    costs, useful = outcomes.cost_usd.mean(axis=0), outcomes.useful.mean(axis=0)
    room = ROUNDING * float(costs.max())
    if cost < costs.min() - room:
        return _always(outcomes, int(costs.argmin()))
    if cost > costs.max() + room:
        return _always(outcomes, int(useful.argmax()))
    cost = float(np.clip(cost, costs.min(), costs.max()))
    mixtures = []
    for low, high in np.argwhere((costs[:, None] <= cost) & (cost <= costs[None, :])):
        gap = costs[high] - costs[low]
        share = float((costs[high] - cost) / gap) if gap > 0 else 1.0
        mixtures.append((share * useful[low] + (1 - share) * useful[high], int(low), int(high), share))
    _, low, high, share = max(mixtures)
    return _mixture(outcomes, low, high, share)


def _mixture(outcomes: Outcomes, low: int, high: int, share: float) -> Served:
    """Send a share of every request to one candidate and the rest to another."""
    if share in {0.0, 1.0} or low == high:
        return _always(outcomes, high if share == 0.0 else low)
    first, second = _always(outcomes, low), _always(outcomes, high)
    return replace(Served.joined((first, second)), weight=np.repeat([share, 1 - share], len(outcomes)))
