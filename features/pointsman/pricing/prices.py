"""Price tables: what a model's tokens cost, by date, and the costs that follow from them."""

from __future__ import annotations

import difflib
import math
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pointsman.columns import COLUMNS, absent, coerced, given
from pointsman.costs import TOKENS, Price, tokens_usd
from pointsman.spans import EMBEDDING, LLM, RERANKER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from pointsman.spans import Span

__all__ = ["ALWAYS", "PriceTable", "Unpriced", "price_rows", "price_spans"]

ALWAYS = -math.inf
"""Start of a price without a date."""

_NO_ANSWER = frozenset({EMBEDDING, RERANKER})
_NAMED = 8


@dataclass(frozen=True)
class _Dated:
    """The prices of one model, by the Unix microsecond from which they are in force."""

    starts: tuple[float, ...]
    prices: tuple[Price, ...]

    def at(self, when_us: float | None) -> tuple[Price, bool]:
        """Return the price in force (without a time: the latest), and whether the time is before the first."""
        if when_us is None:
            return self.prices[-1], False
        at = bisect_right(self.starts, when_us) - 1
        return self.prices[max(at, 0)], at < 0


@dataclass
class Unpriced:
    """What a price table could not settle; two of them add up.

    Attributes
    ----------
    missing : Counter of str
        Calls without a cost, by their model, that tell their tokens and have no price.
    early : Counter of str
        Calls before the first date of their model's prices, which got the first price.
    listed : tuple of str
        Models that the table lists.
    """

    missing: Counter[str] = field(default_factory=Counter)
    early: Counter[str] = field(default_factory=Counter)
    listed: tuple[str, ...] = ()

    def __add__(self, other: Unpriced) -> Unpriced:
        return Unpriced(self.missing + other.missing, self.early + other.early, self.listed or other.listed)

    def lines(self) -> list[str]:
        """Say in one line per model what lacks, the most frequent first."""
        lines = [
            f"no price for model {model!r} ({_calls(count)}): cost_usd stays missing; "
            f"models with a price: {self._near(model)}"
            for model, count in _ordered(self.missing)
        ]
        lines += [
            f"no price for model {model!r} at the time of {_calls(count)}: they have its first price, of a later date"
            for model, count in _ordered(self.early)
        ]
        return lines

    def _near(self, model: str) -> str:
        if len(self.listed) <= _NAMED:
            return ", ".join(self.listed) or "none"
        near = difflib.get_close_matches(model, self.listed, n=_NAMED, cutoff=0.0)
        return f"{', '.join(near)} and {len(self.listed) - _NAMED:,} more"


def _calls(count: int) -> str:
    return f"{count:,} call{'s' * (count != 1)}"


