"""New texts out of a user's prompts, for a teacher to label: words dropped, replaced, misspelt, prompts spliced.

A student that reads words without their order learns from them what words that its prompts lack mean to the teacher.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["augmented", "neighbours"]

LONGEST = 24
"""Words of a prompt that a new text is made of, at most."""

_KEYS = "qwertyuiop asdfghjkl zxcvbnm"


def augmented(
    prompts: Sequence[str], count: int, seed: int = 0, near: Mapping[str, Sequence[str]] | None = None
) -> list[str]:
    """Return `count` new texts.

    Parameters
    ----------
    prompts : sequence of str
        At least one.
    count : int
    seed : int
    near : mapping of str to sequence of str, optional
        Words that may stand for a word, lower-case; see `neighbours`. Without it words of other prompts stand in.
    """
    generator = np.random.default_rng(seed)
    words = [text.split() for text in prompts]
    pool = [word for row in words for word in row] or ["?"]
    texts = []
    kinds = generator.choice(5, size=count, p=(0.15, 0.25, 0.35, 0.05, 0.20))
    for kind, at in zip(kinds.tolist(), generator.integers(len(words), size=count).tolist(), strict=True):
        row = _window(words[at], generator)
        if kind == 0:
            row = _dropped(row, generator)
        elif kind == 1:
            row = _spliced(row, _window(words[int(generator.integers(len(words)))], generator), generator)
        elif kind == 2:
            row = _replaced(row, near or {}, pool, generator)
        elif kind == 3:
            row = _misspelt(row, generator)
        else:
            row = _spliced(row, _window(words[int(generator.integers(len(words)))], generator), generator)
            row = _replaced(row, near or {}, pool, generator)
        texts.append(" ".join(row))
    return texts


def neighbours(
    words: Sequence[str],
    vectors: NDArray[np.float32],
    others: Sequence[str],
    other_vectors: NDArray[np.float32],
    count: int = 12,
) -> dict[str, list[str]]:
    """Return the words of `others` that lie nearest to each of `words`, itself aside.

    Parameters
    ----------
    words, others : sequence of str
    vectors, other_vectors : (n, d), (o, d) float array
        Of unit length.
    count : int
    """
    found: dict[str, list[str]] = {}
    for start in range(0, len(words), 1024):
        close = vectors[start : start + 1024] @ other_vectors.T
        nearest = np.argpartition(-close, min(count + 1, len(others) - 1), axis=1)[:, : count + 1]
        for row, word in enumerate(words[start : start + 1024]):
            order = nearest[row][np.argsort(-close[row, nearest[row]], kind="stable")]
            found[word] = [others[at] for at in order.tolist() if others[at] != word][:count]
    return found


def _window(row: Sequence[str], generator: np.random.Generator) -> Sequence[str]:
    """Return a long prompt's part: a teacher's time goes by length."""
    if len(row) <= LONGEST:
        return row
    start = int(generator.integers(len(row) - LONGEST + 1))
    return row[start : start + LONGEST]


def _dropped(row: Sequence[str], generator: np.random.Generator) -> list[str]:
    share = generator.uniform(0.1, 0.4)
    kept = [word for word, stays in zip(row, generator.random(len(row)) >= share, strict=True) if stays]
    return kept or list(row)


def _spliced(row: Sequence[str], other: Sequence[str], generator: np.random.Generator) -> list[str]:
    """Return a beginning of one and an end of the other."""
    first, second = (int(generator.integers(1, max(len(part), 1) + 1)) for part in (row, other))
    return [*row[:first], *other[len(other) - second :]]


def _replaced(
    row: Sequence[str], near: Mapping[str, Sequence[str]], pool: Sequence[str], generator: np.random.Generator
) -> list[str]:
    """Replace one to three words: mostly by a neighbour, else by any word of the prompts."""
    out = list(row)
    for at in generator.integers(max(len(out), 1), size=int(generator.integers(1, 4))).tolist() if out else []:
        options = near.get(out[at].lower().strip(".,?!"), ())
        if options and generator.random() < 0.8:
            out[at] = options[int(generator.integers(len(options)))]
        elif generator.random() < 0.5:
            out[at] = pool[int(generator.integers(len(pool)))]
    return out


def _misspelt(row: Sequence[str], generator: np.random.Generator) -> list[str]:
    """Drop, double, swap or miss one letter of one word."""
    out = list(row)
    long = [at for at, word in enumerate(out) if len(word) > 3]
    if not long:
        return out
    at = long[int(generator.integers(len(long)))]
    word, place = out[at], int(generator.integers(1, len(out[at]) - 1))
    kind = int(generator.integers(4))
    if kind == 0:
        out[at] = word[:place] + word[place + 1 :]
    elif kind == 1:
        out[at] = word[:place] + word[place] + word[place:]
    elif kind == 2:
        out[at] = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    else:
        out[at] = word[:place] + _KEYS[int(generator.integers(len(_KEYS)))].strip() + word[place + 1 :]
    return out
