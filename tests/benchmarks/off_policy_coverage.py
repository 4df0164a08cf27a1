"""How often off-policy intervals cover the truth: a known logging policy simulated over full-information outcomes.

    python tests/benchmarks/off_policy_coverage.py [--repeats 1000] [--requests 3000] [--sets NAME ...] [--data DIR]
                                                   [--logging NAME ...] [--json F]

Each repeat hides all outcomes but those of the candidate that a simulated production drew, estimates a fixed policy
from what is left, and asks whether the 95 % interval holds the truth that all outcomes together tell. The policy sends
short prompts to the cheapest candidate and else each intent to the cheapest within five points of the intent's best;
it is compared with the best single candidate. Two truths: «new requests» redraws the requests too, with replacement,
and the truth is the mean over the whole set (what the intervals are for); «these requests» keeps the requests and
redraws only production's choices (the same intervals are then wider than they need be). Nothing is encoded:
predictions are averages over intent and candidate.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pointsman.exploration import MIN_ESS, overlap
from pointsman.intervals import difference, interval, ratio, ratio_interval
from pointsman.offpolicy import (
    ESTIMATORS,
    FLOOR,
    effective_sample_size,
    estimate,
    importance_weights,
    logged_mean,
    out_of_fold_means,
)
from pointsman.propensity import Propensities, check_propensities, estimate_propensities
from pointsman.support import MAX_CLIPPED, MAX_UNSUPPORTED, MAX_WEIGHT_SHARE, tellable
from pointsman.tables import markdown

Floats = NDArray[np.float64]

QUANTITIES = ("useful", "Δ useful", "Δ cost", "Δ useful as_logged", "cost per useful")

FOLDS = 5

Entry = tuple[float, float, float, bool]
"""An estimate, the ends of its interval, and whether enough requests carry its spread."""


@dataclass(frozen=True, eq=False)
class Population:
    """A set's outcomes, all known.

    Attributes
    ----------
    useful, cost_usd : (n, m) float64 array
    codes : (n,) intp array
    length : (n,) float64 array
        Of the prompt: log characters, standardised.
    target, single : (n,) intp array
        The policy and the best single candidate.
    """

    name: str
    useful: Floats
    cost_usd: Floats
    codes: NDArray[np.intp]
    length: Floats
    target: NDArray[np.intp]
    single: NDArray[np.intp]

    @classmethod
    def read(cls, source: Path) -> Population:
        """Read a set of the trace-table format and fix the policies to compare."""
        rows = pd.read_parquet(source / "traces.parquet")
        prices = pd.read_csv(source / "candidates.csv").set_index("model")
        tokens = rows[["input_tokens", "output_tokens"]].to_numpy(dtype=np.float64)
        rate = prices.loc[rows["model"], ["input_usd_per_mtok", "output_usd_per_mtok"]].to_numpy(dtype=np.float64)
        rows = rows.assign(cost_usd=(tokens * rate).sum(axis=1) / 1e6)
        useful, cost = (rows.pivot_table(index="request_id", columns="model", values=v) for v in ("useful", "cost_usd"))
        heads = rows.groupby("request_id")[["intent", "prompt"]].first().loc[useful.index]
        codes = np.unique(heads["intent"].to_numpy(dtype=np.str_), return_inverse=True)[1].astype(np.intp)
        length = np.log1p(heads["prompt"].str.len().to_numpy(dtype=np.float64))
        u, c = useful.to_numpy(dtype=np.float64), cost.to_numpy(dtype=np.float64)
        by_intent = np.array([u[codes == code].mean(axis=0) for code in range(codes.max() + 1)])
        near = by_intent >= by_intent.max(axis=1, keepdims=True) - 0.05
        length = (length - length.mean()) / length.std()
        target = np.where(near, c.mean(axis=0), np.inf).argmin(axis=1)[codes]
        target = np.where(length < -0.5, c.mean(axis=0).argmin(), target)
        single = np.full(len(u), u.mean(axis=0).argmax())
        return cls(source.name, u, c, codes, length, target, single)

    def take(self, at: NDArray[np.intp]) -> Population:
        """Return the requests at an index."""
        parts = {key: value if key == "name" else value[at] for key, value in vars(self).items()}
        return Population(**parts)

    def features(self) -> Floats:
        """Return intent indicators, prompt length and their product, (n, d): what estimated propensities look at."""
        intent = np.eye(self.codes.max() + 1)[self.codes]
        return np.hstack([intent, self.length[:, None]])


def logging_probabilities(population: Population, name: str) -> Floats:
    """Return with which probability production chooses each candidate, (n, m).

    ``uniform``; ``softmax``: cheaper is likelier, long prompts go to the dearer, each intent has tastes of its own, and
    4 % explore; ``epsilon 20 %``, ``epsilon 5 %``: the most likely of the softmax, else any candidate.
    """
    n, m = population.useful.shape
    if name == "uniform":
        return np.full((n, m), 1 / m)
    rank = population.cost_usd.mean(axis=0).argsort().argsort() / max(m - 1, 1)
    taste = np.random.default_rng(7).normal(0, 0.7, (population.codes.max() + 1, m))
    logits = -rank + population.length[:, None] * rank + taste[population.codes]
    if name == "softmax":
        likely = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(0.96 * likely / likely.sum(axis=1, keepdims=True) + 0.04 / m)
    share = {"epsilon 20 %": 0.20, "epsilon 5 %": 0.05}[name]
    return np.asarray((1 - share) * np.eye(m)[logits.argmax(axis=1)] + share / m)


def truths(population: Population, chances: Floats) -> dict[str, float]:
    """Return every quantity as all outcomes together tell it."""
    rows = np.arange(len(population.codes))
    useful, cost = population.useful[rows, population.target], population.cost_usd[rows, population.target]
    return {
        "useful": useful.mean(),
        "Δ useful": (useful - population.useful[rows, population.single]).mean(),
        "Δ cost": (cost - population.cost_usd[rows, population.single]).mean(),
        "Δ useful as_logged": (useful - (chances * population.useful).sum(axis=1)).mean(),
        "cost per useful": cost.mean() / useful.mean(),
    }


def repeat(
    population: Population, chances: Floats, generator: np.random.Generator, *, estimated: bool
) -> tuple[dict[str, dict[str, Entry]], bool]:
    """Draw one log; return value, low and high by estimator and quantity, and whether the data can tell."""
    n, m = chances.shape
    rows, folds = np.arange(n), generator.permutation(n) % FOLDS
    drawn = (generator.random((n, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    logged = np.minimum(drawn, m - 1).astype(np.intp)
    table: Floats = estimate_propensities(logged, population.features(), folds, m) if estimated else chances
    known = Propensities(logged, table[rows, logged], np.full(n, estimated))
    hidden = np.arange(m) != logged[:, None]
    useful, cost = (np.where(hidden, np.nan, values) for values in (population.useful, population.cost_usd))
    k = int(population.codes.max()) + 1
    models = [out_of_fold_means(values, population.codes, folds, k) for values in (useful, cost)]
    served = logged_mean(useful, logged)
    found: dict[str, dict[str, Entry]] = {}
    for name in ESTIMATORS:
        now, was = (estimate(name, useful, at, known, models[0]) for at in (population.target, population.single))
        spent, before = (
            estimate(name, cost, at, known, models[1], bounded=False) for at in (population.target, population.single)
        )
        ends = ratio_interval(spent, now)
        changes = {"Δ useful": (now, was), "Δ cost": (spent, before), "Δ useful as_logged": (now, served)}
        found[name] = {"useful": (now.value, *interval(now), tellable(now))}
        for quantity, pair in changes.items():
            change = difference(*pair)
            found[name][quantity] = (change.value, *interval(change, change=True), tellable(change))
        per = ratio(spent, now)
        found[name]["cost per useful"] = (per.value, *(ends or (-np.inf, np.inf)), ends is not None and tellable(per))
    intents = population.codes.astype(str).astype(object)
    supported = all(can_tell(useful, at, known, intents) for at in (population.target, population.single))
    return found, supported


def can_tell(
    values: Floats, chosen: NDArray[np.intp], propensities: Propensities, intents: NDArray[np.object_]
) -> bool:
    """Apply the report's rules to one policy."""
    weights = importance_weights(values, chosen, propensities, FLOOR)
    total = float(np.nansum(weights.weight))
    models = [str(column) for column in range(values.shape[1])]
    nothing = np.zeros(len(chosen), dtype=np.bool_)
    cells = overlap(chosen, propensities, nothing, intents, models, FLOOR)
    return (
        effective_sample_size(weights.weight) >= MIN_ESS
        and float(np.nanmax(weights.weight)) <= MAX_WEIGHT_SHARE * total
        and weights.clipped_share <= MAX_CLIPPED
        and sum(cell.share for cell in cells if not cell.supported) <= MAX_UNSUPPORTED
        and check_propensities(chosen, propensities, intents, models).holds
    )


