"""How well a bundle tells intents apart on labelled traces: confusion matrix, precision and recall with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binomtest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Confusion", "IntentQuality", "Mistake", "confusion"]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class IntentQuality:
    """One intent, as labelled and as believed.

    Attributes
    ----------
    intent : str
    labelled, believed, right : int
        Requests that have the label, that were taken for it, and both.
    precision, recall : tuple of (float, float, float) or None
        Value, and its 95 % Wilson interval; None where there is no such request.
    """

    intent: str
    labelled: int
    believed: int
    right: int

    @property
    def precision(self) -> tuple[float, float, float] | None:
        """Share of those taken for it that are."""
        return _share(self.right, self.believed)

    @property
    def recall(self) -> tuple[float, float, float] | None:
        """Share of those labelled so that were taken for it."""
        return _share(self.right, self.labelled)

    @property
    def f1(self) -> float:
        """Harmonic mean of both; 0 where none was right."""
        return 2 * self.right / max(self.labelled + self.believed, 1)


@dataclass(frozen=True)
class Mistake:
    """One request that was taken for another intent.

    Attributes
    ----------
    request : int
        Its position.
    labelled, believed : str
    confidence : float
        With which the wrong one was believed.
    """

    request: int
    labelled: str
    believed: str
    confidence: float


@dataclass(frozen=True, eq=False)
class Confusion:
    """What was taken for what.

    Attributes
    ----------
    intents : tuple of str
        The bundle's k intents.
    matrix : (k, k) int array
        Requests by label (row) and belief (column).
    unknown : dict of str to int
        Labels that the bundle does not know, with their requests: they are in no figure.
    mistakes : tuple of Mistake
        Those believed most firmly first.
    """

    intents: tuple[str, ...]
    matrix: NDArray[np.int64]
    unknown: dict[str, int]
    mistakes: tuple[Mistake, ...]

    @property
    def accuracy(self) -> tuple[float, float, float]:
        """Value, and its 95 % Wilson interval."""
        found = _share(int(np.trace(self.matrix)), int(self.matrix.sum()))
        return (0.0, 0.0, 1.0) if found is None else found

    @property
    def quality(self) -> list[IntentQuality]:
        """Of each intent that occurs, the worst F1 first."""
        rows, columns, right = self.matrix.sum(axis=1), self.matrix.sum(axis=0), np.diag(self.matrix)
        found = [
            IntentQuality(name, int(rows[at]), int(columns[at]), int(right[at]))
            for at, name in enumerate(self.intents)
            if rows[at] or columns[at]
        ]
        return sorted(found, key=lambda one: (one.f1, one.intent))

    @property
    def confused(self) -> list[tuple[str, str, int]]:
        """(labelled, believed, requests) of each pair that was confused, the most frequent first."""
        off = self.matrix - np.diag(np.diag(self.matrix))
        pairs = [(self.intents[row], self.intents[column], int(off[row, column])) for row, column in np.argwhere(off)]
        return sorted(pairs, key=lambda pair: (-pair[2], pair[:2]))

    def to_dict(self) -> dict[str, Any]:
        """Return all figures as plain JSON values; no prompt among them."""
        return {
            "requests": int(self.matrix.sum()),
            "accuracy": list(self.accuracy),
            "intents": [
                {
                    "intent": one.intent,
                    "labelled": one.labelled,
                    "believed": one.believed,
                    "right": one.right,
                    "precision": None if one.precision is None else list(one.precision),
                    "recall": None if one.recall is None else list(one.recall),
                    "f1": one.f1,
                }
                for one in self.quality
            ],
            "order": list(self.intents),
            "matrix": self.matrix.tolist(),
            "unknown": self.unknown,
        }


def confusion(labels: NDArray[np.object_], intent_probs: NDArray[Any], intents: tuple[str, ...]) -> Confusion:
    """Count what was taken for what.

    Parameters
    ----------
    labels : (n,) object array
        Intents of n requests, "" where unlabelled.
    intent_probs : (n, k) float array
    intents : tuple of str
        Names of the k columns.
    """
    position = {name: at for at, name in enumerate(intents)}
    codes = np.array([position.get(str(name), -1) for name in labels], dtype=np.intp)
    unknown: dict[str, int] = {}
    for name in labels[(codes < 0) & (labels != "")]:
        unknown[str(name)] = unknown.get(str(name), 0) + 1
    believed, sure = intent_probs.argmax(axis=1), intent_probs.max(axis=1)
    known = codes >= 0
    matrix = np.zeros((len(intents), len(intents)), dtype=np.int64)
    np.add.at(matrix, (codes[known], believed[known]), 1)
    wrong = np.flatnonzero(known & (codes != believed))
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")]
    mistakes = tuple(Mistake(int(at), intents[codes[at]], intents[believed[at]], float(sure[at])) for at in wrong)
    return Confusion(intents, matrix, dict(sorted(unknown.items(), key=lambda one: (-one[1], one[0]))), mistakes)


def _share(right: int, count: int) -> tuple[float, float, float] | None:
    if count == 0:
        return None
    interval = binomtest(right, count).proportion_ci(CONFIDENCE, method="wilson")
    return right / count, float(interval.low), float(interval.high)
