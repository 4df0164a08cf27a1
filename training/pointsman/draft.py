"""The policy before its thresholds are known: candidates, hard rules, fallbacks, and what each did per intent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pointsman.classifier import intent_table
from pointsman.policy import Candidate, Expected, Fallback, Policy, Text
from pointsman.rules import ValueRule

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pointsman.labels import IntentLabels
    from pointsman.outcomes import Outcomes
    from pointsman.spec import RoutingSpec
    from pointsman.text import Clip

__all__ = ["draft_policy"]


def draft_policy(
    learn: Outcomes, labels: IntentLabels, table: NDArray[np.float32], spec: RoutingSpec, clip: Clip
) -> Policy:
    """Return the policy with everything but its thresholds.

    Parameters
    ----------
    learn : Outcomes
        n requests; the candidates' order is the policy's.
    labels : IntentLabels
        Their intents, k.
    table : (k, m) float array
        Usefulness per intent, as the classifier learned it.
    spec : RoutingSpec
    clip : Clip
        How the encoder cuts prompts.
    """
    limit = spec.constraints.p95_latency_ms
    late = np.zeros_like(learn.latency_ms)
    if limit is not None:
        late = np.where(np.isfinite(learn.latency_ms), learn.latency_ms > limit, np.nan)
    costs, lateness = (intent_table(values, labels.codes, len(labels.names)) for values in (learn.cost_usd, late))
    # Rounded here, not on the way to disk: what was tuned is what is served.
    expected = Expected(*(_rounded(one) for one in (table, costs, lateness)))
    candidates = []
    for model in learn.models:
        one = spec.candidates[model].model_dump()
        candidates.append(Candidate(name=model, **{**one, "modalities": tuple(one["modalities"])}))
    return Policy(
        intents=labels.names,
        candidates=tuple(candidates),
        rule=ValueRule(0.0, 0.0),
        expected=expected,
        safe_model=spec.safe_model,
        pinned_intents=dict(spec.rules.intents),
        pinned_modalities={str(name): model for name, model in spec.rules.modalities.items()},
        fallbacks=_fallbacks(learn, spec),
        long_context_tokens=spec.long_context_tokens,
        guards=spec.guards.model_dump(exclude_none=True),
        text=Text(clip.head, clip.tail),
    )


def _rounded(table: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.round(table.astype(np.float64), 9).astype(np.float64)


def _fallbacks(learn: Outcomes, spec: RoutingSpec) -> tuple[Fallback, ...]:
    """Return the spec's fallbacks; where it is silent, every candidate, the most useful first."""
    if spec.fallbacks is None:
        by_use = np.argsort(-np.nanmean(learn.useful, axis=0), kind="stable")
        return tuple(Fallback(learn.models[index]) for index in by_use)
    return tuple(Fallback(one.model, tuple(one.when), one.cost_threshold_ms) for one in spec.fallbacks)
