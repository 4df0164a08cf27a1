"""Findings about the requests: how many, of what kind, tried with which models, when, and how often the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.profile.finding import Finding, named, share_text
from pointsman.profile.overlap import MIN_LABELLED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.profile.finding import Report

__all__ = ["traffic_findings"]

_MIN_REQUESTS = 100
"""As `fit` needs."""

_FEW_REQUESTS = 1000
_FEW_INTENTS = 60
_MIN_INTENT = 10
"""Requests below which `fit` merges an intent into «other»."""


def traffic_findings(report: Report) -> Iterator[Finding]:
    """Yield what is to say of the requests of a report with at least one row."""
    for topic in (_requests, _intents, _tries, _propensities, _repeats, _times, _answers):
        yield from topic(report)


def _requests(report: Report) -> Iterator[Finding]:
    count = report["requests"]
    if count < _FEW_REQUESTS:
        yield Finding(
            "high" if count < _MIN_REQUESTS else "medium",
            "few_requests",
            f"There are {count:,} requests.",
            f"fit needs {_MIN_REQUESTS}; narrow intervals take thousands. Add more of the log.",
        )
    if report["kind"] == "one model":
        yield Finding(
            "high",
            "one_model",
            f"Only {report['models'][0]['model']} answers: there is nothing to choose from.",
            "Replay a sample of the requests on another candidate, or let production try one.",
            1.0,
        )


def _intents(report: Report) -> Iterator[Finding]:
    known = [entry for entry in report["intents"] if entry["intent"] is not None]
    missing = sum(entry["share"] for entry in report["intents"] if entry["intent"] is None)
    if missing > 0:
        yield Finding(
            "medium" if missing > 0.1 else "low",
            "intent_missing",
            "No request has an intent." if not known else f"{share_text(missing)} of the requests have no intent.",
            "Name a tag or a column under intent in the ingest config; without one, all requests are one kind.",
            missing,
        )
    if len(known) > _FEW_INTENTS:
        yield Finding(
            "medium",
            "many_intents",
            f"There are {len(known)}{' or more' if known[-1]['intent'] == '(others)' else ''} intents.",
            "A few dozen are what a router can learn: map them to groups under intent in the ingest config.",
        )
    rare = [entry["intent"] for entry in known if entry["requests"] < _MIN_INTENT]
    if rare:
        s = "s have" if len(rare) > 1 else " has"
        yield Finding(
            "low",
            "rare_intents",
            f"{len(rare)} intent{s} fewer than {_MIN_INTENT} requests: {named(rare)}.",
            "fit merges them into «other»; group them, or bring more of them.",
        )


def _tries(report: Report) -> Iterator[Finding]:
    if report["kind"] not in {"logs", "mixed"} or not report["labels"]["labelled"]:
        return
    overlap = report["overlap"]
    entries = [entry for entry in overlap["intents"] if entry["intent"] is not None] or overlap["intents"]
    for at, model in enumerate(overlap["models"]):
        verdicts = {entry["intent"] or "no intent": entry["cells"][at]["verdict"] for entry in entries}
        never = [intent for intent, verdict in verdicts.items() if verdict == "empty"]
        thin = [intent for intent, verdict in verdicts.items() if verdict in {"thin", "unlabelled"}]
        parts = [f"was never tried on {len(never)} of {len(verdicts)} intents ({named(never)})"] if never else []
        if thin:
            parts.append(f"has fewer than {MIN_LABELLED} labelled answers on {len(thin)} ({named(thin)})")
        if parts:
            judged = len(verdicts) - len(never) - len(thin)
            yield Finding(
                "medium" if judged else "high",
                "not_tried",
                f"{model} {' and '.join(parts)}.",
                "The logs cannot judge it there: pin these intents to a model in the spec's rules, or let production "
                "try it on a few percent of them and log the propensity.",
                1 - judged / len(verdicts),
            )


def _propensities(report: Report) -> Iterator[Finding]:
    served, stated = report["overlap"]["served"], report["overlap"]["propensities"]
    if report["kind"] not in {"logs", "mixed"} or not served:
        return
    if stated < 0.9 * served:
        yield Finding(
            "medium",
            "propensity_missing",
            "No row says with which propensity production chose."
            if not stated
            else f"{share_text(1 - stated / served)} of the served rows have no propensity.",
            "Let the gateway log the probability of its choice; until then it is estimated, and checked.",
            1 - stated / served,
        )
    if not stated:
        return
    lowest = min(
        cell["propensity_min"]
        for entry in report["overlap"]["intents"]
        for cell in entry["cells"]
        if cell["propensity_min"] is not None
    )
    if lowest >= 0.999:
        yield Finding(
            "high",
            "no_exploration",
            "Production never tried anything else: each logged propensity is 1.",
            "Such a log cannot tell what another model would have done: send a few percent at random, or replay some.",
            1.0,
        )
    elif lowest < 0.01:
        yield Finding(
            "low",
            "small_propensity",
            f"Propensities go down to {lowest:.2g}.",
            f"One such request stands for {1 / lowest:,.0f}: intervals will be wide."
            if lowest
            else "A served row with propensity 0 contradicts itself: ask who logs it.",
        )


def _repeats(report: Report) -> Iterator[Finding]:
    share = report["duplicates"]["share"]
    if share > 0.05:
        yield Finding(
            "medium" if share > 0.3 else "low",
            "duplicates",
            f"{share_text(share)} of the requests have a prompt that another one has too.",
            "A response cache may serve them; as evidence, they count for less than their number.",
            share,
        )
    last = report["slices"][-1]
    if len(report["slices"]) > 1 and last["share"] and last["share"] > 0.02:
        yield Finding(
            "medium" if last["share"] > 0.1 else "low",
            "leakage",
            f"{share_text(last['share'])} of the requests of the {last['name']} slice have a prompt that also stands "
            "in an earlier slice.",
            "The figures hold for traffic that repeats itself as much. For new prompts, drop the repeats, or set "
            "certificate: cross_fitted, whose folds keep equal prompts together.",
            last["share"],
        )


def _times(report: Report) -> Iterator[Finding]:
    time = report["time"]
    if time["gaps"]:
        longest = time["gaps"][0]
        count = time["gaps_total"]
        yield Finding(
            "medium" if longest["hours"] > 7 * 24 else "low",
            "gaps",
            f"For more than a day nothing came, {count} time{'s' * (count > 1)}; the longest, "
            f"{longest['hours'] / 24:.1f} days, from {longest['start'][:16].replace('T', ' ')} UTC.",
            "If production ran then, the export lacks it, and slices of time compare unlike days.",
        )
    if time["days"] < 1:
        yield Finding(
            "low",
            "short_span",
            f"All requests came within {max(24 * time['days'], 0.1):.1f} hours.",
            "A week shows what days and hours differ in.",
        )


def _answers(report: Report) -> Iterator[Finding]:
    if report["cache_hits"]:
        share = report["cache_hits"] / report["rows"]
        yield Finding(
            "medium" if share > 0.05 else "low",
            "cache_hits",
            f"{share_text(share)} of the rows were answered by a response cache.",
            "Their latency and cost are not the model's: see cached_answers in the ingest config.",
            share,
        )
    still = [entry["model"] for entry in report["models"] if entry["p95_ms"] == 0]
    if still:
        yield Finding(
            "medium",
            "no_latency",
            f"Latencies of {named(still)} are 0.",
            "A latency constraint would mean nothing for it.",
        )
    free = [entry["model"] for entry in report["models"] if entry["priced"] and entry["cost_usd"] == 0]
    if free:
        yield Finding(
            "medium",
            "no_cost",
            f"By its rows, {named(free)} costs nothing.",
            "If the source writes 0 for «not known», give a price; for a model of your own, what its hours cost you.",
        )
