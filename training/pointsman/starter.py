"""A routing spec to start from, made of what the traces show."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pointsman.costs import Price, full_cost_usd
from pointsman.errors import SpecError, TraceError
from pointsman.pricing.price_files import read_prices
from pointsman.replay import quantile
from pointsman.spec import AS_LOGGED, BEST_SINGLE, RoutingSpec, parse_spec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

__all__ = ["starter_spec"]


def starter_spec(
    rows: pd.DataFrame,
    prices: Path | None = None,
    baseline: str = BEST_SINGLE,
    margin: float = 0.01,
    confidence: float = 0.95,
    modelled: Sequence[str] = (),
) -> RoutingSpec:
    """Return a spec: the models of the traces as candidates, P95 near the baseline's, usefulness kept.

    The P95 limit is a tenth above the baseline's, rounded up to two digits. The safe model is the candidate whose
    answers cost least on average.

    Parameters
    ----------
    rows : pandas.DataFrame
        Validated trace rows.
    prices : Path, optional
        A price table, see `read_prices`, of which the latest prices count; the models it does not list are no
        candidates. Without it every model is one, and its rows must carry ``cost_usd``.
    baseline : str
        A model, ``as_logged`` or ``best_single``.
    margin, confidence : float
        Of the useful rate's constraint.
    modelled : sequence of str
        Columns that were modelled.

    Raises
    ------
    SpecError
        Where the price list cannot be read or names no model of the traces, or an argument is not allowed.
    TraceError
        Where the cost of a candidate is unknown, or the baseline is ``as_logged`` and no row is ``chosen``.
    """
    models = [str(name) for name in rows["model"].unique()]
    candidates = dict.fromkeys(models, Price())
    if prices is not None:
        candidates = read_prices(prices).candidates(models)
        if not candidates:
            raise SpecError(f"{prices}: lists none of the models of the traces; allowed: {', '.join(models)}")
    used = rows[rows["model"].isin(list(candidates))]
    used = used.assign(cost=full_cost_usd(used, candidates))
    useful, cost = used.groupby("model")["useful"].mean().fillna(0.0), used.groupby("model")["cost"].mean()
    document: dict[str, Any] = {
        "candidates": {
            model: {name: rate for name, rate in vars(price).items() if rate is not None}
            for model, price in candidates.items()
        },
        "baseline": baseline,
        "safe_model": min(candidates, key=lambda model: (float(cost[model]), -float(useful[model]))),
        "constraints": {"useful_rate": {"relative_to": "baseline", "margin": margin}, "confidence": confidence},
        "modelled": list(modelled),
    }
    if baseline == AS_LOGGED:
        latency = used.loc[used["chosen"].fillna(False).astype(bool), "latency_ms"]
        if latency.empty:
            raise TraceError(
                "baseline as_logged needs chosen=true on one row of each request; no row of a candidate has it: "
                "mark them, or name a model or best_single as the baseline"
            )
    else:
        latency = used.loc[used["model"] == (useful.idxmax() if baseline == BEST_SINGLE else baseline), "latency_ms"]
    # A tenth of room: a baseline that must prove to be no later than itself would fail on every finite sample.
    limit = _rounded_up(1.1 * quantile(latency.to_numpy(dtype=float), 0.95)) if len(latency) else 0.0
    if limit > 0:
        document["constraints"] = {"p95_latency_ms": limit, **document["constraints"]}
    return parse_spec(document, source="starter spec")


def _rounded_up(value: float) -> float:
    """Return a number rounded up to two digits."""
    if value <= 0:
        return 0.0
    digit = math.floor(math.log10(value)) - 1
    # Without the inner rounding 220.00000000000003 would become 230.
    return float(f"{math.ceil(round(value / 10.0**digit, 9))}e{digit}")
