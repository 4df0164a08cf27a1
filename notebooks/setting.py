"""What the notebooks share: where they keep things, how large the week is, how pictures look.

`POINTSMAN_NOTEBOOK_REQUESTS` and `POINTSMAN_NOTEBOOK_TRIALS` make a quicker, rougher run (the tests use them),
`POINTSMAN_DATA` names the folder of the real outcome sets.
"""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

from pointsman.cli import main
from pointsman.encoders import TransformerEncoder
from pointsman.fit import FitOptions
from pointsman.sample_week import sample_week
from pointsman.spec import RoutingSpec, parse_spec
from pointsman.traces import TraceTable, read_traces, validate_traces
from pointsman.tracked import tracked_fit
from pointsman.tracking import Tracker

if TYPE_CHECKING:
    import pandas as pd

REQUESTS = int(os.environ.get("POINTSMAN_NOTEBOOK_REQUESTS", "2500"))
TRIALS = int(os.environ.get("POINTSMAN_NOTEBOOK_TRIALS", "40"))
WORK = Path(os.environ.get("POINTSMAN_NOTEBOOK_WORK", "work"))
WORK.mkdir(parents=True, exist_ok=True)
GUARDS = {"breaker": {"error_rate": 0.5, "min_requests": 10}}
"""A model that fails again and again is left alone for a while: notebook 05 shows it at work."""

STORE = f"sqlite:///{(WORK / 'mlflow.db').resolve()}"

_DATA = Path(os.environ.get("POINTSMAN_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))

plt.rcParams.update(
    {
        "figure.figsize": (9, 4.2),
        "figure.dpi": 90,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "axes.titlelocation": "left",
        "figure.constrained_layout.use": True,
    }
)


def week(seed: int = 0, requests: int = REQUESTS) -> tuple[TraceTable, RoutingSpec]:
    """Return a simulated week and its spec; another seed is another week of the same world."""
    found = sample_week(seed, requests)
    spec = {**found.spec, "guards": GUARDS}
    return validate_traces(found.traces, source="sample week"), parse_spec(spec, source="sample week")


def command(*words: object) -> int:
    """Run a pointsman command as in a terminal, without its progress, and return its exit code."""
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = main([str(word) for word in words])
    if code == 2:
        raise RuntimeError(said.getvalue().strip().splitlines()[-1])
    return code


def real_outcomes(name: str = "mixed_nine_models") -> TraceTable | None:
    """Return a set of real outcomes, where its folder is there."""
    file = _DATA / "routing" / name / "traces.parquet"
    return read_traces(file) if file.is_file() else None


def by_request(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the first row of each request."""
    return rows.drop_duplicates("request_id")


def fitted() -> Path:
    """Return a bundle fitted on the week; it is fitted once and kept."""
    bundle = WORK / "bundle"
    if not (bundle / "manifest.json").is_file():
        traces, spec = week()
        options = FitOptions(trials=TRIALS, cache=WORK / "cache")
        tracked_fit(traces, spec, bundle, TransformerEncoder(), options, Tracker(STORE, "notebooks"))
    return bundle
