"""What to try after a failure, as a decision: `pointsman.guards.attempts` says what, this says it in full."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pointsman.guards.attempts import RETRY, SAFE, further

if TYPE_CHECKING:
    from pointsman.decision import Decision
    from pointsman.guards.store import KillRecord
    from pointsman.live import LiveBundle

__all__ = ["following"]


def following(
    decision: Decision, failure: str, elapsed_ms: float, live: LiveBundle, killed: KillRecord | None
) -> Decision | None:
    """Return the next attempt after a failure, admitted where it goes; None where nothing is left.

    See `pointsman.guards.attempts.further`.

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
    policy = live.policy
    then = further(decision, failure, elapsed_ms, policy, live.guards, killed=killed is not None)
    if then is None:
        return None
    column, again = policy.models.index(then.model), then.model == decision.model
    before = f"{decision.model} failed ({failure})"
    if then.kind == SAFE:
        why = f"{before}; kill-switch is on, the safe model {then.model} is next"
    elif then.kind == RETRY:
        number, most = decision.retried + 1, len(decision.retry_delays_ms)
        why = f"{before}; retry {number} of {most} after {then.delay_ms:.0f} ms"
    else:
        why = f"{before}; {then.model} is the next fallback"
    return replace(
        decision,
        model=then.model,
        tier=column,
        p_useful=decision.p_useful if again else None,
        propensity=decision.propensity if again else None,
        expected_cost_usd=then.expected_usd,
        timeout_ms=policy.candidates[column].timeout_ms,
        fallbacks=tuple(name for name in decision.fallbacks if name != then.model),
        reason=why,
        killed=killed is not None,
        tried=(*decision.tried, decision.model),
        delay_ms=then.delay_ms,
    )
