"""A routing spec to start from, made of what the traces show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pointsman.errors import SpecError
from pointsman.replay import quantile
from pointsman.spec import AS_LOGGED, BEST_SINGLE, RoutingSpec, parse_spec

__all__ = ["starter_spec"]

PRICE_COLUMNS = ("model", "input_usd_per_mtok", "output_usd_per_mtok")


def starter_spec(
    rows: pd.DataFrame,
    prices: Path | None = None,
    baseline: str = BEST_SINGLE,
    margin: float = 0.01,
    confidence: float = 0.95,
    modelled: Sequence[str] = (),
) -> RoutingSpec:
    """Return a spec: every priced model of the traces a candidate, P95 at most a tenth above the baseline's, usefulness kept.

    Parameters
    ----------
    rows : pandas.DataFrame
        Validated trace rows.
    prices : Path, optional
        CSV with ``model, input_usd_per_mtok, output_usd_per_mtok``; without it the rows must carry ``cost_usd``.
    baseline : str
        A model, ``as_logged`` or ``best_single``.
    margin, confidence : float
        Of the useful rate's constraint.
    modelled : sequence of str
        Columns that were modelled.

    Raises
    ------
    SpecError
        Where the price list cannot be read or names no model of the traces.
    """
    models = [str(name) for name in rows["model"].unique()]
    candidates: dict[str, dict[str, Any]] = {model: {} for model in models}
    if prices is not None:
        listed = _price_list(prices)
        candidates = {model: listed[model] for model in listed if model in models}
        if not candidates:
            raise SpecError(f"{prices}: lists none of the models of the traces: {', '.join(models)}")
    used = rows[rows["model"].isin(list(candidates))]
    share = used.groupby("model")["useful"].mean().fillna(0.0)
    latency = used["latency_ms"]
    if baseline == AS_LOGGED:
        latency = used.loc[used["chosen"].fillna(False).astype(bool), "latency_ms"]
    else:
        reference = str(share.idxmax()) if baseline == BEST_SINGLE else baseline
        latency = used.loc[used["model"] == reference, "latency_ms"]
    constraints: dict[str, Any] = {"useful_rate": {"relative_to": "baseline", "margin": margin}, "confidence": confidence}
    if len(latency):
        # A tenth of room: a baseline that must prove to be no later than itself would fail on every finite sample.
        limit = 1.1 * quantile(latency.to_numpy(), 0.95)
        digit = 10 ** (math.floor(math.log10(max(limit, 1e-9))) - 1)
        constraints = {"p95_latency_ms": float(f"{math.ceil(limit / digit) * digit:.6g}"), **constraints}
    price_of = {model: one.get("output_usd_per_mtok", 0.0) for model, one in candidates.items()}
    mean_cost = used.groupby("model")["cost_usd"].mean()
    safe = min(candidates, key=lambda model: (price_of[model], float(mean_cost.get(model, 0.0)), -float(share[model])))
    document = {
        "candidates": candidates,
        "baseline": baseline,
        "safe_model": safe,
        "constraints": constraints,
        "modelled": list(modelled),
    }
    return parse_spec(document, source="starter spec")


def _price_list(path: Path) -> dict[str, dict[str, Any]]:
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise SpecError(f"{path}: not a readable CSV: {str(error).splitlines()[0]}") from error
    missing = [name for name in PRICE_COLUMNS if name not in table]
    if missing:
        raise SpecError(f"{path}: column {missing[0]} is missing; needed: {', '.join(PRICE_COLUMNS)}")
    prices = {}
    for row in table.to_dict("records"):
        prices[str(row["model"])] = {name: float(row[name]) for name in PRICE_COLUMNS[1:] if pd.notna(row[name])}
    return prices
