"""Off-policy estimates: the mean outcome of a policy's choices, where only what production chose is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pointsman.errors import TraceError
from pointsman.intervals import Estimate, interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointsman.outcomes import Outcomes
    from pointsman.propensity import Propensities

__all__ = [
    "ESTIMATORS",
    "FLOOR",
    "Weights",
    "doubly_robust_table",
    "effective_sample_size",
    "estimate",
    "importance_weights",
    "late_table",
    "logged_mean",
    "out_of_fold_means",
    "pseudo_outcomes",
    "weighted_quantile",
]

Floats = NDArray[np.float64]

ESTIMATORS = ("dr", "dr_clipped", "snips", "ips", "ips_clipped", "dm")
"""Doubly robust, self-normalised and plain inverse propensities, two with clipped weights, and the direct method."""

FLOOR = 0.001
"""Propensities below this count as this: one request never stands for more than a thousand."""

STRENGTH = 10.0
"""Imagined answers at the candidate's overall mean that an intent's average starts from."""


def pseudo_outcomes(
    values: Floats, logged: NDArray[np.intp], propensity: Floats, model: Floats, floor: float = FLOOR
) -> Floats:
    """Return doubly robust scores, whose mean along any choice estimates the choice's mean outcome.

    ``model[i, j] + 1{logged_i = j} / propensity_i · (values[i, j] − model[i, j])`` (Dudík, Langford and Li 2011). A
    request with every candidate's outcome known scores its real values: full information and logged requests mix.

    Parameters
    ----------
    values : (n, m) float array
        Of one outcome, NaN where unknown. Of a request with gaps only what production served is used: whether another
        answer was replayed may hang on what was served.
    logged : (n,) intp array
        -1 where unknown.
    propensity : (n,) float array
        Of the logged candidate, NaN where unknown.
    model : (n, m) float array
        Predictions that have not seen the request (out of fold).
    floor : float
        Smaller propensities count as this.

    Returns
    -------
    (n, m) float array
        A row is NaN where neither every outcome, nor a served one with its propensity, is known.
    """
    complete = np.isfinite(values).all(axis=1)
    rows = np.arange(len(values))
    served = values[rows, np.maximum(logged, 0)]
    usable = (logged >= 0) & np.isfinite(propensity) & np.isfinite(served)
    scores = np.where(usable[:, None], model, np.nan)
    at = rows[usable & ~complete]
    columns = logged[at]
    scores[at, columns] += (served[at] - model[at, columns]) / np.maximum(propensity[at], floor)
    scores[complete] = values[complete]
    return scores


def late_table(outcomes: Outcomes, limit_ms: float) -> Floats:
    """Return 1 where an answer was later than the limit, 0 where not, NaN where unknown, (n, m)."""
    latency = outcomes.latency_ms
    return np.where(np.isfinite(latency), (latency > limit_ms).astype(np.float64), np.nan)


def doubly_robust_table(
    outcomes: Outcomes,
    propensities: Propensities,
    models: Mapping[str, Floats],
    late_limit_ms: float | None = None,
    floor: float = FLOOR,
) -> dict[str, Floats]:
    """Return the doubly robust scores of each outcome that has a model, (n, m) each.

    Parameters
    ----------
    outcomes : Outcomes
    propensities : Propensities
        Of the same requests.
    models : mapping of str to (n, m) float array
        Out-of-fold predictions by name: ``useful``, ``cost_usd``, ``hallucinated``, ``late``.
    late_limit_ms : float, optional
        ``late`` needs it.
    floor : float

    Raises
    ------
    TraceError
        Where ``late`` is asked for without a limit.
    """
    if "late" in models and late_limit_ms is None:
        raise TraceError("late: a limit in ms is needed to tell which answers were late")
    logged, propensity = propensities.logged, propensities.probability
    return {
        name: pseudo_outcomes(
            getattr(outcomes, name) if late_limit_ms is None or name != "late" else late_table(outcomes, late_limit_ms),
            logged,
            propensity,
            model,
            floor,
        )
        for name, model in models.items()
    }


def out_of_fold_means(
    values: Floats, codes: NDArray[np.intp], folds: NDArray[np.intp], k: int, strength: float = STRENGTH
) -> Floats:
    """Predict each candidate's outcome by its average over the intent, out of fold.

    The average is shrunk to the candidate's overall mean, and that to the mean of all candidates, as if `strength`
    answers at it had been seen (James and Stein 1961 in spirit, with a fixed strength).

    Parameters
    ----------
    values : (n, m) float array
        NaN where unknown.
    codes : (n,) intp array
        Intents, 0 to k - 1, or -1 where unknown: such a request gets the candidate's overall mean.
    folds : (n,) intp array
    k : int
        Number of intents.
    strength : float

    Returns
    -------
    (n, m) float64 array
        0 throughout where no other fold has a known value.
    """
    n, m = values.shape
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    out = np.zeros((n, m))
    for fold in np.unique(folds):
        rest, here = folds != fold, folds == fold
        count, total = known[rest].sum(axis=0), filled[rest].sum(axis=0)
        anyone = total.sum() / max(int(count.sum()), 1)
        overall = (total + strength * anyone) / (count + strength)
        inside = rest & (codes >= 0)
        cell_count, cell_total = np.zeros((k + 1, m)), np.zeros((k + 1, m))
        np.add.at(cell_count, codes[inside], known[inside])
        np.add.at(cell_total, codes[inside], filled[inside])
        # The last row stays empty: an unknown intent, -1, reads the overall mean there.
        out[here] = ((cell_total + strength * overall) / (cell_count + strength))[codes[here]]
    return out


@dataclass(frozen=True, eq=False)
class Weights:
    """How much each request says of a policy's choices.

    Attributes
    ----------
    weight : (n,) float64 array
        1 where every outcome is known; 1{logged = chosen} / propensity where only the served one is; NaN where neither.
    excess : (n,) float64 array
        By how much the floor cut the weight.
    """

    weight: Floats
    excess: Floats

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(n,): the request says something."""
        return np.isfinite(self.weight)

    @property
    def clipped_share(self) -> float:
        """Share of the weighted requests that the floor cut."""
        weighted = int((self.weight[self.usable] > 0).sum())
        return float((self.excess > 0).sum() / weighted) if weighted else 0.0


