"""Labelled prompts in the forms in which intent sets are published: tables with a text and a label, or CLINC's JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pointsman.errors import TraceError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["OUT_OF_SCOPE", "IntentSet", "Part", "read_intent_set"]

TEXTS = ("text", "prompt", "utterance", "query", "sentence")
LABELS = ("intent", "category", "label", "class")
OUT_OF_SCOPE = ("oos", "out_of_scope", "out-of-scope")
"""Labels, in lower case, of prompts that belong to no intent."""


@dataclass(frozen=True, eq=False)
class Part:
    """Prompts with their labels.

    Attributes
    ----------
    texts : tuple of str
    codes : (n,) int array
        Position among the set's intents; -1 out of scope.
    """

    texts: tuple[str, ...]
    codes: NDArray[np.intp]

    def take(self, at: NDArray[np.intp]) -> Part:
        """Return the prompts at positions."""
        return Part(tuple(self.texts[index] for index in at.tolist()), self.codes[at])

    @property
    def known(self) -> Part:
        """Those in scope."""
        return self.take(np.flatnonzero(self.codes >= 0))

    @property
    def strange(self) -> tuple[str, ...]:
        """The texts out of scope."""
        return tuple(text for text, code in zip(self.texts, self.codes, strict=True) if code < 0)


@dataclass(frozen=True, eq=False)
class IntentSet:
    """An intent set.

    Attributes
    ----------
    name : str
    intents : tuple of str
        Of the training part, sorted.
    train, validation, test : Part
        The validation part is a tenth of the training part where none is given.
    """

    name: str
    intents: tuple[str, ...]
    train: Part
    validation: Part
    test: Part

    def few(self, shots: int, seed: int) -> IntentSet:
        """Return the set with at most so many training prompts of each intent."""
        generator, known = np.random.default_rng(seed), self.train.known
        order = generator.permutation(len(known.texts))
        kept = [at for code in range(len(self.intents)) for at in order[known.codes[order] == code][:shots].tolist()]
        return replace(self, train=known.take(np.sort(np.array(kept, dtype=np.intp))))

    def flipped(self, share: float, seed: int) -> IntentSet:
        """Return the set with a share of the training labels replaced by another, drawn at random."""
        generator, codes = np.random.default_rng(seed), self.train.codes.copy()
        known = np.flatnonzero(codes >= 0)
        wrong = generator.permutation(known)[: round(share * len(known))]
        codes[wrong] = (codes[wrong] + generator.integers(1, len(self.intents), size=len(wrong))) % len(self.intents)
        return replace(self, train=Part(self.train.texts, codes))


def read_intent_set(train: Path, test: Path | None = None, validation: Path | None = None) -> IntentSet:
    """Read an intent set.

    Parameters
    ----------
    train : Path
        A table (.csv, .jsonl, .parquet) with a text (`TEXTS`) and a label (`LABELS`), or CLINC's JSON, which holds all.
    test : Path, optional
        A table; needed where `train` is one.
    validation : Path, optional
        A table.

    Raises
    ------
    TraceError
        Where a file cannot be read, a column is missing, or there are fewer than two intents.
    """
    if train.suffix == ".json":
        parts = _clinc(train)
    elif test is None:
        raise TraceError(f"{train}: --test is needed beside a table; a JSON in CLINC's form holds its own")
    else:
        parts = {"train": _table(train), "test": _table(test)}
        if validation is not None:
            parts["validation"] = _table(validation)
    labels = sorted({label for _, label in parts["train"] if label.lower() not in OUT_OF_SCOPE})
    if len(labels) < 2:
        raise TraceError(f"{train}: {len(labels)} intents; at least two are needed")
    position = {label: at for at, label in enumerate(labels)}
    found = {
        name: Part(
            tuple(text for text, _ in pairs),
            np.array([position.get(label, -1) for _, label in pairs], dtype=np.intp),
        )
        for name, pairs in parts.items()
    }
    strange = {label for _, label in parts["test"] if label not in position and label.lower() not in OUT_OF_SCOPE}
    if strange:
        few = ", ".join(sorted(strange)[:5])
        raise TraceError(
            f"test part: labels that the training part does not have: {few}; out of scope is {OUT_OF_SCOPE[0]}"
        )
    if "validation" not in found:
        order = np.random.default_rng(0).permutation(len(found["train"].texts))
        cut = max(1, len(order) // 10)
        found["validation"] = found["train"].take(np.sort(order[:cut]))
        found["train"] = found["train"].take(np.sort(order[cut:]))
    return IntentSet(train.parent.name or train.stem, tuple(labels), found["train"], found["validation"], found["test"])


def _clinc(file: Path) -> dict[str, list[tuple[str, str]]]:
    try:
        document: Any = json.loads(file.read_text(encoding="utf-8"))
        parts = {
            name: [(str(text), str(label)) for key in keys for text, label in document.get(key, [])]
            for name, keys in {
                "train": ("train",),
                "validation": ("val", "oos_val"),
                "test": ("test", "oos_test"),
            }.items()
        }
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise TraceError(f"{file}: not in CLINC's form (train, val, test: pairs of text, intent): {error}") from error
    return {name: pairs for name, pairs in parts.items() if pairs or name != "validation"}


def _table(file: Path) -> list[tuple[str, str]]:
    try:
        if file.suffix == ".parquet":
            frame = pd.read_parquet(file)
        elif file.suffix in {".jsonl", ".ndjson"}:
            frame = pd.read_json(file, lines=True, dtype=False)
        else:
            frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise TraceError(f"{file}: cannot be read: {' '.join(str(error).split())[:200]}") from error
    columns = []
    for allowed in (TEXTS, LABELS):
        there = [name for name in allowed if name in frame]
        if not there:
            raise TraceError(f"{file}: has none of the columns {', '.join(allowed)}; it has {', '.join(frame.columns)}")
        columns.append(frame[there[0]].astype(str))
    return list(zip(*columns, strict=True))
