"""How fast and in how much memory `pointsman ingest` reads millions of rows.

    python tests/benchmarks/ingest_speed.py --rows 1000000 --kinds parquet jsonl otlp

Writes synthetic exports (prompts of 5 to 60 words, drawn by a seed) row group by row group, ingests each with the
command line in a process of its own, and prints rows per second (of the clock, and of processor time), the peak of
resident memory of the process and its workers together, and the size of what was read. One core unless --workers says
more.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from pointsman.benchmarks.pages import rewrite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STEP = 100_000
OTLP_MOST = 1_000_000
"""Requests written as spans at most: a line is 1.2 kB."""

MODELS = ("small-precise", "mid-writer", "big-decoder-v2")
INTENTS = ("billing", "refund", "search", "code", "smalltalk", "summary")
FIRST = np.datetime64("2026-01-05T00:00:00", "us")


def rows(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Give columns of up to `STEP` rows each."""
    rng = np.random.default_rng(seed)
    words = np.array([f"w{number:04d}" for number in range(5000)], dtype=object)
    for start in range(0, count, STEP):
        size = min(STEP, count - start)
        lengths = rng.integers(5, 61, size)
        drawn = words[rng.integers(0, len(words), int(lengths.sum()))]
        ends = np.cumsum(lengths)
        yield {
            "request_id": [f"r{start + number:09d}" for number in range(size)],
            # Arrivals are a little out of order, as logs are.
            "timestamp": FIRST + (np.arange(start, start + size) * 60_000 + rng.integers(0, 600_000_000, size)),
            "prompt": [" ".join(drawn[end - length : end]) for end, length in zip(ends, lengths, strict=True)],
            "model": np.array(MODELS, dtype=object)[rng.integers(0, len(MODELS), size)],
            "latency_ms": np.round(rng.lognormal(5, 0.6, size), 1),
            "useful": np.where(rng.random(size) < 0.3, np.nan, rng.integers(0, 2, size)),
            "input_tokens": lengths + 20,
            "output_tokens": rng.integers(1, 400, size),
            "cost_usd": np.round(rng.random(size) / 100, 8),
            "intent": np.array(INTENTS, dtype=object)[rng.integers(0, len(INTENTS), size)],
            "chosen": np.ones(size, dtype=bool),
            "user_id": [f"u{one}" for one in rng.integers(0, count // 20 + 1, size)],
        }


def write_parquet(path: Path, count: int) -> None:
    """Write a trace table."""
    writer = None
    for part in rows(count, seed=1):
        table = pa.table({**part, "timestamp": pa.array(part["timestamp"], pa.timestamp("us", "UTC"))})
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def _records(count: int) -> Iterator[dict[str, Any]]:
    for part in rows(count, seed=1):
        names = list(part)
        columns = [np.asarray(part[name]).astype(str if name == "timestamp" else object).tolist() for name in names]
        for values in zip(*columns, strict=True):
            yield {k: v for k, v in zip(names, values, strict=True) if v == v}


def write_jsonl(path: Path, count: int) -> None:
    """Write a trace table as JSON lines."""
    with path.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(record) + "\n" for record in _records(count))


def write_otlp(path: Path, count: int) -> None:
    """Write one OTLP line for each request: a root span and the model's span, with GenAI attributes."""
    with path.open("w", encoding="utf-8") as out:
        out.writelines(
            json.dumps(_otlp(number, record)) + "\n" for number, record in enumerate(_records(count), start=1)
        )


def _otlp(number: int, record: dict[str, Any]) -> dict[str, Any]:
    start = int(np.datetime64(record["timestamp"]).astype("datetime64[ns]").astype(np.int64))
    end = start + int(record["latency_ms"] * 1e6)
    message = json.dumps([{"role": "user", "parts": [{"type": "text", "content": record["prompt"]}]}])
    facts = {
        "gen_ai.operation.name": {"stringValue": "chat"},
        "gen_ai.request.model": {"stringValue": record["model"]},
        "gen_ai.usage.input_tokens": {"intValue": str(record["input_tokens"])},
        "gen_ai.usage.output_tokens": {"intValue": str(record["output_tokens"])},
        "gen_ai.input.messages": {"stringValue": message},
        "user.id": {"stringValue": record["user_id"]},
    }
    trace = f"{number:032x}"
    common = {"traceId": trace, "startTimeUnixNano": str(start), "endTimeUnixNano": str(end)}
    spans = [
        {**common, "spanId": f"{2 * number:016x}", "name": "POST /chat", "attributes": []},
        {
            **common,
            "spanId": f"{2 * number + 1:016x}",
            "parentSpanId": f"{2 * number:016x}",
            "name": "chat",
            "attributes": [{"key": key, "value": value} for key, value in facts.items()],
        },
    ]
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {"name": "benchmark"}, "spans": spans}]}]}


KINDS: dict[str, tuple[str, Callable[[Path, int], None]]] = {
    "parquet": ("parquet", write_parquet),
    "jsonl": ("jsonl", write_jsonl),
    "otlp": ("jsonl", write_otlp),
}


def measure(command: list[str]) -> tuple[float, float, int]:
    """Run a command; return its seconds, those of processors, and the peak of resident bytes, its children included."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watched, peak = psutil.Process(process.pid), 0
    while process.poll() is None:
        try:
            family = [watched, *watched.children(recursive=True)]
            peak = max(peak, sum(one.memory_info().rss for one in family))
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} left with {process.returncode}: {process.communicate()[1][-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, spent, peak


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--engine", choices=["local", "dask"], default="local")
    parser.add_argument("--folder", type=Path, help="keep the files here")
    parser.add_argument("--page", type=Path, help="write the table into this page too (features/INGEST.md)")
    args = parser.parse_args()
    head = ("source", "rows", "MB read", "seconds", "CPU seconds", "rows/s", "rows per CPU second", "peak memory, MB")
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    print("\n".join(lines))
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch)
        for kind in args.kinds:
            suffix, write = KINDS[kind]
            for count in (one for one in args.rows if kind != "otlp" or one <= OTLP_MOST):
                source, out = folder / f"{kind}-{count}.{suffix}", folder / f"out-{kind}-{count}.parquet"
                if not source.exists():
                    write(source, count)
                command = [sys.executable, "-m", "pointsman.cli", "ingest", str(source), "--out", str(out)]
                command += ["--engine", args.engine, "--workers", str(args.workers)]
                seconds, spent, peak = measure(command)
                kept = pq.read_metadata(out).num_rows
                if kept != count:
                    raise SystemExit(f"{kept} of {count} rows kept")
                size = source.stat().st_size / 1e6
                figures = (count, size, seconds, spent, count / seconds, count / spent, peak / 1e6)
                lines.append(f"| {kind} | {' | '.join(f'{one:,.0f}' for one in figures)} |")
                print(lines[-1], flush=True)
                out.unlink()
                if not args.folder:
                    source.unlink()
    if args.page:
        rewrite(args.page, "speed", "tests/benchmarks/ingest_speed.py", "\n".join(lines))


if __name__ == "__main__":
    main()
