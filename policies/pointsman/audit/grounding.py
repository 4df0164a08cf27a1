"""Do answers make things up where nothing was retrieved for them: with against without, paired or within strata."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm

from pointsman.audit.check import Check
from pointsman.audit.finding import Measure
from pointsman.audit.suspicion import Suspicion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.audit.log import Log

__all__ = ["GROUNDING", "grounding_suspicions"]

Floats = NDArray[np.float64]

_MIN_PAIRS = 30
_MIN_CELL = 5
_MIN_ROWS = 200
_MIN_INVENTED = 10

GROUNDING = Check(
    "ungrounded-answers",
    "traces",
    "Answers make things up where nothing was retrieved",
    "Without sources a model fills the gap with what sounds right, and the user cannot tell.",
    "Hallucination without retrieval less with it: on pairs of the same prompt and model where there are 30 (exact "
    "McNemar test), else within intent and model (Mantel-Haenszel risk difference, standard error over requests). "
    "Retrieval shows by retrieval_cost_usd above 0, or by a column grounded.",
    "confirmed above 0 (Holm over all tests), at least one point and half as many again",
    "Retrieve for these intents too, or send them to the model that makes up least; constrain hallucination_rate.",
    "Shuster et al. 2021, Retrieval Augmentation Reduces Hallucination in Conversation (EMNLP Findings); Mantel, "
    "Haenszel 1959; McNemar 1947",
)


def grounding_suspicions(log: Log) -> Iterator[Suspicion]:
    """Yield the suspicion, where hallucination and retrieval are told and both kinds of answers are there."""
    known = np.isfinite(log.hallucinated) & np.isfinite(log.grounded)
    found = _pairs(log, known) or _strata(log, known)
    if found is None:
        return
    difference, error, p, without, with_it, how = found
    yield Suspicion(
        check=GROUNDING,
        p=p,
        severity="high" if difference >= 0.05 else "medium",
        large=difference >= 0.01 and without >= 1.5 * with_it,
        what=f"{100 * without:.1f} % of the answers without retrieval make something up, {100 * with_it:.1f} % with it",
        key="hallucinated",
        numbers=(
            Measure("without less with", difference, difference - 1.96 * error, difference + 1.96 * error, "points"),
        ),
        examples=(how,),
    )


def _pairs(log: Log, known: NDArray[np.bool_]) -> tuple[float, float, float, float, float, str] | None:
    """Compare answers of one model to one prompt, with and without retrieval."""
    seen: dict[tuple[str, int], dict[float, float]] = {}
    for at in np.flatnonzero(known).tolist():
        key = (str(log.prompt[at]), int(log.model[at]))
        seen.setdefault(key, {}).setdefault(float(log.grounded[at]), float(log.hallucinated[at]))
    pairs = [(both[0.0], both[1.0]) for both in seen.values() if len(both) == 2]
    if len(pairs) < _MIN_PAIRS:
        return None
    table = np.array(pairs)
    worse, better = int((table[:, 0] > table[:, 1]).sum()), int((table[:, 0] < table[:, 1]).sum())
    p = 1.0 if worse + better == 0 else float(binomtest(worse, worse + better, 0.5, alternative="greater").pvalue)
    difference = table[:, 0] - table[:, 1]
    error = float(np.sqrt((difference - difference.mean()) @ (difference - difference.mean()) + 1)) / len(table)
    how = f"{len(pairs):,} prompts answered by the same model with and without retrieval"
    return float(difference.mean()), error, p, float(table[:, 0].mean()), float(table[:, 1].mean()), how


def _strata(log: Log, known: NDArray[np.bool_]) -> tuple[float, float, float, float, float, str] | None:
    """Compare answers within intent and model."""
    if known.sum() < _MIN_ROWS or log.hallucinated[known].sum() < _MIN_INVENTED:
        return None
    influence, total, above, used = np.zeros(len(log)), 0.0, 0.0, 0
    sums = np.zeros(2)
    stratum = (log.intent + 1) * (len(log.models) + 1) + log.model
    for code in np.unique(stratum[known]):
        at = known & (stratum == code)
        groups = [at & (log.grounded == flag) for flag in (0.0, 1.0)]
        sizes = [int(group.sum()) for group in groups]
        if min(sizes) < _MIN_CELL:
            continue
        weight = sizes[0] * sizes[1] / sum(sizes)
        rates = [float(log.hallucinated[group].mean()) for group in groups]
        for group, size, rate, sign in zip(groups, sizes, rates, (1, -1), strict=True):
            influence[group] += sign * weight * (log.hallucinated[group] - rate) / size
        total, above, used = total + weight, above + weight * (rates[0] - rates[1]), used + 1
        sums += weight * np.array(rates)
    if not total:
        return None
    by_request = np.bincount(log.request, weights=influence / total)
    error = float(np.sqrt((by_request**2).sum()))
    if error == 0:
        return None
    difference = above / total
    how = f"within {used} strata of intent and model"
    return difference, error, float(norm.sf(difference / error)), float(sums[0] / total), float(sums[1] / total), how
