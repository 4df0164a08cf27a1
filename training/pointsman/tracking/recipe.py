"""The recipe of a fit: everything that its bundle follows from, as one JSON document beside the spec."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman.fingerprint import fingerprint
from pointsman.fit import FitOptions

if TYPE_CHECKING:
    from pointsman.encoders import TransformerEncoder
    from pointsman.traces import TraceTable

__all__ = ["PLACES", "Recipe"]

PLACES = ("cache", "problem")
"""Options that say where something lies and change nothing of what comes out."""


@dataclass(frozen=True)
class Recipe:
    """What a fit was given.

    Attributes
    ----------
    traces : str or None
        Absolute path of the trace table; None where it came from memory.
    fingerprint : str
        Of its usable rows.
    rows_in : int
        Rows read, those put aside included.
    encoder : dict
        ``name``; ``source``: as the user named it, None for the packaged one; ``sha256`` of weights and tokenizer.
    options : dict
        Of the fit, `PLACES` left out: plain JSON values.
    """

    traces: str | None
    fingerprint: str
    rows_in: int
    encoder: dict[str, Any]
    options: dict[str, Any]

    @classmethod
    def of(cls, traces: TraceTable, source: Path | None, encoder: TransformerEncoder, options: FitOptions) -> Recipe:
        """Return the recipe of a fit that is about to begin."""
        said = {one.name: getattr(options, one.name) for one in fields(options) if one.name not in PLACES}
        return cls(
            traces=None if source is None else str(source.resolve()),
            fingerprint=fingerprint(traces.rows),
            rows_in=traces.rows_in,
            encoder={"name": encoder.name, "source": _plain(encoder.source), "sha256": encoder.identity},
            options={name: _plain(value) for name, value in said.items()},
        )

    def to_json(self) -> str:
        """Return the recipe as JSON."""
        return json.dumps({one.name: getattr(self, one.name) for one in fields(self)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Build a recipe from what `to_json` gave.

        Raises
        ------
        ValueError
            Where it is not in that form.
        """
        document = json.loads(text)
        if not isinstance(document, Mapping) or set(document) != {one.name for one in fields(cls)}:
            raise ValueError("not a recipe")
        return cls(**document)

    def fit_options(self, **places: Any) -> FitOptions:
        """Return the options, with `places` beside them.

        Raises
        ------
        ValueError
            Where this release knows no such option.
        """
        known = {one.name: one for one in fields(FitOptions)}
        unknown = set(self.options) - set(known)
        if unknown:
            raise ValueError(f"options that this release does not know: {', '.join(sorted(unknown))}")
        values = {name: _as_before(value, known[name]) for name, value in self.options.items()}
        return FitOptions(**values, **places)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _as_before(value: Any, field: Any) -> Any:
    """Turn JSON's lists back into tuples, and texts into paths where the option is one."""
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, str) and "Path" in str(field.type):
        return Path(value)
    if isinstance(value, int) and not isinstance(value, bool) and field.default is not MISSING:
        return type(field.default)(value) if isinstance(field.default, float) else value
    return value
