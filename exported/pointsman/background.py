"""One thread for work that nobody waits for: bounded, and what does not fit is dropped and counted."""

from __future__ import annotations

import logging
import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Background"]

logger = logging.getLogger("pointsman.router")


class Background:
    """Runs calls one after the other on a thread of its own, which starts with the first of them.

    Parameters
    ----------
    most : int
        Calls that may wait; one more is dropped.
    """

    def __init__(self, most: int = 256) -> None:
        self.dropped = 0
        self.failed = 0
        self._lock = threading.Lock()
        self._waiting: queue.Queue[Callable[[], None] | None] = queue.Queue(most)
        self._thread: threading.Thread | None = None

    def submit(self, call: Callable[[], None]) -> None:
        """Run a call later, or drop it where too many wait."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="pointsman-background", daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait(call)
        except queue.Full:
            self.dropped += 1

    def settle(self) -> None:
        """Wait until everything that was submitted is done."""
        self._waiting.join()

    def close(self) -> None:
        """Finish what waits, and stop the thread."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._waiting.put(None)
            thread.join()

    def _run(self) -> None:
        while True:
            call = self._waiting.get()
            try:
                if call is None:
                    return
                call()
            except Exception:
                self.failed += 1
                if self.failed == 1:
                    logger.exception("a shadow decision failed; nothing that is served depends on it")
            finally:
                self._waiting.task_done()
