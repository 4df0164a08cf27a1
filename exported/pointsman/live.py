"""A loaded bundle that decides: its classifier, its policy, its guards, under one version. Numpy only at import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.bundle import load_bundle
from pointsman.decide import Facts, believe, decide
from pointsman.decide_one import OneByOne
from pointsman.decision import Decision
from pointsman.guards.choosing import Choice, choose, choose_one
from pointsman.guards.guards import Guards
from pointsman.session import Session
from pointsman.telling import Request, TellingMany, TellingOne

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pointsman.bundle import Bundle
    from pointsman.decide import Reading
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
        self._names = self.policy.models
        self._one_by_one = OneByOne(self.policy)

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

    def decide_one(self, prompt: Prompt, modality: str, tokens: int, context: int, request_id: str) -> Decision:
        """Decide where one request goes, as `decide` does, and admit it there.

        Parameters
        ----------
        prompt : str, bytes or None
        modality : str
        tokens, context : int
            To read in all (see `pointsman.decide.Facts`), and beyond the prompt.
        request_id : str
        """
        reading = self.session.read_one(prompt)
        one = self._one_by_one.decide(reading, modality, tokens)
        choice = choose_one(one, self.policy.guards.exploration_share, self.guards, request_id)
        if choice is None:
            facts = Facts(np.array([modality]), np.array([tokens], dtype=np.int64))
            return self._decide(reading, facts, [context], [request_id], guarded=True)[0]
        telling = TellingOne(self, one, choice, Request(modality, tokens, request_id))
        intent = self.policy.intents[one.intent]
        return Decision.told(telling, 0, self._now(choice, intent, modality, context, request_id, self._wall()))

    def _decide(
        self, reading: Reading, facts: Facts, contexts: Sequence[int], request_ids: Sequence[str], *, guarded: bool
    ) -> list[Decision]:
        policy = self.policy
        beliefs = believe(reading, facts, policy)
        if guarded:
            choices = choose(beliefs, facts, policy, self.guards, request_ids)
        else:
            choices = [Choice(index, index, 1.0, {}, 0, None) for index in decide(beliefs, policy.rule).tolist()]
        telling = TellingMany(self, reading, beliefs, facts, choices, request_ids, guarded=guarded)
        intents, now = policy.intents, self._wall()
        rows = zip(choices, beliefs.intent.tolist(), facts.modality.tolist(), contexts, request_ids, strict=True)
        return [
            Decision.told(telling, at, self._now(choice, intents[intent], modality, int(context), request_id, now))
            for at, (choice, intent, modality, context, request_id) in enumerate(rows)
        ]

    def _now(
        self, choice: Choice, intent: str, modality: str, context: int, request_id: str, now: float
    ) -> tuple[Any, ...]:
        """Return the fields of a decision that are not told later: `pointsman.decision.NOW`."""
        column, _, propensity, barred, explored, degraded = choice
        names, candidate = self._names, self.policy.candidates[column]
        return (
            candidate.name,
            intent,
            column,
            candidate.timeout_ms,
            request_id,
            self.version,
            modality,
            context,
            propensity,
            explored > 0,
            {names[at]: bar.why for at, bar in barred.items()} if barred else {},
            degraded,
            self.policy.guards.cached_answer if degraded else None,
            False,
            (),
            0.0,
            now,
        )
