"""How the sidecar listens and what it bears: addresses, limits, times, the token of its admin endpoints."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pointsman.errors import PointsmanError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["TOKEN_VARIABLE", "ServeSettings", "is_loopback", "read_token"]

TOKEN_VARIABLE = "POINTSMAN_TOKEN"  # noqa: S105 -- the name of the variable
SHORTEST_TOKEN = 16
"""Characters: a token is drawn by a machine, and guessed by one."""


@dataclass(frozen=True)
class ServeSettings:
    """Settings of the sidecar.

    Attributes
    ----------
    host, port : str, int
        Where it listens; port 0 for any that is free.
    token : str or None
        Of the admin endpoints; None closes them.
    workers : int
        Decisions computed at once.
    max_waiting : int
        Decisions under way or waiting; one more is answered 503. A batch counts as many as it has requests.
    max_batch : int
        Requests in one batch; no more than `max_waiting` in any case.
    max_body_bytes : int
    body_timeout_s : float
        A body must have arrived after this time, s.
    max_connections : int
        Open at once; one more is answered 503.
    drain_s : float
        After SIGTERM it goes on serving for this time, s, while ``/readyz`` answers 503 and connections are not kept.
    grace_s : float
        Requests under way may then take this long to finish, s.
    bundle : str or None
        The folder that ``/reload`` loads where it is told no other.

    Raises
    ------
    PointsmanError
        Where a value is out of range.
    """

    host: str = "127.0.0.1"
    port: int = 8700
    token: str | None = field(default=None, repr=False)
    workers: int = 4
    max_waiting: int = 256
    max_batch: int = 128
    max_body_bytes: int = 1 << 20
    body_timeout_s: float = 10.0
    max_connections: int = 1000
    drain_s: float = 2.0
    grace_s: float = 30.0
    bundle: str | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        ranges: dict[str, tuple[float, float]] = {
            "port": (0, 65_535),
            "workers": (1, 256),
            "max_waiting": (1, 1_000_000),
            "max_batch": (1, 1_000_000),
            "max_body_bytes": (1, 1 << 30),
            "body_timeout_s": (0.01, 3_600),
            "max_connections": (1, 1_000_000),
            "drain_s": (0, 3_600),
            "grace_s": (0, 3_600),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise PointsmanError(f"serve: {name} is {value!r}; {low} to {high} is needed")
        if self.token is not None:
            _check_token(self.token, "the token")

    @property
    def batch_limit(self) -> int:
        """How many requests a batch may have."""
        return min(self.max_batch, self.max_waiting)


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_token(file: Path | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the token of the admin endpoints from a file, or else from ``POINTSMAN_TOKEN``; None where neither has it.

    Raises
    ------
    PointsmanError
        Where the file cannot be read, or the token is short or not plain ASCII.
    """
    if file is None:
        token = environment.get(TOKEN_VARIABLE, "").strip()
        return _check_token(token, TOKEN_VARIABLE) if token else None
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise PointsmanError(f"{file}: the token cannot be read: {why}") from error
    return _check_token(token, str(file))


def _check_token(token: str, where: str) -> str:
    if len(token) < SHORTEST_TOKEN or not (token.isascii() and token.isprintable()) or " " in token:
        raise PointsmanError(
            f"serve: {where} is no token; {SHORTEST_TOKEN} or more printable ASCII characters without spaces are needed"
        )
    return token
