"""Before and after under load for reports: the requests of a replay, at the spec's rate, with the guards at work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.load.arrivals import Arrivals
from pointsman.load.compiled import replay_load
from pointsman.load.constraint import ROUNDS, arrivals_of, rate_of
from pointsman.load.result import summary
from pointsman.load.scene import set_scene

if TYPE_CHECKING:
    from pointsman.decide import Reading
    from pointsman.outcomes import Outcomes
    from pointsman.policy import Policy
    from pointsman.replay import Served
    from pointsman.spec import RoutingSpec

__all__ = ["before_after_load"]


def before_after_load(
    outcomes: Outcomes, reading: Reading, policy: Policy, spec: RoutingSpec, seed: int = 0
) -> tuple[Served, Served, dict[str, Any]]:
    """Return what n requests get before and after under load, and the figures of both runs.

    Parameters
    ----------
    outcomes : Outcomes
        Complete, by time, columns in the policy's order.
    reading : Reading
    policy : Policy
    spec : RoutingSpec
    seed : int

    Returns
    -------
    tuple
        Before, after, and plain JSON values: ``rate_per_s``, ``arrivals``, ``places``, ``modelled``, ``before`` and
        ``after`` as `pointsman.load.result.summary` says.
    """
    n = len(outcomes)
    scene = set_scene(outcomes, reading, policy, spec)
    arrivals = Arrivals(arrivals_of(spec, ROUNDS * n).time_s, nearest=np.tile(np.arange(n), ROUNDS))
    last = np.arange(ROUNDS * n) >= (ROUNDS - 1) * n
    figures: dict[str, Any] = {
        "rate_per_s": rate_of(spec),
        "arrivals": spec.load.arrivals,
        "places": {name: int(count) or None for name, count in zip(policy.models, scene.places, strict=True)},
        "modelled": scene.modelled(),
    }
    served = []
    for side in ("before", "after"):
        system = scene.system(arrivals, before=side == "before", seed=seed)
        result = replay_load(system)
        figures[side] = summary(result, system, last)
        served.append(result.served.take(last))
    return served[0], served[1], figures
