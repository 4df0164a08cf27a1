"""A routing spec to start from, made of what the traces show."""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING, Any

from pointsman.costs import Price, full_cost_usd
from pointsman.errors import SpecError, TraceError
from pointsman.replay import quantile
from pointsman.spec import AS_LOGGED, BEST_SINGLE, RoutingSpec, parse_spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd

__all__ = ["starter_spec"]

RATES = ("input_usd_per_mtok", "output_usd_per_mtok")
PRICE_COLUMNS = ("model", *RATES)


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
        CSV with ``model, input_usd_per_mtok, output_usd_per_mtok``; the models it does not list are no candidates.
        Without it every model is one, and its rows must carry ``cost_usd``.
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
    candidates: dict[str, dict[str, float]] = {model: {} for model in models}
    if prices is not None:
        listed = _price_list(prices)
        candidates = {model: rates for model, rates in listed.items() if model in models}
        if not candidates:
            raise SpecError(f"{prices}: lists none of the models of the traces; allowed: {', '.join(models)}")
    used = rows[rows["model"].isin(list(candidates))]
    used = used.assign(cost=full_cost_usd(used, {model: Price(**rates) for model, rates in candidates.items()}))
    useful, cost = used.groupby("model")["useful"].mean().fillna(0.0), used.groupby("model")["cost"].mean()
    document: dict[str, Any] = {
        "candidates": candidates,
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


def _price_list(path: Path) -> dict[str, dict[str, float]]:
    prices: dict[str, dict[str, float]] = {}
    for line, row in _price_rows(path):
        model = row["model"].strip()
        if not model or model in prices:
            allowed = "listed before; each model once is allowed" if model else "nothing; a model's name is needed"
            raise SpecError(f"{path}, line {line}: model is {f'{model!r}, ' if model else ''}{allowed}")
        prices[model] = {name: _rate(row[name], f"{path}, line {line}: {name}") for name in RATES if row[name].strip()}
    return prices


def _price_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Give each row of the price list with its line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True, restval="", restkey="")
            missing = [name for name in PRICE_COLUMNS if name not in (reader.fieldnames or [])]
            if missing:
                s, needed = "s" * (len(missing) > 1), ", ".join(PRICE_COLUMNS)
                raise SpecError(f"{path}: missing column{s} {', '.join(missing)}; needed: {needed}")
            for row in reader:
                if "" in row:
                    raise SpecError(f"{path}, line {reader.line_num}: more cells than the header's {len(row) - 1}")
                yield reader.line_num, row
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, csv.Error) as error:
        raise SpecError(f"{path}: not a readable CSV: {error}") from error


def _rate(text: str, where: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not (math.isfinite(rate) and rate >= 0):
        raise SpecError(f"{where} is {text.strip()!r}; a number of at least 0 is allowed")
    return rate
