"""The fingerprint of a trace table: the same rows in the same order, the same digest."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from pointsman.columns import COLUMNS

__all__ = ["Fingerprint", "fingerprint"]


class Fingerprint:
    """A SHA-256 over the contract's columns of a validated table, in any number of parts."""

    def __init__(self) -> None:
        self._digests = {name: (hashlib.sha256(), hashlib.sha256()) for name in COLUMNS}

    def update(self, rows: pd.DataFrame) -> None:
        """Take the next rows."""
        for name, (values, gaps) in self._digests.items():
            missing = rows[name].isna().to_numpy(dtype=bool)
            hashed = pd.util.hash_pandas_object(rows[name], index=False).to_numpy(dtype="<u8")
            values.update(np.where(missing, 0, hashed).tobytes())
            gaps.update(missing.tobytes())

    def hexdigest(self) -> str:
        """Return the fingerprint of all rows so far, order included."""
        whole = hashlib.sha256()
        for name, (values, gaps) in self._digests.items():
            whole.update(name.encode() + values.digest() + gaps.digest())
        return whole.hexdigest()


def fingerprint(rows: pd.DataFrame) -> str:
    """Return a hex SHA-256 over the contract's columns of a validated table (order of rows included)."""
    whole = Fingerprint()
    whole.update(rows)
    return whole.hexdigest()
