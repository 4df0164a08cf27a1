"""What the rows say of usefulness and hallucination, and which rules said it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.profile.names import floats, ratio, texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["LabelCounts"]


class LabelCounts:
    """Counts labels by value and by the rule that gave them."""

    def __init__(self) -> None:
        self._rows = self._zero = self._one = self._between = 0
        self._sum = 0.0
        self._known = self._hallucinated = 0
        self._rules: dict[str, dict[str, list[float]]] = {"useful_by": {}, "intent_by": {}}

    def add(self, rows: pd.DataFrame, useful: NDArray[np.float64]) -> None:
        """Count validated rows; ``useful_by`` and ``intent_by`` are read where they are there."""
        labels = useful[~np.isnan(useful)]
        zero, one = int((labels == 0).sum()), int((labels == 1).sum())
        self._rows += len(rows)
        self._zero, self._one, self._between = (
            self._zero + zero,
            self._one + one,
            self._between + len(labels) - zero - one,
        )
        self._sum += float(labels.sum())
        hallucinated = floats(rows["hallucinated"])
        self._known += int((~np.isnan(hallucinated)).sum())
        self._hallucinated += int((hallucinated == 1).sum())
        for name, rules in self._rules.items():
            if name in rows:
                _count_rules(texts(rows[name]), useful, rules)

    def report(self) -> dict[str, Any]:
        """Return what `pointsman.profile.DataProfile.report` has under ``labels``."""
        labelled = self._zero + self._between + self._one
        return {
            "labelled": labelled,
            "unlabelled_share": ratio(self._rows - labelled, self._rows),
            "useful_rate": ratio(self._sum, labelled),
            "zero": self._zero,
            "between": self._between,
            "one": self._one,
            "by_rule": _listed(self._rules["useful_by"], self._rows),
            "intent_by": _listed(self._rules["intent_by"], self._rows),
            "hallucinated_known": ratio(self._known, self._rows),
            "hallucinated_rate": ratio(self._hallucinated, self._known),
        }


def _count_rules(names: Any, useful: NDArray[np.float64], rules: dict[str, list[float]]) -> None:
    """Add rows, labelled rows and the sum of their labels to each rule."""
    encoded = names.dictionary_encode()
    # Rows without a rule stand in front, so that bincount can count them.
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False) + 1
    counts = np.bincount(codes)
    labelled = np.bincount(codes[~np.isnan(useful)], minlength=len(counts))
    sums = np.bincount(codes, np.nan_to_num(useful), minlength=len(counts))
    for code, rule in enumerate(encoded.dictionary.to_pylist(), start=1):
        rows, known, total = rules.get(rule, (0, 0, 0.0))
        rules[rule] = [rows + int(counts[code]), known + int(labelled[code]), total + float(sums[code])]


def _listed(rules: Mapping[str, Sequence[float]], rows: int) -> list[dict[str, Any]]:
    return [
        {"rule": rule, "rows": count, "share": ratio(count, rows), "useful_rate": ratio(useful, labelled)}
        for rule, (count, labelled, useful) in sorted(rules.items(), key=lambda item: (-item[1][0], item[0]))
    ]
