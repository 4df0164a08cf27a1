"""A new candidate with few answers: how much it gains by borrowing from the others, on real outcome sets.

Each candidate in turn is the new one: of a random 60 % of the requests all answers of the others are known, and 20, 50
or 200 of its own. Judged on the other 40 %: its own P(useful), and what choices between all candidates buy with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from pointsman.averages import intent_table
from pointsman.borrowing import borrow
from pointsman.classifier import Features, RequestClassifier
from pointsman.decision_area import bought, decision_area
from pointsman.labels import intent_labels
from pointsman.lexical import Lexicon
from pointsman.structure import Structure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pointsman.outcomes import Outcomes

__all__ = ["METHODS", "NewCandidate", "measure_new"]

Floats = NDArray[np.floating[Any]]

METHODS = ("borrowed", "shared penalty", "heads of its own", "intent average")
"""Pointsman's; the same heads before borrowing; heads fitted on its answers alone; the averages of its answers."""

PENALTIES: dict[str, Any] = {"common": 3.0, "deviation": 3.0, "pieces": 30.0}


@dataclass(frozen=True)
class NewCandidate:
    """What one method reaches for new candidates with so many answers, mean over the candidates.

    Attributes
    ----------
    method : str
    rows : int
    brier, auc, area : float
        Of the new candidate's P(useful); and the decision area (see `pointsman.decision_area`) of all candidates.
    wins : int
        Candidates for which ``borrowed`` has the smaller Brier score.
    error : float
        Standard error of the mean difference of Brier scores from ``borrowed``, over the candidates.
    """

    method: str
    rows: int
    brier: float
    auc: float
    area: float
    wins: int
    error: float


def measure_new(
    outcomes: Outcomes,
    embeddings: NDArray[np.float32],
    ids: Sequence[Sequence[int]],
    vocabulary: dict[str, int],
    special: Sequence[int],
    rows: Sequence[int] = (20, 50, 200),
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[NewCandidate]:
    """Measure every method with every number of answers; arguments as for `pointsman.benchmarks.outcomes.measure`."""
    order = np.random.default_rng(seed).permutation(len(outcomes))
    train, test = np.sort(order[: int(0.6 * len(order))]), np.sort(order[int(0.6 * len(order)) :])
    learned = [ids[index] for index in train]
    lexicon = Lexicon.fit(learned, len(vocabulary), special)
    features = Features.of(embeddings, ids, lexicon, Structure.fit(learned, vocabulary, special))
    part, judged = features.take(train), features.take(test)
    labels = intent_labels(outcomes.intent[train])
    k, m, truth = len(labels.names), len(outcomes.models), outcomes.useful[test]
    start = RequestClassifier(k).fit_intent(lexicon, part, labels.codes, outcomes.useful[train])
    believed = start.intent_probs(judged.embeddings, judged.pieces)
    expected_usd = believed @ intent_table(outcomes.cost_usd[train], labels.codes, k)
    found: dict[tuple[str, int], list[tuple[float, float, float]]] = {}
    for done, (column, count) in enumerate((column, count) for column in range(m) for count in rows):
        if progress is not None:
            progress(done, m * len(rows))
        useful = outcomes.useful[train].copy()
        hidden = np.random.default_rng([seed, column]).permutation(len(train))[count:]
        useful[hidden, column] = np.nan
        fresh = RequestClassifier(k, **PENALTIES)
        shared = fresh.fit(lexicon, part, labels.codes, useful).heads_
        of_its_own = fresh.fit(lexicon, part, labels.codes, useful[:, [column]]).heads_
        probs = {
            "borrowed": borrow(shared, part, useful, outcomes.cost_usd[train])(judged.embeddings, judged.pieces),
            "shared penalty": shared(judged.embeddings, judged.pieces),
        }
        table = {name: reading.useful_probs for name, reading in probs.items()}
        for name, own in (
            ("heads of its own", of_its_own(judged.embeddings, judged.pieces).useful_probs[:, 0]),
            ("intent average", (believed @ intent_table(useful[:, [column]], labels.codes, k))[:, 0]),
        ):
            table[name] = table["shared penalty"].copy()
            table[name][:, column] = own
        right = truth[:, column] >= 0.5
        for name, said in table.items():
            auc = float("nan") if right.all() or not right.any() else float(roc_auc_score(right, said[:, column]))
            area = decision_area(bought(said, expected_usd, truth, outcomes.cost_usd[test]), truth)
            brier = float(np.square(said[:, column] - truth[:, column]).mean())
            found.setdefault((name, count), []).append((brier, auc, area))
    if progress is not None:
        progress(m * len(rows), m * len(rows))
    out = []
    for count in rows:
        best = np.array(found["borrowed", count])
        for name in METHODS:
            values = np.array(found[name, count])
            behind = values[:, 0] - best[:, 0]
            error = float(behind.std(ddof=1) / np.sqrt(m))
            brier, auc, area = map(float, np.nanmean(values, axis=0))
            out.append(NewCandidate(name, count, brier, auc, area, int((behind > 0).sum()), error))
    return out
