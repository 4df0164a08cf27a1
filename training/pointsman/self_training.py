"""Self-training of intents: where some requests tell their intent, the others may be filled, at a stated precision.

Off unless the configuration asks for it (``intent: {self_training: {precision: 0.9}}``). A linear classifier on the
encoder's embeddings learns from what is labelled and then from its own surest answers (scikit-learn's
``SelfTrainingClassifier``; Yarowsky 1995). Labelled and unlabelled requests are treated alike: each is judged by a
classifier that saw neither it nor another request with its prompt, so that what the labelled ones show of confidence
and precision holds for the others, as far as they are drawn alike. An intent that no labelled request has cannot be
found.
"""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.semi_supervised import SelfTrainingClassifier
from threadpoolctl import threadpool_limits

from pointsman.bounds import share_upper
from pointsman.encoders import cached_encode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pointsman.encoders import TransformerEncoder

__all__ = ["SelfTrained", "fill_intents"]

Codes = NDArray[np.intp]
Floats = NDArray[np.float64]

FOLDS = 5
LEAST = 10
"""Different prompts that an intent needs to be learnt."""

SURE = 0.9
"""Confidence from which on the classifier learns from its own answer."""

CONFIDENCE = 0.9
"""One-sided, that the precision wanted holds at the threshold chosen."""

MOST = 20_000
"""Labelled prompts, and as many others, that a classifier learns from."""


@dataclass(frozen=True)
class SelfTrained:
    """Rows with filled intents, and how sure the filling is.

    Attributes
    ----------
    rows : DataFrame
        With ``intent`` filled and ``intent_by``: ``source``, ``self_training``, or missing.
    report : dict
        ``requests``; ``labelled_before``, ``labelled_after`` (shares of them); ``precision_target``; ``refused`` (why
        nothing was filled, else None); ``threshold`` (of confidence); ``held_out`` (prompts, precision and coverage at
        the threshold with 95 % intervals, on labelled prompts that did not choose it); ``intents`` (by name: requests
        labelled by the source, and filled); ``rare`` (intents of fewer than 10 prompts, with their requests: learnt as
        one, so that they are told from the others, but never filled).
    """

    rows: pd.DataFrame
    report: dict[str, Any]


def fill_intents(
    rows: pd.DataFrame,
    encoder: TransformerEncoder,
    precision: float = 0.9,
    seed: int = 0,
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SelfTrained:
    """Fill the intents of requests that tell none, where the precision wanted can be shown.

    Parameters
    ----------
    rows : DataFrame
        A validated trace table; a request has the first intent of its rows. It is not changed.
    encoder : TransformerEncoder
    precision : float
        Least share of right intents among those that are filled, of requests drawn as the labelled ones.
    seed : int
        Of the folds and samples.
    folder : Path, optional
        Where embeddings are kept (see `pointsman.encoders.cached_encode`).
    progress : callable, optional
        Called with (prompts encoded, prompts in all).

    Raises
    ------
    PointsmanError
        Where the folder cannot be written.
    """
    request, first = _firsts(rows["request_id"])
    told = rows["intent"].groupby(request).first().astype(object).to_numpy(dtype=object)
    told = np.where(pd.isna(told), "", told).astype(object)
    prompt, texts = pd.factorize(rows["prompt"].iloc[first])
    report: dict[str, Any] = {
        "requests": len(told),
        "labelled_before": float(np.mean(told != "")),
        "labelled_after": float(np.mean(told != "")),
        "precision_target": precision,
        "refused": None,
        "threshold": None,
        "held_out": None,
    }
    filled = np.full(len(told), "", dtype=object)
    names, codes, report["rare"] = _learnable(told, prompt)
    if (told != "").all():
        report["refused"] = "every request tells its intent"
    elif len(names) < 2:
        report["refused"] = (
            f"{len(names)} intents have {LEAST} labelled prompts or more; at least 2 are needed to tell apart"
        )
    else:
        embeddings = _spread(cached_encode(encoder, [str(text) for text in texts], folder, progress))
        guess, confidence = _judged(embeddings, prompt, codes, names, seed)
        found = _threshold(told, guess, confidence, prompt, precision, seed)
        report |= {
            "threshold": found[0] if found[1] else None,
            "held_out": found[1],
            "refused": _refusal(found[1], precision),
        }
        if report["refused"] is None:
            filled[(told == "") & (confidence >= found[0])] = guess[(told == "") & (confidence >= found[0])]
    final = np.where(told != "", told, filled)
    report["labelled_after"] = float(np.mean(final != ""))
    source, added = Counter(told[told != ""].tolist()), Counter(filled[filled != ""].tolist())
    report["intents"] = {name: {"source": source[name], "filled": added[name]} for name in sorted(source)}
    by = np.where(told != "", "source", np.where(filled != "", "self_training", "")).astype(object)
    out = rows.copy(deep=False)
    own = rows["intent"].astype("string")
    out["intent"] = own.fillna(_texts(final[request], rows.index))
    out["intent_by"] = _texts(by[request], rows.index)
    return SelfTrained(out, report)


def _firsts(values: pd.Series) -> tuple[Codes, Codes]:
    """Return the code of each row's value and the first row of each code."""
    codes = pd.factorize(values)[0].astype(np.intp)
    return codes, np.unique(codes, return_index=True)[1].astype(np.intp)


def _texts(values: NDArray[np.object_], index: pd.Index) -> pd.Series:
    return pd.Series(values, index=index, dtype="string").replace("", pd.NA)


def _learnable(told: NDArray[np.object_], prompt: Codes) -> tuple[NDArray[np.object_], Codes, dict[str, int]]:
    """Return the intents of enough prompts, the code of each request, the rare intents with counts.

    A code is a position in the names, their number for a rare intent, -1 where none is told.
    """
    pairs = pd.DataFrame({"intent": told, "prompt": prompt})[told != ""]
    prompts = pairs.drop_duplicates("prompt")["intent"].value_counts()
    names = np.array(sorted(prompts.index[prompts >= LEAST]), dtype=object)
    rare = pairs["intent"].value_counts().drop(names.tolist())
    position = {name: index for index, name in enumerate(names)}
    codes = np.array([position.get(name, len(names)) if name else -1 for name in told], dtype=np.intp)
    return names, codes, {str(name): int(count) for name, count in sorted(rare.items())}


def _spread(embeddings: NDArray[np.float32]) -> Floats:
    """Return embeddings about their mean, of mean square length 1: an encoder's common direction tells nothing."""
    centred = embeddings.astype(np.float64) - embeddings.mean(axis=0, dtype=np.float64)
    return np.asarray(centred / max(np.sqrt((centred**2).sum(axis=1).mean()), 1e-12))


def _judged(
    embeddings: Floats, prompt: Codes, codes: Codes, names: NDArray[np.object_], seed: int
) -> tuple[NDArray[np.object_], Floats]:
    """Return each request's most probable intent and its probability, by classifiers that did not see its prompt.

    Where that is one of the rare intents, the probability is 0.
    """
    label = np.full(len(embeddings), -1, dtype=np.intp)
    told = np.flatnonzero(codes >= 0)[::-1]
    label[prompt[told]] = codes[told]  # the first intent told of a prompt
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(label))
    fold = np.empty(len(label), dtype=np.intp)
    # Dealt out by intent, so that every fold leaves each intent to the others.
    fold[shuffled[np.argsort(label[shuffled], kind="stable")]] = np.arange(len(label)) % FOLDS
    probs = np.zeros((len(label), len(names) + 1))
    for out in range(FOLDS):
        known = np.flatnonzero((fold != out) & (label >= 0))
        other = np.flatnonzero((fold != out) & (label < 0))
        learnt = np.concatenate([_sample(known, generator), _sample(other, generator)])
        model = _fitted(embeddings[learnt], label[learnt])
        probs[np.ix_(fold == out, model.classes_)] = model.predict_proba(embeddings[fold == out])
    guess = probs.argmax(axis=1)
    confidence = np.where(guess < len(names), probs.max(axis=1), 0.0)
    return np.append(names, "")[guess][prompt], confidence[prompt]


