"""How well encoders tell intents apart on a published split: fitted on train and validation, judged once on test."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import logsumexp
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from pointsman.distillation import THOROUGH, Distillation, IntentHead, distil
from pointsman.finetuning import FineTuning, Labels, embed, fine_tune
from pointsman.graph import export_graph
from pointsman.heads import Heads

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pointsman.benchmarks.intent_sets import IntentSet
    from pointsman.encoders import TransformerEncoder
    from pointsman.static_encoder import StaticEncoder

__all__ = ["METHODS", "Measured", "measure"]

METHODS = ("frozen", "transformer", "static", "static-frozen")
"""The model with a logistic regression; fine-tuned; the static encoder of the fine-tuned one; of the frozen one."""

SCORES = ("energy", "confidence")
"""Out-of-scope scores: minus the log-sum of the logits' exponentials (Liu et al. 2020), or the best one's lack."""

RESAMPLES = 300

Floats = Any


@dataclass(frozen=True)
class Measured:
    """One method on one set.

    Attributes
    ----------
    method : str
    accuracy : tuple of (float, float, float)
        In scope, with its 95 % Wilson interval.
    auroc : tuple of (float, float, float) or None
        Of out of scope against in scope, with a 95 % bootstrap interval; None without prompts out of scope.
    recall : float or None
        Of out of scope where 5 % of the validation part's prompts in scope would be refused.
    score : str
        The out-of-scope score that told best on the validation part.
    graph : float or None
        Accuracy of the exported graph, int8 tables inside; None for the frozen baseline.
    seconds : float
        To fit, teacher included.
    megabytes : float
        Of the graph.
    """

    method: str
    accuracy: tuple[float, float, float]
    auroc: tuple[float, float, float] | None
    recall: float | None
    score: str
    graph: float | None
    seconds: float
    megabytes: float


@dataclass(frozen=True, eq=False)
class _Classifier:
    encoder: TransformerEncoder | StaticEncoder
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    seconds: float

    def logits(self, texts: tuple[str, ...]) -> Floats:
        return self.encoder.encode(texts) @ self.weight + self.bias


def measure(
    given: IntentSet,
    base: TransformerEncoder,
    methods: tuple[str, ...] = METHODS,
    seed: int = 0,
    cache: Path | None = None,
    say: Callable[[str, int, int], None] | None = None,
) -> list[Measured]:
    """Fit each method on the training part and judge it on the test part.

    Parameters
    ----------
    given : IntentSet
    base : TransformerEncoder
    methods : tuple of str
        Of `METHODS`.
    seed : int
    cache : Path, optional
        Of checkpoints.
    say : callable, optional
        Called with (phase, done, total).
    """
    train, tell = given.train.known, say or (lambda *_: None)
    found: list[tuple[TransformerEncoder, _Classifier]] = []

    def tuned() -> tuple[TransformerEncoder, _Classifier]:
        if not found:
            one = fine_tune(
                base,
                train.texts,
                Labels(train.codes, len(given.intents)),
                FineTuning(seed=seed, held_out=0.0),
                None if cache is None else cache / "checkpoints",
                lambda done, total: tell("fine-tune", done, total),
            )
            found.append((one.encoder, _Classifier(one.encoder, one.weight, one.bias, one.seconds)))
        return found[0]

    measured = []
    for method in methods:
        began = time.monotonic()
        if method == "frozen":
            classifier = _logistic(base, embed(base, base.token_ids(train.texts)), train.codes, began)
        elif method == "transformer":
            classifier = tuned()[1]
        else:
            model, teacher = tuned() if method == "static" else (base, None)
            began = time.monotonic()
            student, head = distil(
                model,
                train.texts,
                None if teacher is None else IntentHead(teacher.weight, teacher.bias),
                replace(Distillation() if teacher is None else THOROUGH, seed=seed),
                lambda done, total: tell("distil", done, total),
                lambda done, total: tell("teach", done, total),
            )
            if head is None or teacher is None:
                classifier = _logistic(student, student.encode(train.texts), train.codes, began)
            else:
                took = teacher.seconds + time.monotonic() - began
                classifier = _Classifier(student, head.weight, head.bias, took)
        measured.append(_judge(method, classifier, given, seed))
    return measured


def _logistic(
    encoder: TransformerEncoder | StaticEncoder, embeddings: Floats, codes: NDArray[np.intp], began: float
) -> _Classifier:
    model = LogisticRegression(C=10, max_iter=300).fit(embeddings, codes)
    present, d, k = model.classes_, embeddings.shape[1], int(codes.max()) + 1
    weight, bias = np.zeros((d, k), dtype=np.float32), np.full(k, -20, dtype=np.float32)
    two = len(present) == 2  # one row stands for the second class
    weight[:, present] = np.vstack([-model.coef_ / 2, model.coef_ / 2]).T if two else model.coef_.T
    bias[present] = np.concatenate([-model.intercept_ / 2, model.intercept_ / 2]) if two else model.intercept_
    return _Classifier(encoder, weight, bias, time.monotonic() - began)


def _judge(method: str, classifier: _Classifier, given: IntentSet, seed: int) -> Measured:
    test, validation = given.test.known, given.validation
    logits = classifier.logits(test.texts)
    right = int((logits.argmax(axis=1) == test.codes).sum())
    interval = binomtest(right, len(test.texts)).proportion_ci(0.95, method="wilson")
    score, auroc, recall = "energy", None, None
    if given.test.strange:
        kept = classifier.logits(validation.known.texts)
        if validation.strange:
            strange = classifier.logits(validation.strange)
            score = max(SCORES, key=lambda name: _area(_score(kept, name), _score(strange, name)))
        inside, outside = _score(logits, score), _score(classifier.logits(given.test.strange), score)
        auroc = _with_interval(inside, outside, seed)
        recall = float((outside > np.quantile(_score(kept, score), 0.95)).mean())
    graph, size = _exported(classifier, test.texts, test.codes)
    return Measured(
        method,
        (right / len(test.texts), float(interval.low), float(interval.high)),
        auroc,
        recall,
        score,
        graph,
        classifier.seconds,
        size / 1e6,
    )


def _score(logits: Floats, name: str) -> Floats:
    total = logsumexp(logits, axis=1)
    return -total if name == "energy" else total - logits.max(axis=1)


def _area(inside: Floats, outside: Floats) -> float:
    truth = np.repeat([0, 1], [len(inside), len(outside)])
    return float(roc_auc_score(truth, np.concatenate([inside, outside])))


def _with_interval(inside: Floats, outside: Floats, seed: int) -> tuple[float, float, float]:
    generator = np.random.default_rng(seed)
    drawn = [
        _area(generator.choice(inside, len(inside)), generator.choice(outside, len(outside))) for _ in range(RESAMPLES)
    ]
    return _area(inside, outside), float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975))


def _exported(classifier: _Classifier, texts: tuple[str, ...], codes: NDArray[np.intp]) -> tuple[float, int]:
    """Return the accuracy of the exported graph, and its size in bytes."""
    import onnxruntime

    from pointsman.batches import by_length, padded

    encoder, k = classifier.encoder, len(classifier.bias)
    d, v = classifier.weight.shape[0], encoder.vocabulary_size
    nothing = np.zeros((d, 1), dtype=np.float32), np.zeros(1, dtype=np.float32)
    heads = Heads(
        intent_weight=classifier.weight,
        intent_bias=classifier.bias,
        intent_temperature=1.0,
        table=np.full((k, 1), 0.5, dtype=np.float32),
        useful_weight=nothing[0],
        useful_bias=nothing[1],
        useful_temperature=1.0,
        idf=np.zeros(v, dtype=np.float32),
        intent_pieces=np.zeros((v, k), dtype=np.float32),
        useful_pieces=np.zeros((v, 1), dtype=np.float32),
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        export_graph(encoder, heads, file)
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        ids = encoder.token_ids(texts)
        lengths = np.array([len(row) for row in ids], dtype=np.int64)
        said = np.empty(len(texts), dtype=np.intp)
        for at in by_length(lengths, 4096):
            batch = padded(ids, at, encoder.pad_id)
            feed = {"input_ids": batch.ids.numpy(), "attention_mask": batch.mask.numpy()}
            said[at] = session.run(["intent_probs"], feed)[0].argmax(axis=1)
        return float((said == codes).mean()), file.stat().st_size
