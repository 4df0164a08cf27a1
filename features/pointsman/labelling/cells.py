"""A column of JSON texts: each distinct text is parsed once, and what it tells is spread over its rows."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

__all__ = ["Cells", "column", "filled"]

_BREAK = r"[\s_\-.:/]*"


class Cells:
    """The distinct texts of a column.

    Parameters
    ----------
    values : (n,) Series
        JSON texts, missing where there is none.
    words : iterable of str, optional
        Only texts that hold one of them (case and the breaks between its parts set aside) are looked at; where that
        cannot be told without parsing, all are.

    Attributes
    ----------
    codes : (n,) intp array
        Position in `texts`, -1 where there is none.
    texts : list of str
    """

    def __init__(self, values: pd.Series, words: Iterable[str] | None = None) -> None:
        values = values.astype("string")
        if words is not None:
            values = _holding(values, list(words))
        codes, texts = pd.factorize(values)
        self.codes: NDArray[np.intp] = codes.astype(np.intp)
        self.texts: list[str] = [str(text) for text in texts]

    def parsed(self) -> list[Any]:
        """Return what each text holds."""
        return [json.loads(text) for text in self.texts]

    def counts(self) -> list[int]:
        """Return how many rows hold each text."""
        return [int(count) for count in np.bincount(self.codes[self.codes >= 0], minlength=len(self.texts))]

    def spread(self, told: Sequence[Any] | NDArray[Any], absent: Any = np.nan) -> NDArray[Any]:
        """Return what is told of each text, (n,), in the order of the rows; `absent` where there is no text."""
        kind = object if absent is None else np.float64
        values = np.empty(len(self.texts) + 1, dtype=kind)
        values[:-1], values[-1] = told, absent
        return values[self.codes]


def column(rows: pd.DataFrame, name: str) -> pd.Series:
    """Return a column, all missing where the rows have none."""
    return rows[name] if name in rows else pd.Series(None, index=rows.index, dtype="object")


def filled(values: pd.Series, found: NDArray[Any]) -> pd.Series:
    """Return a column with missing values filled by what was found, itself where nothing was."""
    fill = values.isna().to_numpy(dtype=bool) & pd.notna(found)
    if not fill.any():
        return values
    out = values.astype(object)
    out[fill] = found[fill]
    return out


def _holding(values: pd.Series, words: list[str]) -> pd.Series:
    if not words:
        return values.where(pd.Series(False, index=values.index))
    if not all(word.isascii() for word in words):  # JSON may write other letters as escapes
        return values
    patterns = [_BREAK.join(map(re.escape, re.split(r"[\s_\-.:/]+", word))) for word in words]
    texts = pa.array(values, from_pandas=True)
    holding = pc.match_substring_regex(texts, "|".join(patterns), ignore_case=True).fill_null(False)
    return values.where(holding.to_numpy(zero_copy_only=False))
