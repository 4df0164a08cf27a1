"""How much of a fit tracking takes: the sample week, fitted once, logged again and again to stores of each kind.

python tests/benchmarks/tracking_overhead.py [--requests 6000] [--trials 200] [--times 3] [--page training/TRACKING.md]

The fit is timed inside its run, and what tracking did around it apart: opening the run (recipe, dataset) and logging
what was found. Both share whatever else the machine does, so read the ratio; CPU time is this process's own.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from mlflow_processes import tracking_server

from pointsman.benchmarks.pages import rewrite
from pointsman.encoders import TransformerEncoder
from pointsman.fit import FitOptions, fit
from pointsman.sample_week import sample_week
from pointsman.spec import parse_spec
from pointsman.tables import markdown
from pointsman.traces import validate_traces
from pointsman.tracking import Tracker
from pointsman.tracking.phases import PhaseClock
from pointsman.tracking.recipe import Recipe

if TYPE_CHECKING:
    from pointsman.fit import FitResult
    from pointsman.spec import RoutingSpec
    from pointsman.traces import TraceTable


def main() -> None:
    """Measure and print, or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=6000)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--times", type=int, default=3, help="how often each store is logged to; the median counts")
    parser.add_argument("--cache", type=Path, help="embeddings of an earlier fit: less fit, so a larger share")
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()
    week = sample_week(0, args.requests)
    traces, spec = validate_traces(week.traces), parse_spec(week.spec, source="sample week")
    encoder, options = TransformerEncoder(), FitOptions(args.trials, cache=args.cache)
    with tempfile.TemporaryDirectory() as folder, tracking_server(Path(folder) / "server") as url:
        place = Path(folder)
        source = traces.write(place / "week.parquet")
        clock, wall, cpu = PhaseClock(), time.perf_counter(), time.process_time()
        result = fit(traces, spec, place / "bundle", encoder, options, progress=clock)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        rows = [["store", "tracking, s", "of the fit", "tracking, CPU s", "of the fit's"]]
        for name, uri in (("SQLite", f"sqlite:///{place / 'mlflow.db'}"), ("server on the same machine", url)):
            tracker = Tracker(uri, "overhead")
            took = [once(tracker, result, traces, spec, encoder, options, source, clock) for _ in range(args.times)]
            seconds, own = (median(one[part] for one in took) for part in (0, 1))
            rows.append([name, f"{seconds:.1f}", f"{seconds / wall:.1%}", f"{own:.1f}", f"{own / cpu:.1%}"])
    text = (
        f"{args.requests:,} requests, {args.trials} trials, embeddings {'cached' if args.cache else 'computed'}: "
        f"the fit took {wall:.0f} s ({cpu:.0f} s CPU).\n\n{markdown(rows)}"
    )
    if args.page:
        rewrite(args.page, "overhead", "tests/benchmarks/tracking_overhead.py", text)
    else:
        print(text)


def once(
    tracker: Tracker,
    result: FitResult,
    traces: TraceTable,
    spec: RoutingSpec,
    encoder: TransformerEncoder,
    options: FitOptions,
    source: Path,
    clock: PhaseClock,
) -> tuple[float, float]:
    """Track a finished fit as `tracked_fit` does; return wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    recipe = Recipe.of(traces, source, encoder, options)
    with tracker.run("overhead", spec, traces, recipe) as run_id:
        tracker.log(result, run_id, clock.times)
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