def measure(
    whole: Population, logging: str, repeats: int, requests: int, seed: int, *, fixed: bool, estimated: bool
) -> list[dict[str, Any]]:
    """Repeat the simulation; return a row of figures for each estimator."""
    generator = np.random.default_rng(seed)
    n = min(requests, len(whole.codes))
    chances = logging_probabilities(whole, logging)
    at = generator.choice(len(whole.codes), n, replace=False)
    truth = truths(whole.take(at), chances[at]) if fixed else truths(whole, chances)
    drawn: dict[str, dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    told = []
    for _ in range(repeats):
        if not fixed:
            at = generator.integers(0, len(whole.codes), n)
        found, supported = repeat(whole.take(at), chances[at], generator, estimated=estimated)
        told.append(supported)
        for name, quantities in found.items():
            for quantity, entry in quantities.items():
                drawn[name][quantity].append(entry)
    can = np.array(told)
    rows = []
    for name, collected in drawn.items():
        row: dict[str, Any] = {
            "set": whole.name,
            "requests": n,
            "logging": logging,
            "propensities": "estimated" if estimated else "known",
            "truth": "these requests" if fixed else "new requests",
            "estimator": name,
            "repeats": repeats,
            "cannot_tell": float(1 - can.mean()),
        }
        for quantity, entries in collected.items():
            value, low, high, carried = np.array(entries, dtype=np.float64).T
            claims = can & (carried > 0)
            covered = (low <= truth[quantity]) & (truth[quantity] <= high)
            error = value - truth[quantity]
            row[quantity] = {
                "coverage": float(covered.mean()),
                "told": float(claims.mean()),
                "coverage_told": float(covered[claims].mean()) if claims.any() else None,
                "bias": float(error.mean()),
                "rmse": float(np.sqrt((error**2).mean())),
                "width": float((high - low)[np.isfinite(high - low)].mean()),
            }
        rows.append(row)
    return rows


def cell(figures: dict[str, Any]) -> str:
    """Return the coverage where a claim is made, and how often none is."""
    cannot = f"({100 * (1 - figures['told']):.0f})"
    return f"– {cannot}" if figures["told"] < 0.2 else f"{100 * figures['coverage_told']:.1f} {cannot}"


def render(rows: list[dict[str, Any]]) -> str:
    """Return the figures as a Markdown table."""
    repeats = rows[0]["repeats"]
    noise = 100 * np.sqrt(0.95 * 0.05 / repeats)
    head = ["set (requests)", "logging", "p", "truth", "estimator", *QUANTITIES]
    head += ["bias", "RMSE", "width"]
    table = [head]
    for row in rows:
        change = row["Δ useful"]
        coverage = [cell(row[quantity]) for quantity in QUANTITIES]
        points = [f"{100 * change[key]:.2f}" for key in ("bias", "rmse", "width")]
        table.append(
            [
                f"{row['set'].replace('_', ' ')} ({row['requests']:,})",
                row["logging"],
                row["propensities"],
                row["truth"],
                row["estimator"],
                *coverage,
                *points,
            ]
        )
    return (
        f"Coverage of 95 % intervals, per cent, over {repeats} repeats (Monte Carlo error {noise:.1f} points where 95 "
        "is right) where the report makes a claim; in brackets the share of repeats, per cent, where it cannot tell. "
        "No coverage is given where that is more than 80. Bias, RMSE and width: Δ useful, points, all repeats.\n\n"
        f"{markdown(table)}\n"
    )


LOGGING = ("uniform", "softmax", "epsilon 20 %", "epsilon 5 %")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("POINTSMAN_DATA", "../shared/data")))
    parser.add_argument("--sets", nargs="*")
    parser.add_argument("--logging", nargs="*", choices=LOGGING, default=LOGGING)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=3000, help="at most so many of a set")
    parser.add_argument("--truths", nargs="*", choices=("new", "these"), default=("new", "these"))
    parser.add_argument("--known-only", action="store_true", help="leave the estimated propensities out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    folder = args.data / "routing"
    if not folder.is_dir():
        sys.exit(f"{folder}: no outcome sets there; set POINTSMAN_DATA or --data")
    names = args.sets or sorted(path.parent.name for path in folder.glob("*/traces.parquet"))
    rows: list[dict[str, Any]] = []
    for name in names:
        whole = Population.read(folder / name)
        for logging in args.logging:
            for fixed, estimated in ((False, False), (True, False), (False, True)):
                wanted = ("these" if fixed else "new") in args.truths
                # Only the softmax is of the form that the estimate assumes.
                if not wanted or (estimated and (args.known_only or logging != "softmax")):
                    continue
                rows += measure(
                    whole, logging, args.repeats, args.requests, args.seed, fixed=fixed, estimated=estimated
                )
                sys.stderr.write(f"{name} {logging} {'these' if fixed else 'new'} {'estimated' * estimated}\n")
    sys.stdout.write(render(rows))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
