"""The bundle as MLflow serves it: ``mlflow models serve`` and ``mlflow.pyfunc.load_model`` route text.

MLflow imports this module by the name that a logged model carries; it needs the slim install and pandas.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pointsman.errors import PointsmanError
from pointsman.router import Router

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["COLUMNS", "RoutingModel"]

COLUMNS = (
    "model",
    "intent",
    "tier",
    "confidence",
    "p_useful",
    "expected_cost_usd",
    "fallbacks",
    "timeout_ms",
    "reason",
    "version",
)
"""Of an answer; what each is: `pointsman.decision.Decision`."""

_DEFAULTS: dict[str, Any] = {"modality": "text", "context_tokens": 0}


class RoutingModel:
    """A router with the interface that MLflow calls."""

    def __init__(self, router: Router) -> None:
        self.router = router

    def predict(
        self,
        model_input: pd.DataFrame | list[str] | str,
        params: Mapping[str, Any] | None = None,  # noqa: ARG002 - MLflow passes it
    ) -> pd.DataFrame:
        """Route each row.

        Parameters
        ----------
        model_input : pandas.DataFrame, or list of str, or str
            Column ``prompt``; optionally ``modality`` (text, image or audio; default text) and ``context_tokens``
            (default 0). A missing prompt is routed as an empty one.
        params : mapping, optional
            Not used.

        Returns
        -------
        pandas.DataFrame
            One row for each, the index of the input, `COLUMNS`; what is not known is None.

        Raises
        ------
        PointsmanError
            Where there is no column prompt, a modality is unknown, or context_tokens is negative or no whole number.
        """
        rows = model_input
        if isinstance(rows, str):
            rows = [rows]
        if not isinstance(rows, pd.DataFrame):
            rows = pd.DataFrame({"prompt": list(rows)})
        if "prompt" not in rows.columns:
            raise PointsmanError(f"column prompt is missing; columns are: {', '.join(map(str, rows.columns))[:200]}")
        facts = {name: _filled(rows, name, default) for name, default in _DEFAULTS.items()}
        prompts = [text if isinstance(text, str | bytes) else None for text in rows["prompt"]]
        decisions = [one.to_dict() for one in self.router.route_batch(prompts, **facts)]
        # Objects, not floats: None must leave the server as null, which NaN would not.
        cells = {name: pd.Series([one[name] for one in decisions], dtype=object) for name in COLUMNS}
        return pd.DataFrame(cells).set_index(rows.index)


def _filled(rows: pd.DataFrame, name: str, default: Any) -> list[Any]:
    if name not in rows.columns:
        return [default] * len(rows)
    values = [default if missing else value for value, missing in zip(rows[name], rows[name].isna(), strict=True)]
    if name == "context_tokens":
        bad = next((value for value in values if isinstance(value, str) or int(value) != value), None)
        if bad is not None:
            raise PointsmanError(f"context_tokens is {str(bad)[:40]!r}; a whole number is needed")
        return [int(value) for value in values]
    return values


def _load_pyfunc(data_path: str) -> RoutingModel:
    """Load the bundle of a logged model: what MLflow calls."""
    folder = Path(data_path)
    return RoutingModel(Router.load(folder))
