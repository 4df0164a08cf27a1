"""How often a certificate from logs is broken in truth: search, folds and fixed sequence on doubly robust scores.

    python tests/benchmarks/logged_certificates.py [--repeats 200] [--requests 2000] [--floor 0.1] [--margin 0.05]
                                                    [--search] [--json F]

Each repeat draws requests at three candidates, lets a simulated production choose (mostly the dearest, each of the
others with the probability --floor at least), hides every other outcome, and goes the whole way: doubly robust scores,
the search (a grid of rules that takes milliseconds; with --search the real one), the same again in folds, the
certificate with a later slice. The world is known, so the rule that was certified is then judged on 100,000 fresh
requests: a limit is broken where the truth is beyond it. At a confidence of 95 % that may happen to at most 5 % of the
repeats.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import beta

from pointsman.decide import Beliefs, decide
from pointsman.estimated import doubts, estimated_outcomes
from pointsman.outcomes import Outcomes
from pointsman.propensity import Propensities
from pointsman.replay import Served
from pointsman.rules import ValueRule
from pointsman.search import search
from pointsman.spec import RoutingSpec, parse_spec
from pointsman.tried import Bench, Tried
from pointsman.tuning import Known, certify, cross_fitted, path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MODELS = ("small", "middle", "big")

COST = np.array([1.0, 3.0, 10.0])

LIMIT_MS = 1000.0


@dataclass(frozen=True, eq=False)
class World:
    """n requests of four intents with every outcome.

    Attributes
    ----------
    beliefs : Beliefs
        Right on average, wrong by a tenth for each request.
    outcomes : Outcomes
    chance : (n, m) float array
        With which production would choose each candidate.
    """

    beliefs: Beliefs
    outcomes: Outcomes
    chance: NDArray[np.float64]

    @classmethod
    def drawn(cls, n: int, generator: np.random.Generator, floor: float) -> World:
        """Draw requests."""
        intent = generator.integers(0, 4, n)
        hard = np.clip(generator.beta(1 + intent, 4) + generator.normal(0, 0.05, n), 0, 1)
        p_useful = np.stack([0.97 - 0.75 * hard, 0.96 - 0.3 * hard, 0.95 - 0.1 * hard])
        p_late = np.stack([np.full(n, 0.01), 0.01 + 0.04 * hard, 0.02 + 0.03 * hard])
        useful, late = (generator.random((3, n)) < p for p in (p_useful, p_late))
        believed = np.clip(p_useful + generator.normal(0, 0.1, (3, n)), 0, 1).astype(np.float32)
        usual = np.stack([[row[intent == code].mean() for code in range(4)] for row in p_useful])
        cost = np.broadcast_to(COST[:, None], (3, n)).astype(np.float64)
        beliefs = Beliefs(
            intent=intent.astype(np.intp),
            query_useful=believed,
            intent_useful=usual[:, intent].astype(np.float32),
            cost_usd=cost.astype(np.float32),
            late=p_late.astype(np.float32),
            eligible=np.ones((3, n), dtype=np.bool_),
            confidence=np.ones(n, dtype=np.float32),
            models=MODELS,
            intents=("a", "b", "c", "d"),
        )
        # What the small one fails at goes to it more rarely: without weights it would look better than it is.
        leaning = np.column_stack([np.exp(1 - 3 * hard), np.full(n, 1.0), np.exp(1.5 + hard)])
        chance = floor + (1 - 3 * floor) * leaning / leaning.sum(axis=1, keepdims=True)
        blank = np.full(n, "", dtype=object)
        outcomes = Outcomes(
            request_id=np.array([f"r{generator.integers(2**60)}" for _ in range(n)], dtype=object),
            prompt=blank,
            intent=np.array(beliefs.intents, dtype=object)[intent],
            modality=blank,
            timestamp=np.arange(n).astype("datetime64[us]"),
            context_tokens=np.zeros(n, dtype=np.int64),
            models=MODELS,
            useful=useful.T.astype(np.float64),
            cost_usd=cost.T * generator.lognormal(0, 0.3, (n, 3)),
            latency_ms=np.where(late.T, 2 * LIMIT_MS, LIMIT_MS / 2),
            hallucinated=np.full((n, 3), np.nan),
            output_tokens=np.full((n, 3), np.nan),
            failure=np.full((n, 3), "", dtype=object),
            logged=np.full(n, -1, dtype=np.intp),
        )
        return cls(beliefs, outcomes, chance)

    def known(self) -> Known:
        """Return the requests as a full replay would tell of them."""
        return Known(self.beliefs, self.outcomes, Served.by(self.outcomes, np.full(len(self.outcomes), 2)))

    def logged(self, generator: np.random.Generator) -> tuple[Known, Outcomes, Propensities]:
        """Return the requests as a log tells of them: one outcome each, and how probable it was to be that one."""
        n, full = len(self.outcomes), self.outcomes
        logged = (generator.random((n, 1)) > self.chance.cumsum(axis=1)).sum(axis=1).clip(max=2).astype(np.intp)
        seen = np.arange(3) == logged[:, None]
        arrays = {name: np.where(seen, getattr(full, name), np.nan) for name in ("useful", "cost_usd", "latency_ms")}
        told = Outcomes(**{**vars(full), **arrays, "logged": logged})
        chances = Propensities(logged, self.chance[np.arange(n), logged], np.zeros(n, dtype=np.bool_))
        scores = estimated_outcomes(told, self.beliefs, chances, LIMIT_MS)[0]
        return Known(self.beliefs, scores, Served.by(scores, np.full(n, 2))), told, chances


@dataclass(frozen=True)
class Outcome:
    """One repeat: what was certified, and what of it is true."""

    certified: bool
    untold: bool
    broken: tuple[str, ...]
    bold_broken: bool
    cost: float


def grid(part: Known, spec: RoutingSpec) -> Sequence[Tried]:
    """Try the same rules whatever the requests are."""
    bench = Bench(part.beliefs, part.objective(spec))
    prices = np.geomspace(1, 1e4, 25)
    return [bench(ValueRule(trust, float(price))) for trust in (0.0, 0.5, 1.0) for price in prices]


def spec_of(margin: float) -> RoutingSpec:
    """Return the promise to be certified."""
    return parse_spec(
        {
            "candidates": {name: {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 1.0} for name in MODELS},
            "baseline": "big",
            "safe_model": "small",
            "constraints": {
                "p95_latency_ms": LIMIT_MS,
                "useful_rate": {"relative_to": "baseline", "margin": margin},
                "confidence": 0.95,
            },
        }
    )


def repeat(seed: int, n: int, floor: float, truth: Known, spec: RoutingSpec, *, real: bool) -> Outcome:
    """Go the whole way once."""
    generator = np.random.default_rng(seed)
    learn = World.drawn(n, generator, floor).logged(generator)[0]
    later_world = World.drawn(n // 4, generator, floor)
    later, told, chances = later_world.logged(generator)

    def find(part: Known) -> Sequence[Tried]:
        if not real:
            return grid(part, spec)
        return search(part.beliefs, part.objective(spec), MODELS, "big", 0, strict=False).tried

    steps = path(find(learn))
    if not steps:
        return Outcome(certified=False, untold=False, broken=(), bold_broken=False, cost=float("nan"))
    earlier = cross_fitted(learn, np.arange(n) % 5, steps, find)
    choices = [decide(later.beliefs, step.rule) for step in steps]
    untold = doubts(told, later.beliefs, chances, choices, np.full(n // 4, 2), "big")
    found = certify(steps, [later], spec, earlier, seed, untold)
    broken = breaks(truth, truth.served(steps[found.chosen].rule), spec) if found.certified else ()
    cost = float(truth.served(steps[found.chosen].rule).cost_usd.mean() / truth.before.cost_usd.mean())
    bold = bool(breaks(truth, truth.served(steps[-1].rule), spec))
    return Outcome(found.certified, untold[0] is not None, broken, bold, cost)


def breaks(truth: Known, served: Served, spec: RoutingSpec) -> tuple[str, ...]:
    """Name the limits that a policy does not keep in truth."""
    margin = spec.constraints.useful_rate.margin  # type: ignore[union-attr]
    late = float((served.latency_ms > LIMIT_MS).mean())
    lost = float((truth.before.useful - served.useful).mean())
    return tuple(name for name, is_so in (("late", late > 0.05), ("useful", lost > margin)) if is_so)


def main() -> int:
    """Print how often certificates were given, and broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--requests", type=int, default=2000, help="to learn from; a quarter more come later")
    parser.add_argument("--floor", type=float, default=0.1, help="smallest propensity")
    parser.add_argument("--margin", type=float, default=0.05, help="allowed loss of usefulness")
    parser.add_argument("--search", action="store_true", help="the real search, some seconds a repeat")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    spec = spec_of(args.margin)
    truth = World.drawn(100_000, np.random.default_rng(10**6), args.floor).known()
    found = [repeat(seed, args.requests, args.floor, truth, spec, real=args.search) for seed in range(args.repeats)]
    given = [one for one in found if one.certified]
    broken = sum(bool(one.broken) for one in given)
    most = float(beta.ppf(0.975, broken + 1, args.repeats - broken)) if broken < args.repeats else 1.0
    row = {
        "repeats": args.repeats,
        "requests": args.requests,
        "floor": args.floor,
        "certified": len(given),
        "untold": sum(one.untold for one in found),
        "broken": broken,
        "broken_share": broken / args.repeats,
        "broken_share_at_most": most,
        "cheapest_rule_broken": sum(one.bold_broken for one in found),
        "cost_of_certified": float(np.mean([one.cost for one in given])) if given else None,
        "broken_by": {name: sum(name in one.broken for one in given) for name in ("late", "useful")},
    }
    print(json.dumps(row, indent=2))
    if args.json:
        args.json.write_text(json.dumps(row, indent=2) + os.linesep, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
