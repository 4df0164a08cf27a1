"""pointsman's own row among its peers: what `pointsman fit` does, in process and without the ONNX export."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from frontier import Path, Reference, area

from pointsman.classifier import read
from pointsman.decide import Beliefs, Reading, believe, decide
from pointsman.draft import Draft, draft_policy
from pointsman.errors import InfeasibleError
from pointsman.fit import FitOptions, _train, silent
from pointsman.labels import IntentLabels, intent_labels
from pointsman.replay import facts_of
from pointsman.rules import ValueRule
from pointsman.slices import time_slices
from pointsman.spec import RoutingSpec, parse_spec
from pointsman.tune import certified, tune, tuned_policy

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from outcome_sets import OutcomeSet, RememberingEncoder, Split

    from pointsman.cross_fitting import CrossFit
    from pointsman.outcomes import Outcomes

__all__ = ["Learned", "Routed", "learn", "route", "routing_spec", "trust_of", "value_path"]

TRUSTS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class Learned:
    """What pointsman learned of a training part, and what it believes of both parts.

    Attributes
    ----------
    learn : Outcomes
        Of the requests that train and tune.
    later : tuple of tuple of Outcomes and Reading
        The slices that calibrate and certify.
    expected_usd : (n, m) float array
        Expected costs of all n training requests, by what was learned without the request.
    labels : IntentLabels
    crossed : CrossFit
    draft : Draft
    seen, unseen : Beliefs
        Of the learn slice, out of fold, and of the requests to be judged on.
    """

    learn: Outcomes
    later: tuple[tuple[Outcomes, Reading], ...]
    expected_usd: NDArray[np.floating[Any]]
    labels: IntentLabels
    crossed: CrossFit
    draft: Draft
    seen: Beliefs
    unseen: Beliefs


@dataclass(frozen=True, eq=False)
class Routed:
    """Where the b unseen requests go.

    Attributes
    ----------
    chosen : (b,) intp array
        By the policy that is exported: the boldest certified one, the most careful one where none is.
    certified : bool
        The certificate holds.
    uncertified : (b,) intp array
        By the best rule that met the constraints where it was tuned: what ``certificate: none`` exports.
    """

    chosen: NDArray[np.intp]
    certified: bool
    uncertified: NDArray[np.intp]


def routing_spec(one: OutcomeSet, best: int, margin: float, coming: int) -> RoutingSpec:
    """Return the spec of the comparison: at most `margin` less useful than the best single model, 95 % confidence.

    The promise is judged on `coming` requests, and says so.
    """
    models = one.outcomes.models
    useful = {"relative_to": "baseline", "margin": margin}
    document = {
        "candidates": {name: vars(one.prices[name]) for name in models},
        "baseline": models[best],
        "safe_model": models[0],
        "constraints": {"useful_rate": useful, "confidence": 0.95, "holds_over_requests": coming},
    }
    return parse_spec(document)


def learn(one: OutcomeSet, split: Split, encoder: RememberingEncoder, spec: RoutingSpec) -> Learned:
    """Slice, train and draft as `pointsman fit` does."""
    train, asked = one.outcomes.take(split.train), one.outcomes.take(split.test)
    slices = time_slices(train.timestamp)
    part, *later = (train.take(at) for at in (slices.learn, slices.calibrate, slices.certify))
    labels = intent_labels(part.intent)
    crossed = _train(part, later[0], labels, encoder, FitOptions(), silent)
    draft = draft_policy(part, labels, crossed, spec, encoder.clip)
    # The averages hold these very requests; what is tuned on must be what requests to come will see.
    seen = replace(
        believe(crossed.reading, facts_of(part), draft.policy),
        intent_useful=crossed.intent_useful.T.astype(np.float32),
        cost_usd=draft.cost_usd.T.astype(np.float32),
        late=draft.late.T.astype(np.float32),
    )
    readings = [read(encoder, crossed.heads, list(outcomes.prompt)) for outcomes in (*later, asked)]
    beliefs = [
        believe(reading, facts_of(outcomes), draft.policy)
        for outcomes, reading in zip((*later, asked), readings, strict=True)
    ]
    expected = np.empty(train.useful.shape)
    for at, known in zip((slices.learn, slices.calibrate, slices.certify), (seen, *beliefs), strict=False):
        expected[at] = known.cost_usd.T
    pairs = tuple(zip(later, readings, strict=False))
    return Learned(part, pairs, expected, labels, crossed, draft, seen, beliefs[-1])


def route(learned: Learned, spec: RoutingSpec, options: FitOptions) -> Routed:
    """Tune, certify and route the unseen requests; to the baseline where no rule meets the constraints at all."""
    draft = learned.draft
    column = draft.policy.models.index(spec.baseline)
    unrouted = np.full(learned.unseen.cost_usd.shape[1], column, dtype=np.intp)
    try:
        tuned = tune(learned.learn, learned.labels, learned.crossed, draft, spec, options, silent)
    except InfeasibleError:
        return Routed(unrouted, False, unrouted)
    certificate = certified(tuned, draft, learned.later, spec, options, silent)
    policy, _ = tuned_policy(draft, tuned, certificate, spec)
    feasible = tuned.found.evaluation.feasible
    return Routed(
        chosen=decide(learned.unseen, policy.rule),
        certified=certificate is not None and certificate.certified,
        uncertified=decide(learned.unseen, tuned.found.rule) if feasible else unrouted,
    )


def value_path(beliefs: Beliefs, outcomes: Outcomes, trust: float, values: NDArray[np.float64]) -> Path:
    """Return what the requests get under a value rule of that trust at each price of usefulness."""
    chosen = np.stack([decide(beliefs, ValueRule(trust, float(value))) for value in values])
    rows = np.arange(len(outcomes))
    useful, cost = outcomes.useful.astype(np.float32), outcomes.cost_usd.astype(np.float32)
    return Path(useful[rows, chosen], cost[rows, chosen])


def trust_of(learned: Learned, best: int, values: NDArray[np.float64]) -> float:
    """Return the trust of largest area under the frontier, on the out-of-fold beliefs of the learn slice."""
    part = learned.learn
    reference = Reference.of(part.useful, part.cost_usd, best)
    return max(TRUSTS, key=lambda trust: area(value_path(learned.seen, part, trust, values), reference))
