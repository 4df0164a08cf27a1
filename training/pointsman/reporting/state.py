"""How a replay stands: which of six verdicts it comes to, by the constraints, the certificate, the logs, the rivals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointsman.report import RIVALS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["STATES", "monthly", "state_of"]

STATES = ("cannot_tell", "broken", "missed", "unproven", "nothing_learned", "holds")
"""The first that applies is the report's verdict."""

HOURS_PER_MONTH = 24 * 365.25 / 12


def state_of(report: Mapping[str, Any]) -> str:
    """Return the verdict of a replay (see `pointsman.report.before_after`), one of `STATES`."""
    off_policy, certificate = report["off_policy"], report["certificate"]
    if off_policy is not None and not off_policy["tellable"]:
        return "cannot_tell"
    verdicts = {one["verdict"] for one in report["constraints"]}
    for state in ("broken", "missed"):
        if state in verdicts:
            return state
    unsure = "held" in verdicts if certificate is None else not certificate["certified"]
    if unsure:
        return "unproven"
    if any(report["against"][name]["stands"] != "ahead" for name in RIVALS if name in report["against"]):
        return "nothing_learned"
    return "holds"


def monthly(report: Mapping[str, Any]) -> tuple[float, str] | None:
    """Return requests a month and where that is from: the spec, else the traces' own rate; None where neither tells."""
    if report["requests_per_month"] is not None:
        return float(report["requests_per_month"]), "by the spec"
    first, last = (_moment(report["span"][key]) for key in ("first", "last"))
    hours = (last - first) / 3600
    if hours <= 0:
        return None
    return report["requests"] / hours * HOURS_PER_MONTH, "at the rate of the requests replayed"


def _moment(text: str) -> float:
    from datetime import UTC, datetime

    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