def _ordered(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


class PriceTable:
    """Prices by model and date.

    A model is looked up by its name, then without the provider in front (``openai/gpt-4o``, then ``gpt-4o``), each time
    in any case where that fits one name alone. Nothing is guessed beyond that.

    Parameters
    ----------
    prices : mapping of str to Price, or to a list of (float, Price)
        By model: one price, or prices each with the Unix microsecond from which it is in force (`ALWAYS`: no start).
    """

    def __init__(self, prices: Mapping[str, Price | Sequence[tuple[float, Price]]]) -> None:
        self._dated: dict[str, _Dated] = {}
        self._folded: dict[str, list[str]] = {}
        self._found: dict[str, _Dated | None] = {}
        for model, held in prices.items():
            dated = [(ALWAYS, held)] if isinstance(held, Price) else sorted(held, key=lambda one: one[0])
            self._dated[model] = _Dated(tuple(start for start, _ in dated), tuple(price for _, price in dated))
            self._folded.setdefault(model.lower(), []).append(model)

    @property
    def models(self) -> tuple[str, ...]:
        """Models with a price, in the order of the table."""
        return tuple(name for name, dated in self._dated.items() if any(price.known for price in dated.prices))

    def price(self, model: str, when_us: float | None = None) -> Price | None:
        """Return the price of a model at a time (None: the latest); None where the table does not list the model.

        Before its first date a model has its first price.
        """
        dated = self._of(model)
        return None if dated is None else dated.at(when_us)[0]

    def candidates(self, models: Iterable[str]) -> dict[str, Price]:
        """Return the latest price of those models that the table lists, in the order of the table."""
        places = {id(dated): place for place, dated in enumerate(self._dated.values())}
        found = {model: dated for model in models if (dated := self._of(model)) is not None}
        return {name: found[name].prices[-1] for name in sorted(found, key=lambda name: places[id(found[name])])}

    def under(self, own: Mapping[str, Price]) -> PriceTable:
        """Return a table in which known prices of one's own stand before those of this table."""
        known = {model: price for model, price in own.items() if price.known}
        rest = {
            model: list(zip(dated.starts, dated.prices, strict=True))
            for model, dated in self._dated.items()
            if model not in known
        }
        return PriceTable({**known, **rest})

    def _of(self, model: str) -> _Dated | None:
        if model not in self._found:
            self._found[model] = self._looked_up(model)
        return self._found[model]

    def _looked_up(self, model: str) -> _Dated | None:
        name = model.strip()
        while True:
            if name in self._dated:
                return self._dated[name]
            alike = self._folded.get(name.lower(), [])
            if len(alike) == 1:
                return self._dated[alike[0]]
            if "/" not in name:
                return None
            name = name.partition("/")[2]

    def costs(
        self,
        models: Sequence[str],
        when_us: Sequence[float | None],
        tokens: NDArray[np.float64],
        silent: Sequence[bool],
    ) -> tuple[NDArray[np.float64], Unpriced]:
        """Return what n calls cost, USD, NaN where unknown; `silent` calls write nothing and need no output rate."""
        unpriced, unknown = Unpriced(listed=self.models), (np.nan,) * len(TOKENS)
        rates: list[tuple[float, ...]] = []
        for model, when, mute in zip(models, when_us, silent, strict=True):
            dated = self._of(model)
            price, early = (Price(), False) if dated is None else dated.at(when)
            if mute and price.output_usd_per_mtok is None:
                price = replace(price, output_usd_per_mtok=0.0)
            if price.known:
                rates.append(price.rates)
                unpriced.early[model] += early
            else:
                rates.append(unknown)
                unpriced.missing[model] += 1
        unpriced.early = +unpriced.early
        return tokens_usd(tokens, np.array(rates).reshape(-1, len(TOKENS))), unpriced


def price_spans(spans: Iterable[Span], table: PriceTable) -> Unpriced:
    """Fill ``cost_usd`` of those spans that tell a model and tokens, but no cost, in place.

    Calls to a model, embeddings and rerankers are priced; chains and agents are not, because what they tell sums up
    the calls within. Embeddings and rerankers need no output tokens. What a response cache answered has no price here.
    """
    open_spans = [
        span
        for span in spans
        if span.cost_usd is None
        and span.model is not None
        and not span.cache_hit
        and span.input_tokens is not None
        and (span.output_tokens is not None if span.kind == LLM else span.kind in _NO_ANSWER)
    ]
    if not open_spans:
        return Unpriced(listed=table.models)
    tokens = np.array(
        [
            (
                one.input_tokens,
                one.output_tokens or 0,
                one.cached_input_tokens,
                one.cache_write_tokens,
                one.reasoning_tokens,
            )
            for one in open_spans
        ],
        dtype=np.float64,
    )
    usd, unpriced = table.costs(
        [str(span.model) for span in open_spans],
        [span.start_us if span.start_us is not None else span.end_us for span in open_spans],
        tokens,
        [span.kind in _NO_ANSWER for span in open_spans],
    )
    for span, cost in zip(open_spans, usd.tolist(), strict=True):
        if cost == cost:
            span.cost_usd = cost
    return unpriced


def price_rows(frame: pd.DataFrame, table: PriceTable) -> tuple[pd.DataFrame, Unpriced]:
    """Return rows of the trace table, not validated yet, with ``cost_usd`` filled where it is missing.

    A cost that is there stays as it came, also where it cannot be read; validation puts it aside.
    """
    columns = {
        name: coerced(frame[name], COLUMNS[name]) if name in frame else absent(len(frame), COLUMNS[name])
        for name in ("cost_usd", "model", "timestamp", *TOKENS)
    }
    cost = columns["cost_usd"].to_numpy(dtype=np.float64, na_value=np.nan)
    missing = np.isnan(cost)
    if "cost_usd" in frame:
        missing &= ~given(frame["cost_usd"], missing)
    tokens = np.column_stack([columns[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in TOKENS])
    at = np.flatnonzero(missing & ~np.isnan(tokens[:, :2]).any(axis=1) & columns["model"].notna().to_numpy(dtype=bool))
    if not len(at):
        return frame, Unpriced(listed=table.models)
    times = columns["timestamp"].iloc[at]
    when = [None if late else float(us) for us, late in zip(times.astype("int64"), times.isna(), strict=True)]
    usd, unpriced = table.costs(columns["model"].iloc[at].tolist(), when, tokens[at], [False] * len(at))
    filled = frame["cost_usd"].astype(object).to_numpy(copy=True) if "cost_usd" in frame else cost.astype(object)
    known = ~np.isnan(usd)
    filled[at[known]] = usd[known]
    return frame.assign(cost_usd=pd.Series(filled, index=frame.index, dtype=object).infer_objects()), unpriced
