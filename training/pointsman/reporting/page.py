"""The report page: one HTML file without scripts, for phone, screen and paper; nothing from the net."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman.errors import PointsmanError, TraceError
from pointsman.page.environment import page_environment
from pointsman.reporting.numbers import change, count, ms, per_thousand, rate, share, usd
from pointsman.reporting.state import monthly, state_of
from pointsman.reporting.svg import frontier, reliability_diagram
from pointsman.reporting.under_load import load_curve, load_lines, load_rows
from pointsman.reporting.words import accepted, headline, limits, next_steps, risks, savings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Environment

__all__ = ["report_page", "write_page"]

NEEDED = ("verdict", "before", "after", "change", "baselines", "against", "constraints", "routed", "intents", "moved")
CHIPS = {
    "cannot_tell": "cannot tell",
    "broken": "does not hold",
    "missed": "missed",
    "unproven": "not proven",
    "nothing_learned": "no better than a plain rule",
    "holds": "holds",
}
FIGURES = (
    ("useful_rate", "Useful answers", "share", ("useful",)),
    ("cost", "Cost a month", "usd", ("cost_usd", "input_tokens", "output_tokens")),
    ("cost_per_useful", "Cost of 1,000 useful answers", "usd", ("cost_usd", "input_tokens", "output_tokens", "useful")),
    ("p50_ms", "Median latency", "ms", ("latency_ms",)),
    ("p95_ms", "P95 latency", "ms", ("latency_ms",)),
    ("hallucination_rate", "Hallucinated", "share", ("hallucinated",)),
    ("errors", "Errors and timeouts", "share", ("status",)),
)
"""Rows of the before/after table: key, name, kind, and the columns of the traces that each comes from."""


def report_page(
    report: Mapping[str, Any],
    identity: Mapping[str, Any],
    *,
    overhead: Mapping[str, Any] | None = None,
    audit: Mapping[str, Any] | None = None,
    load: Mapping[str, Any] | None = None,
    examples: Sequence[Mapping[str, Any]] = (),
    notes: Sequence[str] = (),
    now: datetime | None = None,
) -> str:
    """Return the page. Every name in it is escaped, and no prompt stands in it but those of `examples`.

    Parameters
    ----------
    report : mapping
        A replay, see `pointsman.report.before_after`.
    identity : mapping
        The bundle's manifest: ``name, created, sha256, provenance``.
    overhead : mapping, optional
        See `pointsman.reporting.overhead`.
    audit : mapping, optional
        `Audit.to_dict`.
    load : mapping, optional
        What ``pointsman load rate`` or ``replay`` found.
    examples : sequence of mapping
        See `pointsman.reporting.examples`.
    notes : sequence of str
        Sentences that stand beneath the verdict, such as that the data are simulated.
    now : datetime, optional
        Of the report; the present where it is not given.

    Raises
    ------
    PointsmanError
        Where the replay was written by an older release.
    """
    absent = [key for key in (*NEEDED, "reliability", "errors", "span") if key not in report]
    if absent:
        raise PointsmanError(f"the replay has no {absent[0]!r}: an older release wrote it; replay the bundle again")
    now = now or datetime.now(UTC)
    numbers = {name: at for at, name in enumerate((n for n in report["baselines"] if n.startswith("always:")), start=1)}
    last = datetime.fromisoformat(report["span"]["last"]).replace(tzinfo=UTC)
    age = (now - last).total_seconds() / 86_400
    provenance = identity.get("provenance") or {}
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            report=report,
            state=state_of(report),
            chip=CHIPS[state_of(report)],
            headline=headline(report),
            savings=savings(report),
            risks=risks(report),
            steps=next_steps(report),
            rows=_figures(report),
            limits=limits(report),
            month=monthly(report),
            picture=frontier(report, numbers),
            rivals=_rivals(report, numbers),
            routed=_routed(report),
            intents=report["intents"],
            diagrams=[(one, reliability_diagram(one)) for one in report["reliability"] if one["bins"]],
            accepted=accepted(report, overhead, age),
            audit=audit,
            load=None if load is None else _load(load),
            examples=examples,
            notes=notes,
            identity=identity,
            provenance=provenance,
            data=provenance.get("data") or {},
            created=now,
            confidence=f"{100 * report['change']['confidence']:g} %",
        )
    )


def write_page(text: str, path: str | Path) -> Path:
    """Write the page; its folder is made where it is missing.

    Raises
    ------
    TraceError
        Where the file cannot be written.
    """
    file = Path(path)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise TraceError(f"{file}: cannot be written: {error.strerror or error}") from error
    return file


@cache
def _environment() -> Environment:
    environment = page_environment(Path(__file__).parent)
    environment.filters |= {"share": share, "count": count, "ms": ms, "usd": usd, "per_thousand": per_thousand}
    environment.filters |= {"rate": rate, "day": _day, "change": change}
    return environment


def _figures(report: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the rows of the before/after table of which anything is known."""
    month, rows = monthly(report), []
    for key, name, kind, columns in FIGURES:
        if key == "errors":
            was, now, entry = (report["errors"][side] for side in ("before", "after", "change"))
            told = [share(was), share(now)]
        elif key == "cost":
            entry = report["change"]["cost_usd"]
            amounts = [report[side]["cost_usd"] / report[side]["requests"] for side in ("before", "after")]
            told = [usd(one * month[0]) if month else f"{usd(one)} a request" for one in amounts]
            name = name if month else "Cost"
        else:
            entry, values = report["change"][key], [report[side][key] for side in ("before", "after")]
            form = per_thousand if key == "cost_per_useful" else {"share": share, "ms": ms}[kind]
            told = [form(value) for value in values]
        if told[0] == told[1] == "–":
            continue
        moved, ends = change(entry, kind)
        modelled = [column for column in columns if column in report["modelled"]]
        how = f"modelled: {', '.join(modelled)}" if modelled else "measured"
        if report["off_policy"] is not None:
            how = "estimated from logs" if not modelled else f"estimated from logs; {how}"
        rows.append({"name": name, "before": told[0], "after": told[1], "change": moved, "ends": ends, "how": how})
    return rows


