"""Tables of what load replays found, for the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pointsman.console import show_table

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["load_cells", "load_sentence", "show_load"]

_RUN = ["", "P50, ms", "P95, ms", "P99, ms", "first token P95", "wait P95", "no answer", "useful", "USD per useful"]
OUTAGE_SIDES = ("before", "nothing", "fallbacks", "breakers", "fallbacks and breakers")


def show_load(question: str, found: Mapping[str, Any]) -> None:
    """Print the answer in one sentence, its table, and what is modelled."""
    sys.stdout.write(f"\n{load_sentence(question, found)}\n\n")
    show_table(load_cells(question, found))
    if question == "replay":
        sys.stdout.write("\n")
        show_table(_model_cells(found["under_load"]["after"]["models"]))
    sys.stdout.write(f"\nModelled, not measured: {'; '.join(found['modelled'])}.\n")


def load_sentence(question: str, found: Mapping[str, Any]) -> str:
    """Return the answer in one sentence."""
    if question == "replay":
        before, after = (found["under_load"][side] for side in ("before", "after"))
        waits = max(before["wait_p95_ms"] or 0, after["wait_p95_ms"] or 0)
        queues = "queues add nothing" if waits < 0.5 else f"95 % wait at most {waits:,.0f} ms in queues"
        return (
            f"At {before['rate_per_s']:.3g} requests per s: P50 {before['p50_ms']:,.0f} -> {after['p50_ms']:,.0f} ms,"
            f" P95 {before['p95_ms']:,.0f} -> {after['p95_ms']:,.0f} ms; {queues}."
        )
    if question == "rate":
        return " ".join(_cliff(side, found) for side in ("before", "after"))
    if question == "budget":
        free = found["free"]
        return (
            f"Without a budget the policy spends {1440 * free['spent_per_minute']:,.4g} USD a day at "
            f"{found['rate_per_s']:.3g} requests a second."
        )
    if question == "outage":
        how = "hangs" if found["hangs"] else "fails at once"
        return (
            f"Requests that arrive in an outage of {found['minutes']:g} minutes, every call {how}; with breakers: "
            f"{found['breaker']['whose']}."
        )
    lost = 100 * (found["killed"]["useful_rate"] - found["running"]["useful_rate"])
    cost = found["killed"]["cost_usd"] / found["running"]["cost_usd"] - 1
    return (
        f"While the kill-switch sends everything to {found['safe_model']}: useful {lost:+.1f} points, cost "
        f"{100 * cost:+.0f} %, P95 {found['running']['p95_ms']:,.0f} -> {found['killed']['p95_ms']:,.0f} ms, no answer "
        f"{100 * found['running']['error_rate']:.2g} -> {100 * found['killed']['error_rate']:.2g} %."
    )


def _cliff(side: str, found: Mapping[str, Any]) -> str:
    part = found[side]
    cliff, limit = part["cliff_per_s"], part["keeps_limit_to_per_s"]
    words = f"{side}: no cliff up to {found['rates_per_s'][-1]:,.3g}/s"
    if cliff is not None:
        words = f"{side}: the cliff is at {cliff:,.3g} requests a second"
    if found["limit_ms"] is not None:
        kept = "never kept" if limit == 0 else "kept throughout" if limit is None else f"kept up to {limit:,.3g}/s"
        words += f", P95 <= {found['limit_ms']:g} ms is {kept}"
    return words[:1].upper() + words[1:] + "."


def load_cells(question: str, found: Mapping[str, Any]) -> list[list[str]]:
    """Return the table of an answer, its head first."""
    if question == "replay":
        rows = [("under load", side, found["under_load"][side]) for side in ("before", "after")]
        rows += [("no limit of places", side, found["alone"][side]) for side in ("before", "after")]
        head = [
            "",
            "P50, ms",
            "P95, ms",
            "P99, ms",
            "first token P95",
            "wait P95",
            "no answer",
            "useful",
            "USD per useful",
        ]
        return [head, *([f"{side}, {how}", *_latency(one), *_worth(one)] for how, side, one in rows)]
    if question == "rate":
        head = ["requests a second"]
        for side in ("before", "after"):
            head += [f"{side}: P95, ms", "no answer", "USD per useful", "fullest model"]
        cells = [head]
        for at, rate in enumerate(found["rates_per_s"]):
            row = [f"{rate:,.3g}"]
            for side in ("before", "after"):
                part = found[side]
                row += [_ms(part["p95_ms"][at]), _share(part["error_rate"][at]), _usd(part["cost_per_useful"][at])]
                row.append(_share(part["utilisation"][at]))
            cells.append(row)
        return cells
    if question == "budget":
        head = ["USD a day allowed", "spent", "throttled", "useful", "USD per useful", "P95, ms", "no answer"]
        cells = [head]
        for one in (found["free"], *found["runs"]):
            allowed = f"{one['usd_per_day']:,.4g}" if "usd_per_day" in one else "no budget"
            spent = f"{1440 * one['spent_per_minute']:,.4g}"
            row = [allowed, spent, _share(one["throttled"]), _share(one["useful_rate"]), _usd(one["cost_per_useful"])]
            cells.append([*row, _ms(one["p95_ms"]), _share(one["error_rate"])])
        return cells
    if question == "outage":
        head = ["outage of", "protected by", "no answer", "useful", "P50, ms", "P95, ms", "USD per useful", "attempts"]
        cells = [head]
        for model, part in (("nothing", found["quiet"]), *found["models"].items()):
            for side in OUTAGE_SIDES:
                one = part[side]
                row = [model if side == "before" else "", f"({side})" if side == "before" else side]
                row += [_share(one["error_rate"]), _share(one["useful_rate"]), _ms(one["p50_ms"]), _ms(one["p95_ms"])]
                cells.append([*row, _usd(one["cost_per_useful"]), f"{one['attempts_per_request']:.2f}"])
        return cells
    sides = (("the policy", found["running"]), ("the kill-switch", found["killed"]))
    return [_RUN, *([name, *_latency(one), *_worth(one)] for name, one in sides)]


def _model_cells(models: Mapping[str, Any]) -> list[list[str]]:
    head = ["model, after", "places", "calls", "use", "longest queue", "errors", "timeouts", "breaker changes"]
    return [
        head,
        *(
            [
                name,
                "no limit" if one["places"] is None else str(one["places"]),
                f"{one['calls']:,}",
                _share(one["utilisation"]),
                f"{one['longest_queue']:,}",
                _share(one["error_rate"]),
                _share(one["timeout_rate"]),
                str(one["breaker_changes"]),
            ]
            for name, one in models.items()
        ),
    ]


def _latency(one: Mapping[str, Any]) -> list[str]:
    return [_ms(one[key]) for key in ("p50_ms", "p95_ms", "p99_ms", "first_token_p95_ms", "wait_p95_ms")]


def _worth(one: Mapping[str, Any]) -> list[str]:
    return [_share(one["error_rate"]), _share(one["useful_rate"]), _usd(one["cost_per_useful"])]


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _usd(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