def _sample(at: Codes, generator: np.random.Generator) -> Codes:
    return at if len(at) <= MOST else np.sort(generator.choice(at, MOST, replace=False))


def _fitted(embeddings: Floats, label: Codes) -> LogisticRegression | SelfTrainingClassifier:
    linear = LogisticRegression(C=100.0, max_iter=300)
    model = SelfTrainingClassifier(linear, threshold=SURE, max_iter=5) if label.min() < 0 else linear
    with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(embeddings, label)
    return model


def _threshold(
    told: NDArray[np.object_],
    guess: NDArray[np.object_],
    confidence: Floats,
    prompt: Codes,
    precision: float,
    seed: int,
) -> tuple[float, dict[str, Any] | None]:
    """Return the least confidence at which one half of the labelled prompts shows the precision, and the other half.

    Infinite where there is none.
    """
    half = np.random.default_rng([seed, 1]).random(int(prompt.max()) + 1) < 0.5
    # A prompt that is asked often is one piece of evidence.
    once = np.zeros(len(told), dtype=bool)
    labelled = np.flatnonzero(told != "")
    once[labelled[np.unique(prompt[labelled], return_index=True)[1]]] = True
    choosing, checking = once & half[prompt], once & ~half[prompt]
    order = np.flatnonzero(choosing)[np.argsort(-confidence[choosing], kind="stable")]
    wrong = np.cumsum(guess[order] != told[order])
    counts = np.arange(1, len(order) + 1)
    # Prompts of the same confidence are taken together.
    ends = np.append(confidence[order][1:] < confidence[order][:-1], True)[: len(order)]
    shown = [1 - share_upper(int(bad), int(n), CONFIDENCE) >= precision for bad, n in zip(wrong, counts, strict=True)]
    held = np.flatnonzero(ends & np.array(shown, dtype=bool))
    held = held[confidence[order[held]] > 0]
    if not len(held):
        return np.inf, None
    threshold = float(confidence[order[held[-1]]])
    taken = checking & (confidence >= threshold)
    right = taken & (guess == told)
    return threshold, {
        "prompts": int(checking.sum()),
        **_share("precision", int(right.sum()), int(taken.sum())),
        **_share("coverage", int(taken.sum()), int(checking.sum())),
    }


def _share(name: str, count: int, n: int) -> dict[str, Any]:
    """Return a share with its 95 % interval (Clopper and Pearson 1934)."""
    if n == 0:
        return {name: None, f"{name}_interval": None}
    low, high = 1 - share_upper(n - count, n, 0.975), share_upper(count, n, 0.975)
    return {name: count / n, f"{name}_interval": [low, high]}


def _refusal(held_out: dict[str, Any] | None, precision: float) -> str | None:
    """Say why nothing is filled."""
    if held_out is None:
        return f"no threshold of confidence shows a precision of {precision:g} on the labelled prompts"
    interval = held_out["precision_interval"]
    if interval is None or interval[1] < precision:
        return f"a precision of {precision:g} did not hold on the labelled prompts that were kept to check it"
    return None
