"""A loaded bundle that decides: its classifier, its policy, its guards, under one version. Numpy only at import."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pointsman.bundle import load_bundle
from pointsman.decide import believe, blend, can_take, decide, fallback_allowed
from pointsman.decision import Decision, Step
from pointsman.guards.choosing import Choice, choose
from pointsman.guards.guards import Guards
from pointsman.reasons import Case, reason
from pointsman.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pointsman.bundle import Bundle
    from pointsman.decide import Facts, Reading
    from pointsman.guards.ledger import Ledger
    from pointsman.guards.store import KillRecord
    from pointsman.manifest import PublicKey
    from pointsman.policy import Policy
    from pointsman.session import Prompt

__all__ = ["LiveBundle", "bundle_version"]


def bundle_version(bundle: Bundle) -> str:
    """Return the version that decisions carry: the first 16 characters of the manifest's hash."""
    return str(bundle.manifest["sha256"])[:16]


class LiveBundle:
    """One bundle, ready to decide; never changes, so that a decision is of one version through and through.

    Parameters
    ----------
    bundle : Bundle
    session : Session
        Its classifier.
    ledger : Ledger
        What is known of the models: shared by all bundles of a router.
    """

    def __init__(self, bundle: Bundle, session: Session, ledger: Ledger) -> None:
        self.bundle = bundle
        self.policy: Policy = bundle.policy
        self.session = session
        self.version = bundle_version(bundle)
        self.guards = Guards(self.policy.guards, self.policy.candidates, ledger)
        self._wall = ledger.wall
        self._steps = [Step(entry.model, entry.failures, entry.cost_threshold_ms) for entry in self.policy.fallbacks]

    @classmethod
    def load(cls, path: str | Path, ledger: Ledger, threads: int = 1, signed_by: PublicKey | None = None) -> LiveBundle:
        """Load, verify and try out the bundle in a folder; raise BundleError where it is not to be used."""
        bundle = load_bundle(path, signed_by)
        return cls(bundle, Session.load(bundle, threads), ledger)

    def decide(
        self, prompts: Sequence[Prompt], facts: Facts, contexts: Sequence[int], request_ids: Sequence[str]
    ) -> list[Decision]:
        """Decide where each request goes, with guards, and admit it there."""
        return self._decide(self.session.read(prompts), facts, contexts, request_ids, guarded=True)

    def decide_alone(
        self, prompts: Sequence[Prompt], facts: Facts, contexts: Sequence[int], request_ids: Sequence[str]
    ) -> list[Decision]:
        """Decide without guards and exploration, and without a trace: what the bundle itself says."""
        return self._decide(self.session.read(prompts), facts, contexts, request_ids, guarded=False)

    def safe(
        self, record: KillRecord, facts: Facts, contexts: Sequence[int], request_ids: Sequence[str]
    ) -> list[Decision]:
        """Return the decisions of the kill-switch: everything goes to the safe model."""
        name = self.policy.safe_model
        tier = self.policy.models.index(name)
        by, why = f" by {record.who}" if record.who else "", f": {record.why}" if record.why else ""
        words = f"kill-switch is on{by}{why}; everything goes to {name}"
        timeout_ms, now = self.policy.candidates[tier].timeout_ms, self._wall()
        return [
            Decision(
                model=name,
                intent=None,
                tier=tier,
                confidence=None,
                p_useful=None,
                fallbacks=(),
                timeout_ms=timeout_ms,
                reason=words,
                request_id=request_id,
                version=self.version,
                modality=str(facts.modality[at]),
                context_tokens=int(contexts[at]),
                killed=True,
                decided_at=now,
            )
            for at, request_id in enumerate(request_ids)
        ]

    def _decide(
        self, reading: Reading, facts: Facts, contexts: Sequence[int], request_ids: Sequence[str], *, guarded: bool
    ) -> list[Decision]:
        policy = self.policy
        beliefs = believe(reading, facts, policy)
        if guarded:
            choices = choose(beliefs, facts, policy, self.guards, request_ids)
        else:
            choices = [Choice(index, index, 1.0, {}, 0, None) for index in decide(beliefs, policy.rule).tolist()]
        useful = blend(beliefs, policy.rule)
        allowed = fallback_allowed(beliefs, facts, policy)
        capable = can_take(facts, policy)
        confidence = reading.confidence.tolist()
        scope, risk = beliefs.out_of_scope, reading.hallucination_probs
        now = self._wall()
        decisions = []
        for at, choice in enumerate(choices):
            index = choice.column
            intent = policy.intents[beliefs.intent[at]]
            cost = beliefs.cost_usd[:, at].tolist()
            case = Case(
                intent=intent,
                confidence=confidence[at],
                modality=str(facts.modality[at]),
                tokens=int(facts.tokens[at]),
                chosen=choice.unguarded,
                useful=useful[:, at].tolist(),
                cost_usd=cost,
                late=beliefs.late[:, at].tolist(),
                eligible=np.flatnonzero(beliefs.eligible[:, at]).tolist(),
                capable=bool(capable[choice.unguarded, at]),
                out_of_scope=None if scope is None else float(scope[at]),
            )
            candidate = policy.candidates[index]
            steps = [step for step, fits in zip(self._steps, allowed[:, at].tolist(), strict=True) if fits]
            steps = [step for step in steps if step.model != candidate.name]
            request_id = request_ids[at]
            decisions.append(
                Decision(
                    model=candidate.name,
                    intent=intent,
                    tier=index,
                    confidence=case.confidence,
                    p_useful=case.useful[index],
                    fallbacks=tuple(dict.fromkeys(step.model for step in steps)),
                    timeout_ms=candidate.timeout_ms,
                    reason=_reason(case, choice, policy),
                    request_id=request_id,
                    version=self.version,
                    modality=case.modality,
                    context_tokens=int(contexts[at]),
                    propensity=choice.propensity,
                    explored=choice.explored > 0,
                    expected_cost_usd=cost[index],
                    barred={policy.models[column]: bar.why for column, bar in choice.barred.items()},
                    degraded=choice.degraded,
                    cached_answer=policy.guards.cached_answer if choice.degraded else None,
                    retry_delays_ms=self.guards.delays_ms(request_id) if guarded else (),
                    fallback_steps=tuple(steps),
                    decided_at=now,
                    out_of_scope=case.out_of_scope,
                    p_hallucinated=None if risk is None else float(risk[at, index]),
                )
            )
        return decisions


def _reason(case: Case, choice: Choice, policy: Policy) -> str:
    """Return the sentence that goes with a decision: the rule's, or what guards and exploration made of it."""
    names = policy.models
    name, wanted = names[choice.column], names[choice.unguarded]
    head = f"{case.intent} ({case.confidence:.2f}): "
    bar = choice.barred.get(choice.unguarded)
    why = "" if bar is None else f"{wanted} would get it, but {bar.why}; "
    if choice.degraded is not None:
        kind = choice.degraded.replace("_", " ")
        return f"{head}{why}no other candidate may take it; it goes to the {kind} {name}"
    if choice.explored:
        of = f"one request in {1 / policy.guards.exploration_share:.3g} explores"
        return f"{head}{why}{of}; {name} was drawn among {choice.explored}"
    if bar is not None:
        return f"{head}{why}{name} is next"
    if choice.column != choice.unguarded:
        return f"{head}{name} is the choice among the candidates that are not barred"
    return reason(case, policy)
