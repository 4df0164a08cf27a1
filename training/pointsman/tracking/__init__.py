"""MLflow: runs, trials, data, the model and its versions."""

from __future__ import annotations

from pointsman.tracking.registry import CHALLENGER, CHAMPION, PREVIOUS, Registry, Version
from pointsman.tracking.run import Tracker
from pointsman.tracking.store import Store, TrackingError

__all__ = ["CHALLENGER", "CHAMPION", "PREVIOUS", "Registry", "Store", "Tracker", "TrackingError", "Version"]
