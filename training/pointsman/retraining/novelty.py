"""New intents without labels: clusters of prompts that are unlike anything learned from, shown with examples."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.cluster import HDBSCAN
from sklearn.feature_extraction.text import TfidfVectorizer

from pointsman.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pointsman.decide import Reading

__all__ = ["Cluster", "named_requests", "novel_clusters", "strangeness"]

FEWEST = 8
"""Prompts of a cluster at least."""

STRANGE = 0.95
"""Share of the usual prompts that are less strange: of those learned from, one in twenty is called strange too."""


@dataclass(frozen=True)
class Cluster:
    """Prompts that are alike and unlike what was learned from.

    Attributes
    ----------
    name : str
        A short one that the same prompts have again: people name clusters by it.
    members : tuple of int
        Positions of the prompts, the most typical first.
    words : tuple of str
        That set it apart from the other prompts.
    """

    name: str
    members: tuple[int, ...]
    words: tuple[str, ...]

    def to_dict(self, prompts: Sequence[str], examples: int = 5) -> dict[str, Any]:
        """Return the cluster as plain JSON values, with its most typical prompts."""
        shown = [prompts[at] for at in self.members[:examples]]
        return {"name": self.name, "requests": len(self.members), "words": list(self.words), "examples": shown}


def strangeness(reading: Reading) -> NDArray[np.float64]:
    """Return how unlike what was learned from each prompt is, (n,): by the graph's score where it has one.

    That is the share of requests learned from that were less strange. Without such an output, the rank of doubt about
    the intent among these very prompts stands for it: then one in twenty is always called strange.
    """
    if reading.out_of_scope is not None:
        return np.asarray(reading.out_of_scope, dtype=np.float64)[:, 0]
    doubt = 1 - np.asarray(reading.confidence, dtype=np.float64)
    return (doubt.argsort(kind="stable").argsort(kind="stable") + 0.5) / max(len(doubt), 1)


def novel_clusters(
    prompts: Sequence[str], embeddings: NDArray[np.float32], strange: NDArray[np.float64], fewest: int = FEWEST
) -> list[Cluster]:
    """Cluster the strange ones of n prompts by HDBSCAN (Campello, Moulavi and Sander 2013), the largest first.

    Parameters
    ----------
    prompts : sequence of str
    embeddings : (n, d) float32 array
        Of unit length.
    strange : (n,) float64 array
        See `strangeness`.
    fewest : int
        Prompts of a cluster at least.
    """
    at = np.flatnonzero(strange > STRANGE)
    if len(at) < 2 * fewest:
        return []
    few = embeddings[at].astype(np.float64)
    labels = HDBSCAN(min_cluster_size=fewest, copy=True).fit_predict(few)
    found = []
    for label in range(labels.max() + 1):
        inside = np.flatnonzero(labels == label)
        centre = few[inside].mean(axis=0)
        order = inside[np.argsort(-(few[inside] @ centre), kind="stable")]
        members = tuple(int(at[one]) for one in order)
        name = f"{zlib.crc32(chr(0).join(sorted(prompts[one] for one in members)).encode('utf-8', 'replace')):08x}"
        found.append(Cluster(name, members, _words(prompts, members)))
    return sorted(found, key=lambda one: -len(one.members))


def named_requests(clusters: Sequence[Cluster], names: Mapping[str, str], ids: Sequence[str]) -> dict[str, str]:
    """Return the intent of each request in a cluster that somebody named.

    Raises
    ------
    TraceError
        Where there is no such cluster.
    """
    known = {one.name: one for one in clusters}
    found: dict[str, str] = {}
    for cluster, intent in names.items():
        if cluster not in known:
            raise TraceError(f"no cluster {cluster!r} in these traces; there are: {', '.join(known) or 'none'}")
        found |= {ids[at]: intent for at in known[cluster].members}
    return found


def _words(prompts: Sequence[str], members: Sequence[int], most: int = 6) -> tuple[str, ...]:
    vectors = TfidfVectorizer(stop_words="english")
    try:
        weights = vectors.fit_transform(prompts)
    except ValueError:  # no words at all
        return ()
    inside = np.asarray(weights[list(members)].mean(axis=0)).ravel()
    apart = inside - np.asarray(weights.mean(axis=0)).ravel()
    names = vectors.get_feature_names_out()
    return tuple(str(names[at]) for at in np.argsort(-apart, kind="stable")[:most] if apart[at] > 0)
