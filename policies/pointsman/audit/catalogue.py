"""Every check of the audit, and the table of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.audit.adversarial import ADVERSARIAL_CHECKS
from pointsman.audit.audit_configuration import CONFIGURATION_CHECKS
from pointsman.audit.audit_traces import TRACE_CHECKS
from pointsman.audit.brittleness import BRITTLE
from pointsman.audit.expected_routes import UNEXPECTED
from pointsman.audit.outcome_checks import OUTCOME_CHECKS

if TYPE_CHECKING:
    from pointsman.audit.check import Check

__all__ = ["CHECKS", "as_markdown"]

CHECKS: tuple[Check, ...] = (
    *CONFIGURATION_CHECKS,
    *TRACE_CHECKS,
    BRITTLE,
    *ADVERSARIAL_CHECKS,
    UNEXPECTED,
    *OUTCOME_CHECKS,
)


def as_markdown() -> str:
    """Return the checks as tables, one for each thing that is looked at."""
    parts = []
    for subject in dict.fromkeys(check.subject for check in CHECKS):
        head = ("check", "what, and why it hurts", "how it is computed", "red flag from", "reference")
        rows = [
            (f"`{one.code}`", f"**{one.title}.** {one.why}", one.how, one.threshold, one.reference)
            for one in CHECKS
            if one.subject == subject
        ]
        lines = [" | ".join(cells) for cells in (head, ("---",) * len(head), *rows)]
        parts.append(f"### On {_OF[subject]}\n\n" + "\n".join(f"| {line} |" for line in lines))
    return "\n\n".join(parts)


_OF = {"configuration": "a configuration", "traces": "traces", "bundle": "a bundle"}
