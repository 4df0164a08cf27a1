"""Redaction on the way in: prompts, further texts, users, and what is put aside."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import pandas as pd

from pointsman.columns import COLUMNS
from pointsman.redaction.redactor import Redactor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pointsman.spans import Span

__all__ = ["Redaction"]

_KEPT = set(COLUMNS) - {"prompt"}


class Redaction:
    """Replaces what must not be kept; does nothing where no kind is named.

    Users become pseudonyms, equal ones equal, so that what belongs together stays so. Names of models and intents and
    the identifiers of requests and conversations stay as they are.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        self._redactor = Redactor(kinds) if kinds else None

    @property
    def counts(self) -> Counter[str]:
        """How many of each kind were replaced so far."""
        return Counter() if self._redactor is None else self._redactor.counts

    def of_spans(self, spans: Sequence[Span]) -> None:
        """Redact in place."""
        if self._redactor is None:
            return
        for span, prompt in zip(spans, self._redactor([one.prompt or "" for one in spans]), strict=True):
            span.prompt = None if span.prompt is None else prompt
            span.user_id = None if span.user_id is None else _pseudonym(span.user_id)
            if span.tags:
                span.tags = dict(zip(span.tags, self._redactor(list(span.tags.values())), strict=True))

    def of_rows(self, rows: pd.DataFrame) -> None:
        """Redact in place: the prompt and every further column of texts."""
        if self._redactor is None:
            return
        for name in rows.columns:
            if name == "user_id":
                rows[name] = rows[name].map(_pseudonym, na_action="ignore").astype("string")
            elif name not in _KEPT and (rows[name].dtype == object or pd.api.types.is_string_dtype(rows[name].dtype)):
                at = rows[name].map(lambda value: isinstance(value, str)).to_numpy(dtype=bool)
                if at.any():
                    rows.loc[at, name] = self._redactor(rows.loc[at, name].tolist())

    def of_entry(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is put aside, every text in it redacted."""
        if self._redactor is None:
            return dict(entry)
        return {key: self._inside(value) for key, value in entry.items()}

    def _inside(self, value: Any) -> Any:
        if isinstance(value, str) and self._redactor is not None:
            return self._redactor([value])[0]
        if isinstance(value, dict):
            return {key: self._inside(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self._inside(one) for one in value]
        return value


def _pseudonym(user: str) -> str:
    return hashlib.blake2b(user.encode("utf-8", "replace"), digest_size=8).hexdigest()
