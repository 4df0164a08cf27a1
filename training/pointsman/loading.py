"""Load replay of a bundle from disk on a trace table: builds the scene that `pointsman.load.questions` asks.

For reports: ``rate_curve(load_scene(bundle, traces, spec))`` is P95, errors and cost per useful response against the
request rate, before and after, as a plain dict (`pointsman.load.questions.rate_curve` says what is in it), and
``one_run(load_scene(...))`` the figures at today's rate, with and without queues.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.errors import SpecError, TraceError
from pointsman.fit import Progress, silent
from pointsman.inputs import known_outcomes, unseen
from pointsman.load.scene import Scene, set_scene
from pointsman.router import Router

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from pointsman.load.latency import LatencyModel
    from pointsman.outcomes import Outcomes
    from pointsman.spec import RoutingSpec
    from pointsman.traces import TraceTable

__all__ = ["load_scene"]


def load_scene(
    bundle: Path,
    traces: TraceTable,
    spec: RoutingSpec,
    *,
    rate: float | None = None,
    arrivals: str | None = None,
    places: Mapping[str, int] | None = None,
    latency: Mapping[str, LatencyModel] | None = None,
    every: bool = False,
    progress: Progress | None = None,
) -> Scene:
    """Return the scene of a bundle on requests that it was not fitted on, with every candidate's outcome.

    Parameters
    ----------
    bundle : Path
    traces : TraceTable
    spec : RoutingSpec
    rate, arrivals, places, latency
        See `pointsman.load.scene.set_scene`.
    every : bool
        Requests that took part in the fit too.
    progress : callable, optional

    Raises
    ------
    SpecError
        Where the spec's candidates are not the bundle's, or one that is named is none of them.
    TraceError
        Where no request is left.
    """
    say = progress or silent
    router = Router.load(bundle, threads=0)
    policy = router.policy
    if set(spec.candidates) != set(policy.models):
        theirs, ours = ", ".join(policy.models), ", ".join(spec.candidates)
        raise SpecError(f"the spec's candidates are not the bundle's: {ours}; the bundle has {theirs}")
    for name in {*(places or {}), *(latency or {})}:
        if name not in policy.models:
            raise SpecError(f"{name!r} is no candidate; allowed: {', '.join(policy.models)}")
    outcomes = known_outcomes(traces, spec, at_least=1)
    fresh = np.ones(len(outcomes), dtype=np.bool_) if every else unseen(outcomes, router.bundle.seen)
    kept = outcomes.take(fresh & outcomes.complete).reorder(policy.models)
    if len(kept) == 0:
        raise TraceError(
            f"none of the {len(outcomes)} requests is unseen and has the outcome of every candidate: a load replay "
            "needs requests that were replayed against all of them"
        )
    reading = router.read(list(kept.prompt), progress=lambda done, total: say("certify", done, total))
    first = _first_tokens(traces, kept)
    how: dict[str, Any] = {
        "rate": rate,
        "arrivals": arrivals,
        "places": places,
        "latency": latency,
        "first_token_ms": first,
    }
    return set_scene(kept, reading, policy, spec, **how)


def _first_tokens(traces: TraceTable, outcomes: Outcomes) -> NDArray[np.float64] | None:
    """Return the time to the first token, (b, m) ms; None where the traces do not tell it."""
    rows = traces.rows
    if "first_token_ms" not in rows or not rows["first_token_ms"].notna().any():
        return None
    wide = rows.pivot_table(index="request_id", columns="model", values="first_token_ms", aggfunc="first")
    wide = wide.reindex(index=list(outcomes.request_id), columns=list(outcomes.models))
    return wide.to_numpy(dtype=np.float64)
