"""What each candidate is expected to do: averages per intent, and how a request's own length moves cost and lateness.

Plain numbers and a few lines of arithmetic: a gateway in any language can repeat them. Standard library and numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.errors import BundleError
from pointsman.values import exactly, table

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LATE_MARGIN", "Expected", "Lengths"]

LATE_MARGIN = 1e-3
"""Shares of late responses are kept this far from 0 and 1 before their log-odds are taken."""

MOST = 1e12
"""Largest number of a table: its product with the largest request's tokens is within float32."""


@dataclass(frozen=True, eq=False)
class Lengths:
    """How the lengths of a request and of its expected answer move a candidate's cost and lateness.

    Of a request with t tokens to read and an expected answer of o tokens, where its intents' typical lengths are
    ``T = intent_probs @ tokens_in`` and ``O = intent_probs @ output_tokens``::

        cost = max(0, intent_probs @ cost_usd + usd_per_token_in * (t - T) + usd_per_token_out * (o - O))
        logit(late) = logit(intent_probs @ late) + late_bias
                      + late_per_log_in * ln((1 + t) / (1 + T)) + late_per_log_out * ln((1 + o) / (1 + O))

    A candidate whose factors are all 0 keeps its intents' average. Where no length is expected of answers, o is O.

    Attributes
    ----------
    tokens_in : (k,) float array
        Mean tokens to read per intent, as `pointsman.decide.Facts` counts them.
    output_tokens : (k, m) float array
        Mean expected length of the answer per intent, tokens.
    usd_per_token_in, usd_per_token_out : (m,) float array
        USD that one token more to read, or expected of the answer, adds; at least 0.
    late_bias : (m,) float array
        Log-odds.
    late_per_log_in, late_per_log_out : (m,) float array
        Log-odds of being late that a length e times as large adds; at least 0.
    """

    tokens_in: NDArray[np.float64]
    output_tokens: NDArray[np.float64]
    usd_per_token_in: NDArray[np.float64]
    usd_per_token_out: NDArray[np.float64]
    late_bias: NDArray[np.float64]
    late_per_log_in: NDArray[np.float64]
    late_per_log_out: NDArray[np.float64]

    @property
    def uses_answers(self) -> bool:
        """Whether the expected length of answers moves anything."""
        return bool(self.usd_per_token_out.any() or self.late_per_log_out.any())


