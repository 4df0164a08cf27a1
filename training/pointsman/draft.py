"""The policy before its thresholds are known: candidates, hard rules, fallbacks, and what each is expected to do."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from pointsman.expectations import Expectations, expectations
from pointsman.policy import Candidate, Fallback, Policy, Text
from pointsman.rules import ValueRule

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pointsman.cross_fitting import CrossFit
    from pointsman.labels import IntentLabels
    from pointsman.outcomes import Outcomes
    from pointsman.spec import RoutingSpec
    from pointsman.text import Clip

__all__ = ["Draft", "draft_policy"]


@dataclass(frozen=True, eq=False)
class Draft:
    """A policy without its thresholds, and what the search may know of the requests that it was learned from.

    Attributes
    ----------
    policy : Policy
    learned : Expectations
        What the policy expects, with what was expected of each request by what was learned without it.
    """

    policy: Policy
    learned: Expectations

    @property
    def cost_usd(self) -> NDArray[np.float64]:
        """Expected full cost, out of fold, (n, m) USD."""
        return self.learned.cost_usd

    @property
    def late(self) -> NDArray[np.float64]:
        """P(later than the limit), out of fold, (n, m)."""
        return self.learned.late

    @property
    def without_lengths(self) -> Draft:
        """The same draft by the intents' averages alone."""
        learned = self.learned.without_lengths
        return Draft(replace(self.policy, expected=learned.expected), learned)


def draft_policy(learn: Outcomes, labels: IntentLabels, crossed: CrossFit, spec: RoutingSpec, clip: Clip) -> Draft:
    """Return the policy with everything but its thresholds.

    Parameters
    ----------
    learn : Outcomes
        n requests; the candidates' order is the policy's.
    labels : IntentLabels
        Their intents, k.
    crossed : CrossFit
        The classifier that was learned from them.
    spec : RoutingSpec
    clip : Clip
        How the encoder cuts prompts.
    """
    limit_ms = spec.constraints.p95_latency_ms
    learned = expectations(learn, labels, crossed.heads.table, crossed.reading, crossed.folds, limit_ms)
    candidates, names = [], {field.name for field in fields(Candidate)}
    for model in learn.models:
        one = spec.candidates[model].model_dump(include=names)
        candidates.append(Candidate(name=model, **{**one, "modalities": tuple(one["modalities"])}))
    policy = Policy(
        intents=labels.names,
        candidates=tuple(candidates),
        rule=ValueRule(0.0, 0.0),
        expected=learned.expected,
        safe_model=spec.safe_model,
        pinned_intents=dict(spec.rules.intents),
        pinned_modalities={str(name): model for name, model in spec.rules.modalities.items()},
        fallbacks=_fallbacks(learn, spec),
        long_context_tokens=spec.long_context_tokens,
        long_context=spec.rules.long_context,
        guards=spec.guards.settings,
        text=Text(clip.head, clip.tail),
    )
    return Draft(policy, learned)


def _fallbacks(learn: Outcomes, spec: RoutingSpec) -> tuple[Fallback, ...]:
    """Return the spec's fallbacks; where it is silent, every candidate, the most useful first."""
    if spec.fallbacks is None:
        by_use = np.argsort(-np.nanmean(learn.useful, axis=0), kind="stable")
        return tuple(Fallback(learn.models[index]) for index in by_use)
    return tuple(Fallback(one.model, tuple(one.when), one.cost_threshold_ms) for one in spec.fallbacks)
