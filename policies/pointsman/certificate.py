"""Certificates: which of the policies found keeps every constraint, proven on requests that did not choose it.

Policies are ordered from careful to bold before their outcomes are looked at, and tested in that order until one fails:
each may be tested at the full level (fixed-sequence testing; Angelopoulos, Bates, Candès, Jordan and Lei 2021, «Learn
then test»). Every constraint of a policy must pass, so that a policy that breaks any of them passes with probability
1 − confidence at most. That holds for the truth; of the measured value of requests to come each policy is tested in the
same way, but for the one that is chosen the level is approximate (`tests/benchmarks/resplits.py` measures it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pointsman.bounds import (
    betting_rejects,
    betting_upper,
    mean_upper,
    next_share_upper,
    requests_needed,
    share_upper,
)
from pointsman.errors import TraceError
from pointsman.objective import Measure, measures
from pointsman.scores import score_bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointsman.replay import Served
    from pointsman.spec import RoutingSpec

__all__ = ["Certificate", "Promise", "Tested", "fixed_sequence", "promises"]

Groups = NDArray[np.intp] | None


@dataclass(frozen=True)
class Promise:
    """One constraint of one policy, tested.

    Attributes
    ----------
    name, unit : str
        As in `pointsman.objective.Check`.
    value : float
        What was measured.
    limit : float
        What it must not pass.
    bound : float
        What the truth does not pass, with the confidence.
    next_bound : float
        What the measured value of the coming requests does not pass, with the confidence.
    method : str
        How it was tested: ``binomial`` and ``betting`` are exact in finite samples, ``normal`` is not; ``by design``
        where nothing can be lost.
    requests_needed : int or None
        With how many requests the bound would keep the limit (power 80 %); None where no number would do.
    """

    name: str
    unit: str
    value: float
    limit: float
    bound: float
    next_bound: float
    method: str
    requests_needed: int | None

    @property
    def kept(self) -> bool:
        """Both bounds keep the limit."""
        return max(self.bound, self.next_bound) <= self.limit

    def to_dict(self) -> dict[str, Any]:
        """Return the promise as plain JSON values."""
        return {**vars(self), "kept": self.kept}


@dataclass(frozen=True)
class Tested:
    """One policy of the sequence.

    Attributes
    ----------
    distance : float
        How many standard errors it keeps from each limit on the requests that it was tuned on.
    cost_per_useful : float
        USD, on the requests of the certificate.
    passed : bool or None
        None where the sequence had ended before, or there is a doubt.
    doubt : str or None
        Why logged data cannot tell what the policy does, whatever its outcomes: it is passed over. None where they can,
        or where outcomes are known.
    """

    distance: float
    cost_per_useful: float
    passed: bool | None
    doubt: str | None = None


@dataclass(frozen=True)
class Certificate:
    """What the sequence proved.

    Attributes
    ----------
    method : str
        ``split`` (requests of a slice of their own) or ``cross_fitted`` (folds).
    requests, clusters : int
        Tested on; as many clusters as requests where each is one of its own.
    coming : int
        Requests over which the measured value must keep the limit too.
    confidence : float
    certified : bool
        A policy passed.
    chosen : int
        Position of the boldest policy that passed; of the most careful one where none did.
    promises : tuple of Promise
        Of the chosen policy.
    sequence : tuple of Tested
    """

    method: str
    requests: int
    clusters: int
    coming: int
    confidence: float
    certified: bool
    chosen: int
    promises: tuple[Promise, ...]
    sequence: tuple[Tested, ...]

    @property
    def more_requests(self) -> int | None:
        """How many more labelled requests would prove every constraint; None where no number would do."""
        needed = [promise.requests_needed for promise in self.promises if not promise.kept]
        if any(number is None for number in needed):
            return None
        return max([number for number in needed if number is not None], default=self.requests) - self.requests

    def to_dict(self) -> dict[str, Any]:
        """Return the certificate as plain JSON values."""
        return {
            **vars(self),
            "promises": [promise.to_dict() for promise in self.promises],
            "sequence": [vars(tested) for tested in self.sequence],
            "more_requests": None if self.certified else self.more_requests,
            "sentence": self.sentence(),
        }

    def sentence(self) -> str:
        """Say in one line what is proven, or what is missing."""
        how = "out of fold, and later ones" if self.method == "cross_fitted" else "later ones"
        on = f"on {self.requests:,} requests ({how}) with {100 * self.confidence:g} % confidence"
        untold = self.sequence[self.chosen].doubt
        if untold is not None:
            return f"no policy can be certified {on}: the logs cannot tell, for {untold}"
        if self.certified:
            kept = "; ".join(f"{one.unit} at most {one.bound:.4g}, allowed {one.limit:.4g}" for one in self.promises)
            spared = 1 - min(one.cost_per_useful for one in self.sequence) / self.sequence[self.chosen].cost_per_useful
            price = (
                f"; the cheapest rule in the sequence would spare another {spared:.1%}, unproven" if spared > 0 else ""
            )
            doubtful = sum(one.doubt is not None for one in self.sequence)
            price += f"; of {doubtful} rules in it the logs cannot tell" if doubtful else ""
            return f"certified {on}: {kept}{price}" if kept else "nothing to certify: the spec has no constraint"
        missed = [one for one in self.promises if not one.kept]
        worst = max(missed, key=lambda one: max(one.bound, one.next_bound) - one.limit)
        more = self.more_requests
        remedy = (
            "no number of requests would prove it, for the measured value is beyond the limit itself"
            if more is None
            else f"about {max(more, 1):,} more labelled requests would prove it"
        )
        return (
            f"no policy can be certified {on}: the nearest has {worst.unit} {worst.value:.4g}, at most "
            f"{max(worst.bound, worst.next_bound):.4g}, where {worst.name} allows {worst.limit:.4g}; {remedy}"
        )


def fixed_sequence(
    served: Sequence[Served],
    before: Served,
    spec: RoutingSpec,
    method: str,
    distances: Sequence[float],
    seed: int = 0,
    cluster: Groups = None,
    doubts: Sequence[str | None] | None = None,
) -> Certificate:
    """Test policies from careful to bold; the last before the first failure is certified.

    Parameters
    ----------
    served : sequence of Served
        What the n requests got by each policy, in the order of testing, which must not depend on these outcomes.
    before : Served
        What the baseline got.
    spec : RoutingSpec
        Constraints, confidence and the requests to come.
    method : str
        How the requests were set apart, for the record.
    distances : sequence of float
        Of each policy; see `Tested`.
    seed : int
        Of the order in which bets are placed.
    cluster : (n,) int array, optional
        Requests of a cluster are drawn together: 0..c−1.
    doubts : sequence of str or None, optional
        Of each policy; see `Tested`. They must not depend on the outcomes either.

    Raises
    ------
    TraceError
        Where there is no policy or no request to test.
    """
    if not served or before.requests == 0:
        raise TraceError("nothing to certify: there is no policy or no request to test it on")
    passed: list[bool | None] = []
    doubts = [None] * len(served) if doubts is None else doubts
    for one, doubt in zip(served, doubts, strict=True):
        going = doubt is None and False not in passed
        passed.append(_passes(one, before, spec, seed, cluster) if going else None)
    proven = [at for at, verdict in enumerate(passed) if verdict is True]
    chosen = proven[-1] if proven else next((at for at, doubt in enumerate(doubts) if doubt is None), 0)
    sequence = zip(distances, served, passed, doubts, strict=True)
    return Certificate(
        method=method,
        requests=before.requests,
        clusters=before.requests if cluster is None else int(cluster.max()) + 1,
        coming=_coming(before, spec),
        confidence=spec.constraints.confidence,
        certified=bool(proven),
        chosen=chosen,
        promises=promises(served[chosen], before, spec, seed, cluster),
        sequence=tuple(Tested(at, _cost_per_useful(one, spec), verdict, why) for at, one, verdict, why in sequence),
    )


def promises(
    served: Served, before: Served, spec: RoutingSpec, seed: int = 0, cluster: Groups = None
) -> tuple[Promise, ...]:
    """Bound every constraint of the spec on n requests (see `fixed_sequence`)."""
    confidence, coming = spec.constraints.confidence, _coming(before, spec)
    found = []
    for measure in measures(served, before, spec):
        values, limit, groups = measure.values, measure.limit, _groups(measure, cluster)
        if measure.untouched or len(values) == 0:
            bound = next_bound = 0.0 if measure.untouched else 1.0
            method, needed = ("by design", 0) if measure.untouched else ("binomial", None)
        else:
            method = _method(measure, groups)
            bound = _bound(measure, method, confidence, seed, groups)
            next_bound = _next_bound(measure, method, confidence, coming, groups)
            widest = max(bound, next_bound)
            needed = requests_needed(float(values.mean()), widest, limit, before.requests, confidence)
        value = float(values.mean()) if len(values) else 1.0
        found.append(Promise(measure.name, measure.unit, value, limit, bound, next_bound, method, needed))
    return tuple(found)


def _passes(served: Served, before: Served, spec: RoutingSpec, seed: int, cluster: Groups) -> bool:
    """Test every constraint; only what is needed to say yes or no is computed."""
    confidence, coming = spec.constraints.confidence, _coming(before, spec)
    for measure in measures(served, before, spec):
        if measure.untouched:
            continue
        if len(measure.values) == 0:
            if measure.limit < 1:
                return False
            continue
        if float(measure.values.mean()) > measure.limit:
            return False
        groups = _groups(measure, cluster)
        method = _method(measure, groups)
        if _next_bound(measure, method, confidence, coming, groups) > measure.limit:
            return False
        if method == "betting":
            if not _bet_won(measure, confidence, seed, groups):
                return False
        elif _bound(measure, method, confidence, seed, groups) > measure.limit:
            return False
    return True


def _groups(measure: Measure, cluster: Groups) -> Groups:
    """Return the clusters of the requests of which the measure is known, numbered without gaps."""
    if cluster is None or measure.known is None:
        return cluster
    return np.asarray(np.unique(cluster[measure.known], return_inverse=True)[1], dtype=np.intp)


def _method(measure: Measure, groups: Groups) -> str:
    if measure.ends is None or measure.sample is not None:
        return "normal"
    return "binomial" if measure.is_share and groups is None else "betting"


def _bound(measure: Measure, method: str, confidence: float, seed: int, groups: Groups) -> float:
    values = measure.values
    if method == "binomial":
        return share_upper(int(values.sum()), len(values), confidence)
    if method == "betting":
        sums, sizes = _clustered(values, groups)
        bound = betting_upper(sums, _ends(measure), confidence, seed, sizes)
        # The bet on the limit itself decides; the bound that was searched for may stop on its other side.
        if _bet_won(measure, confidence, seed, groups):
            return min(bound, measure.limit)
        return max(bound, float(np.nextafter(measure.limit, np.inf)))
    if measure.sample is not None:
        return score_bounds(values, measure.sample, confidence, measure.ends, groups)[1]
    return mean_upper(values, confidence, _deviation(values, groups))


def _bet_won(measure: Measure, confidence: float, seed: int, groups: Groups) -> bool:
    """Return whether betting proves that the mean is below the limit."""
    sums, sizes = _clustered(measure.values, groups)
    return bool(betting_rejects(sums, np.array([measure.limit]), _ends(measure), confidence, seed, sizes)[0])


def _next_bound(measure: Measure, method: str, confidence: float, coming: int, groups: Groups) -> float:
    values = measure.values
    if method == "binomial":
        return next_share_upper(int(values.sum()), len(values), coming, confidence)
    if measure.sample is not None:
        value = float(values.mean())
        above = score_bounds(values, measure.sample, confidence, measure.ends, groups)[1] - value
        return value + above * float(np.sqrt(1 + len(values) / coming))
    return mean_upper(values, confidence, _deviation(values, groups), coming)


def _ends(measure: Measure) -> tuple[float, float]:
    if measure.ends is None:
        raise AssertionError(measure.name)
    return measure.ends


def _clustered(values: NDArray[np.float64], groups: Groups) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """Return the sums over clusters and their sizes; the values themselves where each is a cluster of its own."""
    if groups is None:
        return values, None
    return np.bincount(groups, weights=values).astype(np.float64), np.bincount(groups).astype(np.int64)


def _deviation(values: NDArray[np.float64], groups: Groups) -> float:
    """Return the standard deviation of one request; with clusters, the one that gives the mean its own spread."""
    if groups is None:
        return float(values.std(ddof=1)) if len(values) > 1 else abs(float(values.mean()))
    sums, sizes = np.bincount(groups, weights=values), np.bincount(groups)
    apart = sums - sizes * values.mean()
    many = len(sizes)
    return float(np.sqrt((apart @ apart) * many / max(many - 1, 1) / len(values)))


def _coming(before: Served, spec: RoutingSpec) -> int:
    # A week certifies, half of one is looked at next.
    return spec.constraints.holds_over_requests or max(before.requests // 2, 1)


def _cost_per_useful(served: Served, spec: RoutingSpec) -> float:
    useful = float(served.useful.mean())
    useless = spec.objective.useless_response_usd * (1 - useful)
    return (float(served.cost_usd.mean()) + useless) / useful if useful > 0 else float("inf")
