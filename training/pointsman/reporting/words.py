"""The report in words: the verdict, what it saves, at what risk, what to do next, and which trade-offs are accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointsman.report import RIVALS
from pointsman.reporting.numbers import change, count, ms, rate, relative, share, spread, usd
from pointsman.reporting.state import monthly, state_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["accepted", "headline", "limits", "next_steps", "risks", "savings"]

CONSTRAINTS = {
    "p95_latency_ms": "the limit of the P95 latency",
    "useful_rate": "the limit of lost usefulness",
    "hallucination_rate": "the limit of hallucinations",
    "budget_usd_per_day": "the daily budget",
}

WORST = 3
"""Intents that a sentence names."""


def headline(report: Mapping[str, Any]) -> str:
    """Return the first line: the verdict in words, with the intervals that it rests on."""
    named = {
        verdict: " and ".join(
            CONSTRAINTS.get(one["name"], one["name"]) for one in report["constraints"] if one["verdict"] == verdict
        )
        for verdict in ("broken", "missed", "held")
    }
    figures = f"{_cost(report)}, {_useful(report)}{_late(report)}"
    certificate = report["certificate"]
    lead = {
        "cannot_tell": f"Cannot tell: {_first_reason(report)}. Estimated: {figures}.",
        "broken": f"Do not ship: {named['broken']} is broken. {figures}.",
        "missed": f"Not yet: {named['missed']} is missed, by no more than chance explains. {figures}.",
        "unproven": f"Promising, not proven: {figures}, but {_unproven(report, named['held'])}.",
        "nothing_learned": f"It saves, but no more than a plain rule would: {figures}; {_rival(report)} does as well.",
        "holds": f"It holds: {figures}.",
    }[state_of(report)]
    if state_of(report) == "holds" and certificate is not None and certificate["promises"]:
        confidence = f"{100 * certificate['confidence']:g} %"
        lead = f"{lead[:-1]}; every limit is certified with {confidence} confidence."
    return lead


def savings(report: Mapping[str, Any]) -> list[str]:
    """Return what it saves, in sentences."""
    cost, found = report["change"]["cost_usd"], []
    month = monthly(report)
    if cost is not None and month is not None:
        traffic, source = month
        was, now = (report[side]["cost_usd"] / report[side]["requests"] * traffic for side in ("before", "after"))
        word = "less" if now <= was else "more"
        low, high = sorted(abs(cost[end]) / report["requests"] * traffic for end in ("low", "high"))
        crosses = cost["low"] < 0 < cost["high"]
        span = "the interval includes no change" if crosses else f"{usd(low)} to {usd(high)}"
        found.append(
            f"{usd(abs(was - now))} {word} a month ({span}): {usd(was)} before, {usd(now)} after, for {rate(traffic)} "
            f"requests a month ({source})."
        )
    per = report["change"]["cost_per_useful"]
    if per is not None and "ratio" in per:
        found.append(f"A useful answer costs {' '.join(_size(per))}.")
    late = report["change"]["p95_ms"]
    if late is not None and "ratio" in late:
        found.append(
            f"The slowest twentieth of answers takes at least {ms(report['after']['p95_ms'])}, not "
            f"{ms(report['before']['p95_ms'])} ({' '.join(change(late, 'ms'))})."
        )
    return found


def risks(report: Mapping[str, Any]) -> list[str]:
    """Return at what risk it saves, in sentences."""
    found = []
    useful = report["change"]["useful_rate"]
    if useful is not None:
        low = 100 * useful["low"]
        worst = f"at worst {abs(low):.1f} points are lost" if low < 0 else f"at worst {low:.1f} points are still gained"
        found.append(f"Useful answers: {worst} ({100 * report['change']['confidence']:g} % interval).")
    lost, gained = _sum(report, "lost"), _sum(report, "gained")
    if lost is not None and gained is not None:
        found.append(
            f"{count(lost)} of {report['requests']:,} requests lose their useful answer, {count(gained)} gain one"
            f"{_where(report)}."
        )
    less = [one for one in report["intents"] if one["stands"] == "less useful"]
    if less:
        names = ", ".join(_name(one) for one in less[:WORST])
        more = f" and {len(less) - WORST} more" if len(less) > WORST else ""
        found.append(f"Proven less useful in {names}{more}.")
    else:
        found.append("In no intent is a loss proven (tests of all intents together).")
    hallucinated = report["change"]["hallucination_rate"]
    if hallucinated is not None:
        told, ends = change(hallucinated, "share")
        proven = hallucinated["low"] > 0 or hallucinated["high"] < 0
        found.append(f"Hallucinations: {told} {ends}{'' if proven else ', which may be chance'}.")
    return found


def limits(report: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what was asked for, limit by limit: ``name, verdict``, and what was measured, is certain, is allowed."""
    confidence, found = f"{100 * report['change']['confidence']:g} %", []
    promises = {one["name"]: one for one in (report["certificate"] or {}).get("promises", ())}
    for one in report["constraints"]:
        form = usd if one["unit"].startswith("USD") else share
        value, bound, limit = (form(one[key]).replace("-", "−") for key in ("value", "bound", "limit"))
        text = f"{one['unit'][:1].upper()}{one['unit'][1:]}: {value} measured here"
        text += f", with {confidence} confidence at most {bound}"
        promise = promises.get(one["name"])
        if promise is not None:
            text += f"; on the requests of the certificate at most {form(promise['bound']).replace('-', '−')}"
        found.append(
            {
                "name": CONSTRAINTS.get(one["name"], one["name"]).removeprefix("the "),
                "verdict": one["verdict"],
                "text": f"{text}; allowed {limit}.",
            }
        )
    return found


