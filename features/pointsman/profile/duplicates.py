"""Requests that ask the same again: duplicate prompts, and prompts that stand in several slices of time.

Of each request two 64-bit hashes are kept, and no text: the memory is 18 bytes a request. A hash collides with another
one of ten million with a probability of 3e-6 in all.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["Repeats", "RequestLog", "Requests", "normalised"]

_BUCKETS = 64
"""Parts in which hashes are compared: what is sorted at a time is a 64th of them."""

_MOST = 255

# Whatever `str.split` would take away or shorten: white space other than single blanks between words.
_UNEVEN = (
    r"^\s|\s\s|\s$|[^\S ]|[\x{1c}-\x{1f}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]"
)


@dataclass(frozen=True)
class Requests:
    """What the rows say of their requests.

    Attributes
    ----------
    count : int
    answers : dict of int to int
        Requests by the number of rows (models) that each has; the last number is 255 or more.
    intents : (k,) int64 array
        Requests by the intent code of their first row.
    """

    count: int
    answers: dict[int, int]
    intents: NDArray[np.int64]


@dataclass(frozen=True)
class Repeats:
    """Requests whose prompt stands there more than once, case and white space aside.

    Attributes
    ----------
    prompts : int
        Different prompts.
    groups : int
        Prompts of at least two requests.
    requests : int
        Requests in these groups, the first of each included.
    largest : list of int
        Sizes of the largest groups, largest first.
    slices : list of int
        Requests by slice of time.
    seen_before : list of int
        Requests of each slice whose prompt also stands in an earlier slice; 0 for the first.
    """

    prompts: int
    groups: int
    requests: int
    largest: list[int]
    slices: list[int]
    seen_before: list[int]


class RequestLog:
    """Collects requests in order of time, and compares them at the end."""

    def __init__(self) -> None:
        self._ids, self._prompts = array("q"), array("q")
        self._answers, self._intents = array("B"), array("B")
        self._last: str | None = None

    def add(self, request_ids: pa.Array, prompts: pa.Array, intents: NDArray[np.intp]) -> NDArray[np.intp]:
        """Take rows in order of time; return the positions at which a request starts, (k,).

        Parameters
        ----------
        request_ids, prompts : pyarrow array of string
            Rows of one request carry the same prompt. Where they stand apart, the request starts again; the report
            brings its parts together.
        intents : (n,) intp array
            Codes from 0 to 255.
        """
        n = len(request_ids)
        starts = np.empty(n, dtype=bool)
        starts[0] = request_ids[0].as_py() != self._last
        starts[1:] = pc.not_equal(request_ids[1:], request_ids[:-1]).to_numpy(zero_copy_only=False)
        self._last = request_ids[n - 1].as_py()
        heads = np.flatnonzero(starts)
        first = int(heads[0]) if len(heads) else n
        if first:
            self._answers[-1] = min(self._answers[-1] + first, _MOST)
        if not len(heads):
            return heads
        if len(heads) < n:
            request_ids, prompts = request_ids.take(pa.array(heads)), prompts.take(pa.array(heads))
        self._ids.frombytes(_hashes(request_ids).tobytes())
        self._prompts.frombytes(_hashes(normalised(prompts)).tobytes())
        sizes = np.diff(np.append(heads, n))
        self._answers.frombytes(np.minimum(sizes, _MOST).astype(np.uint8).tobytes())
        self._intents.frombytes(intents[heads].astype(np.uint8).tobytes())
        return heads

    def requests(self) -> Requests:
        """Bring together the parts of each request, and count."""
        first, answers = self._first, np.frombuffer(self._answers, dtype=np.uint8)
        if not first.all():
            answers = answers.copy()
            for at, new in _groups(self._ids):
                totals = np.add.reduceat(answers[at].astype(np.int64), np.flatnonzero(new))
                answers[at[new]] = np.minimum(totals, _MOST)
            answers = answers[first]
        sizes = _tally(answers)
        intents = _tally(np.frombuffer(self._intents, dtype=np.uint8)[first])
        return Requests(int(first.sum()), {int(k): int(sizes[k]) for k in np.flatnonzero(sizes)}, intents)

    def repeats(self, cuts: Sequence[float], largest: int = 5) -> Repeats:
        """Compare prompts.

        Parameters
        ----------
        cuts : sequence of float
            Shares of the requests, rising, at which a slice of time ends and the next begins.
        largest : int
            Sizes to return.
        """
        first = self._first
        count = int(first.sum())
        place = None if count == len(first) else np.cumsum(first, dtype=np.int32) - 1
        ends = np.array([round(cut * count) for cut in cuts], dtype=np.int64)
        prompts = groups = requests = 0
        top: list[int] = []
        seen = np.zeros(len(ends) + 1, dtype=np.int64)
        for at, new in _groups(self._prompts, first):
            sizes = np.diff(np.append(np.flatnonzero(new), len(at)))
            prompts += len(sizes)
            several = sizes[sizes > 1]
            groups, requests = groups + len(several), requests + int(several.sum())
            top = sorted([*top, *np.sort(several)[-largest:].tolist()], reverse=True)[:largest]
            part = np.searchsorted(ends, at if place is None else place[at], side="right")
            seen += np.bincount(part[part > np.repeat(part[new], sizes)], minlength=len(seen))
        slices = np.diff(np.concatenate(([0], ends, [count])))
        return Repeats(prompts, groups, requests, top, slices.tolist(), seen.tolist())

    @property
    def _first(self) -> NDArray[np.bool_]:
        """Mask of the entries that begin a request, not a part of one that stood there before."""
        first = np.ones(len(self._ids), dtype=bool)
        for at, new in _groups(self._ids):
            first[at[~new]] = False
        return first


def normalised(prompts: pa.Array) -> pa.Array:
    """Return prompts in lower case, with one blank wherever white space stands between words, and none around."""
    lower = pc.ascii_lower(prompts)
    beyond = pc.invert(pc.string_is_ascii(prompts))
    if pc.any(beyond).as_py():
        lower = pc.replace_with_mask(lower, beyond, pc.utf8_lower(prompts.filter(beyond)))
    uneven = pc.match_substring_regex(lower, _UNEVEN)
    if pc.any(uneven).as_py():
        even = [" ".join(text.split()) for text in lower.filter(uneven).to_pylist()]
        lower = pc.replace_with_mask(lower, uneven, pa.array(even, type=lower.type))
    return lower


def _hashes(texts: pa.Array) -> NDArray[np.int64]:
    """Return a hash of each text, (n,): Python's own, keyed anew in each process, so that it tells nothing outside."""
    return np.fromiter(map(hash, texts.to_numpy(zero_copy_only=False)), dtype=np.int64, count=len(texts))


def _tally(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return how often each code stands there, (256,); part by part, because bincount makes eight bytes of each."""
    counts = np.zeros(_MOST + 1, dtype=np.int64)
    for start in range(0, len(codes), 1 << 20):
        counts += np.bincount(codes[start : start + (1 << 20)], minlength=_MOST + 1)
    return counts


def _groups(
    hashes: array[int], among: NDArray[np.bool_] | None = None
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.bool_]]]:
    """Yield, in parts, positions with equal hashes side by side, by time, and where each such group starts."""
    if not len(hashes):
        return
    every = np.frombuffer(hashes, dtype=np.int64)
    bucket_of = every.view(np.uint8)[:: every.itemsize] % _BUCKETS
    for bucket in range(_BUCKETS):
        here = bucket_of == bucket
        at = np.flatnonzero(here if among is None else here & among)
        if not len(at):
            continue
        at = at[np.argsort(every[at], kind="stable")]
        ordered = every[at]
        new = np.ones(len(at), dtype=bool)
        np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
        yield at, new
