"""A fit inside a tracking run, where tracking is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.fit import FitOptions, FitResult, Progress, fit

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.encoders import TransformerEncoder
    from pointsman.spec import RoutingSpec
    from pointsman.traces import TraceTable
    from pointsman.tracking import Tracker

__all__ = ["tracked_fit"]


def tracked_fit(
    traces: TraceTable,
    spec: RoutingSpec,
    out: Path,
    encoder: TransformerEncoder,
    options: FitOptions,
    tracker: Tracker | None = None,
    progress: Progress | None = None,
    name: str | None = None,
) -> FitResult:
    """Fit; with a tracker, inside one parent run, called `name` or as the bundle (see `pointsman.fit.fit`)."""
    if tracker is None:
        return fit(traces, spec, out, encoder, options, progress=progress)
    with tracker.run(name or out.name, spec, traces, options, encoder.name) as run_id:
        result = fit(traces, spec, out, encoder, options, run_id, progress)
        if progress is not None:
            progress("track", 0, 1)
        tracker.log(result, run_id)
        if progress is not None:
            progress("track", 1, 1)
    return result
