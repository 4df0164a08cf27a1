"""What to try after a failure: the same model again after a delay, then the fallbacks in their order.

Standard library only. The router and the load replay call the same function, each with its own clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from pointsman.errors import PointsmanError
from pointsman.guards.settings import FAILURES

if TYPE_CHECKING:
    from pointsman.guards.guards import Guards
    from pointsman.policy import Policy

__all__ = ["FALLBACK", "RETRY", "SAFE", "Attempt", "Further", "Step", "further"]

RETRY, FALLBACK, SAFE = "retry", "fallback", "safe"


class Step(NamedTuple):
    """One fallback of a request.

    Attributes
    ----------
    model : str
    failures : tuple of str
        The kinds of failure it is for: timeout, error; empty for all.
    within_ms : float or None
        It is tried only while the request has been under way for less than this many ms.
    """

    model: str
    failures: tuple[str, ...] = ()
    within_ms: float | None = None


class Attempt(Protocol):
    """One attempt of a request, as far as what follows it depends on it; see `pointsman.decision.Decision`."""

    @property
    def request_id(self) -> str:
        """As admitted."""

    @property
    def model(self) -> str:
        """Where it went."""

    @property
    def tried(self) -> tuple[str, ...]:
        """The models of the attempts before it."""

    @property
    def retried(self) -> int:
        """How many of the attempts so far asked a model again."""

    @property
    def retry_delays_ms(self) -> tuple[float, ...]:
        """Waits before each retry that the request may have, ms."""

    @property
    def fallback_steps(self) -> tuple[Step, ...]:
        """Its fallbacks."""

    @property
    def expected_cost_usd(self) -> float | None:
        """What was set aside for it, USD."""


class Further(NamedTuple):
    """A further attempt, admitted where it goes.

    Attributes
    ----------
    model : str
    kind : str
        retry, fallback, or safe under the kill-switch.
    delay_ms : float
        How long to wait before it, ms.
    expected_usd : float or None
        What was set aside for it.
    """

    model: str
    kind: str
    delay_ms: float
    expected_usd: float | None


def further(
    attempt: Attempt, failure: str, elapsed_ms: float, policy: Policy, guards: Guards, *, killed: bool
) -> Further | None:
    """Return the next attempt after a failure, admitted where it goes; None where nothing is left.

    A retry needs a delay that is left, a failure of the policy's kinds, a model that its breaker does not bar, and
    room in the retry budget. A fallback must fit the failure and the time, be new to the request, and be well. Under
    the kill-switch only the safe model is left.

    Parameters
    ----------
    attempt : Attempt
        That failed.
    failure : str
        timeout or error.
    elapsed_ms : float
        How long the request has been under way, ms.
    policy : Policy
        That decided it.
    guards : Guards
        Of the policy.
    killed : bool
        Whether the kill-switch is on.

    Raises
    ------
    PointsmanError
        Where `failure` is another word.
    """
    if failure not in FAILURES:
        raise PointsmanError(f"failure is {failure!r}; allowed: {', '.join(FAILURES)}")
    tried, models = (*attempt.tried, attempt.model), policy.models
    if killed:
        if policy.safe_model in tried:
            return None
        return _admitted(attempt, policy.safe_model, SAFE, policy, guards, force=True)
    delays = attempt.retry_delays_ms
    if (
        failure in policy.guards.retry.failures
        and attempt.retried < len(delays)
        and attempt.model in models
        and guards.barred(attempt.model) is None
        and guards.retry()
    ):
        return _admitted(attempt, attempt.model, RETRY, policy, guards, delays[attempt.retried])
    for step in attempt.fallback_steps:
        fits = not step.failures or failure in step.failures
        in_time = step.within_ms is None or elapsed_ms < step.within_ms
        if fits and in_time and step.model not in tried and step.model in models:
            then = _admitted(attempt, step.model, FALLBACK, policy, guards)
            if then is not None:
                return then
    return None


def _admitted(
    attempt: Attempt,
    model: str,
    kind: str,
    policy: Policy,
    guards: Guards,
    delay_ms: float = 0.0,
    *,
    force: bool = False,
) -> Further | None:
    """Return a further attempt; None where the model's guards do not admit it."""
    expected = attempt.expected_cost_usd if model == attempt.model else None
    column = policy.models.index(model)
    if guards.admit(attempt.request_id, column, expected, again=True, force=force) is not None:
        return None
    return Further(model, kind, delay_ms, expected)