def importance_weights(
    values: Floats, chosen: NDArray[np.intp], propensities: Propensities, floor: float = FLOOR
) -> Weights:
    """Return the weights of n requests for a policy that chooses `chosen`; see `pseudo_outcomes` for `values`."""
    complete = np.isfinite(values).all(axis=1)
    logged, propensity = propensities.logged, propensities.probability
    served = np.isfinite(values[np.arange(len(values)), np.maximum(logged, 0)])
    usable = (logged >= 0) & np.isfinite(propensity) & served
    match = usable & ~complete & (logged == chosen)
    weight = np.where(usable, 0.0, np.nan)
    weight[match] = 1 / np.maximum(propensity[match], floor)
    excess = np.zeros(len(values))
    excess[match] = 1 / propensity[match] - weight[match]
    weight[complete] = 1.0
    return Weights(weight, excess)


def effective_sample_size(weight: Floats) -> float:
    """Return (Σw)² / Σw² (Kish 1965), 0 without any weight; NaN counts for nothing."""
    known = weight[np.isfinite(weight)]
    squares = float(known @ known)
    return float(known.sum() ** 2 / squares) if squares > 0 else 0.0


def estimate(
    name: str,
    values: Floats,
    chosen: NDArray[np.intp],
    propensities: Propensities,
    model: Floats,
    *,
    bounded: bool = True,
    floor: float = FLOOR,
) -> Estimate:
    """Estimate the mean outcome of a policy.

    ``ips``: Horvitz and Thompson (1952). ``snips``: Hájek's ratio, Swaminathan and Joachims (2015), its variance by the
    delta method. ``dr``: Dudík et al. (2011) with the cross-fitted model. ``dm``: the model's own mean; its influence
    is the doubly robust one, which every regular estimate has that is right at all: its interval knows nothing of the
    model's bias. Requests that say nothing are taken to be like the others.

    Parameters
    ----------
    name : str
        One of `ESTIMATORS`.
    values : (n, m) float array
        NaN where unknown; see `pseudo_outcomes`.
    chosen : (n,) intp array
    propensities : Propensities
    model : (n, m) float array
        Out-of-fold predictions; not used by ``ips`` and ``snips``.
    bounded : bool
        The outcome lies between 0 and 1.
    floor : float
        Smallest propensity; the clipped estimators use 1 / √n where that is larger.

    Raises
    ------
    TraceError
        Where no request says anything of the outcome, or the estimator is unknown.
    """
    if name not in ESTIMATORS:
        raise TraceError(f"estimator {name!r} is unknown; allowed: {', '.join(ESTIMATORS)}")
    # Weights above √n are cut (Ionides 2008, "Truncated importance sampling").
    floor = max(floor, len(values) ** -0.5) if name.endswith("_clipped") else floor
    weights = importance_weights(values, chosen, propensities, floor)
    if not weights.usable.any():
        raise TraceError("no request has every outcome, or a served one with its propensity: nothing can be estimated")
    rows, usable = np.arange(len(values)), weights.usable
    outcome = values[rows, chosen]
    complete = np.isfinite(values).all(axis=1)
    weight = np.where(usable, weights.weight, 0.0)
    seen = weight > 0
    observed = np.where(seen, outcome, 0.0)
    predicted = np.where(complete, observed, model[rows, chosen])
    scores = predicted + weight * np.where(seen, observed - predicted, 0.0)
    reach = np.abs(observed - predicted)[seen]
    if name in {"dr", "dr_clipped"}:
        value, influence = _mean(scores, usable)
    elif name == "dm":
        value, influence = _mean(predicted, usable)[0], _mean(scores, usable)[1]
    elif name == "snips":
        value = float(weight @ observed / weight.sum()) if seen.any() else float("nan")
        influence = weight * (observed - value) * (len(rows) / max(float(weight.sum()), 1e-300))
    else:
        value, influence = _mean(weight * observed, usable)
        reach = np.abs(observed[seen])
    spread = float(reach.max()) if len(reach) else 0.0
    bias = float(weights.excess[usable].mean()) * spread
    squares, total = float(weight @ weight), float(weight.sum())
    heaviness = max(squares / total, 1.0) if total > 0 else 1.0
    return Estimate(value, influence, effective_sample_size(weight) - 1, heaviness, bias, bounded)


