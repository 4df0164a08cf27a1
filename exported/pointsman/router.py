"""The router: loads a bundle and sends each request to a model, on a CPU, with a reason that a person can read.

Standard library and numpy only; onnxruntime and tokenizers are imported when a bundle is loaded.
"""

from __future__ import annotations

import logging
import math
import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.bundle import load_bundle
from pointsman.decide import Beliefs, Facts, Reading, believe, blend, can_take, decide, fallback_allowed
from pointsman.errors import PointsmanError
from pointsman.incoming import checked_facts, checked_prompts
from pointsman.reasons import Case, reason
from pointsman.session import Progress, Prompt, Session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pointsman.bundle import Bundle
    from pointsman.policy import Policy

__all__ = ["Decision", "Router", "Tally"]

logger = logging.getLogger("pointsman.router")


@dataclass(frozen=True, slots=True)
class Decision:
    """Where one request goes.

    Attributes
    ----------
    model : str
        The candidate that gets it.
    intent : str or None
        The most probable intent; None under the kill-switch, which asks no classifier.
    tier : int
        Position of the model among the policy's candidates; 0 is the cheapest.
    confidence : float or None
        Probability of that intent, 0..1.
    p_useful : float or None
        Believed probability that the model's response is useful, 0..1.
    fallbacks : tuple of str
        Where to go when the model fails, in order. The policy's fallback entries say for which failures and until
        how many ms each is to be tried.
    timeout_ms : float or None
        After this many ms the answer counts as failed; None for no limit.
    reason : str
        One sentence.
    """

    model: str
    intent: str | None
    tier: int
    confidence: float | None
    p_useful: float | None
    fallbacks: tuple[str, ...]
    timeout_ms: float | None
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the decision as plain JSON values."""
        return {**asdict(self), "fallbacks": list(self.fallbacks)}


@dataclass(frozen=True, slots=True)
class Tally:
    """What was reported of one model since the router was loaded.

    Attributes
    ----------
    requests, failures : int
    timed, latency_ms, slowest_ms : int, float, float
        How many reports carried a latency; its sum and its largest value, ms.
    priced, cost_usd : int, float
        How many reports carried a cost; its sum, USD.
    """

    requests: int = 0
    failures: int = 0
    timed: int = 0
    latency_ms: float = 0.0
    slowest_ms: float = 0.0
    priced: int = 0
    cost_usd: float = 0.0


class Router:
    """Routes requests by a bundle; safe to share between threads. Made by `Router.load`.

    Examples
    --------
    >>> router = Router.load("bundle")  # doctest: +SKIP
    >>> router.route("Why does this loop never end?").model  # doctest: +SKIP
    'small-precise'
    """

    def __init__(self, bundle: Bundle, session: Session) -> None:
        self.bundle = bundle
        self.policy: Policy = bundle.policy
        self._session = session
        self._lock = threading.Lock()
        self._tally: dict[str, Tally] = {}
        self._killed: str | None = None

    @classmethod
    def load(cls, path: str | Path, *, threads: int = 1) -> Router:
        """Load and verify the bundle in folder `path`; the graph runs on `threads` threads.

        Raises
        ------
        BundleError
            Where the bundle is truncated, altered, or of a version or shape that this release does not load.
        """
        bundle = load_bundle(path)
        return cls(bundle, Session.load(bundle, threads))

    def route(self, text: Prompt, *, modality: str = "text", context_tokens: int = 0) -> Decision:
        """Decide where one request goes: `route_batch` of one."""
        return self.route_batch([text], modality=modality, context_tokens=context_tokens)[0]

    def route_batch(
        self,
        texts: Sequence[Prompt],
        *,
        modality: str | Sequence[str] = "text",
        context_tokens: int | Sequence[int] = 0,
    ) -> list[Decision]:
        """Decide where each request goes.

        Parameters
        ----------
        texts : sequence of str, bytes or None
            Prompts of any kind and length: every one gets a decision.
        modality : str or sequence of str
            text, image or audio, of all or of each.
        context_tokens : int or sequence of int
            History and documents beyond the prompt, in tokens, of all or of each.

        Raises
        ------
        PointsmanError
            Where a modality is unknown, context_tokens is negative, or lengths differ.
        """
        prompts = checked_prompts(texts)
        facts = checked_facts(prompts, modality, context_tokens)
        killed = self._killed
        if killed is not None:
            return [self._safe(killed)] * len(prompts)
        reading = self.read(prompts)
        return self._decisions(reading, believe(reading, facts, self.policy), facts)

    def read(self, texts: Sequence[Prompt], progress: Progress | None = None) -> Reading:
        """Return what the graph reads in n prompts, float32; `progress` gets (done, total)."""
        return self._session.read(checked_prompts(texts), progress)

    def token_ids(self, texts: Sequence[Prompt]) -> list[list[int]]:
        """Return the token ids that the graph reads of each prompt, after clipping."""
        return self._session.token_ids(checked_prompts(texts))

    def report(
        self, decision: Decision, ok: bool = True, latency_ms: float | None = None, cost_usd: float | None = None
    ) -> None:
        """Add an answer to the model's tally.

        This only counts: no breaker, budget or retry acts on it in this release. ``tally`` is there to be read by
        the gateway's own guards.

        Parameters
        ----------
        decision : Decision
            As `route` returned it.
        ok : bool
            Whether the model answered.
        latency_ms, cost_usd : float, optional
            End to end, ms; full cost of the answer, USD.

        Raises
        ------
        PointsmanError
            Where latency or cost is negative or not a finite number.
        """
        for name, value in {"latency_ms": latency_ms, "cost_usd": cost_usd}.items():
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise PointsmanError(f"report: {name} is {value!r}; a finite number of at least 0 is needed")
        with self._lock:
            old = self._tally.get(decision.model, Tally())
            self._tally[decision.model] = Tally(
                requests=old.requests + 1,
                failures=old.failures + (not ok),
                timed=old.timed + (latency_ms is not None),
                latency_ms=old.latency_ms + (latency_ms or 0.0),
                slowest_ms=max(old.slowest_ms, latency_ms or 0.0),
                priced=old.priced + (cost_usd is not None),
                cost_usd=old.cost_usd + (cost_usd or 0.0),
            )

    @property
    def tally(self) -> Mapping[str, Tally]:
        """What was reported so far, per model: a copy."""
        with self._lock:
            return dict(self._tally)

    @property
    def killed(self) -> bool:
        """Whether the kill-switch is on."""
        return self._killed is not None

    def kill(self, who: str = "", why: str = "") -> None:
        """Send everything to the policy's safe model, from the next decision on; no classifier is asked."""
        by = f" by {who}" if who else ""
        self._killed = f"kill-switch is on{by}{f': {why}' if why else ''}; everything goes to {self.policy.safe_model}"
        logger.warning("kill-switch on: who=%r why=%r, everything goes to %r", who, why, self.policy.safe_model)

    def restore(self, who: str = "") -> None:
        """Take the kill-switch back: the policy decides again."""
        self._killed = None
        logger.warning("kill-switch off: who=%r, the policy decides again", who)

    def _decisions(self, reading: Reading, beliefs: Beliefs, facts: Facts) -> list[Decision]:
        policy = self.policy
        chosen = decide(beliefs, policy.rule).tolist()
        useful = blend(beliefs, policy.rule)
        allowed = fallback_allowed(beliefs, facts, policy)
        capable = can_take(facts, policy)
        confidence = reading.intent_probs.max(axis=1).tolist()
        decisions = []
        for at, index in enumerate(chosen):
            intent = policy.intents[beliefs.intent[at]]
            case = Case(
                intent=intent,
                confidence=confidence[at],
                modality=str(facts.modality[at]),
                tokens=int(facts.tokens[at]),
                chosen=index,
                useful=useful[:, at].tolist(),
                cost_usd=beliefs.cost_usd[:, at].tolist(),
                late=beliefs.late[:, at].tolist(),
                eligible=np.flatnonzero(beliefs.eligible[:, at]).tolist(),
                capable=bool(capable[index, at]),
            )
            names = [entry.model for entry, fits in zip(policy.fallbacks, allowed[:, at], strict=True) if fits]
            candidate = policy.candidates[index]
            decisions.append(
                Decision(
                    model=candidate.name,
                    intent=intent,
                    tier=index,
                    confidence=case.confidence,
                    p_useful=case.useful[index],
                    fallbacks=tuple(name for name in dict.fromkeys(names) if name != candidate.name),
                    timeout_ms=candidate.timeout_ms,
                    reason=reason(case, policy),
                )
            )
        return decisions

    def _safe(self, why: str) -> Decision:
        tier = self.policy.models.index(self.policy.safe_model)
        timeout_ms = self.policy.candidates[tier].timeout_ms
        return Decision(self.policy.safe_model, None, tier, None, None, (), timeout_ms, why)
