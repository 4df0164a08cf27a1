"""What each candidate is expected to do: averages per intent, and how a request's own length moves cost and lateness.

Plain numbers and a few lines of arithmetic: a gateway in any language can repeat them. Standard library and numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pointsman.errors import BundleError
from pointsman.values import exactly, table

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LATE_MARGIN", "Averages", "Expected", "Lengths"]

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


class Averages(NamedTuple):
    """Averages over the intents of n prompts.

    Attributes
    ----------
    useful, cost_usd, late : (m, n) float32 array
    tokens_in, output_tokens : (n,), (m, n) float32 array or None
        Typical lengths; None where lengths move nothing.
    """

    useful: NDArray[np.float32]
    cost_usd: NDArray[np.float32]
    late: NDArray[np.float32]
    tokens_in: Any = None
    output_tokens: Any = None


_NONE = np.zeros((0, 1), dtype=np.float32)


class _Singles(NamedTuple):
    """Everything of `Expected` in single precision: all tables one above the other, (q, k), and columns of factors."""

    table: NDArray[np.float32]
    usd_in: NDArray[np.float32] = _NONE
    usd_out: NDArray[np.float32] = _NONE
    bias: NDArray[np.float32] = _NONE
    log_in: NDArray[np.float32] = _NONE
    log_out: NDArray[np.float32] = _NONE
    moved: NDArray[np.intp] = np.zeros(0, dtype=np.intp)
    all_moved: bool = False
    uses_answers: bool = False


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

    def averages(self, intent_probs: NDArray[np.float32]) -> Averages:
        """Return the tables' averages over the intents of n prompts: one product for all tables."""
        found: NDArray[np.float32] = self._singles.table @ intent_probs.T
        m = self.useful.shape[1]
        usual = typical = None
        if self.lengths is not None:
            usual, typical = found[3 * m], found[3 * m + 1 :]
        return Averages(found[:m], found[m : 2 * m], found[2 * m : 3 * m], usual, typical)

    def cost_of(
        self, averages: Averages, tokens: NDArray[Any], output_tokens: NDArray[Any] | None
    ) -> NDArray[np.float32]:
        """Return the expected full cost, USD, (m, n) float32; parameters as of `cost_and_late`."""
        lengths, singles = self.lengths, self._singles
        if lengths is None:
            return averages.cost_usd
        cost: NDArray[np.float32] = singles.usd_in * (single(tokens) - averages.tokens_in)
        cost += averages.cost_usd
        if output_tokens is not None and singles.uses_answers:
            more = single(output_tokens.T) - averages.output_tokens
            more *= singles.usd_out
            cost += more
        np.maximum(cost, 0, out=cost)
        return cost

    def late_of(
        self, averages: Averages, tokens: NDArray[Any], output_tokens: NDArray[Any] | None
    ) -> NDArray[np.float32]:
        """Return P(later than the limit), (m, n) float32; parameters as of `cost_and_late`."""
        lengths, singles = self.lengths, self._singles
        if lengths is None or len(singles.moved) == 0:
            return averages.late
        moved = slice(None) if singles.all_moved else singles.moved
        odds = np.maximum(averages.late[moved], LATE_MARGIN)
        np.minimum(odds, 1 - LATE_MARGIN, out=odds)
        odds /= 1 - odds
        np.log(odds, out=odds)
        odds += singles.log_in * (np.log1p(single(tokens)) - np.log1p(averages.tokens_in))
        odds += singles.bias
        if output_tokens is not None and singles.uses_answers and averages.output_tokens is not None:
            longer = single(output_tokens.T)[moved] + 1
            longer /= averages.output_tokens[moved] + 1
            np.log(longer, out=longer)
            longer *= singles.log_out
            odds += longer
        odds *= 0.5
        np.tanh(odds, out=odds)  # half a tanh is a sigmoid that cannot overflow
        odds *= 0.5
        odds += 0.5
        if singles.all_moved:
            return odds
        late = averages.late.copy()
        late[moved] = odds
        return late

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
        averages = self.averages(intent_probs)
        return self.cost_of(averages, tokens, output_tokens), self.late_of(averages, tokens, output_tokens)

    @cached_property
    def _singles(self) -> _Singles:
        """The tables in single precision, laid out for one product; made once."""
        rows = [single(values).T for values in (self.useful, self.cost_usd, self.late)]
        lengths = self.lengths
        if lengths is None:
            return _Singles(np.concatenate(rows))
        rows += [single(lengths.tokens_in)[None], single(lengths.output_tokens).T]
        moved = np.flatnonzero(lengths.late_per_log_in + lengths.late_per_log_out)
        return _Singles(
            np.concatenate(rows),
            single(lengths.usd_per_token_in)[:, None],
            single(lengths.usd_per_token_out)[:, None],
            single(lengths.late_bias)[moved, None],
            single(lengths.late_per_log_in)[moved, None],
            single(lengths.late_per_log_out)[moved, None],
            moved,
            len(moved) == len(lengths.late_bias),
            lengths.uses_answers,
        )

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