def logged_mean(
    values: Floats, logged: NDArray[np.intp], *, bounded: bool = True, among: NDArray[np.bool_] | None = None
) -> Estimate:
    """Return the plain mean of what production served, over the requests (`among` them) where it is known.

    Raises
    ------
    TraceError
        Where none is known.
    """
    served = np.where(logged >= 0, values[np.arange(len(values)), np.maximum(logged, 0)], np.nan)
    known = np.isfinite(served) if among is None else np.isfinite(served) & among
    if not known.any():
        raise TraceError("no request's served outcome is known: the mean of what production served is not known either")
    value, influence = _mean(np.where(known, served, 0.0), known)
    return Estimate(value, influence, float(known.sum()) - 1, bounded=bounded)


def _mean(scores: Floats, usable: NDArray[np.bool_]) -> tuple[float, Floats]:
    value = float(scores[usable].mean())
    return value, np.where(usable, scores - value, 0.0) * (len(scores) / int(usable.sum()))


def weighted_quantile(
    values: Floats,
    chosen: NDArray[np.intp],
    propensities: Propensities,
    share: float = 0.95,
    confidence: float = 0.95,
    cluster: NDArray[np.intp] | None = None,
    floor: float = FLOOR,
) -> tuple[float, float, float] | None:
    """Estimate a quantile of a policy's outcome with its interval, by Hájek weights.

    The interval is the quantiles at the ends of the interval of the share below (Woodruff 1952); an end beyond what was
    seen is infinite.

    Returns
    -------
    value, low, high : float, or None where no request has any weight
    """
    weights = importance_weights(values, chosen, propensities, floor)
    weight = np.where(weights.usable, weights.weight, 0.0)
    seen = np.flatnonzero(weight > 0)
    if not len(seen):
        return None
    own = values[seen, chosen[seen]]
    order = np.argsort(own, kind="stable")
    reached, ordered = np.cumsum(weight[seen][order]), own[order]
    reached = reached / reached[-1]

    def at(level: float) -> float:
        position = int(np.searchsorted(reached, level * (1 - 1e-9)))
        return float(ordered[position]) if position < len(ordered) else float("inf")

    value = at(share)
    below = np.zeros(len(weight))
    below[seen] = weight[seen] * ((own <= value) - share) * (len(weight) / weight.sum())
    squares, total = float(weight @ weight), float(weight.sum())
    found = Estimate(share, below, effective_sample_size(weight) - 1, max(squares / total, 1.0), 0.0, bounded=True)
    low, high = interval(found, confidence, cluster)
    return value, at(max(low, 0.0)), at(high) if high <= 1 else float("inf")
