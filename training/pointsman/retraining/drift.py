"""Drift: tests of whether two samples differ, each with an effect size, all adjusted together.

A drift is called one where it is both proven and large enough to matter: with many requests everything is proven.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import chi2_contingency, mannwhitneyu, ttest_1samp
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from pointsman.comparison.signs import holm
from pointsman.slices import prompt_folds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["DriftTest", "adjusted", "classifier_test", "intents_test", "latency_test", "mmd_test", "shift_test"]

PERMUTATIONS = 499
MOST = 1_000
"""Requests of a side in the kernel test, whose time grows with their square."""


@dataclass(frozen=True)
class DriftTest:
    """One test.

    Attributes
    ----------
    what : str
        prompts (classifier), prompts (kernel), intents, usefulness of MODEL, latency of MODEL.
    effect, matters : float
        Effect size and the least one that matters, in `unit`.
    unit : str
    p, p_adjusted : float
        The second by Holm's (1979) method over all tests made together.
    alpha : float
        Chance of any wrong alarm among the tests.
    requests : tuple of int
        Old and fresh ones, where there are two samples.
    """

    what: str
    effect: float
    matters: float
    unit: str
    p: float
    requests: tuple[int, ...]
    p_adjusted: float = 1.0
    alpha: float = 0.05

    @property
    def drifted(self) -> bool:
        """Proven and large enough."""
        return self.p_adjusted <= self.alpha and abs(self.effect) >= self.matters

    def to_dict(self) -> dict[str, Any]:
        """Return the test as plain JSON values."""
        return {**asdict(self), "requests": list(self.requests), "drifted": self.drifted}


def adjusted(tests: Sequence[DriftTest], alpha: float = 0.05) -> list[DriftTest]:
    """Return the tests with p-values adjusted for their number."""
    together = holm([one.p for one in tests])
    return [replace(one, p_adjusted=p, alpha=alpha) for one, p in zip(tests, together, strict=True)]


def classifier_test(
    old: NDArray[np.float32], fresh: NDArray[np.float32], prompts: tuple[Sequence[str], Sequence[str]]
) -> DriftTest:
    """Can a classifier tell which sample a prompt is of (Lopez-Paz and Oquab 2017, «Revisiting classifier two-sample»).

    A logistic regression learns from half of the prompts, equal prompts in the same half; the scores of the other half
    are tested by Mann and Whitney's (1947) U, which is exact whatever was learned.

    Parameters
    ----------
    old, fresh : (n, d), (m, d) float32 array
        Embeddings.
    prompts : pair of sequence of str
    """
    both = np.vstack([old, fresh]).astype(np.float64)
    of_fresh = np.arange(len(both)) >= len(old)
    half = prompt_folds(np.array([*prompts[0], *prompts[1]], dtype=object), 2) == 0
    sizes = len(old), len(fresh)
    sides = [of_fresh[half], of_fresh[~half]]
    if any(side.all() or not side.any() for side in sides):
        return DriftTest("prompts (classifier)", 0.0, 0.05, "AUC above 0.5", 1.0, sizes)
    scaler = StandardScaler().fit(both[half])
    model = LogisticRegression(C=0.1, max_iter=200, class_weight="balanced")
    model.fit(scaler.transform(both[half]), of_fresh[half])
    score = model.decision_function(scaler.transform(both[~half]))
    found = mannwhitneyu(score[of_fresh[~half]], score[~of_fresh[~half]], alternative="greater")
    pairs = float(of_fresh[~half].sum()) * float((~of_fresh[~half]).sum())
    auc = float(found.statistic) / pairs
    return DriftTest("prompts (classifier)", auc - 0.5, 0.05, "AUC above 0.5", float(found.pvalue), sizes)


def mmd_test(old: NDArray[np.float32], fresh: NDArray[np.float32], seed: int = 0) -> DriftTest:
    """Maximum mean discrepancy (Gretton et al. 2012) with a Gaussian kernel of median width, by permutation.

    The effect is the unbiased squared discrepancy relative to the mean spread within the samples: 0 where there is
    none. At most 1,000 requests of a side are drawn.
    """
    generator = np.random.default_rng(seed)
    sizes = len(old), len(fresh)
    few = [side[generator.permutation(len(side))[:MOST]].astype(np.float64) for side in (old, fresh)]
    both, n = np.vstack(few), len(few[0])
    square = (both**2).sum(axis=1)
    apart = np.maximum(square[:, None] + square[None, :] - 2 * both @ both.T, 0)
    upper = apart[np.triu_indices(len(both), 1)]
    width = float(np.median(upper))
    kernel = np.exp(-apart / max(width, 1e-12))
    np.fill_diagonal(kernel, 0.0)
    m = len(both) - n
    if min(n, m) < 2:
        return DriftTest("prompts (kernel)", 0.0, 0.005, "MMD² relative to the spread", 1.0, sizes)
    # Each column says who is «old»; the first one is the truth.
    member = np.zeros((len(both), PERMUTATIONS + 1))
    member[:n, 0] = 1
    for column in range(1, PERMUTATIONS + 1):
        member[generator.permutation(len(both))[:n], column] = 1
    product = kernel @ member
    within = (member * product).sum(axis=0)
    across = ((1 - member) * product).sum(axis=0)
    others = kernel.sum() - within - 2 * across
    found = within / (n * (n - 1)) + others / (m * (m - 1)) - 2 * across / (n * m)
    p = float((found >= found[0] - 1e-15).mean())
    spread = float(1 - kernel.sum() / (len(both) * (len(both) - 1)))
    effect = float(found[0]) / max(spread, 1e-12)
    return DriftTest("prompts (kernel)", max(effect, 0.0), 0.005, "MMD² relative to the spread", p, sizes)


def intents_test(old: NDArray[np.object_], fresh: NDArray[np.object_]) -> DriftTest | None:
    """Are intents as frequent as before: Pearson's chi-squared test and Cramér's V; None where there are no two."""
    names = np.unique(np.concatenate([old, fresh]).astype(str))
    table = np.array([[np.sum(side == name) for name in names] for side in (old, fresh)])
    if len(names) < 2 or (table.sum(axis=1) == 0).any():
        return None
    found = chi2_contingency(table, correction=False)
    v = float(np.sqrt(found.statistic / table.sum()))
    return DriftTest("intents", v, 0.1, "Cramér's V", float(found.pvalue), (len(old), len(fresh)))


def shift_test(what: str, residual: NDArray[np.float64], matters: float, unit: str) -> DriftTest | None:
    """Is the mean of what was seen minus what the champion believed 0: a t-test; None with fewer than 20 requests."""
    known = residual[np.isfinite(residual)]
    if len(known) < 20:
        return None
    p = float(ttest_1samp(known, 0.0).pvalue) if known.std() > 0 else float(known[0] == 0)
    return DriftTest(what, float(known.mean()), matters, unit, p, (len(known),))


def latency_test(model: str, old: NDArray[np.float64], fresh: NDArray[np.float64]) -> DriftTest | None:
    """Is a model as fast as before: Mann and Whitney's U, and the change of the median; None with few requests."""
    was, now = old[np.isfinite(old)], fresh[np.isfinite(fresh)]
    if min(len(was), len(now)) < 20:
        return None
    found = mannwhitneyu(now, was)
    effect = float(np.median(now) / max(np.median(was), 1e-9) - 1)
    return DriftTest(
        f"latency of {model}", effect, 0.1, "change of the median", float(found.pvalue), (len(was), len(now))
    )
