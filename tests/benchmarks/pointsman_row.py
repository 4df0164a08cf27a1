"""pointsman's own row among its peers: the product's classifier, expectations, search and `decide`, in process."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from frontier import Path, Reference, area
from scipy.special import expit

from pointsman.classifier import CrossFit, Features, cross_fit
from pointsman.decide import Beliefs, believe, decide
from pointsman.draft import Draft, draft_policy
from pointsman.errors import InfeasibleError
from pointsman.labels import IntentLabels, intent_labels
from pointsman.lexical import Lexicon
from pointsman.objective import Objective
from pointsman.replay import Served, baseline_columns, facts_of
from pointsman.rules import ValueRule
from pointsman.search import search
from pointsman.slices import prompt_folds
from pointsman.spec import RoutingSpec, parse_spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from outcome_sets import OutcomeSet, Split

    from pointsman.encoders import TransformerEncoder
    from pointsman.outcomes import Outcomes

__all__ = ["Learned", "learn", "pointsman_policy", "routing_spec", "trust_of", "value_path"]

CALIBRATE = 0.1
"""Share of the training requests, the latest, that only calibrates. The unseen part is what certifies."""

TRUSTS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class Learned:
    """What pointsman learned of a training part, and what it believes of both parts.

    Attributes
    ----------
    outcomes : Outcomes
        Of the a learn requests, which tune the policy.
    expected_usd : (n, m) float array
        Expected costs of all n training requests, by what was learned without the request.
    crossed : CrossFit
    labels : IntentLabels
    draft : Draft
    seen, unseen : Beliefs
        Of the learn requests, out of fold, and of the unseen ones.
    told : Beliefs
        Of the unseen ones where somebody tells their labelled intents, as `best_per_intent` is told.
    """

    outcomes: Outcomes
    expected_usd: NDArray[np.floating[Any]]
    crossed: CrossFit
    labels: IntentLabels
    draft: Draft
    seen: Beliefs
    unseen: Beliefs
    told: Beliefs


def routing_spec(one: OutcomeSet, margin: float) -> RoutingSpec:
    """Return the spec of the comparison: at most `margin` less useful than the best single model, 95 % confidence."""
    models = one.outcomes.models
    prices = {name: vars(one.prices[name]) for name in models}
    useful = {"relative_to": "baseline", "margin": margin}
    constraints = {"useful_rate": useful, "confidence": 0.95}
    document = {"candidates": prices, "baseline": "best_single", "safe_model": models[0], "constraints": constraints}
    return parse_spec(document)


def learn(one: OutcomeSet, split: Split, encoder: TransformerEncoder, ids: Sequence[Sequence[int]]) -> Learned:
    """Train as `pointsman fit` does; `ids` are the word pieces of all requests of the set."""
    train = one.outcomes.take(split.train)
    last = len(train) - round(CALIBRATE * len(train))
    part, rest = train.take(slice(last)), train.take(slice(last, None))
    labels = intent_labels(part.intent)
    lexicon = Lexicon.fit([ids[index] for index in split.train[:last]], encoder.vocabulary_size, encoder.special_ids)

    def features(at: NDArray[np.intp]) -> Features:
        return Features(one.embeddings[at], lexicon.transform([ids[index] for index in at]))

    crossed = cross_fit(
        lexicon,
        (features(split.train[:last]), labels.codes, part.useful),
        (features(split.train[last:]), labels.code(rest.intent), rest.useful),
        prompt_folds(part.prompt),
        len(labels.names),
        output_tokens=part.output_tokens,
    )
    draft = draft_policy(part, labels, crossed, routing_spec(one, 0.0), encoder.clip)
    # The averages hold these very requests; what is tuned on must be what requests to come will see.
    seen = replace(
        believe(crossed.reading, facts_of(part), draft.policy),
        intent_useful=crossed.intent_useful.T.astype(np.float32),
        cost_usd=draft.cost_usd.T.astype(np.float32),
        late=draft.late.T.astype(np.float32),
    )
    later, new = features(split.train[last:]), features(split.test)
    calibration = believe(crossed.heads(later.embeddings, later.pieces), facts_of(rest), draft.policy)
    asked = one.outcomes.take(split.test)
    reading, facts = crossed.heads(new.embeddings, new.pieces), facts_of(asked)
    unseen = believe(reading, facts, draft.policy)
    codes = labels.code(asked.intent)
    intents = np.where((codes >= 0)[:, None], np.eye(len(labels.names))[codes], reading.intent_probs)
    logits = crossed.heads.useful_logits(new.embeddings, new.pieces, intents) / crossed.heads.useful_temperature
    told = believe(replace(reading, intent_probs=intents, useful_probs=expit(logits)), facts, draft.policy)
    expected = np.concatenate([seen.cost_usd, calibration.cost_usd], axis=1).T
    return Learned(part, expected, crossed, labels, draft, seen, unseen, told)


def pointsman_policy(learned: Learned, spec: RoutingSpec, trials: int, seed: int = 0) -> NDArray[np.intp]:
    """Return the column chosen for each unseen request by the rule found; the best single model's where none is."""
    tune = learned.outcomes
    best = tune.models[int(tune.useful.mean(axis=0).argmax())]
    objective = Objective(tune, Served.by(tune, baseline_columns(tune, best)), spec)
    try:
        rule = search(learned.seen, objective, tune.models, best, n_trials=trials, seed=seed).rule
    except InfeasibleError:
        return np.full(learned.unseen.cost_usd.shape[1], tune.models.index(best), dtype=np.intp)
    return decide(learned.unseen, rule)


def value_path(beliefs: Beliefs, outcomes: Outcomes, trust: float, values: NDArray[np.float64]) -> Path:
    """Return what the requests get under a value rule of that trust at each price of usefulness."""
    chosen = np.stack([decide(beliefs, ValueRule(trust, float(value))) for value in values])
    rows = np.arange(len(outcomes))
    useful, cost = outcomes.useful.astype(np.float32), outcomes.cost_usd.astype(np.float32)
    return Path(useful[rows, chosen], cost[rows, chosen])


def trust_of(learned: Learned, values: NDArray[np.float64]) -> float:
    """Return the trust of largest area under the frontier, on the out-of-fold beliefs of the learn requests alone."""
    tune = learned.outcomes
    reference = Reference.of(tune.useful, tune.cost_usd, int(tune.useful.mean(axis=0).argmax()))
    return max(TRUSTS, key=lambda trust: float(area(value_path(learned.seen, tune, trust, values), reference)))
