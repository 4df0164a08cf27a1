"""The report page and its figures, into a run: of the fit itself, or of a later replay beside it."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.entities import Metric

from pointsman.tracking.figures import report_metrics
from pointsman.tracking.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["log_report"]


def log_report(uri: str | None, run_id: str, page: Path, report: Mapping[str, Any]) -> None:
    """Put a page and the replay that it shows into a run, as ``replay/report.html`` and ``.json``, with its metrics.

    Metrics stand beneath ``replay/``, beside the fit's own, which stay what they were.

    Raises
    ------
    TrackingError
        Where the store cannot be used or has no such run.
    """
    store = Store(uri, create=False)
    client = store.client
    with store.telling(f"log to run {run_id}"), tempfile.TemporaryDirectory() as folder:
        client.get_run(run_id)
        now = int(1000 * time.time())
        metrics = [Metric(f"replay/{name}", value, now, 0) for name, value in report_metrics(report).items()]
        client.log_batch(run_id, metrics)
        (Path(folder) / "report.html").write_bytes(page.read_bytes())
        (Path(folder) / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        client.log_artifacts(run_id, folder, "replay")
