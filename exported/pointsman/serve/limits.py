"""A bounded lane of work: so many threads, so much that may be under way or waiting, and no more."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from pointsman.errors import PointsmanError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BusyError", "Lane"]

Result = TypeVar("Result")


class BusyError(PointsmanError):
    """A lane is full: the caller may come again in a moment."""


class Lane:
    """Runs calls in threads of its own while the event loop goes on; full, it refuses at once.

    Parameters
    ----------
    name : str
    threads : int
    most : int
        Weight that may be under way or waiting.
    """

    def __init__(self, name: str, threads: int, most: int) -> None:
        self.name = name
        self.most = most
        self.held = 0
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"pointsman-{name}")

    async def run(self, call: Callable[[], Result], weight: int = 1) -> Result:
        """Run a call and return what it returns, or raise what it raises.

        Raises
        ------
        BusyError
            Where the lane is full.
        """
        with self._lock:
            if self.held + weight > self.most:
                raise BusyError(f"busy: {self.held} of {self.most} are under way or waiting; come again in a moment")
            self.held += weight
        try:
            future = self._pool.submit(call)
        except RuntimeError as error:  # closed
            self._release(weight)
            raise BusyError("shutting down") from error
        # Not by the coroutine: one that is cancelled leaves its call running.
        future.add_done_callback(lambda _: self._release(weight))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Finish what is under way and end the threads."""
        self._pool.shutdown(wait=True)

    def _release(self, weight: int) -> None:
        with self._lock:
            self.held -= weight
