"""What users did after an answer, as a label where there is no other: they asked again, or they left.

Both rules are off unless the configuration turns them on: people repeat a prompt for other reasons too (a job that runs
every minute, a test), and they leave when they are content. The share of rows that each labels is reported.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pointsman.labelling.cells import column
from pointsman.labelling.usefulness import LabelCounts, Labelled
from pointsman.text import Clip

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pointsman.ingest_config import IngestConfig, UserRetrySpec

__all__ = ["behave", "likeness"]

USER_RETRY = "user_retry"
LEFT = "left"

_AHEAD = 5
"""Requests of the same conversation that an answer is compared with."""

_SOONEST_S = 1.0
"""What comes sooner after a request was not typed because of its answer: parallel calls of a program."""

_CLIP = Clip()
_NUMBER = re.compile(r"\d+")


def behave(rows: pd.DataFrame, config: IngestConfig) -> Labelled:
    """Label answers as useless by what their user did next, where no rule labelled them.

    A user's retry: a later request of the same conversation (of the same user where there is none) whose prompt is the
    same or nearly so, within ``within_s`` seconds after the answer; also while it is awaited, but not within a second
    of asking. Prompts shorter than ``min_characters`` («yes», «go on») are not compared. Left: the last answer of a
    conversation of which the id is known, which took at least ``after_ms``.

    Parameters
    ----------
    rows : (n,) DataFrame
        Validated rows of whole conversations (or users), in any order. Rows with ``chosen`` false, which no user saw,
        are passed over.
    config : IngestConfig
        See `pointsman.ingest_config.BehaviourSpec`.

    Returns
    -------
    Labelled
        The rows with ``useful`` 0 and ``useful_by`` ``user_retry`` or ``left`` where they apply; the counts hold these
        two rules only.
    """
    spec = config.behaviour
    counts = LabelCounts()
    if spec.user_retry is None and spec.left is None:
        return Labelled(rows, counts)
    useful = column(rows, "useful").to_numpy(dtype=np.float64, na_value=np.nan).copy()
    by = column(rows, "useful_by").astype(object).to_numpy().copy()
    seen = _seen(rows)
    if spec.user_retry is not None:
        again = seen.index.to_numpy()[_asked_again(seen, spec.user_retry)]
        _label(useful, by, again, USER_RETRY, counts)
    if spec.left is not None:
        named = seen[seen["asker"].str.startswith("c", na=False)]
        last = named[~named["asker"].duplicated(keep="last")]
        slow = last.index.to_numpy()[(last["latency_ms"] >= spec.left.after_ms).to_numpy(dtype=bool)]
        _label(useful, by, slow, LEFT, counts)
    out = rows.copy(deep=False)
    out["useful"] = pd.Series(useful, index=rows.index)
    out["useful_by"] = pd.Series(by, index=rows.index, dtype="string")
    return Labelled(out, counts)


@lru_cache(maxsize=4096)
def _trigrams(prompt: str) -> frozenset[str]:
    text = f"  {' '.join(_CLIP(prompt).lower().split())} "
    return frozenset(text[start : start + 3] for start in range(len(text) - 2))


def likeness(one: str, other: str) -> float:
    """Return how alike two prompts are, 0..1: Jaccard's share of common letter trigrams, case and spacing set aside.

    Of long prompts, head and tail are compared (`pointsman.text.Clip`). Prompts with other numbers are not alike: the
    same form filled in for the next order is no retry.
    """
    if one == other:
        return 1.0
    if _NUMBER.findall(_CLIP(one)) != _NUMBER.findall(_CLIP(other)):
        return 0.0
    a, b = _trigrams(one), _trigrams(other)
    both = len(a & b)
    return both / (len(a) + len(b) - both)


def _seen(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the answers that users saw, by asker and time; the index is the position in `rows`."""
    conversation = column(rows, "conversation_id").astype("string")
    user = column(rows, "user_id").astype("string")
    seen = pd.DataFrame(
        {
            "asker": ("c" + conversation).fillna("u" + user).to_numpy(dtype=object),
            "timestamp": rows["timestamp"].to_numpy(dtype="datetime64[us]"),
            "request_id": rows["request_id"].to_numpy(dtype=object),
            "prompt": rows["prompt"].to_numpy(dtype=object),
            "latency_ms": rows["latency_ms"].to_numpy(dtype=np.float64),
            "shown": column(rows, "chosen").astype("boolean").fillna(True).to_numpy(dtype=bool),
        }
    )
    seen = seen[seen["shown"] & seen["asker"].notna()]
    return seen.sort_values(["asker", "timestamp", "request_id"], kind="stable")


def _asked_again(seen: pd.DataFrame, spec: UserRetrySpec) -> NDArray[np.bool_]:
    asker = pd.factorize(seen["asker"])[0]
    request = pd.factorize(seen["request_id"])[0]
    arrived = seen["timestamp"].to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6
    answered = arrived + seen["latency_ms"].to_numpy() / 1e3
    prompts = seen["prompt"].tolist()
    long = np.array([len(str(prompt).strip()) >= spec.min_characters for prompt in prompts], dtype=bool)
    again = np.zeros(len(seen), dtype=bool)
    for ahead in range(1, _AHEAD + 1):
        if len(seen) <= ahead:
            break
        since_answer, since_asked = arrived[ahead:] - answered[:-ahead], arrived[ahead:] - arrived[:-ahead]
        near = (asker[ahead:] == asker[:-ahead]) & (request[ahead:] != request[:-ahead])
        near &= (since_answer <= spec.within_s) & (since_asked >= _SOONEST_S)
        near &= long[ahead:] & long[:-ahead] & ~again[:-ahead]
        for at in np.flatnonzero(near):
            again[at] = likeness(prompts[at], prompts[at + ahead]) >= spec.similarity
    return again


def _label(
    useful: NDArray[np.float64], by: NDArray[np.object_], at: NDArray[np.intp], name: str, counts: LabelCounts
) -> None:
    new = at[np.isnan(useful[at])]
    useful[new], by[new] = 0.0, name
    counts.by_rule.update(Counter({name: len(new)}) if len(new) else {})
