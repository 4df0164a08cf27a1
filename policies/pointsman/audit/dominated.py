"""A model that a cheaper one dominates: at least as useful, no later, for less money."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from pointsman.audit.check import Check
from pointsman.audit.finding import Measure
from pointsman.audit.multiplicity import holm
from pointsman.audit.suspicion import Suspicion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.audit.log import Log

__all__ = ["DOMINATED", "dominance_suspicions"]

Floats = NDArray[np.float64]

MARGIN = 0.01
"""Usefulness, and lateness, that count as equal, 0..1."""
_MIN_PAIRS = 100
_MIN_CELL = 10
_MIN_GROUP = 30

DOMINATED = Check(
    "dominated-model",
    "traces",
    "A cheaper model is at least as good",
    "Every answer of the dear one is paid for without getting anything for it.",
    "Per pair of models, on the requests that both answered (else within intents): cheaper, less than "
    f"{MARGIN:g} less useful, and later than the dear one's P95 in at most {MARGIN:g} more of the requests; all three "
    "must be shown (intersection-union test, the largest p counts). A model that is clearly better on some intent or "
    "modality (Holm inside) is not dominated.",
    "confirmed (Holm over all tests); high where production serves at least 5 % with it",
    "Take the dominated model out of the candidates.",
    "Berger 1982, Technometrics 24:295-300 (intersection-union tests); Chen, Zaharia, Zou 2023, FrugalGPT "
    "(arXiv 2305.05176)",
)


@dataclass(frozen=True)
class _Difference:
    """The cheaper model less the dear one: a mean and its standard error."""

    mean: float
    error: float

    def below(self, limit: float) -> float:
        """Return the p-value of the test that it is not below a limit."""
        return float(norm.cdf((self.mean - limit) / self.error))


def dominance_suspicions(log: Log) -> Iterator[Suspicion]:
    """Yield one suspicion for each pair of models of which one is cheaper."""
    known = np.isfinite(log.useful) & np.isfinite(log.cost_usd) & np.isfinite(log.latency_ms)
    tables = _tables(log, known)
    cost = [
        float(log.cost_usd[known & (log.model == m)].mean()) if tables[0][:, m].any() else np.inf
        for m in range(len(log.models))
    ]
    for dear in range(len(log.models)):
        for cheap in range(len(log.models)):
            if not cost[cheap] < cost[dear] < np.inf:
                continue
            found = _compared(log, tables, cheap, dear)
            if found is None:
                continue
            cheaper, useful, late, how = found
            served = float((log.model[log.served] == dear).mean()) if log.says_served and log.served.any() else None
            better = _better_somewhere(log, tables, cheap, dear)
            yield Suspicion(
                check=DOMINATED,
                p=max(cheaper.below(0.0), _least(useful), late.below(MARGIN)),
                severity="high" if served is not None and served >= 0.05 else "medium",
                large=better is None,
                what=f"{log.models[dear]} is dominated by {log.models[cheap]}: "
                f"{100 * -cheaper.mean / cost[dear]:.0f} % cheaper, {100 * useful.mean:+.1f} points useful",
                key=log.models[dear],
                numbers=(
                    _measure("useful", useful, "points"),
                    _measure("cost per answer", cheaper, "usd"),
                    _measure("later than its P95", late, "points"),
                    *([] if served is None else [Measure("served by it", served, unit="share")]),
                ),
                examples=(how,),
            )


def _least(useful: _Difference) -> float:
    """Return the p-value of the test that the cheaper one is at least `MARGIN` less useful."""
    return _Difference(-useful.mean, useful.error).below(MARGIN)


def _measure(name: str, one: _Difference, unit: str) -> Measure:
    return Measure(name, one.mean, one.mean - 1.96 * one.error, one.mean + 1.96 * one.error, unit)


def _tables(log: Log, known: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], Floats, Floats, Floats]:
    """Return, each (r, m): which request each model answered, and how useful, how dear, how late."""
    shape = (int(log.request.max(initial=-1)) + 1, len(log.models))
    there, parts = np.zeros(shape, dtype=bool), []
    there[log.request[known], log.model[known]] = True
    for values in (log.useful, log.cost_usd, log.latency_ms):
        table = np.full(shape, np.nan)
        table[log.request[known], log.model[known]] = values[known]
        parts.append(table)
    return there, parts[0], parts[1], parts[2]


def _compared(
    log: Log, tables: tuple[NDArray[np.bool_], Floats, Floats, Floats], cheap: int, dear: int
) -> tuple[_Difference, _Difference, _Difference, str] | None:
    there, useful, cost, latency = tables
    limit = float(np.nanquantile(latency[:, dear], 0.95))
    late = np.where(np.isfinite(latency), (latency > limit).astype(np.float64), np.nan)
    both = there[:, cheap] & there[:, dear]
    if both.sum() >= _MIN_PAIRS:
        one, two, three = (_paired(part[both][:, [cheap, dear]]) for part in (cost, useful, late))
        return one, two, three, f"on {int(both.sum()):,} requests that both answered"
    strata = _strata(log, len(there))
    found = [_stratified(part, there, strata, cheap, dear) for part in (cost, useful, late)]
    if found[0] is None or found[1] is None or found[2] is None:
        return None
    return found[0], found[1], found[2], "on different requests of the same intents"


def _paired(pair: Floats) -> _Difference:
    """Return the mean difference of (n, 2) answers; a pseudo-pair either way keeps a sample without spread humble."""
    difference = pair[:, 0] - pair[:, 1]
    spread = float(((difference - difference.mean()) ** 2).sum())
    floor = 2 * float(np.abs(difference).max()) ** 2 if difference.any() else 1.0
    return _Difference(float(difference.mean()), float(np.sqrt(spread + floor)) / len(difference))


def _strata(log: Log, requests: int) -> NDArray[np.intp]:
    strata = np.full(requests, -1, dtype=np.intp)
    strata[log.request] = log.intent
    return strata


def _stratified(
    part: Floats, there: NDArray[np.bool_], strata: NDArray[np.intp], cheap: int, dear: int
) -> _Difference | None:
    """Return the difference within intents, weighted by how many requests tell of it; None where too few do."""
    means, variances, weights = [], [], []
    for code in np.unique(strata):
        cells = [part[(strata == code) & there[:, column], column] for column in (cheap, dear)]
        if min(map(len, cells)) < _MIN_CELL:
            continue
        means.append(float(cells[0].mean() - cells[1].mean()))
        variances.append(sum(float(cell.var(ddof=1)) / len(cell) for cell in cells))
        weights.append(len(cells[0]) * len(cells[1]) / (len(cells[0]) + len(cells[1])))
    if sum(weights) < _MIN_PAIRS / 2:
        return None
    share = np.array(weights) / sum(weights)
    error = float(np.sqrt((share**2 * np.array(variances)).sum()))
    return _Difference(float((share * np.array(means)).sum()), max(error, 1e-12))


def _better_somewhere(
    log: Log, tables: tuple[NDArray[np.bool_], Floats, Floats, Floats], cheap: int, dear: int
) -> str | None:
    """Return a kind of request on which the dear model is clearly more useful; None where there is none."""
    there, useful, _, _ = tables
    p_values, names = [], []
    for codes, words in ((log.intent, log.intents), (log.modality, log.modalities)):
        kind = np.full(len(there), -1, dtype=np.intp)
        kind[log.request] = codes
        for code, name in enumerate(words):
            at = (kind == code) & there[:, cheap] & there[:, dear]
            if at.sum() >= _MIN_GROUP:
                p_values.append(_paired(useful[at][:, [cheap, dear]]).below(0.0))
                names.append(name)
    if not p_values:
        return None
    adjusted = holm(p_values)
    return names[int(adjusted.argmin())] if adjusted.min() <= 0.05 else None
