"""Puts a sidecar under load and prints throughput and latency beside the bare router's, of the same run.

    python tests/benchmarks/sidecar_load.py --bundle exported/bundles/week --seconds 5

Without ``--bundle`` the classifier is a stub: what is left is guards, decisions and HTTP. The load comes from wrk, or,
where that is not on the PATH, from connections of our own. The last row has more connections than the sidecar takes
decisions: what is too much is refused, the rest goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from router_soak import soaked_router

from pointsman.router import Router
from pointsman.serve.server import serve
from pointsman.serve.settings import ServeSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

PROMPTS = [
    "What is the capital of Norway?",
    "Write a function that merges two sorted lists, with tests, and say how long it takes.",
    "Summarise the minutes below in five lines for somebody who was not there. " * 6,
    "Why does this loop never end?\n\nwhile x != 1.0:\n    x += 0.1\n",
    "Compare these two contracts clause by clause and list what a tenant should worry about. " * 12,
]
OVERLOAD = 400
WAITING = 128


class Load(NamedTuple):
    """Answers per second and their latency in ms, refusals among them; and the share of these, 0..1."""

    rate: float
    p50_ms: float
    p99_ms: float
    refused: float = 0.0


def bare(router: Router, seconds: float, threads: int) -> Load:
    """Ask a router from so many threads."""
    taken: list[list[float]] = [[] for _ in range(threads)]
    until = time.perf_counter() + seconds

    def ask(times: list[float]) -> None:
        at, began = 0, time.perf_counter()
        while began < until:
            router.route(PROMPTS[at % len(PROMPTS)])
            at, ended = at + 1, time.perf_counter()
            times.append(ended - began)
            began = ended

    workers = [threading.Thread(target=ask, args=(times,)) for times in taken]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return _load([one for times in taken for one in times], seconds)


def bodies(batch: int) -> tuple[str, list[str]]:
    """Return the endpoint and the bodies that go there; 0 for single requests."""
    if not batch:
        return "/route", [json.dumps({"text": text}) for text in PROMPTS]
    requests = [{"text": PROMPTS[at % len(PROMPTS)]} for at in range(batch)]
    return "/route_batch", [json.dumps({"requests": requests})]


def by_wrk(url: str, connections: int, seconds: float, batch: int) -> Load:
    """Load the sidecar with wrk."""
    path, texts = bodies(batch)
    lines = "\n".join(f"bodies[{at + 1}] = {json.dumps(text)}" for at, text in enumerate(texts))
    script = f"""bodies = {{}}
{lines}
at = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
request = function()
  at = at % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[at])
end
"""
    with tempfile.NamedTemporaryFile("w", suffix=".lua", encoding="utf-8") as file:
        file.write(script)
        file.flush()
        words = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", "--timeout", "30s"]
        done = subprocess.run([*words, "-s", file.name, url + path], capture_output=True, text=True, check=True)
    text = done.stdout
    units = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}

    def latency(share: str) -> float:
        found = re.search(rf"^\s+{share}%\s+([\d.]+)(us|ms|s|m)\s*$", text, re.MULTILINE)
        return float("nan") if found is None else float(found[1]) * units[found[2]]

    total = int(re.search(r"(\d+) requests in", text)[1])  # type: ignore[index]
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])  # type: ignore[index]
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return Load(rate, latency("50"), latency("99"), int(bad[1]) / total if bad and total else 0.0)


def by_streams(url: str, connections: int, seconds: float, batch: int) -> Load:
    """Load the sidecar with connections of our own."""
    path, texts = bodies(batch)
    host, _, port = url.removeprefix("http://").partition(":")
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: "
    data = [f"{head}{len(text)}\r\n\r\n{text}".encode("ascii") for text in texts]
    times: list[float] = []
    refused = 0
    until = time.perf_counter() + seconds

    async def ask() -> None:
        nonlocal refused
        reader, writer = await asyncio.open_connection(host, int(port))
        at = 0
        while (began := time.perf_counter()) < until:
            writer.write(data[at % len(data)])
            answer = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)
            await reader.readexactly(int(length[1]) if length else 0)
            times.append(time.perf_counter() - began)
            refused += not answer.startswith(b"HTTP/1.1 200")
            at += 1
        writer.close()

    async def all_of_them() -> None:
        await asyncio.gather(*(ask() for _ in range(connections)))

    asyncio.run(all_of_them())
    return _load(times, seconds, refused)


def _load(times: Sequence[float], seconds: float, refused: int = 0) -> Load:
    p50, p99 = np.percentile(times, [50, 99]) * 1000
    return Load(len(times) / seconds, float(p50), float(p99), refused / len(times))


def loaded(bundle: Path | None) -> Router:
    """Return the bundle's router, or one with a stub for a classifier."""
    return soaked_router() if bundle is None else Router.load(bundle)


def measure(bundle: Path | None, seconds: float, workers: int, *, wrk: bool) -> dict[str, Load]:
    """Load bare router and sidecar, one after the other; rates count decisions."""
    found = {}
    router = loaded(bundle)
    for text in PROMPTS:
        router.route(text)
    found["router, 1 thread"] = bare(router, seconds, 1)
    found[f"router, {workers} threads"] = bare(router, seconds, workers)
    router.close()
    words = [sys.executable, __file__, "--only-serve", "--workers", str(workers)]
    words += [] if bundle is None else ["--bundle", str(bundle)]
    load = by_wrk if wrk else by_streams
    sidecar = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        assert sidecar.stderr is not None
        line = sidecar.stderr.readline()
        if "serving bundle" not in line:
            raise RuntimeError(line + sidecar.stderr.read())
        url = line.split()[-1]
        load(url, 1, 1, 0)
        for connections in (1, 16, 64):
            found[f"sidecar, {connections} connection{'s' * (connections > 1)}"] = load(url, connections, seconds, 0)
        many = load(url, 4, seconds, 16)
        found["sidecar, 4 connections, batches of 16"] = many._replace(rate=many.rate * 16)
        found[f"sidecar, {OVERLOAD} connections, {WAITING} may wait"] = load(url, OVERLOAD, seconds, 0)
    finally:
        sidecar.terminate()
        sidecar.communicate(timeout=60)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="folder of a bundle; a stub without one")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each row")
    parser.add_argument("--workers", type=int, default=4, help="decisions that the sidecar computes at once")
    parser.add_argument("--own-load", action="store_true", help="connections of our own even where wrk is there")
    parser.add_argument("--only-serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.only_serve:
        settings = ServeSettings(port=0, workers=options.workers, max_waiting=WAITING, drain_s=0)
        serve(loaded(options.bundle), settings)
        return
    wrk = shutil.which("wrk") is not None and not options.own_load
    print(f"load by {'wrk' if wrk else 'connections of our own'}, {options.seconds:g} s each")
    print(f"{'':42}{'decisions/s':>12}{'P50 ms':>9}{'P99 ms':>9}{'refused':>9}")
    for name, one in measure(options.bundle, options.seconds, options.workers, wrk=wrk).items():
        print(f"{name:42}{one.rate * (1 - one.refused):12,.0f}{one.p50_ms:9.2f}{one.p99_ms:9.2f}{one.refused:9.1%}")


if __name__ == "__main__":
    main(sys.argv[1:])
