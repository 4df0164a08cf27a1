"""The peers: other ways to learn P(useful | candidate) from the same embeddings. They predict, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.cluster import KMeans

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PEERS", "factorisation", "intents", "logistic", "means", "neighbours"]

Floats = NDArray[np.floating[Any]]
Codes = NDArray[np.intp]

NEIGHBOURS = (5, 10, 20, 40, 80, 160)
CLUSTERS = (4, 8, 16, 32, 64, 128)
PENALTIES = (30.0, 10.0, 3.0, 1.0, 0.3, 0.1)
FACTOR_PENALTIES = (10.0, 3.0, 1.0, 0.3)
RANK = 16
PRIOR_ROWS = 5.0


def neighbours(embeddings: Floats, useful: Floats, at: Floats) -> Iterator[tuple[str, Floats]]:
    """Yield kNN: the mean outcome of the k training requests of largest cosine similarity."""
    sizes = [k for k in NEIGHBOURS if k <= len(useful)]
    found = np.empty((len(sizes), len(at), useful.shape[1]))
    for start in range(0, len(at), 1024):
        near = -(at[start : start + 1024] @ embeddings.T)
        rows = np.argpartition(near, sizes[-1] - 1, axis=1)[:, : sizes[-1]]
        rows = np.take_along_axis(rows, np.take_along_axis(near, rows, axis=1).argsort(axis=1), axis=1)
        totals = useful[rows].cumsum(axis=1)
        for number, k in enumerate(sizes):
            found[number, start : start + 1024] = totals[:, k - 1] / k
    for k, probs in zip(sizes, found, strict=True):
        yield f"k={k}", probs


def means(embeddings: Floats, useful: Floats, at: Floats) -> Iterator[tuple[str, Floats]]:
    """Yield k-means: a request scores as its clusters' training requests did (as Avengers-Pro, 2025).

    The nearest cluster alone, or the mean of the nearest three; each cluster's score holds 5 rows of the overall mean.
    """
    overall = useful.mean(axis=0)
    for clusters in CLUSTERS:
        if clusters >= len(useful):
            return
        model = KMeans(clusters, n_init=1, max_iter=100, random_state=0).fit(embeddings)
        counts = np.bincount(model.labels_, minlength=clusters)[:, None]
        totals = np.stack([useful[model.labels_ == one].sum(axis=0) for one in range(clusters)])
        scores = (totals + PRIOR_ROWS * overall) / (counts + PRIOR_ROWS)
        near = model.transform(at).argsort(axis=1)
        for nearest in (1, 3):
            yield f"clusters={clusters}, nearest={nearest}", np.asarray(scores[near[:, :nearest]].mean(axis=1))


def logistic(embeddings: Floats, useful: Floats, at: Floats) -> Iterator[tuple[str, Floats]]:
    """Yield logistic regression, one per candidate, L2-penalised; outcomes between 0 and 1 are soft labels."""
    rows = embeddings.astype(np.float64)
    n, d, m = *rows.shape, useful.shape[1]

    found = np.zeros((d + 1) * m)
    for penalty in PENALTIES:  # from strong to weak, each from the last one's solution

        def loss(flat: NDArray[np.float64], penalty: float = penalty) -> tuple[float, NDArray[np.float64]]:
            weight, bias = flat[:-m].reshape(d, m), flat[-m:]
            logits = rows @ weight + bias
            errors = expit(logits) - useful
            value = (np.logaddexp(0, logits) - useful * logits).sum() + penalty * (weight**2).sum()
            slope = np.concatenate([(rows.T @ errors + 2 * penalty * weight).ravel(), errors.sum(axis=0)])
            return float(value) / n, slope / n

        found = minimize(loss, found, jac=True, method="L-BFGS-B", options={"maxiter": 300, "gtol": 1e-6}).x
        yield f"penalty={penalty:g}", expit(at @ found[:-m].reshape(d, m) + found[-m:])


def factorisation(embeddings: Floats, useful: Floats, at: Floats) -> Iterator[tuple[str, Floats]]:
    """Yield matrix factorisation: the projected prompt times the candidate's own vector (as RouteLLM, Ong et al. 2024).

    RouteLLM learns from preferences between answers; here the product is the log-odds of the outcome itself.
    """
    rows, target = torch.as_tensor(embeddings), torch.as_tensor(useful, dtype=torch.float32)
    n, d, m = *rows.shape, useful.shape[1]
    for penalty in FACTOR_PENALTIES:
        generator = torch.Generator().manual_seed(0)
        project, models = ((0.1 * torch.randn(size, RANK, generator=generator)).requires_grad_(True) for size in (d, m))
        shift, bias = torch.zeros(RANK, requires_grad=True), torch.zeros(m, requires_grad=True)
        parts = [project, models, shift, bias]
        optimiser = torch.optim.LBFGS(parts, max_iter=100, history_size=10, line_search_fn="strong_wolfe")

        def closure(optimiser: Any = optimiser, parts: list[Any] = parts, penalty: float = penalty) -> Any:
            optimiser.zero_grad()
            project, models, shift, bias = parts
            logits = (rows @ project + shift) @ models.T + bias
            errors = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="sum")
            total = (errors + penalty * (project.square().sum() + models.square().sum())) / n
            total.backward()
            return total

        optimiser.step(closure)  # type: ignore[no-untyped-call]
        weight, level = (project @ models.T).detach().numpy(), (shift @ models.T + bias).detach().numpy()
        yield f"penalty={penalty:g}", expit(at @ weight + level)


def intents(codes: Codes, useful: Floats, at: Codes) -> Floats:
    """Return the mean outcome of each request's labelled intent, (b, m); 5 rows of the overall mean in each."""
    count = int(max(codes.max(), at.max())) + 1
    totals = np.zeros((count, useful.shape[1]))
    np.add.at(totals, codes, useful)
    rows = np.bincount(codes, minlength=count)[:, None]
    table = (totals + PRIOR_ROWS * useful.mean(axis=0)) / (rows + PRIOR_ROWS)
    return np.asarray(table[at])


PEERS = {
    "kNN": neighbours,
    "k-means": means,
    "logistic regression": logistic,
    "matrix factorisation": factorisation,
}
"""Peers that read the embedding, by name: fitted to (n, d) embeddings and (n, m) outcomes, each yields its settings and
what they predict, (b, m), at b other embeddings."""
