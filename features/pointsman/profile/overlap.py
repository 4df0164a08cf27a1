"""How often each candidate was tried on each intent: where the traces can judge a candidate, and where they cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pointsman.profile.quantiles import LogQuantiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MIN_LABELLED", "Cell", "Tries"]

MIN_LABELLED = 30
"""Labelled answers below which a cell says too little: at a useful rate of 0.5, its 95 % interval is then ±0.18."""


@dataclass(frozen=True)
class Cell:
    """One candidate on one intent.

    Attributes
    ----------
    rows : int
        Its answers, those of replays included.
    served : int
        Those of them that production served.
    labelled : int
    useful_rate : float or None
        Mean of ``useful`` over the labelled rows.
    propensity_min, propensity_median : float or None
        Of the served rows with a propensity; the median within 5 % of its value.
    verdict : str
        ``judged`` (30 labelled rows or more), ``thin`` (fewer), ``unlabelled`` (none of its rows), ``empty`` (no row).
    """

    rows: int
    served: int
    labelled: int
    useful_rate: float | None
    propensity_min: float | None
    propensity_median: float | None
    verdict: str


class Tries:
    """Counts answers by intent and model, both as codes below fixed numbers.

    A row is served where ``chosen`` is true. Rows on which nobody says ``chosen`` are served where there is one row a
    request; `cell` is told so.
    """

    def __init__(self, intents: int, models: int) -> None:
        self._models = models
        self._shape = (intents, models)
        self.rows, self._chosen, self.unsaid, self.labelled, self._propensities = (
            np.zeros(self._shape, dtype=np.int64) for _ in range(5)
        )
        self.useful = np.zeros(self._shape)
        self._propensity = LogQuantiles(intents * models, low=1e-4, high=1.0, relative_error=0.05)

    def add(
        self,
        intents: NDArray[np.intp],
        models: NDArray[np.intp],
        useful: NDArray[np.float64],
        chosen: NDArray[np.float64],
        propensity: NDArray[np.float64],
    ) -> None:
        """Count rows, (n,) each; unknown values are NaN."""
        cells = intents * self._models + models
        self.rows += self._count(cells)
        labelled = ~np.isnan(useful)
        self.labelled += self._count(cells[labelled])
        self.useful += self._count(cells[labelled], useful[labelled])
        self._chosen += self._count(cells[chosen == 1])
        self.unsaid += self._count(cells[np.isnan(chosen)])
        stated = ~np.isnan(propensity) & (chosen != 0)
        if stated.any():
            cells, propensity = cells[stated], propensity[stated]
            self._propensities += self._count(cells)
            self._propensity.add(cells, propensity)

    def served(self, unsaid: bool) -> NDArray[np.int64]:
        """Return rows served by intent and model; `unsaid` tells that rows without ``chosen`` are among them."""
        return self._chosen + self.unsaid if unsaid else self._chosen

    def propensities(self, intent: int | slice) -> int:
        """Return the rows of an intent, or of several, that carry the propensity of what was served."""
        return int(self._propensities[intent].sum())

    def cell(self, intent: int, model: int, unsaid: bool) -> Cell:
        """Return one cell."""
        rows, labelled = int(self.rows[intent, model]), int(self.labelled[intent, model])
        place = intent * self._models + model
        stated = bool(self._propensities[intent, model])
        if not labelled:
            verdict = "unlabelled" if rows else "empty"
        else:
            verdict = "judged" if labelled >= MIN_LABELLED else "thin"
        return Cell(
            rows=rows,
            served=int(self.served(unsaid)[intent, model]),
            labelled=labelled,
            useful_rate=float(self.useful[intent, model] / labelled) if labelled else None,
            propensity_min=float(self._propensity.lowest[place]) if stated else None,
            propensity_median=self._propensity.quantile(place, 0.5) if stated else None,
            verdict=verdict,
        )

    def _count(self, cells: NDArray[np.intp], weights: NDArray[np.float64] | None = None) -> NDArray[np.int64]:
        return np.bincount(cells, weights, minlength=self.rows.size).reshape(self._shape)
