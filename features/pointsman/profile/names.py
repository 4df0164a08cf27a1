"""Names of a stream as small codes, and columns of a trace table as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["OTHERS", "Names", "floats", "ratio", "texts"]

OTHERS = "(others)"
"""Stands for all names beyond the limit."""


class Names:
    """Codes of names in the order in which they first come; those beyond a limit share the last code.

    Parameters
    ----------
    limit : int
        Names told apart; the code of the others.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._codes: dict[str, int] = {}

    def __len__(self) -> int:
        """Return how many names are told apart."""
        return len(self._codes)

    def __getitem__(self, code: int) -> str:
        """Return the name of a code."""
        return OTHERS if code >= self.limit else list(self._codes)[code]

    def code(self, name: str) -> int:
        """Return the code of a name, a new one where it is the first time that it comes."""
        if name not in self._codes and len(self._codes) < self.limit:
            self._codes[name] = len(self._codes)
        return self._codes.get(name, self.limit)

    def codes(self, names: pa.Array, missing: int = 0) -> NDArray[np.intp]:
        """Return the code of each name, (n,); `missing` for null."""
        encoded = names.dictionary_encode()
        known = [self.code(name) for name in encoded.dictionary.to_pylist()]
        table: NDArray[np.intp] = np.array([*known, missing], dtype=np.intp)
        codes: NDArray[np.intp] = table[encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
        return codes


def texts(values: pd.Series) -> pa.Array:
    """Return a column of texts as one Arrow array of large strings."""
    array = pa.Array.from_pandas(values)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array.cast(pa.large_string())


def floats(values: pd.Series) -> NDArray[np.float64]:
    """Return a column of numbers or flags, (n,), NaN where nothing is known."""
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def ratio(part: float, whole: float) -> float | None:
    """Return a share or a mean; None of nothing."""
    return float(part) / whole if whole else None
