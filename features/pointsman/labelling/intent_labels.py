"""Intents from tags: where the source has no field for the intent, a key of its metadata or a tag may tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointsman.labelling.cells import Cells, column, filled

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from pointsman.ingest_config import IntentSpec

__all__ = ["tagged_intents"]


def tagged_intents(rows: pd.DataFrame, spec: IntentSpec) -> pd.Series:
    """Return the intent of each row, (n,): the column's own, else that of the first key or tag that tells one.

    Parameters
    ----------
    rows : (n,) DataFrame
        With ``tags`` (JSON text of a mapping of texts, "" for a bare tag) and ``intent``, where there are any.
    spec : IntentSpec
        Keys whose value is the intent; tags that are intents themselves. What is listed first goes first.
    """
    cells = Cells(column(rows, "tags"), [*spec.keys, *spec.tags])
    told = cells.spread([_intent(tags, spec) for tags in cells.parsed()], absent=None)
    return filled(column(rows, "intent"), told)


def _intent(tags: Mapping[str, Any], spec: IntentSpec) -> str | None:
    for key in spec.keys:
        told = str(tags.get(key, "")).strip()
        if told:
            return told
    return next((tag for tag in spec.tags if tags.get(tag) == ""), None)
