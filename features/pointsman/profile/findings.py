"""What a person should do about the data: sentences drawn from the counts of a data report, the gravest first."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pointsman.profile.finding import SEVERITIES, Finding, named, share_text
from pointsman.profile.findings_traffic import traffic_findings
from pointsman.profile.overlap import MIN_LABELLED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.profile.finding import Report

__all__ = ["findings"]


def findings(report: Report) -> list[dict[str, Any]]:
    """Return the findings of a report (see `pointsman.profile.DataProfile.report`), each with the keys of `Finding`."""
    found = list(_aside(report))
    if report["rows"]:
        found += [one for topic in (_sources, _prices, _labels, _uneven) for one in topic(report)]
        found += traffic_findings(report)
    else:
        found.append(Finding("high", "no_rows", "No row was kept.", "See why rows were put aside.", 2.0))
    found.sort(key=lambda one: (SEVERITIES.index(one.severity), -one.weight))
    return [asdict(one) for one in found]


def _aside(report: Report) -> Iterator[Finding]:
    intake = report["intake"]
    aside: dict[str, int] = intake.get("aside") or {}
    gone = sum(aside.values())
    kept, rows_in = intake.get("kept", report["rows"]), intake.get("rows_in")
    if kept != report["rows"] or (rows_in is not None and rows_in != kept + gone):
        yield Finding(
            "high",
            "counts",
            f"The counts do not add up: {'?' if rows_in is None else rows_in} rows in, {kept} kept, {gone} put aside, "
            f"{report['rows']} profiled.",
            "Do not train on this table; report the fault with the name of the source's format.",
        )
    if gone:
        share = gone / (kept + gone)
        reason = max(aside, key=lambda name: aside[name])
        yield Finding(
            "high" if share > 0.1 else "medium" if share > 0.01 else "low",
            "aside",
            f"{share_text(share)} of the rows ({gone:,} of {kept + gone:,}) were put aside; most often "
            f"({aside[reason]:,}): {reason}.",
            "The quarantine file names the line, the rule and the value of each.",
            share,
        )


def _sources(report: Report) -> Iterator[Finding]:
    intake = report["intake"]
    spans, idle = intake.get("spans") or 0, intake.get("spans_without_call") or 0
    if spans and idle > 0.9 * spans:
        yield Finding(
            "medium",
            "spans_without_call",
            f"{share_text(idle / spans)} of the spans belong to no request that a model answered.",
            "Check that the export holds the spans of the model calls, not only those of the framework.",
            idle / spans,
        )
    unread: dict[str, int] = intake.get("scores_unread") or {}
    if unread:
        severe = (report["labels"]["unlabelled_share"] or 0) > 0.1
        names = named([f"{name} ({count:,})" for name, count in sorted(unread.items(), key=lambda item: -item[1])])
        yield Finding(
            "medium" if severe else "low",
            "scores_unread",
            f"The source holds scores that no rule reads: {names}.",
            "Where they tell whether an answer served the user, name them under useful in the ingest config.",
        )


def _prices(report: Report) -> Iterator[Finding]:
    missing = {name: count for name, count in (report["intake"].get("prices_missing") or {}).items() if count}
    bare = {entry["model"]: entry["rows"] for entry in report["models"] if not entry["priced"]}
    without = {**bare, **missing}
    if without:
        many = "models have" if len(without) > 1 else "model has"
        names = named(
            [f"{name} ({count:,} rows)" for name, count in sorted(without.items(), key=lambda item: -item[1])]
        )
        tokens = [one["present"] for one in report["coverage"] if one["column"] in {"input_tokens", "output_tokens"}]
        yield Finding(
            # With tokens, the prices of a spec still make a cost.
            "medium" if min(tokens) > 0.9 else "high",
            "prices_missing",
            f"{len(without)} {many} no price: {names}.",
            "Give the rates in the price table or the spec's candidates; without a cost, a model cannot be one.",
            sum(without.values()) / report["rows"],
        )
    for entry in report["models"]:
        gap = 1 - entry["priced"] / entry["rows"]
        if entry["model"] not in without and gap > 0.01:
            yield Finding(
                "medium",
                "cost_unknown",
                f"{share_text(gap)} of the rows of {entry['model']} have no known cost.",
                "They lack cost_usd, and the tokens to price them by: ask the source for either.",
                gap,
            )


def _labels(report: Report) -> Iterator[Finding]:
    labels = report["labels"]
    missing = labels["unlabelled_share"]
    if not labels["labelled"]:
        yield Finding(
            "high",
            "unlabelled",
            "No row says whether the answer was useful.",
            "Give a rule under useful in the ingest config (feedback, a score with a threshold, a judge, retries by "
            "the user). Unlabelled rows train the intent head only.",
            1.0,
        )
        return
    if missing:
        yield Finding(
            "high" if missing > 0.5 else "medium" if missing > 0.1 else "low",
            "unlabelled",
            f"{share_text(missing)} of the rows have no useful.",
            "They train the intent head and watch for drift; a further rule under useful in the ingest config makes "
            "them count.",
            missing,
        )
    for value, word in (("one", "useful"), ("zero", "useless")):
        if labels[value] == labels["labelled"]:
            yield Finding(
                "high",
                "labels_constant",
                f"Every labelled answer is {word}.",
                "A rule that knows one answer only teaches nothing: look at the share of each rule.",
                1.0,
            )
    if labels["one"] < labels["labelled"] and labels["useful_rate"] > 0.98:
        yield Finding(
            "medium",
            "few_useless",
            f"Only {share_text(1 - labels['useful_rate'])} of the labelled answers are useless.",
            "Differences between models will be hard to see; check that the rules notice what went wrong.",
        )
    known = labels["hallucinated_known"] or 0
    if known < 0.5:
        yield Finding(
            "low",
            "hallucinated_unknown",
            "P(hallucinated) is unknown."
            if not known
            else f"Only {share_text(known)} of the rows tell of hallucination.",
            "A hallucination_rate constraint needs it: give a score or a judge's verdict under hallucinated.",
        )


def _uneven(report: Report) -> Iterator[Finding]:
    shares = {e["model"]: e["labelled"] / e["rows"] for e in report["models"] if e["rows"] >= MIN_LABELLED}
    if len(shares) > 1 and report["labels"]["labelled"]:
        most, least = max(shares, key=lambda name: shares[name]), min(shares, key=lambda name: shares[name])
        if shares[most] - shares[least] > 0.2:
            yield Finding(
                "medium",
                "labels_uneven",
                f"Models are labelled unevenly: {share_text(shares[most])} of the rows of {most}, "
                f"{share_text(shares[least])} of {least}.",
                "Where one model is labelled more, useful rates do not compare: label a random sample of each.",
                shares[most] - shares[least],
            )
