"""A local mock upstream that really waits (asyncio, loopback, finite places), and what its callers measure."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["Measured", "measure"]


@dataclass(frozen=True, eq=False)
class Measured:
    """What really happened to n calls.

    Attributes
    ----------
    arrival_s : (n,) float64 array
        When each was really sent, from the first.
    latency_s : (n,) float64 array
        As its caller felt it.
    service_s : (n,) float64 array
        How long it really held a place: timers of a busy machine ring late.
    """

    arrival_s: Floats
    latency_s: Floats
    service_s: Floats


def measure(arrival_s: Floats, service_s: Floats, places: int) -> Measured:
    """Send n calls over loopback TCP at their times to an upstream that serves `places` at once.

    Parameters
    ----------
    arrival_s, service_s : (n,) float64 array
    places : int
    """
    return asyncio.run(_measured(arrival_s, service_s, places))


async def _measured(arrival_s: Floats, service_s: Floats, places: int) -> Measured:
    seats, n = asyncio.Semaphore(places), len(arrival_s)  # asyncio's is first come, first served
    held, sent, took = np.zeros(n), np.zeros(n), np.zeros(n)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at = int(await reader.readline())
        async with seats:
            began = time.perf_counter()
            await asyncio.sleep(float(service_s[at]))
            held[at] = time.perf_counter() - began
        writer.write(b"done\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    start = time.perf_counter() + 0.05

    async def call(at: int) -> None:
        await asyncio.sleep(max(start + float(arrival_s[at]) - time.perf_counter(), 0.0))
        began = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{at}\n".encode())
        await reader.readline()
        sent[at], took[at] = began - start, time.perf_counter() - began
        writer.close()

    calls: list[Any] = [call(at) for at in range(n)]
    async with server:
        await asyncio.gather(*calls)
    order = np.argsort(sent, kind="stable")
    return Measured(sent[order] - sent[order[0]], took[order], held[order])
