"""The search space: which rules a study may choose from, and the parameters that stand for each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.rules import Abstain, LadderRule, Rule, ValueRule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import optuna

    from pointsman.decide import Beliefs
    from pointsman.objective import Objective
    from pointsman.spec import AbstainSpec

__all__ = ["FAMILIES", "Space", "as_today"]

FAMILIES = ("value", "ladder")
"""The rule families."""

NEVER = 1.01
"""A ladder threshold that no probability reaches."""

MAX_DOUBT = 0.9
"""Largest confidence below which a searched abstention is tried."""

DOUBTS = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Shares of the least confident requests that a searched abstention starts from."""

PRICES = 61
"""Prices of usefulness in the grid."""

PRICES_WITH_LATE = 31
"""The same where each is tried with every price of lateness."""

LATE_SHARES = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Prices of a late response in the grid, as multiples of the price of usefulness."""


@dataclass(frozen=True)
class Space:
    """What the study may choose from.

    Attributes
    ----------
    models : tuple of str
        Candidates, cheap to dear.
    prices : tuple of float
        Least and largest price of usefulness, USD.
    late : bool
        Whether there is a latency limit, and so a price of being late.
    families : tuple of str
        Of `FAMILIES`; with a single one the space has no branches.
    abstain : Abstain or None
        As the spec fixes it; with `below_confidence` 0 where it is searched for.
    doubts : tuple of float
        Confidences to start from where it is searched for; else empty.
    """

    models: tuple[str, ...]
    prices: tuple[float, float]
    late: bool
    families: tuple[str, ...] = FAMILIES
    abstain: Abstain | None = None
    doubts: tuple[float, ...] = ()

    @classmethod
    def of(
        cls, beliefs: Beliefs, objective: Objective, models: Sequence[str], families: tuple[str, ...] = FAMILIES
    ) -> Space:
        """Span the prices from «only cost» to «only usefulness»."""
        dearest = float(beliefs.cost_usd.max())
        prices = max(dearest * 1e-3, 1e-9), max(dearest * 1e3, 1e-3)
        asked = objective.spec.rules.abstain
        searched = asked is not None and asked.below_confidence == "searched"
        return cls(
            tuple(models),
            prices,
            objective.spec.constraints.p95_latency_ms is not None,
            families,
            None if asked is None else _asked(asked),
            tuple(map(float, np.clip(np.quantile(beliefs.confidence, DOUBTS), 0, MAX_DOUBT))) if searched else (),
        )

    @property
    def free(self) -> float:
        """The least price of a late response, USD: it stands for none at all, which a log scale cannot hold."""
        return self.prices[0] * 1e-3

    def suggest(self, trial: optuna.Trial) -> Rule:
        """Let the study choose."""
        kind = trial.suggest_categorical("rule", self.families) if len(self.families) > 1 else self.families[0]
        trial.suggest_float("trust", 0.0, 1.0)
        if kind == "value":
            trial.suggest_float("useful_value_usd", *self.prices, log=True)
            if self.late:
                trial.suggest_float("late_cost_usd", self.free, self.prices[1], log=True)
        else:
            for model in self.models:
                trial.suggest_float(f"min_p_useful:{model}", 0.0, NEVER)
            if self.late:
                trial.suggest_float("max_p_late", 0.0, 1.0)
        if self.doubts:
            trial.suggest_float("below_confidence", 0.0, MAX_DOUBT)
        return self.rule(trial.params)

    def rule(self, params: dict[str, Any]) -> Rule:
        """Return the rule that a trial's parameters stand for."""
        abstain = self.abstain
        if abstain is not None and "below_confidence" in params:
            abstain = replace(abstain, below_confidence=params["below_confidence"])
        if params.get("rule", self.families[0]) == "value":
            late_cost = params.get("late_cost_usd", self.free)
            late_cost = late_cost if late_cost > self.free else 0.0
            return ValueRule(params["trust"], params["useful_value_usd"], late_cost, abstain=abstain)
        thresholds = {model: params[f"min_p_useful:{model}"] for model in self.models}
        return LadderRule(params["trust"], thresholds, params.get("max_p_late", 1.0), abstain=abstain)

    def params(self, rule: Rule) -> dict[str, Any]:
        """Return the parameters that stand for a rule."""
        params: dict[str, Any] = {"rule": rule.kind} if len(self.families) > 1 else {}
        params["trust"] = rule.trust
        if self.doubts and rule.abstain is not None:
            params["below_confidence"] = rule.abstain.below_confidence
        if isinstance(rule, ValueRule):
            params["useful_value_usd"] = rule.useful_value_usd
            return {**params, "late_cost_usd": max(rule.late_cost_usd, self.free)} if self.late else params
        if isinstance(rule, LadderRule):
            params |= {f"min_p_useful:{model}": threshold for model, threshold in rule.min_p_useful.items()}
        return {**params, "max_p_late": 1.0} if self.late else params

    def grid(self, trust: float) -> Iterator[ValueRule]:
        """Yield the Lagrangian's rules: every price of usefulness with every price of being late."""
        for share in self.late_shares:
            for value in self.steps():
                yield self.along(trust, value, share)

    def along(self, trust: float, value: float, late_share: float) -> ValueRule:
        """Return the rule with a late response's price in a fixed proportion to that of usefulness, USD."""
        low, high = self.prices
        late_cost = min(value * late_share, high)
        return ValueRule(trust, min(max(value, low), high), late_cost, abstain=self.abstain)

    @property
    def late_shares(self) -> tuple[float, ...]:
        """The grid's prices of a late response, as multiples of the price of usefulness."""
        return (0.0, *LATE_SHARES) if self.late else (0.0,)

    def doubtful(self, rule: ValueRule) -> Iterator[ValueRule]:
        """Yield a rule with each confidence that a searched abstention starts from."""
        if self.abstain is not None:
            for below in self.doubts:
                yield replace(rule, abstain=replace(self.abstain, below_confidence=below))

    def steps(self) -> list[float]:
        """Return the grid's prices of usefulness, USD."""
        low, high = self.prices
        steps = np.geomspace(low, high, PRICES_WITH_LATE if self.late else PRICES)
        return [float(value) for value in np.clip(steps, low, high)]


def _asked(spec: AbstainSpec) -> Abstain:
    """Return the abstention that a spec fixes; where its confidence is searched for, 0 of it."""
    below = 0.0 if spec.below_confidence == "searched" else float(spec.below_confidence)
    alarms = spec.out_of_scope_false_alarms
    return Abstain(below, spec.model, None if alarms is None else 1 - alarms)


def as_today(space: Space, baseline: str) -> LadderRule:
    """Return the rule that sends everything that the baseline can take to it, but for what the spec abstains from."""
    thresholds = {model: 0.0 if model == baseline else NEVER for model in space.models}
    return LadderRule(0.0, thresholds, abstain=space.abstain)
