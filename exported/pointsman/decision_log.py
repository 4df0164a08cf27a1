"""The decision log: JSON lines of decisions, of what came of them, and of shadows; and a decision as span attributes.

Standard library only. ``pointsman ingest --format pointsman`` reads the log back. No prompt is in it unless asked for.
Every line has ``log`` (the version of this format), ``event`` (decision, outcome, feedback, shadow), ``at`` and
``request_id``.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman.errors import PointsmanError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.decision import Decision

__all__ = ["LOG_VERSION", "DecisionLog", "otel_attributes"]

logger = logging.getLogger("pointsman.log")

LOG_VERSION = "pointsman/1"
_DETAILS = frozenset({"retry_delays_ms", "fallback_steps", "timeout_ms", "decided_at", "delay_ms"})
"""Of a decision, what the log leaves out."""


class DecisionLog:
    """Appends to a file and starts a new one when it is full; one per process and file, safe between threads.

    A line that cannot be written (a full disk) is counted in `lost`; no decision fails for it.

    Parameters
    ----------
    path : str or Path
        Made where it is missing, readable by its owner alone; older files are PATH.1, PATH.2, …
    max_bytes : int
        A file that has reached this is put aside.
    backups : int
        How many of these are kept, at least 1.
    prompts : bool
        Whether prompts are written: they are needed to train from the log.
    wall : callable
        Seconds since 1970.

    Raises
    ------
    PointsmanError
        Where the file cannot be opened.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        max_bytes: int = 100 << 20,
        backups: int = 10,
        prompts: bool = False,
        wall: Callable[[], float] = time.time,
    ) -> None:
        if max_bytes < 1 or backups < 1:
            raise PointsmanError(f"decision log: max_bytes {max_bytes} and backups {backups} must be at least 1")
        self.path = Path(path)
        self.prompts = prompts
        self.lost = 0
        self._max_bytes = max_bytes
        self._backups = backups
        self._wall = wall
        self._lock = threading.Lock()
        self._handle = -1
        self._size = 0
        try:
            self._open()
        except OSError as error:
            raise PointsmanError(f"{self.path}: the decision log cannot be opened: {error.strerror}") from error

    def decision(self, decision: Decision, prompt: str | bytes | None = None, user_id: str | None = None) -> None:
        """Write a decision; its prompt only where the log was made for prompts."""
        row = {**_told(decision), "user_id": user_id}
        if self.prompts:
            row["prompt"] = prompt.decode("utf-8", "replace") if isinstance(prompt, bytes) else prompt
        self._write("decision", decision.decided_at, row)

    def outcome(
        self,
        decision: Decision,
        *,
        ok: bool,
        status: str,
        latency_ms: float | None = None,
        cost_usd: float | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        useful: float | None = None,
    ) -> None:
        """Write what came of a decision, with what the decision was: the line stands for itself."""
        row = {
            **_told(decision),
            "ok": ok,
            "status": status,
            "latency_ms": latency_ms,
            "cost_usd": cost_usd,
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "useful": useful,
        }
        self._write("outcome", self._wall(), row)

    def feedback(self, request_id: str, useful: float) -> None:
        """Write how useful an answer turned out, 0..1, when that is known later."""
        if not 0 <= useful <= 1:
            raise PointsmanError(f"feedback: useful is {useful!r}; a number from 0 to 1 is needed")
        self._write("feedback", self._wall(), {"request_id": request_id, "useful": useful})

    def shadow(self, decision: Decision, role: str) -> None:
        """Write what another bundle said of the same request, and served to nobody: `role` is shadow or stable."""
        self._write("shadow", decision.decided_at, {**_told(decision), "role": role})

    def close(self) -> None:
        """Close the file; lines that come later are lost, and counted."""
        with self._lock:
            if self._handle >= 0:
                os.close(self._handle)
            self._handle = -1

    def _write(self, event: str, at: float, row: dict[str, Any]) -> None:
        moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")
        line = json.dumps({"log": LOG_VERSION, "event": event, "at": moment, **row}) + "\n"
        data = line.encode("ascii")  # json escapes all else, lone surrogates too
        with self._lock:
            try:
                if self._size and self._size + len(data) > self._max_bytes:
                    self._turn_over()
                written = os.write(self._handle, data)
                self._size += written
                if written < len(data):
                    self._lose("the disk is full")
                    os.write(self._handle, b"\n")  # half a line must not spoil the next
            except OSError as error:
                self._lose(error)

    def _lose(self, why: object) -> None:
        self.lost += 1
        if self.lost == 1:
            logger.warning("the decision log loses lines: %s: %s", self.path, why)

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        self._handle = os.open(self.path, flags, 0o600)
        self._size = os.fstat(self._handle).st_size

    def _turn_over(self) -> None:
        os.close(self._handle)
        self._handle = -1
        for number in range(self._backups - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                self._numbered(number).replace(self._numbered(number + 1))
        with contextlib.suppress(FileNotFoundError):
            self.path.replace(self._numbered(1))
        self._open()

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def otel_attributes(decision: Decision) -> dict[str, str | bool | int | float | list[str]]:
    """Return a decision as attributes of a span: OpenTelemetry's GenAI names, ours under ``pointsman``.

    What is None is left out, as span attributes have no null. No prompt is among them.
    """
    found: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": decision.model,
        "pointsman.request_id": decision.request_id,
        "pointsman.version": decision.version,
        "pointsman.intent": decision.intent,
        "pointsman.tier": decision.tier,
        "pointsman.confidence": decision.confidence,
        "pointsman.p_useful": decision.p_useful,
        "pointsman.propensity": decision.propensity,
        "pointsman.explored": decision.explored,
        "pointsman.expected_cost_usd": decision.expected_cost_usd,
        "pointsman.reason": decision.reason,
        "pointsman.fallbacks": list(decision.fallbacks),
        "pointsman.barred": [f"{model}: {why}" for model, why in decision.barred.items()],
        "pointsman.degraded": decision.degraded,
        "pointsman.killed": decision.killed,
        "pointsman.attempt": decision.attempt,
    }
    return {name: value for name, value in found.items() if value is not None}


def _told(decision: Decision) -> dict[str, Any]:
    """Return what the log tells of a decision."""
    row = {name: value for name, value in decision.to_dict().items() if name not in _DETAILS}
    row["attempt"] = decision.attempt
    return row
