"""Propensities: with which probability production chose what it served, from the log or estimated, and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression

from pointsman.errors import TraceError
from pointsman.intervals import mean_interval
from pointsman.outcomes import request_hashes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointsman.outcomes import Outcomes

__all__ = [
    "ALARM",
    "MIN_MATCHES",
    "Group",
    "Propensities",
    "PropensityCheck",
    "check_propensities",
    "estimate_propensities",
    "hash_folds",
    "propensities_of",
    "served_columns",
]

Floats = NDArray[np.float64]

FOLDS = 5
"""Folds in which production's choices are learned: a request is never judged by a model that saw it."""

ALARM = 0.01
"""Probability with which the check calls right propensities wrong, over all its groups together (Bonferroni 1936)."""

MIN_MATCHES = 10
"""Requests on which production chose as the policy does that a group needs to say anything of its own."""


@dataclass(frozen=True, eq=False)
class Propensities:
    """What production served n requests with, and how probable that was.

    Attributes
    ----------
    logged : (n,) intp array
        Column that production served, -1 where unknown.
    probability : (n,) float64 array
        Its probability, above 0; NaN where unknown.
    estimated : (n,) bool array
        The probability is a model's, not the log's.
    """

    logged: NDArray[np.intp]
    probability: Floats
    estimated: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.logged)

    @property
    def source(self) -> str:
        """``log``, ``estimated``, ``log and estimated`` or ``unknown``."""
        known = np.isfinite(self.probability)
        named = [("log", (known & ~self.estimated).any()), ("estimated", (known & self.estimated).any())]
        return " and ".join(name for name, there in named if there) or "unknown"

    def take(self, at: Any) -> Propensities:
        """Return those of the requests at an index or mask."""
        return Propensities(self.logged[at], self.probability[at], self.estimated[at])


def hash_folds(outcomes: Outcomes) -> NDArray[np.intp]:
    """Return one of five folds for each request, (n,), by its hash."""
    return (request_hashes(outcomes) % FOLDS).astype(np.intp)


def served_columns(outcomes: Outcomes) -> NDArray[np.intp]:
    """Return the column that served each request, (n,): the logged one, else the only one that answered, else -1."""
    answered = np.isfinite(outcomes.useful) | np.isfinite(outcomes.latency_ms)
    only = np.where(answered.sum(axis=1) == 1, answered.argmax(axis=1), -1)
    return np.where(outcomes.logged >= 0, outcomes.logged, only).astype(np.intp)


def propensities_of(
    outcomes: Outcomes, features: Floats | None = None, folds: NDArray[np.intp] | None = None
) -> Propensities:
    """Take the propensities from the log, and estimate what it does not say.

    Parameters
    ----------
    outcomes : Outcomes
        n requests.
    features : (n, d) float array, optional
        What production may have looked at: embeddings or intent probabilities. Without them nothing is estimated.
    folds : (n,) intp array, optional
        Fold of each request; the model that estimates a request's propensity has not seen its fold.

    Raises
    ------
    TraceError
        Where something is to be estimated and fewer than two folds have served requests.
    """
    logged = served_columns(outcomes)
    # A choice that was made had a probability above 0: a log that says otherwise does not know it.
    stated = np.where((logged >= 0) & (outcomes.propensity > 0), outcomes.propensity, np.nan)
    missing = (logged >= 0) & ~np.isfinite(stated)
    if features is None or not missing.any():
        return Propensities(logged, stated, np.zeros(len(logged), dtype=np.bool_))
    if folds is None:
        folds = np.arange(len(logged), dtype=np.intp) % 5
    table = estimate_propensities(logged, features, folds, len(outcomes.models))
    own = table[np.arange(len(logged)), np.maximum(logged, 0)]
    own = np.where(own > 0, own, np.nan)
    return Propensities(logged, np.where(missing, own, stated), missing & np.isfinite(own))


def estimate_propensities(
    logged: NDArray[np.intp], features: Floats, folds: NDArray[np.intp], candidates: int
) -> Floats:
    """Estimate with which probability production chooses each candidate, out of fold.

    A multinomial logistic regression on standardised features, one per fold left out; one temperature for all (Guo et
    al. 2017), chosen by the log loss of the choices it did not see.

    Parameters
    ----------
    logged : (n,) intp array
        Served columns, -1 where unknown: such a request is estimated, not learned from.
    features : (n, d) float array
    folds : (n,) intp array
    candidates : int
        m.

    Returns
    -------
    (n, m) float64 array
        Rows sum to 1. A candidate that the other folds never saw served has 0.

    Raises
    ------
    TraceError
        Where fewer than two folds have served requests.
    """
    seen = logged >= 0
    if len(np.unique(folds[seen])) < 2:
        raise TraceError(
            f"propensities: {int(seen.sum())} requests in {len(np.unique(folds[seen]))} fold say what served them; "
            "at least two folds are needed to estimate with which probability it was chosen"
        )
    spread = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    logits = np.full((len(logged), candidates), -np.inf)
    for fold in np.unique(folds):
        rest, here = seen & (folds != fold), np.flatnonzero(folds == fold)
        classes = np.unique(logged[rest])
        if len(classes) == 1:
            logits[here, classes[0]] = 0.0
            continue
        fitted = LogisticRegression(C=1.0, max_iter=500).fit(scaled[rest], logged[rest])
        logits[np.ix_(here, classes)] = fitted.predict_log_proba(scaled[here])
    return _softmax(logits * _sharpness(logits[seen], logged[seen]))


