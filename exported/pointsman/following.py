"""What to try after a failure: the same model again after a delay, then the fallbacks in their order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pointsman.errors import PointsmanError
from pointsman.guards.settings import FAILURES

if TYPE_CHECKING:
    from pointsman.decision import Decision
    from pointsman.guards.store import KillRecord
    from pointsman.live import LiveBundle

__all__ = ["following"]


def following(
    decision: Decision, failure: str, elapsed_ms: float, live: LiveBundle, killed: KillRecord | None
) -> Decision | None:
    """Return the next attempt after a failure, admitted where it goes; None where nothing is left.

    A retry needs a delay that is left, a failure of the policy's kinds, a model that its breaker does not bar, and
    room in the retry budget. A fallback must fit the failure and the time, be new to the request, and be well. Under
    the kill-switch only the safe model is left.

    Parameters
    ----------
    decision : Decision
        The attempt that failed.
    failure : str
        timeout or error.
    elapsed_ms : float
        How long the request has been under way, ms.
    live : LiveBundle
        The bundle that decided it.
    killed : KillRecord or None

    Raises
    ------
    PointsmanError
        Where `failure` is another word.
    """
    if failure not in FAILURES:
        raise PointsmanError(f"failure is {failure!r}; allowed: {', '.join(FAILURES)}")
    policy, guards = live.policy, live.guards
    columns = {name: column for column, name in enumerate(policy.models)}
    tried = (*decision.tried, decision.model)
    before = f"{decision.model} failed ({failure})"
    if killed is not None:
        if policy.safe_model in tried:
            return None
        why = f"{before}; kill-switch is on, the safe model {policy.safe_model} is next"
        return _attempt(decision, policy.safe_model, why, live, killed=True)
    retry = policy.guards.retry
    if (
        failure in retry.failures
        and decision.retried < len(decision.retry_delays_ms)
        and decision.model in columns
        and guards.barred(decision.model) is None
        and guards.retry()
    ):
        delay_ms = decision.retry_delays_ms[decision.retried]
        why = f"{before}; retry {decision.retried + 1} of {len(decision.retry_delays_ms)} after {delay_ms:.0f} ms"
        return _attempt(decision, decision.model, why, live, delay_ms=delay_ms)
    for step in decision.fallback_steps:
        fits = not step.failures or failure in step.failures
        in_time = step.within_ms is None or elapsed_ms < step.within_ms
        if fits and in_time and step.model not in tried and step.model in columns:
            then = _attempt(decision, step.model, f"{before}; {step.model} is the next fallback", live)
            if then is not None:
                return then
    return None


def _attempt(
    decision: Decision, model: str, why: str, live: LiveBundle, *, delay_ms: float = 0.0, killed: bool = False
) -> Decision | None:
    """Return a further attempt; None where the model's guards do not admit it."""
    column = live.policy.models.index(model)
    again = model == decision.model
    expected = decision.expected_cost_usd if again else None
    if live.guards.admit(decision.request_id, column, expected, again=True, force=killed) is not None:
        return None
    return replace(
        decision,
        model=model,
        tier=column,
        p_useful=decision.p_useful if again else None,
        propensity=decision.propensity if again else None,
        expected_cost_usd=expected,
        timeout_ms=live.policy.candidates[column].timeout_ms,
        fallbacks=tuple(name for name in decision.fallbacks if name != model),
        reason=why,
        killed=killed,
        tried=(*decision.tried, decision.model),
        delay_ms=delay_ms,
    )
