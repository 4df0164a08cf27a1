"""When requests arrive: their own times, a Poisson process, or a real trace's times and lengths at a wanted rate."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pointsman.errors import TraceError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["Arrivals", "azure_trace", "mooncake_trace", "own_times", "poisson", "read_arrivals"]


@dataclass(frozen=True, eq=False)
class Arrivals:
    """When n requests arrive, and how long they are where that is known.

    Attributes
    ----------
    time_s : (n,) float64 array
        Ascending, from 0.
    input_tokens, output_tokens : (n,) float64 array or None
        Lengths of the trace's own requests; None where there are none.
    nearest : (n,) intp array or None
        Which of the replayed requests it stands for; None for one after the other.
    name : str
        For people.
    """

    time_s: Floats
    input_tokens: Floats | None = None
    output_tokens: Floats | None = None
    nearest: NDArray[np.intp] | None = None
    name: str = ""

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.time_s)

    @property
    def rate(self) -> float:
        """Requests per second over the whole span."""
        span = float(self.time_s[-1] - self.time_s[0])
        return (len(self) - 1) / span if span > 0 else float("inf")

    def take(self, at: Any) -> Arrivals:
        """Return the arrivals of an index or slice, the first of them at 0."""
        parts = {
            name: None if values is None else values[at]
            for name, values in vars(self).items()
            if name not in {"name", "time_s"}
        }
        time = self.time_s[at]
        return Arrivals(time - time[0], **parts, name=self.name)

    def at_rate(self, rate: float) -> Arrivals:
        """Return the same arrivals, time stretched or pressed together so that they come at a rate, per second."""
        if not rate > 0:
            raise TraceError(f"rate is {rate:g}; a number above 0 is needed, requests per second")
        return replace(self, time_s=(self.time_s - self.time_s[0]) * (self.rate / rate))

    def repeated(self, n: int) -> Arrivals:
        """Return the first n arrivals, the trace over again where it is shorter."""
        if n <= len(self):
            return self.take(slice(0, n))
        rounds = -(-n // len(self))
        gap = 1 / self.rate if np.isfinite(self.rate) else 0.0
        period = float(self.time_s[-1] - self.time_s[0]) + gap
        time = (np.arange(rounds)[:, None] * period + (self.time_s - self.time_s[0])).ravel()[:n]
        again = {
            name: None if values is None else np.tile(values, rounds)[:n]
            for name in ("input_tokens", "output_tokens", "nearest")
            for values in (getattr(self, name),)
        }
        return Arrivals(time, **again, name=self.name)

    def with_burst(self, start_s: float, length_s: float, factor: float) -> Arrivals:
        """Return the arrivals with time running `factor` times as fast for a while: that many times the rate.

        Parameters
        ----------
        start_s, length_s : float
            Where the burst begins, and how long it lasts once it is there, s.
        factor : float
        """
        inside = np.clip(self.time_s - start_s, 0.0, length_s * factor)
        return replace(self, time_s=self.time_s - inside * (1 - 1 / factor))


def poisson(rate: float, n: int, seed: int = 0) -> Arrivals:
    """Draw n arrivals of a Poisson process of a rate per second."""
    if not rate > 0:
        raise TraceError(f"rate is {rate:g}; a number above 0 is needed, requests per second")
    gaps = np.random.default_rng(seed).exponential(1 / rate, n)
    return Arrivals(np.cumsum(gaps) - gaps[0], name="poisson")


def own_times(
    timestamp: NDArray[np.datetime64], rate: float | None = None, n: int | None = None, seed: int = 0
) -> Arrivals:
    """Return requests at their own times, or more (fewer) of them with the same ups and downs over the same span.

    Traces are often a sample. At another rate, times are drawn from a Poisson process whose intensity is that of the
    logged times (even between two neighbours), and each stands for the logged request nearest in time.

    Parameters
    ----------
    timestamp : (b,) datetime64 array
        Ascending.
    rate : float, optional
        Requests per second, mean over the span; as logged by default.
    n : int, optional
        At most so many: the span is cut to the stretch of that length that is busiest.
    seed : int
    """
    time = (timestamp - timestamp[0]) / np.timedelta64(1, "s")
    span = float(time[-1]) if len(time) else 0.0
    if span <= 0:
        raise TraceError("all requests have the same timestamp: name a rate and --arrivals poisson")
    if rate is None:
        every = Arrivals(time, nearest=np.arange(len(time)), name="own")
        return every if n is None or n >= len(time) else every.take(slice(0, n))
    if not rate > 0:
        raise TraceError(f"rate is {rate:g}; a number above 0 is needed, requests per second")
    first, last = 0.0, float(len(time) - 1)  # counted in logged requests
    count = max(round(rate * span), 1)
    if n is not None and n < count:
        width = span * n / count
        begins = np.linspace(0.0, span - width, 400)
        inside = np.interp(begins + width, time, np.arange(len(time))) - np.interp(begins, time, np.arange(len(time)))
        begin = float(begins[int(inside.argmax())])
        first, last = (float(np.interp(at, time, np.arange(len(time)))) for at in (begin, begin + width))
        count = max(round(count * (last - first) / (len(time) - 1)), 1)
    at = np.sort(np.random.default_rng(seed).uniform(first, last, count))
    drawn = np.interp(at, np.arange(len(time)), time)
    return Arrivals(drawn - drawn[0], nearest=np.rint(at).astype(np.intp), name="own")


def azure_trace(path: str | Path) -> Arrivals:
    """Read Azure's LLM inference trace: CSV with ``TIMESTAMP,ContextTokens,GeneratedTokens``.

    Raises
    ------
    TraceError
        Where the file cannot be read or has other columns.
    """
    file = Path(path)
    columns = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]
    try:
        rows = pd.read_csv(file)
        times = pd.to_datetime(rows[columns[0]])
        read, written = (np.asarray(rows[name], dtype=np.float64) for name in columns[1:])
    except KeyError as error:
        raise TraceError(f"{file}: column {error} is missing; Azure's layout is {', '.join(columns)}") from error
    except OSError as error:
        raise TraceError(f"{file}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise TraceError(f"{file}: not in Azure's layout ({', '.join(columns)}): {error}") from error
    time = np.asarray((times - times.min()).dt.total_seconds(), dtype=np.float64)
    return _ordered(file, time, read, written)


def mooncake_trace(path: str | Path) -> Arrivals:
    """Read a Mooncake trace: JSON lines with ``timestamp`` (ms), ``input_length``, ``output_length``.

    Raises
    ------
    TraceError
        Where the file cannot be read or a line is not in that layout; it names the line.
    """
    file = Path(path)
    rows = []
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    try:
                        one = json.loads(line)
                        rows.append((float(one["timestamp"]), float(one["input_length"]), float(one["output_length"])))
                    except (KeyError, TypeError, ValueError) as error:
                        raise TraceError(
                            f"{file}, line {number}: not in Mooncake's layout "
                            f"(timestamp, input_length, output_length): {error!r}"
                        ) from error
    except OSError as error:
        raise TraceError(f"{file}: cannot be read: {error.strerror or error}") from error
    table = np.array(rows, dtype=np.float64).reshape(-1, 3)
    return _ordered(file, table[:, 0] / 1000, table[:, 1], table[:, 2])


def read_arrivals(path: str | Path) -> Arrivals:
    """Read a trace of either layout, told by the file's ending: .csv Azure's, .jsonl Mooncake's."""
    file = Path(path)
    if file.suffix == ".csv":
        return azure_trace(file)
    if file.suffix == ".jsonl":
        return mooncake_trace(file)
    raise TraceError(f"{file}: ends in {file.suffix!r}; allowed: .csv (Azure's layout), .jsonl (Mooncake's layout)")


def _ordered(file: Path, time: Floats, read: Floats, written: Floats) -> Arrivals:
    if len(time) < 2 or not np.isfinite(np.column_stack([time, read, written])).all():
        raise TraceError(f"{file}: at least two requests, each with time and lengths, are needed")
    order = np.argsort(time, kind="stable")
    time = time[order]
    return Arrivals(time - time[0], read[order], written[order], name=file.name)