@dataclass(frozen=True, eq=False)
class Expected:
    """What each candidate did in the traces: the policy's prior knowledge.

    Attributes
    ----------
    useful : (k, m) float array
        Share of useful responses per intent.
    cost_usd : (k, m) float array
        Mean full cost of a response per intent, USD: model, retries, retrieval, connectors.
    late : (k, m) float array
        Share of responses later than the latency limit per intent; zeros where there is no limit.
    lengths : Lengths or None
        How a request's own length moves cost and lateness; None where it tells nothing more than the intent.
    """

    useful: NDArray[np.float64]
    cost_usd: NDArray[np.float64]
    late: NDArray[np.float64]
    lengths: Lengths | None = None

    @property
    def tables(self) -> dict[str, NDArray[np.float64]]:
        """The averages per intent by name, (k, m) each."""
        return {"useful": self.useful, "cost_usd": self.cost_usd, "late": self.late}

    def cost_and_late(
        self, intent_probs: NDArray[np.float32], tokens: NDArray[Any], output_tokens: NDArray[Any] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the expected full cost, USD, and P(later than the limit), (m, n) float32 each.

        Parameters
        ----------
        intent_probs : (n, k) float32 array
        tokens : (n,) array
            To read (see `pointsman.decide.Facts`).
        output_tokens : (n, m) array or None
            Expected length of each candidate's answer; None where it is not known.
        """
        weights = intent_probs.T
        cost, late = (single(values).T @ weights for values in (self.cost_usd, self.late))
        lengths = self.lengths
        if lengths is None:
            return cost, late
        read, usual = single(tokens), single(lengths.tokens_in) @ weights
        cost += np.outer(single(lengths.usd_per_token_in), read - usual)
        answer = typical = None
        if output_tokens is not None and lengths.uses_answers:
            answer = np.array(output_tokens.T, dtype=np.float32, order="C")  # a copy: it is worked on in place
            typical = single(lengths.output_tokens).T @ weights
            more = answer - typical
            more *= single(lengths.usd_per_token_out)[:, None]
            cost += more
        np.maximum(cost, 0, out=cost)
        moved = np.flatnonzero(lengths.late_per_log_in + lengths.late_per_log_out)
        if len(moved) == 0:
            return cost, late
        odds = np.clip(late[moved], LATE_MARGIN, 1 - LATE_MARGIN)
        odds /= 1 - odds
        np.log(odds, out=odds)
        odds += np.outer(single(lengths.late_per_log_in)[moved], np.log1p(read) - np.log1p(usual))
        odds += single(lengths.late_bias)[moved, None]
        if answer is not None and typical is not None:
            answer += 1
            typical += 1
            answer /= typical
            longer = np.log(answer[moved])
            longer *= single(lengths.late_per_log_out)[moved, None]
            odds += longer
        odds *= 0.5
        np.tanh(odds, out=odds)  # half a tanh is a sigmoid that cannot overflow
        late[moved] = 0.5 + 0.5 * odds
        return cost, late

    def check(self, intents: int, candidates: int) -> None:
        """Raise BundleError where an array is of the wrong shape or holds what it cannot hold."""
        for name, values in self.tables.items():
            most = MOST if name == "cost_usd" else 1.0
            _check(f"expected.{name}", values, (intents, candidates), "(intents, candidates)", 0.0, most)
        if self.lengths is None:
            return
        for name, values in vars(self.lengths).items():
            shape: tuple[int, ...] = (candidates,)
            words = "(candidates,)"
            if name == "tokens_in":
                shape, words = (intents,), "(intents,)"
            if name == "output_tokens":
                shape, words = (intents, candidates), "(intents, candidates)"
            _check(f"expected.lengths.{name}", values, shape, words, -MOST if name == "late_bias" else 0.0, MOST)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        lengths = self.lengths and {name: values.tolist() for name, values in vars(self.lengths).items()}
        return {name: values.tolist() for name, values in self.tables.items()} | {"lengths": lengths}

    @classmethod
    def from_value(cls, value: Any, key: str) -> Expected:
        """Read what `to_dict` wrote; without ``lengths`` (as releases wrote that knew none) there are none."""
        document = {"lengths": None, **value} if isinstance(value, Mapping) else value
        return cls(**exactly(document, key, useful=table, cost_usd=table, late=table, lengths=_lengths))


def single(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return the values in single precision."""
    return np.asarray(values, dtype=np.float32)


def _lengths(value: Any, key: str) -> Lengths | None:
    if value is None:
        return None
    rows = ("tokens_in", "usd_per_token_in", "usd_per_token_out", "late_bias", "late_per_log_in", "late_per_log_out")
    return Lengths(**exactly(value, key, **dict.fromkeys(rows, _row), output_tokens=table))


def _row(value: Any, key: str) -> NDArray[np.float64]:
    row: NDArray[np.float64] = table([value], key)[0]
    return row


def _check(
    name: str, values: NDArray[np.float64], shape: tuple[int, ...], words: str, least: float, most: float
) -> None:
    if values.shape != shape:
        raise BundleError(f"policy: {name} is {values.shape}; {shape} {words} is needed")
    if not np.isfinite(values).all():
        raise BundleError(f"policy: {name} holds a value that is not a finite number")
    if values.min() < least or values.max() > most:
        allowed = f"{least:g} to {most:g}"
        raise BundleError(f"policy: {name} holds {values.min():g} to {values.max():g}; allowed: {allowed}")