def next_steps(report: Mapping[str, Any]) -> list[str]:
    """Return what to do next, in sentences; the first is the most important."""
    state, certificate = state_of(report), report["certificate"]
    more = None if certificate is None else certificate.get("more_requests")
    watch = "Replay next week's traces before trusting the figures for longer: pointsman replay, or retrain."
    if state == "cannot_tell":
        plan = report["off_policy"].get("plan") or {}
        sentence = plan.get("sentence") or "let production try the other models on a small share of the traffic"
        return [f"Explore: {sentence}.", "Then fit again on the new logs."]
    if state in {"broken", "missed"}:
        steps = ["Do not promote this bundle.", "See which intents lose below; loosen the limit, or pin those intents."]
        return [*steps, "Fit again with newer or more requests."]
    if state == "unproven":
        wanted = f"about {more:,} more" if more else "more"
        kinds = "requests that every candidate answers, or that production served with a known propensity"
        return [
            f"Collect {wanted} {kinds}, and fit again.",
            "Until then, run it in shadow, or as a canary on a small share of the traffic.",
        ]
    if state == "nothing_learned":
        return [f"Use the plain rule ({_rival(report)}), or collect more requests and fit again.", watch]
    losing = [one["intent"] for one in report["intents"] if one["stands"] == "less useful" and one["intent"]]
    pin = f"pointsman policy --set pinned_intents.{losing[0]}=MODEL" if losing else ""
    keep = (
        [f"Decide whether {', '.join(losing[:WORST])} may lose, or pin it to another model ({pin})."] if losing else []
    )
    return [
        *keep,
        "Run it in shadow beside production for a few days, then as a canary on a tenth of the traffic.",
        "Keep the kill-switch at hand, and watch the decision log for intents that grow.",
        watch,
    ]


def accepted(
    report: Mapping[str, Any], overhead: Mapping[str, Any] | None, age_days: float | None
) -> list[tuple[str, str]]:
    """Return the trade-offs that shipping accepts: a name and a sentence each."""
    found = [("Routing overhead", _overhead(overhead, report))]
    fresh = "The age of the data is not known."
    if age_days is not None:
        fresh = (
            f"The last request that was replayed is {age_days:,.0f} days older than this report; what changed since "
            "(prompts, models, prices) is not in it."
        )
    found.append(("Freshness of the data", fresh))
    found.append(("Failures of small models", _failures(report)))
    errors = report["errors"]
    if errors["after"] is not None:
        ends = f"{share(errors['after'])} of the requests end without an answer, fallbacks included"
        found.append(("Errors and timeouts", f"{ends}; before, {share(errors['before'])}."))
    modelled = ", ".join(report["modelled"])
    words = (
        f"Modelled, not measured, by the spec: {modelled}."
        if modelled
        else "The spec marks no column as modelled; prices are its own where the traces carry no cost."
    )
    if report["off_policy"] is not None:
        words += " What other models would have done is estimated from the logs."
    found.append(("What is modelled", words))
    unproven = (report["certificate"] or {}).get("sentence")
    if unproven and "spare another" in unproven:
        found.append(("Savings left on the table", f"{unproven.split(';')[-1].strip().capitalize()}."))
    few = report["change"]["few_clusters"]
    if few:
        found.append(("Few users", f"The requests come from {report['change']['clusters']} users or conversations."))
    return found


def _cost(report: Mapping[str, Any]) -> str:
    entry = report["change"]["cost_usd"]
    if entry is None or "ratio" not in entry:
        return "the change of cost cannot be told"
    size, word, ends = _size(entry)
    return f"{size} {word} cost {ends}"


