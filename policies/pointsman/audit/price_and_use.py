"""Is a dearer token worth it: rank correlation of its price with usefulness, per model and intent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from pointsman.audit.check import Check
from pointsman.audit.finding import Measure
from pointsman.audit.suspicion import Suspicion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.audit.log import Log

__all__ = ["PRICE_AND_USE", "price_suspicions", "price_table", "rank_correlation"]

Floats = NDArray[np.float64]

RELATED = 0.05
"""A rank correlation below this is none worth paying for."""
_OVERPAID = 2.0
_MIN_ROWS = 200

PRICE_AND_USE = Check(
    "price-without-use",
    "traces",
    "Dear tokens are no more useful",
    "What is paid beyond the cheapest model buys nothing there.",
    "Per intent, over the answers of all models: Spearman's correlation of USD per 1,000 tokens (the model's own cost) "
    "with usefulness, its interval by the delta method over requests. Tested is whether it is below "
    f"{RELATED:g}: that nothing was seen is not enough. Per model and per model and intent it is told, not tested: "
    "within one model the price of a token varies with little but its share of output.",
    f"confirmed below {RELATED:g} (Holm over all tests), where production pays at least {_OVERPAID:g} times the "
    "cheapest model's price",
    "Send the intent to the cheapest model that serves it: pointsman fit finds it, rules.intents pins it.",
    "Spearman 1904; Bonett, Wright 2000, Psychometrika 65:23-28 (its interval); Schuirmann 1987, J. Pharmacokinetics "
    "Biopharmaceutics 15:657-680 (showing the absence of an effect)",
)


def rank_correlation(one: Floats, other: Floats, request: NDArray[np.intp]) -> tuple[float, float]:
    """Return Spearman's correlation and its standard error, answers to one request counted as one; NaN without spread.

    Parameters
    ----------
    one, other : (n,) float array
    request : (n,) int array
        Which request each belongs to.
    """
    ranks = [rankdata(values) for values in (one, other)]
    spreads = [float(values.std()) for values in ranks]
    if min(spreads) == 0:
        return float("nan"), float("nan")
    a, b = ((values - values.mean()) / spread for values, spread in zip(ranks, spreads, strict=True))
    rho = float((a * b).mean())
    influence = a * b - rho / 2 * (a**2 + b**2)
    _, cluster = np.unique(request, return_inverse=True)
    sums = np.bincount(cluster, weights=influence)
    return rho, float(np.sqrt((sums**2).sum())) / len(one)


def price_suspicions(log: Log) -> Iterator[Suspicion]:
    """Yield one suspicion for each intent in which prices differ and answers are judged."""
    price = _price(log)
    known = np.isfinite(price) & np.isfinite(log.useful) & ~log.failed
    names = log.intents or ("",)
    for code, intent in enumerate(names):
        at = known & ((log.intent == code) if log.intents else True)
        if at.sum() < _MIN_ROWS or len(np.unique(log.model[at])) < 2:
            continue
        rho, error = rank_correlation(price[at], log.useful[at], log.request[at])
        if not np.isfinite(rho) or error == 0:
            continue
        of_model = {m: float(np.median(price[at & (log.model == m)])) for m in np.unique(log.model[at]).tolist()}
        cheapest = min(of_model, key=lambda m: of_model[m])
        paid = at & log.served if log.says_served else at
        times = float(np.median(price[paid])) / of_model[cheapest] if paid.any() and of_model[cheapest] > 0 else 1.0
        of = f"for {intent}" if intent else "over all requests"
        yield Suspicion(
            check=PRICE_AND_USE,
            p=float(norm.cdf((rho - RELATED) / error)),
            severity="medium",
            large=times >= _OVERPAID,
            what=f"{of} a dearer token is no more useful, and "
            f"{times:.2g} times the price of {log.models[cheapest]} is paid",
            key=intent or "useful",
            numbers=(
                Measure("rank correlation", rho, rho - 1.96 * error, rho + 1.96 * error),
                Measure("times the price of the cheapest", times, unit="ratio"),
            ),
        )


def price_table(log: Log) -> tuple[dict[str, Any], ...]:
    """Return the correlation for every intent, every model, and every model and intent with enough answers."""
    price = _price(log)
    known = np.isfinite(price) & np.isfinite(log.useful) & ~log.failed
    rows = []
    for model in (-1, *range(len(log.models))):
        for intent in (-1, *range(len(log.intents))):
            at = known & (model < 0 or log.model == model) & (intent < 0 or log.intent == intent)
            if at.sum() < _MIN_ROWS:
                continue
            rho, error = rank_correlation(price[at], log.useful[at], log.request[at])
            told = np.isfinite(rho)
            rows.append(
                {
                    "model": log.models[model] if model >= 0 else None,
                    "intent": log.intents[intent] if intent >= 0 else None,
                    "answers": int(at.sum()),
                    "rank_correlation": rho if told else None,
                    "low": rho - 1.96 * error if told else None,
                    "high": rho + 1.96 * error if told else None,
                }
            )
    return tuple(rows)


def _price(log: Log) -> Floats:
    """Return USD per 1,000 tokens of each answer by its model's own cost, (n,); NaN where unknown."""
    own = log.cost_usd - log.around_usd
    return np.where(log.tokens > 0, 1000 * own / np.where(log.tokens > 0, log.tokens, 1.0), np.nan)
