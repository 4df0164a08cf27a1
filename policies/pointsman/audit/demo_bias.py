"""Do evaluation prompts look like production: length, intent, language and wording, by two-sample tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from pointsman.audit.check import Check
from pointsman.audit.finding import Measure
from pointsman.audit.languages import languages
from pointsman.audit.suspicion import Suspicion

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["DEMO_BIAS", "Sample", "demo_suspicions"]

Floats = NDArray[np.float64]

_DRAWS = 999
_TABLE_DRAWS = 4_999
_MOST = 400
_LEAST = 20
_FEATURES = 2**14
_APART, _TOLD_APART = 0.15, 0.65

DEMO_BIAS = Check(
    "demo-bias",
    "traces",
    "Evaluation prompts do not look like production",
    "What is shown to work on them says little about the requests that users send: this is how a demo picks a model.",
    "Evaluation against production: lengths by Kolmogorov and Smirnov's distance, intents and languages by total "
    "variation (p by draws with both margins fixed), wording by maximum mean discrepancy of character n-grams "
    f"({_DRAWS:,} permutations); its size is how well a classifier tells them apart (AUC on the half that it was not "
    "trained on).",
    f"confirmed (Holm over all tests), and a distance of at least {_APART:g}, or an AUC of at least {_TOLD_APART:g}",
    "Draw the evaluation set at random from production: pointsman ingest, then a sample of the traces.",
    "Gretton et al. 2012, A Kernel Two-Sample Test, JMLR 13:723-773; Lopez-Paz, Oquab 2017, Revisiting Classifier "
    "Two-Sample Tests (ICLR); Phipson, Smyth 2010 (permutation p-values are never 0)",
)


@dataclass(frozen=True, eq=False)
class Sample:
    """Prompts and, where they are known, their intents ("" for one that is not)."""

    prompts: tuple[str, ...]
    intents: tuple[str, ...] | None = None

    def take(self, at: Sequence[int]) -> Sample:
        """Return the prompts at these places."""
        intents = None if self.intents is None else tuple(self.intents[index] for index in at)
        return Sample(tuple(self.prompts[index] for index in at), intents)


def demo_suspicions(production: Sample, evaluation: Sample, seed: int = 0) -> Iterator[Suspicion]:
    """Yield one suspicion each for length, wording, language and, where both tell it, intent."""
    if min(len(production.prompts), len(evaluation.prompts)) < _LEAST:
        return
    generator = np.random.default_rng(seed)
    lengths = [np.array([len(prompt) for prompt in one.prompts], dtype=float) for one in (evaluation, production)]
    test = ks_2samp(lengths[0], lengths[1], method="asymp")
    ours, theirs = (float(np.median(one)) for one in lengths)
    distance = float(test.statistic)
    yield _suspicion(
        float(test.pvalue),
        distance >= _APART,
        f"evaluation prompts have {ours:,.0f} characters, production's {theirs:,.0f} (medians)",
        "length",
        [Measure("distance of lengths", distance)],
    )
    yield _by_kind("language", languages(evaluation.prompts), languages(production.prompts), generator)
    if production.intents is not None and evaluation.intents is not None:
        yield _by_kind("intent", evaluation.intents, production.intents, generator)
    yield _wording(production, evaluation, generator)


def _suspicion(p: float, large: bool, what: str, key: str, numbers: list[Measure], *examples: str) -> Suspicion:
    return Suspicion(DEMO_BIAS, p, "high", large, what, key, tuple(numbers), examples)


def _by_kind(
    key: str, evaluation: Sequence[str], production: Sequence[str], generator: np.random.Generator
) -> Suspicion:
    """Compare shares of kinds by total variation."""
    names, codes = np.unique(np.array([*evaluation, *production], dtype=str), return_inverse=True)
    n = len(evaluation)
    counts = [np.bincount(part, minlength=len(names)) for part in (codes[:n], codes[n:])]
    shares = [part / part.sum() for part in counts]
    distance = 0.5 * float(np.abs(shares[0] - shares[1]).sum())
    total = counts[0] + counts[1]
    drawn = generator.multivariate_hypergeometric(total, n, size=_TABLE_DRAWS, method="marginals")
    apart = 0.5 * np.abs(drawn / n - (total - drawn) / len(production)).sum(axis=1)
    p = (1 + int((apart >= distance - 1e-12).sum())) / (_TABLE_DRAWS + 1)
    most = int(np.abs(shares[0] - shares[1]).argmax())
    name = str(names[most]) or "unknown"
    ours, theirs = (100 * float(part[most]) for part in shares)
    what = f"{ours:.0f} % of the evaluation prompts have the {key} {name}, {theirs:.0f} % of production"
    return _suspicion(p, distance >= _APART, what, key, [Measure(f"total variation of {key}", distance)])


def _wording(production: Sample, evaluation: Sample, generator: np.random.Generator) -> Suspicion:
    """Compare texts by the maximum mean discrepancy of a Gaussian kernel on character n-grams."""
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    parts = [_some(one.prompts, generator) for one in (evaluation, production)]
    n, m = map(len, parts)
    vectorizer = HashingVectorizer(
        analyzer="char_wb", ngram_range=(3, 3), n_features=_FEATURES, norm=None, alternate_sign=False
    )
    matrix = TfidfTransformer(sublinear_tf=True).fit_transform(vectorizer.transform([*parts[0], *parts[1]]))
    squares = np.maximum(2 - 2 * (matrix @ matrix.T).toarray(), 0.0)
    middle = float(np.median(squares[squares > 1e-9])) if (squares > 1e-9).any() else 1.0
    kernel = np.exp(-squares / middle)
    weights = np.concatenate([np.full(n, 1 / n), np.full(m, -1 / m)])
    orders = generator.permuted(np.tile(weights, (_DRAWS, 1)), axis=1)
    discrepancy = float(weights @ kernel @ weights)
    by_chance = ((orders @ kernel) * orders).sum(axis=1)
    p = (1 + int((by_chance >= discrepancy - 1e-12).sum())) / (_DRAWS + 1)
    auc, low, high, telling = _told_apart(matrix, n, m, [*parts[0], *parts[1]], generator)
    what = f"a classifier tells evaluation prompts from production's with an AUC of {auc:.2f}"
    numbers = [Measure("AUC", auc, low, high), Measure("mean discrepancy", float(np.sqrt(max(discrepancy, 0.0))))]
    return _suspicion(p, auc >= _TOLD_APART, what, "wording", numbers, *telling)


def _some(prompts: Sequence[str], generator: np.random.Generator) -> list[str]:
    if len(prompts) <= _MOST:
        return [prompt[:2000] for prompt in prompts]
    return [prompts[index][:2000] for index in sorted(generator.choice(len(prompts), _MOST, replace=False).tolist())]


def _told_apart(
    matrix: Any, n: int, m: int, texts: Sequence[str], generator: np.random.Generator
) -> tuple[float, float, float, list[str]]:
    """Return a classifier's AUC on the half it was not trained on, its 95 % interval, and what it is surest of."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    labels = np.array([1] * n + [0] * m)
    half = np.zeros(n + m, dtype=bool)
    for at in (np.arange(n), np.arange(n, n + m)):
        half[generator.permutation(at)[: len(at) // 2]] = True
    model = LogisticRegression(C=10.0, class_weight="balanced", max_iter=200).fit(matrix[half], labels[half])
    scores, truth = model.decision_function(matrix[~half]), labels[~half]
    auc = float(roc_auc_score(truth, scores))
    # Hanley and McNeil 1982, Radiology 143:29-36.
    first, second = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    ours, theirs = int(truth.sum()), int((1 - truth).sum())
    spread = auc * (1 - auc) + (ours - 1) * (first - auc**2) + (theirs - 1) * (second - auc**2)
    error = float(np.sqrt(max(spread, 0.0) / (ours * theirs)))
    surest = np.flatnonzero(~half)[np.argsort(-scores)][:3]
    examples = [f"{' '.join(texts[index].split())[:100]}" for index in surest.tolist() if labels[index]]
    return auc, max(auc - 1.96 * error, 0.0), min(auc + 1.96 * error, 1.0), examples