def _rivals(report: Mapping[str, Any], numbers: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return a row for each baseline, with how the policy stands against the content-blind ones in net value."""
    month, rows = monthly(report), []
    marks = {"oracle": "★", "best_per_intent": "▲", "random_same_cost": "●"}
    words = {
        "oracle": "oracle: the cheapest useful answer, in hindsight",
        "best_per_intent": "one fixed model per intent",
        "random_same_cost": "a random mix at the same cost",
    }
    entries = {"before": report["before"], "after": report["after"]} | dict(report["baselines"])
    for name, one in entries.items():
        if one is None:
            continue
        mean = one["cost_usd"] / one["requests"]
        rows.append(
            {
                "mark": {"before": "■", "after": "◆"}.get(name, str(numbers.get(name, marks.get(name, "")))),
                "name": {"before": f"before: {report['baseline']}", "after": "after: this bundle"}.get(
                    name, words.get(name, name.removeprefix("always:"))
                ),
                "own": name in {"before", "after"},
                "useful": share(one["useful_rate"]),
                "cost": usd(mean * month[0]) if month else usd(mean),
                "per": per_thousand(one["cost_per_useful"]),
                "p95": ms(one["p95_ms"]),
                "stands": report["against"].get(name, {}).get("stands", ""),
            }
        )
    return rows


def _routed(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the matrix of believed intents and chosen models: the busiest first, without models that get nothing."""
    table: Mapping[str, Mapping[str, int]] = report["routed"]
    totals: dict[str, int] = dict.fromkeys(report["moved"]["models"], 0)
    for counts in table.values():
        for model, requests in counts.items():
            totals[model] += requests
    models = [model for model, total in totals.items() if total]
    rows = [
        {
            "intent": intent,
            "requests": sum(counts.values()),
            "cells": [
                {"count": counts.get(model, 0), "share": counts.get(model, 0) / sum(counts.values())}
                for model in models
            ],
        }
        for intent, counts in sorted(table.items(), key=lambda item: -sum(item[1].values()))
    ]
    whole = max(sum(totals.values()), 1)
    return {
        "models": models,
        "idle": [model for model, total in totals.items() if not total],
        "rows": rows,
        "totals": [{"model": model, "count": totals[model], "share": totals[model] / whole} for model in models],
    }


def _load(load: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part under load.

    Raises
    ------
    PointsmanError
        Where the document is no load replay.
    """
    try:
        return {"lines": load_lines(load), "curve": load_curve(load), "rows": load_rows(load)}
    except (KeyError, TypeError, IndexError) as error:
        raise PointsmanError(f"the load replay is not one of pointsman load replay or rate: {error!r}") from error


def _day(iso: str | None) -> str:
    return "–" if not iso else str(iso)[:16].replace("T", " ")
