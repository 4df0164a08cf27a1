"""What is different about fresh traces, as a list of facts: columns, volume, intents, models, prices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pointsman.columns import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointsman.bundle import Bundle
    from pointsman.spec import RoutingSpec
    from pointsman.traces import TraceTable

__all__ = ["gone_models", "new_models", "what_changed"]

_VOLUME = 0.25
"""Change of the requests a day that is told."""


def gone_models(champion: Bundle, traces: TraceTable, spec: RoutingSpec) -> list[str]:
    """Return the champion's candidates that the spec no longer names, or the traces no longer have."""
    there = set(map(str, traces.rows["model"].unique()))
    return [name for name in champion.policy.models if name not in spec.candidates or name not in there]


def new_models(champion: Bundle, spec: RoutingSpec) -> list[str]:
    """Return the spec's candidates that the champion does not know."""
    return [name for name in spec.candidates if name not in champion.policy.models]


def what_changed(
    champion: Bundle, traces: TraceTable, spec: RoutingSpec, old: TraceTable | None = None
) -> list[dict[str, Any]]:
    """Return one entry for each thing that changed since the champion was fitted.

    Returns
    -------
    list of dict
        ``kind``: schema, volume, intents, models or prices; ``what``: the thing; ``before``, ``after``; ``text``.
    """
    found: list[dict[str, Any]] = []
    rows = traces.rows
    if len(traces.quarantine):
        share = len(traces.quarantine) / traces.rows_in
        found.append(_entry("schema", "rows put aside", None, share, f"{share:.1%} of the rows are put aside."))
    if old is not None:
        found += _schema(old.rows, rows)
    found += _volume(champion.manifest["provenance"].get("data") or {}, rows)
    present = set(map(str, rows["intent"].dropna().unique())) - {""}
    for name in sorted(present - set(champion.policy.intents)):
        count = int(rows.loc[rows["intent"] == name, "request_id"].nunique())
        found.append(_entry("intents", name, None, count, f"New intent {name}: {count:,} labelled requests."))
    for name in champion.policy.intents:
        if present and name not in present:
            found.append(_entry("intents", name, name, None, f"Intent {name} has no labelled request any more."))
    for name in gone_models(champion, traces, spec):
        found.append(_entry("models", name, name, None, f"Model {name} is gone."))
    there = set(map(str, rows["model"].unique()))
    for name in new_models(champion, spec):
        state = "with" if name in there else "WITHOUT"
        found.append(_entry("models", name, None, name, f"New model {name}, {state} rows in the traces."))
    return found + _prices(champion, spec)


def _schema(was: pd.DataFrame, now: pd.DataFrame) -> list[dict[str, Any]]:
    found = []
    for name in COLUMNS:
        before, after = (float(frame[name].notna().mean()) if name in frame else 0.0 for frame in (was, now))
        if abs(after - before) >= 0.1:
            text = f"Column {name} was known in {before:.0%} of the rows, now in {after:.0%}."
            found.append(_entry("schema", name, before, after, text))
    return found


def _volume(data: Mapping[str, Any], rows: pd.DataFrame) -> list[dict[str, Any]]:
    if not data.get("first") or not data.get("requests"):
        return []
    days = _days(pd.Timestamp(data["first"]), pd.Timestamp(data["last"]))
    was = data["requests"] / days
    times = rows["timestamp"]
    now = rows["request_id"].nunique() / _days(times.min(), times.max())
    if abs(np.log(now / was)) < np.log1p(_VOLUME):
        return []
    text = f"Requests a day: {was:,.0f} → {now:,.0f} ({100 * (now / was - 1):+.0f} %)."
    return [_entry("volume", "requests a day", was, now, text)]


def _days(first: pd.Timestamp, last: pd.Timestamp) -> float:
    return max((last - first).total_seconds() / 86_400, 1 / 24)


def _prices(champion: Bundle, spec: RoutingSpec) -> list[dict[str, Any]]:
    found = []
    for one in champion.policy.candidates:
        if one.name not in spec.candidates:
            continue
        for key in ("input_usd_per_mtok", "output_usd_per_mtok"):
            was, now = getattr(one, key), getattr(spec.candidates[one.name], key)
            if was != now:
                words = key.removesuffix("_usd_per_mtok")
                change = f" (× {now / was:.3g})" if was and now is not None else ""
                old, new = ("unknown" if price is None else f"{price:g}" for price in (was, now))
                text = f"Price of {one.name}, {words}: {old} → {new} USD per million tokens{change}."
                found.append(_entry("prices", f"{one.name} {words}", was, now, text))
    return found


def _entry(kind: str, what: str, before: Any, after: Any, text: str) -> dict[str, Any]:
    return {"kind": kind, "what": what, "before": before, "after": after, "text": text}
