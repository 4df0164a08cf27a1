"""How long a model takes: time to the first token and per token, fitted from traces or llmperf's runs, or given.

A call of i tokens in and o out, alone at its model, lasts ``base + per_input i + per_output o`` times a residual of
median 1; the answer begins after the first two parts. With b of c places taken it lasts ``1 + slowdown b / c`` times
that: batched decoding slows down with its batch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import nnls

from pointsman.errors import TraceError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["LatencyModel", "fit_latency", "read_llmperf", "under_way"]

_QUANTILES = np.linspace(0.005, 0.995, 100)


@dataclass(frozen=True, eq=False)
class LatencyModel:
    """Latency of one model.

    Attributes
    ----------
    base_ms : float
        To the first token of an empty request, network included, ms.
    input_ms, output_ms : float
        Per token read and per token written, ms.
    slowdown : float
        Relative, with all places taken; 0 where traces cannot tell and nobody gave it.
    slowdown_error : float or None
        Its standard error; None where it was given or is not known.
    error_rate : float
        Share of calls that failed, 0..1, timeouts not counted.
    residuals : (100,) float64 array
        Quantiles of measured over fitted, from 0.5 to 99.5 %.
    calls : int
        Answered calls fitted on; 0 where the figures were given.
    """

    base_ms: float
    input_ms: float
    output_ms: float
    slowdown: float = 0.0
    slowdown_error: float | None = None
    error_rate: float = 0.0
    residuals: Floats = None  # type: ignore[assignment]  # made in __post_init__
    calls: int = 0

    def __post_init__(self) -> None:
        """Let a model without residuals have none: every call lasts what is fitted."""
        if self.residuals is None:
            object.__setattr__(self, "residuals", np.ones(len(_QUANTILES)))

    def first_token_ms(self, input_tokens: Any) -> Any:
        """Return the time to the first token, ms, residual 1."""
        return self.base_ms + self.input_ms * input_tokens

    def latency_ms(self, input_tokens: Any, output_tokens: Any) -> Any:
        """Return the time to the last token, ms, residual 1."""
        return self.first_token_ms(input_tokens) + self.output_ms * output_tokens

    def draw(self, input_tokens: Floats, output_tokens: Floats, generator: np.random.Generator) -> Floats:
        """Draw latencies with residuals, (n,) ms."""
        residual = np.interp(generator.random(len(input_tokens)), _QUANTILES, self.residuals)
        return np.asarray(self.latency_ms(input_tokens, output_tokens) * residual, dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON values, without the residuals."""
        return {name: value for name, value in vars(self).items() if name != "residuals"}


def fit_latency(
    input_tokens: Floats,
    output_tokens: Floats,
    latency_ms: Floats,
    first_token_ms: Floats | None = None,
    taken: Floats | None = None,
    error_rate: float = 0.0,
) -> LatencyModel:
    """Fit one model's latency on n answered calls.

    Non-negative least squares of relative errors, reweighted five times by Huber's weights (1964) so that stalls do not
    bend the line; where the time to the first token is known, it is fitted by itself. `slowdown` is the slope through 1
    of the residual against the share of places taken; it is left at 0 where that share hardly varies, or the slope is
    not two standard errors above 0.

    Parameters
    ----------
    input_tokens, output_tokens, latency_ms : (n,) float64 array
        NaN where unknown; such calls are passed over.
    first_token_ms : (n,) float64 array, optional
    taken : (n,) float64 array, optional
        Share of the model's places, 0..1, taken when the call came; NaN where unknown.
    error_rate : float

    Raises
    ------
    TraceError
        Where no call is answered.
    """
    written = np.where(np.isfinite(output_tokens), output_tokens, _mean(output_tokens))
    read = np.where(np.isfinite(input_tokens), input_tokens, _mean(input_tokens))
    good = np.isfinite(latency_ms) & (latency_ms > 0)
    if not good.any():
        raise TraceError("no answered call: latency cannot be fitted; give it in the spec under load.latency")
    y, parts = latency_ms[good], np.column_stack([np.ones(int(good.sum())), read[good], written[good]])
    if first_token_ms is not None and np.isfinite(first_token_ms[good]).mean() > 0.5:
        known = np.isfinite(first_token_ms[good]) & (first_token_ms[good] > 0)
        base, per_input = _line(parts[known][:, :2], first_token_ms[good][known])
        rest = np.maximum(y[known] - first_token_ms[good][known], 1e-3)
        (per_output,) = _line(parts[known][:, 2:], rest)
    else:
        base, per_input, per_output = _line(parts, y)
    ratio = y / np.maximum(parts @ [base, per_input, per_output], 1e-9)
    middle = float(np.median(ratio))
    slope, error = (0.0, None) if taken is None else _slowdown(ratio / middle, taken[good])
    return LatencyModel(
        base * middle,
        per_input * middle,
        per_output * middle,
        slope,
        error,
        error_rate,
        np.quantile(ratio / middle, _QUANTILES),
        int(good.sum()),
    )


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else 0.0


