"""What a decision tells when it is asked: confidence, cost, fallbacks, delays, the sentence. Numpy only.

A gateway needs the model at once and the rest seldom, so the rest is worked out when it is first read, from what was
believed at the decision; what may change meanwhile (the retry budget) is noted at the decision.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pointsman.decide import Facts, believe, blend, can_take, fallback_allowed
from pointsman.decision import Step
from pointsman.reasons import Case, reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pointsman.decide import Beliefs, Floats, Reading
    from pointsman.decide_one import One
    from pointsman.guards.choosing import Choice
    from pointsman.live import LiveBundle
    from pointsman.policy import Policy

__all__ = ["Request", "TellingMany", "TellingOne"]


class TellingMany:
    """Tells of the decisions of one batch: see `pointsman.decision.Telling`.

    Parameters
    ----------
    live : LiveBundle
        That decided.
    reading, beliefs, facts : Reading, Beliefs, Facts
        Of n requests.
    choices : sequence of Choice
    request_ids : sequence of str
    guarded : bool
        Whether guards were asked; else there are no retries.
    """

    def __init__(
        self,
        live: LiveBundle,
        reading: Reading,
        beliefs: Beliefs,
        facts: Facts,
        choices: Sequence[Choice],
        request_ids: Sequence[str],
        *,
        guarded: bool,
    ) -> None:
        self._policy: Policy = live.policy
        self._guards = live.guards
        self._beliefs = beliefs
        self._risk = reading.hallucination_probs
        self._facts = facts
        self._choices = choices
        self._ids = request_ids
        self._retries = guarded and self._guards.retries_left()

    def tell(self, name: str, at: int) -> Any:
        """Return a field of the decision at a position."""
        return getattr(self, name)(at)

    def confidence(self, at: int) -> float:
        """Return the probability of its intent."""
        return float(self._beliefs.confidence[at])

    def p_useful(self, at: int) -> float:
        """Return the believed usefulness of its model's response."""
        return float(self._useful[self._choices[at].column, at])

    def expected_cost_usd(self, at: int) -> float:
        """Return the expected cost of its model's response, USD."""
        return float(self._beliefs.cost_usd[self._choices[at].column, at])

    def out_of_scope(self, at: int) -> float | None:
        """Return how unlike the requests learned from it is."""
        scope = self._beliefs.out_of_scope
        return None if scope is None else float(scope[at])

    def p_hallucinated(self, at: int) -> float | None:
        """Return the believed probability that its model's response is hallucinated."""
        return None if self._risk is None else float(self._risk[at, self._choices[at].column])

    def fallback_steps(self, at: int) -> tuple[Step, ...]:
        """Return the policy's fallbacks that it may use, without its own model."""
        policy, own = self._policy, self._policy.models[self._choices[at].column]
        return tuple(
            Step(one.model, one.failures, one.cost_threshold_ms)
            for one, fits in zip(policy.fallbacks, self._allowed[:, at].tolist(), strict=True)
            if fits and one.model != own
        )

    def fallbacks(self, at: int) -> tuple[str, ...]:
        """Return their models, each once."""
        return tuple(dict.fromkeys(step.model for step in self.fallback_steps(at)))

    def retry_delays_ms(self, at: int) -> tuple[float, ...]:
        """Return the delays that its id draws, where the retry budget had room."""
        return self._guards.drawn_ms(self._ids[at]) if self._retries else ()

    def reason(self, at: int) -> str:
        """Return its sentence."""
        choice, beliefs = self._choices[at], self._beliefs
        case = Case(
            intent=self._policy.intents[beliefs.intent[at]],
            confidence=self.confidence(at),
            modality=str(self._facts.modality[at]),
            tokens=int(self._facts.tokens[at]),
            chosen=choice.unguarded,
            useful=self._useful[:, at].tolist(),
            cost_usd=beliefs.cost_usd[:, at].tolist(),
            late=beliefs.late[:, at].tolist(),
            eligible=np.flatnonzero(beliefs.eligible[:, at]).tolist(),
            capable=bool(self._capable[choice.unguarded, at]),
            out_of_scope=self.out_of_scope(at),
        )
        return _sentence(case, choice, self._policy)

    @cached_property
    def _useful(self) -> Floats:
        return blend(self._beliefs, self._policy.rule)

    @cached_property
    def _allowed(self) -> NDArray[np.bool_]:
        return fallback_allowed(self._beliefs, self._facts, self._policy)

    @cached_property
    def _capable(self) -> NDArray[np.bool_]:
        return can_take(self._facts, self._policy)


class Request(NamedTuple):
    """What is known of one request: see `pointsman.decide.Facts`."""

    modality: str
    tokens: int
    request_id: str


class TellingOne:
    """Tells of one decision: the little things from what was believed, the rest as of a batch of one.

    Parameters
    ----------
    live : LiveBundle
    one : One
    choice : Choice
    request : Request
    """

    __slots__ = ("_choice", "_live", "_many", "_one", "_request", "_retries")

    def __init__(self, live: LiveBundle, one: One, choice: Choice, request: Request) -> None:
        self._live, self._one, self._choice, self._request = live, one, choice, request
        self._retries = live.guards.retries_left()
        self._many: TellingMany | None = None

    def tell(self, name: str, at: int) -> Any:
        """Return a field of the decision."""
        if name == "confidence":
            return self._one.confidence
        if name == "p_useful":
            return float(self._one.useful[self._choice.column, 0])
        if name == "retry_delays_ms":
            return self._live.guards.drawn_ms(self._request.request_id) if self._retries else ()
        if self._many is None:
            modality, tokens, request_id = self._request
            facts = Facts(np.array([modality]), np.array([tokens], dtype=np.int64))
            beliefs = believe(self._one.reading, facts, self._live.policy)
            parts = (self._one.reading, beliefs, facts, [self._choice], [request_id])
            self._many = TellingMany(self._live, *parts, guarded=False)
        return self._many.tell(name, at)


def _sentence(case: Case, choice: Choice, policy: Policy) -> str:
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
