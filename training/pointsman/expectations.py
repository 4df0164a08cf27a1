"""Expected cost and lateness: averages per intent, and what the lengths of request and answer add where that helps.

The factors are fitted on what heads that never saw a request read in it, as the router will read the next one. A
candidate gets them only where they predict held-out requests better than the intent's average does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, nnls
from scipy.special import expit

from pointsman.averages import intent_table
from pointsman.expected import LATE_MARGIN, Expected, Lengths
from pointsman.replay import facts_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.decide import Reading
    from pointsman.labels import IntentLabels
    from pointsman.outcomes import Outcomes

__all__ = ["Expectations", "expectations"]

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

PRIOR_ROWS = 5.0
"""Rows that say «length adds nothing»: they hold the factors of a candidate with few answers near 0."""


@dataclass(frozen=True, eq=False)
class Expectations:
    """What the learn slice says of cost and lateness.

    Attributes
    ----------
    expected : Expected
        For the policy.
    cost_usd, late : (n, m) float array
        Out of fold: averages and factors that held the request itself would flatter it.
    average_cost_usd, average_late : (n, m) float array
        The same by the intents' averages alone.
    """

    expected: Expected
    cost_usd: Floats
    late: Floats
    average_cost_usd: Floats
    average_late: Floats

    @property
    def without_lengths(self) -> Expectations:
        """The same by the intents' averages alone."""
        averages = self.average_cost_usd, self.average_late
        return Expectations(replace(self.expected, lengths=None), *averages, *averages)


def expectations(
    learn: Outcomes,
    labels: IntentLabels,
    table: NDArray[np.float32],
    reading: Reading,
    folds: Codes,
    limit_ms: float | None,
) -> Expectations:
    """Learn what each candidate is expected to cost, and how often to be late.

    Parameters
    ----------
    learn : Outcomes
        n requests.
    labels : IntentLabels
        Their intents, k.
    table : (k, m) float array
        Usefulness per intent, as the classifier learned it.
    reading : Reading
        Of the n requests, out of fold.
    folds : (n,) int array
    limit_ms : float or None
        Responses later than this are late.
    """
    codes, k = labels.taught, len(labels.names)
    late = np.zeros_like(learn.latency_ms)
    if limit_ms is not None:
        late = np.where(np.isfinite(learn.latency_ms), learn.latency_ms > limit_ms, np.nan)
    tokens = facts_of(learn).tokens.astype(np.float64)[:, None]
    answers = np.zeros_like(late) if reading.output_tokens is None else reading.output_tokens.astype(np.float64)

    def held_out(values: Floats) -> Floats:
        """Return the believed intents' averages of the other folds, (n, columns)."""
        found = np.empty(values.shape)
        for fold in np.unique(folds):
            at = folds == fold
            found[at] = reading.intent_probs[at] @ intent_table(values[~at], codes[~at], k)
        return found

    costs, lateness, usual, typical = (held_out(values) for values in (learn.cost_usd, late, tokens, answers))
    more = np.stack([np.broadcast_to(tokens - usual, late.shape), answers - typical], axis=2)
    longer = np.stack(
        [np.broadcast_to(np.log1p(tokens) - np.log1p(usual), late.shape), np.log1p(answers) - np.log1p(typical)], axis=2
    )
    averages = costs.copy(), lateness.copy()
    by_cost, by_late = np.zeros((late.shape[1], 2)), np.zeros((late.shape[1], 3))
    for column in range(late.shape[1]):
        known = more[:, column], learn.cost_usd[:, column], averages[0][:, column], folds
        found = _where_better(_prices, _cost, _squared, *known)
        if found is not None:
            by_cost[column], costs[:, column] = found
        known = longer[:, column], late[:, column], averages[1][:, column], folds
        found = _where_better(_odds, _late, _log_loss, *known)
        if found is not None:
            by_late[column], lateness[:, column] = found
    lengths = None
    if by_cost.any() or by_late.any():
        by_cost, by_late = _short(by_cost), _short(by_late)
        lengths = Lengths(
            tokens_in=_rounded(intent_table(tokens, codes, k)[:, 0]),
            output_tokens=_rounded(intent_table(answers, codes, k)),
            usd_per_token_in=by_cost[:, 0],
            usd_per_token_out=by_cost[:, 1],
            late_bias=by_late[:, 0],
            late_per_log_in=by_late[:, 1],
            late_per_log_out=by_late[:, 2],
        )
    # Rounded here, not on the way to disk: what was tuned is what is served.
    expected = Expected(
        useful=_rounded(table),
        cost_usd=_rounded(intent_table(learn.cost_usd, codes, k)),
        late=_rounded(intent_table(late, codes, k)),
        lengths=lengths,
    )
    return Expectations(expected, costs, lateness, *averages)


