"""A fit inside a tracking run, where tracking is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.fit import FitOptions, FitResult, Progress, fit

if TYPE_CHECKING:
    from collections.abc import Mapping
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
    *,
    source: Path | None = None,
    tags: Mapping[str, str] | None = None,
) -> FitResult:
    """Fit; with a tracker, inside one parent run (see `pointsman.fit.fit`).

    Parameters
    ----------
    name : str, optional
        Of the run; by default the bundle's.
    source : Path, optional
        The file that the traces came from: with it the run can be run again (``pointsman rerun``).
    tags : mapping of str to str, optional
        More to tell the run by.

    Raises
    ------
    TrackingError
        Where the store cannot be used, before the fit; or does not take what was found, once the bundle is written.
    """
    if tracker is None:
        return fit(traces, spec, out, encoder, options, progress=progress)
    from pointsman.tracking import TrackingError
    from pointsman.tracking.phases import PhaseClock
    from pointsman.tracking.recipe import Recipe

    recipe = Recipe.of(traces, source, encoder, options)
    with tracker.run(name or out.name, spec, traces, recipe, tags) as run_id:
        clock = PhaseClock(progress)
        result = fit(traces, spec, out, encoder, options, run_id, clock)
        if progress is not None:
            progress("track", 0, 1)
        try:
            tracker.log(result, run_id, clock.times)
        except TrackingError as error:
            raise TrackingError(f"{error}; the bundle is complete ({out}), its run is not") from error
        if progress is not None:
            progress("track", 1, 1)
    return result