def _size(entry: Mapping[str, float]) -> tuple[str, str, str]:
    """Return a ratio's change as a size, less or more, and the interval of that size."""
    cut = entry["ratio"] <= 1
    ends = sorted(100 * (1 - entry[key]) * (1 if cut else -1) for key in ("ratio_low", "ratio_high"))
    interval = f"[{ends[0]:.0f}, {ends[1]:.0f}]".replace("-", "−")
    return f"{abs(100 * (1 - entry['ratio'])):.0f} %", "less" if cut else "more", interval


def _useful(report: Mapping[str, Any]) -> str:
    entry = report["change"]["useful_rate"]
    if entry is None:
        return "the change of usefulness cannot be told"
    points, ends = 100 * entry["difference"], spread(100 * entry["low"], 100 * entry["high"])
    word = "more" if points >= 0 else "fewer"
    return f"{abs(points):.1f} points {word} useful answers {ends}"


def _late(report: Mapping[str, Any]) -> str:
    entry = report["change"]["p95_ms"]
    if entry is None or "ratio" not in entry:
        return ""
    low, high = (100 * (entry[key] - 1) for key in ("ratio_low", "ratio_high"))
    return f", P95 latency {relative(entry)} {spread(low, high, '.0f')}"


def _unproven(report: Mapping[str, Any], held: str) -> str:
    certificate = report["certificate"]
    if certificate is None:
        return f"{held} held on too few requests to prove it"
    more = certificate.get("more_requests")
    wanted = f": about {more:,} more requests are needed" if more else ""
    return f"the limits are not certified{wanted}"


def _rival(report: Mapping[str, Any]) -> str:
    words = {"best_per_intent": "one fixed model per intent", "random_same_cost": "a random mix at the same cost"}
    standing = [name for name in RIVALS if name in report["against"] and report["against"][name]["stands"] != "ahead"]
    return words[standing[0]] if standing else words[RIVALS[0]]


def _first_reason(report: Mapping[str, Any]) -> str:
    reasons = (report["off_policy"] or {}).get("reasons")
    return str(reasons[0]) if reasons else "the logs do not carry the claim"


def _sum(report: Mapping[str, Any], key: str) -> float | None:
    values = [one[key] for one in report["intents"]]
    return None if any(value is None for value in values) else float(sum(values))


def _where(report: Mapping[str, Any]) -> str:
    worst = sorted((one for one in report["intents"] if one["lost"]), key=lambda one: -one["lost"])[:WORST]
    if not worst:
        return ""
    return ". Most are lost in " + ", ".join(f"{_name(one)} ({count(one['lost'])})" for one in worst)


def _failures(report: Mapping[str, Any]) -> str:
    flows = [one for one in report["moved"]["flows"] if one["lost"]]
    if not flows:
        measured = _sum(report, "lost") is not None
        return "No useful answer is lost." if measured else "Estimated from logs: single losses cannot be counted."
    by_model: dict[str, float] = {}
    for one in flows:
        by_model[one["to"]] = by_model.get(one["to"], 0.0) + one["lost"]
    named = sorted(by_model.items(), key=lambda item: -item[1])[:WORST]
    return (
        "Useful answers that are lost, by the model that fails: "
        + ", ".join(f"{model} {count(lost)}" for model, lost in named)
        + f"{_where(report)}."
    )


def _overhead(overhead: Mapping[str, Any] | None, report: Mapping[str, Any]) -> str:
    if overhead is None:
        return "Not measured for this report: pointsman report measures it where it is given the bundle."
    p95 = report["after"]["p95_ms"]
    part = f" ({100 * overhead['p95_ms'] / p95:.0f} % of the P95 latency after)" if p95 else ""
    busy = f", which was busy (load {overhead['load']:.0f} on {overhead['cores']} cores)" if _busy(overhead) else ""
    return (
        f"Deciding takes {overhead['p50_ms']:.1f} ms in the median and {overhead['p95_ms']:.1f} ms at P95{part}; "
        f"measured on {overhead['requests']:,} prompts, one thread, on {overhead['machine']}{busy}. It is not in the "
        "latencies above."
    )


def _busy(overhead: Mapping[str, Any]) -> bool:
    """Whether more wanted to run than there were cores: what was timed then is too long."""
    return bool(overhead["load"] is not None and overhead["load"] > 0.75 * overhead["cores"])


def _name(one: Mapping[str, Any]) -> str:
    return str(one["intent"]) or "requests without an intent"