def _sharpness(logits: Floats, chosen: NDArray[np.intp]) -> float:
    """Return the inverse temperature with the smallest log loss; choices that had no chance say nothing of it."""
    rows = np.arange(len(chosen))
    possible = np.isfinite(logits[rows, chosen])
    logits, chosen, rows = logits[possible], chosen[possible], rows[: possible.sum()]

    def loss(exponent: float) -> float:
        with np.errstate(divide="ignore"):
            return -float(np.log(_softmax(logits * np.exp(exponent))[rows, chosen]).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-1.5, 1.5), method="bounded").x)) if len(rows) else 1.0


def _softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Group:
    """Mean weight of a group of requests: 1 where the propensities are right and production went everywhere.

    Attributes
    ----------
    name : str
    requests, matches : int
        Logged requests, and those on which production chose as the policy does.
    mean, low, high : float
        Mean of 1{logged = chosen} / propensity, with an interval corrected for the number of groups.
    """

    name: str
    requests: int
    matches: int
    mean: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """The interval contains 1."""
        return bool(self.low <= 1.0 <= self.high)


@dataclass(frozen=True)
class PropensityCheck:
    """Whether the weights are what right propensities give.

    Attributes
    ----------
    by_candidate : tuple of Group
        Requests grouped by the policy's choice.
    by_intent : tuple of Group
        The balance of the intents after weighting: an intent's weights must add up to its requests.
    """

    by_candidate: tuple[Group, ...]
    by_intent: tuple[Group, ...]

    @property
    def wrong(self) -> tuple[Group, ...]:
        """The groups whose interval does not contain 1."""
        return tuple(group for group in (*self.by_candidate, *self.by_intent) if not group.holds)

    @property
    def holds(self) -> bool:
        """No group's weights contradict the propensities."""
        return not self.wrong

    @property
    def verdict(self) -> str:
        """One sentence."""
        groups = len(self.by_candidate) + len(self.by_intent)
        if not groups:
            return "the propensities cannot be checked: production hardly ever chose as the policy does"
        if self.holds:
            return f"the propensities pass: the weights of {groups} groups average 1 within their intervals"
        worst = max(self.wrong, key=lambda group: abs(np.log(max(group.mean, 1e-9))))
        return (
            f"the propensities are wrong or production never went there: the weights of {worst.name} average "
            f"{worst.mean:.2f} [{worst.low:.2f}, {worst.high:.2f}] where 1 is due"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the check as plain JSON values."""
        groups = {name: [vars(g) | {"holds": g.holds} for g in getattr(self, name)] for name in vars(self)}
        return {"holds": self.holds, "verdict": self.verdict, **groups}


def check_propensities(
    chosen: NDArray[np.intp],
    propensities: Propensities,
    intents: NDArray[np.object_],
    models: Sequence[str],
    at: NDArray[np.bool_] | None = None,
) -> PropensityCheck:
    """Check that the weights of a policy's choices average 1, by candidate and by intent.

    E[1{logged = chosen} / propensity] = 1 in every group that is formed before the draw (Horvitz and Thompson 1952), if
    the propensities are right and above 0. Groups with fewer than 10 matches are checked together.

    Parameters
    ----------
    chosen : (n,) intp array
        The policy's choice.
    propensities : Propensities
        Of the same requests.
    intents : (n,) object array
        "" where unknown.
    models : sequence of str
        Names of the columns.
    at : (n,) bool array, optional
        The requests to look at; those with a known propensity where it is not given.
    """
    usable = (propensities.logged >= 0) & np.isfinite(propensities.probability)
    at = usable if at is None else usable & at
    chosen, match = chosen[at], (propensities.logged == chosen)[at]
    weight = np.where(match, 1 / propensities.probability[at], 0.0)
    kinds = (_merged(np.asarray(models, dtype=object)[chosen], match), _merged(intents[at], match))
    count, heaviest = sum(len(kind) for kind in kinds), float(weight.max(initial=1.0))

    def groups(kind: dict[str, NDArray[np.bool_]]) -> tuple[Group, ...]:
        found = []
        for name, inside in kind.items():
            values, matches = weight[inside], int(match[inside].sum())
            mean = float(values.mean())
            # A small group may miss the rare heavy weights that others show: it is given one more, and one without any.
            ends = (-mean, heaviest - mean)
            low, high = mean_interval(values - mean, mean, 1 - ALARM / count, len(values) - 1, ends=ends)
            found.append(Group(name, len(values), matches, mean, low, high))
        return tuple(found)

    return PropensityCheck(groups(kinds[0]), groups(kinds[1]))


def _merged(labels: NDArray[np.object_], match: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    """Return the requests of each label; those with too few matches together, or not at all."""
    masks = {str(name) or "no intent": labels == name for name in sorted(set(labels.tolist()))}
    kept = {name: mask for name, mask in masks.items() if int(match[mask].sum()) >= MIN_MATCHES}
    rest = np.ones(len(labels), dtype=np.bool_)
    for mask in kept.values():
        rest &= ~mask
    if int(match[rest].sum()) >= MIN_MATCHES:
        kept["the rest"] = rest
    return kept