def _line(parts: Floats, y: Floats) -> tuple[float, ...]:
    """Return coefficients of at least 0 that fit y in relative terms, robustly."""
    weight = 1 / y
    scale = np.maximum(parts.max(axis=0), 1e-12)
    found = np.zeros(parts.shape[1])
    huber = np.ones(len(y))
    for _ in range(5):
        root = weight * np.sqrt(huber)
        found, _residual = nnls(parts / scale * root[:, None], y * root)
        away = np.abs((parts / scale) @ found * weight - 1)
        spread = max(1.4826 * float(np.median(away)), 1e-9)
        huber = np.minimum(1.0, 1.345 * spread / np.maximum(away, 1e-12))
    return tuple((found / scale).tolist())


def _slowdown(ratio: Floats, taken: Floats) -> tuple[float, float | None]:
    """Return the slope of the residual against the share of places taken, and its standard error (robust to both)."""
    known = np.isfinite(taken)
    x, ratio = np.minimum(taken[known], 1.0), ratio[known]
    if len(x) < 30 or float(x.std()) < 0.02:
        return 0.0, None
    squares = float(((x - x.mean()) ** 2).sum())
    capped = np.minimum(ratio, np.quantile(ratio, 0.95))  # stalls tell nothing of batching
    slope = float(((x - x.mean()) * capped).sum() / squares)
    level = float(capped.mean() - slope * x.mean())
    away = capped - level - slope * x
    error = float(np.sqrt((((x - x.mean()) * away) ** 2).sum()) / squares)
    relative, error = slope / max(level, 1e-9), error / max(level, 1e-9)
    return (relative, error) if relative > 2 * error else (0.0, error)


def under_way(begin_s: Floats, latency_s: Floats) -> NDArray[np.int64]:
    """Return how many of n calls were under way when each began, itself not counted, (n,); `begin_s` ascending."""
    ends = np.sort(begin_s + latency_s)
    return np.arange(len(begin_s)) - np.searchsorted(ends, begin_s, side="right")


def read_llmperf(path: str | Path) -> LatencyModel:
    """Fit a model on one file of the llmperf leaderboard: a JSON list of requests.

    An ``error_code`` counts as a failed call, except -100, by which llmperf marks an answer shorter than it asked for.

    Raises
    ------
    TraceError
        Where the file is not in that layout or nothing was answered.
    """
    file = Path(path)
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
        failed = [one.get("error_code") not in (None, -100) for one in rows]
        keys = ("number_input_tokens", "number_output_tokens", "end_to_end_latency_s", "ttft_s")
        good = [[float(one[key]) for key in keys] for one, bad in zip(rows, failed, strict=True) if not bad]
    except OSError as error:
        raise TraceError(f"{file}: cannot be read: {error.strerror or error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TraceError(f"{file}: not in llmperf's layout (a list of requests with ttft_s): {error!r}") from error
    if not good:
        raise TraceError(f"{file}: none of {len(rows)} requests was answered")
    table = np.array(good)
    fitted = fit_latency(table[:, 0], table[:, 1], table[:, 2] * 1000, table[:, 3] * 1000)
    return replace(fitted, error_rate=float(np.mean(failed)))
