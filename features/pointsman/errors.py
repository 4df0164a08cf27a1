"""Every error that a user can cause: one clear line that says what, where, and what is allowed."""

from __future__ import annotations

__all__ = [
    "BundleError",
    "ConfigError",
    "DoesNotHoldError",
    "InfeasibleError",
    "MissingExtraError",
    "PointsmanError",
    "SpecError",
    "TraceError",
]


class PointsmanError(Exception):
    """Base of all errors caused by input or set-up; the command line prints it as one line and exits with 2."""

    exit_code = 2


class TraceError(PointsmanError):
    """The trace table cannot be used: a column is missing, or no row is usable."""


class SpecError(PointsmanError):
    """The routing spec breaks its schema: the message names the key, the bad value and what is allowed."""


class ConfigError(PointsmanError):
    """A configuration file breaks its schema: the message names the key, the bad value and what is allowed."""


class BundleError(PointsmanError):
    """A bundle is truncated, altered, or of a version or shape this release does not load."""


class MissingExtraError(PointsmanError):
    """A part that needs an optional dependency was used without it."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module} is not installed: pip install 'pointsman[{extra}]' brings it")


class DoesNotHoldError(PointsmanError):
    """The work was done and the answer is no: a constraint does not hold (exit code 1)."""

    exit_code = 1


class InfeasibleError(DoesNotHoldError):
    """No policy meets the constraints; the message names the constraint and the nearest policy's distance."""