def _where_better(
    fit: Callable[[Floats, Floats, Floats], Floats],
    predict: Callable[[Floats, Floats, Floats], Floats],
    loss: Callable[[Floats, Floats], Floats],
    lengths: Floats,
    target: Floats,
    average: Floats,
    folds: Codes,
) -> tuple[Floats, Floats] | None:
    """Return factors and held-out predictions, (n,), or None where length does not help beyond chance.

    It helps where the mean loss on known rows falls by more than one standard error of that fall (the rule of Breiman
    et al. 1984).
    """
    known = np.isfinite(target)
    found = np.empty(len(target))
    for fold in np.unique(folds):
        at, rest = folds == fold, (folds != fold) & known
        found[at] = predict(fit(lengths[rest], target[rest], average[rest]), lengths[at], average[at])
    gain = loss(average[known], target[known]) - loss(found[known], target[known])
    if len(gain) < 2 or gain.mean() <= gain.std(ddof=1) / np.sqrt(len(gain)):
        return None
    factors = fit(lengths[known], target[known], average[known])
    return (factors, found) if factors[-2:].any() else None


def _prices(lengths: Floats, cost: Floats, average: Floats) -> Floats:
    """Return USD per token to read and per token expected, at least 0 each, by least squares."""
    if len(cost) == 0:
        return np.zeros(2)
    spread = np.maximum(lengths.std(axis=0), 1e-12)
    rows = np.concatenate([lengths / spread, np.sqrt(PRIOR_ROWS) * np.eye(2)])
    scale = max(float(np.abs(cost - average).max()), 1e-300)  # its tolerance is absolute, costs are tiny
    found, _ = nnls(rows, np.concatenate([(cost - average) / scale, [0.0, 0.0]]))
    return np.asarray(found * scale / spread)


def _cost(factors: Floats, lengths: Floats, average: Floats) -> Floats:
    return np.maximum(average + lengths @ factors, 0.0)


def _squared(predicted: Floats, target: Floats) -> Floats:
    return np.square(predicted - target)


def _odds(lengths: Floats, late: Floats, average: Floats) -> Floats:
    """Return the bias, and what the logarithms of both lengths add to the log-odds of being late, at least 0 each."""
    if len(late) == 0:
        return np.zeros(3)
    spread = np.maximum(lengths.std(axis=0), 1e-12)
    rows = np.column_stack([np.ones(len(late)), lengths / spread])
    offset = _log_odds(average)
    prior = np.full(3, PRIOR_ROWS / 4)  # a row at even odds tells a quarter of what it tells of a mean

    def loss(factors: Floats) -> tuple[float, Floats]:
        logits = offset + rows @ factors
        value = (np.logaddexp(0, logits) - late * logits).sum() + prior @ np.square(factors) / 2
        return float(value), rows.T @ (expit(logits) - late) + prior * factors

    bounds = [(None, None), (0.0, None), (0.0, None)]
    found = minimize(loss, np.zeros(3), jac=True, method="L-BFGS-B", bounds=bounds).x
    return np.asarray(found / np.array([1.0, *spread]))


def _late(factors: Floats, lengths: Floats, average: Floats) -> Floats:
    return np.asarray(expit(_log_odds(average) + factors[0] + lengths @ factors[1:]))


def _log_loss(predicted: Floats, target: Floats) -> Floats:
    sure = np.clip(predicted, 1e-9, 1 - 1e-9)
    return np.asarray(-target * np.log(sure) - (1 - target) * np.log1p(-sure))


def _log_odds(share: Floats) -> Floats:
    kept = np.clip(share, LATE_MARGIN, 1 - LATE_MARGIN)
    return np.asarray(np.log(kept / (1 - kept)))


def _rounded(table: NDArray[np.float32]) -> Floats:
    return np.round(table.astype(np.float64), 9).astype(np.float64)


def _short(factors: Floats) -> Floats:
    """Return the factors with six digits that count."""
    return np.array([[float(f"{value:.6g}") for value in row] for row in factors.tolist()])
